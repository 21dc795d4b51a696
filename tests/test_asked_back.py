"""Questions of a person to the agent at a gate, which stays open meanwhile."""

import pytest

from agents.approving import QUESTIONS
from agents.events import (
    AsideEnded,
    AskAside,
)
from agents.failure import Failure, FailureType
from agents.status import status
from tests.rules import DOWN, NOW, Run, call, reply, ruled


def asks(run: Run, question: str = "why?", gate: str = "t1.c1") -> AskAside:
    """Somebody asks, and the model is asked."""
    assert run.decides("ask", gate, text=question).accepted
    (aside,) = [action for action in run.carry_out() if isinstance(action, AskAside)]
    return aside


def answers(run: Run, aside: AskAside, answer: str | None = "because") -> None:
    got = None if answer is None else reply(text=answer)
    run.told(AsideEnded(aside.gate, aside.asked, aside.number, got, None if got else DOWN))


def test_the_answer_of_the_agent_comes_onto_the_card_and_the_gate_stays_open() -> None:
    run = Run.asking(rules=ruled())
    digest = run.gate.digest
    answers(run, asks(run))

    assert [(e.by, e.question, e.answer) for e in run.gate.thread] == [("ann", "why?", "because")]
    assert run.gate.digest == digest
    assert run.decides("approve", "t1.c1").accepted


def test_a_question_is_put_to_the_model_once() -> None:
    run = Run.asking(rules=ruled())
    asks(run)

    assert run.carry_out() == []


def test_the_model_is_asked_beside_the_conversation_with_a_stand_in_for_each_open_call() -> None:
    run = Run.asking(call("save", "a"), call("save", "b"), rules=ruled())
    before = run.state.entries
    asked = asks(run)
    aside = asked.input.aside
    answers(run, asked)

    assert [entry.kind for entry in aside] == ["result", "result", "message"]
    assert [entry.call for entry in aside[:2]] == ["t1.c1", "t1.c2"]
    assert aside[-1].text.endswith("\nwhy?")
    assert "ann, who decides on your call t1.c1 of save" in aside[-1].text
    assert run.state.entries == before


def test_its_tokens_are_counted() -> None:
    run = Run.asking(rules=ruled())
    before = status(run.state, "default", NOW).usage
    answers(run, asks(run))
    after = status(run.state, "default", NOW).usage

    assert (after.model_calls, after.model_attempts) == (before.model_calls + 1, before.model_attempts + 1)
    assert after.output_tokens == before.output_tokens + 5


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (None, "The model gave no answer: down"),
        ("  ", "The model said nothing."),
        ("a\n b", "a b"),
    ],
)
def test_a_card_says_what_came_of_a_question(answer: str | None, shown: str) -> None:
    run = Run.asking(rules=ruled())
    answers(run, asks(run), answer)

    assert run.gate.thread[0].answer == shown


def test_an_answer_is_cut_to_what_a_card_holds() -> None:
    run = Run.asking(rules=ruled())
    answers(run, asks(run), "word " * 5000)

    assert len(run.gate.thread[0].answer) <= 2000


def test_questions_at_one_gate_are_bounded() -> None:
    run = Run.asking(rules=ruled())
    for number in range(QUESTIONS):
        aside = asks(run, f"{number}?")
        assert aside.number == number
        answers(run, aside, "so")
    receipt = run.decides("ask", "t1.c1", text="one more?")

    assert receipt.reason == f"t1.c1 has had {QUESTIONS} questions: decide, or deny with what is missing"


def test_answers_find_their_questions_in_whatever_order_they_come() -> None:
    run = Run.asking(rules=ruled())
    first = asks(run, "1?")
    second = asks(run, "2?")
    answers(run, second, "two")
    answers(run, first, "one")

    assert [(e.question, e.answer) for e in run.gate.thread] == [("1?", "one"), ("2?", "two")]


def test_an_answer_to_a_gate_that_was_decided_meanwhile_changes_only_what_was_used() -> None:
    run = Run.asking(rules=ruled())
    aside = asks(run)
    run.decides("approve", "t1.c1")
    before = run.state
    answers(run, aside)

    assert run.state.usage.model_calls == before.usage.model_calls + 1
    assert run.state.model_copy(update={"usage": before.usage}) == before


def test_an_answer_to_an_earlier_gate_of_the_same_call_is_not_taken_for_that_of_this_one() -> None:
    run = Run.asking(rules=ruled(deadline="1h", nobody="ask_again"))
    old = asks(run, "old?")
    run.waits(hours=1)
    answers(run, old, "old")
    assert run.gate.thread == ()

    run.decides("ask", "t1.c1", text="new?")
    answers(run, old, "old")
    assert run.gate.thread[0].answer is None


def test_a_question_cut_off_by_continue_as_new_is_put_to_the_model_again() -> None:
    run = Run.asking(rules=ruled())
    aside = asks(run)
    cut = Failure(type=FailureType.CANCELLED, message="cancelled")
    run.told(AsideEnded(aside.gate, aside.asked, aside.number, None, cut))

    assert run.gate.thread[0].answer is None
    assert run.carry_out() == [aside]


def test_a_question_that_an_edit_carried_on_still_gets_its_answer() -> None:
    run = Run.previewed("x", rules=ruled("publish"))
    aside = asks(run)
    run.edits("y")
    assert not [action for action in run.carry_out() if isinstance(action, AskAside)]
    answers(run, aside)

    assert run.gate.thread[0].answer == "because"
