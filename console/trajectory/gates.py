"""Gates as they open, change and close, read from the memo's changes. Pure."""

from datetime import datetime
from typing import Any

from temporalio.api.common.v1 import Memo

from agents.arguments import short_in_order
from agents.canonical import canonical_json
from agents.gate import Decision, DecisionKind, Gate, GateKind
from console.trajectory.reading import Reading, value
from console.trajectory.steps import DecisionStep, GateStep, Step
from workflows.publish import CARDS

NOBODY = "nobody"
"""How a gate closed that no decision closed: its deadline, or the end of the run."""

AFTER: dict[DecisionKind, str] = {
    DecisionKind.APPROVE: "planned",
    DecisionKind.EDIT: "planned",
    DecisionKind.RETRY: "planned",
    DecisionKind.DID_NOT_HAPPEN: "planned",
    DecisionKind.DENY: "denied",
    DecisionKind.ANSWER: "done",
    DecisionKind.HAPPENED: "done",
    DecisionKind.GIVE_RESULT: "done",
    DecisionKind.SKIP: "failed",
}
"""What an accepted answer makes of its call."""

FIELDS = {"asks": "people", "approved_by": "votes"}
"""Fields of a card that a step calls by another name."""
SHOWN = (
    "tool",
    "rule",
    "asks",
    "needed",
    "requester_counts",
    "deadline",
    "changed",
    "preview",
    "approved_by",
)
"""Fields of a card that cards from before there were rules do not have."""


def gates_of(reading: Reading, memo: Memo, at: datetime) -> list[Step]:
    """Open, change and close gates so that they are those of the memo, where it says anything of them."""
    if CARDS not in memo.fields:
        return []
    shown = {card["digest"]: card for card in value(memo.fields[CARDS]) or ()}
    changed: list[Step] = []
    for gate in [gate for gate in reading.gates.values() if gate.digest not in shown]:
        gate.closed, gate.how = at, NOBODY
        del reading.gates[gate.gate]
        changed.append(gate)
    for digest, card in shown.items():
        if (known := reading.asked.get(digest)) is None:
            changed += _opened(reading, card)
        else:
            changed += _still_open(reading, known, card, at)
    return changed


def _opened(reading: Reading, card: dict[str, Any]) -> list[Step]:
    seen = {**_shown(card), "at": card["since"], "asks": card["kind"], "kind": "gate"}
    names = ("gate", "call", "summary", "reason", "risk", "digest")
    gate = GateStep.model_validate({**{name: card[name] for name in names}, **seen})
    reading.gates[gate.gate] = reading.asked[gate.digest] = gate
    if again := reading.asks_again.pop(gate.gate, None):
        reading.followed[gate.digest] = again
    if call := reading.calls.get(gate.call or ""):
        call.state = "unknown" if gate.asks == GateKind.UNKNOWN else "waiting"
        gate.tool = gate.tool or call.tool
    return reading.add(gate)


def _shown(card: dict[str, Any]) -> dict[str, Any]:
    return {FIELDS.get(name, name): card[name] for name in SHOWN if name in card}


def _still_open(reading: Reading, gate: GateStep, card: dict[str, Any], at: datetime) -> list[Step]:
    """A gate that the run goes on showing: whatever seemed to close it did not, and its card may say more now."""
    changed: list[Step] = []
    if gate.closed is not None:
        gate.closed, gate.how, gate.by = None, None, ()
        reading.gates[gate.gate] = gate
        if (step := reading.closers.pop(gate.digest, None)) is not None:
            step.accepted, step.closes = False, False
            step.reason = "the run did not take it: the gate stayed open"
            changed.append(step)
    was = gate.people
    now = GateStep.model_validate({**gate.model_dump(), **_shown(card)})
    for name in ("people", "votes", "deadline"):
        setattr(gate, name, getattr(now, name))
    if was and was != gate.people:
        changed += reading.note(at, gate.gate, f"now asks {', '.join(gate.people)}")
    return changed


def gate_of(reading: Reading, decision: Decision) -> GateStep | None:
    """The gate that a decision is bound to, open or not."""
    found = (
        gate
        for gate in reversed(reading.asked.values())
        if gate.gate == decision.gate and gate.digest.startswith(decision.digest)
    )
    return next(found, None)


def follow_up(reading: Reading, gate: GateStep, after: Gate) -> None:
    """An accepted decision that leaves its gate open: a vote, a delegation, a question to the agent."""
    reading.followed[gate.digest] = after
    gate.votes = tuple(vote.by for vote in after.votes)


def ask_again(reading: Reading, gate: GateStep, again: Gate) -> None:
    """An edit closes this gate, and another one of the same call opens, or has opened."""
    shown = reading.gates.get(gate.gate, gate)
    if shown is gate:
        reading.asks_again[gate.gate] = again
    else:
        reading.followed[shown.digest] = again


def close(reading: Reading, gate: GateStep, step: DecisionStep, decision: Decision) -> list[Step]:
    """A decision closed the gate; the memo may have said already that it is closed."""
    # After an edit the memo may show the gate that asks again by now.
    asks_again = reading.gates.get(gate.gate, gate) is not gate
    if not asks_again:
        reading.gates.pop(gate.gate, None)
    reading.closers[gate.digest] = step
    gate.closed = gate.closed or step.at
    gate.how, step.closes = str(decision.kind), True
    gate.by = tuple(dict.fromkeys((*gate.votes, decision.by))) if gate.needed > 1 else (decision.by,)
    call = reading.calls.get(gate.call or "")
    if call is not None and decision.arguments is not None:
        call.arguments = canonical_json(decision.arguments)
        spec = reading.spec(call.tool)
        call.summary = short_in_order(spec.parameters if spec else {}, call.arguments)
    if call is not None and decision.kind in AFTER and not asks_again:
        call.state = AFTER[decision.kind]
        call.result = call.result if call.state == "planned" else step.said
    return [gate]
