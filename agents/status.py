"""What a run shows of itself: the answers of the queries `status` and `calls`."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from agents import bounds
from agents.arguments import canonical_arguments, short_arguments
from agents.card import Card
from agents.effect import EffectClass
from agents.gate import GateKind
from agents.ids import call_id
from agents.ledger import CallState, idempotency_key, safe_to_retry
from agents.reply import ProposedCall
from agents.request import Request
from agents.shown import bounded_cards
from agents.state import HeldGrant, Outcome, Rejected, RunState
from agents.steering import Given, Paused, Said
from agents.transcript import ReplyEntry, Result

Phase = Literal["queued", "working", "waiting", "parked", "paused", "done", "failed", "cancelled"]
ENDED: frozenset[Phase] = frozenset({"done", "failed", "cancelled"})
"""A run in one of these phases has ended."""


EPOCH = datetime.fromtimestamp(0, UTC)


class CallLine(BaseModel):
    """One call of a run."""

    model_config = ConfigDict(frozen=True)

    id: str
    tool: str
    summary: str
    state: CallState
    attempts: int
    """Attempts whose end is known; one that is under way is not counted."""
    key: str
    safe_to_retry: bool
    reason: str
    """Why it is, or is not, safe to retry."""


class CallPage(BaseModel):
    """The answer of the query `calls`."""

    model_config = ConfigDict(frozen=True)

    start: int
    calls: tuple[CallLine, ...]
    next: int | None
    total: int


class UsageLine(BaseModel):
    """What a run has used."""

    model_config = ConfigDict(frozen=True)

    model_calls: int
    model_attempts: int
    """Attempts behind those calls; what exceeds them may have been paid for and lost."""
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost: float | None
    """In US dollars; None: no price is known."""


class Status(BaseModel):
    """The answer of the query `status`."""

    model_config = ConfigDict(frozen=True)

    run: str
    agent: str
    tenant: str
    dial: str | None
    phase: Phase
    backoff: AwareDatetime | None
    """Waiting for the model provider until then."""
    turn: int
    calls: tuple[CallLine, ...]
    """The open ones, and the last 50 that are closed."""
    counts: dict[str, int]
    """Calls by state, closed ones included."""
    waiting: tuple[Card, ...]
    rejected: tuple[Rejected, ...]
    rejected_total: int
    said: tuple[Said, ...] = ()
    """What people told the agent, with the turn at which it was seen."""
    paused: Paused | None = None
    grants: tuple[Given, ...] = ()
    """Approvals for the rest of the run."""
    rules: str | None = None
    """Version of the rules that the run goes by."""
    usage: UsageLine
    model: str | None
    answer: str | None
    error: str | None


def phase(state: RunState) -> Phase:
    """The run's phase."""
    if state.outcome:
        return state.outcome.phase
    if state.paused:
        return "paused"
    kinds = {gate.kind for gate in state.gates.values()}
    if kinds & {GateKind.FAILURE, GateKind.UNKNOWN, GateKind.BUDGET}:
        return "parked"
    if kinds:
        return "waiting"
    return "queued" if state.definition is None else "working"


def status(state: RunState, namespace: str, now: datetime) -> Status:
    """The run as a person or a program sees it."""
    closed = sorted(_closed_calls(state, reversed(state.entries), bounds.KEPT_CALLS), key=_order)
    counts = {str(name): number for name, number in state.counts.items()}
    for call in state.calls.values():
        counts[call.state] = counts.get(call.state, 0) + 1
    until = state.model.until
    tokens = state.usage.tokens
    return Status(
        run=state.run,
        agent=state.request.agent,
        tenant=state.request.tenant,
        dial=state.dial if state.definition else state.request.dial,
        phase=phase(state),
        backoff=until if until and until > now and not state.outcome else None,
        turn=state.turn,
        calls=(*closed, *_open_calls(state)),
        counts=counts,
        waiting=bounded_cards(state, namespace),
        rejected=state.rejected,
        rejected_total=state.rejected_total,
        said=tuple(
            said.model_copy(update={"text": bounds.clip(said.text, 300)})
            for said in state.said[-bounds.KEPT_SAID :]
        ),
        paused=state.paused,
        grants=tuple(_given(grant) for grant in state.grants),
        rules=state.rule_set.version if state.rule_set else None,
        usage=UsageLine(
            model_calls=state.usage.model_calls,
            model_attempts=state.usage.model_attempts,
            input_tokens=tokens.input_tokens,
            cached_tokens=tokens.cached_tokens,
            output_tokens=tokens.output_tokens,
            cost=None,
        ),
        model=state.definition.model if state.definition else None,
        answer=state.outcome.answer if state.outcome else None,
        error=state.outcome.error if state.outcome else None,
    )


def _given(grant: HeldGrant) -> Given:
    when = None if grant.when is None else bounds.clip(str(grant.when), 300)
    return Given(tool=grant.tool, when=when, left=grant.left, until=grant.until, by=grant.by)


def unread(run: str, refusal: str) -> Status:
    """The status of a run that has not read its input yet, or refused it: nothing else is known of it."""
    state = RunState(run=run, chain="", request=Request(agent="-", task=""))
    if refusal:
        state = state.ended(Outcome(phase="failed", error=f"refused: {refusal}"))
    return status(state, "", EPOCH).model_copy(update={"agent": ""})


def call_page(state: RunState, start: int) -> CallPage:
    """The run's calls from the `start`-th on, closed ones first, at most 200."""
    everything = [*_closed_calls(state, state.entries, None), *_open_calls(state)]
    end = start + 200
    return CallPage(
        start=start,
        calls=tuple(everything[start:end]),
        next=end if end < len(everything) else None,
        total=len(everything),
    )


def _order(line: CallLine) -> tuple[int, int]:
    turn, number = line.id.removeprefix("t").split(".c")
    return int(turn), int(number)


def _open_calls(state: RunState) -> Iterator[CallLine]:
    for call in state.calls.values():
        safe, reason = safe_to_retry(call.state, call.effect, dispatched=call.dispatches > 0)
        yield CallLine(
            id=call.id,
            tool=call.tool,
            summary=call.summary,
            state=call.state,
            attempts=call.attempts,
            key=call.key,
            safe_to_retry=safe,
            reason=reason,
        )


def _closed_calls(state: RunState, entries: Iterable[object], limit: int | None) -> Iterator[CallLine]:
    proposed = _proposed(state)
    found = 0
    for entry in entries:
        if not isinstance(entry, Result):
            continue
        call = proposed[entry.call]
        spec = state.definition.tool(entry.tool) if state.definition else None
        effect = spec.effect.effect_class if spec else EffectClass.READ
        safe, reason = safe_to_retry(CallState(entry.state), effect, dispatched=entry.dispatched)
        yield CallLine(
            id=entry.call,
            tool=entry.tool,
            summary=short_arguments(_as_dispatched(entry, call)),
            state=CallState(entry.state),
            attempts=entry.attempts,
            key=_key(state, entry, call) if entry.dispatched else "",
            safe_to_retry=safe,
            reason=reason,
        )
        found += 1
        if found == limit:
            return


def _key(state: RunState, result: Result, call: ProposedCall) -> str:
    arguments = canonical_arguments(_as_dispatched(result, call).arguments)
    return idempotency_key(state.run, state.chain, result.call, result.tool, arguments)


def _as_dispatched(result: Result, call: ProposedCall) -> ProposedCall:
    """With the arguments as a person changed them."""
    return call.model_copy(update={"arguments": result.arguments}) if result.arguments is not None else call


def _proposed(state: RunState) -> dict[str, ProposedCall]:
    return {
        call_id(entry.turn, number): call
        for entry in state.entries
        if isinstance(entry, ReplyEntry)
        for number, call in enumerate(entry.reply.calls, start=1)
    }
