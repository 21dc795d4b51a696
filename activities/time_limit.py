"""When an attempt must end, and why: its time, the time between two reports of progress, a worker that shuts down.

Imports the standard library and `temporalio.activity`.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from temporalio import activity

Result = TypeVar("Result")

DRAIN_SECONDS = 20.0
"""What a worker that shuts down gives the calls in flight that another worker may repeat. Most calls end by
themselves within it, and it stays under the 30 s after which a stopped container is killed."""

SHUTDOWN_MARGIN = 5.0
"""Seconds to report the last outcomes."""


def shutdown_seconds(longest_send: float) -> float:
    """What a worker's `graceful_shutdown_timeout` must be.

    Args:
        longest_send: Longest timeout of its non-idempotent tools in seconds: such a call, once sent, is let finish.
    """
    return max(DRAIN_SECONDS, longest_send) + SHUTDOWN_MARGIN


class OutOfTime(Exception):
    """An attempt was ended; the text says why."""

    def __init__(self, reason: str, *, drained: bool) -> None:
        super().__init__(reason)
        self.drained = drained
        """Its worker shuts down: another one should take over at once."""


class TimeLimit:
    """The clocks of one attempt; the first that runs out ends it.

    Args:
        seconds: From now to the end of the attempt.
        progress_seconds: Longest time between two calls of `progressed`, the first counted from `run`.
        drains: The attempt may be given up when its worker shuts down.
    """

    def __init__(self, seconds: float, progress_seconds: float | None, *, drains: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._progress_seconds = progress_seconds
        self._drains = drains
        self._ends = {f"it took longer than its {seconds:g} s": self._loop.time() + seconds}
        self._scope: asyncio.Timeout | None = None

    @property
    def left(self) -> float:
        """Seconds until its time is over; 0 when it is."""
        return max(min(self._ends.values()) - self._loop.time(), 0.0)

    def progressed(self) -> None:
        """Restart the progress clock."""
        if self._progress_seconds is not None:
            self._set(f"it reported no progress for {self._progress_seconds:g} s", self._progress_seconds)

    async def run(self, work: Awaitable[Result]) -> Result:
        """Await `work` for as long as it may take.

        Raises:
            OutOfTime: It was cancelled.
        """
        watcher = asyncio.create_task(self._watch_shutdown()) if self._drains else None
        try:
            async with asyncio.timeout_at(min(self._ends.values())) as scope:
                self._scope = scope
                self.progressed()
                return await work
        except TimeoutError:
            if not scope.expired():  # the work's own TimeoutError
                raise
            reason = min(self._ends, key=lambda why: self._ends[why])
            raise OutOfTime(reason, drained=reason == SHUTTING_DOWN) from None
        finally:
            self._scope = None
            if watcher:
                watcher.cancel()

    async def _watch_shutdown(self) -> None:
        await activity.wait_for_worker_shutdown()
        self._set(SHUTTING_DOWN, DRAIN_SECONDS)

    def _set(self, why: str, seconds: float) -> None:
        self._ends[why] = self._loop.time() + seconds
        if self._scope:
            self._scope.reschedule(min(self._ends.values()))


SHUTTING_DOWN = f"its worker shuts down and has waited {DRAIN_SECONDS:g} s for it"
