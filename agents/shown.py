"""What a run shows of its open gates: their cards, whom they ask, how bad and how soon."""

import json
from datetime import datetime
from itertools import islice

from pydantic_core import to_json

from agents import bounds
from agents.card import Card, Spent, card
from agents.effect import RISKS, Risk
from agents.gate import Gate
from agents.rules import MORE
from agents.state import RunState

SHORT_ASKS = 8
"""People and roles that a shortened card names."""


def highest_risk(state: RunState) -> Risk | None:
    """The highest risk among the open gates."""
    return max((gate.risk for gate in state.gates.values()), key=RISKS.index, default=None)


def cards(state: RunState, namespace: str, limit: int | None = None) -> tuple[Card, ...]:
    """The cards of the open gates, oldest first, and no more than `limit`."""
    return tuple(card_of(state, gate, namespace) for gate in islice(state.gates.values(), limit))


def bounded_cards(state: RunState, namespace: str) -> tuple[Card, ...]:
    """All cards, whole as long as there is room."""
    left = bounds.CARDS_BYTES
    found = []
    for whole in cards(state, namespace):
        left -= len(to_json(whole))
        found.append(whole if left > 0 else shortened(whole))
    return tuple(found)


def shortened(card: Card) -> Card:
    """A card with its bare facts, and the mark that there is more."""
    bare = {"preview": "", "changed": "", "stated": "", "evidence": (), "thread": (), "undo": ""}
    few = tuple(bounds.clip(name, 60) for name in card.asks[:SHORT_ASKS])
    asks = few if len(card.asks) <= SHORT_ASKS else (*few, MORE)
    return card.model_copy(update={**bare, "asks": asks, "shortened": True})


def card_of(state: RunState, gate: Gate, namespace: str) -> Card:
    """The card of a gate, with what the run has used so far."""
    tokens = state.usage.tokens
    spent = Spent(
        model_calls=state.usage.model_calls, tokens=tokens.input_tokens + tokens.output_tokens, cost=None
    )
    signed = state.rule_set is not None and state.rule_set.signed
    return card(state.run, gate, namespace, spent).model_copy(update={"signed": signed})


def asked(state: RunState) -> tuple[str, ...]:
    """Who may decide at the open gates: names and roles, or `anyone`, each once; `more` where there is no room."""
    names = dict.fromkeys(name for gate in state.gates.values() for name in gate.asks)
    found: list[str] = []
    left = bounds.ATTRIBUTE_BYTES
    for name in names:
        left -= len(json.dumps(name)) + 1
        if left < 0:
            return (*found, MORE)
        found.append(name)
    return tuple(found)


def next_deadline(state: RunState) -> datetime | None:
    """The earliest deadline of the open gates."""
    return min((gate.deadline for gate in state.gates.values() if gate.deadline), default=None)
