"""Approvals for the rest of a run: so many calls of one tool, for so long, under these conditions."""

from datetime import timedelta
from typing import Any

import pytest

from agents import bounds
from agents.approving import GRANTS
from agents.carry import pack, unpack
from agents.deciding import Receipt
from agents.events import (
    AskModel,
    Previewed,
    Replied,
)
from agents.preview import preview_of
from agents.status import status
from tests.rules import NOW, Run, call, nested, reply, rule, rule_set, ruled, text


def granting(calls: int = 2, lasts: str = "1h", tool: str = "save", **changes: Any) -> Run:
    """A run in whose first turn ann has approved a call, and so many more."""
    when = changes.pop("when", None)
    run = Run.asking(call(tool), **{"rules": ruled(tool), **changes})
    grant = {"calls": calls, "lasts": lasts, **({"when": when} if when else {})}
    run.clock += timedelta(minutes=10)
    assert run.decides("approve", "t1.c1", grant=grant).accepted
    run.dispatched()
    run.ends()
    return run


def next_turn_asks(run: Run, *calls: Any) -> list[str]:
    """The calls that go ahead at once of those for which the model asks next."""
    if not [action for action in run.carry_out() if isinstance(action, AskModel)]:
        raise AssertionError("no model call is due")
    run.told(Replied(reply(*calls)))
    return [d.call.id for d in run.dispatched()]


def test_an_approval_for_the_run_lets_so_many_further_calls_pass_and_no_more() -> None:
    run = granting(calls=2)

    assert next_turn_asks(run, *(call("save", f"{n}") for n in range(4))) == ["t2.c1", "t2.c2"]
    assert list(run.state.gates) == ["t2.c3", "t2.c4"]
    assert [grant.left for grant in status(run.state, "default", NOW).grants] == [0]


def test_a_call_that_it_lets_pass_names_who_gave_it_and_what_it_is_bound_to() -> None:
    run = granting()
    first = run.state.grants[0].ruling
    run.carry_out()
    run.told(Replied(reply(call("save", "more"))))
    (passed,) = run.dispatched()

    assert passed.call.approved_by == "ann"
    assert passed.input.approved.ruling == first != ""


def test_it_holds_for_calls_of_the_same_turn_only_once_they_ask_after_it() -> None:
    run = Run.asking(call("save", "a"), call("save", "b"), rules=ruled())
    run.decides("approve", "t1.c1", grant={"calls": 5, "lasts": "1h"})

    assert list(run.state.gates) == ["t1.c2"]


@pytest.mark.parametrize(("seconds", "passes"), [(3599, True), (3600, False)])
def test_it_ends_when_its_time_is_over(seconds: int, passes: bool) -> None:
    run = granting(lasts="1h")
    run.clock = run.state.grants[0].until + timedelta(seconds=seconds - 3600)
    run.clock -= timedelta(seconds=2)  # what the run is told until then takes so long

    assert bool(next_turn_asks(run, call("save", "y"))) is passes


def test_it_begins_when_it_is_given() -> None:
    run = granting(lasts="1h")

    assert run.state.grants[0].until - timedelta(hours=1) == run.state.decided[-1].at


@pytest.mark.parametrize(
    ("when", "passes"),
    [
        (text("=", "y"), True),
        (text("=", "z"), False),
        (text(">", 3), False),
    ],
)
def test_its_condition_must_hold_and_where_nobody_can_tell_it_does_not(
    when: dict[str, object], passes: bool
) -> None:
    run = granting(when=when)

    assert bool(next_turn_asks(run, call("save", "y"))) is passes
    assert run.state.grants[0].left == (1 if passes else 2)


def test_its_condition_names_arguments_that_the_tool_has() -> None:
    run = Run.asking(call("save"), rules=ruled())
    wrong = {"calls": 2, "lasts": "1h", "when": {"any": [{"field": "txet", "is": "=", "value": "y"}]}}

    assert (
        run.decides("approve", "t1.c1", grant=wrong).reason
        == "when: save has no argument 'txet'; it has text"
    )
    assert run.state.grants == ()


def test_it_ends_when_its_call_is_returned_unsent_or_its_giver_denies_such_a_call() -> None:
    run = granting()
    run.carry_out()
    assert run.state.without_grants(call="t1.c1").grants == ()
    assert run.state.without_grants(tool="save", by="bob").grants == run.state.grants
    assert run.state.without_grants(tool="save", by="ann").grants == ()


def test_it_is_for_one_tool() -> None:
    run = granting(rules=ruled("save", "pay"))

    assert next_turn_asks(run, call("pay", "y")) == []


def test_it_is_for_one_rule() -> None:
    other = rule("other", when=text("=", "y"), terms={})
    run = granting(rules=rule_set(other, rule("all", terms={})))

    assert next_turn_asks(run, call("save", "y"), call("save", "z")) == ["t2.c2"]


def test_it_is_for_the_terms_under_which_it_was_given() -> None:
    run = granting(rules=ruled())
    run.state = run.state.model_copy(update={"rules": ruled(approvers=["director"])})

    assert next_turn_asks(run, call("save", "y")) == []


def test_it_does_not_let_pass_what_the_rules_refuse() -> None:
    no = rule("no", when=text("=", "y"), verdict="refuse")
    run = granting(rules=rule_set(no, rule("all", terms={})))

    assert next_turn_asks(run, call("save", "y")) == []
    assert run.result("t2.c1")[0] == "denied"


def test_a_call_that_asks_nobody_uses_none_of_it() -> None:
    run = granting(rules=rule_set(rule("but y", when=text("!=", "y"), terms={}), rule("y", verdict="allow")))

    assert next_turn_asks(run, call("save", "y")) == ["t2.c1"]
    assert run.state.grants[0].left == 2


def test_under_it_a_call_with_a_preview_passes_without_one() -> None:
    run = Run.asking(call("publish"))
    run.carry_out()
    run.told(Previewed("t1.c1", preview_of("a")))
    run.decides("approve", "t1.c1", grant={"calls": 1, "lasts": "1h"})
    run.dispatched()
    run.ends()

    assert next_turn_asks(run, call("publish", "y")) == ["t2.c1"]


@pytest.mark.parametrize(
    ("tool", "changes", "why"),
    [
        ("launch", {}, "a critical call is approved one by one: approve this call alone"),
        ("save", {"needed": 2}, "t1.c1 needs 2 people: approve this call alone"),
    ],
)
def test_what_takes_more_than_one_look_is_never_approved_for_the_run(
    tool: str, changes: dict[str, object], why: str
) -> None:
    run = Run.asking(call(tool), rules=ruled(tool, **changes))
    before = run.state
    receipt = run.decides("approve", "t1.c1", grant={"calls": 1, "lasts": "1h"})

    assert receipt == Receipt(False, why)
    assert run.is_but_for_rejected(before)
    assert run.decides("approve", "t1.c1").accepted


@pytest.mark.parametrize(
    ("grant", "why"),
    [
        ({"calls": 0, "lasts": "1h"}, "grant.calls"),
        ({"calls": bounds.GRANT_CALLS + 1, "lasts": "1h"}, "grant.calls"),
        ({"calls": 1}, "grant.lasts"),
        ({"calls": 1, "lasts": "soon"}, "grant.lasts"),
        ({"calls": 1, "lasts": 0}, "grant.lasts"),
        ({"calls": 1, "lasts": 1e12}, "grant.lasts"),
        ({"calls": 1, "lasts": "1h", "when": {"field": "text"}}, "grant.when"),
        ({"calls": 1, "lasts": "1h", "when": text("=", "\ud800")}, "grant: "),
        ({"calls": 1, "lasts": "1h", "when": text("=", float("nan"))}, "grant: "),
    ],
)
def test_an_approval_for_the_run_that_nobody_could_hold_is_refused(grant: dict[str, Any], why: str) -> None:
    run = Run.asking(rules=ruled())
    before = run.state
    receipt = run.decides("approve", "t1.c1", grant=grant)

    assert not receipt.accepted
    assert receipt.reason.startswith(why)
    assert run.is_but_for_rejected(before)


def test_a_bounded_number_of_them_hold_at_once_and_those_used_up_or_over_do_not_count() -> None:
    calls = [call("save", f"{n}") for n in range(GRANTS + 3)]
    run = Run.asking(*calls, rules=ruled())
    names = list(run.state.gates)

    def grant(lasts: str = "2h") -> Receipt:
        return run.decides("approve", names.pop(0), grant={"calls": 1, "lasts": lasts})

    assert grant("1h").accepted
    assert all(grant().accepted for _ in range(GRANTS - 1))
    refused = f"{GRANTS} approvals for the rest of the run hold already: approve this call alone"
    assert grant() == Receipt(False, refused)
    run.clock += timedelta(minutes=90)
    assert grant().accepted
    assert len(run.state.grants) == GRANTS
    used = run.state.grants[0].model_copy(update={"left": 0})
    run.state = run.state.model_copy(update={"grants": (used, *run.state.grants[1:])})
    assert grant().accepted


def test_however_much_is_granted_and_said_a_status_stays_small() -> None:
    run = Run.asking(*(call("save", f"{n}") for n in range(GRANTS)), rules=ruled())
    for name in list(run.state.gates):
        grant = {"calls": 100, "lasts": "1d", "when": text("in", ["\U0001f600" * 2000, "\u2028" * 5000])}
        assert run.decides("approve", name, by="\x01" * 200, grant=grant).accepted
    for number in range(20):
        assert run.says("say", {"by": "\x01" * 200, "text": "\x01" * 10_000}).accepted, number
    shown = status(run.state, "default", NOW)

    assert (len(shown.grants), len(shown.said)) == (GRANTS, 20)
    assert len(shown.model_dump_json().encode()) < 256 * bounds.KIB


def test_where_one_is_used_up_the_next_that_fits_is_used() -> None:
    run = Run.asking(call("save", "a"), call("save", "b"), rules=ruled())
    for name in ("t1.c1", "t1.c2"):
        run.decides("approve", name, grant={"calls": 1, "lasts": "1h"})
    run.dispatched()
    run.ends("t1.c1")
    run.ends("t1.c2")

    assert next_turn_asks(run, *(call("save", f"{n}") for n in range(3))) == ["t2.c1", "t2.c2"]


@pytest.mark.parametrize("depth", [200, 254, 300, 900])
def test_a_condition_nested_too_deeply_to_be_carried_is_refused_at_the_door(depth: int) -> None:
    run = Run.asking(rules=ruled())
    before = run.state
    grant = {"calls": 1, "lasts": "1h", "when": text("=", nested(depth))}

    assert run.decides("approve", "t1.c1", grant=grant).reason.startswith("grant")
    assert run.is_but_for_rejected(before)


def test_what_is_accepted_can_be_carried_to_the_next_execution() -> None:
    accepted = []
    for depth in (150, *range(180, 200)):
        run = Run.asking(rules=ruled())
        grant = {"calls": 1, "lasts": "1h", "when": text("=", nested(depth))}
        accepted.append(run.decides("approve", "t1.c1", grant=grant).accepted)
        assert unpack(pack(run.state)) == run.state

    assert accepted == sorted(accepted, reverse=True)
    assert set(accepted) == {True, False}
