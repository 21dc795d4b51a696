"""Records of gates and calls: what past runs tell, from their histories alone."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from temporalio.api.history.v1 import History as RawHistory

from agents.effect import Dial
from console.records.derive import records_of
from console.records.past import merged
from console.records.records import RunRecords
from console.trajectory.derive import History
from tests.past import GRAVE, IRREVERSIBLE, NOW, Past, card, digest, rules
from tests.record_histories import HISTORIES


def read(past: Past) -> RunRecords:
    return records_of("r1", past.chain)


def asked(**changes: Any) -> Past:
    """A run that asks for a payment."""
    return Past(rules=rules(), **changes).replies(("pay", 5)).shows(card("t1.c1"))


def test_a_gate_is_recorded_with_who_decided_it_how_and_after_how_long() -> None:
    past = asked().wait(90).decides("t1.c1", "approve").hides("t1.c1").makes("t1.c1", "pay").ends()
    [gate] = read(past).gates

    assert (gate.run, gate.agent, gate.tenant, gate.gate, gate.call) == (
        "r1",
        "tester",
        "default",
        "t1.c1",
        "t1.c1",
    )
    assert (gate.tool, gate.kind, gate.rule, gate.risk, gate.effect) == (
        "pay",
        "approval",
        None,
        "medium",
        IRREVERSIBLE,
    )
    assert (gate.how, gate.by, gate.seconds) == ("approved", ("ann",), 90)
    assert (gate.opened, gate.closed) == (NOW, NOW + timedelta(seconds=90))
    assert (gate.digest, gate.asked_again) == (digest("t1.c1"), False)


@pytest.mark.parametrize(
    ("kind", "fields", "how"),
    [
        ("deny", {"reason": "no"}, "denied"),
        ("end", {}, "ended"),
    ],
)
def test_every_way_to_close_an_approval_is_told_apart(kind: str, fields: dict[str, Any], how: str) -> None:
    [gate] = read(asked().wait(5).decides("t1.c1", kind, **fields).hides("t1.c1")).gates

    assert (gate.how, gate.seconds) == (how, 5)


def test_a_question_is_answered_and_a_failure_settled() -> None:
    past = Past(rules=rules()).replies(("ask_human", 1), ("save", 2))
    past.shows(card("t1.c1", "ask_human", kind="question"), card("t1.c2", "save", kind="failure"))
    past.wait(3).decides("t1.c1", "answer", text="this").decides("t1.c2", "skip").hides("t1.c1", "t1.c2")

    assert [(gate.kind, gate.how) for gate in read(past).gates] == [
        ("question", "answered"),
        ("failure", "settled"),
    ]


def test_a_gate_that_no_decision_closed_costs_no_seconds() -> None:
    [closed] = read(asked().wait(60).hides("t1.c1")).gates
    [left] = read(asked().wait(60)).gates

    assert (closed.how, closed.by, closed.seconds) == ("nobody", (), None)
    assert (left.how, left.closed, left.seconds) == ("open", None, None)


def test_an_edit_by_update_counts_though_the_memo_has_closed_the_gate_before_its_answer() -> None:
    new = {"amount": 3}
    past = asked().wait(10)
    past.activity(
        "t1.c1.edit",
        "agent.preview",
        {"tool": "pay", "arguments": '{"amount":3}', "edited": True},
        {"text": ""},
    )
    past.update(
        accepted=True,
        hides=["t1.c1"],
        gate="t1.c1",
        digest=digest("t1.c1"),
        kind="edit",
        by="bob",
        arguments=new,
    )
    past.makes("t1.c1", "pay", 3)
    found = read(past)

    assert [(gate.how, gate.by, gate.seconds) for gate in found.gates] == [("edited", ("bob",), 10)]
    [call] = found.calls
    assert (json.loads(call.proposed), json.loads(call.arguments)) == ({"amount": 5}, new)
    assert call.let_pass_by == ("bob",)


def test_a_gate_that_asks_again_after_what_was_approved_had_changed_says_so() -> None:
    stale = {
        "message": "the balance has changed",
        "application_failure_info": {"type": "Stale", "non_retryable": True},
    }
    past = asked().wait(10).decides("t1.c1", "approve").hides("t1.c1").makes("t1.c1", "pay", failure=stale)
    again = card(
        "t1.c1", digest=digest("t1.c1", 2), changed="the balance is 3 now", since=past.now.isoformat()
    )
    past.shows(again).wait(20).decides("t1.c1", "deny", times=2, reason="not any more").hides("t1.c1")
    found = read(past)

    assert [(gate.how, gate.asked_again, gate.seconds) for gate in found.gates] == [
        ("approved", False, 10),
        ("denied", True, 20),
    ]
    [call] = found.calls
    assert (call.dispatched, call.state) == (False, "denied")


def test_several_approvals_are_one_gate_with_all_who_gave_one() -> None:
    past = Past(rules=rules()).replies(("pay", 5)).shows(card("t1.c1", needed=2))
    past.wait(10).decides("t1.c1", "approve", by="ann").shows(card("t1.c1", needed=2, approved_by=["ann"]))
    past.wait(10).decides("t1.c1", "approve", by="bob").hides("t1.c1")

    [gate] = read(past).gates
    assert (gate.how, gate.by, gate.seconds) == ("approved", ("ann", "bob"), 20)


def test_approvals_that_come_at_once_are_counted_though_no_card_was_written_between_them() -> None:
    past = Past(rules=rules()).replies(("pay", 5)).shows(card("t1.c1", needed=2))
    past.decides("t1.c1", "approve", by="ann").decides("t1.c1", "approve", by="ann")
    [still] = read(past).gates
    past.decides("t1.c1", "approve", by="bob")
    [gate] = read(past.hides("t1.c1")).gates

    assert (still.how, still.by) == ("open", ())
    assert (gate.how, gate.by) == ("approved", ("ann", "bob"))


def test_a_gate_asks_again_only_where_something_has_changed_since_it_asked_before() -> None:
    first = asked().hides("t1.c1").shows(card("t1.c1", digest=digest("t1.c1", 2), kind="unknown outcome"))
    unseen = Past(rules=rules()).replies(("pay", 5)).shows(card("t1.c1", changed="no preview could be taken"))

    assert [gate.asked_again for gate in read(first).gates] == [False, False]
    assert [gate.asked_again for gate in read(unseen).gates] == [False]


def test_a_call_is_recorded_with_what_let_it_go_ahead() -> None:
    free = Past(dial=Dial.AUTONOMOUS, rules=rules()).replies(("pay", 5)).makes("t1.c1", "pay")
    passed = asked().decides("t1.c1", "approve").hides("t1.c1").makes("t1.c1", "pay")
    [alone], [seen] = read(free).calls, read(passed).calls

    assert (alone.gated, alone.let_pass_by, alone.granted, alone.override) == (False, (), None, None)
    assert (alone.effect, alone.dial, alone.dispatched) == (IRREVERSIBLE, Dial.AUTONOMOUS, True)
    assert (alone.key, alone.at, alone.state) == ("ag1-t1.c1-5", NOW, "done")
    assert (seen.gated, seen.let_pass_by) == (True, ("ann",))


@pytest.mark.parametrize(
    ("amount", "after", "granted"),
    [(7, 0, "ann"), (7, 3599, "ann"), (7, 3600, None), (100, 0, None)],
    ids=["it holds", "it still holds", "it has expired", "its condition does not hold"],
)
def test_a_call_under_an_approval_for_the_rest_of_the_run_names_who_gave_it(
    amount: float, after: float, granted: str | None
) -> None:
    past = Past(rules=rules()).replies(("pay", 5)).shows(card("t1.c1"))
    grant = {"calls": 1, "lasts": "1h", "when": {"field": "amount", "is": "<", "value": 100}}
    past.decides("t1.c1", "approve", grant=grant).hides("t1.c1").makes("t1.c1", "pay").wait(after)
    past.replies(("pay", amount)).makes("t2.c1", "pay", amount)

    assert [call.granted for call in read(past).calls] == [None, granted]


def test_an_approval_for_the_rest_of_the_run_is_used_up() -> None:
    past = asked().decides("t1.c1", "approve", grant={"calls": 1, "lasts": "1h"}).hides("t1.c1")
    past.makes("t1.c1", "pay").replies(("pay", 7)).makes("t2.c1", "pay", 7).replies(("pay", 8)).makes(
        "t3.c1", "pay", 8
    )

    assert [call.granted for call in read(past).calls] == [None, "ann", None]


def test_a_call_under_an_override_names_it_until_it_expires() -> None:
    override = {"name": "launch week", "by": "cto", "reason": "the launch", "until": "2026-01-01T12:30:00Z"}
    some = rules({"name": "go", "tools": ["launch"], "verdict": "allow", "override": override})
    past = Past(rules=some).replies(("launch", 1)).makes("t1.c1", "launch", 1)
    past.wait(3600).replies(("launch", 2)).makes("t2.c1", "launch", 2)
    calls = read(past).calls

    assert [(call.override, call.effect) for call in calls] == [("launch week", GRAVE), (None, GRAVE)]


def test_a_call_that_was_refused_for_its_form_is_none_of_the_rules_business() -> None:
    past = Past(rules=rules())
    reply = {"finish": "calls", "calls": [{"id": "p", "tool": "pay", "arguments": "{", "problem": "no JSON"}]}
    past.activity("t1.model", "agent.model", None, reply)

    assert read(past).calls == ()


def test_a_decision_on_a_gate_beyond_those_that_the_memo_shows_still_counts() -> None:
    past = Past(rules=rules()).replies(*(("pay", number) for number in range(21)))
    past.shows(*(card(f"t1.c{number}") for number in range(1, 21)))
    past.update(accepted=True, gate="t1.c21", digest=digest("t1.c21"), kind="approve", by="ann")
    past.makes("t1.c21", "pay", 20)

    assert read(past).calls[20].let_pass_by == ("ann",)


def test_what_happened_in_an_execution_that_is_gone_is_a_gap() -> None:
    found = records_of("r1", [History("e0", None), *asked().chain])

    assert len(found.gaps) == 1
    assert "e0" in found.gaps[0]
    assert len(found.gates) == 1


def test_what_a_reset_copied_from_one_branch_into_the_next_counts_once() -> None:
    old, new = read(asked()), read(asked().wait(5).decides("t1.c1", "deny", reason="no").hides("t1.c1"))
    found = merged([new, old], None)

    assert [gate.how for gate in found.gates] == ["denied"]
    assert len(found.calls) == 1


def test_what_is_older_than_asked_for_is_left_out() -> None:
    found = merged([read(asked())], NOW + timedelta(seconds=1))

    assert (found.gates, found.calls) == ((), ())


FOLDERS = sorted(folder for folder in HISTORIES.iterdir() if folder.is_dir())


def recorded(name: str, folder: Path = FOLDERS[0]) -> RunRecords:
    """A run that this version or an older one really made."""
    files = sorted(folder.glob(f"{name}.*.json"), key=lambda file: int(file.name.split(".")[1]))
    return records_of(name, [history(file) for file in files])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_recorded_run_tells_how_each_of_its_gates_closed_and_what_it_sent(folder: Path) -> None:
    names = {file.name.partition(".")[0] for file in folder.glob("*.json")}
    found = [recorded(name, folder) for name in sorted(names)]

    assert sum(len(run.gates) for run in found) >= 10
    assert [(run.run, gate.gate) for run in found for gate in run.gates if gate.how == "open"] == []
    assert [(run.run, run.gaps) for run in found if run.gaps] == []
    assert [
        (run.run, call.call) for run in found for call in run.calls if call.dispatched and not call.effect
    ] == []


def history(file: Path) -> History:
    return History(file.stem, list(json_format.Parse(file.read_text(), RawHistory()).events))


@pytest.mark.parametrize(
    ("name", "gates", "calls"),
    [
        ("plain-answer", [], []),
        (
            "approved-and-denied",
            [("t1.c1", "approved"), ("t1.c2", "denied")],
            [("put", "done"), ("put", "denied")],
        ),
        ("question", [("t1.c1", "answered")], [("ask", "done")]),
        ("unknown-outcome", [("t1.c1", "settled"), ("t1.c1", "settled")], [("pay", "done")]),
        ("failure-gate", [("t1.model", "settled")], []),
        ("ended-at-a-gate", [("t1.model", "ended")], []),
        (
            "continued-in-the-middle-of-a-turn",
            [("t2.c2", "answered"), ("t2.c3", "approved")],
            [("look", "done"), ("look", "done"), ("ask", "done"), ("put", "done")],
        ),
        ("refused-request", [], []),
    ],
)
def test_runs_from_before_there_were_rules_are_read_as_well(
    name: str, gates: list[tuple[str, str]], calls: list[tuple[str, str]]
) -> None:
    found = recorded(name)

    assert [(gate.gate, gate.how) for gate in found.gates] == gates
    assert [(call.tool, call.state) for call in found.calls] == calls
    assert all(gate.seconds is not None and gate.seconds > 0 for gate in found.gates)
