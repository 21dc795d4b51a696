"""What comes due at a gate while nobody decides: the next step of its ladder, its deadline, a reminder.

| at the deadline, `nobody` says | an approval or question | a failed call | an unknown outcome, a gate of the run |
| --- | --- | --- | --- |
| deny | is denied, and the model told | is skipped, and the model told | waits on: nobody else can know |
| ask_again | asks again under a new digest, with the deadline once more | the same | the same |
| escalate | is put to the next step of the ladder, with the deadline once more; after the last it waits on | the same | the same |
| end | ends the run | the same | the same |
"""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from agents import bounds
from agents.events import Moment
from agents.gate import DecisionKind, Gate, GateKind
from agents.gating import open_call_gate, open_model_gate
from agents.ledger import CallState
from agents.preview import Preview
from agents.state import Decided, Outcome, RunState
from agents.turn import close_call

NOBODY = "the deadline"
"""Who decided, where nobody did."""


class Due(NamedTuple):
    """What comes next at a gate."""

    at: datetime
    what: Literal["escalation", "deadline", "reminder"]
    why: str
    """For the timer's summary."""


def due(state: RunState, gate: Gate) -> Due | None:
    """The next thing that comes due at a gate; None where it waits as long as it takes."""
    assert state.definition is not None
    found = [*_escalation(gate), *_deadline(gate)]
    if state.definition.notifies and gate.terms.remind:
        at = gate.since + timedelta(seconds=gate.terms.remind) * (gate.reminded + 1)
        found.append(Due(at, "reminder", f"{gate.id}: reminds {_who(gate)}"))
    return min(found, default=None)


def _escalation(gate: Gate) -> list[Due]:
    ladder = gate.terms.escalate
    if gate.rung >= len(ladder):
        return []
    at = gate.since + timedelta(seconds=sum(rung.after for rung in ladder[: gate.rung + 1]))
    return [Due(at, "escalation", f"{gate.id}: then {', '.join(ladder[gate.rung].to)} may decide too")]


def _deadline(gate: Gate) -> list[Due]:
    if gate.deadline is None:
        return []
    return [Due(gate.deadline, "deadline", f"{gate.id}: deadline for {_who(gate)}, then {gate.terms.nobody}")]


def _who(gate: Gate) -> str:
    return bounds.clip(", ".join(gate.asks), 80)


def come_due(state: RunState, name: str, moment: Moment) -> RunState:
    """The run after everything that has come due at this gate by now."""
    while (gate := state.gates.get(name)) and not state.outcome and not state.cancel:
        next_due = due(state, gate)
        if next_due is None or next_due.at > moment.now:
            break
        match next_due.what:
            case "escalation":
                state = state.with_gate(_climbed(gate))
            case "reminder":
                state = state.with_gate(_told(gate, "reminds", reminded=_reminders(gate, moment.now)))
            case "deadline":
                state = _nobody(state, gate, moment)
    return state


def _reminders(gate: Gate, now: datetime) -> int:
    # One reminder for all that came due while no worker was there.
    assert gate.terms.remind
    return int((now - gate.since) / timedelta(seconds=gate.terms.remind))


def _climbed(gate: Gate) -> Gate:
    return _told(gate, "escalates", rung=gate.rung + 1)


def _told(gate: Gate, news: str, **changes: object) -> Gate:
    told = {"news": news, "notices": gate.notices + 1} if gate.notices else {}
    return gate.model_copy(update={**changes, **told})


def _nobody(state: RunState, gate: Gate, moment: Moment) -> RunState:
    match gate.terms.nobody:
        case "end":
            late = f"nobody decided at gate {gate.id} until {moment.now:%Y-%m-%d %H:%M} UTC"
            return state.ended(Outcome(phase="failed", error=late))
        case "ask_again":
            return _asks_again(state, gate, moment)
        case "escalate":
            if gate.rung >= len(gate.terms.escalate):
                return state.with_gate(gate.model_copy(update={"deadline": None}))
            assert gate.terms.deadline
            later = moment.now + timedelta(seconds=gate.terms.deadline)
            return state.with_gate(_climbed(gate).model_copy(update={"deadline": later}))
        case _:
            return _denied(state, gate, moment)


def _asks_again(state: RunState, gate: Gate, moment: Moment) -> RunState:
    why = f"nobody had decided by {moment.now:%Y-%m-%d %H:%M} UTC"
    if gate.call is None:
        return open_model_gate(state.without_gate(gate.id), gate.reason, moment)
    preview = Preview(text=gate.preview, digest=gate.preview_digest) if gate.preview_digest else None
    call = state.calls[gate.call]
    return open_call_gate(
        state.without_gate(gate.id), call, gate.kind, gate.reason, moment, preview=preview, changed=why
    )


def _denied(state: RunState, gate: Gate, moment: Moment) -> RunState:
    if gate.call is None or gate.kind is GateKind.UNKNOWN:
        return state.with_gate(gate.model_copy(update={"deadline": None}))
    state = closed_by(state, gate, DecisionKind.DENY, NOBODY, moment.now)
    call = state.calls[gate.call]
    late = f"nobody had decided by {moment.now:%Y-%m-%d %H:%M} UTC"
    if gate.kind is GateKind.FAILURE:
        return close_call(state, call, CallState.FAILED, f"Not done, and {late}: {gate.reason}")
    return close_call(state, call, CallState.DENIED, f"Denied: {late}")


def closed_by(
    state: RunState, gate: Gate, kind: DecisionKind, by: str, at: datetime, content: str = ""
) -> RunState:
    """The run without this gate, and with who closed it how on record."""
    decided = Decided(gate=gate.id, digest=gate.digest, kind=kind, by=by, at=at, content=content)
    kept = (*state.decided, decided)[-bounds.KEPT_DECISIONS :]
    return state.without_gate(gate.id).model_copy(update={"decided": kept})
