"""The durable timers of a run's open gates: one for each gate that something comes due at, named in its summary."""

import asyncio
from collections import deque
from functools import partial
from typing import Any

from temporalio import workflow

from agents.events import GateDue
from agents.state import RunState
from agents.waiting import Due, due


class GateTimers:
    """Keeps a timer running for the next thing that comes due at each gate.

    Args:
        queue: Where `GateDue` is put when one fires.
    """

    def __init__(self, queue: deque[Any]) -> None:
        self._queue = queue
        self._timers: dict[str, tuple[Due, asyncio.Task[None]]] = {}

    def set(self, state: RunState) -> None:
        """Start and cancel timers so that they are those of the gates as they are now."""
        wanted = {name: next_due for name, gate in state.gates.items() if (next_due := due(state, gate))}
        for name, (running, timer) in list(self._timers.items()):
            if wanted.get(name) != running:
                del self._timers[name]
                timer.cancel()
        for name, next_due in wanted.items():
            if name not in self._timers:
                delay = max((next_due.at - workflow.now()).total_seconds(), 0)
                timer = asyncio.create_task(workflow.sleep(delay, summary=next_due.why))
                self._timers[name] = (next_due, timer)
                timer.add_done_callback(partial(self._fired, name))

    def _fired(self, name: str, timer: asyncio.Task[None]) -> None:
        if timer.cancelled():
            return
        self._timers.pop(name, None)
        self._queue.append(GateDue(name))
