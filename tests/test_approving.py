"""What an approval is bound to, what an edit of the arguments makes of it, and what is shown before."""

import json
from datetime import timedelta

import pytest

from agents import bounds
from agents.canonical import canonical_json
from agents.deciding import Receipt, edit_to_check
from agents.effect import Dial
from agents.events import (
    AskModel,
    CallFailed,
    Dispatch,
    Previewed,
    Replied,
    TakePreview,
)
from agents.gating import difference, ruling_of
from agents.message import RawMessage
from agents.preview import Preview, PreviewInput, preview_of
from agents.status import call_page, phase
from tests.rules import DOWN, NOW, Run, call, nested, reply, rule, rule_set, ruled, text

# --- what an approval is bound to -----------------------------------------------------------------------------------


def test_a_call_goes_out_with_what_it_was_approved_under() -> None:
    run = Run.asking(rules=ruled(approvers=["manager"]))
    held = run.state.calls["t1.c1"]
    run.decides("approve", "t1.c1")
    (sent,) = run.dispatched()

    assert sent.input.arguments == '{"text":"x"}'
    assert sent.input.approved.ruling == held.ruling != ""
    assert sent.input.approved.rules == run.state.rule_set.version
    assert (sent.input.approved.agent, sent.input.approved.dial) == ("tester", Dial.PROPOSE)


def test_decisions_are_remembered_up_to_a_bound() -> None:
    count = bounds.KEPT_DECISIONS + 3
    run = Run.asking(*(call("save", f"{n}") for n in range(count)))
    for name in list(run.state.gates):
        run.decides("approve", name)

    kept = [decided.gate for decided in run.state.decided]
    assert kept == [f"t1.c{n}" for n in range(4, count + 1)]


def test_without_rules_a_call_that_asks_nobody_is_bound_to_nothing_and_one_under_rules_is() -> None:
    (free,) = Run.asking(call("look")).dispatched()
    (ruled_,) = Run.asking(call("look"), rules=ruled()).dispatched()

    assert free.input.approved is None
    assert ruled_.input.approved.rules == ruled().version


@pytest.mark.parametrize("field", ["ruling", "preview", "effect", "kind", "gate", "since", "nonce"])
def test_the_digest_covers_all_that_a_person_decides_on(field: str) -> None:
    def digest(changed: bool) -> str:
        tool = {"preview": "publish", "effect": "pay", "gate": "save"}.get(field, "save")
        calls = [call(tool)] if field != "gate" else [call("look"), call(tool)][not changed :]
        run = Run.started(dial=Dial.PROPOSE, rules=ruled(needed=2 if field == "ruling" and changed else 1))
        run.moments = 7 if field == "nonce" and changed else 0
        if field == "since" and changed:
            run.clock += timedelta(seconds=1)
        if field == "effect" and changed:
            grave = tuple(
                t.model_copy(update={"effect": t.effect.model_copy(update={"risk": "high"})})
                if t.name == "pay"
                else t
                for t in run.state.definition.tools
            )
            definition = run.state.definition.model_copy(update={"tools": grave})
            run.state = run.state.model_copy(update={"definition": definition})
        run.carry_out()
        run.told(Replied(reply(*calls)))
        if tool == "publish":
            run.carry_out()
            run.told(Previewed("t1.c1", preview_of("b" if changed else "a")))
        if field == "kind" and changed:
            gate = run.gate
            run.decides("approve", gate.id)
            run.dispatched()
            run.told(CallFailed("t1.c1", DOWN))
        return run.gate.digest

    assert digest(True) != digest(False)
    assert digest(False) == digest(False)


# --- edits ----------------------------------------------------------------------------------------------------------


def test_an_edited_call_goes_out_with_the_new_arguments_under_another_key() -> None:
    run = Run.asking(rules=ruled())
    receipt = run.edits("y")
    plain = Run.asking(rules=ruled())
    plain.decides("approve", "t1.c1")
    (sent,), (other,) = run.dispatched(), plain.dispatched()

    assert receipt == Receipt(True, 'edit by ann: text: "x" → "y"')
    assert (sent.input.arguments, sent.call.approved_by) == ('{"text":"y"}', "ann")
    assert sent.input.key != other.input.key
    assert (run.state.gates, run.state.decided[-1].kind) == ({}, "edit")


def test_the_model_is_told_who_changed_what() -> None:
    run = Run.asking(rules=ruled())
    run.edits("y")
    run.dispatched()
    run.ends(content="saved")

    assert run.result("t1.c1") == ("done", '[ann changed the arguments: text: "x" → "y"]\nsaved')
    assert run.state.entries[-1].arguments == '{"text":"y"}'


def test_an_edited_call_is_listed_with_what_was_sent() -> None:
    run = Run.asking(rules=ruled())
    run.edits("y")
    (sent,) = run.dispatched()
    open_line = call_page(run.state, 0).calls[0]
    run.ends()
    closed_line = call_page(run.state, 0).calls[0]

    assert (open_line.summary, closed_line.summary) == ('text="y"', 'text="y"')
    assert open_line.key == closed_line.key == sent.input.key


def test_the_same_arguments_are_no_edit_in_whatever_order_and_spacing() -> None:
    run = Run.asking(rules=ruled())

    assert run.edits("x") == Receipt(False, "the arguments are what they were: approve the call instead")


def test_arguments_that_do_not_fit_the_tool_are_refused_with_the_reason() -> None:
    run = Run.asking(rules=ruled())
    before = run.state
    run.checked = Preview(problem="text: 5 is not of type 'string'")

    assert run.edits(5) == Receipt(False, "text: 5 is not of type 'string'")
    assert run.is_but_for_rejected(before)


def test_an_edit_that_could_not_be_checked_changes_nothing() -> None:
    run = Run.asking(rules=ruled())
    before = run.state
    run.checked = None

    assert run.edits("y") == Receipt(False, "the arguments could not be checked; send it again")
    assert run.is_but_for_rejected(before)


def test_arguments_without_a_canonical_form_are_refused() -> None:
    run = Run.asking(rules=ruled())
    before = run.state

    assert run.edits(2**60).reason.startswith("arguments: ")
    assert run.edits("\ud800").reason.startswith("arguments: ")
    assert run.is_but_for_rejected(before)


def test_an_edit_that_the_rules_refuse_is_refused() -> None:
    refuse = rule("no drafts", when=text("=", "draft"), verdict="refuse")
    run = Run.asking(rules=rule_set(refuse))
    before = run.state
    receipt = run.edits("draft")

    assert not receipt.accepted
    assert receipt.reason.startswith("not with these arguments: rule 'no drafts'")
    assert run.is_but_for_rejected(before)


def test_an_edit_that_the_rules_allow_goes_ahead_also_where_two_were_needed() -> None:
    two = rule(
        "two for all but small", when=text("!=", "small"), terms={"needed": 2, "approvers": ["manager"]}
    )
    free = rule("small", when=text("=", "small"), verdict="allow")
    run = Run.asking(rules=rule_set(two, free))
    run.edits("small")

    (sent,) = run.dispatched()
    assert sent.input.arguments == '{"text":"small"}'
    assert sent.input.approved.ruling == ruling_of(run.state, sent.call, NOW).digest


def test_an_edit_under_other_terms_asks_those_whom_they_name() -> None:
    large = rule("large", when=text("=", "large"), terms={"approvers": ["director"]})
    run = Run.asking(rules=rule_set(large, rule("all", terms={"approvers": ["manager"]})))
    old = run.gate
    receipt = run.edits("large")
    new = run.gate

    assert receipt.accepted
    assert receipt.reason == (
        f'edit by ann: text: "x" → "large". t1.c1 asks again, for this call as it is now ({new.digest[:16]}): '
        "other rules hold for it: rule 'large': text = 'large'"
    )
    assert (new.asks, new.rule, new.summary) == (("director",), "large", 'save(text="large")')
    assert new.changed == 'ann changed the arguments: text: "x" → "large"'
    assert new.digest != old.digest
    assert not run.dispatched()
    assert not run.decides("approve", "t1.c1", by="ann").accepted
    assert run.decides("approve", "t1.c1", by="dot").accepted
    assert [d.input.arguments for d in run.dispatched()] == ['{"text":"large"}']


def test_where_two_must_approve_an_edit_asks_both_for_what_it_is_now() -> None:
    run = Run.asking(rules=ruled(approvers=["manager"], needed=2))
    run.decides("approve", "t1.c1", by="bob")
    receipt = run.edits("y")

    assert receipt.reason.endswith("it needs 2 people")
    assert run.gate.votes == ()
    run.decides("approve", "t1.c1", by="bob")
    assert not run.dispatched()
    run.decides("approve", "t1.c1", by="ann")
    assert [d.call.approved_by for d in run.dispatched()] == ["bob, ann"]


def test_an_edit_of_a_call_with_a_preview_shows_the_new_one_and_asks_again() -> None:
    run = Run.previewed("it says x", rules=ruled("publish"))
    run.checked = preview_of("it says y")
    receipt = run.edits("y")

    assert receipt.reason.endswith("look at what it would do, and approve that")
    assert run.gate.preview == "it says y"
    run.decides("approve", "t1.c1")
    (sent,) = run.dispatched()
    assert sent.input.approved.preview == preview_of("it says y").digest
    assert sent.input.arguments == '{"text":"y"}'


def test_a_call_edited_twice_goes_out_with_the_last_arguments() -> None:
    run = Run.previewed("x", rules=ruled("publish"))
    run.edits("y")
    run.edits("z")
    run.decides("approve", "t1.c1")

    assert [d.input.arguments for d in run.dispatched()] == ['{"text":"z"}']


def test_an_old_approval_does_not_fit_what_was_edited_since() -> None:
    run = Run.previewed("x", rules=ruled("publish"))
    old = {"gate": "t1.c1", "digest": run.gate.digest, "by": "bob"}
    run.edits("y")

    assert not run.says("approve", old).accepted


def test_an_edit_keeps_questions_and_stand_ins_where_the_same_people_decide() -> None:
    run = Run.previewed("x", rules=ruled("publish", approvers=["manager"]))
    run.decides("ask", "t1.c1", text="why?")
    run.decides("delegate", "t1.c1", to="eve")
    run.edits("y", by="eve")

    assert [exchange.question for exchange in run.gate.thread] == ["why?"]
    assert run.decides("approve", "t1.c1", by="eve").accepted


def test_an_edit_under_other_terms_takes_the_place_of_a_stand_in_away() -> None:
    large = rule("large", when=text("=", "large"), terms={"approvers": ["director"]})
    run = Run.asking(rules=rule_set(large, rule("all", terms={"approvers": ["manager"]})))
    run.decides("delegate", "t1.c1", to="eve")
    run.edits("large", by="eve")

    assert run.gate.delegated == {}
    assert not run.decides("approve", "t1.c1", by="eve").accepted


def test_a_step_of_the_ladder_that_was_taken_stays_taken_after_an_edit() -> None:
    ladder = [{"after": "1h", "to": ["director"]}]
    run = Run.previewed("x", rules=ruled("publish", approvers=["manager"], escalate=ladder))
    run.waits(hours=2)
    run.edits("y", by="dot")

    assert run.decides("approve", "t1.c1", by="dot").accepted


def test_an_identical_repeat_of_an_edit_is_told_who_decided() -> None:
    run = Run.asking(rules=ruled())
    digest = run.gate.digest
    run.edits("y")
    body = {"gate": "t1.c1", "digest": digest, "kind": "edit", "by": "ann"}

    again = run.says("decide", {**body, "arguments": {"text": "y"}})
    other = run.says("decide", {**body, "arguments": {"text": "z"}})
    assert (again.accepted, other.accepted) == (True, False)
    assert again.reason == other.reason == "already decided by ann at 2026-01-01T00:00:04Z: edit"


def test_only_an_edit_that_could_be_taken_is_checked() -> None:
    run = Run.asking(rules=ruled(approvers=["manager"]))
    digest = run.gate.digest

    def wanted(name: str = "decide", **changes: object) -> object:
        body = {"gate": "t1.c1", "digest": digest, "kind": "edit", "by": "ann", "arguments": {"text": "y"}}
        data = json.dumps({**body, **changes}).encode()
        check = edit_to_check(run.state, RawMessage(name, [("json/plain", data)]))
        return check and check.input

    assert wanted() == PreviewInput(tool="save", arguments='{"text":"y"}', edited=True)
    for changes in (
        {"by": "cy"},
        {"digest": "0" * 16},
        {"gate": "t9.c9"},
        {"arguments": {"text": "x"}},
        {"arguments": {"text": 2**60}},
        {"kind": "approve"},
        {"name": "nonsense"},
    ):
        assert wanted(**changes) is None, changes
    run.edits("y")
    assert wanted() is None


@pytest.mark.parametrize("depth", [200, 254, 300, 900])
def test_arguments_nested_too_deeply_stall_nothing(depth: int) -> None:
    run = Run.asking(rules=ruled())
    before = run.state
    run.checked = Preview(problem="the arguments are nested too deeply")

    assert not run.decides("edit", "t1.c1", arguments=nested(depth)).accepted
    assert run.is_but_for_rejected(before)


def test_half_a_character_in_an_answer_stalls_nothing() -> None:
    run = Run.asking(call("ask_human"), rules=ruled())
    assert run.decides("answer", "t1.c1", text="yes \ud800").accepted

    assert run.result("t1.c1") == ("done", "yes ?")
    assert isinstance(run.carry_out()[0], AskModel)


# --- previews -------------------------------------------------------------------------------------------------------


def test_what_a_call_would_do_is_found_out_once_before_its_gate_opens() -> None:
    run = Run.asking(call("publish"))
    assert run.state.gates == {}
    assert phase(run.state) == "working"

    assert run.carry_out() == [TakePreview("t1.c1", PreviewInput(tool="publish", arguments='{"text":"x"}'))]
    assert run.carry_out() == []
    run.told(Previewed("t1.c1", preview_of("it says x")))
    assert (run.gate.preview, phase(run.state)) == ("it says x", "waiting")


def test_a_call_that_asks_nobody_is_not_previewed() -> None:
    run = Run.asking(call("publish"), dial=Dial.AUTONOMOUS)

    assert [type(action) for action in run.carry_out()] == [Dispatch]


def test_a_call_whose_effect_cannot_be_found_out_asks_all_the_same_and_says_so() -> None:
    run = Run.previewed(None)

    assert run.gate.changed == "what it would do could not be found out: down"
    assert run.gate.preview == ""
    run.decides("approve", "t1.c1")
    assert [d.input.approved.preview for d in run.dispatched()] == [None]


def test_an_approval_holds_for_the_preview_that_was_shown() -> None:
    run = Run.previewed("it says x")
    run.decides("approve", "t1.c1")

    assert [d.input.approved.preview for d in run.dispatched()] == [preview_of("it says x").digest]


def test_a_card_shows_why_the_agent_wants_it_and_its_last_calls_the_latest_at_the_end() -> None:
    run = Run.started(dial=Dial.PROPOSE)
    for turn in (1, 2):
        run.carry_out()
        run.told(Replied(reply(*(call("look", f"{turn}{n}") for n in "abc"), text=f"so far {turn}")))
        run.dispatched()
        for n in (2, 1, 3):
            run.ends(f"t{turn}.c{n}")
    run.carry_out()
    run.told(Replied(reply(call("save"), text="Now I save.\nAll of it.")))

    assert run.gate.stated == "Now I save. All of it."
    assert run.gate.evidence == (
        't1.c1 look(text="1a"): done',
        't1.c3 look(text="1c"): done',
        't2.c2 look(text="2b"): done',
        't2.c1 look(text="2a"): done',
        't2.c3 look(text="2c"): done',
    )


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "b: 2 → 3"),
        ({"a": None}, {}, "a: null → nothing"),
        ({}, {"a": None}, "a: nothing → null"),
        ({"a": "ü"}, {"b": True}, 'a: "ü" → nothing; b: nothing → true'),
    ],
)
def test_a_difference_names_each_argument_that_changed_and_no_other(
    before: dict[str, object], after: dict[str, object], shown: str
) -> None:
    assert difference(canonical_json(before), canonical_json(after)) == shown
