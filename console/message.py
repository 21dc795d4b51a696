"""Sends a person's message to a run: as an update, which answers at once, or as a signal while no worker answers."""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any, Literal

from rich.text import Text
from temporalio.client import (
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.service import RPCError, RPCStatusCode

from agents import bounds
from console.exits import NO_ANSWER, Exit, Trouble
from console.lines import python_line, signal_line
from console.session import Session
from console.text import compact, plain

UPDATE_SECONDS = 5.0
"""Patience with the workers: one that has died costs the sticky timeout of a second and a replay elsewhere."""

ANSWER_SECONDS = 60.0
"""Until a run that has the message has answered: other arguments are shown to their tool first."""

TRIES = 3
"""An update that meets continue-as-new may be turned away by the server; by its id it counts once."""

RECEIPTS = {True: ("Accepted", "green"), False: ("Refused", "red"), None: ("Sent", "yellow")}


@dataclass(frozen=True)
class Message:
    """One message of a person."""

    name: str
    """Of the signal or update."""
    body: dict[str, Any]
    """Its one JSON object, with its own `id`."""

    def line(self, session: Session, run: str) -> str:
        """The plain `temporal` line that sends it, for a POSIX shell."""
        return signal_line(run, self.name, self.body, session.connection)


@dataclass(frozen=True)
class Sent:
    """What became of a message."""

    accepted: bool | None
    """None: it is in the run's history, and the run reads it when a worker is there."""
    reason: str
    door: Literal["update", "signal"]

    @property
    def exit(self) -> Exit:
        """The exit code of a command that has sent it."""
        return Exit.FAILED if self.accepted is False else Exit.DONE

    @property
    def receipt(self) -> Text:
        """What the sender is told."""
        word, style = RECEIPTS[self.accepted]
        return Text(f"{word}: {plain(self.reason)}", style=style)


def new_id() -> str:
    """A name for one message: sent twice under it, it counts once."""
    return uuid.uuid4().hex


async def deliver(session: Session, run: str, message: Message) -> Sent:
    """Send a message.

    Raises:
        Trouble: The run has ended, or the message is larger than a run takes.
        RPCError: The server does not take it.
    """
    if (count := len(compact(message.body).encode())) > bounds.MESSAGE_BYTES:
        raise Trouble(
            f"This message has {count:,} bytes, and a run takes {bounds.MESSAGE_BYTES:,}: put a longer text into a "
            "file that the agent can read.",
            Exit.USAGE,
        )
    try:
        async with asyncio.timeout(UPDATE_SECONDS):
            update = await _update(session, run, message)
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return await _signal(session, run, message)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise Trouble(f"The run {run} has ended: it takes no more messages.") from error
        raise
    return await _answer(update)


async def _update(session: Session, run: str, message: Message) -> WorkflowUpdateHandle[dict[str, Any]]:
    """The update, once a worker has taken it."""
    for _ in range(TRIES - 1):
        try:
            return await _start(session, run, message)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND or error.status in NO_ANSWER:
                raise
    return await _start(session, run, message)


async def _start(session: Session, run: str, message: Message) -> WorkflowUpdateHandle[dict[str, Any]]:
    return await session.handle(run).start_update(
        message.name,
        message.body,
        id=message.body["id"],
        result_type=dict,
        wait_for_stage=WorkflowUpdateStage.ACCEPTED,
    )


async def _answer(update: WorkflowUpdateHandle[dict[str, Any]]) -> Sent:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await update.result()
    except WorkflowUpdateFailedError as error:
        return Sent(False, str(error.cause), "update")
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return Sent(None, f"the run has it, and has not answered within {ANSWER_SECONDS:.0f} s", "update")
    return Sent(bool(answer["accepted"]), str(answer["reason"]), "update")


async def _signal(session: Session, run: str, message: Message) -> Sent:
    # Should a worker find the update as well after all, the run takes the first and refuses the second.
    await session.handle(run).signal(message.name, message.body)
    start = python_line("worker.py")
    why = (
        f"no worker answers, so it was sent as a signal: the run takes it once a worker is there (`{start}`)"
    )
    return Sent(None, why, "signal")
