"""What a run tells the server about itself, written only when it changes, since each write is an event."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from agents import bounds
from agents.card import Card
from agents.details import details
from agents.search_attributes import (
    AGENT_DEADLINE,
    AGENT_NAME,
    AGENT_PHASE,
    AGENT_RISK,
    AGENT_TENANT,
    AGENT_TURN,
    AGENT_WAITING_ON,
)
from agents.shown import asked, cards, highest_risk, next_deadline, shortened
from agents.state import RunState
from agents.status import phase

_NAME = SearchAttributeKey.for_keyword(AGENT_NAME.name)
_TENANT = SearchAttributeKey.for_keyword(AGENT_TENANT.name)
_PHASE = SearchAttributeKey.for_keyword(AGENT_PHASE.name)
_WAITING_ON = SearchAttributeKey.for_keyword_list(AGENT_WAITING_ON.name)
_RISK = SearchAttributeKey.for_keyword(AGENT_RISK.name)
_DEADLINE = SearchAttributeKey.for_datetime(AGENT_DEADLINE.name)
_TURN = SearchAttributeKey.for_int(AGENT_TURN.name)

CARDS = "cards"
MEMO_CARDS = bounds.SHOWN_CARDS

MEMO_BYTES = 16 * bounds.KIB
"""Of all cards in the memo: a card that does not fit is left with its bare facts, and the query `status` has it whole."""


class Publisher:
    """Search attributes follow the phase, the memo the set of open gates, the current details every step."""

    def __init__(self) -> None:
        self._attributes: tuple[object, ...] | None = None
        self._deadline: datetime | None = None
        # None: a memo that was given at the start is no card of ours, and is overwritten.
        self._gates: tuple[object, ...] | None = None if CARDS in workflow.info().raw_memo else ()

    def publish(self, state: RunState) -> None:
        """Write what has changed since the last time."""
        self._search_attributes(state)
        gates = _showing(state)
        if gates != self._gates:
            workflow.upsert_memo({CARDS: memo_cards(cards(state, workflow.info().namespace, MEMO_CARDS))})
            self._gates = gates
        workflow.set_current_details(details(state, workflow.info().namespace))

    def resume(self, state: RunState) -> None:
        """Take what the previous execution wrote as written: continue-as-new keeps attributes and memo."""
        self._attributes = _changing(state)
        self._deadline = next_deadline(state)
        self._gates = _showing(state)

    def _search_attributes(self, state: RunState) -> None:
        now = _changing(state)
        if now == self._attributes:
            return
        risk = highest_risk(state)
        updates: list[SearchAttributeUpdate[Any]] = [
            _PHASE.value_set(phase(state)),
            _TURN.value_set(state.turn),
            _WAITING_ON.value_set(list(asked(state))),
            _RISK.value_set(risk) if risk else _RISK.value_unset(),
        ]
        deadline = next_deadline(state)
        if deadline != self._deadline:
            updates.append(_DEADLINE.value_set(deadline) if deadline else _DEADLINE.value_unset())
            self._deadline = deadline
        if self._attributes is None:
            updates += [_NAME.value_set(state.request.agent), _TENANT.value_set(state.request.tenant)]
        workflow.upsert_search_attributes(updates)
        workflow.logger.info("phase", extra={"phase": phase(state), "turn": state.turn})
        self._attributes = now


def _changing(state: RunState) -> tuple[object, ...]:
    return (phase(state), asked(state), highest_risk(state), next_deadline(state))


def _showing(state: RunState) -> tuple[object, ...]:
    """What of the open gates is on their cards and may change."""
    return tuple(
        (
            gate.digest,
            gate.votes,
            tuple(gate.delegated.items()),
            tuple((each.question, each.answer) for each in gate.thread),
            gate.rung,
            gate.reminded,
            gate.deadline,
            gate.undelivered,
        )
        for gate in state.gates.values()
    )


def memo_cards(shown: Sequence[Card]) -> list[dict[str, object]]:
    """Cards as the memo holds them: without what is made of the rest, and in bounds."""
    found = [_memo_card(shortened(card)) for card in shown[:MEMO_CARDS]]
    left = MEMO_BYTES - len(to_json(found))
    for number, card in enumerate(shown[:MEMO_CARDS]):
        whole = _memo_card(card)
        left -= len(to_json(whole)) - len(to_json(found[number]))
        if left < 0:
            break
        found[number] = whole
    return found


def _memo_card(card: Card) -> dict[str, object]:
    # The commands are made of the rest and would double the memo.
    return card.model_dump(mode="json", exclude={"command", "others"}, exclude_defaults=True)
