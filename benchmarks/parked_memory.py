"""Memory of the worker per run of the shipped assistant that waits for a person."""

import asyncio
from statistics import median

from benchmarks.figure import Figure
from benchmarks.lab import Lab, WorkerProcess

WARM_UP = 100
"""Runs before the first look: code that is loaded late and the allocator's first growth are no run's."""
RUNS = 300
AT_ONCE = 20
WORKERS = 3
"""One after the other; their median counts, since one worker's figure repeats to 8 kB only (101 to 116 kB in ten)."""
BAR = 110.0
WITHIN = 60.0


async def measure(lab: Lab) -> list[Figure]:
    """Growth of the worker's resident memory per run: the median over some workers."""
    grown = sorted([await _growth(lab, f"parked-{number}") for number in range(WORKERS)])
    every = ", ".join(f"{each:.0f}" for each in grown)
    note = f"resident memory of {WORKERS} workers over {RUNS} runs at a gate each: {every} kB"
    return [Figure("parked run, worker memory", median(grown), "kB", BAR, note)]


async def _growth(lab: Lab, queue: str) -> float:
    """KB per run of one worker."""
    async with lab.worker("template", queue) as worker:
        before = await _with_parked(lab, worker, queue, 0, WARM_UP)
        after = await _with_parked(lab, worker, queue, WARM_UP, WARM_UP + RUNS)
    return (after - before) / RUNS / 1e3


async def _with_parked(lab: Lab, worker: WorkerProcess, queue: str, already: int, wanted: int) -> int:
    """The worker's memory once so many runs wait."""
    waiting = f"TaskQueue = '{queue}' AND AgentPhase = 'waiting'"
    for parked in range(already + AT_ONCE, wanted + 1, AT_ONCE):
        starts = (
            lab.start(1, tool="write_file", agent="assistant", queue=queue, dial="propose")
            for _ in range(AT_ONCE)
        )
        await asyncio.gather(*starts)
        async with asyncio.timeout(WITHIN):
            while (await lab.client.count_workflows(waiting)).count < parked:
                await asyncio.sleep(0.05)
    await asyncio.sleep(1)  # the last workflow tasks end
    return worker.memory_bytes()
