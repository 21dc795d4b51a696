"""What people told a run: decisions and steering, read from its signals and updates. Pure."""

from collections.abc import Iterable
from datetime import datetime

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.history.v1 import HistoryEvent

from agents.arguments import BadArguments, canonical_arguments
from agents.canonical import NotCanonical, canonical_json
from agents.gate import Decision, DecisionKind
from agents.gating import difference
from agents.message import RawMessage, Unreadable, read_message
from agents.preview import Preview
from agents.steering import STEERING, Say, Steer
from console.text import duration
from console.trajectory.gates import NOBODY, ask_again, close, follow_up, gate_of, gates_of
from console.trajectory.judging import Judged, check_of, judge
from console.trajectory.reading import Reading, Sent, encoding, first, moment, value, why
from console.trajectory.steps import DecisionStep, SteerStep, Step
from workflows.publish import MEMO_CARDS


def memo_changed(reading: Reading, event: HistoryEvent) -> list[Step]:
    """The open gates have changed, or what their cards say."""
    at = moment(event.event_time)
    # Whatever has come by now the run has taken, but where it waits for a check.
    taken = [] if reading.checking else _take(reading, at, patient=False)
    memo = event.workflow_properties_modified_event_attributes.upserted_memo
    return [*taken, *gates_of(reading, memo, at)]


def signaled(reading: Reading, event: HistoryEvent) -> list[Step]:
    """Somebody sent a signal. Whether it was accepted follows from what the run knew."""
    given = event.workflow_execution_signaled_event_attributes
    sent = _sent(reading, event, "signal", given.signal_name, given.input, given.identity)
    reading.queue.append(sent)
    return [*_take(reading, sent.step.at), *reading.add(sent.step)]


def edit_checked(reading: Reading, checked: Preview, at: datetime) -> list[Step]:
    """A tool has said whether edited arguments fit it: now the run takes the edit, and what has come after it."""
    reading.checking, reading.checked = False, checked
    return _take(reading, at)


def update_accepted(reading: Reading, event: HistoryEvent) -> list[Step]:
    """Somebody's update arrived at the run; its answer follows."""
    request = event.workflow_execution_update_accepted_event_attributes.accepted_request
    sent = _sent(reading, event, "update", request.input.name, request.input.args, request.meta.identity)
    reading.updates[request.meta.update_id] = sent
    if check_of(reading, sent.message, sent.step.at):
        reading.queue.append(sent)
    return reading.add(sent.step)


def update_completed(reading: Reading, event: HistoryEvent) -> list[Step]:
    """The run has answered an update."""
    given = event.workflow_execution_update_completed_event_attributes
    sent = reading.updates.pop(given.meta.update_id, None)
    if sent is None:
        return []
    step, at = sent.step, moment(event.event_time)
    checked = _checked(reading, sent)
    if given.outcome.HasField("failure"):
        step.accepted, step.reason = False, why(given.outcome.failure)
    else:
        receipt = value(first(given.outcome.success)) or {}
        step.accepted, step.reason = receipt.get("accepted"), str(receipt.get("reason", ""))
    told = _accepted(reading, sent, checked, at) if step.accepted else []
    return [step, *told, *_take(reading, at)]


def _checked(reading: Reading, sent: Sent) -> Preview | None:
    """What the check of an update has found; it does not hold up what came after it any more."""
    if sent not in reading.queue:
        return None
    first_one = reading.queue[0] is sent
    reading.queue = [other for other in reading.queue if other is not sent]
    checked, reading.checked = (reading.checked, None) if first_one else (None, reading.checked)
    return checked


def _take(reading: Reading, at: datetime, *, patient: bool = True) -> list[Step]:
    """Judge the signals that the run has taken by now, in their order.

    Args:
        reading: What is known of the run.
        at: Now.
        patient: An edit holds up what came after it until its arguments are checked.
    """
    changed: list[Step] = []
    while reading.queue:
        sent = reading.queue[0]
        waits = reading.checked is None and patient and check_of(reading, sent.message, at) is not None
        if sent.step.door == "update" or waits:
            break
        reading.queue.pop(0)
        checked, reading.checked = reading.checked, None
        changed += [sent.step, *_judged(reading, sent, checked, at)]
    return changed


def _judged(reading: Reading, sent: Sent, checked: Preview | None, at: datetime) -> list[Step]:
    """Judge a signal, and write down what it did."""
    step = sent.step
    judged = judge(reading, sent.message, at, checked=checked)
    step.accepted, step.reason = judged.receipt.accepted, judged.receipt.reason
    if step.accepted:
        changed = _apply(reading, sent, judged)
        if isinstance(step, DecisionStep) and step.closes:
            # The run's own words may hold the digest of a gate that asks again, which is not known here.
            step.reason = ""
        return changed
    gate = sent.decision and gate_of(reading, sent.decision)
    if sent.decision is not None and gate is None and len(reading.gates) >= MEMO_CARDS:
        # The memo holds the oldest cards only: the gate may have been open without one.
        step.accepted, step.reason = None, ""
    return []


def _accepted(reading: Reading, sent: Sent, checked: Preview | None, at: datetime) -> list[Step]:
    """Write down what an update did that the run has accepted."""
    decision = sent.decision
    gate = decision and gate_of(reading, decision)
    reopened = gate if gate and gate.how == NOBODY else None
    judged = judge(reading, sent.message, at, checked=checked, reopened=reopened)
    if judged.receipt.accepted:
        return _apply(reading, sent, judged)
    if reopened and decision and isinstance(sent.step, DecisionStep):
        # Too little is known of the run to follow it, but it said yes, and the gate is gone.
        return close(reading, reopened, sent.step, decision)
    return []


def _apply(reading: Reading, sent: Sent, judged: Judged) -> list[Step]:
    reading.state = judged.state.model_copy(update={"gates": {}, "calls": {}, "entries": (), "outcome": None})
    if sent.decision is None or not isinstance(sent.step, DecisionStep):
        if isinstance(sent.step, SteerStep) and sent.step.name == "say":
            reading.unseen.append(sent.step)
        return []
    gate = gate_of(reading, sent.decision)
    if gate is None or gate.how not in {None, NOBODY}:
        return []
    after = judged.state.gates.get(gate.gate)
    if after is not None and after.digest == gate.digest:
        follow_up(reading, gate, after)
        return []
    if after is not None:
        ask_again(reading, gate, after)
    return close(reading, gate, sent.step, sent.decision)


def _sent(
    reading: Reading, event: HistoryEvent, door: str, name: str, payloads: Payloads, sender: str
) -> Sent:
    message = RawMessage(name, list(_raw(payloads.payloads)))
    came = {"at": moment(event.event_time), "door": door, "name": name, "sender": sender}
    step = (SteerStep if name in STEERING else DecisionStep).model_validate(came)
    try:
        read = read_message(message)
    except Unreadable as error:
        step.by = error.by
        if isinstance(step, DecisionStep):
            step.gate = error.gate
        return Sent(message, None, step)
    step.by = read.by
    if isinstance(read, Steer):
        assert isinstance(step, SteerStep)
        step.said = (
            read.text
            if isinstance(read, Say)
            else getattr(read, "reason", None) or getattr(read, "gate", None)
        )
        step.policy = read.policy if isinstance(read, Say) else None
        return Sent(message, None, step)
    assert isinstance(step, DecisionStep)
    step.gate, step.answer, step.said = read.gate, read.kind, _said(reading, read)
    return Sent(message, read, step)


def _raw(payloads: Iterable[Payload]) -> Iterable[tuple[str, bytes]]:
    return ((encoding(payload), payload.data) for payload in payloads)


def _said(reading: Reading, decision: Decision) -> str | None:
    """What came with a decision, in one line."""
    said = decision.reason or decision.text or decision.result
    if decision.kind is DecisionKind.EDIT:
        said = _edited(reading, decision)
    elif decision.kind is DecisionKind.DELEGATE:
        said = f"to {decision.to}"
    elif decision.grant is not None:
        when = f" where {decision.grant.when}" if decision.grant.when else ""
        said = f"and {decision.grant.calls} more of this tool{when} within {duration(decision.grant.lasts)}"
    return "; ".join(part for part in (said, decision.comment) if part) or None


def _edited(reading: Reading, decision: Decision) -> str:
    call = reading.calls.get(decision.gate)
    try:
        after = canonical_json(decision.arguments)
        return difference(canonical_arguments(call.arguments), after) if call else after
    except (BadArguments, NotCanonical) as error:
        return str(error)
