"""Cards: read from a run's memo, so that no worker is needed, and shown with the lines that answer them."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from rich.text import Text

from agents.card import Card, Spent, command_line
from agents.effect import Risk
from agents.gate import DecisionKind, Exchange, Gate, GateKind
from agents.gating import ACCEPTS, MODEL_ACCEPTS, SINCE_RULES
from console.executions import Execution
from console.lines import decision_line, temporal_line
from console.text import ago, duration, lines, one_line
from runtime.connection import Connection
from workflows.publish import CARDS, MEMO_CARDS

ARGUMENT_LINES = 30
"""Of each of a call's arguments, or of its preview; the trajectory has them in full."""
TOLD_LINES = 12
"""Of what the model said, of what has changed, of each question and answer, and of an argument below a preview."""
BESIDE = 70
"""Characters that stand beside their label."""
EXCHANGES = 6
"""Questions to the agent on a card, the latest ones."""

CARD_FIELDS, GATE_FIELDS = frozenset(Card.model_fields), frozenset(Gate.model_fields)
LINE_CHARS = 4000
"""Of one line of a preview or an answer: no more than they hold, so that none is cut where it matters."""

EFFECTS = frozenset({GateKind.APPROVAL, GateKind.UNKNOWN})
STYLES: dict[Risk, str] = {"low": "green", "medium": "yellow", "high": "red", "critical": "bold red"}
ASKED = {
    GateKind.APPROVAL: "If you say yes, this call is made:",
    GateKind.QUESTION: "The agent asks, in the model's own words:",
    GateKind.FAILURE: "This failed:",
    GateKind.UNKNOWN: "This was sent, and nobody knows whether it happened:",
    GateKind.BUDGET: "This run has used up what it was given:",
}
PREVIEWED = "If you say yes, this happens, as the tool itself foresees it:"
CALLED = "It is this call:"
NOBODY = {
    "deny": "it is denied",
    "escalate": "more people are asked",
    "ask_again": "it is asked again",
    "end": "the run ends",
}
"""What happens at the deadline, after "if nobody decides by then,"."""


def memo_cards(execution: Execution, namespace: str) -> tuple[Card, ...]:
    """The cards in a run's memo, oldest first; none for a run that has ended, whatever its memo still says."""
    return cards_in(execution.run, execution.memo, namespace) if execution.open else ()


def cards_in(run: str, memo: dict[str, Any], namespace: str) -> tuple[Card, ...]:
    """The cards in the memo of a run that has not ended."""
    return cards_of(run, memo.get(CARDS), namespace)


def cards_of(run: str, entries: object, namespace: str) -> tuple[Card, ...]:
    """Whole cards out of what the memo holds of them: the command lines are left out there.

    What is none is passed over: whoever starts a run may give it a memo.
    """
    some = entries[:MEMO_CARDS] if isinstance(entries, list) else []
    return tuple(card for entry in some if (card := _card(run, entry, namespace)))


def _card(run: str, entry: Any, namespace: str) -> Card | None:
    try:
        kinds = entry.get("accepts") or _before_rules(GateKind(entry["kind"]), entry["call"])
        known = {name: value for name, value in entry.items() if name in CARD_FIELDS}
        # As a gate it is checked: what stands in a command must be a gate's id and a digest.
        bare = {name: value for name, value in known.items() if name in GATE_FIELDS}
        gate = Gate.model_validate({**bare, "id": entry["gate"], "accepts": kinds, "nonce": ""})
        first, *others = (command_line(run, gate, kind, namespace) for kind in gate.accepts)
        return Card.model_validate({**known, "accepts": gate.accepts, "command": first, "others": others})
    except (TypeError, KeyError, AttributeError, ValueError):
        return None


def _before_rules(kind: GateKind, call: str | None) -> tuple[DecisionKind, ...]:
    return tuple(answer for answer in accepts(kind, call) if answer not in SINCE_RULES)


def accepts(kind: GateKind, call: str | None) -> tuple[DecisionKind, ...]:
    """What a gate of this kind takes as an answer."""
    return ACCEPTS[kind] if call or kind is GateKind.BUDGET else MODEL_ACCEPTS


def answers_to(card: Card) -> tuple[DecisionKind, ...]:
    """What this card's gate takes as an answer; cards of older runs do not say it."""
    return card.accepts or _before_rules(card.kind, card.call)


def card_body(
    card: Card,
    now: datetime,
    arguments: str | None = None,
    limit: int = ARGUMENT_LINES,
    *,
    brief: bool = False,
) -> list[Text]:
    """What a person sees of a card: what will happen, why they are asked, and on what terms.

    Whatever a model, a tool or a service wrote stands below a label of ours and further in, so that it cannot pass for
    one.

    Args:
        card: The card.
        now: For the card's age, and what is left until its deadline.
        arguments: JSON of the call's arguments, where they are known; the card itself has a short form.
        limit: Lines of the preview, and of each argument.
        brief: Only what would happen and why it asks.
    """
    head = Text.assemble(
        ("? ", "bold yellow"),
        (f"{card.gate} waits", "bold yellow"),
        f": {card.kind}",
        *risk_parts(card.kind, card.risk),
        (f", since {ago(card.since, now)}".replace(" ago", ""), "dim"),
    )
    parts = (
        _brief(card, limit)
        if brief
        else (
            _what(card, arguments, limit),
            _block("Changed since people were asked before:", card.changed, "bold yellow"),
            _said("Why", card.reason + _rule(card), 1000),
            _block("The agent's reason, in the model's own words:", card.stated, "italic"),
            _evidence(card),
            *(_exchange(exchange) for exchange in card.thread[-EXCHANGES:]),
            _terms(card, now),
        )
    )
    return [head, *(Text("  ") + line for part in parts for line in part)]


def _brief(card: Card, limit: int) -> tuple[Iterator[Text], ...]:
    return _block(PREVIEWED, card.preview or card.summary, "bold", limit), _said(
        "Why", card.reason + _rule(card), 1000
    )


def _rule(card: Card) -> str:
    return f" (rule {card.rule!r})" if card.rule and card.rule not in card.reason else ""


def risk_parts(kind: str, risk: Risk) -> list[str | tuple[str, str]]:
    """The risk of what a gate holds back, where it holds back an effect."""
    return [", ", (f"{risk} risk", STYLES[risk])] if kind in EFFECTS else []


def _what(card: Card, arguments: str | None, limit: int) -> Iterator[Text]:
    if card.preview:
        yield from _block(PREVIEWED, card.preview, "bold", limit)
        yield Text(CALLED, style="cyan")
        limit = min(limit, TOLD_LINES)
    else:
        yield Text(ASKED[card.kind], style="cyan")
    values = None if arguments is None else json.loads(arguments)
    if not isinstance(values, dict) or not values:
        yield from (Text(f"  {line}", style="bold") for line in lines(card.summary, limit))
    elif card.kind is GateKind.QUESTION and list(values) == ["question"]:
        yield from (Text(f"  {line}", style="bold") for line in lines(str(values["question"]), limit))
    else:
        yield Text(f"  {one_line(card.tool or card.summary.partition('(')[0], 80)}", style="bold")
        yield from (Text("  ") + line for line in argument_lines(values, limit))


def argument_lines(values: dict[str, Any], limit: int | None) -> list[Text]:
    """Arguments one by one; a text of several lines below its name, so that it reads as it will be written."""
    found: list[Text] = []
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows = lines(text, limit) or [""]
        label = Text(f"  {one_line(name, 60)}: ", style="cyan")
        if len(rows) == 1:
            found.append(label + Text(rows[0]))
        else:
            found += [label, *(Text(f"    {row}") for row in rows)]
    return found


def _block(label: str, text: str, style: str, limit: int = TOLD_LINES) -> Iterator[Text]:
    if text.strip():
        yield Text(label, style="cyan")
        yield from (Text(f"  {line}", style=style) for line in lines(text, limit, LINE_CHARS))


def _said(label: str, text: str, limit: int = 400) -> Iterator[Text]:
    line = one_line(text, limit)
    if len(line) <= BESIDE:
        yield Text.assemble((f"{label}: ", "cyan"), line)
    else:  # further in, also where a terminal folds it
        yield Text(f"{label}:", style="cyan")
        yield Text(f"  {line}")


def _evidence(card: Card) -> Iterator[Text]:
    if card.evidence:
        yield Text("The run had done, last:", style="cyan")
        yield from (Text(f"  {one_line(line, 200)}") for line in card.evidence[-TOLD_LINES:])


def _exchange(exchange: Exchange) -> Iterator[Text]:
    yield from _block(f"{one_line(exchange.by, 80)} asked the agent:", exchange.question, "")
    if exchange.answer is None:
        yield Text("The agent has not answered yet.", style="cyan")
    else:
        yield from _block("The agent answered, in the model's own words:", exchange.answer, "italic")


def _terms(card: Card, now: datetime) -> Iterator[Text]:
    if card.undo or (card.tool and card.kind in EFFECTS):
        yield from _said("What undoes it", card.undo or "nothing that the tool knows of")
    yield from _said("Who decides", who_decides(card))
    yield from _said("Deadline", _deadline(card, now))
    if card.shortened:
        yield Text(
            "There is more to this card than its run could tell without a worker: `status` shows it.",
            style="yellow",
        )
    if card.undelivered:
        yield from _said("The webhook was not reached", card.undelivered)
    if card.spent.model_calls:
        yield from _said("Spent so far", _spent(card.spent))


def _spent(spent: Spent) -> str:
    calls = "1 model call" if spent.model_calls == 1 else f"{spent.model_calls} model calls"
    cost = "cost unknown" if spent.cost is None else f"{spent.cost:.4f} USD"
    return f"{calls}, {spent.tokens:,} tokens, {cost}"


def who_decides(card: Card) -> str:
    """Who may decide, how many must, and who has."""
    who = ", ".join(one_line(name, 60) for name in card.asks)
    if card.needed > 1:
        so_far = ", ".join(one_line(name, 60) for name in card.approved_by) or "nobody"
        who += f"; {card.needed} different people must approve, so far: {so_far}"
    return who if card.requester_counts else f"{who}; not the person for whom the run works"


def _deadline(card: Card, now: datetime) -> str:
    times = "once" if card.reminded == 1 else f"{card.reminded} times"
    again = f"; people were reminded {times}" if card.reminded else ""
    if card.deadline is None:
        return f"none, it waits as long as it takes{again}"
    left = (card.deadline - now) / timedelta(seconds=1)
    when = f"in {duration(left)}" if left > 0 else f"passed {duration(-left)} ago"
    then = NOBODY.get(card.nobody or "", "the run decides")
    return (
        f"{card.deadline.astimezone():%Y-%m-%d %H:%M %Z} ({when}); if nobody decides by then, {then}{again}"
    )


def answered(card: Card) -> int:
    """Questions to the agent that it has answered."""
    return sum(exchange.answer is not None for exchange in card.thread)


def card_lines(run: str, card: Card, connection: Connection) -> list[str]:
    """The lines that answer a card, ready to paste."""
    kinds = answers_to(card)
    width = max(len(kind) for kind in kinds)
    by_starter = [f"  {kind:<{width}}  {decision_line(run, card, kind)}" for kind in kinds]
    if card.signed:
        return [
            *by_starter,
            "  Decisions must be signed: set AGENT_SIGNING_KEY; with --print a line is only printed, signed.",
        ]
    return [
        *by_starter,
        "  or, with Temporal's own command:",
        f"  {temporal_line(card, card.command, connection)}",
    ]
