"""What a person is shown after they have decided: the call as it asks again, the agent's answer, what to do next."""

import asyncio
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.text import Text

from agents.card import Card
from agents.gate import DecisionKind
from console.cards import card_body, card_lines, memo_cards
from console.decisions import decision, operating_system_user, send
from console.exits import Exit
from console.keyboard import Keyboard
from console.lines import decision_line, starter_line
from console.seen import see, whole
from console.session import Session
from console.text import lines
from console.trajectory.chain import arguments_of

POLL_SECONDS = 0.3
REPLY_SECONDS = 120.0
"""For the agent's answer to a question: one model call."""

RENEWED_SECONDS = 3.0
"""Until a changed call's new card is there; it is written together with the receipt."""


@dataclass(frozen=True)
class Afterwards:
    """One gate, after a decision at it was sent."""

    session: Session
    run: str
    gate: str
    by: str
    """Who decided."""

    async def what_next(self, digest: str) -> None:
        """After a refusal: the gate as it is now, and the lines that answer it."""
        card = await self._latest()
        if card is None:
            self.session.say(f"How the run stands: {starter_line('status', self.run)}")
            return
        if not card.digest.startswith(digest):
            await self.show(card)
        self.session.say("These answer it:", *card_lines(self.run, card, self.session.connection))

    async def confirm(self, digest: str) -> tuple[Exit, str | None]:
        """After an edit: where the run asks again, for the call as it is now, let the person see that, and say yes.

        Returns:
            The exit code, and the digest of what is asked now; None where the call goes ahead.
        """
        card = await self._renewed(digest)
        if card is None:
            return Exit.DONE, None
        await self.show(card)
        if not self.session.interactive:
            line = decision_line(self.run, card, DecisionKind.APPROVE)
            by = "" if self.by == operating_system_user() else f" --by {shlex.quote(self.by)}"
            self.session.say("It waits for a yes to this:", f"  {line}{by}")
            return Exit.WAITING, card.digest
        if not await self._yes():
            answers = card_lines(self.run, card, self.session.connection)
            self.session.say("Left open. These answer it:", *answers)
            return Exit.WAITING, card.digest
        yes = decision(self.gate, card.digest, DecisionKind.APPROVE, self.by)
        sent = await send(self.session, self.run, yes)
        self.session.say(sent.receipt)
        return sent.exit, card.digest

    async def answer(self, question: str) -> str | None:
        """After a question to the agent: its answer, where that comes soon enough."""
        answer = card = None
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                card, answer = await self._answered(question)
        except TimeoutError:
            pass
        if card is None or answer is None:
            self.session.say(f"No answer yet. It comes onto the card: {starter_line('status', self.run)}")
            return None
        self.session.say(Text("The agent, in the model's own words:", style="bold"))
        self.session.say(*(Text(f"  {line}") for line in lines(answer, None)))
        self.session.say("These answer it:", *card_lines(self.run, card, self.session.connection))
        return answer

    async def show(self, card: Card) -> None:
        """Show a card."""
        card = await whole(self.session, self.run, card)
        arguments = (await arguments_of(self.session.client, self.run, [card])).get(self.gate)
        self.session.say(*card_body(card, datetime.now(UTC), arguments))

    async def _answered(self, question: str) -> tuple[Card | None, str | None]:
        """The card with the question's answer; none where the gate closes first, or the run is paused."""
        while True:
            seen, _ = await see(self.session, self.run)
            card = next((card for card in seen.waiting if card.gate == self.gate), None)
            if card is None or seen.paused:
                return card, None
            ours = [each for each in card.thread if (each.by, each.question) == (self.by, question)]
            if ours and ours[-1].answer is not None:
                return card, ours[-1].answer
            await asyncio.sleep(POLL_SECONDS)

    async def _renewed(self, digest: str) -> Card | None:
        deadline = asyncio.get_running_loop().time() + RENEWED_SECONDS
        while (card := await self._latest()) is not None and card.digest.startswith(digest):
            if asyncio.get_running_loop().time() > deadline:
                return None
            await asyncio.sleep(POLL_SECONDS)
        return card

    async def _latest(self) -> Card | None:
        """The gate's card as it is now; None where it waits no more."""
        found = await self.session.describe(self.run)
        cards = memo_cards(found.execution, self.session.connection.namespace)
        return next((card for card in cards if card.gate == self.gate), None)

    async def _yes(self) -> bool:
        keyboard = Keyboard()
        keyboard.forget()
        self.session.say("Approve this? [y/N] > ", end="")
        while True:
            try:
                return (await keyboard.line(POLL_SECONDS)).strip().lower() in {"y", "yes"}
            except TimeoutError:
                continue
            except EOFError:
                return False
