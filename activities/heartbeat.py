"""The heartbeats of one attempt: one owner of their details, and the fence of a write that is sent once or was approved.

The server keeps the last details only, and the SDK sends beats late: a beat that it still holds back, or the one
that it repeats when the attempt fails, overwrites a newer checkpoint (both seen). Hence two rules. Every checkpoint
is also told to the SDK, so that it repeats nothing older. And an attempt that may raise a fence hands the SDK no
beat before the fence stands, since one on its way could erase it; until then beats go out one by one and are
waited for.
"""

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Self

import structlog
from temporalio import activity
from temporalio.client import AsyncActivityCancelledError, AsyncActivityHandle
from temporalio.service import RPCError

from activities.serialization import serialization_context
from agents.tool_call import Beat

log = structlog.get_logger()

BEAT_INTERVAL = 0.5
"""Seconds: five beats fit into the heartbeat timeout of `workflows.options`, one of the numbers that add up there."""

CHECKPOINT_TIMEOUT = timedelta(seconds=2)
"""Longest wait for an acknowledgement (2 ms are usual): below the heartbeat timeout, after which it is worthless."""


class NotAcknowledged(Exception):
    """The server did not acknowledge a checkpoint, or wants the attempt to stop."""


class Heartbeater:
    """Beats in the background while its `async with` block runs, repeating the merged details each time.

    It starts with the details that the previous attempt left; `left` keeps them.

    Args:
        fenced: The attempt may call `raise_fence`, unless an earlier one has. The SDK then hears of a cancellation only
            once it stands; before that, the fence itself is refused.
    """

    def __init__(self, *, fenced: bool = False) -> None:
        info = activity.info()
        self.left = Beat.model_validate(info.heartbeat_details[0]) if info.heartbeat_details else Beat()
        self._details = self.left
        self._quiet = fenced and not self.left.sending
        self._fenced = fenced
        self._doubtful = False
        self._tried = False
        self._timeout = (info.heartbeat_timeout or timedelta.max).total_seconds()
        self._one_at_a_time = asyncio.Lock()
        self._server = _handle(info)

    async def __aenter__(self) -> Self:
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        # Not awaited: a cancellation that arrived in between would take the place of the attempt's outcome.
        self._beating.cancel()

    def update(self, **changes: object) -> None:
        """Merge fields of `Beat` into the details; they go out with the next beat, within `BEAT_INTERVAL`."""
        self._details = self._details.model_copy(update=changes)

    async def checkpoint(self, **changes: object) -> str:
        """Merge fields of `Beat` into the details; when this returns, the server has them.

        Returns:
            Why the server wants the attempt to stop, or "".

        Raises:
            NotAcknowledged: It may have them or not.
        """
        async with self._one_at_a_time:
            details = self._details.model_copy(update=changes)
            if not self._fenced:
                activity.heartbeat(details)
            stop = await self._acknowledged(details)
            self.update(**changes)
            if self._fenced and not (self._quiet and stop):
                self._quiet = False
                activity.heartbeat(self._details)
            return stop

    async def raise_fence(self) -> None:
        """Let the server know that a send begins. Send right after this returns, and only then.

        Raises:
            NotAcknowledged: Nothing may be sent.
        """
        if self._doubtful:
            raise NotAcknowledged("an earlier heartbeat was not acknowledged and could still erase the fence")
        begun, self._tried = monotonic(), True
        if stop := await self.checkpoint(sending=True, phase="sending"):
            raise NotAcknowledged(f"the server wants the attempt to stop: {stop}")
        if monotonic() - begun > self._timeout:
            raise NotAcknowledged("the process stood still for longer than the heartbeat timeout")

    async def lower_fence(self) -> None:
        """Let the server know that nothing happened. Where it cannot hear this, the outcome counts as unknown."""
        if not self._tried:
            return
        try:
            await self.checkpoint(sending=False, phase="not sent")
        except (NotAcknowledged, asyncio.CancelledError) as error:
            # The attempt ends in any case, and with the outcome that it has.
            log.warning("the fence stays up although nothing was sent", reason=str(error))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_INTERVAL)
            async with self._one_at_a_time:
                if self._quiet:
                    await self._beat_and_wait()
                else:
                    activity.heartbeat(self._details)

    async def _beat_and_wait(self) -> None:
        try:
            await self._acknowledged(self._details)
        except NotAcknowledged as error:
            log.warning("heartbeat not acknowledged", reason=str(error))
            self._doubtful = True

    async def _acknowledged(self, details: Beat) -> str:
        try:
            await self._server.heartbeat(details, rpc_timeout=CHECKPOINT_TIMEOUT)
        except AsyncActivityCancelledError as wanted:  # it has the details all the same
            return ", ".join(name for name, value in vars(wanted.details).items() if value)
        except RPCError as error:
            raise NotAcknowledged(f"the server did not acknowledge: {error.message}") from error
        return ""


def _handle(info: activity.Info) -> AsyncActivityHandle:
    """The attempt as the server knows it."""
    handle = activity.client().get_async_activity_handle(task_token=info.task_token)
    return handle.with_context(serialization_context(info))
