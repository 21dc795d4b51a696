"""What comes due at a gate while nobody decides, and what a decision then still counts for."""

from datetime import datetime, timedelta

import pytest

from agents.effect import Dial
from agents.events import CallFailed, GateDue, ModelFailed, Previewed, Replied, Tell, Told
from agents.failure import Failure, FailureType
from agents.gate import Gate
from agents.ledger import CallState
from agents.loop import decide
from agents.preview import preview_of
from agents.rules import RuleSet
from agents.shown import card_of
from agents.status import phase
from agents.waiting import Due, due
from tests.rules import PEOPLE, Run, call, reply, ruled

HOUR = timedelta(hours=1)
GATES = ["approval", "question", "failure", "unknown outcome", "model call"]
LATER = "2026-01-01 01:00 UTC"


def waiting_at(kind: str, **terms: object) -> Run:
    """A run at a gate of this kind, whose terms hold for it."""
    rules = RuleSet.model_validate({"people": PEOPLE, "default": terms})
    run = Run.started(dial=Dial.PROPOSE if kind == "approval" else Dial.AUTONOMOUS, rules=rules)
    run.carry_out()
    trouble = {"failure": FailureType.EXHAUSTED, "unknown outcome": FailureType.OUTCOME_UNKNOWN}
    match kind:
        case "model call":
            run.told(ModelFailed(Failure(type=FailureType.EXHAUSTED, message="trouble")))
        case "approval":
            run.told(asks("save"))
        case "question":
            run.told(asks("ask_human"))
        case _:
            run.told(asks("pay"))
            run.dispatched()
            run.told(CallFailed("t1.c1", Failure(type=trouble[kind], message="trouble")))
    return run


def asks(tool: str) -> Replied:
    return Replied(reply(call(tool)))


def gate_of(run: Run) -> Gate:
    (gate,) = run.state.gates.values()
    return gate


def next_due(run: Run) -> Due | None:
    return due(run.state, gate_of(run))


def passes(run: Run, until: datetime) -> None:
    """It becomes `until`, and the gate's timer fires."""
    name = gate_of(run).id
    run.clock = until - timedelta(seconds=1)  # being told takes one
    run.told(GateDue(name))


def passes_deadline(run: Run) -> None:
    deadline = gate_of(run).deadline
    assert deadline
    passes(run, deadline)


# --- the table ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GATES)
def test_without_a_deadline_it_waits_as_long_as_it_takes(kind: str) -> None:
    run = waiting_at(kind)
    before = run.state

    assert next_due(run) is None
    run.waits(gate_of(run).id, days=3650)
    assert run.state == before


@pytest.mark.parametrize("kind", GATES)
def test_nothing_comes_due_before_the_deadline(kind: str) -> None:
    run = waiting_at(kind, deadline="1h", nobody="end")
    gate = gate_of(run)
    assert gate.deadline == gate.since + HOUR
    passes(run, gate.deadline - timedelta(microseconds=1))
    assert run.state.gates == {gate.id: gate}

    passes(run, gate.deadline)
    assert phase(run.state) == "failed"


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        ("approval", ("denied", "Denied: nobody had decided by 2026-01-01 01:00 UTC")),
        ("question", ("denied", "Denied: nobody had decided by 2026-01-01 01:00 UTC")),
        ("failure", ("failed", "Not done, and nobody had decided by 2026-01-01 01:00 UTC: trouble")),
    ],
)
def test_deny_tells_the_model_what_was_not_done_and_why(kind: str, result: tuple[str, str]) -> None:
    run = waiting_at(kind, deadline="1h", nobody="deny")
    passes_deadline(run)

    assert run.result("t1.c1") == result
    assert (run.state.gates, run.state.turn) == ({}, 2)
    assert (run.state.decided[-1].by, run.state.decided[-1].kind) == ("the deadline", "deny")


@pytest.mark.parametrize("kind", ["unknown outcome", "model call"])
def test_deny_lets_wait_on_what_nobody_else_can_know(kind: str) -> None:
    run = waiting_at(kind, deadline="1h", nobody="deny")
    gate = gate_of(run)
    passes_deadline(run)

    assert gate_of(run) == gate.model_copy(update={"deadline": None})
    assert next_due(run) is None
    assert (phase(run.state), run.state.decided) == ("parked", ())


@pytest.mark.parametrize("kind", GATES)
def test_ask_again_asks_for_a_new_digest_with_the_deadline_once_more(kind: str) -> None:
    run = waiting_at(kind, deadline="1h", nobody="ask_again")
    old = gate_of(run)
    passes_deadline(run)
    new = gate_of(run)

    assert new.digest != old.digest
    assert (new.id, new.kind, new.accepts, new.reason) == (old.id, old.kind, old.accepts, old.reason)
    assert new.since == old.deadline
    assert new.deadline == new.since + HOUR
    assert new.changed == ("" if kind == "model call" else f"nobody had decided by {LATER}")


@pytest.mark.parametrize("kind", GATES)
def test_escalate_goes_up_the_ladder_with_the_deadline_once_more_and_waits_after_the_last(kind: str) -> None:
    ladder = [{"after": "20h", "to": ["director"]}, {"after": "20h", "to": ["eve"]}]
    run = waiting_at(kind, approvers=["manager"], deadline="1h", nobody="escalate", escalate=ladder)
    old = gate_of(run)
    asked = []
    while gate_of(run).deadline:
        passes_deadline(run)
        asked.append((gate_of(run).asks, gate_of(run).deadline))

    assert asked == [
        (("manager", "director"), old.since + 2 * HOUR),
        (("manager", "director", "eve"), old.since + 3 * HOUR),
        (("manager", "director", "eve"), None),
    ]
    assert gate_of(run).digest == old.digest
    assert next_due(run) is None


@pytest.mark.parametrize("kind", GATES)
def test_end_ends_the_run_and_says_at_which_gate(kind: str) -> None:
    run = waiting_at(kind, deadline="1h", nobody="end")
    gate = gate_of(run).id
    passes_deadline(run)

    assert phase(run.state) == "failed"
    assert run.state.outcome.error == f"nobody decided at gate {gate} until {LATER}"
    assert decide(run.state, "execution-1") == []


@pytest.mark.parametrize(("terms", "nobody"), [({}, None), ({"deadline": "1h", "nobody": "end"}, "end")])
def test_the_card_says_what_happens_when_nobody_answers(terms: dict[str, object], nobody: str | None) -> None:
    run = waiting_at("approval", **terms)

    assert card_of(run.state, gate_of(run), "default").nobody == nobody


def test_a_call_that_was_denied_by_the_deadline_is_never_made() -> None:
    run = waiting_at("approval", deadline="1h", nobody="deny")
    passes_deadline(run)

    assert run.dispatched() == []
    assert run.state.counts == {CallState.DENIED: 1}


def test_a_gate_whose_timer_fires_after_it_was_answered_comes_due_no_more() -> None:
    run = waiting_at("approval", deadline="1h", nobody="end")
    run.decides("approve", "t1.c1")
    before = run.state
    run.waits(days=1)

    assert run.state == before


# --- the ladder ---------------------------------------------------------------------------------------------------

LADDER = [{"after": "1h", "to": ["director"]}, {"after": "2h", "to": ["eve"]}]


def test_each_step_of_the_ladder_is_taken_so_long_after_the_one_before() -> None:
    run = waiting_at("approval", approvers=["manager"], escalate=LADDER)
    since = gate_of(run).since
    taken = []
    while coming := next_due(run):
        assert coming.what == "escalation"
        passes(run, coming.at)
        taken.append((coming.at - since, gate_of(run).asks[-1]))

    assert taken == [(HOUR, "director"), (3 * HOUR, "eve")]


def test_a_step_is_not_taken_before_its_time() -> None:
    run = waiting_at("approval", approvers=["manager"], escalate=LADDER)
    before = gate_of(run)
    passes(run, before.since + HOUR - timedelta(microseconds=1))

    assert gate_of(run) == before


def test_going_up_the_ladder_keeps_digest_votes_and_deadline() -> None:
    run = waiting_at("approval", approvers=["manager"], needed=2, deadline="4h", escalate=LADDER)
    run.decides("approve", "t1.c1", by="ann")
    before = gate_of(run)
    passes(run, before.since + HOUR)

    assert gate_of(run) == before.model_copy(update={"rung": 1})
    assert run.decides("approve", "t1.c1", by="dot").accepted
    assert run.dispatched()


def test_deadline_and_ladder_come_due_in_the_order_of_their_times() -> None:
    run = waiting_at("approval", approvers=["manager"], deadline="2h", nobody="deny", escalate=LADDER)
    first = next_due(run)
    assert first
    assert first.what == "escalation"
    passes(run, first.at)
    second = next_due(run)
    assert second
    assert second.what == "deadline"
    passes(run, second.at)

    assert run.result("t1.c1")[0] == "denied"


def test_a_step_that_the_deadline_took_is_not_taken_by_its_own_time_again() -> None:
    ladder = [{"after": "2h", "to": ["director"]}, {"after": "2h", "to": ["eve"]}]
    run = waiting_at("approval", approvers=["manager"], deadline="90m", nobody="escalate", escalate=ladder)
    since = gate_of(run).since
    passes(run, since + 1.5 * HOUR)  # the deadline: the first step
    passes(run, since + 2 * HOUR)  # when the first step would have been due by itself

    assert gate_of(run).rung == 1
    assert next_due(run) == Due(
        since + 3 * HOUR, "deadline", "t1.c1: deadline for manager, director, then escalate"
    )


def test_a_gate_that_asks_again_begins_its_ladder_anew() -> None:
    run = waiting_at("approval", approvers=["manager"], deadline="2h", nobody="ask_again", escalate=LADDER)
    since = gate_of(run).since
    passes(run, since + HOUR)
    passes(run, since + 2 * HOUR)

    assert gate_of(run).asks == ("manager",)
    assert next_due(run).at == since + 3 * HOUR


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"deadline": "1h"}, "t1.c1: deadline for manager, then deny"),
        ({"escalate": LADDER}, "t1.c1: then director may decide too"),
    ],
)
def test_a_timer_says_in_its_summary_what_comes_then(terms: dict[str, object], why: str) -> None:
    coming = next_due(waiting_at("approval", approvers=["manager"], **terms))

    assert coming
    assert coming.why == why


# --- after a long outage ------------------------------------------------------------------------------------------


def test_after_a_long_outage_all_steps_that_have_come_due_are_taken_at_once() -> None:
    run = waiting_at("approval", approvers=["manager"], escalate=LADDER)
    passes(run, gate_of(run).since + 100 * HOUR)

    assert gate_of(run).asks == ("manager", "director", "eve")


def test_after_a_long_outage_a_deadline_is_taken_after_the_steps_before_it() -> None:
    run = waiting_at("approval", approvers=["manager"], deadline="2h", nobody="escalate", escalate=LADDER)
    since = gate_of(run).since
    passes(run, since + 2.5 * HOUR)

    assert gate_of(run).rung == 2
    assert gate_of(run).deadline == since + 4.5 * HOUR


def test_after_a_long_outage_who_is_asked_again_has_the_whole_time_once_more() -> None:
    run = waiting_at("approval", deadline="1h", nobody="ask_again")
    since = gate_of(run).since
    passes(run, since + 100 * HOUR)

    assert (gate_of(run).since, gate_of(run).deadline) == (since + 100 * HOUR, since + 101 * HOUR)


# --- reminders ----------------------------------------------------------------------------------------------------


def reminding(notifies: bool = True, **terms: object) -> Run:
    rules = ruled(remind="1h", **terms)
    return Run.asking(rules=rules, notifies=notifies)


def tells(run: Run) -> list[int]:
    """Numbers of the messages that the webhook gets now."""
    actions = [action for action in run.carry_out() if isinstance(action, Tell)]
    for action in actions:
        run.told(Told(action.gate, action.digest))
    return [action.number for action in actions]


def test_people_are_reminded_only_where_a_webhook_is_configured() -> None:
    assert next_due(reminding(notifies=False)) is None

    coming = next_due(reminding())
    assert coming
    assert (coming.what, coming.why) == ("reminder", "t1.c1: reminds anyone")


def test_a_rule_may_remind_nobody() -> None:
    run = Run.asking(rules=ruled(remind=None), notifies=True)

    assert next_due(run) is None
    assert tells(run) == [1]


def test_people_are_reminded_again_and_again_in_steps_from_the_opening() -> None:
    run = reminding()
    since = gate_of(run).since
    assert tells(run) == [1]
    for hours in (1, 2, 3):
        coming = next_due(run)
        assert coming
        assert coming.at == since + hours * HOUR
        passes(run, coming.at)
        assert tells(run) == [hours + 1]

    assert (gate_of(run).reminded, gate_of(run).news) == (3, "reminds")


def test_one_reminder_stands_for_all_that_were_missed() -> None:
    run = reminding()
    since = gate_of(run).since
    tells(run)
    passes(run, since + 5.5 * HOUR)

    assert (gate_of(run).reminded, tells(run), tells(run)) == (5, [2], [])
    assert next_due(run).at == since + 6 * HOUR


def test_a_reminder_changes_nothing_of_what_is_asked() -> None:
    run = reminding(deadline="5h")
    before = gate_of(run)
    passes(run, before.since + HOUR)

    changed = {"reminded": 1, "notices": 2, "news": "reminds"}
    assert gate_of(run) == before.model_copy(update=changed)
    assert card_of(run.state, gate_of(run), "default").reminded == 1


def test_the_webhook_is_told_of_each_step_of_the_ladder_but_not_where_there_is_none() -> None:
    for notifies in (True, False):
        rules = ruled(remind=None, approvers=["manager"], escalate=LADDER)
        run = Run.asking(rules=rules, notifies=notifies)
        tells(run)
        passes(run, gate_of(run).since + HOUR)
        assert tells(run) == ([2] if notifies else [])
        assert gate_of(run).news == ("escalates" if notifies else "asks")


def test_a_gate_that_asks_again_is_news_again() -> None:
    run = Run.asking(rules=ruled(deadline="1h", nobody="ask_again", remind=None), notifies=True)
    assert tells(run) == [1]
    passes_deadline(run)

    assert (tells(run), gate_of(run).news) == ([1], "asks")


def test_whether_the_webhook_took_its_message_shows_on_the_card_of_that_gate() -> None:
    run = reminding()
    tells(run)
    down = Failure(type=FailureType.EXHAUSTED, message="the webhook answers 500")
    run.told(Told("t1.c1", "another digest", down))
    assert gate_of(run).undelivered == ""

    run.told(Told("t1.c1", gate_of(run).digest, down))
    assert card_of(run.state, gate_of(run), "default").undelivered == "the webhook answers 500"
    run.told(Told("t1.c1", gate_of(run).digest))
    assert gate_of(run).undelivered == ""


def test_a_message_cut_off_by_continue_as_new_is_sent_again_under_its_number() -> None:
    run = reminding()
    assert tells(run) == [1]
    run.told(Told("t1.c1", gate_of(run).digest, Failure(type=FailureType.CANCELLED, message="cancelled")))

    assert tells(run) == [1]


# --- who answers late ---------------------------------------------------------------------------------------------


def test_an_old_answer_does_not_fit_what_is_asked_again() -> None:
    run = waiting_at("approval", deadline="1h", nobody="ask_again")
    old = gate_of(run).digest
    passes_deadline(run)
    receipt = run.says("approve", {"gate": "t1.c1", "digest": old, "by": "ann"})

    assert not receipt.accepted
    assert receipt.reason.startswith("the digest is not that of what t1.c1 asks now")
    assert run.decides("approve", "t1.c1").accepted


def test_votes_for_the_old_question_do_not_count_for_the_new_one() -> None:
    run = waiting_at("approval", approvers=["manager"], needed=2, deadline="1h", nobody="ask_again")
    run.decides("approve", "t1.c1", by="ann")
    passes_deadline(run)
    run.decides("approve", "t1.c1", by="bob")

    assert run.dispatched() == []


def test_an_answer_after_the_deadline_counts_while_the_run_has_not_taken_it() -> None:
    run = waiting_at("approval", deadline="1h", nobody="deny")
    run.clock += 2 * HOUR

    assert run.decides("approve", "t1.c1").accepted
    run.told(GateDue("t1.c1"))
    assert [d.call.approved_by for d in run.dispatched()] == ["ann"]


def test_an_answer_after_the_run_has_taken_the_deadline_is_told_so() -> None:
    run = waiting_at("approval", deadline="1h", nobody="deny")
    digest = gate_of(run).digest
    passes_deadline(run)
    receipt = run.says("approve", {"gate": "t1.c1", "digest": digest, "by": "ann"})

    assert not receipt.accepted
    assert receipt.reason == "already decided by the deadline at 2026-01-01T01:00:04Z: deny"


def test_nobody_else_can_be_the_deadline_but_the_deadline() -> None:
    run = waiting_at("approval", deadline="1h", nobody="deny")
    digest = gate_of(run).digest
    passes_deadline(run)
    late = {"gate": "t1.c1", "digest": digest, "by": "the deadline", "reason": "late"}

    assert not run.says("deny", late).accepted


def test_a_pause_stops_no_deadline() -> None:
    run = waiting_at("approval", deadline="1h", nobody="deny")
    run.says("pause", {"by": "ann"})
    passes_deadline(run)

    assert run.result("t1.c1")[0] == "denied"


def test_what_was_previewed_is_shown_again_when_asked_again() -> None:
    run = Run.asking(call("publish"), rules=ruled("publish", deadline="1h", nobody="ask_again"))
    run.carry_out()
    run.told(Previewed("t1.c1", preview_of("it would say x")))
    old = gate_of(run)
    passes_deadline(run)

    assert gate_of(run).preview == "it would say x"
    run.decides("approve", "t1.c1")
    assert [d.input.approved.preview for d in run.dispatched()] == [old.preview_digest]
