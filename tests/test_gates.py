"""Gates and decisions: exactly what a person said yes to, once, and nothing else."""

import json

import pytest

from agents.deciding import receive
from agents.effect import Dial
from agents.events import CallEnded, Moment, Replied
from agents.message import RawMessage
from agents.shown import cards
from agents.status import phase, status
from agents.tool_call import ToolOutput
from tests.rules import NOW, Run, call, reply, rule, rule_set


def waiting(*calls_: object, dial: Dial = Dial.PROPOSE) -> Run:
    run = Run.started(dial=dial)
    run.carry_out()
    run.told(Replied(reply(*(calls_ or (call("save"),)))))
    return run


@pytest.mark.parametrize(
    ("tool", "dial", "asks"),
    [
        ("look", Dial.PROPOSE, False),
        ("save", Dial.PROPOSE, True),
        ("save", Dial.SUPERVISED, False),
        ("pay", Dial.SUPERVISED, True),
        ("pay", Dial.AUTONOMOUS, False),
        ("launch", Dial.AUTONOMOUS, True),
    ],
)
def test_effect_and_dial_decide_who_is_asked(tool: str, dial: Dial, asks: bool) -> None:
    run = waiting(call(tool), dial=dial)

    assert bool(run.state.gates) is asks
    assert bool(run.dispatched()) is not asks


def test_an_approved_call_is_dispatched_and_nothing_before() -> None:
    run = waiting()
    assert (phase(run.state), run.dispatched()) == ("waiting", [])

    assert run.decides("approve", "t1.c1").accepted
    assert [d.call.approved_by for d in run.dispatched()] == ["ann"]


def test_a_denied_call_is_never_dispatched_and_the_model_gets_the_reason() -> None:
    run = waiting()
    run.decides("deny", "t1.c1", reason="wrong file")

    assert run.dispatched() == []
    assert run.result("t1.c1") == ("denied", "Denied by ann: wrong file")


def test_calls_that_need_no_gate_go_on_while_others_wait() -> None:
    run = waiting(call("save", "a"), call("look", "b"), call("save", "c"))

    assert [d.call.id for d in run.dispatched()] == ["t1.c2"]
    assert list(run.state.gates) == ["t1.c1", "t1.c3"]


def test_of_a_field_that_is_there_twice_neither_counts() -> None:
    run = waiting()
    digest = run.state.gates["t1.c1"].digest
    head = f'{{"gate":"t1.c1","digest":"{digest}","by":"ann","reason":"no","kind":'

    assert not run.says("decide", f'{head}"deny","kind":"approve"}}'.encode()).accepted
    assert (list(run.state.gates), run.dispatched()) == (["t1.c1"], [])
    assert run.says("decide", f'{head}"deny"}}'.encode()).accepted


def test_several_gates_are_answered_in_any_order() -> None:
    run = waiting(call("save", "a"), call("save", "b"))
    run.decides("approve", "t1.c2")
    run.decides("deny", "t1.c1", reason="no")

    assert [d.call.id for d in run.dispatched()] == ["t1.c2"]


def test_a_question_is_answered_by_a_person_and_no_activity_runs() -> None:
    run = waiting(call("ask_human", "which?"))
    digest = run.state.gates["t1.c1"].digest[:16]

    assert run.says("answer", {"call": "t1.c1", "digest": digest, "by": "bo", "text": "both"}).accepted
    assert run.result("t1.c1") == ("done", "both")
    assert run.dispatched() == []


def test_rules_may_keep_an_agent_from_asking_people() -> None:
    quiet = rule_set(rule("nobody is asked", "ask_human", verdict="refuse"))
    run = Run.asking(call("ask_human", "which?"), rules=quiet)

    assert run.result("t1.c1") == ("denied", "Refused: rule 'nobody is asked': every call")
    assert run.state.gates == {}


def test_the_digest_covers_the_arguments() -> None:
    assert (
        waiting(call("save", "a")).state.gates["t1.c1"].digest
        != waiting(call("save", "b")).state.gates["t1.c1"].digest
    )


def test_a_gate_opened_again_has_another_digest_so_an_old_answer_does_not_fit() -> None:
    old = waiting().state.gates["t1.c1"].digest
    run = Run.started(dial=Dial.PROPOSE)
    run.moments = 7
    run.carry_out()
    run.told(Replied(reply(call("save"))))

    receipt = run.says("approve", {"gate": "t1.c1", "digest": old, "by": "ann"})

    assert not receipt.accepted
    assert "digest" in receipt.reason


def approve(run: Run, **changes: object) -> dict[str, object]:
    digest = run.state.gates["t1.c1"].digest if run.state.gates else "0" * 64
    return {"gate": "t1.c1", "digest": digest, "by": "ann", **changes}


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("approve", {"digest": "0" * 64}, "the digest is not that of what t1.c1 asks now"),
        ("approve", {"digest": "abc"}, "digest: give 16 to 64 hex digits"),
        ("approve", {"gate": "t9.c9"}, "no gate 't9.c9' is open; open gates: t1.c1"),
        ("approve", {"by": ""}, "by: String should have at least 1 character"),
        ("approve", {"by": None}, "by: Input should be a valid string"),
        ("approve", {"extra": 1}, "extra: Extra inputs are not permitted"),
        ("deny", {}, "reason: needed for deny"),
        ("answer", {"text": "hm"}, "t1.c1 is a gate of kind approval: it takes approve, deny, edit"),
        ("decide", {"kind": "happened", "result": "x"}, "t1.c1 is a gate of kind approval"),
        ("decide", {"kind": "bless"}, "kind: Input should be"),
        ("decide", {}, "kind: Field required"),
        ("aprove", {}, "unknown message 'aprove'; known: approve, deny, answer, decide, say, pause"),
    ],
)
def test_a_wrong_answer_changes_nothing_and_shows_under_rejected(
    name: str, changes: dict[str, object], reason: str
) -> None:
    run = waiting()
    before = run.state
    receipt = run.says(name, approve(run, **changes))

    assert not receipt.accepted
    assert receipt.reason.startswith(reason)
    assert run.state.rejected[-1].reason == receipt.reason
    assert run.state.model_copy(update={"rejected": (), "rejected_total": 0}) == before


@pytest.mark.parametrize(
    ("payloads", "reason"),
    [
        ([], "0 payloads"),
        ([("json/plain", b"{}")] * 2, "2 payloads"),
        ([("json/plain", b"{")], "not JSON"),
        ([("json/plain", b"[" * 60000)], "not JSON"),
        ([("json/plain", b"null")], "not a JSON object"),
        ([("json/plain", b'"approve"')], "not a JSON object"),
        ([("binary/null", b"")], "encoding 'binary/null'"),
        ([("my/own", b"{}")], "encoding 'my/own'"),
        ([("json/plain", b"x" * 3_000_000)], "3000000 bytes"),
        ([("json/plain", b"\xff\xfe")], "not JSON"),
        ([("json/plain", b'{"by":"ann","by":"bob"}')], "not JSON: a field is there twice"),
        (
            [("json/plain", b'{"by":"ann","arguments":{"to":"a","to":"b"}}')],
            "not JSON: a field is there twice",
        ),
    ],
)
def test_a_malformed_message_never_vanishes(payloads: list[tuple[str, bytes]], reason: str) -> None:
    run = waiting()
    state, receipt = receive(run.state, RawMessage("approve", payloads), Moment(NOW, "n"))

    assert not receipt.accepted
    assert state.rejected[-1].reason.startswith(reason)
    assert state.gates == run.state.gates


def test_the_first_valid_decision_wins_and_a_repeat_is_told_who_decided() -> None:
    run = waiting()
    message = approve(run)
    run.says("approve", message)
    again = run.says("approve", message)
    contrary = run.says("deny", {**message, "reason": "no"})

    assert again.accepted
    assert again.reason.startswith("already decided by ann at 2026-01-01T")
    assert not contrary.accepted
    assert contrary.reason == again.reason
    assert [refused.message for refused in run.state.rejected] == ["deny"]
    assert len(run.dispatched()) == 1


def test_a_digest_of_sixteen_hex_digits_is_enough() -> None:
    run = waiting()

    assert run.says("approve", approve(run, digest=run.state.gates["t1.c1"].digest[:16])).accepted


def test_the_list_of_refused_messages_is_bounded_and_counts_on() -> None:
    run = waiting()
    for _ in range(60):
        run.says("nonsense", {})

    shown = status(run.state, "default", NOW)
    assert (len(shown.rejected), shown.rejected_total) == (50, 60)


def test_the_card_prints_lines_that_answer_the_gate() -> None:
    run = waiting()
    card = cards(run.state, "default")[0]
    start = card.command.index("--input '") + len("--input '")
    body = card.command[start:-1].replace("""'"$(whoami)"'""", "ann")

    assert card.command.startswith("temporal workflow signal --workflow-id r1 --name approve --input ")
    assert run.says("approve", json.loads(body)).accepted
    assert len(card.others) == len(card.accepts) - 1


def test_a_finished_call_frees_no_gate_of_another() -> None:
    run = waiting(call("save", "a"), call("look", "b"))
    run.dispatched()
    run.told(CallEnded("t1.c2", ToolOutput(content="ok")))

    assert list(run.state.gates) == ["t1.c1"]
    assert phase(run.state) == "waiting"
