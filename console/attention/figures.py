"""The figures, out of records of gates. Pure."""

import math
from collections.abc import Callable, Iterable, Sequence

from pydantic import BaseModel

from agents.gate import GateKind
from console.records.records import GateRecord, RunRecords


class Figures(BaseModel):
    """What some gates took of people's attention."""

    gates: int
    open: int
    """Without any decision so far."""
    decided: int
    """By a person."""
    unchanged: int
    """Approved as asked."""
    share_unchanged: float | None
    """Of the approval gates that a person decided; None where there is none."""
    asked_again: int
    median_seconds: float | None
    """From opening to the decision of a person; None without a decision."""
    p90_seconds: float | None
    seconds: float
    """Sum over all decisions: how long runs waited for people, not how long people looked."""


class Group(BaseModel):
    """The figures of the gates of one tool, or one rule."""

    name: str
    figures: Figures


class Attention(BaseModel):
    """The answer of `attention`."""

    runs: int
    gates_per_run: float | None
    all: Figures
    by_tool: tuple[Group, ...]
    by_rule: tuple[Group, ...]


def attention_of(runs: Sequence[RunRecords]) -> Attention:
    """The figures of all gates of these runs."""
    gates = [gate for run in runs for gate in run.gates]
    return Attention(
        runs=len(runs),
        gates_per_run=len(gates) / len(runs) if runs else None,
        all=figures_of(gates),
        by_tool=_grouped(gates, lambda gate: gate.tool or "model calls"),
        by_rule=_grouped(
            [gate for gate in gates if gate.kind is GateKind.APPROVAL],
            lambda gate: gate.rule or "no rule: the dial",
        ),
    )


def _grouped(gates: Sequence[GateRecord], name: Callable[[GateRecord], str]) -> tuple[Group, ...]:
    groups: dict[str, list[GateRecord]] = {}
    for gate in gates:
        groups.setdefault(name(gate), []).append(gate)
    found = [Group(name=group, figures=figures_of(members)) for group, members in groups.items()]
    return tuple(sorted(found, key=lambda group: (-group.figures.seconds, -group.figures.gates, group.name)))


def figures_of(gates: Sequence[GateRecord]) -> Figures:
    """The figures of these gates."""
    seconds = sorted(gate.seconds for gate in gates if gate.seconds is not None)
    approvals = [gate for gate in gates if gate.kind is GateKind.APPROVAL and gate.seconds is not None]
    unchanged = sum(gate.how == "approved" for gate in approvals)
    return Figures(
        gates=len(gates),
        open=sum(gate.how == "open" for gate in gates),
        decided=len(seconds),
        unchanged=unchanged,
        share_unchanged=unchanged / len(approvals) if approvals else None,
        asked_again=sum(gate.asked_again for gate in gates),
        median_seconds=quantile(seconds, 0.5),
        p90_seconds=quantile(seconds, 0.9),
        seconds=sum(seconds),
    )


def quantile(values: Iterable[float], share: float) -> float | None:
    """The smallest of the values that at least `share` of them do not exceed (nearest rank); None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]
