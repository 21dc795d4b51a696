"""A turn's calls: planned from the model's reply, admitted by the dial, closed with a result."""

from agents import bounds
from agents.agent import FINISH, Definition
from agents.arguments import BadArguments, canonical_arguments, parsed, short_arguments
from agents.canonical import canonical_json
from agents.effect import EffectClass, verdict
from agents.events import Moment
from agents.gate import GateKind
from agents.gating import open_call_gate, ruling_of, spec_of
from agents.ids import call_id
from agents.ledger import Call, CallState
from agents.preview import Preview
from agents.reply import ProposedCall
from agents.ruling import Ruling, holds
from agents.state import ModelCall, Outcome, RunState
from agents.transcript import Message, Result, ResultState


def plan(state: RunState, proposed: tuple[ProposedCall, ...], moment: Moment) -> RunState:
    """The run with the calls of a reply on its ledger: refused, held back at a gate, or ready to dispatch."""
    assert state.definition is not None
    # Checked once more: a person may have completed the model's activity by hand.
    proposed = tuple(_checked(state.definition, item) for item in proposed)
    state = state.model_copy(update={"stage": "calls", "turn_calls": len(proposed)})
    calls = {}
    for number, item in enumerate(proposed, start=1):
        call = _call(state, number, item)
        calls[call.id] = call
    state = state.model_copy(update={"calls": calls})
    for call, item in zip(calls.values(), proposed, strict=True):
        if item.problem:
            state = close_call(state, call, CallState.FAILED, item.problem)
        elif call.tool == FINISH and has_news(state):
            later = (
                "Not finished yet: a person has written to you meanwhile. Take it into account, then finish."
            )
            state = close_call(state, call, CallState.FAILED, later)
        elif call.tool == FINISH:
            return state.model_copy(update={"calls": {}}).ended(Outcome(phase="done", answer=call.arguments))
        else:
            state = _admit(state, call, moment)
    return state


def _checked(definition: Definition, item: ProposedCall) -> ProposedCall:
    # Not against the schema again: the verdict of a library must not be part of a replay.
    if item.problem:
        return item
    problem = None
    try:
        canonical_arguments(item.arguments)
    except BadArguments as error:
        problem = str(error)
    finishes = item.tool == FINISH and definition.output is not None
    if not finishes and definition.tool(item.tool) is None:
        problem = f"unknown tool {bounds.clip(item.tool, 60)!r}"
    return item.model_copy(update={"problem": problem}) if problem else item


def _call(state: RunState, number: int, item: ProposedCall) -> Call:
    assert state.definition is not None
    spec = state.definition.tool(item.tool)
    arguments = {} if item.problem else parsed(item.arguments)
    return Call(
        id=call_id(state.turn, number),
        provider_id=item.id,
        tool=item.tool,
        arguments=canonical_json(arguments),
        effect=spec.effect.effect_class if spec else EffectClass.READ,
        summary=short_arguments(item),
    )


def _admit(state: RunState, call: Call, moment: Moment) -> RunState:
    spec = spec_of(state, call)
    if state.rule_set is None:
        return _admit_before_rules(state, call, moment)
    ruling = ruling_of(state, call, moment.now)
    if spec.asks_person and ruling.says != "refuse":
        return open_call_gate(state, call, GateKind.QUESTION, "the agent asks", moment, ruling=ruling)
    match ruling.says:
        case "allow":
            # Without rules nothing but the dial has a say, and that is the run's own.
            bound = ruling.digest if state.rule_set.rules else ""
            return state.with_call(call.model_copy(update={"ruling": bound}))
        case "refuse":
            return close_call(state, call, CallState.DENIED, f"Refused: {ruling.reason}")
        case "ask":
            return _granted(state, call, ruling, moment) or ask_for(state, call, ruling, moment)


def _admit_before_rules(state: RunState, call: Call, moment: Moment) -> RunState:
    spec = spec_of(state, call)
    if spec.asks_person:
        return open_call_gate(state, call, GateKind.QUESTION, "the agent asks", moment)
    ruling = verdict(spec.effect, state.dial)
    if ruling.says == "ask":
        return open_call_gate(state, call, GateKind.APPROVAL, ruling.reason, moment)
    return state


def _granted(state: RunState, call: Call, ruling: Ruling, moment: Moment) -> RunState | None:
    """The run with this call let pass by an approval for the rest of it; None where none fits."""
    arguments = parsed(call.arguments)
    for number, grant in enumerate(state.grants):
        fits = grant.tool == call.tool and grant.ruling == ruling.digest
        holds_now = grant.left > 0 and moment.now < grant.until
        if fits and holds_now and holds(grant.when, arguments) is True:
            used = grant.model_copy(update={"left": grant.left - 1})
            grants = (*state.grants[:number], used, *state.grants[number + 1 :])
            passed = call.model_copy(
                update={"approved_by": grant.by, "approvers": (grant.by,), "ruling": ruling.digest}
            )
            return state.with_call(passed).model_copy(update={"grants": grants})
    return None


def ask_for(state: RunState, call: Call, ruling: Ruling, moment: Moment) -> RunState:
    """The run with a person asked for this call, once it is known what it would do."""
    if spec_of(state, call).previews:
        return state.with_call(call.model_copy(update={"awaits": "preview"}))
    return open_call_gate(state, call, GateKind.APPROVAL, ruling.reason, moment, ruling=ruling)


def previewed(
    state: RunState, call: Call, preview: Preview | None, why_none: str, moment: Moment
) -> RunState:
    """The run with the gate of a call open, now that it is known what the call would do, or that it is not.

    Args:
        state: The run.
        call: The call, which awaits its preview.
        preview: What the call would do.
        why_none: Why that could not be found out.
        moment: Now.
    """
    ruling = ruling_of(state, call, moment.now)
    missing = f"what it would do could not be found out: {why_none}" if preview is None else ""
    return open_call_gate(
        state,
        call,
        GateKind.APPROVAL,
        ruling.reason,
        moment,
        ruling=ruling,
        preview=preview,
        changed=missing,
    )


def close_call(
    state: RunState, call: Call, ledger: CallState, content: str, *, attempts: int = 0
) -> RunState:
    """The run with one call closed and its result in the transcript; after a turn's last, the next one is due."""
    closed = call.to(ledger)
    content = content.encode(errors="replace").decode()  # half a character could not be carried
    if call.edited:
        content = f"[{call.edited}]\n{content}"
    result = Result(
        call=call.id,
        provider_id=call.provider_id,
        tool=call.tool,
        state=_RESULT_STATES[closed.state],
        content=content,
        attempts=call.attempts + attempts,
        arguments=call.arguments if call.edited else None,
        dispatched=call.dispatches > 0,
    )
    state = state.append(result)
    counts = {**state.counts, closed.state: state.counts.get(closed.state, 0) + 1}
    calls = {k: v for k, v in state.calls.items() if k != call.id}
    return next_turn(state.model_copy(update={"calls": calls, "counts": counts}))


def next_turn(state: RunState) -> RunState:
    """The run with its next model call due, once no call of this turn is open."""
    if state.calls or state.outcome:
        return state
    assert state.definition is not None
    limit = turn_limit(state)
    if state.turn >= limit:
        own = state.definition.max_turns
        larger = "a larger budget.turns" if limit < own else "a larger max_turns of the agent"
        error = f"turn limit: {limit} model calls without a final answer; start it again with {larger}"
        return state.ended(Outcome(phase="failed", error=error))
    model = ModelCall(phase="due", nudges=state.model.nudges)
    return give_messages(state.model_copy(update={"stage": "model", "turn": state.turn + 1, "model": model}))


def turn_limit(state: RunState) -> int:
    """Model calls that the run may make."""
    assert state.definition is not None
    own, asked = state.definition.max_turns, state.request.budget.turns
    return min(asked or own, own)


def has_news(state: RunState) -> bool:
    """Whether a person has written what the agent has not seen, and there is a turn left to see it in."""
    return bool(state.waiting_said) and state.turn < turn_limit(state)


def give_messages(state: RunState) -> RunState:
    """The run with what people have said in its transcript, where its next model call has not been made yet."""
    waiting = state.waiting_said
    if not waiting or state.stage != "model" or state.model.phase not in {"due", "backoff", "parked"}:
        return state
    state = state.append(
        *(Message(text=f"[{said.by} writes while you work]\n{said.text}") for said in waiting)
    )
    given = {"given": state.turn}
    said = tuple(
        one.model_copy(update={**given, "text": bounds.clip(one.text)}) if one.given is None else one
        for one in state.said
    )
    return state.model_copy(update={"said": said[-bounds.KEPT_SAID :]})


def messages_seen(state: RunState) -> RunState:
    """The run whose model has answered: it has seen what it was given."""
    said = tuple(
        one.model_copy(update={"seen": state.turn}) if one.given and not one.seen else one
        for one in state.said
    )
    return state.model_copy(update={"said": said}) if said != state.said else state


_RESULT_STATES: dict[CallState, ResultState] = {
    CallState.DONE: "done",
    CallState.FAILED: "failed",
    CallState.DENIED: "denied",
}
