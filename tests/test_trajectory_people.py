"""The trajectory of what people do to a run: votes, edits, questions, grants, steering, deadlines and overrides."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle

from activities.tools import Tool, tool
from agents import bounds
from agents.agent import Agent
from agents.effect import Effect
from agents.rules import RuleSet
from console.records.derive import records_of
from console.trajectory.chain import chain_of
from console.trajectory.derive import trajectory_of
from console.trajectory.steps import (
    CallStep,
    DecisionStep,
    ErrandStep,
    GateStep,
    ModelStep,
    NoteStep,
    SteerStep,
    Trajectory,
    WaitStep,
)
from console.trajectory.view import trajectory_parts
from tests.fake_openai import calls, delays, holds, says
from tests.house import House, decide, status, until
from tests.past import Past, card, digest, payloads, rules
from tests.tools import counted

PAYS = Effect(writes=True, idempotent=False, reversible=False, risk="medium")
GRAVE = Effect(writes=True, idempotent=False, reversible=False, risk="critical")
PEOPLE = {
    "ann": {"roles": ["manager"]},
    "bob": {"roles": ["manager"]},
    "cy": {},
    "dora": {"roles": ["director"]},
}
Run = WorkflowHandle[Any, Any]


def ruled(*tools: Tool, **rule: Any) -> Agent:
    """An agent with one rule for all its tools."""
    given = {"people": PEOPLE, "rules": [{"name": "ours", "tools": ["*"], **rule}]}
    names = tuple(one.spec.name for one in tools)
    return Agent(name="tester", instructions="test", tools=names, rules=RuleSet.model_validate(given))


async def told(house: House, run: Run) -> Trajectory:
    return trajectory_of(await chain_of(house.client, run.id))


def steps(found: Trajectory, kind: type) -> list[Any]:
    return [step for step in found.steps if isinstance(step, kind)]


def screen(found: Trajectory) -> str:
    return "\n".join(part.plain for part in trajectory_parts(found, datetime.now(UTC), full=False))


# --- on a real server -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("continues", [False, True], ids=["one execution", "many"])
async def test_signals_are_judged_as_the_run_itself_judged_them(
    house: House, monkeypatch: pytest.MonkeyPatch, continues: bool
) -> None:
    if continues:
        monkeypatch.setattr(bounds, "CONTINUE_EVENTS", 0)
    pay = counted("pay", PAYS)
    agent = ruled(pay, terms={"approvers": ["manager"], "needed": 2, "requester_counts": False})
    house.fake.script([calls(("pay", {"text": "x"}), ("pay", {"text": "y"})), says("paid")])
    async with house.worker(pay, agents=[agent]):
        run = await house.start(agent="tester", requester="dora")
        first, second = (await until(run, lambda s: len(s.waiting) == 2)).waiting
        one = {"gate": "t1.c1", "digest": first.digest}
        other = {"gate": "t1.c2", "digest": second.digest[:16]}
        sent: list[tuple[str, Any, bool]] = [
            ("approve", {**one, "by": "cy"}, False),
            ("approve", {**one, "by": "dora"}, False),
            ("approve", {**one, "digest": second.digest, "by": "ann"}, False),
            ("answer", {**one, "by": "ann", "text": "yes"}, False),
            ("approve", {**one, "by": "ann", "grant": {"calls": 3, "lasts": "1h"}}, False),
            ("approve", {**one, "by": "ann"}, True),
            ("approve", {**one, "by": "ann"}, True),
            ("decide", {**one, "kind": "edit", "by": "bob", "arguments": {"txet": "z"}}, False),
            ("decide", {**one, "kind": "delegate", "by": "ann", "to": "nobody at all"}, False),
            ("decide", {**other, "kind": "edit", "by": "bob", "arguments": {"text": "z"}}, True),
            ("deny", {**other, "by": "ann", "reason": "it asks again by now"}, False),
            ("decide", {**one, "kind": "delegate", "by": "ann", "to": "cy"}, True),
            ("approve", {**one, "by": "cy"}, False),
            ("decide", {**one, "kind": "delegate", "by": "bob", "to": "dora"}, False),
            ("approve", {**one, "by": "bob"}, True),
            ("approve", {**one, "by": "bob"}, True),
            ("deny", {**one, "by": "bob", "reason": "after all"}, False),
            ("approve", "nonsense", False),
            ("launch", {**one, "by": "ann"}, False),
        ]
        for name, body, _ in sent:
            await run.signal(name, body)
        await until(run, lambda s: s.rejected_total == sum(not accepted for _, _, accepted in sent))
        await decide(run, "t1.c2", "deny", by="ann", reason="no")
        await run.result()
        shown = await status(run)
    found = await told(house, run)

    signals = [step for step in steps(found, DecisionStep) if step.door == "signal"]
    assert [step.accepted for step in signals] == [accepted for _, _, accepted in sent]
    refused = [(step.gate, step.by, step.reason) for step in signals if not step.accepted]
    # The list has each reason on one line.
    refused = [(gate, by, " ".join(reason.split())) for gate, by, reason in refused if gate != "t1.c2"]
    own = [(each.gate, each.by, each.reason) for each in shown.rejected if each.gate != "t1.c2"]
    if continues:  # the state that was handed over tells when exactly: a card does not
        refused, own = [item[:2] for item in refused], [item[:2] for item in own]  # type: ignore[misc]
    assert refused == own
    assert [(gate.gate, gate.how, gate.by) for gate in steps(found, GateStep)] == [
        ("t1.c1", "approve", ("ann", "bob")),
        ("t1.c2", "edit", ("bob",)),
        ("t1.c2", "deny", ("ann",)),
    ]
    assert [step.closes for step in signals if step.accepted] == [
        *(False, False),
        True,
        *(False, True, False),
    ]
    assert (len(found.executions) > 1) is continues


async def test_an_edit_tells_what_it_changed(house: House) -> None:
    pay = counted("pay", PAYS)
    house.fake.script([calls(("pay", {"text": "120"})), says("done")])
    async with house.worker(pay):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
        await decide(run, "t1.c1", "edit", arguments={"text": "100"}, comment="that is the limit")
        await run.result()
    found = await told(house, run)

    [step] = steps(found, DecisionStep)
    assert (step.answer, step.said) == ("edit", 'text: "120" → "100"; that is the limit')
    assert 'edited by ann: text: "120" → "100"; that is the limit (update)' in screen(found)
    [call] = steps(found, CallStep)
    assert (call.arguments, call.state) == ('{"text":"100"}', "done")


async def test_a_question_to_the_agent_and_its_answer_are_told_and_no_turn_of_the_run(house: House) -> None:
    pay = counted("pay", PAYS)
    house.fake.script([calls(("pay", {"text": "x"})), says("Because it is due."), says("done")])
    async with house.worker(pay):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
        await decide(run, "t1.c1", "ask", text="Why now?")
        await until(run, lambda s: s.waiting[0].thread and s.waiting[0].thread[0].answer)
        await decide(run, "t1.c1", "approve")
        await run.result()
    found = await told(house, run)

    asked, approved = steps(found, DecisionStep)
    assert (asked.answer, asked.said, asked.accepted, asked.closes) == ("ask", "Why now?", True, False)
    assert approved.closes
    [aside] = [step for step in steps(found, ModelStep) if step.aside]
    assert "asked the agent by ann: Why now? (update)" in screen(found)
    assert (aside.aside, aside.text, aside.calls) == ("t1.c1", "Because it is due.", ())
    assert (found.totals.turns, found.totals.model_calls) == (2, 3)
    assert "model  t1.c1, to a person's question  done" in screen(found)
    assert len(steps(found, GateStep)) == 1


async def test_calls_under_an_approval_for_the_rest_of_the_run_say_whose(house: House) -> None:
    pay = counted("pay", PAYS)
    asked = [calls(("pay", {"text": text})) for text in ("a", "b", "c")]
    house.fake.script([*asked, says("done")])
    async with house.worker(pay):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
        when = {"field": "text", "is": "in", "value": ["b", "c"]}
        await decide(run, "t1.c1", "approve", grant={"calls": 1, "lasts": "1h", "when": when})
        await until(run, lambda s: s.waiting and s.waiting[0].gate == "t3.c1")
        await decide(run, "t3.c1", "approve")
        await run.result()
    found = await told(house, run)

    assert [call.granted for call in steps(found, CallStep)] == [None, "ann", None]
    assert "under the approval of ann for the rest of the run" in screen(found)
    assert "approved by ann: and 1 more of this tool where text in ['b', 'c'] within 1 h" in screen(found)


async def test_an_approval_that_is_returned_and_the_gate_that_asks_again_are_told(
    house: House, tmp_path: Path
) -> None:
    board = tmp_path / "board"
    board.write_text("old")

    async def preview(text: str) -> str:
        return f"{board.read_text()} becomes {text}"

    @tool(PAYS, preview=preview)
    async def publish(text: str) -> str:
        """Publishes."""
        return "published"

    house.fake.script([calls(("publish", {"text": "new"})), says("done")])
    async with house.worker(publish):
        run = await house.start(agent="tester")
        first = (await until(run, lambda s: s.waiting)).waiting[0]
        board.write_text("changed")
        await decide(run, "t1.c1", "approve")
        await until(run, lambda s: s.waiting and s.waiting[0].digest != first.digest)
        await decide(run, "t1.c1", "approve", by="bob")
        await run.result()
    found = await told(house, run)

    one, two = steps(found, GateStep)
    assert (one.preview, one.changed, one.how) == ("old becomes new", "", "approve")
    assert (two.preview, two.how, two.by) == ("changed becomes new", "approve", ("bob",))
    assert "changed becomes new" in two.changed
    [call] = steps(found, CallStep)
    assert (call.state, call.dispatches, call.returned) == ("done", 2, 1)
    assert "+changed becomes new" in screen(found)
    records = records_of(run.id, await chain_of(house.client, run.id))
    assert [gate.asked_again for gate in records.gates] == [False, True]


async def test_rules_that_changed_while_somebody_decided_hold_for_that_call_and_their_people_for_the_run(
    house: House,
) -> None:
    pay = counted("pay", PAYS)
    plain = Agent(name="tester", instructions="test", tools=("pay",))
    stricter = ruled(pay, terms={"approvers": ["manager"]})
    house.fake.script([calls(("pay", {"text": "x"})), says("done")])
    async with house.worker(pay, agents=[plain]):
        run = await house.start(agent="tester")
        first = (await until(run, lambda s: s.waiting)).waiting[0]
    async with house.worker(pay, agents=[stricter]):
        await decide(run, "t1.c1", "approve", by="eve")
        await until(run, lambda s: s.waiting and s.waiting[0].digest != first.digest)
        await run.signal("approve", {"gate": "t1.c1", "digest": first.digest, "by": "eve"})
        second = (await status(run)).waiting[0]
        await run.signal("approve", {"gate": "t1.c1", "digest": second.digest, "by": "eve"})
        await run.signal("approve", {"gate": "t1.c1", "digest": second.digest, "by": "ann"})
        await run.result()
        shown = await status(run)
    found = await told(house, run)

    assert found.rules == shown.rules == RuleSet().with_people_of(stricter.rules).version
    assert [(gate.how, gate.by, gate.people, gate.rule) for gate in steps(found, GateStep)] == [
        ("approve", ("eve",), (), None),
        ("approve", ("ann",), ("manager",), "ours"),
    ]
    assert [step.accepted for step in steps(found, DecisionStep)][-2:] == [False, True]
    assert [call.returned for call in steps(found, CallStep)] == [1]


async def test_a_message_to_the_agent_is_told_with_the_turn_that_saw_it(house: House) -> None:
    house.fake.script([calls(("look", {"text": "x"})), delays(says("done"), 30), says("done then")])
    async with house.worker(counted("look")):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.turn == 2)
        await run.execute_update("pause", {"by": "bob", "reason": "lunch"})
        await run.execute_update("resume", {"by": "bob"})
        await run.signal("resume", {"by": "bob"})
        await run.signal("say", {"by": "ann", "text": "Hurry up.", "policy": "interrupt"})
        await run.signal("say", {"text": "by nobody"})
        await run.result()
    found = await told(house, run)

    steered = [(step.name, step.by, step.said, step.accepted, step.seen) for step in steps(found, SteerStep)]
    assert steered == [
        ("pause", "bob", "lunch", True, None),
        ("resume", "bob", None, True, None),
        ("resume", "bob", None, False, None),
        ("say", "ann", "Hurry up.", True, 2),
        ("say", None, None, False, None),
    ]
    assert [(step.turn, step.state) for step in steps(found, ModelStep)] == [
        (1, "done"),
        (2, "cancelled"),
        (2, "done"),
    ]
    shown = screen(found)
    assert "said by ann: Hurry up., seen at turn 2 (signal)" in shown
    assert "resume by bob, refused: it is not paused" in shown


async def test_a_run_that_a_message_cancels_says_by_whom(house: House) -> None:
    house.fake.script([holds(says("never"))])
    async with house.worker(counted("look")):
        run = await house.start(agent="tester")
        await house.fake.wait_held()
        await run.signal("cancel", {"by": "ann", "reason": "wrong customer"})
        with pytest.raises(WorkflowFailureError):
            await run.result()
    found = await told(house, run)

    [step] = steps(found, SteerStep)
    assert (step.name, step.by, step.said, step.accepted) == ("cancel", "ann", "wrong customer", True)
    assert found.ending is not None
    assert found.ending.phase == "cancelled"


async def test_a_gate_that_nobody_answers_is_told_with_its_timer_and_who_was_next(house: House) -> None:
    pay = counted("pay", PAYS)
    terms = {"approvers": ["manager"], "deadline": "2s", "escalate": [{"after": "1s", "to": ["director"]}]}
    house.fake.script([calls(("pay", {"text": "x"})), says("not paid")])
    async with house.worker(pay, agents=[ruled(pay, terms=terms)]):
        run = await house.start(agent="tester")
        await run.result()
    found = await told(house, run)

    [gate] = steps(found, GateStep)
    assert (gate.how, gate.by, gate.people, gate.rule) == ("nobody", (), ("manager", "director"), "ours")
    assert gate.deadline is not None
    assert [(wait.gate, wait.state) for wait in steps(found, WaitStep)] == [
        ("t1.c1", "over"),
        ("t1.c1", "over"),
    ]
    assert [(note.what, note.text) for note in steps(found, NoteStep)] == [
        ("t1.c1", "now asks manager, director")
    ]
    assert [(call.state, call.dispatches) for call in steps(found, CallStep)] == [("denied", 0)]
    assert "closed by nobody's decision" in screen(found)


async def test_every_trajectory_under_rules_with_an_override_says_so_on_top(house: House) -> None:
    launch = counted("launch", GRAVE)
    override = {
        "name": "launch week",
        "by": "cto",
        "reason": "it is planned",
        "until": "2099-01-01T00:00:00Z",
    }
    agent = ruled(launch, verdict="allow", override=override)
    house.fake.script([calls(("launch", {"text": "x"})), says("launched")], task="launch it")
    house.fake.script([says("nothing to do")], task="rest")
    async with house.worker(launch, agents=[agent]):
        run = await house.start("launch it", agent="tester")
        idle = await house.start("rest", agent="tester")
        await run.result()
        await idle.result()
    found, quiet = await told(house, run), await told(house, idle)

    assert [call.override for call in steps(found, CallStep)] == ["launch week"]
    [line], [none] = found.overrides, quiet.overrides
    assert (line.name, line.rule, line.by, line.calls) == ("launch week", "ours", "cto", ("t1.c1",))
    assert (none.name, none.calls) == ("launch week", ())
    assert "override launch week (rule ours) by cto until 2099-01-01 00:00 UTC: it is planned" in screen(
        quiet
    )
    assert "calls that went ahead under it: t1.c1" in screen(found)
    assert "under override launch week" in screen(found)


# --- hand-made histories ----------------------------------------------------------------------------------------


def past(**changes: Any) -> Past:
    return Past(rules=rules(), **changes).replies(("pay", 5)).shows(card("t1.c1"))


def test_a_card_that_says_more_than_before_is_no_new_gate() -> None:
    shown = past().shows(card("t1.c1", approved_by=["ann"], reminded=1)).shows(card("t1.c1", asks=["boss"]))
    [gate] = steps(trajectory_of(shown.chain), GateStep)

    assert (gate.closed, gate.votes, gate.people) == (None, ("ann",), ("boss",))


def test_a_gate_that_the_run_goes_on_showing_was_not_closed_by_what_seemed_to() -> None:
    shown = past().decides("t1.c1", "approve").shows(card("t1.c1", reminded=1))
    found = trajectory_of(shown.chain)

    [gate], [step] = steps(found, GateStep), steps(found, DecisionStep)
    assert (gate.closed, gate.how) == (None, None)
    assert (step.accepted, step.reason) == (False, "the run did not take it: the gate stayed open")


def test_what_came_while_an_edit_was_being_checked_is_taken_after_it() -> None:
    shown = (
        past()
        .decides("t1.c1", "edit", by="ann", arguments={"amount": 3})
        .decides("t1.c1", "approve", by="bob")
    )
    before = trajectory_of(shown.chain)
    shown.activity("t1.c1.edit", "agent.preview", None, {"text": ""})
    after = trajectory_of(shown.hides("t1.c1").chain)

    assert [step.accepted for step in steps(before, DecisionStep)] == [None, None]
    assert [step.accepted for step in steps(after, DecisionStep)] == [True, False]
    assert steps(after, GateStep)[0].by == ("ann",)


def test_an_edit_that_does_not_fit_changes_nothing_and_what_came_after_it_counts() -> None:
    shown = (
        past().decides("t1.c1", "edit", by="ann", arguments={"x": 3}).decides("t1.c1", "approve", by="bob")
    )
    shown.activity("t1.c1.edit", "agent.preview", None, {"problem": "amount: it is missing"})
    found = trajectory_of(shown.hides("t1.c1").chain)

    first, second = steps(found, DecisionStep)
    assert (first.accepted, first.reason) == (False, "amount: it is missing")
    assert (second.accepted, second.closes) == (True, True)


def test_an_edit_whose_check_failed_was_refused() -> None:
    shown = past().decides("t1.c1", "edit", by="ann", arguments={"amount": 3})
    number = shown.begins("t1.c1.edit", "agent.preview", None)
    shown.add("activity_task_failed", scheduled_event_id=number, failure={"message": "down"})

    assert [step.accepted for step in steps(trajectory_of(shown.chain), DecisionStep)] == [False]


def test_notices_and_previews_are_told() -> None:
    shown = past()
    whole = {**card("t1.c1"), "command": "", "others": []}
    notice = {
        "run": "r1",
        "agent": "tester",
        "tenant": "default",
        "what": "reminds",
        "number": 2,
        "card": whole,
    }
    shown.activity("t1.c1.preview", "agent.preview", None, {"text": "it pays"})
    number = shown.begins("t1.c1.notice.2", "agent.notify", notice)
    shown.add("activity_task_failed", scheduled_event_id=number, failure={"message": "no such host"})
    found = trajectory_of(shown.chain)

    preview, told_of = steps(found, ErrandStep)
    assert (preview.what, preview.about, preview.state) == ("preview", "t1.c1", "done")
    assert (told_of.what, told_of.text, told_of.state, told_of.failure) == (
        "notice",
        "reminds",
        "failed",
        "no such host",
    )
    assert "notice (reminds)  failed: no such host" in screen(found)


def test_a_signed_decision_counts_only_with_its_signature() -> None:
    signed = rules({"name": "r", "tools": ["pay"], "verdict": "ask"}, people={"ann": {"key": "A" * 43 + "="}})
    shown = Past(rules=signed).replies(("pay", 5)).shows(card("t1.c1", rule="r")).decides("t1.c1", "approve")
    [step] = steps(trajectory_of(shown.chain), DecisionStep)

    assert step.accepted is False
    assert "decisions must be signed" in step.reason


def test_a_late_decision_says_who_came_first() -> None:
    shown = (
        past()
        .decides("t1.c1", "approve", by="ann")
        .hides("t1.c1")
        .decides("t1.c1", "deny", by="bob", reason="no")
    )
    late = steps(trajectory_of(shown.chain), DecisionStep)[1]

    assert (late.accepted, late.closes) == (False, False)
    assert "already decided by ann" in late.reason


def test_of_rules_that_a_call_met_right_before_it_was_sent_only_the_people_hold_from_there_on() -> None:
    override = {"name": "week", "by": "cto", "reason": "go", "until": "2099-01-01T00:00:00Z"}
    newer = rules({"name": "go", "tools": ["launch"], "verdict": "allow", "override": override})
    ruling = {"says": "ask", "reason": "x", "dial": "supervised"}
    stale = {
        "why": "the rules have changed",
        "ruling": ruling,
        "rules": newer.model_dump(mode="json", by_alias=True),
    }
    failure = {
        "message": "the rules have changed",
        "application_failure_info": {"type": "Stale", "details": payloads({"attempts": 1, "stale": stale})},
    }
    found = trajectory_of(
        past().decides("t1.c1", "approve").hides("t1.c1").makes("t1.c1", "pay", failure=failure).chain
    )

    assert found.rules == rules().with_people_of(newer).version
    assert found.overrides == ()
    assert digest("t1.c1") == steps(found, GateStep)[0].digest


def test_whether_a_decision_on_a_gate_beyond_those_that_the_memo_shows_was_taken_nobody_can_tell() -> None:
    shown = Past(rules=rules()).replies(*(("pay", number) for number in range(21)))
    shown.shows(*(card(f"t1.c{number}") for number in range(1, 21))).decides("t1.c21", "approve")
    [step] = steps(trajectory_of(shown.chain), DecisionStep)

    assert (step.accepted, step.reason) == (None, "")


def test_what_the_model_says_to_a_persons_question_asks_for_no_calls() -> None:
    reply = {"finish": "calls", "calls": [{"id": "p", "tool": "pay", "arguments": "{}"}], "text": "Because."}
    shown = past()
    shown.activity("t1.c1.aside.1", "agent.model", None, reply)
    found = trajectory_of(shown.chain)

    assert [call.id for call in steps(found, CallStep)] == ["t1.c1"]
    assert [(step.turn, step.aside, step.text) for step in steps(found, ModelStep)][1] == (
        1,
        "t1.c1",
        "Because.",
    )


def test_the_person_the_run_works_for_does_not_count_where_the_gate_says_so() -> None:
    shown = (
        Past(rules=rules(), requester="zoe").replies(("pay", 5)).shows(card("t1.c1", requester_counts=False))
    )
    shown.decides("t1.c1", "approve", by="zoe").decides("t1.c1", "approve", by="ann")

    assert [step.accepted for step in steps(trajectory_of(shown.chain), DecisionStep)] == [False, True]


def test_where_the_rules_are_gone_nobody_is_said_to_have_had_no_say() -> None:
    shown = (
        Past(rules=rules())
        .replies(("pay", 5))
        .shows(card("t1.c1", asks=["manager"]))
        .decides("t1.c1", "approve")
    )
    shown.events[:4] = shown.events[:1]
    [step] = steps(trajectory_of(shown.chain), DecisionStep)

    assert (step.accepted, step.closes) == (True, True)


def test_a_timer_of_a_gate_is_told_apart_from_a_wait_of_the_run() -> None:
    shown = past()
    for why in ("t1.c1: deadline for ann, then deny", "the model provider asked to wait until 12:00:01 UTC"):
        number = shown.add("timer_started", timer_id="1", start_to_fire_timeout={"seconds": 3600})
        shown.events[number - 1].user_metadata.summary.CopyFrom(payloads(why).payloads[0])
    found = trajectory_of(shown.chain)

    assert [(wait.gate, wait.state) for wait in steps(found, WaitStep)] == [
        ("t1.c1", "waiting"),
        (None, "waiting"),
    ]


def test_one_of_several_approvals_and_a_repeat_say_what_they_were() -> None:
    shown = (
        Past(rules=rules())
        .replies(("pay", 5))
        .shows(card("t1.c1", needed=2, asks=["ann", "bob"], rule="two"))
    )
    shown.decides("t1.c1", "approve", by="ann").decides("t1.c1", "approve", by="bob").decides(
        "t1.c1", "approve", by="bob"
    )
    lines = screen(trajectory_of(shown.hides("t1.c1").chain))

    assert "gate: approval, medium risk  pay(amount=5), asks ann, bob, 2 must approve" in lines
    assert "why: asks at dial supervised (rule two)" in lines
    assert "approved by ann (approve by ann: 1 of 2) (signal)" in lines
    assert "approved by bob (signal)" in lines
    assert "approved by bob (already decided by ann, bob at " in lines


def test_a_call_that_rules_refuse_is_told_as_denied_though_nothing_came_of_it() -> None:
    refuses = rules({"name": "never", "tools": ["pay"], "verdict": "refuse"})
    found = trajectory_of(Past(rules=refuses).replies(("pay", 1)).chain)
    [call] = steps(found, CallStep)

    assert (call.state, call.result) == ("denied", "Refused: rule 'never': every call")
