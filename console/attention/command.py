"""The command `attention`."""

from datetime import UTC, datetime

from rich.text import Text

from agents.ids import DEFAULT_TENANT
from console.attention.figures import Attention, Figures, Group, attention_of
from console.exits import Exit, finish
from console.queries import known_tenant
from console.records.past import OfAgent, OfTenant, Since, Which, ago, gap_lines, past_runs
from console.session import AsJson, Line, open_session
from console.table import table_lines
from console.text import duration, many

COLUMNS = ("gates", "open", "decided", "median", "p90", "in all", "as asked", "again")


def attention(
    *,
    since: Since = "7d",
    agent: OfAgent = None,
    tenant: OfTenant = None,
    as_json: AsJson = False,
) -> None:
    """Say what runs asked of people: gates per run, seconds per decision, share approved unchanged, by tool and rule."""

    async def command() -> Exit:
        now = datetime.now(UTC)
        which = Which(since=ago(since, now), agent=agent, tenant=known_tenant(tenant))
        session = await open_session(tenant or DEFAULT_TENANT, as_json=as_json)
        runs = await past_runs(session, which)
        found = attention_of(runs)
        if as_json:
            gaps = [gap for run in runs for gap in run.gaps]
            session.document({"as_of": now.isoformat(), **found.model_dump(mode="json"), "gaps": gaps})
        else:
            session.say(*attention_parts(found, which, session.out.width), *gap_lines(runs))
        return Exit.DONE

    finish(command())


def attention_parts(found: Attention, which: Which, width: int) -> list[Line]:
    """The figures for people."""
    per_run = "" if found.gates_per_run is None else f", {found.gates_per_run:.2f} a run"
    head = Text.assemble(
        (many(found.all.gates, "gate"), "bold"), f" in {many(found.runs, 'run')}{which.words}{per_run}"
    )
    if not found.all.gates:
        return [head]
    tables = [("", (Group(name="all", figures=found.all),)), ("tool", found.by_tool), ("rule", found.by_rule)]
    parts: list[Line] = [head]
    for name, groups in tables:
        rows = [(group.name, *_cells(group.figures)) for group in groups]
        parts += ["", *table_lines((name, *COLUMNS), rows, width)] if rows else []
    about = (
        "in all: how long runs waited for people; as asked: approved unchanged; again: something had changed"
    )
    return [*parts, "", Text(about, style="dim")]


def _cells(figures: Figures) -> tuple[str, ...]:
    share = figures.share_unchanged
    return (
        str(figures.gates),
        str(figures.open or ""),
        str(figures.decided),
        _time(figures.median_seconds),
        _time(figures.p90_seconds),
        _time(figures.seconds if figures.decided else None),
        "" if share is None else f"{share:.0%}",
        str(figures.asked_again or ""),
    )


def _time(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)
