"""A person steers a run: say, pause, resume, cancel, each by command and by the plain `temporal` binary."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import WorkflowHandle
from temporalio.worker import Worker

from agents.agent import Definition
from agents.bounds import SAY_BYTES
from agents.effect import Dial, Effect
from tests.commands import printed, started, starter, terminal
from tests.fake_openai import calls, holds, says
from tests.house import House, status, until
from tests.pasting import line_with, pasted
from tests.processes import FORKS
from tests.tools import counted, hanging
from workflows.agent import AgentWorkflow

ODD = 'it\'s "quoted"!\n$(id) `id` \\n !! ü 漢 🎉'
WRITE = Effect(writes=True, reversible=False, idempotent=False, risk="high")


def look(*texts: str) -> Any:
    """A reply that reads something, without asking anybody."""
    return calls(*(("look", {"text": text}) for text in texts))


async def working(house: House, *steps: Any, **request: Any) -> WorkflowHandle[Any, Any]:
    """A run of the agent `tester` whose first model call is held."""
    first, *rest = steps
    house.fake.script([holds(first), *rest])
    run = await house.start("work", agent="tester", id=f"steer-{house.queue}", **request)
    await until(run, lambda shown: shown.turn == 1 and len(house.fake.requests) == 1)
    return run


async def at_a_gate(house: House, task: str = "work") -> WorkflowHandle[Any, Any]:
    """A run that waits for a person before it writes."""
    house.fake.script([calls(("write", {"text": "a"})), says("done")])
    run = await house.start(task, agent="tester", id=f"{task}-{house.queue}")
    await until(run, lambda shown: shown.waiting)
    return run


def sent_to_the_model(house: House, request: int) -> str:
    return house.fake.requests[request].raw.decode()


@pytest.fixture(autouse=True, scope="module")
def commands_start_at_once() -> None:
    """The first process of all loads the program, and would hold up a worker's heartbeats for as long."""
    process = FORKS.Process(target=print)
    process.start()
    process.join()


# --- say ------------------------------------------------------------------------------------------------------


async def test_what_is_said_is_seen_at_the_next_turn_and_the_receipt_says_so(house: House) -> None:
    async with house.worker(counted("look")):
        run = await working(house, look("a"), says("done"))
        async with started(house, "say", run.id, ODD, "--wait", "--by", "ann") as out:
            await printed(out, "the agent sees it at its next turn")
            unseen = await starter(house, "status", run.id)
            house.fake.release()
            await printed(out, "Seen at turn 2.")
        seen = await starter(house, "status", run.id)
        await run.result()

    assert 'ann: it\'s "quoted"! $(id)' in unseen.out
    assert "not seen yet" in unseen.out
    assert "seen at turn 2" in seen.out
    assert ODD not in sent_to_the_model(house, 0)
    assert json.dumps(ODD, ensure_ascii=False)[1:-1] in sent_to_the_model(house, 1)


async def test_an_answer_that_did_not_know_the_message_is_not_the_last_word(house: House) -> None:
    async with house.worker(counted("look")):
        run = await working(house, says("too early"), says("in time"))
        ended = await starter(house, "say", run.id, "wait for me", "--by", "ann", "--json")
        house.fake.release()
        result = await run.result()

    assert ended.code == 0
    assert ended.json["accepted"] is True
    assert result["answer"] == "in time"


async def test_an_interruption_cancels_the_model_call_and_goes_on_with_the_message(house: House) -> None:
    async with house.worker(counted("look")):
        run = await working(house, says("never heard"), says("changed"))
        ended = await starter(house, "say", run.id, "stop that", "--interrupt", "--by", "ann", "--wait")
        result = await run.result()

    assert ended.code == 0
    assert "the model call of turn 1 is made again with it" in ended.out
    assert "Seen at turn 1." in ended.out
    assert result["answer"] == "changed"
    assert "stop that" in sent_to_the_model(house, 1)


async def test_what_could_not_be_seen_before_the_end_is_told(house: House) -> None:
    async with house.worker(counted("write", WRITE)):
        run = await at_a_gate(house)
        async with started(house, "say", run.id, "hello", "--wait", "--by", "ann") as out:
            await printed(out, "the agent sees it at its next turn")
            await starter(house, "cancel", run.id)
            await printed(out, "Not seen: the run had ended (cancelled).")
        shown = await starter(house, "status", run.id)
        late = await starter(house, "say", run.id, "hello?")

    assert "not seen: the run had ended" in shown.out
    assert late.code == 1
    assert f"The run {run.id} has ended (cancelled): it takes no more messages." in late.err


async def test_while_no_worker_answers_what_is_said_waits_in_the_history(house: House) -> None:
    house.fake.script([says("done")], task="work")
    run = await house.start("work", agent="tester", id=f"steer-{house.queue}")
    ended = await starter(house, "say", run.id, "hello", "--by", "ann", "--json")
    async with house.worker(counted("look")):
        await run.result()

    assert ended.code == 0
    assert (ended.json["accepted"], ended.json["door"]) == (None, "signal")
    assert "hello" in sent_to_the_model(house, 0)


async def test_a_message_too_long_for_a_run_is_told_before_it_is_sent(house: House) -> None:
    run = await house.start("work", agent="tester", id=f"steer-{house.queue}")
    said = await starter(house, "say", run.id, "x" * (SAY_BYTES + 1))
    paused = await starter(house, "pause", run.id, "--reason", "x" * 1001)
    await run.terminate()

    assert (said.code, paused.code) == (2, 2)
    assert "put it into a file that the agent can read" in said.err
    assert "reason: String should have at most 1000 characters" in paused.err


# --- pause and resume -----------------------------------------------------------------------------------------


async def test_a_paused_run_starts_nothing_more_until_it_is_resumed(house: House) -> None:
    async with house.worker(counted("look")):
        run = await working(house, look("a"), holds(says("done")))
        paused = await starter(house, "pause", run.id, "--reason", "lunch", "--by", "ann")
        again = await starter(house, "pause", run.id, "--by", "bob")
        house.fake.release()
        shown = await until(run, lambda shown: shown.calls)
        screen = await starter(house, "status", run.id)
        with terminal(house, "watch", run.id) as live:
            await live.until("paused by ann")
        resumed = await starter(house, "resume", run.id, "--by", "bob")
        twice = await starter(house, "resume", run.id, "--by", "bob")
        await until(run, lambda shown: shown.turn == 2)
        await run.terminate()

    assert [ended.code for ended in (paused, again, resumed, twice)] == [0, 1, 0, 1]
    assert "paused; in flight until it ends: the model call" in paused.out
    assert "it is paused already, by ann" in again.out
    assert (shown.phase, [call.state for call in shown.calls]) == ("paused", ["planned"])
    assert f"Run {run.id}: paused, turn 1" in screen.out
    assert "ago: lunch" in screen.out
    assert f"starter.py resume {run.id}" in screen.out
    assert "it is not paused" in twice.out


async def test_with_every_worker_dead_status_tells_who_has_paused_and_what_was_said(house: House) -> None:
    async with house.worker(counted("look"), counted("write", WRITE)):
        run = await working(house, look("a"), calls(("write", {"text": "a"})))
        await starter(house, "say", run.id, "first\nline", "--by", "ann")
        house.fake.release()
        await until(run, lambda shown: shown.waiting)
        await starter(house, "pause", run.id, "--by", "bob", "--reason", "lunch")
        await starter(house, "say", run.id, "second", "--by", "cleo")
        alive = (await starter(house, "status", run.id, "--json")).json
    dead = (await starter(house, "status", run.id, "--json")).json
    await run.terminate()

    names = ("by", "text", "seen", "number", "policy")
    assert [[said[name] for name in names] for said in dead["said"]] == [
        [said[name] for name in names] for said in alive["said"]
    ]
    assert [said["seen"] for said in dead["said"]] == [2, None]
    assert (dead["paused"]["by"], dead["paused"]["reason"]) == ("bob", "lunch")
    assert dead["phase"] == alive["phase"] == "paused"


# --- cancel ---------------------------------------------------------------------------------------------------


async def in_the_middle(house: House) -> WorkflowHandle[Any, Any]:
    """A run with one call done, one in flight and one that waits for a person."""
    steps = [look("a"), calls(("hang", {"text": "b"}), ("write", {"text": "c"}))]
    house.fake.script(steps)
    run = await house.start("work", agent="tester", id=f"steer-{house.queue}")
    await until(run, lambda shown: shown.waiting and shown.counts.get("in flight"))
    return run


async def test_a_cancelled_run_lists_what_was_done_what_was_stopped_and_what_never_began(
    house: House,
) -> None:
    async with house.worker(counted("look"), hanging("hang"), counted("write", WRITE)):
        run = await in_the_middle(house)
        ended = await starter(house, "cancel", run.id, "--reason", "wrong task", "--by", "ann")
        shown = await status(run)
        history = await starter(house, "trajectory", run.id)

    assert ended.code == 0
    assert (shown.phase, shown.error) == ("cancelled", "cancelled by ann: wrong task")
    parts = ended.out.partition("Done, and stays done (1):")[2].partition("Stopped in flight:")
    stopped, _, never = parts[2].partition("Never began:")
    assert "look" in parts[0]
    assert "hang" in stopped
    assert "write" in never
    assert "cancelled by ann: wrong task" in history.out.replace("cancel by", "cancelled by")


async def test_the_lists_of_a_cancelled_run_are_in_its_document_too(house: House) -> None:
    async with house.worker(counted("look"), hanging("hang"), counted("write", WRITE)):
        run = await in_the_middle(house)
        ended = await starter(house, "cancel", run.id, "--by", "ann", "--json")

    lists = {name: [call["id"] for call in ended.json[name]] for name in ("done", "stopped", "never_began")}
    assert lists == {"done": ["t1.c1"], "stopped": ["t2.c1"], "never_began": ["t2.c2"]}
    assert (ended.json["accepted"], ended.json["ended"]) == (True, True)


async def test_without_a_worker_a_run_is_cancelled_once_there_is_one_or_terminated_at_once(
    house: House,
) -> None:
    async with house.worker(counted("write", WRITE)):
        run, other = await at_a_gate(house), await at_a_gate(house, "other")
    sent, now = await asyncio.gather(
        starter(house, "cancel", run.id, "--by", "ann", "--reason", "too late"),
        starter(house, "cancel", other.id, "--now", "--by", "ann", "--json"),
    )
    async with house.worker(counted("write", WRITE)):
        shown = await until(run, lambda shown: shown.phase == "cancelled")

    assert (sent.code, now.code) == (0, 0)
    assert "no worker answers" in sent.out
    assert line_with(sent.out, "--now").endswith(f"starter.py cancel {run.id} --now")
    assert shown.error == "cancelled by ann: too late"
    assert [call["id"] for call in now.json["never_began"]] == ["t1.c1"]
    assert (await other.describe()).status.name == "TERMINATED"


@pytest_asyncio.fixture
async def old_run(house: House) -> AsyncIterator[WorkflowHandle[Any, Any]]:
    """A run whose snapshot is from before there were rules, with nobody to make its model call."""
    async with Worker(house.client, task_queue=house.queue, workflows=[AgentWorkflow]):
        run = await house.start("work", id=f"old-{house.queue}")
        before = Definition(
            agent="old", instructions="", model="m", api="chat", tools=(), dial=Dial.SUPERVISED, max_turns=9
        )
        while True:
            found = await run.describe()
            if found.raw_description.pending_activities:
                break
            await asyncio.sleep(0.02)
        name = found.raw_description.pending_activities[0].activity_id
        assert name
        resolve = house.client.get_async_activity_handle(
            workflow_id=run.id, run_id=found.run_id, activity_id=name
        )
        await resolve.complete(before)
        await until(run, lambda shown: shown.turn == 1)
        yield run


async def test_a_run_from_before_there_was_such_a_message_is_cancelled_by_temporal_itself(
    house: House, old_run: WorkflowHandle[Any, Any]
) -> None:
    ended = await starter(house, "cancel", old_run.id, "--by", "ann")

    assert ended.code == 0
    assert "Temporal itself was asked to cancel it" in ended.out
    assert (await status(old_run)).phase == "cancelled"


# --- the plain temporal line of each --------------------------------------------------------------------------


async def test_the_printed_temporal_lines_do_the_same_when_they_are_pasted(house: House) -> None:
    async with house.worker(counted("look")):
        run = await working(house, look("a"), says("done"))
        for words, holds_ in (
            (("say", run.id, ODD), lambda shown: shown.said),
            (("pause", run.id, "--reason", ODD), lambda shown: shown.paused),
            (("resume", run.id), lambda shown: not shown.paused),
            (("cancel", run.id, "--reason", ODD), lambda shown: shown.phase == "cancelled"),
        ):
            before = await status(run)
            line = await starter(house, *words, "--by", "ann", "--print")
            assert (line.code, len(line.out.splitlines())) == (0, 1)
            assert not holds_(before)
            assert (await pasted(line.out, house)).code == 0
            shown = await until(run, holds_)

    assert shown.said[0].text == " ".join(ODD.split())
    assert shown.error == f"cancelled by ann: {ODD}"
    assert shown.rejected == ()


async def test_whoever_follows_a_run_is_told_what_others_say_and_do(house: House) -> None:
    async with house.worker(counted("look")):
        run = await working(house, look("a"), says("done"))
        async with started(house, "watch", run.id) as out:
            await printed(out, "So far: turn 1")
            await starter(house, "say", run.id, "look at b too", "--by", "ann")
            await printed(out, "look at b too")
            await starter(house, "pause", run.id, "--by", "bob")
            await printed(out, "by bob")
            await starter(house, "resume", run.id, "--by", "bob")
            house.fake.release()
            text = await printed(out, "✓ done")

    assert "seen at turn 2" in text
