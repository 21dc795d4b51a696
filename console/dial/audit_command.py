"""The command `dial audit`."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from agents.ids import DEFAULT_TENANT
from console.dial.audit import Audit, OverGated, Unseen, audit_of
from console.exits import Exit, finish
from console.lines import starter_line
from console.queries import known_tenant
from console.records.past import OfAgent, OfTenant, Since, Which, ago, gap_lines, past_runs
from console.session import AsJson, Line, open_session
from console.text import duration, many, one_line

MIN_GATES = 5
"""Fewer unchanged approvals in a row may be chance: somebody who says no to one in five is missed one time in three."""
SHOWN = 20
"""Calls that are named; the JSON has them all."""


def audit(
    *,
    since: Since = "30d",
    agent: OfAgent = None,
    tenant: OfTenant = None,
    min_gates: Annotated[
        int, typer.Option(min=1, help="Unchanged approvals of a tool that make its gate one too many.")
    ] = MIN_GATES,
    as_json: AsJson = False,
) -> None:
    """Find gates that never changed anything, and irreversible calls that nobody saw. Exits with 1 if there are any of those."""

    async def command() -> Exit:
        now = datetime.now(UTC)
        which = Which(since=ago(since, now), agent=agent, tenant=known_tenant(tenant))
        session = await open_session(tenant or DEFAULT_TENANT, as_json=as_json)
        runs = await past_runs(session, which)
        found = audit_of(runs, min_gates)
        if as_json:
            gaps = [gap for run in runs for gap in run.gaps]
            session.document({"as_of": now.isoformat(), **found.model_dump(mode="json"), "gaps": gaps})
        else:
            session.say(*audit_parts(found, which, min_gates), *gap_lines(runs))
        return Exit.FAILED if found.unseen else Exit.DONE

    finish(command())


def audit_parts(found: Audit, which: Which, min_gates: int) -> list[Line]:
    """The findings for people."""
    head = f"{many(found.runs, 'run')}{which.words}: {many(found.calls, 'call')}, {many(found.gates, 'gate')}"
    if not found.calls:
        return [Text(head, style="bold")]
    return [Text(head, style="bold"), "", *_under(found), "", *_over(found.over_gated, min_gates)]


def _under(found: Audit) -> Iterable[Line]:
    if found.unseen:
        head = f"✗ {many(len(found.unseen), 'irreversible call')} that nobody saw:"
        yield Text(head, style="bold red")
        yield from _calls(found.unseen)
        dial, rule = "give the agent a more careful dial", "a rule with verdict: ask"
        yield Text(f"  To change that: {dial}, or let {rule} name these tools.")
    else:
        yield Text(
            "✓ No irreversible call went ahead without a person, but for those named below.", style="green"
        )
    if found.overridden:
        yield Text(f"! {len(found.overridden)} went ahead under a named override:", style="bold yellow")
        yield from _calls(found.overridden)
    if found.effect_unknown:
        text = f"! Of {many(found.effect_unknown, 'call')} the effect is not known: the definition is past the retention."
        yield Text(text, style="yellow")


def _calls(calls: Sequence[Unseen]) -> Iterable[Text]:
    for call in calls[:SHOWN]:
        under = f", under {one_line(call.override, 80)}" if call.override else ""
        made = f"{one_line(call.tool, 64)}({one_line(call.arguments, 100)})"
        dial = f", dial {call.dial}" if call.dial else ""
        yield Text(f"  {call.run} {call.call}  {made}: {call.effect}{dial}{under}")
    if len(calls) > SHOWN:
        yield Text(f"  … {len(calls) - SHOWN} more; --json names them all", style="dim")


def _over(groups: Sequence[OverGated], min_gates: int) -> Iterable[Line]:
    if not groups:
        yield Text(f"✓ No gate was approved as asked every time, {min_gates} times or more.", style="green")
        return
    yield Text("? Gates that were approved as asked, every time:", style="bold yellow")
    for group in groups:
        by = f"rule {one_line(group.rule, 80)}" if group.rule else "the dial"
        yield Text.assemble(
            (f"  {group.agent or '-'} {one_line(group.tool, 64)}", "bold"),
            f", by {by}: {many(group.gates, 'time')}, {duration(group.seconds)} of waiting in all, "
            f"{duration(group.median_seconds)} at the median",
        )
        yield Text(f"    {group.advice}")
    yield Text("  Try other rules on what happened first:")
    yield f"    {starter_line('dial', 'backtest', 'rules.yaml', '--last', '100')}"
