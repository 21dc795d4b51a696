"""The command `cancel`: ends a run, and lists what it had done, what was stopped, and what never began."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from agents.ledger import CLOSED
from console.exits import Exit, Trouble
from console.lines import starter_line
from console.message import Message, Sent, deliver
from console.seen import Seen, SeenCall, see
from console.session import AsJson, Line, Run, Session, Tenant, about_run
from console.status import calls_lines
from console.steer import AsLine, By, report, steering

POLL_SECONDS = 0.3
END_SECONDS = 30.0
"""For the calls in flight to be told and to end."""

NEVER_BEGAN = frozenset({"planned", "waiting"})


def cancel(
    run: Run,
    *,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept with the run.")] = None,
    now: Annotated[
        bool,
        typer.Option(
            "--now",
            help="Terminate it, also while no worker answers: calls in flight are cut off, and what became of them "
            "stays unknown.",
        ),
    ] = False,
    by: By = None,
    tenant: Tenant = None,
    as_line: AsLine = False,
    as_json: AsJson = False,
) -> None:
    """Stop what is in flight and end the run. What was done stays done, and is listed."""

    async def command(session: Session, name: str) -> Exit:
        await session.describe_open(name)
        message = steering("cancel", by, reason=reason)
        if as_line and now:
            raise Trouble(f"--now is `temporal workflow terminate --workflow-id {name}`.", Exit.USAGE)
        if as_line:
            session.line(name, message.line(session, name))
            return Exit.DONE
        before, _ = await see(session, name)
        sent = await (_terminate if now else _cancel)(session, name, message)
        session.say(sent.receipt)
        after = await _end(session, name) if sent.accepted else None
        lists = _lists(before, after) if after else {}
        _show(session, name, sent, after, lists)
        report(
            session, name, sent, ended=after is not None, **{key: _ids(calls) for key, calls in lists.items()}
        )
        return sent.exit

    about_run(run, tenant, command, as_json=as_json)


async def _cancel(session: Session, run: str, message: Message) -> Sent:
    sent = await deliver(session, run, message)
    if sent.accepted is not False:
        return sent
    # A run from before there was such a message, or one that is being cancelled already.
    await session.handle(run).cancel()
    return Sent(True, f"{sent.reason}; Temporal itself was asked to cancel it", "update")


async def _terminate(session: Session, run: str, message: Message) -> Sent:
    why = f": {message.body['reason']}" if "reason" in message.body else ""
    await session.handle(run).terminate(reason=f"cancelled at once by {message.body['by']}{why}")
    return Sent(True, "Temporal has terminated it", "update")


async def _end(session: Session, run: str) -> Seen | None:
    """The run once it has ended; None where that takes too long."""
    try:
        async with asyncio.timeout(END_SECONDS):
            while True:
                if not (await session.describe(run)).execution.open:
                    return (await see(session, run))[0]
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return None


def _lists(before: Seen, after: Seen) -> dict[str, list[SeenCall]]:
    closed = {call.id for call in before.calls if call.state in CLOSED}
    never = [call for call in after.calls if call.state in NEVER_BEGAN]
    done = [call for call in after.calls if call.state == "done"]
    known = {call.id for call in (*never, *done)} | closed
    return {
        "done": done,
        "stopped": [call for call in after.calls if call.id not in known],
        "never_began": never,
    }


def _ids(calls: Sequence[SeenCall]) -> list[dict[str, str]]:
    return [call.model_dump(include={"id", "tool", "summary", "state"}) for call in calls]


def _show(
    session: Session, run: str, sent: Sent, after: Seen | None, lists: dict[str, list[SeenCall]]
) -> None:
    if sent.accepted is None:
        session.say(
            "To end it without a worker, with its calls cut off:", f"  {starter_line('cancel', run, '--now')}"
        )
        return
    if after is None:
        session.say(f"It ends once what is in flight has: {starter_line('watch', run)}")
        return
    parts: list[Line] = [Text(f"The run {run} has ended: {after.phase}.", style="bold")]
    if after.partial:
        parts.append(Text(f"  {after.partial}", style="yellow"))
    titles = {
        "done": f"Done, and stays done ({(after.counts or {}).get('done', 0)}):",
        "stopped": "Stopped in flight:",
        "never_began": "Never began:",
    }
    for name, calls in lists.items():
        if calls:
            parts += ["", Text(titles[name], style="bold"), *calls_lines(calls, session.out.width)]
    if not any(lists.values()):
        parts.append("It had made no call.")
    session.say(*parts)
