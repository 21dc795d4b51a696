"""The backtest of rules: which gates would have appeared or vanished in past runs, and what that costs people."""

from typing import Any

import pytest

from agents.effect import Dial
from agents.rulebook import Rulebook
from agents.rules import RuleSet
from console.dial.backtest import Backtest, Change, backtest_of
from console.dial.backtest_command import backtest_parts
from console.records.derive import records_of
from console.records.records import RunRecords
from tests.past import Past, card, rules

LARGE = {"field": "amount", "is": ">", "value": 100}


def tried(runs: list[RunRecords], new: RuleSet, dial: Dial | None = None) -> Backtest:
    return backtest_of(runs, Rulebook(new, {}).for_agent, dial)


def changed(found: Backtest) -> list[tuple[str, str, str, str]]:
    return [(change.what, change.call, change.before, change.after) for change in found.changes]


def paid(
    *amounts: float, run: str = "r1", seconds: float = 10, kind: str = "approve", **changes: Any
) -> RunRecords:
    """A supervised run with a payment a turn that ann decides on."""
    past = Past(run, rules=rules(), **changes)
    said: dict[str, Any] = {"reason": "no"} if kind == "deny" else {}
    for turn, amount in enumerate(amounts, start=1):
        gate = f"t{turn}.c1"
        past.replies(("pay", amount)).shows(card(gate, since=past.now.isoformat())).wait(seconds)
        past.decides(gate, kind, **said).hides(gate)
        if kind == "approve":
            past.makes(gate, "pay", amount)
    return records_of(run, past.chain)


def free(*amounts: float, run: str = "r1", tool: str = "pay") -> RunRecords:
    """An autonomous run with a call a turn that nobody decides on."""
    past = Past(run, dial=Dial.AUTONOMOUS, rules=rules())
    for turn, amount in enumerate(amounts, start=1):
        past.replies((tool, amount)).makes(f"t{turn}.c1", tool, amount)
    return records_of(run, past.chain)


def test_rules_as_they_were_change_nothing() -> None:
    found = tried([paid(5, 50), free(7, run="r2")], rules())

    assert (found.runs, found.calls, found.unchanged, found.changes) == (2, 3, 3, ())
    assert (found.saved_seconds, found.spent_seconds) == (0, 0)


def test_gates_that_vanish_save_the_seconds_that_they_took() -> None:
    small = rules({"name": "small", "tools": ["pay"], "when": {**LARGE, "is": "<="}, "verdict": "allow"})
    found = tried([paid(5, 500, seconds=30)], small)

    assert changed(found) == [("vanished", "t1.c1", "asked", "went ahead")]
    assert (found.saved_seconds, found.changes[0].seconds, found.changes[0].rule) == (30, 30, "small")
    assert "small" in found.changes[0].why


def test_gates_that_appear_cost_what_decisions_on_that_tool_took_at_the_median() -> None:
    asks = rules({"name": "large", "tools": ["pay"], "when": LARGE, "verdict": "ask"})
    known = [paid(1, run=f"k{seconds}", seconds=seconds) for seconds in (10, 20, 90)]
    saved = (
        Past("s", dial=Dial.PROPOSE, rules=rules()).replies(("save", 1)).shows(card("t1.c1", "save")).wait(1)
    )
    others = [records_of("s", saved.decides("t1.c1", "approve").hides("t1.c1").chain)] * 9
    found = tried([free(5, 500), *known, *others], asks)

    assert changed(found) == [("appeared", "t2.c1", "went ahead", "asked")]
    assert (found.spent_seconds, found.saved_seconds, found.without_estimate) == (20, 0, 0)


def test_where_nobody_decided_on_that_tool_the_median_of_all_decisions_stands_in() -> None:
    found = tried(
        [free(5, tool="save"), paid(1, run="k", seconds=40)],
        rules({"name": "s", "tools": ["save"], "verdict": "ask"}),
    )

    assert (found.spent_seconds, [change.seconds for change in found.changes]) == (40, [40])


def test_where_nobody_decided_anything_there_is_no_estimate() -> None:
    found = tried([free(5)], rules({"name": "all", "tools": ["*"], "verdict": "ask"}))

    assert (found.spent_seconds, found.without_estimate) == (0, 1)
    assert "1 more gate, with nothing to estimate by" in screen(found)


def test_another_dial_can_be_tried_with_them() -> None:
    runs = [paid(5), free(7, run="r2")]

    assert changed(tried(runs, rules(), Dial.AUTONOMOUS)) == [("vanished", "t1.c1", "asked", "went ahead")]
    assert changed(tried(runs, rules(), Dial.SUPERVISED)) == [("appeared", "t1.c1", "went ahead", "asked")]


def test_what_would_have_been_refused_and_what_no_longer_is_are_told() -> None:
    no_pay = {"name": "no", "tools": ["pay"], "verdict": "refuse"}
    refused = Past("r3", rules=rules(no_pay)).replies(("pay", 5))
    told = {
        "kind": "result",
        "call": "t1.c1",
        "provider_id": "p",
        "tool": "pay",
        "state": "denied",
        "content": "Refused",
    }
    given = {"turn": 2, "definition": "", "start": 0, "prefix": "", "total": 1, "delta": [told]}
    refused.begins("t2.model", "agent.model", given)
    before = records_of("r3", refused.chain)

    assert changed(tried([free(5)], rules(no_pay))) == [("refused", "t1.c1", "went ahead", "refused")]
    assert changed(tried([before], rules(no_pay))) == []
    assert changed(tried([before], rules())) == [("appeared", "t1.c1", "refused", "asked")]
    assert changed(tried([before], rules(), Dial.AUTONOMOUS)) == [
        ("released", "t1.c1", "refused", "went ahead")
    ]


def test_other_terms_of_the_same_gate_are_told() -> None:
    terms = {"approvers": ["boss"], "needed": 2, "deadline": "4h", "nobody": "end", "requester_counts": False}
    found = tried([paid(5)], rules({"name": "boss", "tools": ["pay"], "terms": terms}))

    assert changed(found) == [("terms", "t1.c1", "asked", "asked")]
    assert found.changes[0].why == "2 of boss; not the requester; within 4 h, else end instead of anyone"
    assert (found.saved_seconds, found.spent_seconds, found.changes[0].seconds) == (0, 0, None)


def test_a_call_that_somebody_edited_is_ruled_on_as_the_model_asked_for_it() -> None:
    past = Past(rules=rules()).replies(("pay", 500)).shows(card("t1.c1")).wait(10)
    past.decides("t1.c1", "edit", arguments={"amount": 5})
    past.activity("t1.c1.edit", "agent.preview", None, {"text": ""})
    past.hides("t1.c1").makes("t1.c1", "pay", 5)
    asks = rules({"name": "large", "tools": ["pay"], "when": LARGE, "verdict": "ask"})

    assert changed(tried([records_of("r1", past.chain)], asks, Dial.AUTONOMOUS)) == []


def test_rules_for_other_agents_say_nothing() -> None:
    other = rules({"name": "all", "agents": ["other"], "tools": ["*"], "verdict": "refuse"})

    assert changed(tried([free(5)], other)) == []


def test_an_override_that_has_expired_by_now_counts_as_of_then() -> None:
    override = {"name": "week", "by": "cto", "reason": "go", "until": "2026-01-02T00:00:00Z"}
    some = rules({"name": "go", "tools": ["launch"], "verdict": "allow", "override": override})
    past = Past(rules=rules()).replies(("launch", 1)).shows(card("t1.c1", "launch")).wait(5)
    run = records_of("r1", past.decides("t1.c1", "approve").hides("t1.c1").makes("t1.c1", "launch", 1).chain)

    assert changed(tried([run], some)) == [("vanished", "t1.c1", "asked", "went ahead")]


def test_a_call_whose_definition_is_gone_is_left_out_and_counted() -> None:
    past = Past(dial=Dial.AUTONOMOUS).replies(("pay", 5)).makes("t1.c1", "pay")
    past.events[:4] = past.events[:1]
    found = tried([records_of("r1", past.chain)], rules({"name": "all", "tools": ["*"], "verdict": "ask"}))

    assert (found.calls, found.not_ruled, found.changes) == (0, 1, ())
    assert "1 call left out" in screen(found)


def screen(found: Backtest) -> str:
    return "\n".join(str(line) for line in backtest_parts(found, "rules.yaml"))


def test_the_screen_tells_every_kind_of_change_and_says_what_is_an_estimate() -> None:
    asks = rules(
        {"name": "small", "tools": ["pay"], "when": {**LARGE, "is": "<="}, "verdict": "allow"},
        {"name": "saves", "tools": ["save"], "verdict": "ask"},
    )
    shown = screen(tried([paid(5, seconds=30), free(7, run="r2", tool="save")], asks))

    assert "2 runs, 2 calls under rules.yaml: 0 as they were" in shown
    assert "1 would not have asked: 1 pay" in shown
    assert 'r1 t1.c1  pay({"amount": 5}): asked → went ahead (30 s)' in shown
    assert 'r2 t1.c1  save({"amount": 7}): went ahead → asked (about 30 s)' in shown
    assert "Human time saved: 30 s" in shown
    assert "Human time spent: about 30 s, an estimate" in shown


@pytest.mark.parametrize("amount", [5, 500])
def test_a_change_holds_all_that_the_screen_cuts_off(amount: float) -> None:
    found = tried([free(amount)], rules({"name": "all", "tools": ["*"], "verdict": "ask"}))

    assert Change.model_validate_json(found.changes[0].model_dump_json()) == found.changes[0]
