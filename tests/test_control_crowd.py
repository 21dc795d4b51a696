"""Crowds and deaths: a thousand decisions at once with garbage among them, two people in a race, killed workers."""

import asyncio
import json
import random  # noqa: TID251 - seeded: the same crowd each time
import subprocess
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from agents.effect import Effect
from runtime.server_process import temporal_binary
from tests.fake_openai import calls, says
from tests.fake_service import FakeService
from tests.house import House, decide, status, until
from tests.processes import Death, workers
from tests.tools import counted, registry

PAYS = Effect(writes=True, idempotent=False, reversible=False, risk="medium")
GATES = 12
MESSAGES = 1000
GARBAGE: tuple[tuple[str, Any], ...] = (
    ("approve", None),
    ("approve", "yes"),
    ("approve", {"gate": "t1.c1"}),
    ("aprove", {"by": "eve"}),
    ("decide", {"gate": "t1.c1", "digest": "x", "kind": "approve", "by": "eve"}),
    ("decide", [1, 2]),
    ("say", {"text": ""}),
)


def drawn(chance: random.Random, digests: dict[str, str], number: int) -> tuple[str, Any]:
    """A message of anybody: right, late, contrary, for another gate, or nothing at all."""
    if chance.random() < 0.2:
        return chance.choice(GARBAGE)
    gate = chance.choice([*digests, "t9.c9"])
    digest = digests.get(gate, "0" * 64) if chance.random() < 0.8 else digests["t1.c1"]
    kind = chance.choice(["approve", "deny"])
    body = {"gate": gate, "digest": digest, "by": chance.choice(["ann", "bob"]), "comment": str(number)}
    return kind, body | ({"reason": "no"} if kind == "deny" else {})


async def messages(run: WorkflowHandle[Any, Any]) -> list[tuple[str, Any]]:
    """What was sent, in the order in which the history has it."""
    found = []
    async for event in run.fetch_history_events():
        given = event.workflow_execution_signaled_event_attributes
        if event.HasField("workflow_execution_signaled_event_attributes"):
            found.append((given.signal_name, json.loads(given.input.payloads[0].data or b"null")))
    return found


async def test_of_a_thousand_decisions_the_first_valid_one_of_each_gate_counts(house: House) -> None:
    pay = counted("pay_crowd", PAYS)
    house.fake.script([calls(*(("pay_crowd", {"text": str(n)}) for n in range(GATES))), says("done")])
    chance = random.Random(20261121)
    async with house.worker(pay):
        run = await house.start(agent="tester")
        waiting = await until(run, lambda s: len(s.waiting) == GATES)
        digests = {card.gate: card.digest for card in waiting.waiting}
        drawings = [drawn(chance, digests, number) for number in range(MESSAGES)]
        await asyncio.gather(*(run.signal(name, body) for name, body in drawings))
        shown = await until(run, lambda s: s.phase == "done", within=60)

    first: dict[str, str] = {}
    accepted = 0
    for name, body in await messages(run):
        valid = name in {"approve", "deny"} and isinstance(body, dict) and "comment" in body
        if valid and body["gate"] not in first and digests.get(body["gate"]) == body["digest"]:
            first[body["gate"]] = name
            accepted += 1
    approved = [gate for gate, kind in first.items() if kind == "approve"]
    assert registry.total("pay_crowd") == len(approved)
    assert shown.counts == {
        state: number
        for state, number in (("done", len(approved)), ("denied", GATES - len(approved)))
        if number
    }
    # Those that came once the run had ended are in its history and were never read.
    assert accepted == GATES
    assert shown.rejected_total <= MESSAGES - GATES
    assert len(shown.rejected) == 50


async def test_of_two_people_at_once_one_decides_and_the_other_is_told(house: House) -> None:
    pay = counted("pay_race", PAYS)
    async with house.worker(pay):
        for number in range(10):
            task = f"race-{number}"
            house.fake.script([calls(("pay_race", {"text": task})), says("done")], task=task)
            run = await house.start(task, agent="tester")
            await until(run, lambda s: s.waiting)
            before = registry.total("pay_race")
            yes, no = await asyncio.gather(
                decide(run, "t1.c1", "approve", by="ann"),
                decide(run, "t1.c1", "deny", by="bob", reason="no"),
            )
            await run.result()

            winner = "ann" if yes["accepted"] else "bob"
            loser = no if yes["accepted"] else yes
            assert yes["accepted"] != no["accepted"]
            assert loser["reason"].startswith(f"already decided by {winner} at ")
            assert registry.total("pay_race") - before == int(yes["accepted"])


@pytest.mark.parametrize(
    "death",
    [
        Death("temporalio.bridge.worker", "Worker.complete_workflow_activation", "before", 1),
        Death("temporalio.bridge.worker", "Worker.complete_workflow_activation", "after", 1),
        Death("activities.heartbeat", "Heartbeater.raise_fence", "before", 1),
    ],
    ids=str,
)
async def test_a_worker_that_dies_between_decision_and_dispatch_changes_nothing(
    house: House, death: Death
) -> None:
    with FakeService() as service:
        await approved_over_a_death(house, service, death)


async def approved_over_a_death(house: House, service: FakeService, death: Death) -> None:
    service.script("/pay")
    post = calls(("http_post", {"url": service.url("/pay"), "body": "1"}))
    house.fake.script([post, says("done")])
    with workers(house, AGENT_HTTP_ALLOW=service.host) as start:
        first = await start().ready()
        run = await house.start()
        card = (await until(run, lambda s: s.waiting)).waiting[0]
        first.kill()
        body = {"gate": card.gate, "digest": card.digest, "by": "ann"}
        address = house.client.service_client.config.target_host
        line = [str(temporal_binary()), "workflow", "signal", "--address", address, "--workflow-id", run.id]
        sent = [*line, "--name", "approve", "--input", json.dumps(body)]
        await asyncio.to_thread(subprocess.run, sent, check=True, capture_output=True)
        assert await start(death).ended() == -9
        assert service.effects("/pay") == 0
        start()
        await asyncio.wait_for(run.result(), 30)
        shown = await status(run)

    assert service.effects("/pay") == 1
    assert shown.counts == {"done": 1}
    assert house.fake.paid == 2
