"""Follows a run until it ends or waits for a person: told by its events, so that no worker is needed for it.

Workers and the server may die and come back meanwhile. Ctrl-C leaves the run alone.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.text import Text
from temporalio.service import RPCError

from agents.card import Card
from agents.gate import DecisionKind
from agents.ledger import CLOSED
from console.ask import Asker
from console.cards import answered, card_body, card_lines, memo_cards
from console.decisions import send
from console.executions import Description, describe
from console.exits import NO_ANSWER, Exit, Trouble, explain
from console.keyboard import Keyboard
from console.lines import starter_line
from console.pending import pending_activities, pending_line
from console.seen import whole
from console.session import Line, Session
from console.telling import Teller
from console.ticker import Ticker
from console.trajectory.chain import chain_of, events_of
from console.trajectory.derive import read_chain, take
from console.trajectory.reading import Reading, moment
from console.trajectory.steps import CallStep, Ending, ModelStep
from console.trajectory.view import ending_parts
from console.troubles import Troubles

POLL_SECONDS = 0.3
RECONNECT_SECONDS = 1.0

PARTLY = frozenset({DecisionKind.EDIT, DecisionKind.ASK, DecisionKind.DELEGATE})
"""Decisions that may leave a person to be asked: the receipt says what follows."""


async def follow(session: Session, run: str, execution: str, *, told: bool, ask: bool = True) -> Exit:
    """Show a run's progress until it ends.

    Args:
        session: The connection.
        run: The run's id.
        execution: Temporal's run id of the execution to begin with.
        told: What has happened so far is summed up instead of told.
        ask: Stop when a person must decide: ask them at a terminal, else show the card and return.
    """
    follower = Follower(session, run, execution, ask=ask)
    try:
        return await follower.follow(told=told)
    except asyncio.CancelledError:
        follower.ticker.quiet()
        session.say(
            Text(f"\nThe run {run} goes on without you.", style="bold"),
            f"  see it again  {starter_line('watch', run)}",
            f"  cancel it     {starter_line('cancel', run)}",
        )
        raise


@dataclass
class Follower:
    """One run, and what has been shown of it."""

    session: Session
    run: str
    execution: str
    ask: bool
    reading: Reading = field(default_factory=Reading)
    seen: int = 0
    """Events of this execution that have been read."""
    answered: set[str] = field(default_factory=set)
    """Digests of the cards that the person here has answered or left for later."""
    asked: dict[str, int] = field(default_factory=dict)
    """Answers that a card held when the person here asked the agent about it: they decide once there are more."""

    def __post_init__(self) -> None:
        self.ticker = Ticker(self.session.out)
        self.teller = self._teller()
        self.prompt = ""
        self.troubles = Troubles()
        self.asker = Asker(Keyboard(), self._show_prompt, self._say, self._still_open)

    def _teller(self) -> Teller:
        return Teller(begins=not self.session.out.is_terminal)

    async def follow(self, *, told: bool) -> Exit:
        """Until the run ends, or nobody can be asked."""
        if told:
            await self._catch_up()
        reader = asyncio.create_task(self._read())
        try:
            while not reader.done():
                await self._look()
                if (card := self._next_card()) and not await self._decide(card):
                    return Exit.WAITING
                await asyncio.wait({reader}, timeout=POLL_SECONDS)
            reader.result()
        finally:
            self.ticker.quiet()
            reader.cancel()
        return self._ended()

    # --- events -------------------------------------------------------------------------------------------

    async def _catch_up(self) -> None:
        chain = await chain_of(self.session.client, self.run)
        self.reading, self.teller = read_chain(chain), self._teller()
        self.execution, self.seen = chain[-1].execution, len(chain[-1].events or ())
        turns = max((step.turn for step in self.reading.steps if isinstance(step, ModelStep)), default=0)
        closed = [step for step in self.reading.steps if isinstance(step, CallStep) and step.state in CLOSED]
        if turns:
            shows = f"`{starter_line('trajectory', self.run)}` shows them."
            self._say(Text(f"So far: turn {turns}, calls closed: {len(closed)}. {shows}", style="dim"))

    async def _read(self) -> None:
        while True:
            try:
                await self._read_execution()
                following = self.reading.continued_by
                if following is None and not await self._was_reset():
                    return
                if following is not None:
                    self.execution, self.seen = following, 0
                    self.reading.begin()
            except RPCError as error:
                if error.status not in NO_ANSWER:
                    raise
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _read_execution(self) -> None:
        async for event in events_of(self.session.client, self.run, self.execution, follow=True):
            if event.event_id > self.seen:
                self.seen = event.event_id
                self._say(*self.teller.tell(take(self.reading, event), moment(event.event_time)))

    async def _was_reset(self) -> bool:
        """Whether an operator's reset goes on with this run in a new execution; then that is followed."""
        latest = (await describe(self.session.client, self.run)).execution
        if latest.id == self.execution or not latest.open:
            return False
        self._say(Text("The run was reset to an earlier point.", style="bold"))
        await self._catch_up()
        return True

    # --- what is under way --------------------------------------------------------------------------------

    async def _look(self) -> None:
        try:
            self.found: Description | None = await describe(self.session.client, self.run, patient=False)
        except RPCError as error:
            if error.status not in NO_ANSWER:
                raise
            self.found = None
        self._say(*self.troubles.server(self.session.connection.address, away=self.found is None))
        if self.found is not None:
            await self._show_pending(self.found, datetime.now(UTC))

    async def _show_pending(self, found: Description, now: datetime) -> None:
        pending = await pending_activities(found)
        self._say(*self.troubles.worker(found, pending, now))
        if not self.session.out.is_terminal:
            self._say(*self.troubles.attempts(pending, now))
        elif not self.prompt:
            self.ticker.show([(activity.id, pending_line(activity, now)) for activity in pending])

    # --- a person -----------------------------------------------------------------------------------------

    def _next_card(self) -> Card | None:
        return next(iter(self._cards()), None) if self.ask else None

    def _cards(self) -> list[Card]:
        """The cards that nobody here has answered."""
        if self.found is None:
            return []
        # Only those whose opening has been read, so that a card comes below what led to it.
        read = self._open() - self.answered
        cards = memo_cards(self.found.execution, self.session.connection.namespace)
        return [c for c in cards if c.digest in read and answered(c) > self.asked.get(c.digest, -1)]

    async def _still_open(self, card: Card) -> bool:
        await self._look()
        return self.reading.ending is None and card.digest in self._open()

    def _open(self) -> set[str]:
        return {gate.digest for gate in self.reading.gates.values()}

    async def _decide(self, card: Card) -> bool:
        """Ask about a card; False where nobody is there to ask."""
        self.ticker.quiet()
        connection = self.session.connection
        if not self.session.interactive:
            for waiting in self._cards():
                self.session.say("", *self._body(waiting), *card_lines(self.run, waiting, connection))
            return False
        self.session.say("", *self._body(await whole(self.session, self.run, card)))
        self.answered.add(card.digest)
        made = await self.asker.ask(card, self._arguments(card))
        if made is None:
            if await self._still_open(card):
                self.session.say("Left open. These answer it:", *card_lines(self.run, card, connection))
            return True
        try:
            sent = await send(self.session, self.run, made)
        except (Trouble, RPCError) as error:
            self._say(Text(f"Not sent: {explain(error)[1]}", style="yellow"))
            self.answered.discard(card.digest)
            return True
        if not sent.accepted or made.kind in PARTLY or card.needed > 1:
            self._say(sent.receipt)
        if sent.accepted is False or made.kind is DecisionKind.ASK:
            self.answered.discard(card.digest)
            self.asked[card.digest] = -1 if sent.accepted is False else answered(card)
        return True

    def _body(self, card: Card) -> list[Text]:
        return card_body(card, datetime.now(UTC), self._arguments(card))

    def _arguments(self, card: Card) -> str | None:
        call = self.reading.calls.get(card.call or "")
        return call.arguments if call else None

    def _show_prompt(self, prompt: str) -> None:
        self.prompt = prompt
        if prompt:
            self.session.say(prompt, end="")

    def _say(self, *parts: Line) -> None:
        if not parts:
            return
        self.session.say(*([""] if self.prompt else []), *parts)
        if self.prompt:
            self.session.say(self.prompt, end="")

    # --- the end ------------------------------------------------------------------------------------------

    def _ended(self) -> Exit:
        ending = self.reading.ending
        if ending is None:
            raise Trouble(f"The history of {self.run} is not there any more.")
        self.session.say("", *ending_parts(ending))
        return exit_of(ending)


def exit_of(ending: Ending) -> Exit:
    """The exit code for how a run ended."""
    return Exit.DONE if ending.phase == "done" else Exit.FAILED
