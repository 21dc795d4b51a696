"""Continue-as-new between any two steps: nobody can tell, and nothing is lost or done twice."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import Priority, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import CancelledError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

import worker
from activities.carry import carry
from activities.tools import ToolContext, tool
from agents import bounds
from agents.effect import READ
from agents.ledger import idempotency_key
from agents.model_call import CarryInput
from runtime.search_attributes import ensure_search_attributes
from tests.chains import Execution, executions
from tests.conftest import own_arguments, started_server
from tests.fake_openai import calls, error, says
from tests.house import House, decide, status, until

SUGGESTED_AFTER = 200
"""Events after which this module's server suggests to continue as new."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """A server on which a short execution may be continued at once, and which suggests it early."""
    # By default the next execution begins only when the last is a second old.
    flags = [
        "history.workflowIdReuseMinimalInterval=0",
        f"limit.historyCount.suggestContinueAsNew={SUGGESTED_AFTER}",
    ]
    arguments = [word for flag in flags for word in ("--dynamic-config-value", flag)]
    async with await started_server(dev_server_extra_args=[*own_arguments(), *arguments]) as environment:
        await ensure_search_attributes(environment.client)
        yield environment


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Continue after every step at which nothing is in flight."""
    monkeypatch.setattr(bounds, "CONTINUE_EVENTS", 0)


STORY = [
    calls(("list_files", {"pattern": "*.md"}), ("read_file", {"path": "a.md"}), text="Let me look."),
    calls(
        ("read_file", {"path": "a.md"}),
        ("write_file", {"path": "b.md", "content": "b"}),
        ("ask_human", {"question": "Which?"}),
        ("read_file", {"colour": "red"}),
        ("write_file", {"path": "c.md", "content": "c"}),
    ),
    error(429, headers={"retry-after": "1"}),
    says("All done."),
]


async def tell(house: House, task: str) -> tuple[dict[str, Any], list[Execution]]:
    """Run a story with all that a run can wait for, and give back what people and programs saw of it."""
    (house.workspace / "a.md").write_text("This is a.")
    (house.workspace / "b.md").unlink(missing_ok=True)
    house.fake.script(STORY, task=task)
    seen: dict[str, Any] = {}
    async with house.worker():
        run = await house.start(task, dial="propose", id=f"{task}-{house.queue}")
        waiting = await until(run, lambda s: len(s.waiting) == 3 and s.counts.get("done") == 3)
        seen["waiting"] = plain(waiting)
        await run.signal("approve", {"gate": "t2.c2", "digest": "0" * 64, "by": "eve"})
        await run.signal("nonsense", "x")
        seen["rejected"] = plain(await until(run, lambda s: s.rejected_total == 2))
        seen["memo"] = sorted(card["gate"] for card in await memo_cards(run))
        seen["denied"] = await decide(run, "t2.c5", "deny", reason="no")
        seen["approved"] = await decide(run, "t2.c2", "approve")
        await until(run, lambda s: s.counts.get("done") == 4)
        seen["answered"] = await decide(run, "t2.c3", "answer", text="this one")
        seen["backoff"] = plain(await until(run, lambda s: s.backoff))
        seen["result"] = (await run.result())["answer"]
        seen["status"] = plain(await status(run))
        seen["transcript"] = nameless(
            json.dumps((await run.query("transcript", args=[0, 0]))["entries"]), task
        )
        seen["calls"] = (await run.query("calls", 0))["total"]
        seen["prompts"] = [nameless(request.history.decode(), task) for request in house.fake.of(task)]
        return seen, await executions(house.client, run)


def plain(shown: Any) -> dict[str, Any]:
    """A status without what differs from run to run: ids, times, digests."""
    found = shown.model_dump(
        mode="json", exclude={"run": True, "backoff": True, "usage": {"input_tokens", "cached_tokens"}}
    )
    found["waiting"].sort(key=lambda card: card["gate"])  # two previews at once end in either order
    for item in [*found["calls"], *found["waiting"], *found["rejected"]]:
        for name in ("key", "digest", "since", "command", "others", "at", "reason"):
            item.pop(name, None)
    return dict(found)


def nameless(text: str, task: str) -> str:
    """The text without the task's name, and without the ids that the fake and the run make of it."""
    return re.sub(r"(call|fc|msg|rs|resp|ag1-)_?[0-9a-f]{8,}", "ID", text.replace(task, "TASK"))


async def memo_cards(run: WorkflowHandle[Any, Any]) -> Any:
    return (await (await run.describe()).memo())["cards"]


async def test_nobody_can_tell_that_a_run_continued_as_new(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "PARALLEL_CALLS", 1)
    whole, one = await tell(house, "whole")
    monkeypatch.setattr(bounds, "CONTINUE_EVENTS", 0)
    parts, many = await tell(house, "parts")

    assert len(one) == 1
    assert len(many) >= 8
    assert parts == whole


@pytest.mark.usefixtures("often")
async def test_keys_are_of_the_chain_and_the_definition_is_resolved_once(house: House) -> None:
    keys: dict[str, str] = {}

    @tool(READ)
    async def spy(n: int, *, context: ToolContext) -> str:
        """Notes its key."""
        keys[context.call] = context.key
        return "noted"

    house.fake.script([*(calls(("spy", {"n": n}), ("spy", {"n": 9})) for n in range(4)), says("ok")])
    async with house.worker(spy):
        run = await house.start("the task", agent="tester")
        await run.result()
        shown = await status(run)
        chain = await executions(house.client, run)
        transcript = (await run.query("transcript", args=[0, 0]))["entries"]

    def key(call: str, n: int) -> str:
        return idempotency_key(run.id, run.first_execution_run_id or "", call, "spy", f'{{"n":{n}}}')

    assert len(chain) > 8
    assert keys == {
        f"t{t}.c{c}": key(f"t{t}.c{c}", t - 1 if c == 1 else 9) for t in range(1, 5) for c in (1, 2)
    }
    assert {call.id: call.key for call in shown.calls} == keys
    assert [name for e in chain for name in e.scheduled()].count("agent.resolve") == 1
    assert [entry["text"] for entry in transcript if entry["kind"] == "message"] == ["the task"]


@pytest.mark.usefixtures("often")
async def test_a_card_read_before_is_good_after(house: House) -> None:
    house.fake.script([calls(*(("ask_human", {"question": str(n)}) for n in range(4))), says("ok")])
    async with house.worker():
        run = await house.start()
        before = {c.gate: c.digest for c in (await until(run, lambda s: len(s.waiting) == 4)).waiting}
        for gate in ("t1.c2", "t1.c4"):
            await decide(run, gate, "answer", text=gate)
        after = {c.gate: c.digest for c in (await status(run)).waiting}
        for gate in ("t1.c1", "t1.c3"):
            await run.signal("answer", {"gate": gate, "digest": before[gate], "by": "ann", "text": gate})
        await run.result()
        many = await executions(house.client, run)

    assert after == {gate: before[gate] for gate in ("t1.c1", "t1.c3")}
    assert len(many) > 2
    assert all(f"t1.c{n}" in house.fake.requests[1].raw.decode() for n in (1, 2, 3, 4))


async def test_a_run_that_waits_for_a_person_outlives_a_flood_of_messages(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes 10,000 signals and 2,000 updates for each execution, and then none."""
    monkeypatch.setattr(bounds, "CONTINUE_EVENTS", 40)
    house.fake.script([calls(("ask_human", {"question": "Which?"})), says("ok")])
    async with house.worker():
        run = await house.start()
        await until(run, lambda s: s.waiting)
        for _ in range(12):
            await asyncio.gather(*(run.signal("approve", {"gate": "t1.c1"}) for _ in range(10)))
        shown = await until(run, lambda s: s.rejected_total == 120)
        await decide(run, "t1.c1", "answer", text="this one")
        await run.result()
        chain = await executions(house.client, run)

    assert len(shown.rejected) == bounds.KEPT_REJECTED
    assert max(len(e.events) for e in chain) < 100


@pytest.mark.usefixtures("often")
async def test_no_decision_is_lost_around_the_moment(house: House) -> None:
    """Twenty gates, each answered by a signal or an update while executions end and begin."""
    questions = [("ask_human", {"question": f"q{n}"}) for n in range(20)]
    reads = [("list_files", {"pattern": f"{n}"}) for n in range(20)]
    house.fake.script([calls(*questions, *reads), says("ok")])
    async with house.worker():
        run = await house.start()
        cards = (await until(run, lambda s: len(s.waiting) == 20)).waiting
        taken = await asyncio.gather(*(answered(run, n, card.digest) for n, card in enumerate(cards)))
        await run.result()
        shown = await status(run)
        chain = await executions(house.client, run)

    assert len(chain) > 3
    assert [reason for reason in taken if "by ann" not in reason] == []
    assert shown.counts == {"done": 40}
    outputs = house.fake.requests[1].raw.decode()
    assert [outputs.count(f"answer {n}.") for n in range(20)] == [1] * 20


async def answered(run: WorkflowHandle[Any, Any], n: int, digest: str) -> str:
    """Answer the n-th question, even ones by an update that is sent again as long as nobody says how it ended."""
    message = {"gate": f"t1.c{n + 1}", "digest": digest, "by": "ann", "text": f"answer {n}."}
    if n % 2:
        await run.signal("answer", message)
        return "by ann"
    while True:
        try:
            receipt = await run.execute_update("answer", message)
        except RPCError:
            continue
        return str(receipt["reason"])


@pytest.mark.usefixtures("often")
async def test_what_the_starter_set_is_kept(house: House) -> None:
    """All but static summary and details, which the SDK cannot hand over: the current details are."""
    house.fake.script(
        [calls(("list_files", {"pattern": "*"})), calls(("ask_human", {"question": "?"})), says("ok")]
    )
    lineage = SearchAttributeKey.for_keyword("AgentLineage")
    async with house.worker():
        run = await house.client.start_workflow(
            "AgentWorkflow",
            {"agent": "assistant", "task": "do it", "priority": 2},
            id=f"set-{house.queue}",
            task_queue=house.queue,
            task_timeout=timedelta(seconds=2),
            execution_timeout=timedelta(hours=1),
            priority=Priority(priority_key=2, fairness_key="default"),
            memo={"owner": "ann"},
            search_attributes=TypedSearchAttributes([SearchAttributePair(lineage, "line")]),
        )
        await until(run, lambda s: s.waiting)
        now = await run.describe()
        found = {
            "executions": now.run_id != run.first_execution_run_id,
            "memo": sorted(await now.memo()),
            "owner": await now.memo_value("owner"),
            "lineage": now.typed_search_attributes.get(lineage),
            "priority": now.raw_description.workflow_execution_info.priority.priority_key,
            "fairness": now.raw_description.workflow_execution_info.priority.fairness_key,
            "task timeout": now.raw_description.execution_config.default_workflow_task_timeout.seconds,
            "execution timeout": now.raw_description.execution_config.workflow_execution_timeout.seconds,
        }
        await decide(run, "t2.c1", "answer", text="yes")
        await run.result()

    assert found == {
        "executions": True,
        "memo": ["cards", "owner"],
        "owner": "ann",
        "lineage": "line",
        "priority": 2,
        "fairness": "default",
        "task timeout": 2,
        "execution timeout": 3600,
    }


async def test_the_servers_suggestion_is_followed(house: House) -> None:
    house.fake.script([*(calls(("list_files", {"pattern": "*"})) for _ in range(25)), says("ok")])
    async with house.worker():
        run = await house.start()
        await run.result()
        chain = await executions(house.client, run)

    assert len(chain) > 1
    assert all(len(e.events) < SUGGESTED_AFTER + 50 for e in chain)


@pytest.mark.usefixtures("often")
async def test_a_cancellation_is_not_lost_around_the_moment(house: House) -> None:
    reads = [calls(("list_files", {"pattern": str(n)})) for n in range(60)]
    house.fake.script([*reads, says("ok")])
    async with house.worker():
        run = await house.start()
        await until(run, lambda s: s.turn > 3)
        await run.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await run.result()
        shown = await status(run)

    assert isinstance(ended.value.cause, CancelledError)
    assert shown.phase == "cancelled"


@pytest.mark.usefixtures("often")
async def test_a_run_that_fetches_its_state_is_neither_failed_nor_deaf(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "CARRY_BYTES", 1000)
    goes_on = asyncio.Event()

    @activity.defn(name="agent.carry")
    async def slowly(given: CarryInput) -> bytes:
        await goes_on.wait()
        return await carry(given)

    monkeypatch.setattr(worker, "carry", slowly)
    house.fake.script([calls(("ask_human", {"question": "Which?"})), says("ok")])
    async with house.worker():
        run = await house.start(id=f"fetch-{house.queue}")
        fetching = await until(run, lambda s: s.agent == "")
        message = asyncio.create_task(run.execute_update("approve", {"gate": "t1.c1"}))
        goes_on.set()
        assert (await message)["accepted"] is False
        [card] = (await until(run, lambda s: s.waiting)).waiting
        await run.signal(
            "answer", {"gate": card.gate, "digest": card.digest, "by": "ann", "text": "this one"}
        )
        assert (await run.result())["answer"] == "ok"

    assert fetching.phase == "queued"
