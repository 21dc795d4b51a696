"""`attention`, `dial audit` and `dial backtest` on runs that a real server keeps, with every worker gone."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from agents.agent import Agent
from agents.assistant import ASSISTANT
from agents.effect import Effect
from catalog import tools
from console.records.past import Which, merged, past_runs
from console.records.records import RunRecords
from console.session import Session, session_on
from console.trajectory import chain
from console.trajectory.chain import chain_of, events_of
from runtime.connection import Connection
from tests.commands import starter
from tests.fake_openai import calls, says
from tests.house import SOON, House, decide, until
from tests.tools import counted

PAYS = Effect(writes=True, idempotent=False, reversible=False, risk="medium")
PAYER = Agent(name="payer", instructions="test", tools=("pay",))


@pytest_asyncio.fixture
async def tenant(house: House) -> AsyncIterator[str]:
    """A tenant with three runs that are over: two writes that were approved, one of them edited, and a payment unseen."""
    name = f"t-{secrets.token_hex(4)}"
    house.fake.script([calls(("write_file", {"path": "a.md", "content": "a"})), says("done")], task="a")
    house.fake.script([calls(("write_file", {"path": "b.md", "content": "b"})), says("done")], task="b")
    house.fake.script([calls(("pay", {"text": "5"})), says("paid")], task="c")
    shipped = tools(house.settings())
    async with house.worker(*shipped, counted("pay", PAYS), agents=[ASSISTANT, PAYER]):
        runs = [
            await house.start(task, tenant=name, id=f"{name}/{task}", dial="propose") for task in ("a", "b")
        ]
        free = await house.start("c", agent="payer", tenant=name, id=f"{name}/c", dial="autonomous")
        for run in runs:
            await until(run, lambda s: s.waiting)
        await decide(runs[0], "t1.c1", "approve")
        await decide(runs[1], "t1.c1", "edit", arguments={"path": "b.md", "content": "B"})
        card = (await until(runs[1], lambda s: s.waiting or s.phase == "done")).waiting
        if card:  # its preview shows other contents, which somebody has to look at
            await decide(runs[1], "t1.c1", "approve")
        for run in (*runs, free):
            await run.result()
    await listed(house.client, name, 3)
    yield name


async def listed(client: Client, tenant: str, number: int) -> None:
    """Wait until visibility knows that these runs are over."""
    query = f"WorkflowId STARTS_WITH '{tenant}/' AND ExecutionStatus = 'Completed'"
    async with asyncio.timeout(SOON):
        while (await client.count_workflows(query)).count < number:
            await asyncio.sleep(0.05)


def session(house: House) -> Session:
    connection = Connection(house.client, "test", None, False, "default")
    return session_on(connection, house.settings())


async def test_attention_counts_what_people_did(house: House, tenant: str) -> None:
    found = (await starter(house, "attention", "--tenant", tenant, "--json")).json
    screen = await starter(house, "attention", "--tenant", tenant, "--since", "1h")

    assert (found["runs"], found["gaps"]) == (3, [])
    assert {group["name"] for group in found["by_tool"]} == {"write_file"}
    assert found["all"]["decided"] == found["all"]["gates"] >= 2
    assert 0 < found["all"]["share_unchanged"] < 1
    assert found["all"]["seconds"] > 0
    assert screen.code == 0
    assert f"in 3 runs of tenant {tenant} since" in screen.out


async def test_the_audit_finds_the_payment_that_nobody_saw_and_says_so_by_its_exit_code(
    house: House, tenant: str
) -> None:
    found = await starter(house, "dial", "audit", "--tenant", tenant)
    others = await starter(house, "dial", "audit", "--tenant", tenant, "--agent", "assistant", "--json")

    assert found.code == 1
    assert f"{tenant}/c t1.c1  pay" in found.out
    assert others.code == 0
    assert (others.json["runs"], others.json["unseen"], others.json["over_gated"]) == (2, [], [])


async def test_the_backtest_rules_on_what_happened_without_any_worker(
    house: House, tenant: str, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "rules:\n"
        "  - name: notes\n"
        "    tools: [write_file]\n"
        "    when: {field: path, is: '=', value: a.md}\n"
        "    verdict: allow\n"
    )
    found = await starter(house, "dial", "backtest", str(file), "--tenant", tenant, "--last", "9", "--json")
    document = found.json

    assert [(change["what"], change["run"], change["rule"]) for change in document["changes"]] == [
        ("vanished", f"{tenant}/a", "notes")
    ]
    assert document["saved_seconds"] > 0
    assert (document["runs"], document["calls"], document["unchanged"]) == (3, 3, 2)


async def test_a_rules_file_with_a_mistake_is_refused_with_its_line(house: House, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules:\n  - name: x\n    tools: [write_file]\n    verdict: perhaps\n")
    found = await starter(house, "dial", "backtest", str(file))

    assert found.code == 2
    assert f"{file}:4:" in found.err


@pytest.mark.parametrize("words", [("attention", "--since", "soon"), ("dial", "audit", "--tenant", "NO")])
async def test_what_cannot_be_asked_for_is_a_mistake_in_the_command(
    house: House, words: tuple[str, ...]
) -> None:
    found = await starter(house, *words)

    assert (found.code, found.out) == (2, "")
    assert words[-2] in found.err


async def test_only_the_last_runs_are_read_where_only_those_are_asked_for(house: House, tenant: str) -> None:
    found = await past_runs(session(house), Which(last=1, tenant=tenant))

    assert len(found) == 1


async def test_runs_of_another_tenant_are_not_those_of_the_default_one(house: House, tenant: str) -> None:
    found = await past_runs(session(house), Which(tenant="default", last=50))

    assert not [run.run for run in found if run.run.startswith(tenant)]


async def test_a_history_that_is_gone_is_said_and_the_others_are_read(
    house: House, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def events(client: Client, run: str, execution: str) -> AsyncIterator[HistoryEvent]:
        # As the server answers after the retention.
        if run.endswith("/a"):
            raise RPCError("workflow execution not found", RPCStatusCode.NOT_FOUND, b"")
        async for event in events_of(client, run, execution):
            yield event

    monkeypatch.setattr(chain, "events_of", events)
    found = {run.run: run for run in await past_runs(session(house), Which(tenant=tenant))}

    assert {name: len(run.gaps) for name, run in found.items()} == {
        f"{tenant}/a": 1,
        f"{tenant}/b": 0,
        f"{tenant}/c": 0,
    }
    assert found[f"{tenant}/a"].tenant == tenant
    assert found[f"{tenant}/b"].gates


async def test_the_histories_are_read_side_by_side_but_not_all_at_once(
    house: House, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, most = 0, 0

    async def slowly(client: Client, run: str, latest: str | None = None) -> list[Any]:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        found = await chain_of(client, run, latest)
        reading -= 1
        return found

    monkeypatch.setattr("console.records.past.chain_of", slowly)
    monkeypatch.setattr("console.records.past.AT_ONCE", 2)
    found = await past_runs(session(house), Which(tenant=tenant))

    assert (len(found), most) == (3, 2)
    assert all(merged([run], None) == run for run in found if isinstance(run, RunRecords))
