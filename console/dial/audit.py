"""What past runs say of the dial: gates that never changed anything, and irreversible calls that nobody saw. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from pydantic import AwareDatetime, BaseModel

from agents.effect import Dial, Effect, verdict
from agents.gate import GateKind
from agents.ruling import CAREFUL
from console.attention.figures import quantile
from console.records.records import CallRecord, GateRecord, RunRecords


class OverGated(BaseModel):
    """Gates that were approved as they were asked, every time."""

    agent: str | None
    tool: str
    rule: str | None
    """By which they asked; None: the dial."""
    gates: int
    seconds: float
    """How long runs waited for these decisions, in all."""
    median_seconds: float
    last: AwareDatetime
    advice: str


class Unseen(BaseModel):
    """An irreversible call that was sent without any person having decided on it."""

    run: str
    agent: str | None
    call: str
    tool: str
    effect: str
    dial: Dial | None
    arguments: str
    at: AwareDatetime
    override: str | None
    """Under which it went ahead."""


class Audit(BaseModel):
    """The answer of `dial audit`."""

    runs: int
    gates: int
    calls: int
    over_gated: tuple[OverGated, ...]
    """The most human time first."""
    unseen: tuple[Unseen, ...]
    overridden: tuple[Unseen, ...]
    """Those that a named override let go ahead."""
    effect_unknown: int
    """Calls that were sent, with the definition of their tool in a part of the history that is gone."""


def audit_of(runs: Sequence[RunRecords], min_gates: int) -> Audit:
    """Audit these runs.

    Args:
        runs: Their records.
        min_gates: Gates of one tool and rule that must have been approved unchanged before they count as too many.
    """
    calls = [call for run in runs for call in run.calls]
    gates = [gate for run in runs for gate in run.gates]
    sent = [call for call in calls if call.dispatched]
    unseen = [_unseen(call) for call in sent if _nobody_saw(call)]
    return Audit(
        runs=len(runs),
        gates=len(gates),
        calls=len(calls),
        over_gated=tuple(_over_gated(runs, min_gates)),
        unseen=tuple(item for item in unseen if item.override is None),
        overridden=tuple(item for item in unseen if item.override is not None),
        effect_unknown=sum(call.effect is None for call in sent),
    )


def _nobody_saw(call: CallRecord) -> bool:
    irreversible = call.effect is not None and call.effect.writes and not call.effect.reversible
    return irreversible and not call.let_pass_by and call.granted is None


def _unseen(call: CallRecord) -> Unseen:
    return Unseen(
        run=call.run,
        agent=call.agent,
        call=call.call,
        tool=call.tool,
        effect=str(call.effect),
        dial=call.dial,
        arguments=call.arguments,
        at=call.at,
        override=call.override,
    )


def _over_gated(runs: Sequence[RunRecords], min_gates: int) -> Iterable[OverGated]:
    groups: dict[tuple[str | None, str, str | None], list[GateRecord]] = {}
    dials: dict[str, Dial | None] = {call.run + call.call: call.dial for run in runs for call in run.calls}
    for gate in (gate for run in runs for gate in run.gates):
        if gate.kind is GateKind.APPROVAL and gate.tool is not None and gate.how != "open":
            groups.setdefault((gate.agent, gate.tool, gate.rule), []).append(gate)
    found = []
    for (agent, tool, rule), gates in groups.items():
        if len(gates) < min_gates or any(gate.how != "approved" for gate in gates):
            continue
        seconds = [gate.seconds for gate in gates if gate.seconds is not None]
        dial = dials.get(gates[-1].run + (gates[-1].call or ""))
        found.append(
            OverGated(
                agent=agent,
                tool=tool,
                rule=rule,
                gates=len(gates),
                seconds=sum(seconds),
                median_seconds=quantile(seconds, 0.5) or 0.0,
                last=_latest(gates),
                advice=advice(tool, rule, gates[-1].effect, dial),
            )
        )
    return sorted(found, key=lambda group: -group.seconds)


def _latest(gates: Sequence[GateRecord]) -> datetime:
    return max(gate.opened for gate in gates)


def advice(tool: str, rule: str | None, effect: Effect | None, dial: Dial | None) -> str:
    """What to change so that such calls ask less often."""
    if effect is not None and effect.writes and not effect.reversible:
        narrower = f", or narrow the condition of rule {rule!r}" if rule else ""
        if effect.risk == "critical":
            return f"{effect}: every one of these is approved by itself, as it should be{narrower}"
        return (
            f"{effect}: without a gate nobody would see it, so make the gate cheaper: one approval may hold for further "
            f"calls of its run (approve --for-run N --lasts TIME --when CONDITION){narrower}"
        )
    if rule is not None:
        return f"narrow the condition of rule {rule!r}, take {tool} out of it, or give it a less careful dial"
    if effect is None or dial is None:
        return f"look at what {tool} does: a rule may let some of its calls go ahead"
    quieter = [
        other for other in CAREFUL[CAREFUL.index(dial) + 1 :] if verdict(effect, other).says == "allow"
    ]
    if not quieter:
        return f"let a rule allow the calls of {tool} whose arguments are always fine, under an override where it is grave"
    return (
        f"{effect}: it goes ahead at dial {quieter[0]}; give {tool} that dial by a rule, or allow it for the arguments "
        "that are always fine"
    )
