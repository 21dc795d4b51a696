"""The command `notify`: has runs tell the webhook of their open gates once more, or tries the webhook itself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.text import Text

from agents.ids import DEFAULT_TENANT
from console.cards import memo_cards
from console.exits import Exit, Trouble, finish
from console.lines import starter_line
from console.message import Message, Sent, deliver
from console.queries import known_tenant
from console.session import AsJson, Session, Tenant, named, open_session
from console.steer import steering
from console.text import document, duration, plain
from console.waiting import Wanted, inbox_of
from runtime.settings import load_settings

TryWebhook = Callable[[SecretStr, SecretStr | None], Awaitable[str | None]]
"""Posts a test message. Why the webhook has not taken it; None: it has."""

AT_ONCE = 16
"""Messages to runs that are on their way together."""


@dataclass(frozen=True)
class Told:
    """A run that was asked to tell the webhook of gates."""

    run: str
    gates: tuple[str, ...]
    sent: Sent


def notify_command(try_webhook: TryWebhook) -> Callable[..., None]:
    """The command.

    Args:
        try_webhook: Posts a test message; what posts is no part of the console.
    """

    def notify(
        run: Annotated[
            str | None, typer.Argument(metavar="RUN", help="One run; otherwise all that wait for a person.")
        ] = None,
        *,
        gate: Annotated[str | None, typer.Option(help="Only this gate of the run, such as t3.c1.")] = None,
        test: Annotated[
            bool, typer.Option("--test", help="Post a test message from here, and stop.")
        ] = False,
        by: Annotated[str | None, typer.Option(help="Who asks for it; otherwise your user name.")] = None,
        tenant: Tenant = None,
        as_json: AsJson = False,
    ) -> None:
        """Post what waits for a person to the webhook once more: AGENT_NOTIFY_URL on the workers."""

        async def command() -> Exit:
            if test:
                _refuse_with("--test is about the webhook alone", run=run, gate=gate, by=by, tenant=tenant)
                return await _try(try_webhook, as_json=as_json)
            if run is None:
                _refuse_with("Without RUN it is about all that waits", gate=gate)
                return await _all(tenant, by, as_json=as_json)
            which = named(run, tenant)
            return await _one(await open_session(which.tenant, as_json=as_json), str(which), gate, by)

        finish(command())

    return notify


def _refuse_with(why: str, **others: str | None) -> None:
    if said := [name for name, value in others.items() if value is not None]:
        raise Trouble(f"{why}: leave {', '.join(said)} out.", Exit.USAGE)


async def _try(try_webhook: TryWebhook, *, as_json: bool) -> Exit:
    settings = load_settings()
    if settings.agent_notify_url is None:
        raise Trouble("AGENT_NOTIFY_URL is not set here: .env.example says what it is for.", Exit.USAGE)
    begun = monotonic()
    refusal = await try_webhook(settings.agent_notify_url, settings.agent_notify_secret)
    signed = settings.agent_notify_secret is not None
    if as_json:
        said = {"posted": refusal is None, "reason": refusal, "signed": signed}
        typer.echo(document({**said, "seconds": round(monotonic() - begun, 3)}))
    if refusal is not None:
        raise Trouble(f"Not posted: {refusal}")
    if not as_json:
        how = (
            "signed with AGENT_NOTIFY_SECRET"
            if signed
            else "not signed, since AGENT_NOTIFY_SECRET is not set"
        )
        typer.echo(f"The webhook took the test message within {duration(monotonic() - begun)}; {how}.")
    return Exit.DONE


async def _one(session: Session, run: str, gate: str | None, by: str | None) -> Exit:
    found = (await session.describe_open(run)).execution
    waiting = [card.gate for card in memo_cards(found, session.connection.namespace)]
    if not waiting:
        status = starter_line("status", run)
        raise Trouble(f"Nothing waits for a person in {run}. `{status}` shows what it does.")
    sent = await deliver(session, run, steering("notify", by, gate=gate))
    return _report(session, None, [Told(run, (gate,) if gate else tuple(waiting), sent)])


async def _all(tenant: str | None, by: str | None, *, as_json: bool) -> Exit:
    session = await open_session(known_tenant(tenant) or DEFAULT_TENANT, as_json=as_json)
    found = await inbox_of(session.client, Wanted(tenant=tenant))
    waiting: dict[str, list[str]] = {}
    for line in found.gates:
        waiting.setdefault(line.run, []).append(line.gate)
    courier = Courier(session, steering("notify", by))
    sent = await asyncio.gather(*(courier.send(run) for run in waiting))
    told = [Told(run, tuple(gates), each) for (run, gates), each in zip(waiting.items(), sent, strict=True)]
    return _report(session, found.as_of, told)


class Courier:
    """Sends one message to many runs: as updates, and from the first on that no worker answers, as signals.

    Args:
        session: The session.
        message: What every run is sent.
    """

    def __init__(self, session: Session, message: Message) -> None:
        self._session = session
        self._message = message
        self._places = asyncio.Semaphore(AT_ONCE)
        self._unanswered: str | None = None
        """What the first one was told that no worker answered."""

    async def send(self, run: str) -> Sent:
        """Send it to one run."""
        async with self._places:
            if self._unanswered is not None:
                await self._session.handle(run).signal(self._message.name, self._message.body)
                return Sent(None, self._unanswered, "signal")
            try:
                sent = await deliver(self._session, run, self._message)
            except Trouble as error:  # it has ended since the listing
                return Sent(False, str(error), "update")
            if sent.door == "signal":
                self._unanswered = sent.reason
            return sent


def _report(session: Session, as_of: datetime | None, told: list[Told]) -> Exit:
    if session.as_json:
        runs = [
            {
                "run": each.run,
                "gates": each.gates,
                "accepted": each.sent.accepted,
                "reason": each.sent.reason,
                "door": each.sent.door,
            }
            for each in told
        ]
        session.document({"as_of": as_of.isoformat(), "runs": runs} if as_of else runs[0])
    for each in told:
        session.say(Text(f"{plain(each.run)} at {', '.join(each.gates)}: ") + each.sent.receipt)
    if not told:
        session.say("Nothing waits for a person.")
    return max((each.sent.exit for each in told), default=Exit.DONE)
