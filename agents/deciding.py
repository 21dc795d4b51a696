"""Messages: how what a person sends becomes a change of the run, or is refused with a reason."""

from dataclasses import dataclass
from typing import assert_never

from agents import approving, bounds
from agents.approving import Refused, Settled
from agents.authority import may_not_decide, seat_of
from agents.canonical import digest
from agents.events import Moment
from agents.gate import Decision, DecisionKind, Gate
from agents.gating import ruling_of
from agents.ledger import Call, CallState
from agents.message import DECISIONS, KNOWN, RawMessage, Unreadable, read_message
from agents.preview import Preview, PreviewInput
from agents.state import Outcome, Rejected, RunState
from agents.steered import steer
from agents.steering import Steer
from agents.turn import ask_for, close_call
from agents.waiting import closed_by

SINCE_RULES = frozenset({"arguments", "to", "grant", "signature"})
"""Fields of a decision that a run from before there were rules does not know."""


@dataclass(frozen=True)
class Receipt:
    """The answer to a message: whether it changed the run, and why or why not."""

    accepted: bool
    reason: str


@dataclass(frozen=True)
class EditCheck:
    """What a tool is to say of edited arguments before they can be decided on."""

    gate: str
    input: PreviewInput


def edit_to_check(state: RunState, message: RawMessage) -> EditCheck | None:
    """The check that this message needs before it is received; None where it needs none, or is refused anyway.

    A schema's verdict comes from a library, which must not be part of a replay: an activity gives it.
    """
    try:
        decision = read_message(message, _known(state))
    except Unreadable:
        return None
    if not isinstance(decision, Decision) or decision.kind is not DecisionKind.EDIT:
        return None
    if _objection(state, decision) or _repeated(state, decision):
        return None
    try:
        call, arguments = approving.to_check(state, state.gates[decision.gate], decision)
    except Refused:
        return None
    return EditCheck(decision.gate, PreviewInput(tool=call.tool, arguments=arguments, edited=True))


def receive(
    state: RunState, message: RawMessage, moment: Moment, checked: Preview | None = None
) -> tuple[RunState, Receipt]:
    """Fold in one signal or update, whatever it holds. Refused ones change nothing but the list `rejected`.

    Args:
        state: The run.
        message: The signal or update.
        moment: Now.
        checked: For an edit: what `edit_to_check` asked for.
    """
    try:
        read = read_message(message, _known(state))
    except Unreadable as error:
        return _refuse(state, message.name, error.gate, error.by, str(error), moment)
    if isinstance(read, Decision) and (repeat := _repeated(state, read)):
        return state, Receipt(True, repeat)
    try:
        settled = _taken(state, read, moment, checked)
    except Refused as error:
        gate = read.gate if isinstance(read, Decision) else None
        return _refuse(state, message.name, gate, read.by, str(error), moment)
    return settled.state, Receipt(True, settled.reason)


def _known(state: RunState) -> tuple[str, ...]:
    return DECISIONS if state.before_rules else KNOWN


def _taken(state: RunState, read: Decision | Steer, moment: Moment, checked: Preview | None) -> Settled:
    if isinstance(read, Steer):
        if state.outcome:
            raise Refused(f"the run has ended ({state.outcome.phase})")
        return steer(state, read, moment)
    if objection := _objection(state, read):
        raise Refused(objection)
    if state.rule_set is None and (newer := read.model_fields_set & SINCE_RULES):
        raise Refused(f"{min(newer)}: Extra inputs are not permitted")
    return _settle(state, state.gates[read.gate], read, moment, checked)


def _content(decision: Decision) -> str:
    """What an identical repeat has in common with its first: all but the sender's name for it, and the digest's length."""
    try:
        said = decision.model_dump(mode="json", exclude={"id", "digest", "signature"}, exclude_none=True)
        return digest(said)[:16]
    except ValueError:  # it has no canonical form, or is nested too deeply to be written
        return ""


def _repeated(state: RunState, decision: Decision) -> str | None:
    """What to tell somebody who says again what they have said, and what was taken."""
    earlier = next((d for d in reversed(state.decided) if d.gate == decision.gate), None)
    same = (
        earlier is not None and earlier.digest.startswith(decision.digest) and earlier.kind is decision.kind
    )
    if earlier and same and earlier.content and earlier.content == _content(decision):
        return f"already decided by {earlier.by} at {earlier.at:%Y-%m-%dT%H:%M:%SZ}: {earlier.kind}"
    gate = state.gates.get(decision.gate)
    if (
        gate is None
        or decision.kind is not DecisionKind.APPROVE
        or not gate.digest.startswith(decision.digest)
    ):
        return None
    vote = next((vote for vote in gate.votes if vote.by == decision.by), None)
    if vote is None:
        return None
    return f"already approved by {vote.by} at {vote.at:%Y-%m-%dT%H:%M:%SZ}: {len(gate.votes)} of {gate.terms.needed}"


def _objection(state: RunState, decision: Decision) -> str | None:
    if state.outcome:
        return f"the run has ended ({state.outcome.phase})"
    if state.cancel:
        return f"the run is being cancelled, by {state.cancel.by}"
    gate = state.gates.get(decision.gate)
    if gate is None:
        earlier = next((d for d in reversed(state.decided) if d.gate == decision.gate), None)
        if earlier:
            return f"already decided by {earlier.by} at {earlier.at:%Y-%m-%dT%H:%M:%SZ}: {earlier.kind}"
        waiting = ", ".join(state.gates) or "none"
        return f"no gate {bounds.clip(decision.gate, 60)!r} is open; open gates: {waiting}"
    if not gate.digest.startswith(decision.digest):
        return (
            f"the digest is not that of what {gate.id} asks now ({gate.digest[:16]}); look at its card again"
        )
    if decision.kind not in gate.accepts:
        return f"{gate.id} is a gate of kind {gate.kind}: it takes {', '.join(gate.accepts)}"
    return may_not_decide(state, gate, decision) or _seat_taken(gate, decision)


def _seat_taken(gate: Gate, decision: Decision) -> str | None:
    if decision.kind is not DecisionKind.APPROVE:
        return None
    seat = seat_of(gate, decision.by)
    vote = next((vote for vote in gate.votes if vote.seat == seat), None)
    return f"{vote.by} has approved in that place already" if vote else None


def _refuse(
    state: RunState, name: str, gate: str | None, by: str | None, reason: str, moment: Moment
) -> tuple[RunState, Receipt]:
    rejected = Rejected(
        at=moment.now,
        message=bounds.clip(name, 60),
        gate=gate and bounds.clip(gate, 60),
        by=by and bounds.clip(by, 60),
        reason=bounds.clip(reason, 500),
    )
    return state.reject(rejected), Receipt(False, reason)


def _settle(
    state: RunState, gate: Gate, decision: Decision, moment: Moment, checked: Preview | None
) -> Settled:
    content = _content(decision)
    match decision.kind:
        case DecisionKind.APPROVE:
            return approving.approve(state, gate, decision, moment, content)
        case DecisionKind.EDIT:
            return approving.edit(state, gate, decision, moment, content, checked)
        case DecisionKind.DELEGATE:
            return approving.delegate(state, gate, decision)
        case DecisionKind.ASK:
            return approving.ask(state, gate, decision, moment)
        case _:
            state = closed_by(state, gate, decision.kind, decision.by, moment.now, content)
            return _closed(state, gate, decision, moment)


def _closed(state: RunState, gate: Gate, decision: Decision, moment: Moment) -> Settled:
    """The run after a decision that closes its gate."""
    told = f"{decision.kind} by {decision.by}"
    if decision.kind is DecisionKind.END:
        why = f": {decision.reason or decision.comment}" if decision.reason or decision.comment else ""
        return Settled(
            state.ended(Outcome(phase="failed", error=f"ended by {decision.by} at gate {gate.id}{why}")), told
        )
    if gate.call is None:
        model = state.model.model_copy(update={"phase": "due", "waits": 0})
        return Settled(state.model_copy(update={"model": model}), told)
    call = state.calls[gate.call]
    match decision.kind:
        case DecisionKind.RETRY | DecisionKind.DID_NOT_HAPPEN:
            return _again(state, gate, call, told, moment)
        case DecisionKind.DENY:
            denied = f"Denied by {decision.by}: {decision.reason}"
            state = state.without_grants(tool=call.tool, by=decision.by)
            return Settled(close_call(state, call, CallState.DENIED, denied), told)
        case DecisionKind.ANSWER:
            return Settled(close_call(state, call, CallState.DONE, decision.text or ""), told)
        case DecisionKind.HAPPENED | DecisionKind.GIVE_RESULT:
            return Settled(close_call(state, call, CallState.DONE, decision.result or ""), told)
        case DecisionKind.SKIP:
            why = decision.reason or gate.reason
            skipped = f"Not done, and skipped by {decision.by}: {why}"
            return Settled(close_call(state, call, CallState.FAILED, skipped), told)
        case DecisionKind.APPROVE | DecisionKind.EDIT | DecisionKind.DELEGATE | DecisionKind.ASK:
            raise AssertionError(f"{decision.kind} closes no gate by itself")
        case _:
            assert_never(decision.kind)


def _again(state: RunState, gate: Gate, call: Call, told: str, moment: Moment) -> Settled:
    """The run with a call to be sent once more; where it takes several people to approve, one of them is not enough."""
    call = call.to(CallState.PLANNED)
    if gate.terms.needed > 1 and (ruling := ruling_of(state, call, moment.now)).says == "ask":
        again = ask_for(state.with_call(call), call, ruling, moment)
        return Settled(again, f"{told}; it asks again, since it needs {gate.terms.needed} people")
    return Settled(state.with_call(call), told)
