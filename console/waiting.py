"""What waits for people over all runs, from visibility and memos alone: no worker is needed, and no run is asked.

A line holds fields of a fixed list, and none of them is a text that a model wrote; the gate's card has the rest.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel
from temporalio.client import Client
from temporalio.common import SearchAttributeKey

from agents.card import Card
from agents.effect import RISKS, Risk
from agents.gate import GateKind
from agents.rules import ANYONE, MORE, RuleSet
from agents.search_attributes import AGENT_NAME, AGENT_PHASE, AGENT_WAITING_ON
from console.cards import EFFECTS, memo_cards
from console.executions import Execution, listed
from console.queries import RUNNING, RUNS, is_of, one_of, tenant_of, tenant_parts, where
from workflows.publish import MEMO_CARDS

NAME = SearchAttributeKey.for_keyword(AGENT_NAME.name)
PHASE = SearchAttributeKey.for_keyword(AGENT_PHASE.name)
WAITING = ("waiting", "parked", "paused")
"""Phases in which gates may be open; those of a paused run can be decided too."""
LATEST = datetime.max.replace(tzinfo=UTC)


class GateLine(BaseModel):
    """One gate that waits."""

    run: str
    agent: str | None
    tenant: str
    gate: str
    kind: GateKind
    tool: str | None
    risk: Risk
    who: tuple[str, ...]
    """Names and roles of those who may decide, or `anyone`."""
    needed: int
    """Different people who must approve."""
    approved: int
    """Of them, how many have."""
    since: AwareDatetime
    deadline: AwareDatetime | None
    reminded: int
    rung: int
    """Steps of the escalation ladder that have been taken."""


@dataclass(frozen=True)
class Inbox:
    """What waits at one moment."""

    as_of: datetime
    gates: tuple[GateLine, ...]
    """What has the gravest consequence first; then the earliest deadline, then the longest wait."""
    without_card: tuple[str, ...]
    """Runs that wait without a card that could be read."""
    cut_off: tuple[str, ...]
    """Runs with as many cards as a memo holds: more of their gates may wait."""


@dataclass(frozen=True)
class Wanted:
    """Which gates."""

    names: frozenset[str] = frozenset()
    """Only those that one of these names and roles may decide; none: all."""
    tenant: str | None = None
    overdue: bool = False


async def inbox_of(client: Client, wanted: Wanted) -> Inbox:
    """What waits now.

    Raises:
        RPCError: The server does not answer.
    """
    parts = [RUNS, RUNNING, one_of(AGENT_PHASE.name, WAITING), *tenant_parts(wanted.tenant)]
    if wanted.names:
        parts.append(one_of(AGENT_WAITING_ON.name, sorted({*wanted.names, ANYONE, MORE})))
    now = datetime.now(UTC)
    gates: list[GateLine] = []
    without: list[str] = []
    cut_off: list[str] = []
    async for execution in listed(client, where(*parts)):
        if not is_of(wanted.tenant, execution.run):
            continue
        cards = memo_cards(execution, client.namespace)
        gates += [line_of(execution, card) for card in cards if _is_wanted(card, wanted, now)]
        if not cards and execution.attributes.get(PHASE) != "paused":
            without.append(execution.run)
        if len(cards) == MEMO_CARDS:
            cut_off.append(execution.run)
    ordered = tuple(sorted(gates, key=_consequence))
    return Inbox(now, ordered, tuple(sorted(without)), tuple(sorted(cut_off)))


def line_of(execution: Execution, card: Card) -> GateLine:
    """The line of a gate."""
    return GateLine(
        run=execution.run,
        agent=execution.attributes.get(NAME),
        tenant=tenant_of(execution.run),
        gate=card.gate,
        kind=card.kind,
        tool=card.tool,
        risk=card.risk,
        who=card.asks,
        needed=card.needed,
        approved=len(card.approved_by),
        since=card.since,
        deadline=card.deadline,
        reminded=card.reminded,
        rung=card.rung,
    )


def _is_wanted(card: Card, wanted: Wanted, now: datetime) -> bool:
    if wanted.overdue and not is_overdue(card, now):
        return False
    # Who has approved is not asked once more, only others are.
    return not wanted.names or bool(
        wanted.names.union([ANYONE, MORE]) & {*card.asks} and not wanted.names & {*card.approved_by}
    )


def is_overdue(card: Card | GateLine, now: datetime) -> bool:
    """Whether the gate's deadline has passed, or people had to be reminded of it, or others asked."""
    return card.reminded > 0 or card.rung > 0 or (card.deadline is not None and card.deadline < now)


def _consequence(line: GateLine) -> tuple[object, ...]:
    harmless = line.kind not in EFFECTS
    return (-RISKS.index(line.risk), harmless, line.deadline or LATEST, line.since, line.run, line.gate)


def names_of(name: str, rules: RuleSet | None) -> frozenset[str]:
    """A person's name and roles, as far as the rules know them; of a role, itself."""
    person = rules.people.get(name) if rules else None
    return frozenset({name, *(person.roles if person else ())})
