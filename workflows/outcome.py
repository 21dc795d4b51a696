"""Turns the end of an activity into an event of the rules."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutError
from temporalio.workflow import ActivityHandle

from agents.agent import read_definition
from agents.effect import EffectClass
from agents.events import (
    Action,
    AsideEnded,
    AskAside,
    AskModel,
    CallEnded,
    CallFailed,
    CancelAsked,
    CancelRun,
    Dispatch,
    Event,
    ModelFailed,
    Previewed,
    Replied,
    Resolve,
    Resolved,
    ResolveFailed,
    TakePreview,
    Tell,
    Told,
)
from agents.failure import Failure, FailureType
from agents.preview import Preview, Stale, preview_of
from agents.reply import Reply
from agents.tool_call import ToolOutput

KNOWN = frozenset(FailureType)


def event_of(action: Action, handle: ActivityHandle[RawValue]) -> Event:
    """What the rules are told when the activity behind `action` has ended."""
    failure = _failure(action, handle)
    match action:
        case Resolve():
            return ResolveFailed(failure) if failure else _resolved(handle.result())
        case AskModel():
            return ModelFailed(failure) if failure else _replied(handle.result())
        case Dispatch(call, _):
            if failure:
                return CallFailed(call.id, failure)
            return CallEnded(call.id, _output(handle.result(), action.input.result_bytes))
        case TakePreview(call, _):
            return Previewed(call, None if failure else preview_of_result(handle.result()), failure)
        case AskAside(gate, _, asked, number, _):
            answered = ModelFailed(failure) if failure else _replied(handle.result())
            if isinstance(answered, Replied):
                return AsideEnded(gate, asked, number, answered.reply)
            return AsideEnded(gate, asked, number, None, answered.failure)
        case Tell(gate, digest, _):
            return Told(gate, digest, failure)
        case CancelRun():
            return CancelAsked()
        case _:
            raise TypeError(f"no activity is behind {action}")


def preview_of_result(value: RawValue) -> Preview:
    """What a tool said a call would do; what a person gave in its place is taken as the text."""
    data = value.payload.data
    try:
        given = Preview.model_validate_json(data)
    except ValidationError:
        return preview_of(_text(data))
    return given if given.model_fields_set else preview_of(_text(data))


def _resolved(value: RawValue) -> Resolved | ResolveFailed:
    try:
        return Resolved(read_definition(value.payload.data))
    except ValidationError:
        return ResolveFailed(_by_hand("a definition"))


def _replied(value: RawValue) -> Replied | ModelFailed:
    try:
        return Replied(Reply.model_validate_json(value.payload.data))
    except ValidationError:
        return ModelFailed(_by_hand("a model's reply"))


def _output(value: RawValue, limit: int) -> ToolOutput:
    """The tool's output; what `temporal activity complete --result` gave in its place is taken as the content."""
    data = value.payload.data
    try:
        return ToolOutput.model_validate_json(data)
    except ValidationError:
        text = _text(data)
    return ToolOutput(content=text.encode(errors="replace")[:limit].decode(errors="ignore"))


def _text(data: bytes) -> str:
    try:
        value = from_json(data)
    except ValueError:
        return data.decode(errors="replace")
    return value if isinstance(value, str) else data.decode(errors="replace")


def _by_hand(what: str) -> Failure:
    why = f"the activity was completed by hand with something that is not {what}"
    return Failure(type=FailureType.EXHAUSTED, message=why)


def _failure(action: Action, handle: ActivityHandle[RawValue]) -> Failure | None:
    fenced = isinstance(action, Dispatch) and action.call.effect is EffectClass.NON_IDEMPOTENT
    if handle.cancelled():  # its outcome came in the very task that cancelled the run: the SDK drops it
        return _cancelled(fenced=fenced)
    error = handle.exception()
    if error is not None and not isinstance(error, ActivityError):
        raise error
    return failure_of(error, fenced=fenced) if error else None


def _cancelled(*, fenced: bool) -> Failure:
    kind = FailureType.OUTCOME_UNKNOWN if fenced else FailureType.CANCELLED
    return Failure(type=kind, message="cancelled while it was in flight")


def failure_of(error: ActivityError, *, fenced: bool = False) -> Failure:
    """How an activity failed, in the words of the rules.

    Args:
        error: What the activity ended with.
        fenced: Whether this is a non-idempotent call, whose loss after the fence leaves its outcome unknown.
    """
    match error.cause:
        case ApplicationError(type=kind) as cause if kind in KNOWN:
            details: dict[str, Any] = cause.details[0] if cause.details else {}
            return Failure(
                type=FailureType(kind),
                message=cause.message,
                wait_seconds=details.get("wait_seconds"),
                attempts=details.get("attempts", 1),
                stale=_stale(details.get("stale")),
            )
        case CancelledError():
            # Event 0: no worker had picked it up.
            return _cancelled(fenced=fenced and error.started_event_id > 0)
        case TimeoutError() as cause:
            sending = fenced and any(_sending(detail) for detail in cause.last_heartbeat_details)
            kind = FailureType.OUTCOME_UNKNOWN if sending else FailureType.EXHAUSTED
            what = "the attempt was lost while it was sending" if sending else "every attempt was lost"
            return Failure(type=kind, message=f"{what}: {cause.message}")
        case ApplicationError() as cause:
            return Failure(type=FailureType.EXHAUSTED, message=cause.message)
        case cause:
            return Failure(type=FailureType.EXHAUSTED, message=str(cause or error))


def _stale(given: object) -> Stale | None:
    try:
        return None if given is None else Stale.model_validate(given)
    except ValidationError:  # from another version of this code: a person is asked all the same
        return None


def _sending(detail: object) -> bool:
    return isinstance(detail, dict) and detail.get("sending") is True
