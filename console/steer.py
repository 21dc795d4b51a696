"""The commands `say`, `pause` and `resume`: what a person tells a run apart from decisions."""

import asyncio
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.text import Text

from agents import bounds
from agents.steering import STEERING
from console.decisions import operating_system_user
from console.exits import Exit, Trouble
from console.message import Message, Sent, deliver, new_id
from console.seen import see
from console.session import AsJson, Run, Session, Tenant, about_run
from console.status import OVER

POLL_SECONDS = 0.5

By = Annotated[str | None, typer.Option(help="Who says so; otherwise your user name.")]
AsLine = Annotated[bool, typer.Option("--print", help="Send nothing: print the `temporal` line that would.")]


def say(
    run: Run,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="What the agent shall know.", show_default=False)
    ],
    *,
    interrupt: Annotated[
        bool,
        typer.Option("--interrupt", help="Cancel the model call under way, and call again with the message."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the agent has seen it.")] = False,
    by: By = None,
    tenant: Tenant = None,
    as_line: AsLine = False,
    as_json: AsJson = False,
) -> None:
    """Tell the agent something; it sees it at its next turn."""
    policy = "interrupt" if interrupt else "next_turn"

    async def command(session: Session, name: str) -> Exit:
        await session.describe_open(name)
        if len(text.encode(errors="replace")) > bounds.SAY_BYTES:
            raise Trouble(
                f"That is more than {bounds.SAY_BYTES:,} bytes: put it into a file that the agent can read.",
                Exit.USAGE,
            )
        message = steering("say", by, text=text, policy=policy)
        if as_line:
            session.line(name, message.line(session, name))
            return Exit.DONE
        sent = await deliver(session, name, message)
        session.say(sent.receipt)
        seen = await _seen(session, name, message.body["id"]) if wait and sent.accepted else {}
        report(session, name, sent, **seen)
        return sent.exit

    about_run(run, tenant, command, as_json=as_json)


def pause(
    run: Run,
    *,
    reason: Annotated[str | None, typer.Option(help="Why; it shows in the run's status.")] = None,
    by: By = None,
    tenant: Tenant = None,
    as_line: AsLine = False,
    as_json: AsJson = False,
) -> None:
    """Let a run start nothing more until it is resumed; what is in flight ends, and gates can be decided."""
    _tell(run, "pause", {"by": by, "reason": reason}, tenant, as_line=as_line, as_json=as_json)


def resume(
    run: Run, *, by: By = None, tenant: Tenant = None, as_line: AsLine = False, as_json: AsJson = False
) -> None:
    """Let a paused run go on."""
    _tell(run, "resume", {"by": by}, tenant, as_line=as_line, as_json=as_json)


def _tell(
    run: str, what: str, said: dict[str, str | None], tenant: str | None, *, as_line: bool, as_json: bool
) -> None:
    async def command(session: Session, name: str) -> Exit:
        await session.describe_open(name)
        message = steering(what, **said)
        if as_line:
            session.line(name, message.line(session, name))
            return Exit.DONE
        sent = await deliver(session, name, message)
        session.say(sent.receipt)
        report(session, name, sent)
        return sent.exit

    about_run(run, tenant, command, as_json=as_json)


def steering(name: str, by: str | None, **said: str | None) -> Message:
    """A message that the run can read.

    Raises:
        Trouble: Something has the wrong form.
    """
    given = {field: value for field, value in said.items() if value is not None}
    body = {"by": by or operating_system_user(), "id": new_id(), **given}
    try:
        STEERING[name].model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise Trouble(f"{first['loc'][0]}: {first['msg']}", Exit.USAGE) from error
    return Message(name, body)


def report(session: Session, run: str, sent: Sent, **more: Any) -> None:
    """Print the document, where one is asked for."""
    if session.as_json:
        told = {"accepted": sent.accepted, "reason": sent.reason, "door": sent.door}
        session.document({"run": run, **told, **more})


async def _seen(session: Session, run: str, id: str) -> dict[str, int | None]:
    """Wait until the agent has seen a message, or never will."""
    while True:
        seen, _ = await see(session, run)
        said = next((each for each in seen.said if each.id == id), None)
        if said is not None and said.seen is not None:
            session.say(Text(f"Seen at turn {said.seen}.", style="green"))
            return {"seen": said.seen}
        if seen.phase in OVER:
            session.say(Text(f"Not seen: the run had ended ({seen.phase}).", style="yellow"))
            return {"seen": None}
        await asyncio.sleep(POLL_SECONDS)
