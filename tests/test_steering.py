"""Steering: what becomes of what people tell a run, wherever it stands."""

from typing import Any

import pytest

from agents import bounds
from agents.deciding import Receipt
from agents.effect import Dial
from agents.events import (
    AskModel,
    CallEnded,
    CallFailed,
    CancelAsked,
    Cancelled,
    CancelRun,
    Dispatch,
    ModelFailed,
    Previewed,
    Replied,
    Resolve,
    Resolved,
    StopModel,
    TakePreview,
    Tell,
    Told,
    WaitOver,
    WaitUntil,
)
from agents.failure import Failure, FailureType
from agents.ledger import CallState
from agents.loop import decide
from agents.preview import preview_of
from agents.status import phase, status
from agents.steered import UNSEEN
from agents.tool_call import ToolOutput
from agents.transcript import Message
from tests.rules import NOW, Run, call, definition, reply, ruled

STOPPED = ModelFailed(Failure(type=FailureType.CANCELLED, message="cancelled"))


def says(run: Run, text: str = "also this", **fields: object) -> Receipt:
    return run.says("say", {"by": "ann", "text": text, **fields})


def messages(run: Run) -> list[str]:
    """What the transcript holds of what people wrote, after the task."""
    found = [entry.text for entry in run.state.entries if isinstance(entry, Message)]
    return [text for text in found if "writes while you work" in text]


def kinds(actions: Any) -> list[type]:
    return [type(action) for action in actions]


def failed(kind: FailureType, **changes: object) -> Failure:
    return Failure(type=kind, message="trouble", **changes)


# --- a run in each stage ------------------------------------------------------------------------------------------


def to_resolve() -> Run:
    return Run.requested()


def resolving() -> Run:
    run = Run.requested()
    run.carry_out()
    return run


def due() -> Run:
    return Run.started()


def model_in_flight() -> Run:
    run = Run.started()
    run.carry_out()
    return run


def backoff() -> Run:
    run = model_in_flight()
    run.told(ModelFailed(failed(FailureType.PROVIDER_WAIT, wait_seconds=60)))
    return run


def parked() -> Run:
    run = model_in_flight()
    run.told(ModelFailed(failed(FailureType.EXHAUSTED)))
    return run


def planned() -> Run:
    run = model_in_flight()
    run.told(Replied(reply(call("look"))))
    return run


def call_in_flight() -> Run:
    run = planned()
    run.carry_out()
    return run


def to_preview() -> Run:
    return Run.asking(call("publish"))


def at_a_gate() -> Run:
    return Run.asking()


STAGES = (
    to_resolve,
    resolving,
    due,
    model_in_flight,
    backoff,
    parked,
    planned,
    call_in_flight,
    to_preview,
    at_a_gate,
)
NEXT = {
    to_resolve: [Resolve],
    due: [AskModel],
    backoff: [WaitUntil],
    planned: [Dispatch],
    to_preview: [TakePreview],
}
"""What each starts next; the others nothing."""


def goes_on(run: Run) -> None:
    """Whatever is under way ends well, until the model has been called once more."""
    for _ in range(6):
        for action in run.carry_out():
            if isinstance(action, AskModel):
                return
            end(run, action)
        if run.state.stage == "resolving":
            run.told(Resolved(definition()))
        elif run.state.model.phase == "in flight":
            run.told(Replied(reply(call("look"))))
        elif run.state.model.phase == "backoff":
            run.told(WaitOver())
        for gate in list(run.state.gates):
            run.decides("retry" if gate.endswith("model") else "approve", gate)
        for each in [c.id for c in run.state.calls.values() if c.state is CallState.IN_FLIGHT]:
            run.told(CallEnded(each, ToolOutput(content="ok")))
    raise AssertionError("the model is not called")


def end(run: Run, action: object) -> None:
    if isinstance(action, TakePreview):
        run.told(Previewed(action.call, preview_of("a")))


# --- say ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "when"),
    [
        (to_resolve, "at its next turn"),
        (resolving, "at its next turn"),
        (due, "in turn 1"),
        (model_in_flight, "at its next turn"),
        (backoff, "in turn 1"),
        (parked, "in turn 1"),
        (planned, "at its next turn"),
        (call_in_flight, "at its next turn"),
        (to_preview, "at its next turn"),
        (at_a_gate, "at its next turn"),
    ],
)
def test_what_a_person_says_is_seen_by_the_next_model_call_and_the_receipt_says_so(
    stage: Any, when: str
) -> None:
    run = stage()
    assert says(run) == Receipt(True, f"message 1: the agent sees it {when}")
    assert messages(run) == (["[ann writes while you work]\nalso this"] if "turn 1" in when else [])
    turn = 1 if "turn 1" in when or run.state.turn == 0 else 2

    goes_on(run)
    assert messages(run) == ["[ann writes while you work]\nalso this"]
    assert (run.state.said[0].given, run.state.said[0].seen, run.state.turn) == (turn, None, turn)
    run.told(Replied(reply(text="done")))
    assert run.state.said[0].seen == turn


@pytest.mark.parametrize("stage", STAGES)
def test_where_no_model_call_is_under_way_an_interruption_is_a_message_like_any_other(stage: Any) -> None:
    if stage is model_in_flight:
        return
    run, plain = stage(), stage()
    receipt = says(run, policy="interrupt")

    assert receipt == says(plain)
    assert kinds(run.carry_out()) == NEXT.get(stage, [])


def test_an_interruption_cancels_the_model_call_and_makes_it_again_with_the_message() -> None:
    run = model_in_flight()
    receipt = says(run, policy="interrupt")
    assert receipt.reason == "message 1: the model call of turn 1 is made again with it"
    assert run.carry_out() == [StopModel()]
    assert run.carry_out() == []
    run.told(STOPPED)
    (again,) = run.carry_out()

    assert messages(run) == ["[ann writes while you work]\nalso this"]
    assert (again.stops, again.input.turn) == (1, 1)
    assert again.input.total == 2
    run.told(Replied(reply(text="done")))
    assert run.state.said[0].seen == 1
    assert run.state.gates == {}


def test_what_is_said_while_the_model_call_is_being_cancelled_goes_along() -> None:
    run = model_in_flight()
    says(run, "one", policy="interrupt")
    assert says(run, "two", policy="interrupt").reason == "message 2: the agent sees it at its next turn"
    run.carry_out()
    says(run, "three", policy="interrupt")
    assert run.carry_out() == []
    run.told(STOPPED)

    assert [text.splitlines()[1] for text in messages(run)] == ["one", "two", "three"]
    assert kinds(run.carry_out()) == [AskModel]


def test_a_reply_that_crosses_with_an_interruption_counts_and_the_message_is_seen_next() -> None:
    run = model_in_flight()
    says(run, policy="interrupt")
    run.carry_out()
    run.told(Replied(reply(call("look"))))
    run.dispatched()
    run.told(CallEnded("t1.c1", ToolOutput(content="ok")))

    assert run.state.said[0].given == 2
    assert [a.stops for a in run.carry_out()] == [0]
    run.told(Replied(reply(text="done")))
    assert run.state.said[0].seen == 2


def test_a_second_interruption_in_one_turn_is_counted() -> None:
    run = model_in_flight()
    for _ in range(2):
        says(run, policy="interrupt")
        run.carry_out()
        run.told(STOPPED)
        actions = run.carry_out()

    assert [action.stops for action in actions] == [2]


def test_what_is_said_in_a_backoff_does_not_shorten_it() -> None:
    run = backoff()
    until = run.state.model.until
    says(run, policy="interrupt")

    assert run.carry_out() == [WaitUntil(until)]


@pytest.mark.parametrize(
    ("kind", "more"), [(FailureType.PROVIDER_WAIT, {"wait_seconds": 60}), (FailureType.EXHAUSTED, {})]
)
def test_what_is_said_while_a_model_call_fails_goes_into_the_next_one_of_that_turn(
    kind: FailureType, more: dict[str, Any]
) -> None:
    run = model_in_flight()
    says(run)
    run.told(ModelFailed(failed(kind, **more)))

    assert len(messages(run)) == 1
    assert run.state.said[0].given == 1


def test_several_people_are_heard_in_the_order_in_which_they_spoke() -> None:
    run = call_in_flight()
    says(run, "first")
    says(run, "second", by="bob")
    run.told(CallEnded("t1.c1", ToolOutput(content="ok")))

    assert messages(run) == [
        "[ann writes while you work]\nfirst",
        "[bob writes while you work]\nsecond",
    ]
    assert [said.number for said in run.state.said] == [1, 2]


def test_a_message_counts_as_seen_only_once_the_model_has_answered_with_it() -> None:
    run = due()
    says(run)
    run.carry_out()
    run.told(ModelFailed(failed(FailureType.EXHAUSTED)))
    assert (run.state.said[0].given, run.state.said[0].seen) == (1, None)

    run.decides("retry", "t1.model")
    run.carry_out()
    run.told(Replied(reply(call("look"))))
    assert run.state.said[0].seen == 1


def test_what_is_said_before_a_run_ends_unanswered_was_never_seen() -> None:
    run = due()
    says(run)
    run.carry_out()
    run.told(Cancelled())

    assert run.state.said[0].seen is None


def test_a_message_is_seen_once() -> None:
    run = due()
    says(run)
    run.carry_out()
    run.told(Replied(reply(call("nope", problem="unknown tool"))))
    run.carry_out()
    run.told(Replied(reply(call("nope", problem="unknown tool"))))

    assert len(messages(run)) == 1
    assert run.state.said[0].seen == 1


def test_a_later_message_leaves_what_is_known_of_an_earlier_one() -> None:
    run = due()
    says(run, "first")
    run.carry_out()
    run.told(Replied(reply(call("nope", problem="unknown tool"))))
    says(run, "second")
    run.carry_out()
    run.told(Replied(reply(call("nope", problem="unknown tool"))))

    assert [(said.given, said.seen) for said in run.state.said] == [(1, 1), (2, 2)]


def test_a_final_answer_that_crosses_with_a_message_is_not_the_end() -> None:
    run = model_in_flight()
    says(run)
    run.told(Replied(reply(text="done")))
    assert (phase(run.state), run.state.turn) == ("working", 2)
    assert len(messages(run)) == 1

    run.carry_out()
    run.told(Replied(reply(text="done, with that")))
    assert run.state.outcome.answer == "done, with that"


def test_a_finish_call_that_crosses_with_a_message_is_not_the_end() -> None:
    run = Run.started(output={"type": "object"})
    run.carry_out()
    says(run)
    run.told(Replied(reply(call("finish", "first"))))

    assert run.result("t1.c1")[0] == "failed"
    assert "a person has written to you" in run.result("t1.c1")[1]
    run.carry_out()
    run.told(Replied(reply(call("finish", "second"))))
    assert run.state.outcome.answer == '{"text":"second"}'


@pytest.mark.parametrize("output", [None, {"type": "object"}])
def test_where_no_turn_is_left_to_see_it_in_a_message_does_not_hold_up_the_answer(output: Any) -> None:
    run = Run.started(max_turns=1, output=output)
    run.carry_out()
    says(run)
    run.told(Replied(reply(call("finish", "it")) if output else reply(text="it")))

    assert phase(run.state) == "done"
    assert run.state.said[0].seen is None
    assert messages(run) == []


def test_a_message_makes_good_for_replies_that_said_nothing() -> None:
    run = Run.started()
    for _ in range(bounds.NUDGES):
        run.carry_out()
        run.told(Replied(reply(text="")))
    run.carry_out()
    says(run)
    run.told(Replied(reply(text="")))

    assert phase(run.state) == "working"
    assert run.state.model.nudges == 0


def test_a_message_that_is_sent_twice_under_one_id_is_taken_once() -> None:
    run = call_in_flight()
    says(run, id="m1")
    again = says(run, "something else", by="bob", id="m1")

    assert again == Receipt(True, "already said by ann as message 1")
    assert [said.text for said in run.state.said] == ["also this"]
    says(run, id="m2")
    says(run)
    says(run)
    assert run.state.said_total == 4


def test_a_bounded_number_of_messages_waits_for_the_agent() -> None:
    run = call_in_flight()
    for number in range(UNSEEN):
        assert says(run, f"{number}").accepted
    assert says(run) == Receipt(False, f"{UNSEEN} messages wait for the agent already")

    run.told(CallEnded("t1.c1", ToolOutput(content="ok")))
    assert says(run).accepted


def test_a_message_is_as_long_as_its_bound_and_no_longer() -> None:
    run = due()
    assert says(run, "x" * bounds.SAY_BYTES).accepted
    receipt = says(run, "x" * (bounds.SAY_BYTES - 1) + "ü")

    assert receipt.reason.startswith(f"text: longer than {bounds.SAY_BYTES} bytes")


def test_receipts_are_kept_up_to_a_bound_in_short_and_what_is_unseen_whole() -> None:
    run = due()
    for number in range(bounds.KEPT_SAID + 5):
        says(run, f"{number} " + "long " * 100)
    run.carry_out()
    says(run, "unseen " + "long " * 100)
    shown = run.state.said

    assert len(shown) == bounds.KEPT_SAID + 1
    assert [len(said.text) > 500 for said in shown] == [False] * bounds.KEPT_SAID + [True]
    assert (shown[-1].number, run.state.said_total) == (bounds.KEPT_SAID + 6, bounds.KEPT_SAID + 6)
    assert len(status(run.state, "default", NOW).said) == bounds.KEPT_SAID


def test_half_a_character_in_a_message_stalls_nothing() -> None:
    run = due()

    assert says(run, "so \ud800").reason.startswith("text: ")
    assert messages(run) == []


def test_after_the_end_a_message_is_told_so() -> None:
    run = due()
    run.told(Cancelled())

    for name, more in (
        ("say", {"text": "hello"}),
        ("pause", {}),
        ("resume", {}),
        ("cancel", {}),
        ("notify", {}),
    ):
        receipt = run.says(name, {"by": "ann", **more})
        assert receipt == Receipt(False, "the run has ended (cancelled)")
    assert [refused.message for refused in run.state.rejected] == [
        "say",
        "pause",
        "resume",
        "cancel",
        "notify",
    ]


# --- pause and resume ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_paused_run_starts_nothing_and_goes_on_where_it_stood(stage: Any) -> None:
    run, plain = stage(), stage()
    assert run.says("pause", {"by": "ann", "reason": "wait"}).accepted
    assert phase(run.state) == "paused"
    assert run.carry_out() == []
    paused = status(run.state, "default", NOW).paused
    assert (paused.by, paused.reason) == ("ann", "wait")

    assert run.says("resume", {"by": "bob"}) == Receipt(True, "it goes on")
    assert phase(run.state) == phase(plain.state)
    assert kinds(run.carry_out()) == NEXT.get(stage, [])


@pytest.mark.parametrize(
    ("stage", "says_"),
    [
        (due, "paused"),
        (at_a_gate, "paused"),
        (call_in_flight, "paused; in flight until it ends: t1.c1"),
        (model_in_flight, "paused; in flight until it ends: the model call"),
    ],
)
def test_the_receipt_of_a_pause_names_what_is_in_flight(stage: Any, says_: str) -> None:
    assert stage().says("pause", {"by": "ann"}).reason == says_


def test_what_is_in_flight_ends_in_a_pause_and_its_result_counts() -> None:
    run = call_in_flight()
    run.says("pause", {"by": "ann"})
    run.told(CallEnded("t1.c1", ToolOutput(content="ok")))

    assert run.result("t1.c1") == ("done", "ok")
    assert (run.state.turn, run.carry_out()) == (2, [])
    run.says("resume", {"by": "ann"})
    assert kinds(run.carry_out()) == [AskModel]


def test_a_model_call_in_flight_ends_in_a_pause_and_its_calls_wait() -> None:
    run = model_in_flight()
    run.says("pause", {"by": "ann"})
    run.told(Replied(reply(call("look"))))
    assert run.carry_out() == []

    run.says("resume", {"by": "ann"})
    assert kinds(run.carry_out()) == [Dispatch]


def test_gates_are_decided_in_a_pause_and_nothing_is_sent_until_it_ends() -> None:
    run = at_a_gate()
    run.says("pause", {"by": "ann"})
    assert run.decides("approve", "t1.c1").accepted
    assert run.dispatched() == []

    run.says("resume", {"by": "ann"})
    assert len(run.dispatched()) == 1


def test_an_interruption_in_a_pause_waits_for_its_end() -> None:
    run = model_in_flight()
    run.says("pause", {"by": "ann"})
    says(run, policy="interrupt")
    assert run.carry_out() == []

    run.says("resume", {"by": "ann"})
    assert run.carry_out() == [StopModel()]


def test_a_pause_in_a_pause_and_a_resume_without_one_are_refused() -> None:
    run = due()
    assert run.says("resume", {"by": "ann"}) == Receipt(False, "it is not paused")
    run.says("pause", {"by": "ann"})

    assert run.says("pause", {"by": "bob"}) == Receipt(False, "it is paused already, by ann")
    assert run.state.paused.by == "ann"


# --- cancel -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_cancel_asks_the_server_once_and_starts_nothing_else(stage: Any, paused: bool) -> None:
    run = stage()
    if paused:
        run.says("pause", {"by": "bob"})
    assert run.says("cancel", {"by": "ann", "reason": "wrong task"}) == Receipt(True, "it is being cancelled")

    assert run.carry_out() == [CancelRun()]
    assert run.carry_out() == []
    run.told(CancelAsked())
    run.told(Cancelled())
    assert (phase(run.state), run.state.outcome.error) == ("cancelled", "cancelled by ann: wrong task")
    assert run.state.gates == {}


def test_a_cancel_without_a_reason_names_who_and_one_from_outside_nobody() -> None:
    run = due()
    run.says("cancel", {"by": "ann"})
    run.told(Cancelled())
    other = due()
    other.told(Cancelled())

    assert (run.state.outcome.error, other.state.outcome.error) == ("cancelled by ann", "cancelled")


def test_a_second_cancel_is_told_of_the_first() -> None:
    run = due()
    run.says("cancel", {"by": "ann"})

    assert run.says("cancel", {"by": "bob"}) == Receipt(False, "it is being cancelled already, by ann")


def test_calls_in_flight_are_marked_by_what_became_of_them_and_what_is_done_stays_done() -> None:
    run = Run.started(dial=Dial.AUTONOMOUS)
    run.carry_out()
    run.told(Replied(reply(call("look", "a"), call("pay", "b"), call("save", "c"))))
    run.dispatched()
    run.told(CallEnded("t1.c1", ToolOutput(content="ok")))
    run.says("cancel", {"by": "ann"})
    run.carry_out()
    run.told(Cancelled())
    run.told(CallFailed("t1.c2", failed(FailureType.OUTCOME_UNKNOWN)))
    run.told(CallFailed("t1.c3", failed(FailureType.CANCELLED)))

    shown = {line.id: line.state for line in status(run.state, "default", NOW).calls}
    assert shown == {"t1.c1": "done", "t1.c2": "unknown", "t1.c3": "failed"}
    assert decide(run.state, "execution-1") == []


def test_an_approval_while_a_run_is_being_cancelled_sends_nothing() -> None:
    run = at_a_gate()
    run.says("cancel", {"by": "ann"})
    run.carry_out()
    run.decides("approve", "t1.c1")

    assert run.carry_out() == []


# --- notify -------------------------------------------------------------------------------------------------------


def tells(run: Run) -> list[tuple[str, int]]:
    """What the webhook is told, which takes it at once."""
    actions = [action for action in run.carry_out() if isinstance(action, Tell)]
    for action in actions:
        run.told(Told(action.gate, action.digest))
    return [(action.gate, action.number) for action in actions]


def two_gates(notifies: bool = True) -> Run:
    return Run.asking(call("save", "a"), call("save", "b"), rules=ruled(), notifies=notifies)


def test_a_gate_goes_out_once_by_itself_and_once_more_when_somebody_says_so() -> None:
    run = two_gates()
    assert tells(run) == [("t1.c1", 1), ("t1.c2", 1)]
    assert tells(run) == []

    assert run.says("notify", {"by": "ann"}) == Receipt(True, "the webhook is told of t1.c1, t1.c2")
    assert tells(run) == [("t1.c1", 2), ("t1.c2", 2)]


def test_one_gate_may_be_told_of_alone() -> None:
    run = two_gates()
    tells(run)

    assert run.says("notify", {"by": "ann", "gate": "t1.c2"}).reason == "the webhook is told of t1.c2"
    assert tells(run) == [("t1.c2", 2)]


def test_a_message_that_is_on_its_way_already_is_not_doubled() -> None:
    run = two_gates()
    assert run.says("notify", {"by": "ann"}).accepted
    assert run.says("notify", {"by": "ann"}).accepted

    assert tells(run) == [("t1.c1", 1), ("t1.c2", 1)]
    assert tells(run) == []


@pytest.mark.parametrize(
    ("notifies", "gate", "why"),
    [
        (False, None, "no webhook was configured on the worker when this run began (AGENT_NOTIFY_URL)"),
        (True, "t9.c9", "no such gate is open; open gates: t1.c1, t1.c2"),
    ],
)
def test_where_there_is_nobody_to_tell_or_nothing_the_sender_is_told(
    notifies: bool, gate: str | None, why: str
) -> None:
    run = two_gates(notifies)
    assert run.says("notify", {"by": "ann", "gate": gate}) == Receipt(False, why)


def test_a_run_without_open_gates_has_nothing_to_tell() -> None:
    run = Run.started(notifies=True)

    assert run.says("notify", {"by": "ann"}).reason == "no such gate is open; open gates: none"


def test_a_paused_run_tells_nobody_until_it_goes_on() -> None:
    run = two_gates()
    run.says("pause", {"by": "ann"})
    assert tells(run) == []

    run.says("resume", {"by": "ann"})
    assert len(tells(run)) == 2


# --- what is no message -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("say", {"by": "ann"}, "text: Field required"),
        ("say", {"by": "ann", "text": ""}, "text: String should have at least 1 character"),
        ("say", {"text": "x"}, "by: Field required"),
        ("say", {"by": "ann", "text": "x", "policy": "now"}, "policy: Input should be"),
        ("say", {"by": "ann", "text": "x", "loud": True}, "loud: Extra inputs are not permitted"),
        ("pause", {"by": ""}, "by: String should have at least 1 character"),
        ("pause", {"by": "ann", "text": "x"}, "text: Extra inputs are not permitted"),
        ("cancel", {"by": "ann", "reason": "x" * 1001}, "reason: String should have at most 1000 characters"),
        ("resume", {}, "by: Field required"),
    ],
)
def test_what_is_no_message_changes_nothing_and_shows_under_rejected(
    name: str, body: dict[str, object], why: str
) -> None:
    run = call_in_flight()
    before = run.state
    receipt = run.says(name, body)

    assert not receipt.accepted
    assert receipt.reason.startswith(why)
    assert run.state.rejected[-1].reason == receipt.reason
    assert run.state.model_copy(update={"rejected": (), "rejected_total": 0}) == before
