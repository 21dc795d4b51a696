"""Executions as the server describes and lists them, without any worker.

By the service's own calls: the SDK's `describe` and `list_workflows` raise ValueError at a run that an operator has
paused (temporalio 1.35 does not know that status).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from temporalio.api.common.v1 import Memo, WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    ListWorkflowExecutionsRequest,
)
from temporalio.client import Client
from temporalio.common import TypedSearchAttributes
from temporalio.converter import DataConverter, WorkflowSerializationContext, decode_typed_search_attributes
from temporalio.service import RPCError, RPCStatusCode

from console.trajectory.reading import moment

RUNNING, PAUSED, CONTINUED = "running", "paused", "continued"
STATES: dict[int, str] = {
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING: RUNNING,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED: PAUSED,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED: "done",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED: "failed",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED: "cancelled",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED: "terminated",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: "timed out",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW: CONTINUED,
}
PAGE, SMALL_PAGE = 500, 50
"""Executions a page: fewer pages are no quicker. A memo may hold 2 MB, and a page of those would be larger than a client
takes (128 MB, measured); then it is asked for in small ones."""

UNREADABLE = "(unreadable)"
"""In place of a memo field that cannot be decoded here."""

ONCE = timedelta(seconds=3)
"""For one try; an answer takes milliseconds."""

FORCED = frozenset({"terminated", "timed out"})
"""Ends that the run's own code knows nothing of: its last words are from before."""


@dataclass(frozen=True)
class Execution:
    """One Temporal execution of a run."""

    run: str
    id: str
    """Temporal's run id."""
    type: str
    state: str
    started: datetime
    closed: datetime | None
    events: int
    first: str
    """Temporal's run id of the chain's first execution; empty in a listing."""
    task_queue: str
    attributes: TypedSearchAttributes
    memo: dict[str, Any]

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.closed is None


@dataclass(frozen=True)
class Description:
    """An execution with what is under way in it."""

    execution: Execution
    raw: DescribeWorkflowExecutionResponse
    converter: DataConverter
    """The client's, for this run."""


async def describe(client: Client, run: str, execution: str = "", *, patient: bool = True) -> Description:
    """What the server knows of an execution; of the run's latest where none is named.

    Args:
        client: The client.
        run: The run's id.
        execution: Temporal's run id.
        patient: While the server is away, try for about ten seconds; otherwise once.

    Raises:
        RPCError: There is none (NOT_FOUND), or the server does not answer.
    """
    raw = await client.workflow_service.describe_workflow_execution(
        DescribeWorkflowExecutionRequest(
            namespace=client.namespace, execution=WorkflowExecution(workflow_id=run, run_id=execution)
        ),
        retry=patient,
        timeout=ONCE if not patient else None,
    )
    converter = _converter(client, run)
    return Description(await _execution(raw.workflow_execution_info, converter), raw, converter)


async def listed(client: Client, query: str) -> AsyncIterator[Execution]:
    """The executions that visibility finds, newest start first."""
    async for info in found(client, query):
        yield await execution_of(client, info)


async def found(client: Client, query: str) -> AsyncIterator[WorkflowExecutionInfo]:
    """The same as the server sends them, nothing decoded."""
    token, size = b"", PAGE
    while True:
        request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, query=query, page_size=size, next_page_token=token
        )
        try:
            page = await client.workflow_service.list_workflow_executions(request, retry=True)
        except RPCError as error:
            if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED or size == SMALL_PAGE:
                raise
            size = SMALL_PAGE
            continue
        for info in page.executions:
            yield info
        token = page.next_page_token
        if not token:
            return


async def execution_of(client: Client, info: WorkflowExecutionInfo) -> Execution:
    """An execution out of a listing, decoded."""
    return await _execution(info, _converter(client, info.execution.workflow_id))


async def memo_of(client: Client, info: WorkflowExecutionInfo) -> dict[str, Any]:
    """The memo of an execution out of a listing, and nothing else of it."""
    return await _memo(info.memo, _converter(client, info.execution.workflow_id))


def _converter(client: Client, run: str) -> DataConverter:
    return client.data_converter.with_context(
        WorkflowSerializationContext(namespace=client.namespace, workflow_id=run)
    )


async def _execution(info: WorkflowExecutionInfo, converter: DataConverter) -> Execution:
    return Execution(
        run=info.execution.workflow_id,
        id=info.execution.run_id,
        type=info.type.name,
        state=STATES[info.status],
        started=moment(info.start_time),
        closed=moment(info.close_time) if info.HasField("close_time") else None,
        events=info.history_length,
        first=info.first_run_id,
        task_queue=info.task_queue,
        attributes=decode_typed_search_attributes(info.search_attributes),
        memo=await _memo(info.memo, converter),
    )


async def _memo(memo: Memo, converter: DataConverter) -> dict[str, Any]:
    """The memo's fields, each for itself: one that nobody here can read must not hide the others, or other runs."""
    found = {}
    for name, payload in memo.fields.items():
        try:
            [found[name]] = await converter.decode([payload])
        except (
            Exception
        ):  # whatever a codec or a converter raises; `inbox` names runs that wait without a card
            found[name] = UNREADABLE
    return found
