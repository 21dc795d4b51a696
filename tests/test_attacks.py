"""What people, receivers and tools can do to a run's control on purpose, on a real server. Each once broke a run."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import RawValue, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.service import RPCError, RPCStatusCode

from activities.tools import Tool, tool
from agents.agent import Agent
from agents.card import Card
from agents.effect import Effect
from agents.rules import MORE, RuleSet
from agents.search_attributes import AGENT_PHASE, AGENT_WAITING_ON
from runtime.server_flags import PRODUCTION_DYNAMIC_CONFIG
from tests.commands import starter
from tests.fake_openai import calls, delays, holds, says
from tests.fake_service import FakeService, answers
from tests.house import SOON, House, decide, status, until
from tests.planted import memo_card, plant, shown_as
from tests.tools import counted, registry
from workflows import options

PAYS = Effect(writes=True, idempotent=False, reversible=False, risk="medium")
SIGNALS = int(PRODUCTION_DYNAMIC_CONFIG["history.maximumSignalsPerExecution"])


def ruled(*tools: Tool, people: dict[str, Any] | None = None, **rule: Any) -> Agent:
    """An agent with one rule for all its tools."""
    given = {"people": people or {}, "rules": [{"name": "ours", "tools": ["*"], **rule}]}
    rules = RuleSet.model_validate(given)
    return Agent(name="tester", instructions="test", tools=tuple(t.spec.name for t in tools), rules=rules)


async def asked(run: WorkflowHandle[Any, Any], *, other_than: str = "") -> Card:
    """The card of the run's one gate, once it is open, and once it asks for something else than that."""
    shown = await until(run, lambda s: s.waiting and s.waiting[0].digest != other_than)
    return shown.waiting[0]


async def sends(run: WorkflowHandle[Any, Any], card: Card, kind: str, **fields: Any) -> None:
    """A decision as a signal, which waits for nothing."""
    await run.signal(
        "decide", {"gate": card.gate, "digest": card.digest, "kind": kind, "by": "ann", **fields}
    )


async def failed_tasks(run: WorkflowHandle[Any, Any]) -> list[str]:
    """Why workflow tasks of this run failed: each of them would be tried again for ever."""
    found = [
        event.workflow_task_failed_event_attributes.failure.message
        async for event in run.fetch_history_events()
        if event.HasField("workflow_task_failed_event_attributes")
    ]
    pending = (await run.describe()).raw_description.pending_workflow_task
    return [*found, *(["and once more"] if pending.attempt > 1 else [])]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["x", "\U0001f600", "\x7f"], ids=ascii)
async def test_a_run_that_asks_thirty_people_of_long_names_lives_and_each_finds_it(
    house: House, letter: str
) -> None:
    names = [f"p{number} {letter * 86}" for number in range(30)]
    pay = counted("pay_many", PAYS)
    agent = ruled(pay, terms={"approvers": names})
    house.fake.script([calls(("pay_many", {"text": "x"})), says("done")])
    async with house.worker(pay, agents=[agent]):
        run = await house.start(agent="tester", id=f"{house.queue}/r", tenant=house.queue)
        card = await asked(run)
        await shown_as(house, f"WorkflowId = '{run.id}' AND {AGENT_WAITING_ON.name} = '{MORE}'")
        found = [
            await starter(house, "inbox", "--tenant", house.queue, "--json", "--mine", name)
            for name in (names[0], names[-1], "somebody else")
        ]
        await decide(run, card.gate, "approve", by=names[-1])
        await run.result()

    assert [ended.json["total"] for ended in found] == [1, 1, 0]
    assert card.asks == tuple(names)


async def test_what_somebody_approved_who_has_left_since_is_not_sent_and_asks_again(house: House) -> None:
    pay = counted("pay_left", PAYS)
    manager, terms = {"roles": ["manager"]}, {"approvers": ["manager"]}
    then = ruled(pay, people={"ann": manager, "bob": manager}, terms=terms)
    today = ruled(pay, people={"bob": manager}, terms=terms)
    house.fake.script([calls(("pay_left", {"text": "x"})), says("done")])
    before = registry.total("pay_left")
    async with house.worker(pay, agents=[then]):
        run = await house.start(agent="tester")
        first = await asked(run)
    await sends(run, first, "approve")
    async with house.worker(pay, agents=[today]):
        again = await asked(run, other_than=first.digest)
        sent = registry.total("pay_left") - before
        await decide(run, again.gate, "approve", by="bob")
        await run.result()

    assert (sent, registry.total("pay_left") - before) == (0, 1)
    assert "ann, who approved it, may not decide any more" in again.changed


# --- floods -----------------------------------------------------------------------------------------------------------


async def test_a_run_goes_on_after_two_hundred_large_signals_that_came_while_no_worker_was_there(
    house: House,
) -> None:
    pay = counted("pay_flooded", PAYS)
    two = [("pay_flooded", {"text": text}) for text in ("x", "y")]
    house.fake.script([calls(*two), says("done")])
    async with house.worker(pay):
        run = await house.start(agent="tester")
        card = await asked(run)
        await decide(run, card.gate, "deny", reason="no")
    # Nearly what was said before: to tell that it is not, all of it has to be looked at.
    large = {"gate": card.gate, "digest": card.digest, "kind": "deny", "by": "ann", "reason": "no"}
    large["arguments"] = {"a": [[] for _ in range(15_000)]}
    for _ in range(4):
        await asyncio.gather(*(run.signal("decide", large) for _ in range(50)))
    async with house.worker(pay):
        await until(run, lambda s: s.rejected_total == 200)
        await decide(run, "t1.c2", "approve")
        await run.result()

    assert await failed_tasks(run) == []


async def test_a_run_takes_only_so_many_signals_the_sender_is_told_and_it_goes_on(house: House) -> None:
    pay = counted("pay_flooded", PAYS)
    house.fake.script([calls(("pay_flooded", {"text": "x"})), says("done")])
    async with house.worker(pay):
        run = await house.start(agent="tester")
        card = await asked(run)
    sent: list[BaseException | None] = []
    for _ in range(30):
        some = (run.signal("nothing", 1) for _ in range(100))
        sent += await asyncio.gather(*some, return_exceptions=True)
    refused = [error for error in sent if error is not None]
    async with house.worker(pay):
        await until(run, lambda s: s.rejected_total == SIGNALS)
        receipt = await decide(run, card.gate, "approve")
        await run.result()

    assert len(refused) == len(sent) - SIGNALS > 0
    assert all(isinstance(e, RPCError) and e.status is RPCStatusCode.INVALID_ARGUMENT for e in refused)
    assert "limit for signal" in str(refused[0])
    assert receipt["accepted"]
    assert await failed_tasks(run) == []


# --- one thing under way twice ----------------------------------------------------------------------------------------


async def test_a_question_at_a_gate_that_asks_again_does_not_meet_the_one_from_before(house: House) -> None:
    pay = counted("pay_asking", PAYS)
    agent = ruled(pay, terms={"deadline": "3s", "nobody": "ask_again"})
    slow = delays(says("late"), 60)
    house.fake.script([calls(("pay_asking", {"text": "x"})), slow, says("Because."), says("done")])
    async with house.worker(pay, agents=[agent]):
        run = await house.start(agent="tester")
        first = await asked(run)
        await sends(run, first, "ask", text="Why?")
        await requested(house, 2)
        second = await asked(run, other_than=first.digest)
        await sends(run, second, "ask", text="And now?")
        await requested(house, 3)
        await run.cancel()
        with pytest.raises(WorkflowFailureError):
            await run.result()

    assert await failed_tasks(run) == []


async def requested(house: House, count: int) -> None:
    """Wait until the model has been asked so often."""
    async with asyncio.timeout(SOON):
        while len(house.fake.requests) < count:
            await asyncio.sleep(0.02)


def board_publisher(board: Path) -> Tool:
    """A tool whose preview is what the board says now."""

    async def preview(text: str) -> str:
        return f"{board.read_text()} -> {text}"

    @tool(PAYS, preview=preview)
    async def publish_board(text: str) -> str:
        """Publishes."""
        return "published"

    return publish_board


async def test_a_question_after_an_approval_was_returned_does_not_meet_the_one_from_before(
    house: House, tmp_path: Path
) -> None:
    board = tmp_path / "board"
    board.write_text("1")
    slow = delays(says("late"), 60)
    house.fake.script([calls(("publish_board", {"text": "x"})), slow, says("Because."), says("done")])
    async with house.worker(board_publisher(board)):
        run = await house.start(agent="tester")
        first = await asked(run)
        await sends(run, first, "ask", text="Why?")
        board.write_text("2")
        await decide(run, first.gate, "approve")
        second = await asked(run, other_than=first.digest)
        await sends(run, second, "ask", text="And now?")
        shown = await until(run, lambda s: s.waiting[0].thread and s.waiting[0].thread[0].answer)
        await decide(run, second.gate, "approve")
        await run.result()

    assert shown.waiting[0].thread[0].answer == "Because."
    assert await failed_tasks(run) == []


async def test_an_edit_that_asks_again_does_not_meet_the_message_to_a_slow_webhook(
    house: House, tmp_path: Path
) -> None:
    board = tmp_path / "board"
    board.write_text("1")
    house.fake.script([calls(("publish_board", {"text": "x"})), says("done")])
    with FakeService() as service:
        service.script("/hook", [holds(answers()), answers()])
        hook = {"agent_notify_url": service.url("/hook"), "agent_notify_secret": "s3cr3t" * 4}
        async with house.worker(board_publisher(board), **hook):
            run = await house.start(agent="tester")
            first = await asked(run)
            await service.wait_held()
            await sends(run, first, "edit", arguments={"text": "y"})
            second = await asked(run, other_than=first.digest)
            async with asyncio.timeout(SOON):
                while service.deliveries("/hook") < 2:
                    await asyncio.sleep(0.02)
            await decide(run, second.gate, "approve")
            await run.result()

    assert await failed_tasks(run) == []


# --- edits whose preview takes long -----------------------------------------------------------------------------------


def slow_payer(seconds: float) -> Tool:
    """A tool whose preview of anything but `x` takes its time."""

    async def preview(text: str) -> str:
        await asyncio.sleep(0 if text == "x" else seconds)
        return text

    @tool(PAYS, preview=preview)
    async def pay_slowly(text: str) -> str:
        """Pays."""
        return "paid"

    return pay_slowly


async def test_of_two_edits_and_a_cancellation_the_run_ends_and_the_edits_show_as_refused(
    house: House,
) -> None:
    house.fake.script([calls(("pay_slowly", {"text": "x"})), says("done")])
    async with house.worker(slow_payer(60)):
        run = await house.start(agent="tester")
        card = await asked(run)
        await sends(run, card, "edit", arguments={"text": "y"})
        await sends(run, card, "edit", arguments={"text": "z"})
        await begun(run, "t1.c1.edit.1")
        await run.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await asyncio.wait_for(run.result(), 10)
        shown = await status(run)

    assert isinstance(ended.value.cause, CancelledError)
    assert [(each.message, each.by) for each in shown.rejected] == [("decide", "ann")] * 2
    assert "could not be checked" in shown.rejected[0].reason
    assert await failed_tasks(run) == []


async def begun(run: WorkflowHandle[Any, Any], activity: str) -> None:
    """Wait until a worker has this activity."""
    async with asyncio.timeout(SOON):
        while True:
            pending = (await run.describe()).raw_description.pending_activities
            if any(each.activity_id == activity and each.HasField("last_started_time") for each in pending):
                return
            await asyncio.sleep(0.02)


async def test_an_edit_whose_preview_hangs_holds_the_run_up_for_a_bounded_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert options.EDIT_TIMEOUT.total_seconds() <= 15
    monkeypatch.setattr(options, "EDIT_TIMEOUT", timedelta(seconds=1))
    house.fake.script([calls(("pay_slowly", {"text": "x"})), says("done")])
    async with house.worker(slow_payer(60)):
        run = await house.start(agent="tester")
        card = await asked(run)
        await sends(run, card, "edit", arguments={"text": "y"})
        receipt = await asyncio.wait_for(decide(run, card.gate, "approve"), 10)
        await run.result()
        shown = await status(run)

    assert receipt["accepted"]
    assert ["could not be checked" in each.reason for each in shown.rejected] == [True]
    assert await failed_tasks(run) == []


# --- a cancellation of a run that is ending ---------------------------------------------------------------------------


async def test_a_run_that_is_cancelled_while_it_ends_ends_as_it_would_have_and_its_call_is_told(
    house: House,
) -> None:
    hears, told = asyncio.Event(), asyncio.Event()

    @tool(PAYS)
    async def send_slowly(text: str) -> str:
        """Sends."""
        registry.begin("send_slowly")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            hears.set()
            await asyncio.sleep(1)
            told.set()
            raise
        return "sent"

    pay = counted("pay_meanwhile", PAYS)
    rules = {"rules": [{"name": "free", "tools": ["send_slowly"], "verdict": "allow"}]}
    names = ("send_slowly", "pay_meanwhile")
    agent = Agent(name="tester", instructions="test", tools=names, rules=RuleSet.model_validate(rules))
    before = registry.total("send_slowly")
    house.fake.script([calls(*((name, {"text": "x"}) for name in names)), says("done")])
    async with house.worker(send_slowly, pay, agents=[agent]):
        run = await house.start(agent="tester")
        await until(run, lambda s: s.waiting and registry.total("send_slowly") > before)
        await decide(run, "t1.c2", "end", reason="stop")
        await hears.wait()
        await run.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await asyncio.wait_for(run.result(), 20)
        shown = await status(run)

    assert told.is_set()
    assert isinstance(ended.value.cause, ApplicationError)
    assert "ended by ann at gate t1.c2: stop" in str(ended.value.cause)
    assert (shown.phase, shown.counts) == ("failed", {"unknown": 1, "waiting": 1})
    assert await failed_tasks(run) == []


# --- memos of others --------------------------------------------------------------------------------------------------

UNDECODABLE = {
    "broken": Payload(metadata={"encoding": b"json/plain"}, data=b"{"),
    "unknown": Payload(metadata={"encoding": b"zz"}, data=b"{}"),
    "none": Payload(data=b"x"),
    "deep": Payload(metadata={"encoding": b"json/plain"}, data=b"[" * 50_000 + b"]" * 50_000),
    "bytes": Payload(metadata={"encoding": b"json/plain"}, data=b"\xff\xfe"),
}


async def test_a_memo_that_cannot_be_read_hides_nothing_of_other_runs(house: House) -> None:
    await plant(house, "good", memo_card())
    phase = SearchAttributePair(SearchAttributeKey.for_keyword(AGENT_PHASE.name), "waiting")
    for name, payload in UNDECODABLE.items():
        run = await house.client.start_workflow(
            "AgentWorkflow",
            {"agent": "assistant", "task": "be listed"},
            id=f"{house.queue}/{name}",
            task_queue=f"nobody-{house.queue}",
            memo={
                "other": RawValue(payload),
                "cards": [memo_card()] if name == "broken" else RawValue(payload),
            },
            search_attributes=TypedSearchAttributes([phase]),
        )
        await shown_as(house, f"WorkflowId = '{run.id}' AND ExecutionStatus = 'Running'")
    said = [await starter(house, word, "--tenant", house.queue, "--json") for word in COMMANDS]
    inbox, overview, listed = [ended.json for ended in said]

    readable = {f"{house.queue}/{name}" for name in ("broken", "good")}
    assert {line["run"] for line in inbox["gates"]} == readable
    assert inbox["without_card"] == sorted(
        f"{house.queue}/{name}" for name in UNDECODABLE if name != "broken"
    )
    assert sum(line["waiting"] for line in overview["lines"]) == 1 + len(UNDECODABLE)
    assert len(listed["runs"]) == 1 + len(UNDECODABLE)


COMMANDS = ("inbox", "overview", "list")
