"""Model calls and tool calls, read from the events of their activities. Pure."""

import re

from pydantic import BaseModel
from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from agents.agent import Definition
from agents.arguments import short_arguments
from agents.failure import FailureType
from agents.ids import call_id
from agents.model_call import ModelInput
from agents.notice import Notice
from agents.preview import Preview, Stale
from agents.reply import ProposedCall, Reply
from agents.tool_call import ToolInput, ToolOutput
from agents.transcript import Result
from console.trajectory.messages import edit_checked
from console.trajectory.passing import passes, ruling_of, take_rules
from console.trajectory.reading import Attempt, Reading, first, moment, read, why
from console.trajectory.steps import CallStep, ErrandStep, ModelStep, Step, Work

MODEL = re.compile(r"t(\d+)\.model(?:\.\d+)?")
CALL = re.compile(r"t(\d+)\.c\d+")
PREVIEW = re.compile(r"(.+?)\.(preview|edit)(?:\.\d+)?")
ASIDE = re.compile(r"((?:t(\d+)\.)?.+)\.aside\.[\d.a-f]+")
MODEL_TYPE = "agent.model"


class StaleDetails(BaseModel):
    """What a failure of type Stale carries."""

    stale: Stale


Dispatched = ModelStep | CallStep | ErrandStep


def scheduled(reading: Reading, event: HistoryEvent) -> list[Step]:
    """An activity was dispatched."""
    given = event.activity_task_scheduled_event_attributes
    name, at = given.activity_id, moment(event.event_time)
    if given.activity_type.name == MODEL_TYPE:
        return _model(reading, event)
    if found := CALL.fullmatch(name):
        call = _call(reading, name, int(found[1]), given.activity_type.name, event)
        reading.activities[event.event_id] = call
        return [call]
    match given.activity_type.name:
        case "agent.preview":
            held = PREVIEW.fullmatch(name)
            about, purpose = (held[1], held[2]) if held else (name, "")
            errand = ErrandStep(at=at, what="preview", about=about, edited=purpose == "edit")
            reading.checking = reading.checking or errand.edited
        case "agent.notify":
            notice = read(given.input, Notice)
            about, text = (notice.card.gate, notice.what) if notice else (name, "")
            errand = ErrandStep(at=at, what="notice", about=about, text=text)
        case _:
            return []
    reading.activities[event.event_id] = errand
    return reading.add(errand)


def _model(reading: Reading, event: HistoryEvent) -> list[Step]:
    given = event.activity_task_scheduled_event_attributes
    at, sent = moment(event.event_time), read(given.input, ModelInput)
    if found := MODEL.fullmatch(given.activity_id):
        asked = ModelStep(at=at, turn=int(found[1]))
    elif found := ASIDE.fullmatch(given.activity_id):
        asked = ModelStep(at=at, turn=int(found[2] or 0), aside=found[1])
    else:
        return []
    reading.activities[event.event_id] = asked
    told = _settle(reading, sent)
    return [*told, *([] if asked.aside else _sees(reading, asked.turn)), *reading.add(asked)]


def _sees(reading: Reading, turn: int) -> list[Step]:
    """A turn's model call is told all that people have said by then."""
    seen, reading.unseen = reading.unseen, []
    for said in seen:
        said.seen = turn
    if reading.state:
        known = tuple(said.model_copy(update={"seen": said.seen or turn}) for said in reading.state.said)
        reading.state = reading.state.model_copy(update={"said": known})
    return list(seen)


def _call(reading: Reading, name: str, turn: int, tool: str, event: HistoryEvent) -> CallStep:
    at = moment(event.event_time)
    given = read(event.activity_task_scheduled_event_attributes.input, ToolInput)
    if (call := reading.calls.get(name)) is None:
        # The reply that asked for it is in a part of the chain that is gone.
        call = CallStep(at=at, id=name, turn=turn, tool=tool, arguments="")
        reading.calls[name] = call
        reading.add(call)
    call.state, call.ended, call.failure = "in flight", None, None
    call.started = call.started or at
    call.dispatches += 1
    if given is not None:
        call.arguments, call.key, call.effect = given.arguments, given.key, given.effect
        sent = ProposedCall(id="", tool=tool, arguments=given.arguments)
        call.summary = call.summary or short_arguments(sent)
        passes(reading, call, at)
    return call


def _settle(reading: Reading, given: ModelInput | None) -> list[Step]:
    """What the model is told of its calls is how they ended."""
    changed: list[Step] = []
    for entry in (given.delta or ()) if given else ():
        if not isinstance(entry, Result) or (call := reading.calls.get(entry.call)) is None:
            continue
        if (call.state, call.result) != (entry.state, entry.content):
            call.state, call.result = entry.state, entry.content
            changed.append(call)
    return changed


def started(reading: Reading, event: HistoryEvent) -> list[Step]:
    """An activity's last attempt began; the server writes this down only when the attempt has ended."""
    given = event.activity_task_started_event_attributes
    failed = why(given.last_failure) if given.HasField("last_failure") else None
    reading.attempts[given.scheduled_event_id] = Attempt(given.attempt, failed)
    return []


def completed(reading: Reading, event: HistoryEvent) -> list[Step]:
    """An activity gave its result."""
    given = event.activity_task_completed_event_attributes
    match _ended(reading, given.scheduled_event_id, event, "done"):
        case None:
            _definition(reading, read(given.result, Definition))
            return []
        case ErrandStep() as errand:
            return [errand, *_previewed(reading, errand, given.result, event)]
        case ModelStep() as asked:
            return [asked, *_replied(reading, asked, read(given.result, Reply), event)]
        case CallStep() as call:
            output = read(given.result, ToolOutput)
            call.result = output.content if output else first(given.result).data.decode(errors="replace")
            return [call]


def _previewed(
    reading: Reading, errand: ErrandStep, found: Payloads | None, event: HistoryEvent
) -> list[Step]:
    if not errand.edited:
        return []
    # What a person gave in its place says nothing against the arguments.
    told = Preview(problem=errand.failure) if found is None else read(found, Preview) or Preview()
    return edit_checked(reading, told, moment(event.event_time))


def failed(reading: Reading, event: HistoryEvent) -> list[Step]:
    """An activity's last attempt failed."""
    given = event.activity_task_failed_event_attributes
    step = reading.activities.get(given.scheduled_event_id)
    if isinstance(step, CallStep) and given.failure.application_failure_info.type == FailureType.STALE:
        step.returned += 1
        details = read(given.failure.application_failure_info.details, StaleDetails)
        if details and details.stale.rules and reading.rules:
            take_rules(reading, reading.rules.with_people_of(details.stale.rules))
    return _not_done(reading, given.scheduled_event_id, event, "failed", given.failure)


def timed_out(reading: Reading, event: HistoryEvent) -> list[Step]:
    """No attempt of an activity came back."""
    given = event.activity_task_timed_out_event_attributes
    return _not_done(reading, given.scheduled_event_id, event, "lost", given.failure)


def cancelled(reading: Reading, event: HistoryEvent) -> list[Step]:
    """An activity ended because the run was cancelled."""
    given = event.activity_task_canceled_event_attributes
    return _not_done(reading, given.scheduled_event_id, event, "cancelled", None)


def cancel_requested(reading: Reading, event: HistoryEvent) -> list[Step]:
    """The run stopped a model call, and does not wait for its end."""
    given = event.activity_task_cancel_requested_event_attributes
    step = reading.activities.get(given.scheduled_event_id)
    if not isinstance(step, ModelStep):
        return []
    step.state, step.ended = "cancelled", moment(event.event_time)
    return [step]


def _not_done(
    reading: Reading, scheduling: int, event: HistoryEvent, state: Work, failure: Failure | None
) -> list[Step]:
    step = _ended(reading, scheduling, event, state)
    if step is None:
        return []
    if failure is not None:
        step.failure = why(failure)
    return [step, *(_previewed(reading, step, None, event) if isinstance(step, ErrandStep) else ())]


def _ended(reading: Reading, scheduling: int, event: HistoryEvent, state: Work) -> Dispatched | None:
    step = reading.activities.pop(scheduling, None)
    if step is None:
        return None
    attempt = reading.attempts.pop(scheduling, Attempt(1, None))
    step.state, step.ended = state, moment(event.event_time)
    step.attempts = (step.attempts or 0) + attempt.number
    step.failure = attempt.earlier_failure
    return step


def _definition(reading: Reading, definition: Definition | None) -> None:
    if definition is not None:
        reading.header.model = definition.model
        reading.header.dial = reading.header.dial or definition.dial
        reading.definition = definition
        take_rules(reading, definition.rules)


def _replied(reading: Reading, asked: ModelStep, reply: Reply | None, event: HistoryEvent) -> list[Step]:
    if reply is None:
        return []
    asked.model, asked.finish, asked.text = reply.model, reply.finish, reply.text
    asked.input_tokens, asked.cached_tokens = reply.usage.input_tokens, reply.usage.cached_tokens
    asked.output_tokens = reply.usage.output_tokens
    if asked.aside:
        return []
    proposed: list[Step] = []
    for number, item in enumerate(reply.calls, start=1):
        call = CallStep(
            at=moment(event.event_time),
            id=call_id(asked.turn, number),
            turn=asked.turn,
            tool=item.tool,
            arguments=item.arguments,
            proposed=item.arguments,
            summary=short_arguments(item),
            effect=spec.effect.effect_class if (spec := reading.spec(item.tool)) else None,
            problem=item.problem,
            state="failed" if item.problem else "planned",
            result=item.problem,
        )
        if not item.problem and (ruling := ruling_of(reading, call, call.at)) and ruling.says == "refuse":
            call.state, call.result = "denied", f"Refused: {ruling.reason}"
        reading.calls[call.id] = call
        proposed += reading.add(call)
    asked.calls = tuple(call.id for call in proposed if isinstance(call, CallStep))
    return proposed
