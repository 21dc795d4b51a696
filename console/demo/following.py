"""Follows the demo's run as `run` does, one line a step; where no person can be asked it approves by the card's line."""

import asyncio
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.text import Text

from agents.card import Card
from agents.gate import SHORTEST_DIGEST, GateKind
from console.cards import card_body
from console.demo.workers import DemoWorker
from console.exits import Exit, Trouble
from console.follow import Follower
from console.lines import starter_line, temporal_line
from console.telling import Teller
from console.text import one_line, plain
from console.trajectory.steps import DecisionStep, Step

WRITES = "write_file"
"""The only call that the demo approves by itself: it stays within the demo's folder."""
CARD_LINES = 1
"""Of the preview: the demo is to fit a screen."""

ELSEWHERE = "reviewed/summary.md"
"""Where the demo has the summary written instead, to show an approval with an edit."""

LINE_SECONDS = 30.0

MODEL_HINT = "Without OPENAI_API_KEY and OPENAI_BASE_URL an offline stand-in plays the model."


class Headlines(Teller):
    """Tells one line a step."""

    def tell(self, steps: Sequence[Step], at: datetime) -> list[Text]:
        """The lines for steps that an event has changed at that moment."""
        return [line for step in steps for line in super(Headlines, self).tell([step], at)[:1]]


@dataclass(kw_only=True)
class DemoFollower(Follower):
    """Follows the run until it ends.

    Raises:
        Trouble: The worker has ended by itself, or nobody can be asked and the demo may not decide.
    """

    worker: DemoWorker

    def _teller(self) -> Teller:
        return Headlines(begins=False)

    async def _look(self) -> None:
        self.worker.check()
        if not self.session.interactive:
            self._check_decisions()
        await super()._look()

    def _check_decisions(self) -> None:
        for step in self.reading.steps:
            if isinstance(step, DecisionStep) and step.accepted is False:
                raise Trouble(f"The run refused the approval: {plain(step.reason)}.")

    async def _decide(self, card: Card) -> bool:
        failed = card.kind is GateKind.FAILURE and card.call is None
        if self.session.interactive:
            if failed:
                self._say(Text(MODEL_HINT, style="yellow"))
            return await super()._decide(card)
        self._show(card)
        call = self.reading.calls.get(card.call or "")
        if card.kind is not GateKind.APPROVAL or call is None or call.tool != WRITES:
            hint = MODEL_HINT if failed else "Start the demo in a terminal, and you are asked."
            raise Trouble(f"{card.gate} waits for a person, and there is no terminal to ask at. {hint}")
        self.answered.add(card.digest)
        line = self._approves(card) if card.changed else self._edits(card)
        self.session.say(f"$ {line}")
        await asyncio.to_thread(paste, line)
        return True

    def _show(self, card: Card) -> None:
        if card.changed:
            asks_again = f"? {card.gate} asks again: {one_line(card.changed, 300)}"
            self.session.say(Text(asks_again, style="bold yellow"))
        else:
            self.session.say("", *card_body(card, datetime.now(UTC), limit=CARD_LINES, brief=True))

    def _edits(self, card: Card) -> str:
        """The line of a person who says "like this instead"."""
        self.session.say(
            "There is no terminal to ask at, so the demo decides itself: first an edit, then its approval."
        )
        bound = ("--digest", card.digest[:SHORTEST_DIGEST])
        return starter_line("approve", self.run, card.gate, "--set", f"path={ELSEWHERE}", *bound)

    def _approves(self, card: Card) -> str:
        """The line of Temporal's own CLI."""
        return temporal_line(card, card.command, self.session.connection)


def paste(line: str) -> None:
    """Run a line as if somebody had pasted it into a shell here.

    Raises:
        Trouble: It failed.
    """
    try:
        ended = subprocess.run(  # noqa: S603 - the line is our own card's
            ["/bin/sh", "-c", line],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LINE_SECONDS,
        )
        if ended.returncode not in (
            Exit.DONE,
            Exit.WAITING,
        ):  # waiting: it asks again, for the call as it is now
            raise Trouble(f"That line failed: {one_line(ended.stderr or ended.stdout, 1000)}")
    except subprocess.TimeoutExpired as error:
        raise Trouble(f"That line did not end within {LINE_SECONDS:g} s.") from error
