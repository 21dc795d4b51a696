"""A run as seen from outside: by the query `status`, or, while no worker answers, from its event history."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel
from temporalio.client import WorkflowQueryFailedError
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from agents.bounds import KEPT_CALLS, clip
from agents.card import Card
from agents.effect import EffectClass
from agents.ledger import CallState, safe_to_retry
from agents.search_attributes import AGENT_PHASE
from agents.state import Rejected
from agents.status import Phase, UsageLine
from agents.steering import Given, Paused, Said
from console.cards import memo_cards
from console.executions import FORCED, PAUSED, RUNNING, Description, Execution
from console.exits import NO_ANSWER
from console.session import Session
from console.trajectory.chain import chain_of, events_of
from console.trajectory.derive import gap_text, read_chain, take, totals
from console.trajectory.reading import Reading
from console.trajectory.steps import CallStep, DecisionStep, Ending, SteerStep, Step, WaitStep

QUERY_SECONDS = 4.0
"""Patience with the workers: one that has died costs the sticky timeout of a second and a replay elsewhere."""

PHASE = SearchAttributeKey.for_keyword(AGENT_PHASE.name)

NO_WORKER = "no worker answers: this is read from the event history"
WHILE_PAUSED = "a paused run answers no query: this is read from the event history"
OUTSIDE = "the run was ended from outside: this is how it stood before"


class SeenCall(BaseModel):
    """A call, as far as it is known."""

    id: str
    tool: str
    summary: str = ""
    state: str
    attempts: int
    key: str = ""
    safe_to_retry: bool
    reason: str


class Seen(BaseModel):
    """The fields of `agents.status.Status`, with None for what is not known."""

    run: str
    agent: str | None
    tenant: str | None
    dial: str | None = None
    phase: Phase | str
    backoff: AwareDatetime | None = None
    turn: int | None
    calls: tuple[SeenCall, ...] = ()
    counts: dict[str, int] | None = None
    waiting: tuple[Card, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    rejected_total: int | None = None
    said: tuple[Said, ...] = ()
    paused: Paused | None = None
    grants: tuple[Given, ...] = ()
    rules: str | None = None
    usage: UsageLine | None = None
    model: str | None = None
    answer: str | None = None
    error: str | None = None
    partial: str | None = None
    """What is to be known about this view; None where the run itself gave it."""


async def see(session: Session, run: str, *, patient: bool = True) -> tuple[Seen, dict[str, Any]]:
    """A run, and the JSON document for it: the query's own answer where there is one.

    Args:
        session: The connection.
        run: The run's id.
        patient: While the server is away, try for about ten seconds; otherwise once.

    Raises:
        Trouble: There is no such run.
        RPCError: The server does not answer.
    """
    found = await session.describe(run, patient=patient)
    state = found.execution.state
    # The server lets nobody query a paused run, and the SDK cannot even say so (ValueError).
    answer = None if state == PAUSED else await _queried(session, found.execution)
    if answer is None:
        seen = await _without_worker(session, found)
        return seen, seen.model_dump(mode="json")
    if state in FORCED:
        error = (await _ending(session, found.execution)).error
        answer |= {"phase": state, "waiting": [], "error": error, "partial": OUTSIDE}
    return Seen.model_validate(answer), answer


async def whole(session: Session, run: str, card: Card) -> Card:
    """A card with what the run's memo had no room for, as far as a worker answers."""
    if not card.shortened:
        return card
    try:
        seen, _ = await see(session, run, patient=False)
    except RPCError as error:
        if error.status not in NO_ANSWER:
            raise
        return card
    return next((each for each in seen.waiting if each.digest == card.digest), card)


async def _queried(session: Session, found: Execution) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = await session.handle(found.run, found.id).query(
            "status", result_type=dict, rpc_timeout=timedelta(seconds=QUERY_SECONDS)
        )
    except RPCError as error:
        if error.status in NO_ANSWER or error.status is RPCStatusCode.FAILED_PRECONDITION:
            return None  # the latter when no worker has been seen lately
        raise
    except WorkflowQueryFailedError:
        return None
    return answer


async def _without_worker(session: Session, found: Description) -> Seen:
    execution = found.execution
    chain = await chain_of(session.client, execution.run)
    reading = read_chain(chain)
    run, sums = reading.header, totals(reading.steps)
    cards = memo_cards(execution, session.connection.namespace)
    undecided = {gate.digest for gate in reading.gates.values()}
    gaps = [gap_text(part) for part in chain if part.events is None]
    rejected = list(_rejected(reading.steps))
    return Seen(
        run=execution.run,
        agent=run.agent,
        tenant=run.tenant,
        dial=run.dial,
        phase=phase_of(execution),
        backoff=_backoff(reading) if execution.open else None,
        turn=sums.turns,
        calls=tuple(_call(step) for step in _calls(reading)[-KEPT_CALLS:]),
        counts=sums.calls,
        waiting=tuple(card for card in cards if card.digest in undecided),
        rejected=tuple(rejected),
        rejected_total=len(rejected),
        **_steered(reading),
        rules=reading.rules.version if reading.rules else None,
        usage=UsageLine(cost=None, **sums.model_dump(exclude={"turns", "calls"})),
        model=run.model,
        answer=reading.ending.answer if reading.ending else None,
        error=reading.ending.error if reading.ending else None,
        partial="; ".join([WHILE_PAUSED if execution.state == PAUSED else NO_WORKER, *gaps]),
    )


def _calls(reading: Reading) -> list[CallStep]:
    return [step for step in reading.steps if isinstance(step, CallStep)]


def _backoff(reading: Reading) -> datetime | None:
    waits = [
        step.until
        for step in reading.steps
        if isinstance(step, WaitStep) and step.state == "waiting" and step.gate is None
    ]
    return max(waits, default=None)


def _steered(reading: Reading) -> dict[str, Any]:
    """What people said and whether it was seen, who has paused the run, and approvals for the rest of it."""
    if (state := reading.state) is None:
        return {}
    steps = [step for step in reading.steps if isinstance(step, SteerStep) and step.seen]
    grants = [
        Given(tool=held.tool, when=held.when and str(held.when), left=held.left, until=held.until, by=held.by)
        for held in state.grants
    ]
    return {"said": [_said(said, steps) for said in state.said], "paused": state.paused, "grants": grants}


def _said(said: Said, seen: Iterable[SteerStep]) -> Said:
    step = next((step for step in seen if (step.by, step.said) == (said.by, said.text)), None)
    return said.model_copy(update={"seen": step.seen, "text": clip(said.text)}) if step else said


def _call(step: CallStep) -> SeenCall:
    state = CallState.FAILED if step.state in {"cancelled", "lost"} else CallState(step.state)
    # Its effect is known from the definition's snapshot, unless that is in a part of the chain that is gone.
    effect = EffectClass(step.effect or EffectClass.NON_IDEMPOTENT)
    safe, reason = safe_to_retry(state, effect, dispatched=step.key is not None)
    return SeenCall(
        id=step.id,
        tool=step.tool,
        summary=step.summary,
        state=step.state,
        attempts=step.attempts,
        key=step.key or "",
        safe_to_retry=safe,
        reason=reason,
    )


def _rejected(steps: Iterable[Step]) -> list[Rejected]:
    return [
        Rejected(
            at=step.at,
            message=step.name,
            gate=step.gate if isinstance(step, DecisionStep) else None,
            by=step.by,
            reason=step.reason,
        )
        for step in steps
        if isinstance(step, DecisionStep | SteerStep) and step.accepted is False
    ]


def phase_of(execution: Execution) -> str:
    """The run's phase without any worker: an ended execution keeps its last attributes, so its state decides."""
    if execution.state != RUNNING:
        return execution.state
    return execution.attributes.get(PHASE) or "queued"


async def _ending(session: Session, execution: Execution) -> Ending:
    reading = Reading()
    async for event in events_of(session.client, execution.run, execution.id):
        take(reading, event)
    assert reading.ending is not None
    return reading.ending
