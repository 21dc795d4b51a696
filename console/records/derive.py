"""Records out of a run's chain of histories, by way of the trajectory's reading of it. Pure."""

from collections.abc import Iterable, Sequence

from agents.effect import Effect
from agents.gate import GateKind
from console.records.records import CallRecord, GateRecord, How, RunRecords
from console.trajectory.derive import History, gap_text, read_chain
from console.trajectory.reading import Reading
from console.trajectory.steps import CallStep, DecisionStep, GateStep

HOW: dict[str | None, How] = {
    "approve": "approved",
    "edit": "edited",
    "deny": "denied",
    "answer": "answered",
    "happened": "settled",
    "did_not_happen": "settled",
    "retry": "settled",
    "give_result": "settled",
    "skip": "settled",
    "end": "ended",
    "nobody": "nobody",
    None: "open",
}

ASKED_BEFORE = frozenset({GateKind.APPROVAL, GateKind.QUESTION})
"""Gates that the rules or the tool put before a call; the others follow from what became of it."""

SENT_AFTER = frozenset({"approve", "edit", "retry", "did_not_happen"})
"""Decisions after which a call is sent, so that whoever made them has seen it before."""


def records_of(run: str, chain: Sequence[History]) -> RunRecords:
    """The records of a run.

    Args:
        run: Its id.
        chain: The executions that continued one another, oldest first.
    """
    reading = read_chain(chain)
    header = reading.header
    return RunRecords(
        run=run,
        agent=header.agent or (reading.definition.agent if reading.definition else None),
        tenant=header.tenant,
        started=header.started,
        definition=reading.definition,
        rules=reading.rules,
        gates=tuple(_gates(reading)),
        calls=tuple(_calls(reading)),
        gaps=tuple(gap_text(part) for part in chain if part.events is None),
    )


def _effect(reading: Reading, tool: str | None) -> Effect | None:
    spec = reading.spec(tool) if tool else None
    return spec.effect if spec else None


def _gates(reading: Reading) -> Iterable[GateRecord]:
    seen: set[str] = set()
    for step in reading.steps:
        if not isinstance(step, GateStep):
            continue
        yield GateRecord(
            run=reading.header.run,
            agent=reading.header.agent,
            tenant=reading.header.tenant,
            gate=step.gate,
            call=step.call,
            tool=step.tool,
            kind=GateKind(step.asks),
            rule=step.rule,
            risk=step.risk,
            effect=_effect(reading, step.tool),
            opened=step.at,
            closed=step.closed,
            by=step.by,
            how=HOW[step.how],
            digest=step.digest,
            asked_again=step.gate in seen and bool(step.changed),
        )
        seen.add(step.gate)


def _calls(reading: Reading) -> Iterable[CallRecord]:
    asked = {gate.call for gate in reading.asked.values() if gate.asks in ASKED_BEFORE}
    for step in reading.steps:
        if isinstance(step, CallStep) and step.problem is None:
            yield _call(reading, step, gated=step.id in asked)


def _call(reading: Reading, step: CallStep, *, gated: bool) -> CallRecord:
    return CallRecord(
        run=reading.header.run,
        agent=reading.header.agent,
        tenant=reading.header.tenant,
        call=step.id,
        tool=step.tool,
        at=step.at,
        proposed=step.proposed or step.arguments,
        arguments=step.arguments,
        key=step.key,
        state=step.state,
        effect=_effect(reading, step.tool),
        dial=reading.dial,
        dispatched=step.dispatches > step.returned,
        gated=gated,
        let_pass_by=_let_pass_by(reading, step.id),
        granted=step.granted,
        override=step.override,
    )


def _let_pass_by(reading: Reading, call: str) -> tuple[str, ...]:
    gates = [gate for gate in reading.asked.values() if gate.call == call and gate.how in SENT_AFTER]
    if gates:
        return gates[-1].by
    # A run with very many open gates shows the oldest only; a decision on another one is known by itself.
    steps = (step for step in reading.steps if isinstance(step, DecisionStep) and step.gate == call)
    decided = [step for step in steps if step.answer in SENT_AFTER and step.accepted is not False]
    return (decided[-1].by or "",) if decided else ()
