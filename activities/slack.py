"""A notice as a message in Slack's JSON. Pure: the standard library and `agents`.

What a model, a tool or a person wrote stands only in `text` elements of a rich-text block. Slack parses nothing in
them, so no link, mention, emoji or formatting can come out of it, and nothing needs escaping. The fallback `text`, which
Slack does parse, holds none of it: only names and numbers of the run.

Slack's bounds: 150 characters in a header, 3,000 in a text object, 50 blocks, and some 12,000 characters in all blocks
together (not documented; messages with 11,300 have been refused). Everything here is bounded far below.
"""

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from agents import bounds
from agents.card import Card
from agents.gate import GateKind
from agents.notice import Notice, notice_key

Part = dict[str, Any]

HEADER = 150
LINE = 300
"""One fact: names, a reason, an undo."""
PARAGRAPH = 500
"""The model's words, a question, its answer."""
PREVIEW = 1800
COMMANDS = 1800
EVIDENCE = 5
"""Lines."""

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufeff"
    "\U000e0000-\U000e007f]"
)
"""As on a terminal: control characters but tab and newline, what turns the direction of writing, what has no width,
halves of characters."""

TITLES: dict[str, str] = {
    "asks": "Waits for",
    "reminds": "Still waits for",
    "escalates": "Escalated: waits for",
}
NEEDS: dict[GateKind, str] = {
    GateKind.APPROVAL: "approval",
    GateKind.QUESTION: "an answer",
    GateKind.FAILURE: "a decision on a failure",
    GateKind.UNKNOWN: "a decision on an unknown outcome",
    GateKind.BUDGET: "a decision on a budget",
}
NOBODY: dict[str, str] = {
    "deny": "it is denied",
    "escalate": "the next are asked",
    "ask_again": "it is asked again",
    "end": "the run ends",
}


def message(notice: Notice) -> dict[str, Any]:
    """What is posted. The same for every attempt, so that its receiver can tell a repetition by its key."""
    title = _title(notice)
    return {
        "text": f"{_escaped(title)}. {_escaped(_where(notice))}",
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            {
                "type": "header",
                "text": {"type": "plain_text", "text": bounds.clip(title, HEADER), "emoji": False},
            },
            {"type": "rich_text", "elements": list(_elements(notice))},
        ],
        "metadata": {"event_type": "agent_gate", "event_payload": _facts(notice)},
    }


def _title(notice: Notice) -> str:
    card = notice.card
    what = f"{TITLES[notice.what]} {NEEDS.get(card.kind, str(card.kind))}"
    return f"{what}: {card.tool} ({card.risk} risk)" if card.tool else what


def _where(notice: Notice) -> str:
    card = notice.card
    until = f", until {_moment(card.deadline)}" if card.deadline else ""
    asks = bounds.clip(", ".join(card.asks), LINE)
    return f"Run {notice.run} ({notice.agent}) at {card.gate}, asks {asks}{until}."


def _facts(notice: Notice) -> dict[str, str | int]:
    """For programs. Slack takes flat values only."""
    card = notice.card
    facts: dict[str, str | int] = {
        "version": 1,
        "key": notice_key(notice),
        "what": notice.what,
        "number": notice.number,
        "run": notice.run,
        "agent": notice.agent,
        "tenant": notice.tenant,
        "gate": card.gate,
        "kind": str(card.kind),
        "digest": card.digest,
        "accepts": ",".join(card.accepts),
        "tool": card.tool or "",
        "rule": bounds.clip(card.rule or ""),
        "risk": card.risk,
        "asks": bounds.clip(",".join(card.asks), LINE),
        "needed": card.needed,
        "since": card.since.isoformat(),
        "deadline": card.deadline.isoformat() if card.deadline else "",
    }
    return {name: _plain(value) if isinstance(value, str) else value for name, value in facts.items()}


def _elements(notice: Notice) -> Iterator[Part]:
    card = notice.card
    yield _section(_where(notice))
    if card.changed:
        yield _label("Asked again")
        yield _box(card.changed, PARAGRAPH)
    yield from _what(card)
    if card.stated:
        yield _label("Why the agent wants it, in the model's words")
        yield _quote(card.stated, PARAGRAPH)
    yield from _thread(card)
    if card.evidence:
        yield _label("What it did before")
        yield _box("\n".join(bounds.clip(line) for line in card.evidence[-EVIDENCE:]), PARAGRAPH)
    yield _section("\n".join(_terms(card)))
    yield _label("To decide, paste one of these into a shell that reaches Temporal")
    yield _box(_commands(card), COMMANDS)
    inbox = shlex.join(["python", "starter.py", "inbox", notice.run, card.gate])
    yield _section(f"Or: {inbox}\nIt shows all of it, and signs where decisions must be signed.")
    yield _section("Nothing that is typed here decides.")


def _what(card: Card) -> Iterator[Part]:
    if card.kind is GateKind.QUESTION:
        yield _label("The question, in the model's words")
        yield _quote(card.summary, PARAGRAPH)
        return
    yield _label("The call, with the arguments that the model gave it" if card.call else "What it is about")
    yield _box(card.summary, PARAGRAPH)
    if card.preview:
        yield _label("What would happen, by the tool's own preview")
        yield _box(card.preview, PREVIEW)


def _thread(card: Card) -> Iterator[Part]:
    """The last question of a person to the agent, and what the model answered."""
    for exchange in card.thread[-1:]:
        yield _label(f"{bounds.clip(exchange.by)} has asked the agent")
        yield _quote(exchange.question, LINE)
        yield _label("The answer, in the model's words")
        yield _quote(exchange.answer or "(none yet)", PARAGRAPH)


def _terms(card: Card) -> Iterator[str]:
    yield f"Why a person is asked: {bounds.clip(card.reason, LINE)}"
    if card.rule:
        yield f"By rule: {bounds.clip(card.rule)}"
    if card.needed > 1:
        yield f"Approvals needed: {card.needed}. So far: {bounds.clip(', '.join(card.approved_by), LINE) or 'none'}"
    if not card.requester_counts:
        yield "Whoever asked for the run may not decide."
    if card.deadline and card.nobody:
        yield f"If nobody decides until {_moment(card.deadline)}: {bounds.clip(NOBODY.get(card.nobody, card.nobody))}"
    if card.undo:
        yield f"What undoes it: {bounds.clip(card.undo, LINE)}"
    cost = "" if card.spent.cost is None else f", {card.spent.cost:.2f} USD"
    yield f"Spent so far: {card.spent.model_calls} model calls, {card.spent.tokens:,} tokens{cost}"


def _commands(card: Card) -> str:
    """As many lines as fit, whole ones only: half a command is none."""
    found = ""
    for line in (card.command, *card.others):
        if len(found) + len(line) > COMMANDS:
            break
        found += f"{line}\n"
    return found.rstrip("\n")


def _section(text: str) -> Part:
    return {"type": "rich_text_section", "elements": [_text(f"{text}\n")]}


def _label(text: str) -> Part:
    """A line of ours above what others wrote."""
    return {"type": "rich_text_section", "elements": [_text(f"{text}:\n", bold=True)]}


def _box(text: str, limit: int) -> Part:
    return {"type": "rich_text_preformatted", "elements": [_text(_cut(text, limit))]}


def _quote(text: str, limit: int) -> Part:
    return {"type": "rich_text_quote", "elements": [_text(_cut(text, limit))]}


def _text(text: str, *, bold: bool = False) -> Part:
    element: Part = {"type": "text", "text": _plain(text) or "-"}
    return element | {"style": {"bold": True}} if bold else element


def _plain(text: str) -> str:
    return UNSAFE.sub("\ufffd", text)


def _cut(text: str, limit: int) -> str:
    """At most `limit` characters; where some are missing, the text says how many."""
    if len(text) <= limit:
        return text
    note = f"… ({len(text):,} characters in all; the inbox shows more)"
    return text[: limit - len(note)] + note


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _escaped(text: str) -> str:
    """As Slack asks it of whoever posts text: these three characters would begin a link or a mention."""
    return _plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
