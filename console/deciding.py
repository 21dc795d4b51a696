"""Carries out a person's decision: finds the card, shows what it is about, sends it, and tells what became of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.card import Card
from agents.gate import Decision, DecisionKind
from console.afterwards import Afterwards
from console.cards import memo_cards
from console.decisions import decision, message_of, operating_system_user, send
from console.edit import all_arguments, changed, difference
from console.exits import Exit, Trouble
from console.grants import grant
from console.lines import starter_line
from console.message import Sent
from console.seen import phase_of, see
from console.session import Session, about_run
from console.text import plain
from console.trajectory.chain import arguments_of


@dataclass(frozen=True)
class Order:
    """What a person decides, as their command line says it."""

    kind: DecisionKind
    said: Mapping[str, str | None]
    """Fields of the decision."""
    changes: tuple[str, ...] = ()
    """`FIELD=VALUE`."""
    arguments: str | None = None
    """All of them: JSON or `@FILE`."""
    calls: int | None = None
    lasts: str | None = None
    when: tuple[str, ...] = ()


@dataclass(frozen=True)
class How:
    """The options that all these commands share."""

    digest: str | None
    by: str | None
    tenant: str | None
    as_line: bool
    as_json: bool


def run_order(run: str, gate: str | None, order: Order, how: How) -> None:
    """Run the command.

    Raises:
        typer.Exit: Always, with the command's exit code.
    """

    async def command(session: Session, name: str) -> Exit:
        return await _decide(session, name, gate, order, how)

    about_run(run, how.tenant, command, as_json=how.as_json)


async def _decide(session: Session, run: str, gate: str | None, order: Order, how: How) -> Exit:
    found = await session.describe_open(run)
    cards = memo_cards(found.execution, session.connection.namespace)
    card = _card(cards, gate)
    if card is None and gate is not None and cards:  # the memo holds the oldest ones
        cards = (await see(session, run))[0].waiting
        card = _card(cards, gate)
    if card is None and (gate is None or how.digest is None or order.changes):
        raise Trouble(_no_card(run, cards, gate))
    which, seen = (card.gate, card.digest) if card else (gate or "", "")
    known = await arguments_of(session.client, run, [card]) if card else {}
    arguments = json.loads(known.get(which, "null"))
    kind, said = _meant(order, arguments)
    made = decision(
        which, how.digest or seen, kind, operating_system_user() if how.by is None else how.by, **said
    )
    if how.as_line:
        session.line(run, message_of(session, run, made).line(session, run))
        return Exit.DONE
    afterwards = Afterwards(session, run, which, made.by)
    if card is not None:
        await afterwards.show(card)
    if made.arguments is not None and isinstance(arguments, dict):
        session.say("What changes:", *difference(arguments, made.arguments))
    sent = await send(session, run, made)
    session.say(sent.receipt)
    if sent.accepted and phase_of(found.execution) == "paused":
        session.say(f"The run is paused; `{starter_line('resume', run)}` lets it go on.")
    code, more = await _after(afterwards, made, sent)
    if session.as_json:
        told = {"accepted": sent.accepted, "reason": sent.reason, "door": sent.door}
        session.document({"run": run, "gate": which, **told, **more})
    return code


def _meant(order: Order, arguments: Any) -> tuple[DecisionKind, dict[str, Any]]:
    """The decision's kind and fields."""
    given = grant(order.calls, order.lasts, order.when, arguments if isinstance(arguments, dict) else {})
    if given and order.changes:
        raise Trouble("Give --set or --for-run: other arguments are approved for this call only.", Exit.USAGE)
    if not order.changes:
        whole = None if order.arguments is None else all_arguments(order.arguments)
        return order.kind, {**order.said, "grant": given, "arguments": whole}
    if not isinstance(arguments, dict):
        raise Trouble("This gate holds back no call with arguments, so there is nothing to --set.")
    after = changed(arguments, order.changes)
    if not difference(arguments, after):
        raise Trouble("Nothing changes by that --set; approve without it.", Exit.USAGE)
    return DecisionKind.EDIT, {**order.said, "arguments": after}


async def _after(afterwards: Afterwards, made: Decision, sent: Sent) -> tuple[Exit, dict[str, Any]]:
    """The exit code, and further fields of the document."""
    match sent.accepted, made.kind:
        case False, _:
            await afterwards.what_next(made.digest)
        case True, DecisionKind.EDIT:
            code, asks_again = await afterwards.confirm(made.digest)
            return code, {"asks_again": asks_again}
        case True, DecisionKind.ASK:
            return sent.exit, {"answer": await afterwards.answer(made.text or "")}
    return sent.exit, {}


def _card(cards: Sequence[Card], gate: str | None) -> Card | None:
    if gate is None:
        return cards[0] if len(cards) == 1 else None
    return next((card for card in cards if card.gate == gate), None)


def _no_card(run: str, cards: Sequence[Card], gate: str | None) -> str:
    if not cards:
        return f"Nothing waits for a person in {run}. `{starter_line('status', run)}` shows what it does."
    waiting = ", ".join(card.gate for card in cards)
    if gate is None:
        return f"{len(cards)} gates wait in {run}; name one: {waiting}."
    return f"No gate {plain(gate)!r} waits in {run}. Waiting: {waiting}."
