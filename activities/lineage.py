"""Whether an abandoned branch of the run, left behind by a reset, has dispatched a call already.

Imports `agents` and `temporalio`.
"""

from collections.abc import AsyncIterator

from temporalio import activity
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from activities.serialization import serialization_context
from agents.effect import EffectClass
from agents.failure import FailureType
from agents.tool_call import ToolInput

NOTHING_HAPPENED = frozenset({FailureType.TOOL_REJECTED, FailureType.NOT_SENT, FailureType.STALE})

KEPT_EXECUTIONS = 1_000
"""Closed executions whose sends are remembered: their histories never change, and reading one takes up to 50 ms."""

Sends = dict[tuple[str, str], int]
"""By (activity id, key): the number of the last dispatch in one execution that may have happened."""


class Lineage:
    """Looks through the other executions of a run. What it learns of closed ones it keeps."""

    def __init__(self) -> None:
        self._closed: dict[str, Sends] = {}

    async def dispatched_in(self, info: activity.Info, given: ToolInput) -> str | None:
        """The run id of another execution that may have dispatched this call with this key, or None.

        Each dispatch of a call has a number. One that is higher than in any other branch was decided on after that
        branch was left: a person has said that the earlier ones did not happen.

        A dispatch that ended as rejected, not sent or stale does not count: nothing happened. An execution whose history
        is gone does: it can no longer be told.
        """
        assert info.workflow_id is not None  # only a workflow's activity has a lineage
        client = activity.client()
        converter = client.data_converter.with_context(serialization_context(info))
        async for execution, closed in _executions(client, info.workflow_id, info.workflow_run_id):
            sends = self._closed.get(execution)
            if sends is None:
                try:
                    sends = await _sends(client, converter, info.workflow_id, execution)
                except RPCError as error:
                    if error.status is RPCStatusCode.NOT_FOUND:
                        return execution
                    raise
                if closed:
                    self._remember(execution, sends)
            if sends.get((info.activity_id, given.key), 0) >= given.dispatch:
                return execution
        return None

    def _remember(self, execution: str, sends: Sends) -> None:
        if len(self._closed) >= KEPT_EXECUTIONS:
            self._closed.clear()
        self._closed[execution] = sends


async def _executions(client: Client, workflow: str, own: str | None) -> AsyncIterator[tuple[str, bool]]:
    """The other executions of the run, each with whether it is closed.

    Visibility may lag by a second, so those that a reset of this very execution left behind come from its history.
    """
    seen = {own}
    handle = client.get_workflow_handle(workflow, run_id=own)
    async for event in handle.fetch_history_events():
        failed = event.workflow_task_failed_event_attributes
        if failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
            base = failed.base_run_id
            if base not in seen:
                seen.add(base)
                yield base, False
    quoted = workflow.replace('"', '\\"')
    async for execution in client.list_workflows(f'WorkflowId = "{quoted}"'):
        if execution.run_id not in seen:
            seen.add(execution.run_id)
            yield execution.run_id, execution.status is not WorkflowExecutionStatus.RUNNING


async def _sends(client: Client, converter: DataConverter, workflow: str, execution: str) -> Sends:
    found: dict[int, tuple[tuple[str, str], int]] = {}
    handle = client.get_workflow_handle(workflow, run_id=execution)
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            if send := await _send(converter, event):
                found[event.event_id] = send
        elif _nothing_happened(event):
            found.pop(event.activity_task_failed_event_attributes.scheduled_event_id, None)
    sends: Sends = {}
    for call, number in found.values():
        sends[call] = max(number, sends.get(call, 0))
    return sends


async def _send(converter: DataConverter, event: HistoryEvent) -> tuple[tuple[str, str], int] | None:
    scheduled = event.activity_task_scheduled_event_attributes
    if scheduled.activity_type.name.startswith("agent."):
        return None
    [given] = await converter.decode(scheduled.input.payloads, [ToolInput])
    if given.effect is not EffectClass.NON_IDEMPOTENT:
        return None
    return (scheduled.activity_id, given.key), given.dispatch


def _nothing_happened(event: HistoryEvent) -> bool:
    failure = event.activity_task_failed_event_attributes.failure
    return failure.application_failure_info.type in NOTHING_HAPPENED
