"""Where a person decides about a gate that was picked from the inbox: its card, the question, and what became of it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from rich.text import Text
from temporalio.service import RPCError

from agents.card import Card
from agents.gate import Decision, DecisionKind
from console.ask import Asker
from console.cards import answered, card_body, card_lines, memo_cards
from console.decisions import send
from console.exits import NO_ANSWER, Exit, Trouble, explain
from console.keyboard import Keyboard
from console.lines import starter_line
from console.message import Sent
from console.session import Session
from console.text import plain
from console.trajectory.chain import arguments_of

POLL_SECONDS = 0.3
ANSWER_SECONDS = 120.0
"""For the agent's answer to a question: one model call."""

RENEWED_SECONDS = 3.0
"""Until the card of a call with other arguments is there; it is written together with the receipt."""


class Desk:
    """One person at one terminal."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._keyboard = Keyboard()
        self._run = ""
        self._asker = Asker(self._keyboard, self._prompt, session.say, self._still_open)

    async def line(self, question: str) -> str | None:
        """What the person types; None when nobody will type any more."""
        self._prompt(question)
        while True:
            try:
                return (await self._keyboard.line(POLL_SECONDS)).strip()
            except TimeoutError:
                continue
            except EOFError:
                return None

    async def show(self, run: str, gate: str | None) -> Exit:
        """Show the cards of a run, or that of one gate; at a terminal, ask about each.

        Raises:
            Trouble: There is no such run, or nothing of it waits.
        """
        self._run = run
        execution = (await self.session.describe_open(run)).execution
        cards = memo_cards(execution, self.session.connection.namespace)
        chosen = [card for card in cards if gate in {None, card.gate}]
        if not chosen:
            raise Trouble(_nothing(run, [card.gate for card in cards], gate))
        if self.session.as_json:
            shown = [card.model_dump(mode="json") for card in chosen]
            self.session.document({"as_of": datetime.now(UTC).isoformat(), "run": run, "cards": shown})
            return Exit.DONE
        for card in chosen:
            if self.session.interactive:
                await self.decide(run, card.gate)
            else:
                await self._show(card)
                self.session.say(*card_lines(run, card, self.session.connection), "")
        return Exit.DONE

    async def waits(self, run: str, gate: str) -> bool:
        """Whether that gate waits, as the run's own execution says."""
        self._run = run
        return await self._card(gate) is not None

    async def decide(self, run: str, gate: str) -> None:
        """Show a gate's card and ask about it, until it is decided or left for later."""
        self._run = run
        card = await self._card(gate)
        if card is None:
            self.session.say(f"{gate} of {run} does not wait any more.")
        while card is not None:
            card = await self._decide(card)

    async def _decide(self, card: Card) -> Card | None:
        """Ask about a card. What to ask about next, where the gate goes on waiting for this person."""
        arguments = await self._show(card)
        made = await self._asker.ask(card, arguments)
        if made is None:
            await self._left_open(card)
            return None
        try:
            sent = await send(self.session, self._run, made)
        except (Trouble, RPCError) as error:
            self.session.say(Text(f"Not sent: {explain(error)[1]}", style="yellow"))
            return None
        self.session.say(sent.receipt)
        return await self._next(card, made, sent)

    async def _next(self, card: Card, made: Decision, sent: Sent) -> Card | None:
        match sent.accepted, made.kind:
            case True, DecisionKind.ASK:
                # The answer leaves the digest as it is: what is decided on is the same.
                return await self._later(card, lambda new: answered(new) > answered(card), ANSWER_SECONDS)
            case (True, DecisionKind.EDIT) | (False, _):
                return await self._later(card, lambda new: new.digest != card.digest, RENEWED_SECONDS)
        return None

    async def _later(self, card: Card, holds: Callable[[Card], bool], seconds: float) -> Card | None:
        """The gate's card once this holds of it; None where it closes first, or does not change in time."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (latest := await self._card(card.gate)) is not None and not holds(latest):
            if asyncio.get_running_loop().time() > deadline:
                await self._left_open(latest)
                return None
            await asyncio.sleep(POLL_SECONDS)
        return latest

    async def _left_open(self, card: Card) -> None:
        if await self._still_open(card):
            lines = card_lines(self._run, card, self.session.connection)
            self.session.say("Left open. These answer it, from any terminal:", *lines)
        else:
            self.session.say("Somebody else has decided it meanwhile.")

    async def _show(self, card: Card) -> str | None:
        """Show a card; the arguments of its call."""
        arguments = (await arguments_of(self.session.client, self._run, [card])).get(card.gate)
        self.session.say("", Text(f"Run {self._run}", style="bold"))
        self.session.say(*card_body(card, datetime.now(UTC), arguments))
        return arguments

    async def _card(self, gate: str) -> Card | None:
        """The gate's card as it is now; None where it waits no more."""
        execution = (await self.session.describe(self._run)).execution
        cards = memo_cards(execution, self.session.connection.namespace)
        return next((card for card in cards if card.gate == gate), None)

    async def _still_open(self, card: Card) -> bool:
        try:
            latest = await self._card(card.gate)
        except RPCError as error:
            if error.status not in NO_ANSWER:
                raise
            return True  # as far as one can know
        return latest is not None and latest.digest == card.digest

    def _prompt(self, question: str) -> None:
        if question:
            self.session.say(question, end="")


def _nothing(run: str, waiting: list[str], gate: str | None) -> str:
    if not waiting or gate is None:
        return f"Nothing waits for a person in {run}. `{starter_line('status', run)}` shows what it does."
    return f"No gate {plain(gate)!r} waits in {run}. Waiting: {', '.join(waiting)}."
