"""The command `status`, and the view of a run that it shares with `watch`."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from rich.text import Text

from agents.status import ENDED
from console.cards import card_body, card_lines
from console.executions import FORCED
from console.exits import Exit
from console.lines import starter_line
from console.seen import Seen, SeenCall, see
from console.session import AsJson, Line, Run, Session, Tenant, about_run
from console.table import table_lines
from console.text import ago, clock, duration, lines, one_line
from console.trajectory.chain import arguments_of
from console.trajectory.marks import MARKS

PHASES = {
    "done": "green",
    "failed": "red",
    "terminated": "red",
    "timed out": "red",
    "cancelled": "yellow",
    "waiting": "bold yellow",
    "parked": "bold red",
    "paused": "yellow",
}
OVER = ENDED | FORCED
"""Phases of a run that has ended."""
REJECTED, SAID = 5, 5
"""Messages shown of those that were refused, and of those to the agent; the JSON has up to fifty."""


def status(run: Run, *, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show what a run has done, what is in flight, what waits for a person, and what is safe to retry."""

    async def command(session: Session, name: str) -> Exit:
        seen, answer = await see(session, name)
        if session.as_json:
            session.document(answer)
        else:
            now = datetime.now(UTC)
            session.say(*seen_parts(seen, now, session.out.width))
            arguments = await arguments_of(session.client, name, seen.waiting)
            for card in seen.waiting:
                body = card_body(card, now, arguments.get(card.gate))
                session.say("", *body, *card_lines(name, card, session.connection))
            if seen.phase == "done":
                session.say("", *lines(seen.answer or "", None))
            if link := session.web_link(name):
                session.say("", Text(link, style="dim"))
        return Exit.DONE

    about_run(run, tenant, command, as_json=as_json)


def seen_parts(seen: Seen, now: datetime, width: int, *, most_calls: int | None = None) -> list[Line]:
    """A run without its cards and answer."""
    parts: list[Line] = [_head(seen, now), *_about(seen), *_paused(seen, now), *_grants(seen, now)]
    if seen.partial:
        parts.append(Text(f"  {seen.partial}", style="yellow"))
    if seen.calls:
        parts += ["", *calls_lines(seen.calls[-most_calls:] if most_calls else seen.calls, width)]
    if seen.said:
        parts += ["", *_said(seen)]
    if seen.rejected:
        parts += ["", *_rejected(seen)]
    if seen.error:
        parts += ["", *(Text(line, style="red") for line in lines(f"Why: {seen.error}", None))]
    return parts


def _head(seen: Seen, now: datetime) -> Text:
    head = Text.assemble(
        ("Run ", "bold"), (seen.run, "bold"), ": ", (seen.phase, PHASES.get(seen.phase, "cyan"))
    )
    if seen.turn:
        head.append(f", turn {seen.turn}")
    if seen.backoff and seen.backoff > now:
        left = duration((seen.backoff - now) / timedelta(seconds=1))
        head.append(
            f", waiting for the model provider for {left} (until {clock(seen.backoff)})", style="yellow"
        )
    return head


def _about(seen: Seen) -> Iterable[Text]:
    about = {"agent": seen.agent, "model": seen.model, "dial": seen.dial, "tenant": seen.tenant}
    yield Text("  " + ", ".join(f"{name} {one_line(value, 80)}" for name, value in about.items() if value))
    if seen.usage:
        spent = seen.usage
        cost = "" if spent.cost is None else f", {spent.cost:.4f} USD"
        yield Text(
            f"  model calls: {spent.model_calls} in {spent.model_attempts} attempts, tokens {spent.input_tokens:,} in "
            f"({spent.cached_tokens:,} cached), {spent.output_tokens:,} out{cost}"
        )
    if seen.counts:
        yield Text("  calls: " + ", ".join(f"{number} {state}" for state, number in seen.counts.items()))


def _paused(seen: Seen, now: datetime) -> Iterable[Text]:
    if (paused := seen.paused) is not None and seen.phase not in OVER:
        why = f": {one_line(paused.reason, 300)}" if paused.reason else ""
        yield Text(f"  paused by {one_line(paused.by, 60)}, {ago(paused.at, now)}{why}", style="bold yellow")
        yield Text(f"  `{starter_line('resume', seen.run)}` lets it go on")


def _grants(seen: Seen, now: datetime) -> Iterable[Text]:
    for given in seen.grants:
        if given.left and given.until > now and seen.phase not in OVER:
            when = f" where {one_line(given.when, 160)}" if given.when else ""
            left = duration((given.until - now) / timedelta(seconds=1))
            yield Text(
                f"  unasked by approval of {one_line(given.by, 60)}: {given.left} more of "
                f"{one_line(given.tool, 60)}{when}, for {left}"
            )


def _said(seen: Seen) -> Iterable[Text]:
    yield Text("Said to the agent", style="bold")
    for said in seen.said[-SAID:]:
        if said.seen is not None:
            when, style = f"seen at turn {said.seen}", "green"
        else:
            when, style = ("not seen: the run had ended" if seen.phase in OVER else "not seen yet"), "yellow"
        yield Text.assemble(
            f"  {clock(said.at)}  {one_line(said.by, 60)}: {one_line(said.text, 200)}  ", (when, style)
        )


def calls_lines(calls: Sequence[SeenCall], width: int) -> list[Text]:
    """Calls, one a line."""
    rows = [
        (
            call.id,
            one_line(call.tool, 40),
            Text(call.state, style=MARKS.get(call.state, ("", ""))[1]),
            str(call.attempts or ""),
            _safe(call),
            one_line(call.summary, 160),
        )
        for call in calls
    ]
    return table_lines(("call", "tool", "state", "attempts", "safe to retry", "arguments"), rows, width)


def _safe(call: SeenCall) -> Text:
    word, style = ("yes", "green") if call.safe_to_retry else ("no", "red")
    return Text.assemble((word, style), (f", {one_line(call.reason, 60)}", "dim"))


def _rejected(seen: Seen) -> Iterable[Text]:
    total = seen.rejected_total or len(seen.rejected)
    yield Text(f"Messages refused: {total}", style="bold")
    for item in seen.rejected[-REJECTED:]:
        by = f" by {one_line(item.by, 60)}" if item.by else ""
        gate = f" {one_line(item.gate, 60)}" if item.gate else ""
        yield Text(
            f"  {clock(item.at)}  {one_line(item.message, 60)}{gate}{by}: {one_line(item.reason, 200)}"
        )
