"""Runs that tell a webhook of their gates: once each, whatever happens to their workers; what arrived is the oracle."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import monotonic
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from activities.tools import Tool, tool
from agents.agent import Agent
from agents.effect import Effect
from agents.rules import RuleSet, Rung, Terms
from tests.commands import starter
from tests.fake_openai import calls, says
from tests.fake_service import Delivery, FakeService, answers, holds
from tests.house import SOON, House, decide, status, until
from tests.processes import workers
from tests.test_notify import PATH, SECRET, clock, parts_of, shown, verified

HOSTILE = "<!channel> see <https://evil.example|this> *now*"


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService() as fake:
        fake.script(PATH, idempotent=True)
        yield fake


def hook(service: FakeService) -> dict[str, str]:
    return {"AGENT_NOTIFY_URL": service.url(PATH), "AGENT_NOTIFY_SECRET": SECRET}


@pytest.fixture
def pay() -> Tool:
    @tool(Effect(writes=True, idempotent=False, reversible=False, risk="high"), timeout_seconds=20)
    async def pay(amount: int) -> str:
        """Pay an amount."""
        return f"paid {amount}"

    return pay


@asynccontextmanager
async def told(
    house: House, service: FakeService | None, *tools: Tool, agents: tuple[Agent, ...] = ()
) -> AsyncIterator[None]:
    """A worker whose runs tell this webhook, or none."""
    given = {name.lower(): value for name, value in hook(service).items()} if service else {}
    async with house.worker(*tools, agents=agents, **given):
        yield


async def posted(service: FakeService, count: int, within: float = SOON) -> list[Delivery]:
    """Wait until this many messages have had their effect; the deliveries that did it."""
    async with asyncio.timeout(within):
        while service.effects(PATH) < count:
            await asyncio.sleep(0.02)
    return [delivery for delivery in service.to(PATH) if delivery.effect]


def about(delivery: Delivery) -> tuple[str, str, int]:
    """Which gate, what of it, and the how-manieth of its messages."""
    facts = delivery.json["metadata"]["event_payload"]
    assert delivery.key == facts["key"]
    assert verified(delivery, SECRET, clock())
    return facts["gate"], facts["what"], facts["number"]


async def put_off_by_server(run: WorkflowHandle[Any, Any]) -> None:
    """Wait until the server knows of a failed attempt: from then on it holds the date, whoever dies."""
    async with asyncio.timeout(20):
        while True:
            pending = (await run.describe()).raw_description.pending_activities
            if any(activity.HasField("last_failure") for activity in pending):
                return
            await asyncio.sleep(0.02)


async def waits(run: WorkflowHandle[Any, Any], count: int = 1) -> None:
    await until(run, lambda shown: len(shown.waiting) == count)


async def test_a_run_posts_each_gate_once_over_a_killed_worker_and_a_receiver_that_is_down(
    house: House, service: FakeService
) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=9)
    ahead = clock() - monotonic()
    date = format_datetime(at, usegmt=True)
    # The one gate's message is taken and its answer never comes; the other's is put off until a date.
    service.script(PATH, [answers(503, "down", {"Retry-After": date}), holds(answers())], idempotent=True)
    post = ("http_post", {"url": "https://example.org/orders", "body": "{}"})
    house.fake.script([calls(post, ("ask_human", {"question": HOSTILE})), says("done")])
    with workers(house, **hook(service), AGENT_LOG_LEVEL="DEBUG", AGENT_LOG_PROMPTS="true") as start:
        first = await start().ready()
        run = await house.start()
        await service.wait_held()
        await put_off_by_server(run)
        first.kill()
        await start().ready()

        messages = await posted(service, 2)
        await waits(run, 2)
        await start().ready()  # a worker more
        assert (await decide(run, "t1.c1", "deny", reason="no"))["accepted"]
        assert (await decide(run, "t1.c2", "answer", text="neither"))["accepted"]
        await run.result()
        logs = "".join(log.read_text() for log in sorted(house.workspace.parent.glob("worker-*.log")))

    assert sorted(about(each) for each in messages) == [("t1.c1", "asks", 1), ("t1.c2", "asks", 1)]
    assert service.effects(PATH) == 2
    put_off = service.to(PATH)[0]
    again = next(each for each in service.to(PATH)[1:] if each.key == put_off.key)
    assert put_off.at + ahead < at.timestamp() <= again.at + ahead + 0.1
    # Each message had the same bytes at every attempt: otherwise the service would have refused the second.
    assert {each.key for each in service.to(PATH)} == {each.key for each in messages}
    question = next(each for each in messages if about(each)[0] == "t1.c2")
    assert HOSTILE in shown(question.json)
    assert "evil" not in question.json["text"]
    assert "notice posted" in logs
    hidden = [part for part in parts_of(service.url(PATH)) if part != service.host]
    assert [part for part in hidden if part in logs] == []
    kept = b"".join([event.SerializeToString() async for event in run.fetch_history_events()])
    assert [part for part in hidden if part.encode() in kept] == []


async def test_a_message_that_is_refused_leaves_the_gate_open_and_the_card_says_why(
    house: House, service: FakeService, pay: Tool
) -> None:
    service.script(PATH, [answers(404, "no_service")])
    house.fake.script([calls(("pay", {"amount": 7})), says("done")])
    async with told(house, service, pay):
        run = await house.start(agent="tester")
        shown_status = await until(run, lambda shown: shown.waiting and shown.waiting[0].undelivered)
        assert "answered 404 (no_service)" in shown_status.waiting[0].undelivered
        assert (await decide(run, "t1.c1", "approve"))["accepted"]
        await run.result()

    assert service.deliveries(PATH) == 1


async def test_a_run_that_began_without_a_webhook_posts_nothing(
    house: House, service: FakeService, pay: Tool
) -> None:
    house.fake.script([calls(("pay", {"amount": 7}))])
    async with told(house, None, pay):
        run = await house.start(agent="tester")
        await waits(run)
    async with told(house, service, pay):
        receipt = await run.execute_update("notify", {"by": "ann"})
        await status(run)

    assert (receipt["accepted"], "AGENT_NOTIFY_URL" in receipt["reason"]) == (False, True)
    assert service.deliveries(PATH) == 0


async def test_an_escalation_is_a_message_of_its_own(house: House, service: FakeService, pay: Tool) -> None:
    terms = Terms(approvers=("ann",), escalate=(Rung(after="1s", to=("boss",)),))
    agent = Agent(name="tester", instructions="test", tools=("pay",), rules=RuleSet(default=terms))
    house.fake.script([calls(("pay", {"amount": 7}))])
    async with told(house, service, pay, agents=(agent,)):
        await house.start(agent="tester")
        messages = await posted(service, 2)

    assert [about(each) for each in messages] == [("t1.c1", "asks", 1), ("t1.c1", "escalates", 2)]
    assert [each.json["metadata"]["event_payload"]["asks"] for each in messages] == ["ann", "ann,boss"]


# --- starter.py notify ----------------------------------------------------------------------------------------


async def test_one_run_or_one_gate_is_posted_again_on_request(
    house: House, service: FakeService, pay: Tool
) -> None:
    house.fake.script([calls(("pay", {"amount": 7}), ("pay", {"amount": 8}))])
    async with told(house, service, pay):
        run = await house.start(agent="tester")
        await posted(service, 2)
        both = await starter(house, "notify", run.id)
        await posted(service, 4)
        one = await starter(house, "notify", run.id, "--gate", "t1.c2", "--json")
        messages = await posted(service, 5)
        wrong = await starter(house, "notify", run.id, "--gate", "t9.c9")
        nobody = await starter(house, "notify", "no-such-run")

    assert both.code == 0, both.err
    assert f"{run.id} at t1.c1, t1.c2: Accepted: the webhook is told of t1.c1, t1.c2" in both.out
    assert (one.json["accepted"], one.json["gates"]) == (True, ["t1.c2"])
    assert sorted(about(each) for each in messages) == [
        ("t1.c1", "asks", 1),
        ("t1.c1", "asks", 2),
        ("t1.c2", "asks", 1),
        ("t1.c2", "asks", 2),
        ("t1.c2", "asks", 3),
    ]
    assert (wrong.code, "no such gate is open" in wrong.out) == (1, True)
    assert (nobody.code, "There is no run" in nobody.err) == (1, True)


async def listed_by(house: House, holds: Callable[[Any], object]) -> Any:
    """What the inbox knows, once it is as described: visibility is a moment late."""
    deadline = monotonic() + SOON
    while not holds(found := (await starter(house, "inbox", "--tenant", TENANT, "--json")).json):
        assert monotonic() < deadline, found
    return found


TENANT = "notified"


async def test_everything_that_waits_is_posted_again_on_request(
    house: House, service: FakeService, pay: Tool
) -> None:
    house.fake.script([calls(("pay", {"amount": 7}))] * 2)
    async with told(house, service, pay):
        runs = [await house.start(agent="tester", id=f"{TENANT}/{name}", tenant=TENANT) for name in "ab"]
        await posted(service, 2)
        await listed_by(house, lambda found: found["total"] == 2)
        done = await starter(house, "notify", "--tenant", TENANT, "--json")
        messages = await posted(service, 4)
    unattended = await starter(house, "notify", "--tenant", TENANT, "--json")
    async with told(house, service, pay):
        later = await posted(service, 6)

    assert {each["run"]: each["accepted"] for each in done.json["runs"]} == {run.id: True for run in runs}
    assert [number for _, _, number in map(about, messages)] == [1, 1, 2, 2]
    # With no worker there they are sent as signals, which the runs read once there is one.
    assert [(each["accepted"], each["door"]) for each in unattended.json["runs"]] == [(None, "signal")] * 2
    assert [number for _, _, number in map(about, later)] == [1, 1, 2, 2, 3, 3]
    for run in runs:
        await run.terminate()


async def test_options_that_do_not_go_together_are_refused(house: House) -> None:
    for words in (["--test", "r1"], ["--gate", "t1.c1"], ["--tenant", "No Tenant"]):
        assert (await starter(house, "notify", *words)).code == 2
