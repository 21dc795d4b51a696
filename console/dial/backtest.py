"""What other rules would have asked in past runs, call by call, from what happened. Pure: no model, no tool, no clock."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel

from agents.arguments import BadArguments, parsed
from agents.effect import Dial
from agents.gate import GateKind
from agents.rules import RuleSet, Terms
from agents.ruling import Ruling, rule_on
from console.attention.figures import quantile
from console.dial.terms import terms_text
from console.records.records import CallRecord, GateRecord, RunRecords

RulesOf = Callable[[str], RuleSet]
"""The rules to try, by the name of the agent."""

Fate = Literal["asked", "went ahead", "refused"]
FATES: dict[str, Fate] = {"ask": "asked", "allow": "went ahead", "refuse": "refused"}

What = Literal["vanished", "appeared", "refused", "released", "terms"]
"""The gate would not have opened; it would have; the call would have been refused; it would have gone ahead though it had
been refused; the gate would have asked other people, or on other terms."""


class Change(BaseModel):
    """One call that would have fared otherwise."""

    what: What
    run: str
    agent: str | None
    call: str
    tool: str
    arguments: str
    """As the model wrote them."""
    at: AwareDatetime
    before: Fate
    after: Fate
    why: str
    """The new rules' reason; for other terms, what they are."""
    rule: str | None
    seconds: float | None = None
    """Human time: saved where the gate would not have opened, spent where it would; None where nothing tells."""


class Backtest(BaseModel):
    """The answer of `dial backtest`."""

    runs: int
    calls: int
    """That could be ruled on."""
    unchanged: int
    changes: tuple[Change, ...]
    saved_seconds: float
    """As they were: the decisions on gates that would not have opened."""
    spent_seconds: float
    """An estimate: the median of the decisions on that tool in these runs, or else of all of them."""
    without_estimate: int
    """Gates that would have opened, with no decision to estimate them by."""
    not_ruled: int
    """Calls whose tool or dial is in a part of the history that is gone."""


class _Decisions:
    """How long people took in these runs."""

    def __init__(self, gates: Iterable[GateRecord]) -> None:
        self._by_tool: dict[str | None, list[float]] = {}
        self._all: list[float] = []
        self._by_call: dict[tuple[str, str | None], float] = {}
        for gate in gates:
            if gate.kind is GateKind.APPROVAL and gate.seconds is not None:
                self._by_tool.setdefault(gate.tool, []).append(gate.seconds)
                self._all.append(gate.seconds)
                of_call = (gate.run, gate.call)
                self._by_call[of_call] = self._by_call.get(of_call, 0.0) + gate.seconds

    def actual(self, call: CallRecord) -> float | None:
        """What the call's own gates took; None where nobody decided."""
        return self._by_call.get((call.run, call.call))

    def estimate(self, tool: str) -> float | None:
        """What a decision on this tool takes; None where nothing tells."""
        return quantile(self._by_tool.get(tool) or self._all, 0.5)


class _Ruled(NamedTuple):
    call: CallRecord
    old: Ruling
    new: Ruling


def backtest_of(runs: Sequence[RunRecords], rules_of: RulesOf, dial: Dial | None = None) -> Backtest:
    """Hold other rules against what happened.

    Args:
        runs: The records of past runs.
        rules_of: The rules to try, for an agent's runs.
        dial: In place of the runs' own dials; None: theirs.
    """
    decisions = _Decisions(gate for run in runs for gate in run.gates)
    ruled = [item for run in runs for item in _ruled(run, rules_of(run.agent or ""), dial)]
    changes = [change for item in ruled if (change := _change(item, decisions))]
    appeared = [change for change in changes if change.what == "appeared"]
    return Backtest(
        runs=len(runs),
        calls=len(ruled),
        unchanged=len(ruled) - len(changes),
        changes=tuple(changes),
        saved_seconds=sum(
            change.seconds or 0.0 for change in changes if change.what in {"vanished", "refused"}
        ),
        spent_seconds=sum(change.seconds or 0.0 for change in appeared),
        without_estimate=sum(change.seconds is None for change in appeared),
        not_ruled=sum(len(run.calls) for run in runs) - len(ruled),
    )


def _ruled(run: RunRecords, rules: RuleSet, dial: Dial | None) -> Iterable[_Ruled]:
    for call in run.calls:
        spec = run.definition.tool(call.tool) if run.definition else None
        if spec is None or call.dial is None:
            continue
        try:
            arguments = parsed(call.proposed)
        except BadArguments:
            continue
        # As of then: an override that has expired since would have let it go ahead.
        old = rule_on(spec, call.dial, run.rules or RuleSet(), arguments, call.at)
        yield _Ruled(call, old, rule_on(spec, dial or call.dial, rules, arguments, call.at))


def _change(item: _Ruled, decisions: _Decisions) -> Change | None:
    call, new = item.call, item.new
    before, after = fate_of(call), FATES[new.says]
    terms = _other_terms(item.old.terms, new.terms)
    if before == after and not (after == "asked" and terms):
        return None
    what = _what(before, after)
    seconds = None
    if what == "appeared":
        seconds = decisions.estimate(call.tool)
    elif before == "asked" and what != "terms":
        seconds = decisions.actual(call)
    return Change(
        what=what,
        run=call.run,
        agent=call.agent,
        call=call.call,
        tool=call.tool,
        arguments=call.proposed,
        at=call.at,
        before=before,
        after=after,
        why=terms if what == "terms" else new.reason,
        rule=new.rule,
        seconds=seconds,
    )


def fate_of(call: CallRecord) -> Fate:
    """What became of a call when the model asked for it."""
    if call.gated or call.granted is not None:
        return "asked"
    return "refused" if call.state == "denied" else "went ahead"


def _what(before: Fate, after: Fate) -> What:
    if before == after:
        return "terms"
    if after == "refused":
        return "refused"
    if after == "asked":
        return "appeared"
    return "vanished" if before == "asked" else "released"


def _other_terms(old: Terms, new: Terms) -> str:
    """The new terms in words, where they are others; reminders are none of an approval's terms."""
    same = old.model_copy(update={"remind": None}) == new.model_copy(update={"remind": None})
    return "" if same else f"{terms_text(new)} instead of {terms_text(old)}"
