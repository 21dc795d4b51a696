"""For the tests of the tool activity: a workflow that makes one call, workers to run it, and one that dies."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    RecordActivityTaskHeartbeatRequest,
    ResetWorkflowExecutionRequest,
)
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Worker
from temporalio.workflow import ActivityCancellationType

from activities.tool_call import ToolActivities
from activities.tools import Tool, tool_table
from agents.effect import READ, Effect, EffectClass
from agents.ledger import idempotency_key
from agents.preview import Approved, Stale
from agents.rulebook import Rulebook
from agents.tool_call import Beat, ToolInput, ToolOutput
from workflows.options import HEARTBEAT_THROTTLE, HEARTBEAT_TIMEOUT

WRITE = Effect(writes=True)
SEND = Effect(writes=True, idempotent=False, reversible=False)

HEARTBEAT = timedelta(seconds=1)
"""Shorter than the product's, for tests that wait for a lost worker."""

SOON = 20.0


class OneCall(BaseModel):
    """What the test workflow is to do."""

    tool: str
    queue: str
    arguments: str = "{}"
    effect: EffectClass = EffectClass.READ
    execution: str | None = None
    """Pretends that another execution dispatched the call."""
    reset: bool | None = None
    """None: as the server says."""
    approved: Approved | None = None
    continue_after_reset: bool = False
    """After a reset the call is made by the next execution."""
    timeout_seconds: float = 30
    progress_seconds: float | None = None
    result_bytes: int = 1000
    attempts: int = 4
    heartbeat: timedelta = HEARTBEAT_TIMEOUT


class Outcome(BaseModel):
    """How the call ended."""

    content: str | None = None
    attempts: int = 0
    failed: str | None = None
    message: str = ""
    stale: Stale | None = None


@workflow.defn(sandboxed=False)
class OneCallWorkflow:
    """Makes one call as the agent's workflow does, and tells how it ended."""

    @workflow.run
    async def run(self, asked: OneCall) -> Outcome:
        info = workflow.info()
        reset = info.original_execution_run_id != info.run_id
        if reset and asked.continue_after_reset:
            workflow.continue_as_new(asked.model_copy(update={"reset": True}))
        key = idempotency_key(
            info.workflow_id, info.first_execution_run_id, "t1.c1", asked.tool, asked.arguments
        )
        given = ToolInput(
            arguments=asked.arguments,
            key=key,
            effect=asked.effect,
            execution=asked.execution or info.run_id,
            reset=reset if asked.reset is None else asked.reset,
            approved=asked.approved,
            timeout_seconds=asked.timeout_seconds,
            progress_seconds=asked.progress_seconds,
            result_bytes=asked.result_bytes,
        )
        try:
            output = await workflow.execute_activity(
                asked.tool,
                given,
                result_type=ToolOutput,
                activity_id="t1.c1",
                task_queue=asked.queue,
                start_to_close_timeout=timedelta(seconds=asked.timeout_seconds + 10),
                heartbeat_timeout=asked.heartbeat,
                cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(milliseconds=10), maximum_attempts=asked.attempts
                ),
            )
        except ActivityError as error:
            return _failed(error)
        return Outcome(content=output.content, attempts=output.attempts)

    @workflow.signal
    def nudge(self) -> None:
        """Makes a workflow task."""


def _failed(error: ActivityError) -> Outcome:
    cause = error.cause
    if isinstance(cause, ApplicationError):
        details: dict[str, Any] = cause.details[0]
        return Outcome(
            failed=cause.type,
            message=cause.message,
            attempts=details["attempts"],
            stale=Stale.model_validate(details["stale"]) if "stale" in details else None,
        )
    return Outcome(failed=type(cause).__name__, message=str(cause))


Run = WorkflowHandle[OneCallWorkflow, Outcome]


class Bench:
    """Makes calls, on a task queue of its own."""

    def __init__(self, client: Client, workflows: str) -> None:
        self.client = client
        self.queue = f"tools-{secrets.token_hex(6)}"
        self._workflows = workflows

    def worker(
        self, *tools: Tool, drain: float = 30, rulebook: Rulebook | None = None, **options: Any
    ) -> Worker:
        """A worker that runs these tools."""
        return Worker(
            self.client,
            task_queue=self.queue,
            activities=[ToolActivities(tool_table(*tools), rulebook=rulebook).call_tool],
            graceful_shutdown_timeout=timedelta(seconds=drain),
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            **options,
        )

    async def start(self, tool: Tool | str, **asked: Any) -> Run:
        if isinstance(tool, Tool):
            asked = {"effect": tool.spec.effect.effect_class, **asked}
            tool = tool.spec.name
        return await self.client.start_workflow(
            OneCallWorkflow.run,
            OneCall(tool=tool, queue=self.queue, **asked),
            id=f"call-{secrets.token_hex(6)}",
            task_queue=self._workflows,
        )

    async def call(self, tool: Tool, rulebook: Rulebook | None = None, **asked: Any) -> Outcome:
        """Make one call with one worker, and tell how it ended."""
        async with self.worker(tool, rulebook=rulebook):
            return await (await self.start(tool, **asked)).result()

    async def dying_worker(self, *, beats: Beat | None) -> None:
        """Take a call, leave a heartbeat, and never be heard of again."""
        service, namespace = self.client.workflow_service, self.client.namespace
        queue = TaskQueue(name=self.queue)
        task = await service.poll_activity_task_queue(
            PollActivityTaskQueueRequest(namespace=namespace, task_queue=queue, identity="doomed"),
            timeout=timedelta(seconds=SOON),
        )
        assert task.task_token, "no call came"
        if beats is not None:
            details = await self.client.data_converter.encode_wrapper([beats])
            await service.record_activity_task_heartbeat(
                RecordActivityTaskHeartbeatRequest(
                    namespace=namespace, task_token=task.task_token, details=details
                )
            )


@asynccontextmanager
async def bench(client: Client) -> AsyncIterator[Bench]:
    workflows = f"one-call-{secrets.token_hex(6)}"
    async with Worker(client, task_queue=workflows, workflows=[OneCallWorkflow]):
        yield Bench(client, workflows)


async def left_behind(run: Run) -> Beat | None:
    """The last heartbeat details of the open call, as the server has them."""
    pending = (await run.describe()).raw_description.pending_activities
    if not pending or not pending[0].heartbeat_details.payloads:
        return None
    [beat] = await run._client.data_converter.decode(pending[0].heartbeat_details.payloads, [Beat])
    assert isinstance(beat, Beat)
    return beat


async def until(condition: Callable[[], Awaitable[object]], within: float = SOON) -> None:
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.02)


async def reset_to(client: Client, run: Run, event: EventType.ValueType, which: int = 0) -> Run:
    """Reset the run to the n-th event of that type, and hand back the new execution."""
    found = [e.event_id for e in (await run.fetch_history()).events if e.event_type == event]
    answer = await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution={"workflow_id": run.id},  # type: ignore[arg-type]
            reason="test",
            workflow_task_finish_event_id=found[which],
            request_id=secrets.token_hex(8),
        )
    )
    return client.get_workflow_handle_for(OneCallWorkflow.run, run.id, run_id=answer.run_id)


__all__ = [
    "HEARTBEAT",
    "READ",
    "SEND",
    "SOON",
    "WRITE",
    "Bench",
    "Outcome",
    "bench",
    "left_behind",
    "reset_to",
    "until",
]
