"""The overview: one line for each agent and tenant, from visibility alone."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from typer.testing import CliRunner

from console.overview import COLUMNS, overview_of
from starter import app
from tests.commands import starter
from tests.fake_openai import calls, says
from tests.house import House, until
from tests.planted import memo_card, plant, shown_as

YESTERDAY = timedelta(days=1)


async def overview(house: House) -> Any:
    """The lines of the overview of this house's tenant."""
    ended = await starter(house, "overview", "--tenant", house.queue, "--json")
    assert (ended.code, ended.err) == (0, "")
    return ended.json["lines"]


def counts(line: Any) -> dict[str, int]:
    """What a line counts, without the zeros."""
    return {name: line[name] for name in COLUMNS if line[name]}


async def test_open_runs_are_counted_by_agent_and_phase(house: House) -> None:
    await plant(house, "w1")
    await plant(house, "w2", phase="queued")
    await plant(house, "w3", memo_card())
    await plant(house, "w4", memo_card(kind="failure", accepts=["retry"]), phase="parked")
    await plant(house, "w5", phase="paused")
    await plant(house, "b1", memo_card(), agent="bookkeeper")
    await plant(house, "unseen", agent=None)

    lines = await overview(house)

    assert [(line["agent"], line["tenant"]) for line in lines] == [
        (None, house.queue),
        ("assistant", house.queue),
        ("bookkeeper", house.queue),
    ]
    assert [counts(line) for line in lines] == [
        {"working": 1},
        {"working": 2, "waiting": 1, "parked": 1, "paused": 1},
        {"waiting": 1},
    ]


async def test_ended_runs_are_counted_by_how_they_ended(house: House) -> None:
    write = calls(("write_file", {"path": "a", "content": "b"}))
    house.fake.script([says("Done.")], task="answer")
    house.fake.script([calls(("list_files", {"pattern": "*"}))], task="fail")
    async with house.worker():
        await start(house, "answer")
        await start(house, "fail", budget={"turns": 1})
        for end in ("cancel", "terminate"):
            house.fake.script([write, says("ok")], task=end)
            run = await start(house, end, dial="propose")
            await until(run, lambda s: s.waiting)
            await getattr(run, end)()
        await shown_as(house, f"WorkflowId STARTS_WITH '{house.queue}/' AND ExecutionStatus != 'Running'", 4)

    [line] = await overview(house)

    assert counts(line) == {"done": 1, "failed": 2, "cancelled": 1}
    assert line["oldest_wait"] is None


async def start(house: House, task: str, **request: Any) -> WorkflowHandle[Any, Any]:
    """A run of this house's tenant."""
    return await house.start(task, id=f"{house.queue}/{task}", tenant=house.queue, **request)


async def test_a_run_counts_once_as_its_latest_execution_stands(house: House) -> None:
    for _ in range(2):
        run = await plant(house, "again")
        await run.terminate()
        await shown_as(house, f"WorkflowId = '{run.id}' AND ExecutionStatus = 'Running'", 0)
    await plant(house, "again")

    assert [counts(line) for line in await overview(house)] == [{"working": 1}]


async def test_of_ended_runs_those_before_the_window_are_left_out(house: House) -> None:
    await plant(house, "open")
    run = await plant(house, "ended")
    await run.terminate()
    await shown_as(house, f"WorkflowId = '{run.id}' AND ExecutionStatus = 'Terminated'")
    now = datetime.now(UTC)

    lines = [
        (await overview_of(house.client, house.queue, beginning))[0]
        for beginning in (now - YESTERDAY, now + YESTERDAY)
    ]

    assert [(line.working, line.failed) for line in lines] == [(1, 1), (1, 0)]


async def test_the_oldest_wait_is_that_of_the_gate_which_has_been_open_longest(house: House) -> None:
    waits = [memo_card(waits=timedelta(hours=hours)) for hours in (3, 47.5, 20)]
    await plant(house, "two", *waits[:2])
    await plant(house, "one", waits[2])
    await plant(house, "works", phase="working", memo=[memo_card(waits=timedelta(days=9))])
    screen = await starter(house, "overview", "--tenant", house.queue)

    [line] = await overview(house)

    assert datetime.fromisoformat(line["oldest_wait"]) == datetime.fromisoformat(waits[1]["since"])
    assert re.search(rf"^assistant +{house.queue} .* 1 d 23 h$", screen.out, re.MULTILINE)
    assert re.search(r"What needs a person: \S+ starter.py inbox", screen.out)


async def test_the_cost_is_that_of_the_runs_of_which_it_is_known(house: House) -> None:
    await plant(house, "r1", cost=0.25)
    await plant(house, "r2", cost=1.5)
    await plant(house, "r3")
    await plant(house, "b1", agent="bookkeeper")
    screen = (await starter(house, "overview", "--tenant", house.queue)).out

    lines = await overview(house)

    assert [(line["cost"], line["cost_of"]) for line in lines] == [(1.75, 2), (None, 0)]
    rows = [line.split() for line in screen.splitlines() if house.queue in line]
    assert [row[9:] for row in rows] == [["1.7500", "USD", "of", "2"], ["—"]]


async def test_it_says_as_of_when_and_for_which_time_and_prints_counts(house: House) -> None:
    await plant(house, "r1", memo_card(waits=timedelta(hours=47.5)))
    before = datetime.now(UTC)
    ended = await starter(house, "overview", "--tenant", house.queue, "--since", "2d", "--json")
    screen = await starter(house, "overview", "--tenant", house.queue, "--since", "90m")

    as_of, since = [datetime.fromisoformat(ended.json[name]) for name in ("as_of", "since")]
    assert before <= as_of <= datetime.now(UTC)
    assert timedelta(days=2) <= as_of - since < timedelta(days=2, minutes=1)
    head, names, row, _ = screen.out.splitlines()
    assert re.fullmatch(
        r"Runs by agent and tenant, as of \d\d:\d\d:\d\d; ended ones of the last 1 h 30 min", head
    )
    assert re.split(r" {2,}", names) == [
        "agent", "tenant", "working", "needs a person", "parked", "paused", "done", "failed", "cancelled", "cost",
        "oldest wait",
    ]  # fmt: skip
    assert re.split(r" {2,}", row) == [
        "assistant", house.queue, "·", "1", "·", "·", "·", "·", "·", "—", "1 d 23 h",
    ]  # fmt: skip


async def test_where_there_is_no_run_it_says_so(house: House) -> None:
    screen = await starter(house, "overview", "--tenant", house.queue)

    assert screen.code == 0
    assert re.match(r"No runs, as of \d\d:\d\d:\d\d\.\n", screen.out)


async def test_what_no_run_wrote_spoils_no_line(house: House) -> None:
    for number, memo in enumerate([5, [None], [{"gate": "x", "since": "never"}], [memo_card("t1'; echo")]]):
        await plant(house, f"garbage-{number}", phase="waiting", memo=memo)
    await plant(house, "odd", phase="no such phase", agent="\x1b[31mred\nline\u202e")

    red, plain = sorted(await overview(house), key=lambda line: line["waiting"])
    screen = await starter(house, "overview", "--tenant", house.queue)

    assert (counts(red), counts(plain)) == ({"working": 1}, {"waiting": 4})
    assert plain["oldest_wait"] is None
    assert not re.search("[\x1b\u202e]", screen.out)
    assert "[31mred line" in screen.out


@pytest.mark.parametrize("since", ["yesterday", "0h", "-1h", "99999999999d", "24"])
def test_a_time_that_is_none_ends_with_2(since: str) -> None:
    ended = CliRunner().invoke(app, ["overview", "--since", since])

    assert ended.exit_code == 2
    assert "give a number with s, m, h or d" in ended.output


@pytest.mark.parametrize("command", ["overview", "inbox", "list"])
def test_a_tenant_that_can_be_none_ends_with_2(command: str) -> None:
    ended = CliRunner().invoke(app, [command, "--tenant", "x' OR 'a'='a"])

    assert ended.exit_code == 2
    assert "use 1 to 40 of a-z, 0-9 and -" in ended.output
