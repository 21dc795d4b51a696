"""What a run does at its gates while it waits: previews, questions to the agent, notices; and asking anew."""

import difflib
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from agents import bounds
from agents.events import AskAside, Moment, TakePreview, Tell
from agents.failure import Failure, FailureType
from agents.gate import Exchange, Gate, GateKind
from agents.gating import open_call_gate, ruling_of
from agents.ledger import Call, CallState
from agents.model_input import model_input
from agents.notice import Notice
from agents.preview import PreviewInput, Stale
from agents.reply import Reply
from agents.shown import card_of
from agents.state import RunState
from agents.transcript import Entry, Message, Result
from agents.turn import close_call

ANSWER_CHARS = 2000
"""Of the model's answer to a question at a gate: it is on the card."""

ASIDES = 2
"""Questions to the model of one run that are in flight together: each is a model call beside the run's own."""

NOTICES = 4
"""Messages of one run to the webhook that are in flight together."""

CHANGED_BYTES = 2 * bounds.KIB
"""Of what has changed in a preview: the whole new one is on the card as well."""


def gate_actions(state: RunState) -> Iterator[TakePreview | AskAside | Tell]:
    """What is to be started now for calls that shall ask, and for gates that are open."""
    yield from _previews(state)
    yield from islice(_asides(state), max(ASIDES - _answering(state), 0))
    telling = sum(gate.telling for gate in state.gates.values())
    due = (gate for gate in state.gates.values() if gate.notified < gate.notices and not gate.telling)
    for gate in islice(due, max(NOTICES - telling, 0)):
        yield Tell(gate.id, gate.digest, gate.notified + 1)


def _previews(state: RunState) -> Iterator[TakePreview]:
    room = bounds.PARALLEL_CALLS - sum(call.awaits == "previewing" for call in state.calls.values())
    size = 0
    for call in islice((call for call in state.calls.values() if call.awaits == "preview"), max(room, 0)):
        size += len(call.arguments)
        if size > bounds.BATCH_BYTES:
            break
        yield TakePreview(call.id, PreviewInput(tool=call.tool, arguments=call.arguments))


def _answering(state: RunState) -> int:
    return sum(each.begun and each.answer is None for gate in state.gates.values() for each in gate.thread)


def _asides(state: RunState) -> Iterator[AskAside]:
    for gate in state.gates.values():
        for number, exchange in enumerate(gate.thread):
            if not exchange.begun:
                given = model_input(state, _aside(state, gate, exchange))
                yield AskAside(gate.id, gate.digest, exchange.at, number, given)


def _aside(state: RunState, gate: Gate, exchange: Exchange) -> list[Entry]:
    """A person's question, after a stand-in for each result that the turn's calls do not have yet."""
    waiting: list[Entry] = [
        Result(
            call=call.id,
            provider_id=call.provider_id,
            tool=call.tool,
            state="failed",
            content="Not done yet: a person is looking at this call before it is made.",
        )
        for call in state.calls.values()
    ]
    question = (
        f"[{exchange.by}, who decides on your call {gate.id} of {gate.tool}, asks you before they do. Answer them in "
        f"a few sentences of plain text; make no calls.]\n{exchange.question}"
    )
    return [*waiting, Message(text=question)]


def aside_begun(state: RunState, name: str, number: int) -> RunState:
    """The run with this question put to the model."""
    return _exchange(state, state.gates[name], number, begun=True)


def aside_ended(
    state: RunState, name: str, asked: datetime, number: int, reply: Reply | None, failure: Failure | None
) -> RunState:
    """The run with the model's answer on the card, where its gate is still open, and its tokens counted."""
    if reply:
        used = {
            "model_calls": state.usage.model_calls + 1,
            "model_attempts": state.usage.model_attempts + reply.attempts,
            "tokens": state.usage.tokens + reply.usage,
        }
        state = state.model_copy(update={"usage": state.usage.model_copy(update=used)})
    gate = state.gates.get(name)
    if gate is None or number >= len(gate.thread) or gate.thread[number].at != asked:
        return state
    if (
        failure and failure.type is FailureType.CANCELLED
    ):  # the gate asks again with its questions: so does this one
        return _exchange(state, gate, number, begun=False)
    said = reply.text.strip() if reply else f"The model gave no answer: {failure.message if failure else ''}"
    return _exchange(state, gate, number, answer=bounds.clip(said or "The model said nothing.", ANSWER_CHARS))


def _exchange(state: RunState, gate: Gate, number: int, **changes: object) -> RunState:
    changed = gate.thread[number].model_copy(update=changes)
    thread = (*gate.thread[:number], changed, *gate.thread[number + 1 :])
    return state.with_gate(gate.model_copy(update={"thread": thread}))


def notice_of(state: RunState, tell: Tell, namespace: str) -> Notice:
    """What the webhook is told."""
    gate = state.gates[tell.gate]
    return Notice(
        run=state.run,
        agent=state.request.agent,
        tenant=state.request.tenant,
        what=gate.news,
        number=tell.number,
        card=card_of(state, gate, namespace),
    )


def told(state: RunState, name: str, digest: str, failure: Failure | None) -> RunState:
    """The run with whether the webhook took the last message about this gate."""
    gate = state.gates.get(name)
    if gate is None or gate.digest != digest:
        return state
    if failure and failure.type is FailureType.CANCELLED:  # to continue as new: it is begun again there
        return state.with_gate(gate.model_copy(update={"telling": False, "notified": gate.notified - 1}))
    why = bounds.clip(failure.message, 300) if failure else ""
    return state.with_gate(gate.model_copy(update={"telling": False, "undelivered": why}))


def ask_anew(state: RunState, call: Call, stale: Stale, moment: Moment) -> RunState:
    """The run with a call that was not sent, since what holds now is not what it was let pass under.

    Its approval is not spent: the person is asked again with what has changed.
    """
    state = state.without_grants(call=call.id)
    if stale.rules is not None and state.rule_set is not None:
        # But for this call, what asks stays as the run began.
        state = state.model_copy(update={"rules": state.rule_set.with_people_of(stale.rules)})
    if stale.ruling.says == "refuse":
        return close_call(state, call, CallState.DENIED, f"Refused: {stale.ruling.reason}")
    ruling = stale.ruling if stale.ruling.says == "ask" else ruling_of(state, call, moment.now)
    changed = stale.why
    if stale.preview and call.shown and stale.preview.text != call.shown:
        changed += "\n" + _diff(call.shown, stale.preview.text)
    return open_call_gate(
        state,
        call,
        GateKind.APPROVAL,
        ruling.reason,
        moment,
        ruling=ruling,
        preview=stale.preview,
        changed=changed,
    )


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "approved", "now", lineterm="", n=1)
    text = "\n".join(lines).encode(errors="replace")
    return text[:CHANGED_BYTES].decode(errors="ignore")
