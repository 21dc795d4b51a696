"""What a run made of a message, by the run's own rules (`agents.deciding`), as far as its history holds what they need.

A signal has no answer in history, so this is how one knows whether it was accepted; where the run wrote down otherwise
afterwards, that holds. Pure.
"""

from dataclasses import dataclass
from datetime import datetime

from agents.agent import Definition
from agents.arguments import BadArguments, canonical_arguments
from agents.deciding import EditCheck, Receipt, edit_to_check, receive
from agents.effect import Dial, EffectClass
from agents.events import Moment
from agents.gate import Gate, GateKind, Vote
from agents.gating import SINCE_RULES, ruling_of
from agents.ledger import Call, CallState
from agents.message import RawMessage
from agents.preview import Preview
from agents.request import Request
from agents.rules import ANYONE, RuleSet, Terms
from agents.state import RunState
from console.cards import accepts
from console.trajectory.reading import Reading
from console.trajectory.steps import GateStep

NOT_KNOWN = Definition(
    agent="-",
    instructions="",
    model="",
    api="offline",
    tools=(),
    dial=Dial.SUPERVISED,
    max_turns=1,
    rules=RuleSet(),
)
"""Stands for a snapshot that is in a part of the chain that is gone: its rules and tools say nothing."""


@dataclass(frozen=True)
class Judged:
    """The run's answer to a message, and the run after it."""

    receipt: Receipt
    state: RunState


def judge(
    reading: Reading,
    message: RawMessage,
    at: datetime,
    *,
    checked: Preview | None = None,
    reopened: GateStep | None = None,
) -> Judged:
    """What the run must have said to a message.

    Args:
        reading: What is known of the run before it.
        message: As it came.
        at: When.
        checked: For an edit: what its tool said of the new arguments.
        reopened: A gate that the memo no longer shows, since this message may be what closed it.
    """
    state, receipt = receive(state_of(reading, at, reopened), message, Moment(at, ""), checked)
    return Judged(receipt, state)


def check_of(reading: Reading, message: RawMessage, at: datetime) -> EditCheck | None:
    """What a tool had to say before the run could take this edit; None for every other message."""
    return edit_to_check(state_of(reading, at), message)


def state_of(reading: Reading, at: datetime, reopened: GateStep | None = None) -> RunState:
    """The run's state as far as messages are concerned."""
    definition = reading.definition or NOT_KNOWN
    state = reading.state or RunState(run=reading.header.run, chain="", request=_request(reading))
    state = state.model_copy(update={"definition": definition, "rules": reading.rules, "stage": "calls"})
    open_gates = {**reading.gates, **({reopened.gate: reopened} if reopened else {})}
    for step in open_gates.values():
        call = _call(reading, step)
        if call is not None:
            state = state.with_call(call)
            ruled = reading.spec(call.tool) is not None and state.rule_set is not None
            ruling = ruling_of(state, call, at).digest if ruled else ""
            state = state.with_call(call.model_copy(update={"ruling": ruling}))
        if call is not None or step.call is None:
            state = state.with_gate(_gate(reading, step))
    return state


def _request(reading: Reading) -> Request:
    header = reading.header
    return Request.model_construct(
        agent=header.agent or "-", task="", requester=header.requester, dial=reading.dial
    )


def _gate(reading: Reading, step: GateStep) -> Gate:
    before_rules = reading.definition is not None and reading.rules is None
    kinds = accepts(GateKind(step.asks), step.call)
    # Without the rules nobody knows who has which role.
    named = () if reading.definition is None else tuple(name for name in step.people if name != ANYONE)
    known = reading.followed.get(step.digest)
    seats = {vote.by: vote for vote in known.votes} if known else {}
    return Gate(
        id=step.gate,
        kind=GateKind(step.asks),
        call=step.call,
        summary=step.summary,
        reason=step.reason,
        risk=step.risk,
        accepts=tuple(kind for kind in kinds if not before_rules or kind not in SINCE_RULES),
        since=step.at,
        nonce="",
        digest=step.digest,
        tool=step.tool,
        rule=step.rule,
        terms=Terms(approvers=named, needed=step.needed, requester_counts=step.requester_counts, remind=None),
        votes=tuple(seats.get(by) or Vote(by=by, seat=by, at=step.at) for by in step.votes),
        delegated=known.delegated if known else {},
        thread=known.thread if known else (),
    )


def _call(reading: Reading, step: GateStep) -> Call | None:
    """The call that a gate holds back; None where what is known of it is not enough."""
    call = reading.calls.get(step.call or "")
    if call is None:
        return None
    try:
        arguments = canonical_arguments(call.arguments)
    except BadArguments:
        return None
    return Call(
        id=call.id,
        provider_id="",
        tool=call.tool,
        arguments=arguments,
        effect=EffectClass(call.effect or EffectClass.NON_IDEMPOTENT),
        summary=call.summary,
        state=CallState.UNKNOWN if step.asks == GateKind.UNKNOWN else CallState.WAITING,
    )
