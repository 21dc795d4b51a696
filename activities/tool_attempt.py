"""One attempt of one tool call: its time limit, its fence, its thread."""

import asyncio
from dataclasses import dataclass
from typing import Any

from temporalio import activity

from activities.freshness import Freshness
from activities.heartbeat import Heartbeater, NotAcknowledged
from activities.lineage import Lineage
from activities.threads import in_thread
from activities.time_limit import OutOfTime, TimeLimit
from activities.tool_failure import Draining, OutcomeUnknown, described
from activities.tools import NotSent, Retry, Tool, ToolContext, ToolFailed, ToolRejected
from agents.effect import EffectClass
from agents.tool_call import ToolInput

PROGRESS_CHARS = 2000
"""What `Beat.progress` holds."""


@dataclass(frozen=True)
class Attempt:
    """One attempt of one call."""

    info: activity.Info
    given: ToolInput
    tool: Tool
    effect: EffectClass
    beat: Heartbeater
    limit: TimeLimit
    lineage: Lineage
    freshness: Freshness

    async def call(self, arguments: dict[str, Any]) -> object:
        """Call the tool's function as its effect demands.

        Raises:
            StaleCall: What holds now is not what the call was let pass under.
            OutcomeUnknown: A non-idempotent call may have happened.
        """
        match self.effect:
            case EffectClass.READ:
                await self._check_freshness(arguments)
                return await self.run(arguments)
            case EffectClass.IDEMPOTENT:
                return await self._send_again(arguments)
            case EffectClass.NON_IDEMPOTENT:
                return await self._send_once(arguments)

    async def run(self, arguments: dict[str, Any]) -> object:
        """Call the tool's function.

        Raises:
            OutOfTime: It took too long, or its worker shuts down.
        """
        if self.tool.signature.takes_context:
            arguments = arguments | {"context": self._context()}
        try:
            if self.tool.is_async:
                return await self.limit.run(self.tool.function(**arguments))
            return await self._run_in_thread(arguments)
        except SystemExit as error:  # it would end the worker, and after it the next one that takes the call
            raise RuntimeError("the tool called sys.exit") from error

    async def _send_again(self, arguments: dict[str, Any]) -> object:
        """Call the function of an idempotent tool.

        What was approved is compared until an attempt has raised the fence: from then on the write may have been done,
        and a later attempt would ask a person about what this very call did. It repeats the call with its key, also
        where the worker was killed between the fence and the write.
        """
        if self.given.approved is None or self.beat.left.sending:
            return await self.run(arguments)
        await self._pass_fence(arguments)
        try:
            return await self.run(arguments)
        except NotSent:
            await self.beat.lower_fence()
            raise

    async def _send_once(self, arguments: dict[str, Any]) -> object:
        """Call the function of a non-idempotent tool: behind the fence, and never behind that of another attempt."""
        await self._pass_fence(arguments)
        try:
            return await self.run(arguments)
        except (ToolRejected, ToolFailed, NotSent):
            await self.beat.lower_fence()
            raise
        except (Exception, asyncio.CancelledError) as error:
            why = str(error) if isinstance(error, Retry | OutOfTime) else described(error)
            raise OutcomeUnknown(f"{self.tool.spec.name} had begun and may have happened: {why}") from error

    async def _pass_fence(self, arguments: dict[str, Any]) -> None:
        """Raise the fence, where the call may be sent and still is what was approved.

        Raises:
            NotSent: It was not sent.
        """
        try:
            if self.effect is EffectClass.NON_IDEMPOTENT:
                await self._refuse_to_repeat()
            await self._check_freshness(arguments)
            await self._raise_fence()
        except (NotAcknowledged, asyncio.CancelledError) as error:
            await self.beat.lower_fence()
            raise NotSent(f"nothing was sent: {error}") from error

    async def _check_freshness(self, arguments: dict[str, Any]) -> None:
        await self.freshness.check(self.given, self.tool, self.effect, arguments, self.limit.left)

    async def _refuse_to_repeat(self) -> None:
        if self.beat.left.sending:
            raise OutcomeUnknown("an earlier attempt was lost while it was sending")
        if self.given.execution != self.info.workflow_run_id:
            raise OutcomeUnknown(
                f"the run was reset while execution {self.given.execution} had this call in flight"
            )
        if self.given.reset:
            other = await self.lineage.dispatched_in(self.info, self.given)
            if other:
                raise OutcomeUnknown(
                    f"execution {other}, which a reset left behind, had dispatched this call"
                )

    async def _raise_fence(self) -> None:
        if activity.is_worker_shutdown():
            raise Draining
        await self.beat.raise_fence()
        if not self.limit.left:
            raise NotAcknowledged("its time was over when it was about to send")

    async def _run_in_thread(self, arguments: dict[str, Any]) -> object:
        try:
            return await self.limit.run(in_thread(self.tool.function, arguments))
        except OutOfTime as error:
            note = f"{error}; it is a plain function, which nothing can stop: it may still be running"
            raise OutOfTime(note, drained=error.drained) from None

    def _context(self) -> ToolContext:
        loop = asyncio.get_running_loop()

        def report(text: str) -> None:
            loop.call_soon_threadsafe(self._progressed, text)

        assert self.info.workflow_id is not None  # started by a workflow only
        return ToolContext(
            run=self.info.workflow_id,
            call=self.info.activity_id,
            tool=self.tool.spec.name,
            key=self.given.key,
            attempt=self.info.attempt,
            report=report,
        )

    def _progressed(self, text: str) -> None:
        self.limit.progressed()
        self.beat.update(progress=text[:PROGRESS_CHARS].encode(errors="replace").decode())
