"""The command `dial backtest`."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from agents.effect import Dial
from agents.ids import DEFAULT_TENANT
from console.dial.backtest import Backtest, Change, What, backtest_of
from console.dial.inputs import ReadCatalog
from console.exits import Exit, finish
from console.queries import known_tenant
from console.records.past import OfAgent, OfTenant, Which, gap_lines, past_runs
from console.session import AsJson, Line, open_session
from console.text import duration, many, one_line
from runtime.rules_file import checked_rulebook
from runtime.settings import load_settings

HEADS: dict[What, tuple[str, str]] = {
    "released": ("had been refused, and would have gone ahead", "bold red"),
    "vanished": ("would not have asked", "bold yellow"),
    "appeared": ("would have asked", "bold yellow"),
    "refused": ("would have been refused", "bold yellow"),
    "terms": ("would have asked on other terms", "bold"),
}
"""What loosens most comes first."""
SHOWN = 10
"""Calls of one tool that are named; the JSON has them all."""


def backtest_command(read_catalog: ReadCatalog) -> Callable[..., None]:
    """The command.

    Args:
        read_catalog: Reads what is installed: agents have rules of their own beside those of the file.
    """

    def backtest(
        rules: Annotated[
            Path, typer.Argument(metavar="RULES", help="The rules file to try.", show_default=False)
        ],
        *,
        last: Annotated[int, typer.Option(min=1, help="Runs, the latest.")] = 100,
        dial: Annotated[
            Dial | None,
            typer.Option(help="Also another dial, in place of the runs' own.", show_default=False),
        ] = None,
        agent: OfAgent = None,
        tenant: OfTenant = None,
        as_json: AsJson = False,
    ) -> None:
        """Say what other rules would have asked in past runs, from their histories: no model, tool or worker is called."""

        async def command() -> Exit:
            now = datetime.now(UTC)
            installed = read_catalog(load_settings())
            tried = checked_rulebook(rules, installed.agents, installed.tools, now)
            which = Which(last=last, agent=agent, tenant=known_tenant(tenant))
            session = await open_session(tenant or DEFAULT_TENANT, as_json=as_json)
            runs = await past_runs(session, which)
            found = backtest_of(runs, tried.for_agent, dial)
            if as_json:
                gaps = [gap for run in runs for gap in run.gaps]
                session.document({"as_of": now.isoformat(), **found.model_dump(mode="json"), "gaps": gaps})
            else:
                session.say(*backtest_parts(found, str(rules)), *gap_lines(runs))
            return Exit.DONE

        finish(command())

    return backtest


def backtest_parts(found: Backtest, rules: str) -> list[Line]:
    """The findings for people."""
    head = f"{many(found.runs, 'run')}, {many(found.calls, 'call')} under {rules}: {found.unchanged} as they were"
    parts: list[Line] = [Text(head, style="bold")]
    for what in HEADS:
        changes = [change for change in found.changes if change.what == what]
        parts += ["", *_group(what, changes)] if changes else []
    parts += ["", *_seconds(found)]
    if found.not_ruled:
        parts.append(
            Text(
                f"{many(found.not_ruled, 'call')} left out: the definition is past the retention, or was never there.",
                style="yellow",
            )
        )
    return parts


def _group(what: What, changes: Sequence[Change]) -> Iterable[Text]:
    text, style = HEADS[what]
    tools = ", ".join(
        f"{number} {one_line(tool, 64)}" for tool, number in Counter(c.tool for c in changes).items()
    )
    yield Text.assemble((f"{len(changes)} {text}", style), f": {tools}")
    for change in changes[:SHOWN]:
        took = ""
        if change.seconds is not None:
            took = f" ({'about ' if what == 'appeared' else ''}{duration(change.seconds)})"
        made = f"{one_line(change.tool, 64)}({one_line(change.arguments, 100)})"
        yield Text(f"  {change.run} {change.call}  {made}: {change.before} → {change.after}{took}")
        yield Text(f"    {one_line(change.why, 300)}", style="dim")
    if len(changes) > SHOWN:
        yield Text(f"  … {len(changes) - SHOWN} more; --json names them all", style="dim")


def _seconds(found: Backtest) -> Iterable[Text]:
    yield Text(f"Human time saved: {duration(found.saved_seconds)}, as those decisions really took.")
    unknown = (
        f"; {many(found.without_estimate, 'more gate')}, with nothing to estimate by"
        if found.without_estimate
        else ""
    )
    yield Text(
        f"Human time spent: about {duration(found.spent_seconds)}, an estimate: the median of the decisions on the same "
        f"tool in these runs, or else of all of them{unknown}."
    )
    yield Text(
        "Call by call, on what happened: what people would have said, and agents done then, nobody knows.",
        style="dim",
    )
