"""The command `inbox`: what needs a person, over all runs; and one gate's card, to decide it right there."""

import dataclasses
from collections.abc import Sequence, Set
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.text import Text

from agents.effect import Risk
from agents.ids import DEFAULT_TENANT
from agents.rules import RuleSet
from console.cards import STYLES
from console.desk import Desk
from console.exits import Exit, Trouble, finish
from console.lines import starter_line
from console.queries import known_tenant
from console.session import AsJson, Line, Session, named, open_session
from console.table import table_lines
from console.text import clock, duration, middle, one_line
from console.waiting import GateLine, Inbox, Wanted, inbox_of, names_of
from runtime.rules_file import load_rules
from runtime.settings import Settings

CHOOSE = "Number for its card, [Enter] to look again, [q] to leave > "
NAMED = 5
"""Runs that are named of those that the list does not show in full."""


def inbox(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Only this run, with its cards in full.")
    ] = None,
    gate: Annotated[str | None, typer.Argument(metavar="[GATE]", help="Only this gate of the run.")] = None,
    *,
    mine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|ROLE", help="Only what this person or role may decide.", show_default=False
        ),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only runs of this tenant.")] = None,
    overdue: Annotated[
        bool, typer.Option("--overdue", help="Only what is past its deadline, or people were reminded of.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Gates at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what needs a person, the gravest first. At a terminal, choose one, see its card and decide."""

    async def command() -> Exit:
        if run is not None:
            if mine or overdue:
                raise Trouble("--mine and --overdue choose among runs: leave them out, or RUN.", Exit.USAGE)
            which = named(run, tenant)
            desk = Desk(await open_session(which.tenant, as_json=as_json))
            return await desk.show(str(which), gate)
        session = await open_session(known_tenant(tenant) or DEFAULT_TENANT, as_json=as_json)
        names = names_of(mine, _rules(session.settings)) if mine else frozenset()
        return await _inbox(session, Wanted(names, tenant, overdue), limit)

    finish(command())


def _rules(settings: Settings) -> RuleSet | None:
    return load_rules(settings.agent_rules) if settings.agent_rules else None


async def _inbox(session: Session, wanted: Wanted, limit: int) -> Exit:
    found = await inbox_of(session.client, wanted)
    if session.as_json:
        session.document(
            {
                "as_of": found.as_of.isoformat(),
                "gates": [line.model_dump(mode="json") for line in found.gates[:limit]],
                "total": len(found.gates),
                "without_card": found.without_card,
                "cut_off": found.cut_off,
            }
        )
        return Exit.DONE
    session.say(*inbox_parts(found, limit, session.out.width))
    if not session.interactive:
        if found.gates:
            session.say("", f"A card, and the lines that answer it: {starter_line('inbox', 'RUN', 'GATE')}")
        return Exit.DONE
    desk = Desk(session)
    opened: set[tuple[str, str]] = set()
    while (typed := await desk.line(CHOOSE)) not in {None, "q"}:
        if typed:
            opened |= await _open(desk, found.gates[:limit], typed)
        found = await _without_decided(await inbox_of(session.client, wanted), desk, opened)
        session.say("", *inbox_parts(found, limit, session.out.width))
    return Exit.DONE


async def _without_decided(found: Inbox, desk: Desk, opened: Set[tuple[str, str]]) -> Inbox:
    """The inbox without what was decided here a moment ago: visibility is a little late."""
    gates = [
        line
        for line in found.gates
        if (line.run, line.gate) not in opened or await desk.waits(line.run, line.gate)
    ]
    return dataclasses.replace(found, gates=tuple(gates))


async def _open(desk: Desk, shown: Sequence[GateLine], typed: str) -> set[tuple[str, str]]:
    """Show the card of that number and ask about it; which gate it was."""
    if typed.isdecimal() and 0 < int(typed) <= len(shown):
        line = shown[int(typed) - 1]
        await desk.decide(line.run, line.gate)
        return {(line.run, line.gate)}
    desk.session.say(Text(f"{typed!r} is no number of this list.", style="yellow"))
    return set()


def inbox_parts(found: Inbox, limit: int, width: int) -> list[Line]:
    """The inbox on a terminal."""
    parts: list[Line] = [Text(f"{_count(found.gates)} a person, as of {clock(found.as_of)}", style="bold")]
    if found.gates:
        parts += _table(found.gates[:limit], found.as_of, width)
    if len(found.gates) > limit:
        parts.append(Text(f"{len(found.gates) - limit} more: ask for them with --limit.", style="dim"))
    status = starter_line("status", "RUN")
    if found.without_card:
        some = _some(found.without_card)
        parts.append(
            Text(
                f"Waiting too, with no card that could be read: {some}. `{status}` shows such a run.",
                style="yellow",
            )
        )
    if found.cut_off:
        some = _some(found.cut_off)
        parts.append(Text(f"More gates may wait in: {some}. `{status}` shows all of a run.", style="yellow"))
    return parts


def _count(gates: Sequence[GateLine]) -> str:
    match len(gates), len({line.run for line in gates}):
        case 0, _:
            return "Nothing here needs"
        case 1, _:
            return "1 gate needs"
        case count, 1:
            return f"{count} gates in 1 run need"
        case count, runs:
            return f"{count} gates in {runs} runs need"


def _some(runs: Sequence[str]) -> str:
    more = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
    return ", ".join(one_line(run, 80) for run in runs[:NAMED]) + more


def _table(gates: Sequence[GateLine], now: datetime, width: int) -> list[Text]:
    columns: dict[str, list[str | Text]] = {
        "": [str(number) for number in range(1, len(gates) + 1)],
        "risk": [_risk(line.risk) for line in gates],
        "kind": [line.kind for line in gates],
        "tool": [one_line(line.tool or "", 40) for line in gates],
        "waits": [_since(line.since, now) for line in gates],
        "due": [_due(line.deadline, now) for line in gates],
        # It begins with the tenant, where there is one.
        "run": [middle(line.run, max(24, width // 3)) for line in gates],
        "gate": [line.gate for line in gates],
        "who": [one_line(", ".join(line.who), 60) for line in gates],
        "approved": [f"{line.approved} of {line.needed}" if line.needed > 1 else "" for line in gates],
        "reminded": [f"{line.reminded} x" if line.reminded else "" for line in gates],
        "agent": [one_line(line.agent or "", 40) for line in gates],
    }
    used = {name: cells for name, cells in columns.items() if any(map(str, cells))}
    return table_lines(list(used), list(zip(*used.values(), strict=True)), width)


def _risk(risk: Risk) -> Text:
    return Text(risk, style=STYLES[risk])


def _since(since: datetime, now: datetime) -> str:
    return duration((now - since) / timedelta(seconds=1))


def _due(deadline: datetime | None, now: datetime) -> str | Text:
    if deadline is None:
        return ""
    left = (deadline - now) / timedelta(seconds=1)
    return f"in {duration(left)}" if left > 0 else Text(f"{duration(-left)} ago", style="bold red")
