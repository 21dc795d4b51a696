"""The head of a trajectory: what the run was, what it spent, and who answers for what went ahead without a gate."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from rich.text import Text

from console.text import duration, one_line
from console.trajectory.steps import OverrideLine, Trajectory


def head(found: Trajectory, now: datetime) -> Iterable[Text]:
    """The lines above the steps."""
    state = found.ending.phase if found.ending else "not over"
    until = found.ending.at if found.ending else now
    took = f" {duration((until - found.started) / timedelta(seconds=1))}" if found.started else ""
    yield Text.assemble(("Run ", "bold"), (found.run, "bold"), f": {state},{took or ' start unknown'}")
    by = f", asked by {one_line(found.requester, 80)}" if found.requester else ""
    rules = f", rules {found.rules}" if found.rules else ""
    yield Text(
        f"  agent  {found.agent or '-'}, model {found.model or '-'}, dial {found.dial or '-'}{rules}{by}"
    )
    if found.task:
        yield Text(f"  task   {one_line(found.task, 300)}")
    sums = found.totals
    yield Text(
        f"  spent  {sums.model_calls} model calls in {sums.model_attempts} attempts, "
        f"tokens {sums.input_tokens:,} in ({sums.cached_tokens:,} cached), {sums.output_tokens:,} out"
    )
    yield Text("  calls  " + (", ".join(f"{n} {state}" for state, n in sums.calls.items()) or "none"))
    if len(found.executions) > 1:
        yield Text(f"  made of {len(found.executions)} executions that continued one another")
    for line in found.overrides:
        yield override_line(line)
    for gap in found.gaps:
        yield Text(f"  gap    {gap}", style="bold red")
    yield Text()


def override_line(line: OverrideLine) -> Text:
    """Who let grave calls go ahead without a gate, until when, why, and which did."""
    calls = ", ".join(line.calls) or "none so far"
    return Text.assemble(
        ("  override ", "bold yellow"),
        (one_line(line.name, 80), "bold yellow"),
        f" (rule {one_line(line.rule, 80)}) by {one_line(line.by, 80)} until {line.until:%Y-%m-%d %H:%M %Z}: ",
        f"{one_line(line.reason, 200)}; calls that went ahead under it: {calls}",
    )
