"""The audit of the dial: gates that never changed anything, and irreversible calls that nobody saw."""

from typing import Any

import pytest

from agents.effect import Dial, Effect
from console.dial.audit import Audit, advice, audit_of
from console.dial.audit_command import audit_parts
from console.records.derive import records_of
from console.records.past import Which
from console.records.records import RunRecords
from tests.past import GRAVE, IRREVERSIBLE, Past, card, rules


def of(past: Past, run: str = "r1") -> RunRecords:
    return records_of(run, past.chain)


def decided(run: str, kind: str = "approve", **fields: Any) -> RunRecords:
    """A run with one payment that somebody decided after ten seconds."""
    past = Past(run, rules=rules()).replies(("pay", 5)).shows(card("t1.c1", **fields)).wait(10)
    said: dict[str, Any] = {"reason": "no"} if kind == "deny" else {}
    past.decides("t1.c1", kind, **said).hides("t1.c1")
    return of(past.makes("t1.c1", "pay") if kind == "approve" else past, run)


def screen(found: Audit) -> str:
    return "\n".join(str(line) for line in audit_parts(found, Which(), 3))


# --- gates that never changed anything --------------------------------------------------------------------------


def test_a_gate_that_was_always_approved_as_asked_is_one_too_many() -> None:
    found = audit_of([decided(f"r{number}") for number in range(3)], 3)

    [group] = found.over_gated
    assert (group.agent, group.tool, group.rule) == ("tester", "pay", None)
    assert (group.gates, group.seconds, group.median_seconds) == (3, 30, 10)
    assert "approve --for-run N" in group.advice
    assert "tester pay, by the dial: 3 times, 30 s of waiting in all, 10 s at the median" in screen(found)


@pytest.mark.parametrize("kind", ["deny", "end"])
def test_one_other_decision_is_what_a_gate_is_for(kind: str) -> None:
    runs = [*(decided(f"r{number}") for number in range(9)), decided("no", kind)]

    assert audit_of(runs, 3).over_gated == ()


def test_a_gate_that_nobody_answered_was_not_approved() -> None:
    late = of(Past("late", rules=rules()).replies(("pay", 5)).shows(card("t1.c1")).wait(5).hides("t1.c1"))

    assert audit_of([*(decided(f"r{number}") for number in range(3)), late], 3).over_gated == ()


def test_an_open_gate_says_nothing_yet() -> None:
    still = of(Past("open", rules=rules()).replies(("pay", 5)).shows(card("t1.c1")))

    assert len(audit_of([*(decided(f"r{number}") for number in range(3)), still], 3).over_gated) == 1


def test_too_few_gates_may_be_chance() -> None:
    assert audit_of([decided(f"r{number}") for number in range(2)], 3).over_gated == ()


def test_the_gates_of_each_rule_are_told_apart() -> None:
    runs = [
        *(decided(f"r{n}", rule="large") for n in range(3)),
        *(decided(f"s{n}", "deny") for n in range(3)),
    ]

    [group] = audit_of(runs, 3).over_gated
    assert group.rule == "large"
    assert "narrow the condition of rule 'large'" in group.advice


@pytest.mark.parametrize(
    ("effect", "dial", "words"),
    [
        (Effect(writes=True), Dial.PROPOSE, "goes ahead at dial supervised"),
        (Effect(writes=True, risk="high"), Dial.SUPERVISED, "goes ahead at dial autonomous"),
        (Effect(writes=True, risk="critical"), Dial.AUTONOMOUS, "under an override"),
        (IRREVERSIBLE, Dial.PROPOSE, "without a gate nobody would see it"),
        (
            GRAVE.model_copy(update={"risk": "critical"}),
            Dial.AUTONOMOUS,
            "approved by itself, as it should be",
        ),
        (None, None, "look at what pay does"),
    ],
)
def test_what_to_change_depends_on_why_it_asked(effect: Effect | None, dial: Dial | None, words: str) -> None:
    assert words in advice("pay", None, effect, dial)


# --- irreversible calls that nobody saw ----------------------------------------------------------------------------


def test_an_irreversible_call_that_nobody_decided_on_is_found() -> None:
    found = audit_of(
        [of(Past(dial=Dial.AUTONOMOUS, rules=rules()).replies(("pay", 5)).makes("t1.c1", "pay"))], 3
    )

    [call] = found.unseen
    assert (call.run, call.call, call.tool, call.dial, call.override) == (
        "r1",
        "t1.c1",
        "pay",
        "autonomous",
        None,
    )
    assert (
        'r1 t1.c1  pay({"amount":5}): irreversible non-idempotent write, medium risk, dial autonomous'
        in screen(found)
    )


def test_calls_that_somebody_let_pass_are_seen() -> None:
    assert audit_of([decided("r1")], 3).unseen == ()


def test_calls_that_can_be_undone_or_only_read_need_nobody() -> None:
    past = Past(dial=Dial.AUTONOMOUS, rules=rules()).replies(("save", 1), ("look", 2))

    assert audit_of([of(past.makes("t1.c1", "save").makes("t1.c2", "look"))], 3).unseen == ()


def test_a_call_that_was_never_sent_did_nothing() -> None:
    past = Past(dial=Dial.AUTONOMOUS, rules=rules()).replies(("pay", 1))
    stale = {"message": "the rules have changed", "application_failure_info": {"type": "Stale"}}

    assert audit_of([of(past)], 3).unseen == ()
    assert audit_of([of(past.makes("t1.c1", "pay", failure=stale))], 3).unseen == ()


def test_an_approval_for_the_rest_of_the_run_covers_the_calls_that_it_lets_pass() -> None:
    past = Past(rules=rules()).replies(("pay", 5)).shows(card("t1.c1"))
    past.decides("t1.c1", "approve", grant={"calls": 1, "lasts": 60}).hides("t1.c1").makes("t1.c1", "pay")
    past.replies(("pay", 6)).makes("t2.c1", "pay", 6)
    covered = audit_of([of(past)], 3).unseen
    past.replies(("pay", 7)).makes("t3.c1", "pay", 7)

    assert covered == ()
    assert [call.call for call in audit_of([of(past)], 3).unseen] == ["t3.c1"]


def test_a_person_who_had_it_tried_again_has_seen_it() -> None:
    past = Past(dial=Dial.AUTONOMOUS, rules=rules()).replies(("pay", 5))
    past.makes("t1.c1", "pay", failure={"message": "down"}).shows(card("t1.c1", kind="failure"))
    past.decides("t1.c1", "retry").hides("t1.c1").makes("t1.c1", "pay")

    assert audit_of([of(past)], 3).unseen == ()


def test_a_decision_that_was_refused_is_none() -> None:
    asked = rules({"name": "two", "tools": ["pay"], "terms": {"approvers": ["ann"]}}, people={"ann": {}})
    past = Past(rules=asked).replies(("pay", 5)).shows(card("t1.c1", asks=["ann"], rule="two"))
    past.decides("t1.c1", "approve", by="eve").makes("t1.c1", "pay")

    assert [call.call for call in audit_of([of(past)], 3).unseen] == ["t1.c1"]


def test_calls_under_a_named_override_stand_apart() -> None:
    override = {"name": "launch week", "by": "cto", "reason": "the launch", "until": "2027-01-01T00:00:00Z"}
    some = rules({"name": "go", "tools": ["launch"], "verdict": "allow", "override": override})
    found = audit_of([of(Past(rules=some).replies(("launch", 1)).makes("t1.c1", "launch", 1))], 3)

    assert (found.unseen, [call.override for call in found.overridden]) == ((), ["launch week"])
    assert "1 went ahead under a named override" in screen(found)
    assert "under launch week" in screen(found)


def test_a_call_whose_definition_is_gone_is_counted_as_not_known() -> None:
    past = Past(dial=Dial.AUTONOMOUS).replies(("pay", 5)).makes("t1.c1", "pay")
    past.events[:4] = past.events[:1]
    found = audit_of([of(past)], 3)

    assert (found.unseen, found.effect_unknown) == ((), 1)
    assert "Of 1 call the effect is not known" in screen(found)


def test_where_no_call_was_made_the_audit_claims_nothing() -> None:
    shown = screen(audit_of([of(Past(rules=rules()).replies().ends())], 3))

    assert shown == "1 run: 0 calls, 0 gates"
