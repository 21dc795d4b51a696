"""An approval that is acted on later, or by another worker: exactly what the person saw is done, or they are asked again."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from tests.fake_openai import calls, says
from tests.house import House, decide, status, until
from tests.processes import Death, WorkerProcess, workers

Start = Callable[..., WorkerProcess]


@pytest.fixture
def start(house: House) -> Iterator[Start]:
    with workers(house) as started:
        yield started


@pytest.fixture
def prices(house: House) -> Path:
    """What the agent wants to change: the 2 to a 3."""
    path = house.workspace / "prices.txt"
    path.write_text("tea 1\nrice 2\n")
    house.fake.script(
        [calls(("write_file", {"path": "prices.txt", "content": "tea 1\nrice 3\n"})), says("done")]
    )
    return path


async def asked(house: House) -> WorkflowHandle[Any, Any]:
    """A run that waits for a person to look at the change."""
    run = await house.start(dial="propose")
    await until(run, lambda s: s.waiting)
    return run


async def approve_unseen(run: WorkflowHandle[Any, Any], digest: str) -> None:
    """As the plain CLI does it: nobody needs to be there to take it."""
    await run.signal("approve", {"gate": "t1.c1", "digest": digest, "by": "ann"})


async def test_six_hours_later_the_person_is_asked_again_with_what_has_changed(
    house: House, prices: Path
) -> None:
    """The approval comes while no worker is there, and the data under it changes before one is."""
    async with house.worker():
        run = await asked(house)
        [shown] = (await status(run)).waiting
    await approve_unseen(run, shown.digest)
    prices.write_text("tea 1\nrice 9\n")
    async with house.worker():
        [again] = (await until(run, lambda s: s.waiting and s.waiting[0].changed)).waiting
        left_alone = prices.read_text()
        await decide(run, "t1.c1", "approve")
        await run.result()

    assert "-rice 2\n+rice 3" in shown.preview
    assert "-rice 9\n+rice 3" in again.preview
    assert again.digest != shown.digest
    assert "what the call would do has changed since it was approved" in again.changed
    assert "--rice 2\n+-rice 9" in again.changed
    assert left_alone == "tea 1\nrice 9\n"
    assert prices.read_text() == "tea 1\nrice 3\n"


async def test_an_approval_whose_world_stood_still_is_acted_on(house: House, prices: Path) -> None:
    async with house.worker():
        run = await asked(house)
        [shown] = (await status(run)).waiting
    await approve_unseen(run, shown.digest)
    async with house.worker():
        await run.result()

    assert prices.read_text() == "tea 1\nrice 3\n"


REPORT = "Worker.complete_activity_task"
"""Resolve, model, preview, write: the fourth of a process is the write's."""


@pytest.mark.parametrize(
    "death",
    [
        Death("activities.freshness", "Freshness.check", "after"),
        Death("activities.heartbeat", "Heartbeater.raise_fence", "after"),
        Death("temporalio.bridge.worker", REPORT, "before", 4),
    ],
    ids=["looked at", "behind the fence", "written"],
)
async def test_a_worker_killed_while_it_acts_on_an_approval_asks_nobody_again(
    house: House, prices: Path, start: Start, death: Death
) -> None:
    """Not about its own write either, which has changed what the next worker would see."""
    first = start(death)
    run = await asked(house)
    await decide(run, "t1.c1", "approve")
    assert await first.ended() == -signal.SIGKILL
    written = death.method == REPORT
    assert prices.read_text() == ("tea 1\nrice 3\n" if written else "tea 1\nrice 2\n")
    start()
    shown = await until(run, lambda s: s.waiting or s.phase == "done")

    assert shown.waiting == ()
    assert prices.read_text() == "tea 1\nrice 3\n"


async def test_what_changes_while_no_worker_is_there_is_seen_where_nothing_had_been_sent(
    house: House, prices: Path, start: Start
) -> None:
    first = start(Death("activities.freshness", "Freshness.check", "after"))
    run = await asked(house)
    await decide(run, "t1.c1", "approve")
    await first.ended()
    prices.write_text("tea 1\nrice 9\n")
    start()
    shown = await until(run, lambda s: s.waiting or s.phase == "done")

    assert "what the call would do has changed" in shown.waiting[0].changed
    assert prices.read_text() == "tea 1\nrice 9\n"
