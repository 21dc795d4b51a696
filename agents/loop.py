"""The loop's rules: what a run does next (`decide`), and what it becomes by what happens (`apply`).

Both are pure, so the rules are tested by the thousand without a server. `workflows/` only carries the actions
out. A turn's calls are in `agents.turn`, gates and decisions in `agents.gating` and `agents.deciding`.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import assert_never

from agents import bounds
from agents.agent import FINISH, Definition
from agents.dispatching import dispatches
from agents.events import (
    Action,
    AsideEnded,
    AskAside,
    AskModel,
    CallEnded,
    CallFailed,
    CancelAsked,
    Cancelled,
    CancelRun,
    Dispatch,
    Event,
    GateDue,
    ModelFailed,
    Moment,
    Previewed,
    Replied,
    Resolve,
    Resolved,
    ResolveFailed,
    Started,
    StopModel,
    TakePreview,
    Tell,
    Told,
    WaitOver,
    WaitUntil,
)
from agents.failure import Failure, FailureType
from agents.gate import GateKind
from agents.gate_actions import aside_begun, aside_ended, ask_anew, gate_actions, told
from agents.gating import open_call_gate, open_model_gate
from agents.ledger import CallState
from agents.model_input import model_input
from agents.reply import Reply
from agents.request import task_text
from agents.state import Outcome, RunState
from agents.tool_call import ToolOutput
from agents.transcript import Message, ReplyEntry, start_digest
from agents.turn import close_call, give_messages, has_news, messages_seen, next_turn, plan, previewed
from agents.waiting import come_due


def decide(state: RunState, execution: str) -> list[Action]:
    """What is to be started now. Carrying out nothing of it and asking again gives the same.

    Args:
        state: The run.
        execution: Run id of the execution that would dispatch.
    """
    if state.outcome:
        return []
    if state.cancel:
        return [CancelRun()] if not state.cancelling else []
    if state.paused:
        return []
    return [*_next(state, execution), *gate_actions(state)]


def _next(state: RunState, execution: str) -> Sequence[Action]:
    match state.stage:
        case "resolve":
            return [Resolve(state.request.agent)]
        case "model" if state.model.phase == "due":
            return [AskModel(model_input(state), state.model.stops)]
        case "model" if state.model.phase == "interrupt":
            return [StopModel()]
        case "model" if state.model.phase == "backoff" and state.model.until:
            return [WaitUntil(state.model.until)]
        case "calls":
            return dispatches(state, execution)
        case _:
            return []


def apply(state: RunState, event: Event, moment: Moment) -> RunState:
    """The run after `event`."""
    if state.outcome:
        return _settled(state, event)
    match event:
        case Started(action):
            return _started(state, action)
        case Resolved(definition):
            return _resolved(state, definition)
        case ResolveFailed(failure):
            return state.ended(Outcome(phase="failed", error=failure.message))
        case Replied(reply):
            return _replied(state, reply, moment)
        case ModelFailed(failure):
            return _model_failed(state, failure, moment)
        case CallEnded(call, output):
            return _call_ended(state, call, output)
        case CallFailed(call, failure):
            return _call_failed(state, call, failure, moment)
        case WaitOver():
            return _model(state, phase="due", until=None) if state.model.phase == "backoff" else state
        case Previewed(call, preview, failure):
            why_none = failure.message if failure else ""
            return previewed(state, state.calls[call], preview, why_none, moment)
        case AsideEnded(gate, asked, number, reply, failure):
            return aside_ended(state, gate, asked, number, reply, failure)
        case Told(gate, digest, failure):
            return told(state, gate, digest, failure)
        case GateDue(gate):
            return come_due(state, gate, moment)
        case CancelAsked():
            return state
        case Cancelled():
            return state.ended(Outcome(phase="cancelled", error=_cancelled(state)))
        case _:
            assert_never(event)


def _cancelled(state: RunState) -> str:
    if state.cancel is None:
        return "cancelled"
    return f"cancelled by {state.cancel.by}" + (f": {state.cancel.reason}" if state.cancel.reason else "")


def _settled(state: RunState, event: Event) -> RunState:
    """A run that has ended, with one more call of which the outcome is known. Nothing is decided any more."""
    match event:
        case CallEnded(call, output):
            return _call_ended(state, call, output)
        case CallFailed(call, Failure(type=FailureType.OUTCOME_UNKNOWN)):
            return state.with_call(state.calls[call].to(CallState.UNKNOWN))
        case CallFailed(call, failure):
            return close_call(state, state.calls[call], CallState.FAILED, failure.message)
        case _:
            return state


def _model(state: RunState, **changes: object) -> RunState:
    return state.model_copy(update={"model": state.model.model_copy(update=changes)})


def _started(state: RunState, action: Action) -> RunState:
    match action:
        case Resolve():
            return state.model_copy(update={"stage": "resolving"})
        case AskModel():
            return _model(state, phase="in flight")
        case Dispatch(call, _):
            return state.with_call(call.to(CallState.IN_FLIGHT, dispatches=call.dispatches + 1, key=call.key))
        case WaitUntil():
            return state
        case StopModel():
            return _model(state, phase="stopping", stops=state.model.stops + 1)
        case TakePreview(call, _):
            return state.with_call(state.calls[call].model_copy(update={"awaits": "previewing"}))
        case AskAside(gate, _, _, number, _):
            return aside_begun(state, gate, number)
        case Tell(gate):
            found = state.gates[gate]
            return state.with_gate(found.model_copy(update={"notified": found.notified + 1, "telling": True}))
        case CancelRun():
            return state.model_copy(update={"cancelling": True})
        case _:
            assert_never(action)


def _resolved(state: RunState, definition: Definition) -> RunState:
    empty = start_digest(state.chain, definition.digest, state.epoch)
    state = state.model_copy(update={"definition": definition, "digest": empty, "seen_digest": empty})
    return next_turn(state.append(Message(text=task_text(state.request.task))))


def _replied(state: RunState, reply: Reply, moment: Moment) -> RunState:
    usage = state.usage.model_copy(
        update={
            "model_calls": state.usage.model_calls + 1,
            "model_attempts": state.usage.model_attempts + reply.attempts,
            "tokens": state.usage.tokens + reply.usage,
        }
    )
    state = _model(state, phase="idle", waits=0).model_copy(update={"usage": usage})
    if reply.finish in {"filtered", "refused"}:
        said = f": {bounds.clip(reply.text, 500)}" if reply.text else ""
        how = "the provider's content filter stopped it" if reply.finish == "filtered" else "it refused"
        return _park_model(state, f"The model gave no answer, {how}{said}", moment)
    state = messages_seen(state.append(ReplyEntry(turn=state.turn, reply=reply)))
    state = state.model_copy(update={"seen": len(state.entries), "seen_digest": state.digest})
    if reply.calls:
        return plan(_model(state, nudges=0), reply.calls, moment)
    return _answered(state, reply, moment)


def _answered(state: RunState, reply: Reply, moment: Moment) -> RunState:
    assert state.definition is not None
    wants = None
    if reply.finish == "length":
        wants = "Your output was cut off at its length limit. Go on more briefly, or call a tool."
    elif state.definition.output is not None:
        wants = f"Finish by calling `{FINISH}` with the answer; plain text does not end this task."
    elif not reply.text.strip():
        wants = "You said nothing. Give the final answer as text, or call a tool."
    if has_news(state):
        return next_turn(_model(state, nudges=0))
    if wants is None:
        return state.ended(Outcome(phase="done", answer=reply.text))
    if state.model.nudges >= bounds.NUDGES:
        return _park_model(state, f"{bounds.NUDGES + 1} replies in a row without a call or an answer", moment)
    return next_turn(_model(state.append(Message(text=wants)), nudges=state.model.nudges + 1))


def _model_failed(state: RunState, failure: Failure, moment: Moment) -> RunState:
    attempts = state.usage.model_attempts + failure.attempts
    state = state.model_copy(update={"usage": state.usage.model_copy(update={"model_attempts": attempts})})
    if state.model.phase in {"interrupt", "stopping"}:
        return give_messages(_model(state, phase="due", until=None))
    wait = failure.wait_seconds
    if failure.type is FailureType.PROVIDER_WAIT and wait and state.model.waits < bounds.PROVIDER_WAITS:
        until = moment.now + timedelta(seconds=wait)
        return give_messages(_model(state, phase="backoff", until=until, waits=state.model.waits + 1))
    return _park_model(state, failure.message, moment)


def _park_model(state: RunState, reason: str, moment: Moment) -> RunState:
    state = _model(state.model_copy(update={"stage": "model"}), phase="parked", waits=0, nudges=0)
    return open_model_gate(give_messages(state), reason, moment)


def _call_ended(state: RunState, call: str, output: ToolOutput) -> RunState:
    return close_call(state, state.calls[call], CallState.DONE, output.content, attempts=output.attempts)


def _call_failed(state: RunState, name: str, failure: Failure, moment: Moment) -> RunState:
    call = state.calls[name]
    call = call.model_copy(update={"attempts": call.attempts + failure.attempts})
    match failure.type:
        case FailureType.TOOL_REJECTED | FailureType.TOOL_FAILED:
            return close_call(state, call, CallState.FAILED, failure.message)
        case FailureType.STALE if failure.stale:
            return ask_anew(state, call, failure.stale, moment)
        case FailureType.CANCELLED:
            return close_call(state, call, CallState.FAILED, "Cancelled while it was in flight")
        case FailureType.OUTCOME_UNKNOWN:
            lost = state.with_call(call.to(CallState.UNKNOWN))
            return open_call_gate(lost, lost.calls[name], GateKind.UNKNOWN, failure.message, moment)
        case _:
            return open_call_gate(state, call, GateKind.FAILURE, failure.message, moment)
