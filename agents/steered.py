"""What a steering message makes of a run: said and seen, paused and resumed, cancelled, told to the webhook again."""

from agents.approving import Refused, Settled
from agents.events import Moment
from agents.state import RunState
from agents.steering import Cancel, Notify, Pause, Paused, Resume, Said, Say, Steer
from agents.turn import give_messages

UNSEEN = 20
"""Messages that wait for the agent at once: they all go into its next model call."""


def steer(state: RunState, message: Steer, moment: Moment) -> Settled:
    """The run after a message, and the receipt's text.

    Raises:
        Refused: It changes nothing, for the reason that the text names.
    """
    if state.cancel:
        raise Refused(f"it is being cancelled already, by {state.cancel.by}")
    match message:
        case Say():
            return _say(state, message, moment)
        case Pause(by=by, reason=reason):
            if state.paused:
                raise Refused(f"it is paused already, by {state.paused.by}")
            paused = Paused(by=by, at=moment.now, reason=reason)
            return Settled(state.model_copy(update={"paused": paused}), _flight(state))
        case Resume():
            if not state.paused:
                raise Refused("it is not paused")
            return Settled(state.model_copy(update={"paused": None}), "it goes on")
        case Cancel():
            return Settled(state.model_copy(update={"cancel": message}), "it is being cancelled")
        case Notify():
            return _notify(state, message)
        case _:
            raise TypeError(f"no steering message: {message}")


def _flight(state: RunState) -> str:
    running = [call.id for call in state.calls.values() if call.state == "in flight"]
    if state.model.phase in {"in flight", "stopping"}:
        running.append("the model call")
    return f"paused; in flight until it ends: {', '.join(running)}" if running else "paused"


def _say(state: RunState, message: Say, moment: Moment) -> Settled:
    same = next((said for said in state.said if message.id and said.id == message.id), None)
    if same:
        return Settled(state, f"already said by {same.by} as message {same.number}")
    if len(state.waiting_said) >= UNSEEN:
        raise Refused(f"{UNSEEN} messages wait for the agent already")
    number = state.said_total + 1
    said = Said(
        number=number,
        by=message.by,
        at=moment.now,
        policy=message.policy,
        text=message.text.encode(errors="replace").decode(),
        id=message.id,
    )
    state = state.model_copy(update={"said": (*state.said, said), "said_total": number})
    in_flight = state.stage == "model" and state.model.phase == "in flight"
    if message.policy == "interrupt" and in_flight:
        model = state.model.model_copy(update={"phase": "interrupt"})
        state = state.model_copy(update={"model": model})
        return Settled(state, f"message {number}: the model call of turn {state.turn} is made again with it")
    state = give_messages(state)
    given = state.said[-1].given
    when = f"in turn {given}" if given else "at its next turn"
    return Settled(state, f"message {number}: the agent sees it {when}")


def _notify(state: RunState, message: Notify) -> Settled:
    if state.definition is None or not state.definition.notifies:
        raise Refused("no webhook was configured on the worker when this run began (AGENT_NOTIFY_URL)")
    gates = [gate for gate in state.gates.values() if message.gate in (None, gate.id)]
    if not gates:
        waiting = ", ".join(state.gates) or "none"
        raise Refused(f"no such gate is open; open gates: {waiting}")
    for gate in gates:
        if gate.notified >= gate.notices:  # otherwise one is on its way already
            state = state.with_gate(gate.model_copy(update={"notices": gate.notices + 1}))
    return Settled(state, f"the webhook is told of {', '.join(gate.id for gate in gates)}")
