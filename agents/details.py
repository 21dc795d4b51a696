"""A run's current details in Markdown, as the Temporal Web UI shows them under "User Metadata"."""

from agents import bounds
from agents.card import Card
from agents.ledger import CLOSED
from agents.request import task_text
from agents.shown import cards
from agents.state import RunState
from agents.status import phase

SHOWN_CHARS = 600
"""Of a preview."""


def details(state: RunState, namespace: str) -> str:
    """Phase, cards with their commands, open calls and usage. Costs no history: the Web UI asks for it by query."""
    # The task, since the server drops a run's summary and details when it continues as new.
    lines = [_code(bounds.clip(task_text(state.request.task), 200)), ""]
    lines.append(f"**{phase(state)}**, turn {state.turn}")
    if state.model.phase == "backoff" and state.model.until:
        lines[-1] += f", waiting for the model provider until {state.model.until:%H:%M:%S} UTC"
    if state.paused:
        lines.append(f"Paused by {_code(state.paused.by)} at {state.paused.at:%Y-%m-%d %H:%M} UTC.")
    for card in cards(state, namespace, bounds.SHOWN_CARDS):
        lines += ["", *_card(card)]
    if (more := len(state.gates) - bounds.SHOWN_CARDS) > 0:
        lines += ["", f"{more} more gates wait: query `status`."]
    if state.calls:
        lines += ["", "### Open calls"]
        lines += [f"- `{c.id}` {c.tool}: {c.state}" for c in state.calls.values() if c.state not in CLOSED]
    closed = ", ".join(f"{number} {name}" for name, number in state.counts.items()) or "none"
    tokens = state.usage.tokens
    lines += [
        "",
        f"Calls closed: {closed}. Model calls: {state.usage.model_calls}, "
        f"tokens: {tokens.input_tokens} in ({tokens.cached_tokens} cached), {tokens.output_tokens} out.",
    ]
    if state.rejected_total:
        lines.append(f"Messages refused: {state.rejected_total} (query `status` lists them).")
    return "\n".join(lines)


def _card(card: Card) -> list[str]:
    who = ", ".join(card.asks)
    if card.needed > 1:
        who += f": {len(card.approved_by)} of {card.needed} so far"
    until = f", until {card.deadline:%Y-%m-%d %H:%M} UTC, then {card.nobody}" if card.deadline else ""
    lines = [f"### {card.gate} waits: {card.kind}", _code(card.summary), ""]
    for label, text in (
        ("What it would do", _beginning(card.preview)),
        ("Changed since it was approved", card.changed),
        ("What undoes it", card.undo),
        ("In the model's words", card.stated),
    ):
        lines += [f"{label}:", *_block(text)] if text else []
    for asked in card.thread:
        lines += [f"{_code(asked.by)} asked: {_code(bounds.clip(asked.question, 400))}"]
        lines += ["The model answered:", *_block(asked.answer or "(not yet)")]
    lines += [f"Asks {_code(who)}{until}. Why: {_code(card.reason)}. Answer with one of:"]
    if card.signed:
        lines[-1] += " Decisions must be signed: `python starter.py approve … --print` prints such a line."
    for line in (card.command, *card.others):
        lines += ["```sh", line, "```"]
    return lines


def _beginning(text: str) -> str:
    # Every waiting run keeps its details in its worker's memory, beside the card itself.
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}… (query `status` has all of it)"


def _block(text: str) -> list[str]:
    """Indented, which Markdown takes literally whatever it holds."""
    return ["", *(f"    {line}" for line in text.splitlines()), ""]


def _code(text: str) -> str:
    """As code, which Markdown takes literally: what a model or a service wrote must not become a link."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"
