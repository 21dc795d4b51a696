"""Memory of the worker per run of the shipped assistant that waits for a person."""

import asyncio

from benchmarks.figure import Figure
from benchmarks.lab import Lab, WorkerProcess

WARM_UP = 100
"""Runs before the first look: code that is loaded late and the allocator's first growth are no run's."""
RUNS = 300
AT_ONCE = 20
BAR = 120.0
"""110 before gates had previews: what a person is shown of the call, 2 KB here, is held in the gate and in the memo, and its
beginning in the details. The figure repeats to 8 kB."""
QUEUE = "parked"
WAITING = f"TaskQueue = '{QUEUE}' AND AgentPhase = 'waiting'"
WITHIN = 60.0


async def measure(lab: Lab) -> list[Figure]:
    """Growth of the worker's resident memory per run."""
    async with lab.worker("template", QUEUE) as worker:
        before = await _with_parked(lab, worker, 0, WARM_UP)
        after = await _with_parked(lab, worker, WARM_UP, WARM_UP + RUNS)
    note = f"resident memory from {before / 1e6:.0f} to {after / 1e6:.0f} MB over {RUNS} runs at a gate"
    return [Figure("parked run, worker memory", (after - before) / RUNS / 1e3, "kB", BAR, note)]


async def _with_parked(lab: Lab, worker: WorkerProcess, already: int, wanted: int) -> int:
    """The worker's memory once so many runs wait."""
    for parked in range(already + AT_ONCE, wanted + 1, AT_ONCE):
        starts = (
            lab.start(1, tool="write_file", agent="assistant", queue=QUEUE, dial="propose")
            for _ in range(AT_ONCE)
        )
        await asyncio.gather(*starts)
        async with asyncio.timeout(WITHIN):
            while (await lab.client.count_workflows(WAITING)).count < parked:
                await asyncio.sleep(0.05)
    await asyncio.sleep(1)  # the last workflow tasks end
    return worker.memory_bytes()
