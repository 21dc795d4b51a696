"""The blow: the worker is killed while a model call is under way, and another one takes its place."""

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from rich.text import Text

from console.demo.following import DemoFollower
from console.pending import Pending, pending_activities
from console.text import clock
from console.trajectory.steps import ModelStep

MODEL_CALL = re.compile(r"t(\d+)\.model")
EARLIEST_TURN = 3
"""By then the documents have been listed and read, so that there is something that must not be done again."""
SENT_SECONDS = 0.15
"""A call that has been seen for so long has been sent to the model: before that its worker reads what to send."""
POLL_SECONDS = 0.05
"""A model call takes half a second at least, a description 2 ms."""


@dataclass(frozen=True)
class Kill:
    """A worker process that was killed in the middle of a step."""

    at: datetime
    """On this machine's clock."""
    process: int
    step: str
    """In words."""


async def kill_in_the_middle(follower: DemoFollower, process: int) -> Kill | None:
    """Wait for a model call to be under way, kill the worker and start another.

    Args:
        follower: Follows the run, and has the worker.
        process: The worker's.

    Returns:
        None where the run was over before there was such a moment.
    """
    turn = await _turn_under_way(follower)
    if turn is None:
        return None
    kill = Kill(follower.worker.kill(), process, f"model call of turn {turn}")
    successor = follower.worker.start()
    follower.session.say(
        Text.assemble(
            (f"{clock(kill.at)}  ", "dim"),
            ("✗ ", "red"),
            ("worker", "bold"),
            f"  process {process} killed (SIGKILL) in the middle of the {kill.step}; process {successor} started",
        )
    )
    return kill


async def _turn_under_way(follower: DemoFollower) -> int | None:
    """The turn of a model call that has been under way for long enough; None once the run is over."""
    seen, since = 0, 0.0
    while (found := await follower.session.describe(follower.run)).execution.open:
        # Only one that has been read, so that all that led to it is on the screen.
        read = {step.turn for step in follower.reading.steps if isinstance(step, ModelStep)}
        turns = [
            _turn(each) for each in await pending_activities(found) if each.running and each.attempt == 1
        ]
        turn = next((turn for turn in turns if EARLIEST_TURN <= turn in read), 0)
        if turn != seen:
            seen, since = turn, monotonic()
        elif turn and monotonic() - since >= SENT_SECONDS:
            return turn
        await asyncio.sleep(POLL_SECONDS)
    return None


def _turn(activity: Pending) -> int:
    """The turn whose model call it is; 0 for anything else."""
    found = MODEL_CALL.fullmatch(activity.id)
    return int(found[1]) if found else 0
