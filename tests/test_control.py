"""Human control on a real server: people, terms, deadlines, edits, questions, previews that change; and steering."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError

from activities.tools import Tool, tool
from agents import bounds
from agents.agent import Agent
from agents.effect import Effect
from agents.rules import RuleSet
from tests.fake_openai import calls, delays, says
from tests.house import House, decide, status, until
from tests.tools import counted, hanging, registry

PAYS = Effect(writes=True, idempotent=False, reversible=False, risk="medium")
PEOPLE = {
    "ann": {"roles": ["manager"]},
    "bob": {"roles": ["manager"]},
    "dora": {"roles": ["director"]},
    "cy": {},
}


def ruled(*tools: Tool, people: dict[str, Any] | None = None, **rule: Any) -> Agent:
    """An agent with one rule for all its tools."""
    given = {
        "people": PEOPLE if people is None else people,
        "rules": [{"name": "ours", "tools": ["*"], **rule}],
    }
    names = tuple(t.spec.name for t in tools)
    return Agent(name="tester", instructions="test", tools=names, rules=RuleSet.model_validate(given))


async def message(run: WorkflowHandle[Any, Any], name: str, **body: Any) -> dict[str, Any]:
    receipt: dict[str, Any] = await run.execute_update(name, {"by": "ann", **body})
    return receipt


async def test_two_managers_are_needed_and_nobody_else_counts(house: House) -> None:
    pay = counted("pay_two", PAYS)
    agent = ruled(pay, terms={"approvers": ["manager"], "needed": 2, "requester_counts": False})
    house.fake.script([calls(("pay_two", {"text": "x"})), says("paid")])
    async with house.worker(pay, agents=[agent]):
        run = await house.start(agent="tester", requester="bob")
        waiting = await until(run, lambda s: s.waiting)
        card = waiting.waiting[0]
        stranger = await decide(run, "t1.c1", "approve", by="cy")
        requester = await decide(run, "t1.c1", "approve", by="bob")
        first = await decide(run, "t1.c1", "approve", by="ann")
        again = await decide(run, "t1.c1", "approve", by="ann")
        handed = await decide(run, "t1.c1", "delegate", by="ann", to="cy")
        stand_in = await decide(run, "t1.c1", "approve", by="cy")
        shown = await status(run)
        assert registry.total("pay_two") == 0
        await decide(run, "t1.c1", "delegate", by="ann", to="dora")
        same_seat = await decide(run, "t1.c1", "approve", by="dora")
        await decide(run, "t1.c1", "deny", by="ann", reason="one of us is away")
        await run.result()

    assert (card.asks, card.needed) == (("manager",), 2)
    assert "it asks manager" in stranger["reason"]
    assert "works for" in requester["reason"]
    assert first == {"accepted": True, "reason": "approve by ann: 1 of 2"}
    assert again["accepted"]
    assert "already approved by ann" in again["reason"]
    assert handed["accepted"]
    assert not stand_in["accepted"]
    assert "in that place already" in stand_in["reason"]
    assert not same_seat["accepted"]
    assert shown.waiting[0].approved_by == ("ann",)
    assert registry.total("pay_two") == 0


async def test_an_edit_runs_with_the_new_arguments_and_the_model_is_told(house: House) -> None:
    ran: list[str] = []

    @tool(PAYS)
    async def pay_edited(text: str) -> str:
        """Pays."""
        ran.append(text)
        return "paid"

    house.fake.script([calls(("pay_edited", {"text": "120"})), says("done")])
    async with house.worker(pay_edited):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
        wrong = await decide(run, "t1.c1", "edit", arguments={"txet": "100"})
        same = await decide(run, "t1.c1", "edit", arguments={"text": "120"})
        right = await decide(run, "t1.c1", "edit", arguments={"text": "100"})
        await run.result()
        shown = await status(run)

    assert ran == ["100"]
    assert not wrong["accepted"]
    assert "txet" in wrong["reason"]
    assert "approve the call instead" in same["reason"]
    assert right == {"accepted": True, "reason": 'edit by ann: text: "120" → "100"'}
    told = house.fake.requests[1].raw.decode()
    assert "ann changed the arguments" in told
    assert shown.calls[0].summary == 'text="100"'
    assert len(shown.rejected) == 2


def published(board: Path) -> Tool:
    """A tool whose preview is what the board says now."""

    async def preview(text: str) -> str:
        return f"{board.read_text()} -> {text}"

    @tool(PAYS, preview=preview)
    async def publish(text: str) -> str:
        """Publishes."""
        registry.begin("publish")
        board.write_text(text)
        return "published"

    return publish


async def test_an_approval_is_returned_when_the_world_has_changed_since(house: House, tmp_path: Path) -> None:
    board = tmp_path / "board"
    board.write_text("old")
    before = registry.total("publish")
    house.fake.script([calls(("publish", {"text": "new"}), text="The board is out of date."), says("done")])
    async with house.worker(published(board)):
        run = await house.start(agent="tester")
        first = (await until(run, lambda s: s.waiting)).waiting[0]
        board.write_text("somebody else's")
        await decide(run, "t1.c1", "approve")
        second = (await until(run, lambda s: s.waiting and s.waiting[0].digest != first.digest)).waiting[0]
        late = await run.execute_update(
            "decide", {"gate": "t1.c1", "kind": "approve", "digest": first.digest, "by": "bob"}
        )
        assert registry.total("publish") == before
        await decide(run, "t1.c1", "approve")
        await run.result()
        shown = await status(run)

    assert first.preview == "old -> new"
    assert first.stated == "The board is out of date."
    assert second.preview == "somebody else's -> new"
    assert "-old -> new" in second.changed
    assert not late["accepted"]
    assert registry.total("publish") == before + 1
    assert board.read_text() == "new"
    assert shown.counts == {"done": 1}


async def test_an_edit_of_a_call_with_a_preview_asks_again_with_the_preview_of_the_edit(
    house: House, tmp_path: Path
) -> None:
    board = tmp_path / "board"
    board.write_text("old")
    house.fake.script([calls(("publish", {"text": "new"})), says("done")])
    async with house.worker(published(board)):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
        receipt = await decide(run, "t1.c1", "edit", arguments={"text": "better"})
        card = (await status(run)).waiting[0]
        await decide(run, "t1.c1", "approve")
        await run.result()

    assert receipt["accepted"]
    assert "asks again" in receipt["reason"]
    assert card.preview == "old -> better"
    assert 'text: "new" → "better"' in card.changed
    assert board.read_text() == "better"


async def test_one_approval_lets_so_many_further_calls_pass_and_no_more(house: House) -> None:
    pay = counted("pay_granted", PAYS)
    one = ("pay_granted", {"text": "small"})
    house.fake.script(
        [calls(one), calls(one, one), calls(("pay_granted", {"text": "big"})), calls(one), says("ok")]
    )
    grant = {"calls": 2, "lasts": "1h", "when": {"field": "text", "is": "=", "value": "small"}}
    async with house.worker(pay):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
        await decide(run, "t1.c1", "approve", grant=grant)
        big = await until(run, lambda s: s.waiting and s.waiting[0].gate == "t3.c1")
        assert registry.total("pay_granted") == 3
        await decide(run, "t3.c1", "deny", reason="no")
        await until(run, lambda s: s.waiting and s.waiting[0].gate == "t4.c1")
        await decide(run, "t4.c1", "approve")
        await run.result()

    assert [(g.tool, g.left, g.by) for g in big.grants] == [("pay_granted", 0, "ann")]


async def test_a_question_is_answered_by_the_agent_and_the_gate_stays_open(house: House) -> None:
    pay = counted("pay_asked", PAYS)
    house.fake.script(
        [
            calls(("pay_asked", {"text": "x"}), ("look_asked", {"text": "y"})),
            says("Because the invoice says so."),
            says("done"),
        ]
    )
    async with house.worker(pay, counted("look_asked")):
        run = await house.start(agent="tester")
        before = (await until(run, lambda s: s.waiting)).waiting[0]
        asked = await decide(run, "t1.c1", "ask", text="Why this much?")
        answered = await until(run, lambda s: s.waiting[0].thread and s.waiting[0].thread[0].answer)
        await decide(run, "t1.c1", "approve")
        result = await run.result()

    card = answered.waiting[0]
    assert asked["accepted"]
    assert card.digest == before.digest
    assert card.thread[0].answer == "Because the invoice says so."
    assert result["answer"] == "done"
    assert "Why this much?" in house.fake.requests[1].raw.decode()
    assert "Why this much?" not in house.fake.requests[2].raw.decode()
    assert house.fake.paid == 3


@pytest.mark.parametrize("nobody", ["deny", "end", "ask_again", "escalate"])
async def test_what_happens_when_nobody_answers(house: House, nobody: str) -> None:
    pay = counted("pay_late", PAYS)
    ladder = {"escalate": [{"after": "1h", "to": ["director"]}]} if nobody == "escalate" else {}
    agent = ruled(pay, terms={"approvers": ["manager"], "deadline": "1s", "nobody": nobody, **ladder})
    house.fake.script([calls(("pay_late", {"text": "x"})), says("gave up")])
    total = registry.total("pay_late")
    async with house.worker(pay, agents=[agent]):
        run = await house.start(agent="tester")
        first = (await until(run, lambda s: s.waiting)).waiting[0]
        assert first.deadline is not None
        match nobody:
            case "deny":
                assert (await run.result())["answer"] == "gave up"
                shown = await status(run)
                assert shown.counts == {"denied": 1}
                late = await house.client.get_workflow_handle(run.id).query("transcript", args=[0, 0])
                assert "nobody had decided by" in json.dumps(late)
            case "end":
                with pytest.raises(WorkflowFailureError) as failed:
                    await run.result()
                assert "nobody decided at gate t1.c1" in str(failed.value.cause)
            case "ask_again":
                again = await until(run, lambda s: s.waiting and s.waiting[0].digest != first.digest)
                assert again.waiting[0].changed.startswith("nobody had decided by")
                await decide(run, "t1.c1", "deny", reason="no")
                await run.result()
            case _:
                climbed = await until(run, lambda s: s.waiting and "director" in s.waiting[0].asks)
                assert climbed.waiting[0].digest == first.digest
                await decide(run, "t1.c1", "deny", by="dora", reason="no")
                await run.result()
    assert registry.total("pay_late") == total


async def test_deadlines_and_ladders_outlive_their_worker_and_continue_as_new(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay = counted("pay_ladder", PAYS)
    terms = {
        "approvers": ["manager"],
        "deadline": "6s",
        "escalate": [{"after": "3s", "to": ["director"]}],
    }
    agent = ruled(pay, terms=terms)
    house.fake.script([calls(("pay_ladder", {"text": "x"})), says("gave up")])
    async with house.worker(pay, agents=[agent]):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
        monkeypatch.setattr(bounds, "CONTINUE_EVENTS", 0)
        await message(run, "say", text="go on")  # a step, after which the run continues as new
        assert (await run.describe()).run_id != run.first_execution_run_id
        latest = house.client.get_workflow_handle(run.id)
        timers: list[str] = []
        while not timers:
            events = [e async for e in latest.fetch_history_events()]
            started = [e for e in events if e.HasField("timer_started_event_attributes")]
            timers = [e.user_metadata.summary.data.decode() for e in started]
    assert timers == ['"t1.c1: then director may decide too"']
    async with house.worker(pay, agents=[agent]):
        climbed = await until(run, lambda s: s.waiting and "director" in s.waiting[0].asks)
        assert climbed.waiting[0].asks == ("manager", "director")
        assert (await run.result())["answer"] == "gave up"
        assert (await status(run)).counts == {"denied": 1}


async def test_stricter_rules_of_a_later_day_hold_for_what_was_approved_before(house: House) -> None:
    pay = counted("pay_today", PAYS)
    house.fake.script([calls(("pay_today", {"text": "x"})), says("ok")])
    lax = ruled(pay, terms={"approvers": ["manager"]})
    strict = ruled(pay, terms={"approvers": ["director"]})
    async with house.worker(pay, agents=[lax]):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
    async with house.worker(pay, agents=[strict]):
        await decide(run, "t1.c1", "approve")
        again = await until(run, lambda s: s.waiting and s.waiting[0].asks == ("director",))
        assert registry.total("pay_today") == 0
        assert again.waiting[0].changed
        await decide(run, "t1.c1", "approve", by="dora")
        await run.result()
    assert registry.total("pay_today") == 1


async def test_rules_that_refuse_by_now_stop_what_was_approved_before(house: House) -> None:
    pay = counted("pay_never", PAYS)
    house.fake.script([calls(("pay_never", {"text": "x"})), says("ok")])
    lax = ruled(pay, terms={"approvers": ["manager"]})
    strict = ruled(pay, verdict="refuse")
    async with house.worker(pay, agents=[lax]):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
    async with house.worker(pay, agents=[strict]):
        await decide(run, "t1.c1", "approve")
        await run.result()
        shown = await status(run)
    assert shown.counts == {"denied": 1}
    assert registry.total("pay_never") == 0
    assert "Refused: rule 'ours'" in house.fake.requests[1].raw.decode()


async def test_what_a_person_says_is_seen_at_the_next_turn(house: House) -> None:
    house.fake.script([delays(calls(("look_said", {"text": "a"})), 1.0), says("ok")])
    async with house.worker(counted("look_said")):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.turn == 1)
        receipt = await message(run, "say", text="mind the gap", id="m1")
        twice = await message(run, "say", text="mind the gap", id="m1")
        await run.result()
        shown = await status(run)

    assert receipt == {"accepted": True, "reason": "message 1: the agent sees it at its next turn"}
    assert twice["reason"] == "already said by ann as message 1"
    assert [(s.by, s.seen) for s in shown.said] == [("ann", 2)]
    assert "mind the gap" in house.fake.requests[1].raw.decode()


async def test_a_final_answer_that_crosses_with_a_message_is_not_the_end(house: House) -> None:
    house.fake.script([delays(says("finished"), 1.0), says("with that in mind: finished")])
    async with house.worker(counted("unused")):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.turn == 1)
        await asyncio.sleep(0.3)
        await message(run, "say", text="one more thing")
        assert (await run.result())["answer"] == "with that in mind: finished"


async def test_an_interruption_cancels_the_model_call_and_makes_it_again(house: House) -> None:
    house.fake.script([delays(says("too late"), 30.0), says("changed course")])
    async with house.worker(counted("unused2")):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.turn == 1)
        await asyncio.sleep(0.5)
        receipt = await message(run, "say", text="stop, do this", policy="interrupt")
        result = await asyncio.wait_for(run.result(), 20)
        shown = await status(run)

    assert "is made again with it" in receipt["reason"]
    assert result["answer"] == "changed course"
    assert [s.seen for s in shown.said] == [1]
    assert shown.rejected_total == 0


async def test_a_paused_run_starts_nothing_until_it_is_resumed(house: House) -> None:
    pay = counted("pay_paused", PAYS)
    house.fake.script([calls(("pay_paused", {"text": "x"})), says("ok")])
    async with house.worker(pay):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
        paused = await message(run, "pause", reason="lunch")
        await decide(run, "t1.c1", "approve")
        shown = await status(run)
        await asyncio.sleep(0.5)
        assert registry.total("pay_paused") == 0
        twice = await message(run, "pause")
        resumed = await message(run, "resume")
        await run.result()

    assert paused["accepted"]
    assert shown.phase == "paused"
    assert shown.paused is not None
    assert shown.paused.reason == "lunch"
    assert not twice["accepted"]
    assert resumed["accepted"]
    assert registry.total("pay_paused") == 1


@pytest.mark.parametrize("door", ["signal", "update"])
async def test_cancel_ends_the_run_as_cancelled_and_says_by_whom(house: House, door: str) -> None:
    house.fake.script([calls(("hang_c", {"text": "x"})), says("ok")])
    async with house.worker(hanging("hang_c")):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.calls and s.calls[0].state == "in flight")
        body = {"by": "ann", "reason": "wrong customer"}
        await (run.signal("cancel", body) if door == "signal" else run.execute_update("cancel", body))
        with pytest.raises(WorkflowFailureError) as failed:
            await run.result()
        shown = await status(run)

    assert isinstance(failed.value.cause, CancelledError)
    assert shown.phase == "cancelled"
    assert shown.error == "cancelled by ann: wrong customer"
    assert shown.counts == {"failed": 1}


async def test_a_refused_steering_message_shows_under_rejected(house: House) -> None:
    async with house.worker(counted("pay_odd", PAYS)):
        house.fake.script([calls(("pay_odd", {"text": "x"})), says("ok")])
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
        await run.signal("say", {"by": "ann"})
        await run.signal("pause", {"by": "ann", "until": "monday"})
        await run.signal("resume", {"by": "ann"})
        await run.signal("notify", {"by": "ann"})
        shown = await until(run, lambda s: s.rejected_total == 4)
        await decide(run, "t1.c1", "deny", reason="no")
        await run.result()

    reasons = [refused.reason for refused in shown.rejected]
    assert reasons[0].startswith("text: Field required")
    assert reasons[1].startswith("until: Extra inputs")
    assert reasons[2] == "it is not paused"
    assert "AGENT_NOTIFY_URL" in reasons[3]


async def test_old_runs_without_a_deadline_wait_for_ever(house: House) -> None:
    pay = counted("pay_forever", PAYS)
    house.fake.script([calls(("pay_forever", {"text": "x"})), says("ok")])
    async with house.worker(pay):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting)
        events = [e async for e in run.fetch_history_events()]
        assert not [e for e in events if e.HasField("timer_started_event_attributes")]
        assert (await status(run)).waiting[0].deadline is None
        await decide(run, "t1.c1", "deny", reason="no")
        await run.result()
