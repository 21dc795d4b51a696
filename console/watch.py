"""The command `watch`: a run's live view until it ends; where the output is no terminal, what changes, line by line."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

from rich.console import Group
from rich.live import Live
from rich.text import Text
from temporalio.service import RPCError

from console.cards import card_body, card_lines
from console.exits import NO_ANSWER, Exit
from console.follow import follow
from console.pending import pending_activities, pending_line
from console.seen import Seen, see
from console.session import AsJson, Line, Run, Session, Tenant, about_run
from console.status import OVER, seen_parts
from console.text import clock, lines
from console.trajectory.chain import arguments_of

POLL_SECONDS = 0.5
HEAD_LINES, CARD_LINES = 12, 22
"""Of the screen: for all but calls and cards, and for a card with few arguments."""


def watch(run: Run, *, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show a run live until it ends. Ctrl-C stops watching and leaves the run alone.

    Exit codes: 0 done, 1 it ended otherwise.
    """

    async def command(session: Session, name: str) -> Exit:
        execution = (await session.describe(name)).execution.id
        if session.out.is_terminal and not as_json:
            return await _live(session, name)
        code = await follow(session, name, execution, told=True, ask=False)
        if as_json:
            session.document((await see(session, name))[1])
        return code

    about_run(run, tenant, command, as_json=as_json)


async def _live(session: Session, run: str) -> Exit:
    arguments: dict[str, str] = {}
    known: set[str] = set()
    shown: list[Line] = []
    with Live(console=session.out, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            try:
                seen, _ = await see(session, run, patient=False)
                # By digest: a call whose arguments a person has changed asks again at the same gate.
                if not (waiting := {card.digest for card in seen.waiting}) <= known:
                    arguments, known = await arguments_of(session.client, run, seen.waiting), waiting
                shown, away = await _view(session, seen, arguments), ""
            except RPCError as error:
                if error.status not in NO_ANSWER:
                    raise
                away = f"Temporal at {session.connection.address} does not answer; waiting for it."
            live.update(Group(*map(session.folded, shown), Text(away, style="yellow")), refresh=True)
            if not away and seen.phase in OVER:
                break
            await asyncio.sleep(POLL_SECONDS)
    session.say(*lines(seen.answer or "", None))
    return Exit.DONE if seen.phase == "done" else Exit.FAILED


async def _view(session: Session, seen: Seen, arguments: Mapping[str, str]) -> list[Line]:
    now, height = datetime.now(UTC), session.out.height
    cards = len(seen.waiting)
    parts = seen_parts(
        seen, now, session.out.width, most_calls=max(height - HEAD_LINES - CARD_LINES * cards, 3)
    )
    pending = await pending_activities(await session.describe(seen.run))
    if pending:
        parts += ["", *(Text("→ ", style="cyan") + pending_line(activity, now) for activity in pending)]
    room = max((height - len(parts)) // max(cards, 1) - CARD_LINES, 2)
    for card in seen.waiting:
        body = card_body(card, now, arguments.get(card.gate), room)
        parts += ["", *body, *card_lines(seen.run, card, session.connection)]
    if seen.phase in OVER:
        return parts
    return [*parts, "", Text(f"as of {clock(now)}; Ctrl-C stops watching, the run goes on", style="dim")]
