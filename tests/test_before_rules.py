"""A run whose snapshot is from before there were rules goes on as it began."""

import pytest

from agents.agent import DEFINITION_VERSION, NewerDefinition, read_definition
from agents.carry import upgrade
from agents.deciding import Receipt, receive
from agents.events import (
    Dispatch,
    Moment,
)
from agents.message import RawMessage
from agents.request import Request
from agents.state import STATE_VERSION, RunState
from tests.rules import NOW, Run, call, definition


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("edit", {"arguments": {"text": "y"}}), ("ask", {"text": "why?"}), ("delegate", {"to": "bob"})],
)
def test_a_run_from_before_rules_takes_no_kind_of_decision_that_came_with_them(
    kind: str, fields: dict[str, object]
) -> None:
    run = Run.asking(rules=None)
    before = run.state
    receipt = run.decides(kind, "t1.c1", **fields)

    assert receipt == Receipt(False, "t1.c1 is a gate of kind approval: it takes approve, deny, end")
    assert run.is_but_for_rejected(before)


@pytest.mark.parametrize(
    "field", [{"grant": {"calls": 1, "lasts": "1h"}}, {"signature": "x"}, {"arguments": {}}, {"to": "bob"}]
)
def test_a_run_from_before_rules_takes_no_field_of_a_decision_that_came_with_them(
    field: dict[str, object],
) -> None:
    run = Run.asking(rules=None)
    before = run.state
    receipt = run.decides("approve", "t1.c1", **field)

    assert receipt == Receipt(False, f"{next(iter(field))}: Extra inputs are not permitted")
    assert run.is_but_for_rejected(before)


@pytest.mark.parametrize("name", ["say", "pause", "resume", "cancel", "notify"])
def test_a_run_from_before_rules_takes_no_message_that_came_with_them(name: str) -> None:
    run = Run.asking(rules=None)
    receipt = run.says(name, {"by": "ann", "text": "hello"})

    assert receipt == Receipt(False, f"unknown message '{name}'; known: approve, deny, answer, decide")


def test_a_run_from_before_rules_asks_by_its_dial_alone_without_terms_or_previews() -> None:
    run = Run.asking(call("publish"), call("save"), call("look"), rules=None)
    gate = run.state.gates["t1.c1"]

    assert list(run.state.gates) == ["t1.c1", "t1.c2"]
    assert [type(action) for action in run.carry_out()] == [Dispatch]
    assert (gate.deadline, gate.terms.remind, gate.rule, gate.stated, gate.preview) == (
        None,
        None,
        None,
        "",
        "",
    )
    assert run.state.calls["t1.c1"].ruling == ""


def test_in_a_run_from_before_rules_anyone_decides_and_a_call_goes_out_bound_to_nothing() -> None:
    run = Run.asking(rules=None)
    assert run.decides("approve", "t1.c1", by="a stranger").accepted
    (out,) = run.dispatched()

    assert out.input.approved is None
    assert out.call.approved_by == "a stranger"


def test_in_a_run_from_before_rules_a_gate_asks_for_the_digest_that_it_always_asked_for() -> None:
    run = Run.asking(rules=None)

    assert run.gate.digest == OLD_DIGEST


OLD_DIGEST = "197c8680df444e10549cc6474ce8bab5a70f8a99beaf7ffbc98a26212d7ae848"
"""As the version before rules made it."""


def test_a_run_that_does_not_know_its_rules_yet_takes_messages() -> None:
    run = Run.requested()
    data = [("json/plain", b'{"text":"hello","by":"ann"}')]
    _, receipt = receive(run.state, RawMessage("say", data), Moment(NOW, "n"))

    assert receipt.accepted


def test_a_run_that_got_a_message_before_its_definition_knows_whether_this_version_began_it() -> None:
    begun = Run(RunState(run="r1", chain="c", request=Request(agent="tester", task="do it"), early=True))
    older = Run(begun.state.model_copy(update={"early": False}))

    assert begun.says("pause", {"by": "ann"}).accepted
    assert older.says("pause", {"by": "ann"}).reason.startswith("unknown message 'pause'")


def test_a_worker_leaves_a_run_whose_snapshot_is_newer_than_itself_to_others() -> None:
    newer = definition(v=DEFINITION_VERSION + 1)

    with pytest.raises(NewerDefinition, match="this worker knows up to"):
        read_definition(newer.model_dump_json().encode())


def test_the_snapshot_of_a_run_without_rules_has_the_digest_that_it_always_had() -> None:
    bare = definition(rules=None)

    assert {"rules", "v", "notifies"}.isdisjoint(bare.model_dump(mode="json"))


def test_a_state_of_the_version_before_is_read_as_it_was() -> None:
    state = Run.started(rules=None).state
    before = {**state.model_dump(mode="json"), "v": 1}

    assert upgrade(before)["v"] == STATE_VERSION
    assert RunState.model_validate(upgrade(before)) == state
