"""Opening gates: where a run stops, whom it asks, and what exactly."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from agents import bounds
from agents.agent import ToolSpec
from agents.arguments import parsed, short_arguments
from agents.effect import READ, Risk
from agents.events import Moment
from agents.gate import DecisionKind, Gate, GateKind, gate_digest
from agents.ids import call_id, model_gate_id
from agents.ledger import Call, CallState
from agents.preview import Preview
from agents.rules import RuleSet, Terms
from agents.ruling import Ruling, rule_on
from agents.state import RunState
from agents.transcript import ReplyEntry, Result

ACCEPTS: dict[GateKind, tuple[DecisionKind, ...]] = {
    GateKind.APPROVAL: (
        DecisionKind.APPROVE,
        DecisionKind.DENY,
        DecisionKind.EDIT,
        DecisionKind.ASK,
        DecisionKind.DELEGATE,
        DecisionKind.END,
    ),
    GateKind.QUESTION: (DecisionKind.ANSWER, DecisionKind.DENY, DecisionKind.DELEGATE, DecisionKind.END),
    GateKind.FAILURE: (
        DecisionKind.RETRY,
        DecisionKind.GIVE_RESULT,
        DecisionKind.SKIP,
        DecisionKind.DELEGATE,
        DecisionKind.END,
    ),
    GateKind.UNKNOWN: (
        DecisionKind.HAPPENED,
        DecisionKind.DID_NOT_HAPPEN,
        DecisionKind.DELEGATE,
        DecisionKind.END,
    ),
    GateKind.BUDGET: (DecisionKind.DELEGATE, DecisionKind.END),
}
MODEL_ACCEPTS = (DecisionKind.RETRY, DecisionKind.DELEGATE, DecisionKind.END)
SINCE_RULES = frozenset({DecisionKind.EDIT, DecisionKind.ASK, DecisionKind.DELEGATE})
"""What a run from before there were rules does not take."""

EVIDENCE = 5
"""Calls that a card names as what the run had looked at before it asked."""


@dataclass(frozen=True)
class Asked:
    """What a gate is about."""

    gate: str
    kind: GateKind
    call: str | None
    summary: str
    reason: str
    risk: Risk
    accepts: tuple[DecisionKind, ...]
    what: dict[str, Any]
    """Exactly what the person decides on: the digest covers it."""
    terms: Terms
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields of the gate, for the card."""


def spec_of(state: RunState, call: Call) -> ToolSpec:
    """The tool of a call; of one that was refused for its unknown tool, nothing is asked."""
    assert state.definition is not None
    spec = state.definition.tool(call.tool)
    assert spec is not None
    return spec


def ruling_of(state: RunState, call: Call, now: datetime) -> Ruling:
    """What the run's rules say of a call."""
    return rule_on(spec_of(state, call), state.dial, state.rule_set or RuleSet(), parsed(call.arguments), now)


def open_call_gate(
    state: RunState,
    call: Call,
    kind: GateKind,
    reason: str,
    moment: Moment,
    *,
    ruling: Ruling | None = None,
    preview: Preview | None = None,
    changed: str = "",
) -> RunState:
    """The run with this call held back at a gate.

    Args:
        state: The run.
        call: The call.
        kind: Why it waits.
        reason: The same in words.
        moment: Now.
        ruling: What the rules say of it, where that is known already.
        preview: What it would do, where its tool can say.
        changed: For a gate that opens again: what has changed.
    """
    assert state.definition is not None
    spec = state.definition.tool(call.tool)
    effect = spec.effect if spec else READ
    asked: dict[str, Any] = {
        "call": call.id,
        "tool": call.tool,
        "arguments": call.arguments,
        "effect": str(effect),
    }
    more: dict[str, Any] = {"tool": call.tool, "undo": spec.undo if spec else ""}
    terms = Terms(remind=None)
    if state.rule_set is not None:
        ruling = ruling or ruling_of(state, call, moment.now)
        asked["ruling"] = ruling.digest
        terms = ruling.terms
        more |= {"rule": ruling.rule, "changed": changed, **_context(state)}
        if preview:
            asked["preview"] = preview.digest
            more |= {"preview": preview.text, "preview_digest": preview.digest or None}
        if kind is GateKind.APPROVAL:
            call = _unapproved(call, ruling, preview)
    if call.state not in {CallState.UNKNOWN, CallState.WAITING}:
        call = call.to(CallState.WAITING)
    summary = call.summary if kind is GateKind.QUESTION else f"{call.tool}({call.summary})"
    accepts = _accepted(state, ACCEPTS[kind])
    about = Asked(call.id, kind, call.id, summary, reason, effect.risk, accepts, asked, terms, more)
    return _open(state.with_call(call), about, moment)


def _unapproved(call: Call, ruling: Ruling, preview: Preview | None) -> Call:
    """The call as an approval of it will hold it."""
    return call.model_copy(
        update={
            "awaits": "",
            "approved_by": None,
            "approvers": (),
            "ruling": ruling.digest,
            "preview": (preview.digest or None) if preview else None,
            "shown": preview.text if preview else "",
        }
    )


def open_model_gate(state: RunState, reason: str, moment: Moment) -> RunState:
    """The run parked on its model call."""
    asked = {"turn": state.turn, "reason": bounds.clip(reason, 500)}
    summary = f"model call of turn {state.turn}"
    name = model_gate_id(state.turn)
    rules = state.rule_set
    terms = rules.default if rules else Terms(remind=None)
    accepts = _accepted(state, MODEL_ACCEPTS)
    about = Asked(name, GateKind.FAILURE, None, summary, reason, "low", accepts, asked, terms)
    return _open(state, about, moment)


def _accepted(state: RunState, kinds: tuple[DecisionKind, ...]) -> tuple[DecisionKind, ...]:
    return kinds if state.rule_set is not None else tuple(kind for kind in kinds if kind not in SINCE_RULES)


def _open(state: RunState, asked: Asked, moment: Moment) -> RunState:
    assert state.definition is not None
    deadline = asked.terms.deadline
    gate = Gate(
        id=asked.gate,
        kind=asked.kind,
        call=asked.call,
        summary=bounds.clip(asked.summary, 400),
        reason=bounds.clip(asked.reason, 1000),
        risk=asked.risk,
        accepts=asked.accepts,
        since=moment.now,
        nonce=moment.nonce,
        digest=gate_digest(
            state.run, asked.gate, asked.kind, since=moment.now, nonce=moment.nonce, asked=asked.what
        ),
        terms=asked.terms,
        deadline=None if deadline is None else moment.now + timedelta(seconds=deadline),
        notices=int(state.definition.notifies),
        # What is empty is left to its default: a model remembers what it was given, and many runs wait.
        **{name: value for name, value in asked.more.items() if value},
    )
    return state.with_gate(gate)


def _context(state: RunState) -> dict[str, Any]:
    """What the model said when it asked for this turn's calls, and what the run had done before."""
    latest = next((entry for entry in reversed(state.entries) if isinstance(entry, ReplyEntry)), None)
    return {
        "stated": bounds.clip(latest.reply.text, bounds.STATED_CHARS) if latest else "",
        "evidence": tuple(reversed([*islice(_evidence(state), EVIDENCE)])),
    }


def _evidence(state: RunState) -> Iterator[str]:
    """The closed calls, latest first, one line each."""
    closed: list[Result] = []
    for entry in reversed(state.entries):
        if isinstance(entry, Result):
            closed.append(entry)
        elif isinstance(entry, ReplyEntry) and closed:
            made = {call_id(entry.turn, n): item for n, item in enumerate(entry.reply.calls, start=1)}
            for result in closed:
                if item := made.get(result.call):
                    line = f"{result.call} {result.tool}({short_arguments(item)}): {result.state}"
                    yield bounds.clip(line, bounds.SUMMARY_CHARS)
            closed = []


def difference(before: str, after: str) -> str:
    """What changed between two sets of arguments, both canonical JSON, in one line."""
    old, new = json.loads(before), json.loads(after)
    names = [*old, *(name for name in new if name not in old)]
    parts = [
        f"{name}: {_value(old, name)} → {_value(new, name)}"
        for name in names
        if old.get(name) != new.get(name) or (name in old) != (name in new)
    ]
    return bounds.clip("; ".join(parts), 600)


def _value(arguments: dict[str, Any], name: str) -> str:
    if name not in arguments:
        return "nothing"
    return bounds.clip(json.dumps(arguments[name], ensure_ascii=False), 120)
