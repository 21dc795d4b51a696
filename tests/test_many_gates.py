"""Many gates at once: what a run starts, shows and writes stays within what a workflow task and a field may hold."""

from datetime import timedelta

from pydantic_core import to_json

from agents import bounds
from agents.details import details
from agents.events import AskAside, CallEnded, GateDue, Previewed, Replied, TakePreview, Tell, Told
from agents.gate import GateKind
from agents.gate_actions import ASIDES, NOTICES
from agents.gating import ACCEPTS
from agents.preview import preview_of
from agents.rules import Rung, Terms
from agents.shown import cards
from agents.status import phase, status
from agents.tool_call import ToolOutput
from tests.rules import NOW, Run, call, reply, ruled
from workflows.publish import MEMO_BYTES, memo_cards

MANY = 200
LONG = "\x1b" * bounds.PREVIEW_BYTES


def many(tool: str = "save", **changes: object) -> Run:
    """A run with so many gates open."""
    run = Run.started(dial="propose", **changes)
    run.carry_out()
    run.told(Replied(reply(*(call(tool, f"{n}") for n in range(MANY)))))
    return run


def previewing() -> Run:
    run = many("publish")
    while actions := [a for a in run.carry_out() if isinstance(a, TakePreview)]:
        for action in actions:
            run.told(Previewed(action.call, preview_of(LONG)))
    return run


def test_previews_are_taken_a_few_at_a_time() -> None:
    run = many("publish")

    assert sum(isinstance(action, TakePreview) for action in run.carry_out()) == bounds.PARALLEL_CALLS
    assert run.carry_out() == []


def test_questions_go_to_the_model_a_few_at_a_time_and_carry_little() -> None:
    run = Run.started(dial="propose")
    run.carry_out()
    run.told(Replied(reply(call("look"), *(call("save", f"{n}") for n in range(MANY)))))
    run.carry_out()
    run.told(CallEnded("t1.c1", ToolOutput(content="x" * 2 * bounds.ASIDE_DELTA_BYTES)))
    for gate in list(run.state.gates):
        assert run.decides("ask", gate, text="why?").accepted
    actions = [action for action in run.carry_out() if isinstance(action, AskAside)]

    assert len(actions) == ASIDES
    assert all(action.input.delta is None for action in actions)
    assert run.carry_out() == []


def test_the_webhook_is_told_of_a_few_at_a_time_and_in_the_end_of_all() -> None:
    run = many(notifies=True)
    told = []
    while actions := [action for action in run.carry_out() if isinstance(action, Tell)]:
        assert len(actions) <= NOTICES
        told += actions
        for action in actions:
            run.told(Told(action.gate, action.digest))

    assert len({action.gate for action in told}) == len(told) == MANY


def test_a_status_and_the_details_stay_far_under_what_a_query_may_answer() -> None:
    run = previewing()
    shown = status(run.state, "default", NOW)

    assert len(to_json(shown)) < bounds.MIB
    assert not shown.waiting[0].shortened
    assert shown.waiting[-1].shortened
    assert len(shown.waiting) == MANY
    assert len(details(run.state, "default")) < bounds.MIB // 4
    assert "180 more gates wait" in details(run.state, "default")


def test_the_memo_holds_the_first_cards_and_stays_within_its_bytes() -> None:
    run = previewing()
    written = memo_cards(cards(run.state, "default"))

    assert len(written) == bounds.SHOWN_CARDS
    assert len(to_json(written)) <= MEMO_BYTES
    assert all(entry["shortened"] for entry in written)


def test_a_long_question_is_refused() -> None:
    run = Run.asking(call("save"))
    long = "é" * (bounds.QUESTION_BYTES // 2 + 1)

    assert "longer than 2048 bytes" in run.decides("ask", "t1.c1", text=long).reason


def test_a_gate_of_the_run_itself_goes_through_the_same_machinery() -> None:
    terms = Terms(approvers=("manager",), deadline=3600, escalate=(Rung(after=60, to=("finance",)),))
    run = Run.asking(call("save"), rules=ruled())
    gate = run.gate.model_copy(
        update={
            "id": "budget.1",
            "kind": GateKind.BUDGET,
            "call": None,
            "accepts": ACCEPTS[GateKind.BUDGET],
            "terms": terms,
            "deadline": run.gate.since + timedelta(seconds=3600),
        }
    )
    run.state = run.state.model_copy(update={"gates": {gate.id: gate}})

    assert phase(run.state) == "parked"
    assert "manager" in run.decides("end", "budget.1", by="cy").reason
    run.clock = gate.since + timedelta(seconds=61)
    run.told(GateDue("budget.1"))
    assert run.state.gates["budget.1"].asks == ("manager", "finance")
    run.clock = gate.since + timedelta(hours=2)
    run.told(GateDue("budget.1"))
    assert run.state.gates["budget.1"].deadline is None
    assert memo_cards(cards(run.state, "default"))[0]["kind"] == "budget"
    assert run.decides("end", "budget.1", by="ann").accepted
    assert run.state.outcome is not None
