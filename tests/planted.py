"""Runs as visibility knows them, without any worker: started with the attributes and the memo that one would write."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from agents.gate import DecisionKind
from agents.search_attributes import (
    AGENT_COST,
    AGENT_NAME,
    AGENT_PHASE,
    AGENT_WAITING_ON,
)
from tests.house import SOON, House


def memo_card(
    gate: str = "t1.c1", *, waits: timedelta = timedelta(minutes=5), **changes: Any
) -> dict[str, Any]:
    """What a run's memo holds of a card."""
    card = {
        "gate": gate,
        "call": gate,
        "kind": "approval",
        "summary": 'write_file(path="out.md")',
        "reason": "at dial propose every write asks",
        "risk": "medium",
        "digest": "ab" * 32,
        "since": (datetime.now(UTC) - waits).isoformat(),
        "deadline": None,
        "accepts": [DecisionKind.APPROVE, DecisionKind.DENY],
        "tool": "write_file",
    }
    return card | changes


async def plant(
    house: House,
    name: str,
    *cards: Any,
    phase: str | None = None,
    agent: str | None = "assistant",
    cost: float | None = None,
    memo: Any = None,
) -> WorkflowHandle[Any, Any]:
    """A run of the tenant that is called as the house's queue, which no other test has; there once it is listed."""
    asks = sorted({who for card in cards for who in card.get("asks", ["anyone"])})
    keyword = SearchAttributeKey.for_keyword
    pairs: list[SearchAttributePair[Any]] = [
        SearchAttributePair(SearchAttributeKey.for_keyword_list(AGENT_WAITING_ON.name), asks)
    ]
    if agent is not None:
        shown = phase or ("waiting" if cards else "working")
        pairs += [
            SearchAttributePair(keyword(AGENT_NAME.name), agent),
            SearchAttributePair(keyword(AGENT_PHASE.name), shown),
        ]
    if cost is not None:
        pairs.append(SearchAttributePair(SearchAttributeKey.for_float(AGENT_COST.name), cost))
    run = await house.client.start_workflow(
        "AgentWorkflow",
        {"agent": "assistant", "task": "be listed"},
        id=f"{house.queue}/{name}",
        task_queue=f"nobody-{house.queue}",
        memo={"cards": list(cards) if memo is None else memo},
        search_attributes=TypedSearchAttributes(pairs),
    )
    await shown_as(house, f"WorkflowId = '{run.id}' AND ExecutionStatus = 'Running'")
    return run


async def shown_as(house: House, query: str, count: int = 1) -> None:
    """Wait until visibility finds so many: it lags."""
    async with asyncio.timeout(SOON):
        while (await house.client.count_workflows(query)).count != count:
            await asyncio.sleep(0.02)
