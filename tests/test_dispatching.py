"""What is handed to workers, how many at once, and what is known of it afterwards."""

import pytest

from agents import bounds
from agents.effect import Dial
from agents.events import Replied
from tests.rules import Run, call, reply, ruled


def looking(count: int) -> Run:
    run = Run.started()
    run.carry_out()
    run.told(Replied(reply(*(call("look", f"{n}") for n in range(count)))))
    return run


def test_the_bound_on_calls_side_by_side_counts_those_in_flight() -> None:
    run = looking(bounds.PARALLEL_CALLS + 3)
    assert len(run.dispatched()) == bounds.PARALLEL_CALLS
    assert run.dispatched() == []

    run.ends("t1.c2")
    run.ends("t1.c1")
    assert [d.call.id for d in run.dispatched()] == [f"t1.c{bounds.PARALLEL_CALLS + n}" for n in (1, 2)]


@pytest.mark.parametrize("reset", [False, True])
def test_a_worker_is_told_whether_an_earlier_branch_may_have_sent_it_already(reset: bool) -> None:
    run = looking(1)
    run.state = run.state.model_copy(update={"reset": reset})

    assert [d.input.reset for d in run.dispatched()] == [reset]


def test_a_worker_is_told_each_of_those_who_let_a_call_pass() -> None:
    two = Run.asking(rules=ruled(approvers=["manager"], needed=2))
    for by in ("ann", "bob"):
        two.decides("approve", "t1.c1", by=by)
    edited = Run.asking(rules=ruled(approvers=["manager"]))
    edited.edits("y", by="bob")
    granted = Run.asking(rules=ruled())
    granted.decides("approve", "t1.c1", by="eve", grant={"calls": 1, "lasts": "1h"})
    granted.dispatched()
    granted.ends()
    granted.carry_out()
    granted.told(Replied(reply(call("save", "more"))))
    nobody = Run.asking(call("look"), rules=ruled())
    sent = [run.dispatched()[0].input.approved for run in (two, edited, granted, nobody)]

    assert [approved.by for approved in sent] == [("ann", "bob"), ("bob",), ("eve",), ()]


def test_a_result_says_whether_its_call_was_ever_handed_to_a_worker() -> None:
    run = Run.asking(call("save", "a"), call("save", "b"), dial=Dial.PROPOSE)
    run.decides("deny", "t1.c1", reason="no")
    run.decides("approve", "t1.c2")
    run.dispatched()
    run.ends("t1.c2")

    results = [entry for entry in run.state.entries if entry.kind == "result"]
    assert [entry.dispatched for entry in results] == [False, True]
