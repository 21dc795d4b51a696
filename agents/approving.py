"""What becomes of an approval: votes, edits, approvals for the rest of the run, delegation, questions to the agent."""

from dataclasses import dataclass
from datetime import timedelta

from agents import bounds
from agents.arguments import short_in_order
from agents.authority import may_not_take_over, seat_of
from agents.canonical import NotCanonical, canonical_json
from agents.events import Moment
from agents.gate import Decision, DecisionKind, Exchange, Gate, GateKind, Grant, Vote
from agents.gating import difference, open_call_gate, ruling_of, spec_of
from agents.ledger import Call, CallState
from agents.preview import Preview
from agents.ruling import Ruling, fields_of
from agents.state import HeldGrant, RunState
from agents.waiting import closed_by

QUESTIONS = 10
"""To the agent at one gate: each is a model call."""

GRANTS = 20
"""That hold at once in a run."""


@dataclass(frozen=True)
class Settled:
    """What a decision made of the run."""

    state: RunState
    reason: str


class Refused(ValueError):
    """A decision that changes nothing; the text says why."""


def approve(state: RunState, gate: Gate, decision: Decision, moment: Moment, content: str) -> Settled:
    """Count an approval; the last one that is needed lets the call go ahead.

    Raises:
        Refused: It carries a grant that cannot be given here.
    """
    assert gate.call is not None
    call = state.calls[gate.call]
    if decision.grant:
        state = _granted(state, gate, decision.by, decision.grant, moment)
    gate = _with_vote(gate, decision.by, moment)
    have, needed = _seats(gate), gate.terms.needed
    if have < needed:
        return Settled(state.with_gate(gate), f"approve by {decision.by}: {have} of {needed}")
    state = closed_by(state, gate, DecisionKind.APPROVE, _names(gate), moment.now, content)
    approvers = tuple(dict.fromkeys(vote.by for vote in gate.votes))
    call = call.to(CallState.PLANNED, approved_by=_names(gate), approvers=approvers)
    return Settled(state.with_call(call), f"approve by {decision.by}")


def _with_vote(gate: Gate, by: str, moment: Moment) -> Gate:
    vote = Vote(by=by, seat=seat_of(gate, by), at=moment.now)
    return gate.model_copy(update={"votes": (*gate.votes, vote)})


def _seats(gate: Gate) -> int:
    return len({vote.seat for vote in gate.votes})


def _names(gate: Gate) -> str:
    return ", ".join(dict.fromkeys(vote.by for vote in gate.votes))


def _granted(state: RunState, gate: Gate, by: str, grant: Grant, moment: Moment) -> RunState:
    call = state.calls[gate.call or ""]
    if gate.terms.needed > 1:
        raise Refused(f"{gate.id} needs {gate.terms.needed} people: approve this call alone")
    if gate.risk == "critical":
        raise Refused("a critical call is approved one by one: approve this call alone")
    _check_condition(state, call, grant)
    held = tuple(each for each in state.grants if each.left and each.until > moment.now)
    if len(held) >= GRANTS:
        raise Refused(f"{GRANTS} approvals for the rest of the run hold already: approve this call alone")
    made = HeldGrant(
        tool=call.tool,
        call=call.id,
        ruling=call.ruling,
        when=grant.when,
        left=grant.calls,
        until=moment.now + timedelta(seconds=grant.lasts),
        by=by,
    )
    return state.model_copy(update={"grants": (*held, made)})


def _check_condition(state: RunState, call: Call, grant: Grant) -> None:
    if grant.when is None:
        return
    known = spec_of(state, call).parameters.get("properties", {})
    if wrong := [name for name in fields_of(grant.when) if name.partition(".")[0] not in known]:
        raise Refused(
            f"when: {call.tool} has no argument {bounds.clip(wrong[0], 60)!r}; it has {', '.join(known)}"
        )


def to_check(state: RunState, gate: Gate, decision: Decision) -> tuple[Call, str]:
    """The call of an edit and its new arguments as canonical JSON, as far as that is known without its tool.

    Raises:
        Refused: They are no change, or nothing that a call can carry.
    """
    call = state.calls[gate.call or ""]
    try:
        arguments = canonical_json(decision.arguments)
    except NotCanonical as error:
        raise Refused(bounds.clip(f"arguments: {error}", 300)) from None
    if arguments == call.arguments:
        raise Refused("the arguments are what they were: approve the call instead")
    return call, arguments


def edit(
    state: RunState, gate: Gate, decision: Decision, moment: Moment, content: str, checked: Preview | None
) -> Settled:
    """Approve other arguments: the call goes ahead with them, or asks again where that takes more than this approval.

    Args:
        state: The run.
        gate: The gate, whose digest fits.
        decision: The edit.
        moment: Now.
        content: Digest of what the decision says.
        checked: What the tool says of the new arguments.

    Raises:
        Refused: They do not fit the tool, or the rules refuse them.
    """
    call, arguments = to_check(state, gate, decision)
    if checked is None:
        raise Refused("the arguments could not be checked; send it again")
    if checked.problem:
        raise Refused(checked.problem)
    changed = difference(call.arguments, arguments)
    note = f"{decision.by} changed the arguments: {changed}"
    edited = _edited(state, call, arguments, f"{call.edited}; {note}" if call.edited else note)
    ruling = ruling_of(state, edited, moment.now)
    if ruling.says == "refuse":
        raise Refused(f"not with these arguments: {ruling.reason}")
    if ruling.says == "allow" or _is_enough(state, gate, edited, ruling):
        state = closed_by(state, gate, DecisionKind.EDIT, decision.by, moment.now, content)
        passed = edited.to(
            CallState.PLANNED,
            approved_by=decision.by,
            approvers=(decision.by,),
            ruling=ruling.digest,
            preview=None,
            shown="",
        )
        return Settled(state.with_call(passed), f"edit by {decision.by}: {changed}")
    again = _asks_again(state, gate, edited, ruling, checked, moment)
    return Settled(
        again,
        f"edit by {decision.by}: {changed}. {gate.id} asks again, for this call as it is now "
        f"({again.gates[gate.id].digest[:16]}): {_because(gate, ruling, checked)}",
    )


def _edited(state: RunState, call: Call, arguments: str, note: str) -> Call:
    short = short_in_order(spec_of(state, call).parameters, arguments)
    return call.model_copy(update={"arguments": arguments, "summary": short, "edited": note})


def _is_enough(state: RunState, gate: Gate, edited: Call, ruling: Ruling) -> bool:
    """Whether the one who edits has seen all there is, and may decide on it alone."""
    return (
        not spec_of(state, edited).previews
        and ruling.digest == state.calls[edited.id].ruling
        and gate.terms.needed == 1
    )


def _asks_again(
    state: RunState, gate: Gate, edited: Call, ruling: Ruling, checked: Preview, moment: Moment
) -> RunState:
    previews = spec_of(state, edited).previews
    opened = open_call_gate(
        state.without_gate(gate.id),
        edited,
        GateKind.APPROVAL,
        ruling.reason,
        moment,
        ruling=ruling,
        preview=checked if previews else None,
        changed=edited.edited,
    )
    kept: dict[str, object] = {"thread": gate.thread}
    if ruling.digest == state.calls[edited.id].ruling:
        # Other terms may ask other people, whose place nobody has passed on, and another ladder.
        kept |= {"delegated": gate.delegated, "rung": gate.rung}
    return opened.with_gate(opened.gates[gate.id].model_copy(update=kept))


def _because(gate: Gate, ruling: Ruling, checked: Preview) -> str:
    if checked.text:
        return "look at what it would do, and approve that"
    if ruling.terms.needed > 1:
        return f"it needs {ruling.terms.needed} people"
    return f"other rules hold for it: {ruling.reason}"


def delegate(state: RunState, gate: Gate, decision: Decision) -> Settled:
    """Let another person decide in one's place.

    Raises:
        Refused: That person cannot.
    """
    to = decision.to or ""
    if objection := may_not_take_over(state, gate, decision.by, to):
        raise Refused(objection)
    gate = gate.model_copy(update={"delegated": {**gate.delegated, to: decision.by}})
    return Settled(state.with_gate(gate), f"{to} may decide for {decision.by}")


def ask(state: RunState, gate: Gate, decision: Decision, moment: Moment) -> Settled:
    """Put a question to the agent; the gate stays open.

    Raises:
        Refused: There have been enough.
    """
    if len(gate.thread) >= QUESTIONS:
        raise Refused(f"{gate.id} has had {QUESTIONS} questions: decide, or deny with what is missing")
    question = (decision.text or "").encode(errors="replace").decode()
    if len(question.encode()) > bounds.QUESTION_BYTES:
        raise Refused(f"the question is longer than {bounds.QUESTION_BYTES} bytes")
    asked = Exchange(by=decision.by, question=question, at=moment.now)
    gate = gate.model_copy(update={"thread": (*gate.thread, asked)})
    return Settled(state.with_gate(gate), f"asked by {decision.by}; the answer comes onto the card")
