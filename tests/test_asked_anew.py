"""A call that was approved and not sent: what holds now is not what it was approved under, or it failed."""

from typing import Any

from agents import bounds
from agents.effect import Dial
from agents.events import (
    CallFailed,
    Previewed,
    Replied,
    TakePreview,
)
from agents.failure import Failure, FailureType
from agents.preview import Stale, preview_of
from agents.rules import RuleSet
from agents.ruling import Ruling
from agents.status import phase
from tests.rules import DOWN, Run, call, reply, rule, ruled

# --- the world has changed since ------------------------------------------------------------------------------------


def ruling(says: str = "ask", **changes: object) -> Ruling:
    return Ruling.model_validate(
        {"says": says, "reason": "by the rules of today", "dial": "propose", **changes}
    )


def stale(run: Run, now: Ruling | None = None, name: str = "t1.c1", **fields: object) -> None:
    found = Stale(why="it has changed", ruling=now or ruling(), **fields)
    run.told(CallFailed(name, Failure(type=FailureType.STALE, message="stale", stale=found)))


def sent(shown: str = "a\nb\nc", **changes: Any) -> Run:
    run = Run.previewed(shown, **changes)
    run.decides("approve", "t1.c1")
    assert run.dispatched()
    return run


def test_a_call_that_was_not_sent_asks_again_and_shows_the_difference() -> None:
    run = sent("1 page\nto ann")
    stale(run, preview=preview_of("2 pages\nto ann"))

    assert run.gate.changed == (
        "it has changed\n--- approved\n+++ now\n@@ -1,2 +1,2 @@\n-1 page\n+2 pages\n to ann"
    )
    assert (run.gate.preview, run.gate.reason) == ("2 pages\nto ann", "by the rules of today")
    assert run.dispatched() == []
    assert phase(run.state) == "waiting"


def test_the_difference_is_bounded() -> None:
    run = sent("a\n" * 1000)
    stale(run, preview=preview_of("ü" * 4000))

    assert 2000 < len(run.gate.changed.encode()) <= len("it has changed\n") + 2 * bounds.KIB


def test_where_the_preview_is_the_same_no_difference_is_shown() -> None:
    run = sent("a")
    stale(run, preview=preview_of("a"))

    assert run.gate.changed == "it has changed"


def test_the_old_approval_is_gone_and_a_new_one_holds_for_what_is_so_now() -> None:
    run = sent("a", rules=ruled("publish"))
    old = run.state.decided[-1].digest
    stale(run, ruling(rule="new", terms={"approvers": ["director"]}), preview=preview_of("b"))
    held = run.state.calls["t1.c1"]

    assert held.approved_by is None
    assert not run.says("approve", {"gate": "t1.c1", "digest": old, "by": "dot"}).accepted
    assert not run.decides("approve", "t1.c1", by="ann").accepted
    assert run.decides("approve", "t1.c1", by="dot").accepted
    (again,) = run.dispatched()
    assert again.input.dispatch == 2
    assert again.input.approved.preview == preview_of("b").digest
    assert again.input.approved.ruling == held.ruling == gate_ruling("new", "director")
    assert again.call.approved_by == "dot"


def gate_ruling(name: str, *approvers: str) -> str:
    return ruling(rule=name, terms={"approvers": approvers}).digest


def test_where_its_effect_cannot_be_found_out_any_more_the_old_preview_is_not_what_is_approved() -> None:
    run = sent("a", rules=ruled("publish"))
    stale(run)
    assert run.gate.preview == ""

    run.decides("approve", "t1.c1")
    assert [d.input.approved.preview for d in run.dispatched()] == [None]


def test_a_call_that_asked_nobody_asks_when_the_rules_of_today_say_so() -> None:
    run = Run.asking(rules=ruled("pay"), dial=Dial.AUTONOMOUS)
    assert run.dispatched()
    stale(run, rules=ruled())

    assert (run.gate.kind, run.gate.changed) == ("approval", "it has changed")
    assert run.gate.digest != ""


def test_rules_that_refuse_by_now_close_the_call_as_denied() -> None:
    run = sent()
    stale(run, ruling("refuse"))

    assert run.result("t1.c1") == ("denied", "Refused: by the rules of today")
    assert (run.state.gates, run.state.turn) == ({}, 2)


def test_the_run_knows_the_people_of_today_from_then_on_and_keeps_its_rules_for_other_calls() -> None:
    run = sent()
    assert run.state.rules is None
    refuses = rule("no looking", "look", verdict="refuse")
    today = RuleSet.model_validate({"people": {"new": {"roles": ["manager"]}}, "rules": [refuses]})
    stale(run, ruling("refuse"), rules=today)
    run.carry_out()
    run.told(Replied(reply(call("look"))))

    assert run.state.rules is not None
    assert set(run.state.rules.people) == {"new"}
    assert run.state.calls["t2.c1"].state == "planned"


def test_where_the_rules_of_today_would_let_it_pass_it_asks_on_the_terms_of_the_run() -> None:
    run = sent()
    before = run.state.calls["t1.c1"].ruling
    stale(run, ruling("allow"), preview=preview_of("b"))

    assert run.state.calls["t1.c1"].ruling == before


def test_where_only_the_preview_changed_the_rules_stay_those_of_the_run() -> None:
    run = sent()
    stale(run, preview=preview_of("b"))

    assert run.state.rules is None


def test_a_call_may_ask_again_any_number_of_times_and_is_still_sent_once_approved() -> None:
    run = sent("0")
    for number in range(1, 5):
        stale(run, preview=preview_of(str(number)))
        assert f"-{number - 1}\n+{number}" in run.gate.changed
        assert run.decides("approve", "t1.c1").accepted
        assert len(run.dispatched()) == 1
    run.ends()

    assert run.result("t1.c1") == ("done", "ok")


def test_an_edit_is_still_told_after_the_call_had_to_ask_again() -> None:
    run = Run.asking(rules=ruled())
    run.edits("y")
    run.dispatched()
    stale(run)
    run.decides("deny", "t1.c1", reason="no more")

    assert run.result("t1.c1")[1].startswith('[ann changed the arguments: text: "x" → "y"]\nDenied by ann')


# --- after a failure ------------------------------------------------------------------------------------------------


def test_a_retry_goes_out_under_the_approval_that_the_call_has() -> None:
    run = sent("a", rules=ruled("publish"))
    before = run.state.calls["t1.c1"]
    run.told(CallFailed("t1.c1", DOWN))
    run.decides("retry", "t1.c1", by="bob")
    (again,) = run.dispatched()

    assert (again.call.approved_by, again.input.approved.ruling) == ("ann", before.ruling)
    assert again.input.key == before.key
    assert again.input.dispatch == 2


def test_a_retry_is_still_held_against_the_preview_that_was_approved() -> None:
    run = sent("a")
    run.told(CallFailed("t1.c1", DOWN))
    run.decides("retry", "t1.c1")
    (again,) = run.dispatched()
    assert again.input.approved.preview == preview_of("a").digest

    stale(run, preview=preview_of("b"))
    assert run.gate.changed.endswith("-a\n+b")


def test_where_two_must_approve_one_of_them_alone_does_not_send_it_again() -> None:
    run = Run.asking(rules=ruled(approvers=["manager"], needed=2))
    for by in ("ann", "bob"):
        run.decides("approve", "t1.c1", by=by)
    assert run.dispatched()
    run.told(CallFailed("t1.c1", DOWN))
    receipt = run.decides("retry", "t1.c1", by="ann")

    assert receipt.reason == "retry by ann; it asks again, since it needs 2 people"
    assert (run.dispatched(), run.gate.kind) == ([], "approval")
    for by in ("ann", "bob"):
        assert run.decides("approve", "t1.c1", by=by).accepted
    assert len(run.dispatched()) == 1


def test_where_two_must_approve_one_of_them_alone_does_not_say_that_it_did_not_happen_and_send_it() -> None:
    run = Run.asking(call("pay"), rules=ruled("pay", approvers=["manager"], needed=2))
    for by in ("ann", "bob"):
        run.decides("approve", "t1.c1", by=by)
    assert run.dispatched()
    run.told(CallFailed("t1.c1", Failure(type=FailureType.OUTCOME_UNKNOWN, message="lost")))
    run.decides("did_not_happen", "t1.c1", by="ann")

    assert run.gate.kind == "approval"
    assert run.decides("approve", "t1.c1", by="ann").reason == "approve by ann: 1 of 2"
    assert run.dispatched() == []
    run.decides("approve", "t1.c1", by="bob")
    assert [again.call.approved_by for again in run.dispatched()] == ["ann, bob"]


def test_a_retry_that_asks_two_people_again_shows_them_what_it_would_do() -> None:
    run = Run.previewed("a", rules=ruled("publish", approvers=["manager"], needed=2))
    for by in ("ann", "bob"):
        run.decides("approve", "t1.c1", by=by)
    assert run.dispatched()
    run.told(CallFailed("t1.c1", DOWN))
    run.decides("retry", "t1.c1", by="bob")

    assert [type(action) for action in run.carry_out()] == [TakePreview]
    run.told(Previewed("t1.c1", preview_of("b")))
    assert run.gate.preview == "b"
    for by in ("ann", "bob"):
        run.decides("approve", "t1.c1", by=by)
    (again,) = run.dispatched()
    assert again.input.approved.preview == preview_of("b").digest


def test_what_was_lost_goes_out_again_only_after_somebody_said_that_it_did_not_happen() -> None:
    run = sent("a", rules=ruled("publish"))
    before = run.state.calls["t1.c1"]
    run.told(CallFailed("t1.c1", Failure(type=FailureType.OUTCOME_UNKNOWN, message="lost")))
    assert not run.decides("retry", "t1.c1").accepted
    assert not run.dispatched()

    run.decides("did_not_happen", "t1.c1")
    (again,) = run.dispatched()
    assert (again.call.approved_by, again.input.approved.ruling) == ("ann", before.ruling)


def test_a_failed_call_goes_to_those_whom_the_rule_of_its_tool_names() -> None:
    run = Run.asking(rules=ruled(approvers=["manager"]))
    run.decides("approve", "t1.c1")
    run.dispatched()
    run.told(CallFailed("t1.c1", DOWN))

    assert run.gate.asks == ("manager",)
    assert not run.decides("retry", "t1.c1", by="cy").accepted
