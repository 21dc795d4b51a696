"""Which calls are handed to workers, and with what: inputs, keys, what they were let pass under."""

from agents import bounds
from agents.events import Dispatch
from agents.ledger import Call, CallState, idempotency_key
from agents.preview import Approved
from agents.state import RunState
from agents.tool_call import ToolInput


def dispatches(state: RunState, execution: str) -> list[Dispatch]:
    """The planned calls that may start now, as far as their number and bytes allow.

    Args:
        state: The run.
        execution: Run id of the execution that would dispatch.
    """
    assert state.definition is not None
    in_flight = sum(call.state is CallState.IN_FLIGHT for call in state.calls.values())
    share = max(bounds.TURN_RESULT_BYTES // max(state.turn_calls, 1), bounds.SMALLEST_RESULT_BYTES)
    found: list[Dispatch] = []
    size = 0
    for call in state.calls.values():
        if call.state is not CallState.PLANNED or call.awaits:
            continue
        size += len(call.arguments)
        if in_flight + len(found) >= bounds.PARALLEL_CALLS or (found and size > bounds.BATCH_BYTES):
            break
        spec = state.definition.tool(call.tool)
        assert spec is not None
        key = idempotency_key(state.run, state.chain, call.id, call.tool, call.arguments)
        found.append(
            Dispatch(
                call.model_copy(update={"key": key}),
                ToolInput(
                    arguments=call.arguments,
                    key=key,
                    effect=call.effect,
                    execution=execution,
                    dispatch=call.dispatches + 1,
                    reset=state.reset,
                    approved=_approved(state, call),
                    timeout_seconds=spec.timeout_seconds,
                    progress_seconds=spec.progress_seconds,
                    result_bytes=min(spec.result_bytes, share),
                ),
            )
        )
    return found


def _approved(state: RunState, call: Call) -> Approved | None:
    assert state.definition is not None
    if not call.ruling or state.rule_set is None:
        return None
    return Approved(
        agent=state.definition.agent,
        dial=state.dial,
        ruling=call.ruling,
        preview=call.preview,
        by=call.approvers,
        rules=state.rule_set.version,
    )
