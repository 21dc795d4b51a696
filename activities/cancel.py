"""The activity `agent.cancel`: asks the server to cancel the run that it belongs to.

A workflow can end as cancelled only when the server has told it to, and cannot ask the server by itself.
"""

from temporalio import activity
from temporalio.service import RPCError, RPCStatusCode


@activity.defn(name="agent.cancel")
async def cancel() -> None:
    """Request the cancellation of this activity's own run.

    Raises:
        RPCError: The server does not take it.
    """
    info = activity.info()
    assert info.workflow_id is not None  # started by a workflow only
    run = activity.client().get_workflow_handle(info.workflow_id, run_id=info.workflow_run_id)
    try:
        await run.cancel()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # then it has ended already
            raise
