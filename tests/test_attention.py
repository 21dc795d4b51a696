"""Attention in numbers: what runs ask of people, from their histories."""

from datetime import UTC, datetime, timedelta

import pytest

from console.attention.command import attention_parts
from console.attention.figures import attention_of, quantile
from console.exits import Exit, Trouble
from console.records.derive import records_of
from console.records.past import Which, ago, query_of
from console.records.records import RunRecords
from tests.past import NOW, Past, card, rules


def paid(
    run: str, seconds: float, kind: str = "approve", *, rule: str | None = None, tool: str = "pay"
) -> RunRecords:
    """A run with one gate that somebody decided after so long."""
    past = Past(run, rules=rules()).replies((tool, 5)).shows(card("t1.c1", tool, rule=rule)).wait(seconds)
    fields = {"reason": "no"} if kind == "deny" else {}
    return records_of(run, past.decides("t1.c1", kind, **fields).hides("t1.c1").chain)


def test_gates_are_counted_by_run_and_decisions_timed() -> None:
    runs = [paid(f"r{number}", seconds) for number, seconds in enumerate((10, 20, 30, 40))]
    quiet = records_of("quiet", Past("quiet").replies().ends().chain)
    found = attention_of([*runs, quiet])

    assert (found.runs, found.gates_per_run) == (5, 0.8)
    assert (found.all.gates, found.all.decided, found.all.seconds) == (4, 4, 100)
    assert (found.all.median_seconds, found.all.p90_seconds) == (20, 40)


def test_the_share_approved_unchanged_is_of_the_approvals_that_a_person_decided() -> None:
    left = Past("left", rules=rules()).replies(("pay", 1)).shows(card("t1.c1"))
    late = Past("late", rules=rules()).replies(("pay", 1)).shows(card("t1.c1")).wait(5).hides("t1.c1")
    asked = (
        Past("asked", rules=rules())
        .replies(("ask_human", 1))
        .shows(card("t1.c1", "ask_human", kind="question"))
    )
    asked.wait(1).decides("t1.c1", "answer", text="yes").hides("t1.c1")
    others = [records_of(past.chain[0].execution, past.chain) for past in (left, late, asked)]
    found = attention_of([paid("a", 1), paid("b", 1), paid("c", 1), paid("d", 1, "deny"), *others]).all

    assert (found.unchanged, found.share_unchanged) == (3, 0.75)
    assert (found.gates, found.decided, found.open) == (7, 5, 1)


def test_figures_are_told_by_tool_and_by_rule_the_longest_wait_first() -> None:
    runs = [paid("a", 5), paid("b", 50, rule="large sums"), paid("c", 500, "deny", tool="launch")]
    found = attention_of(runs)

    assert [(group.name, group.figures.gates) for group in found.by_tool] == [("launch", 1), ("pay", 2)]
    assert [(group.name, group.figures.seconds) for group in found.by_rule] == [
        ("no rule: the dial", 505),
        ("large sums", 50),
    ]


def test_of_no_runs_there_are_no_figures() -> None:
    found = attention_of([])

    assert (found.runs, found.gates_per_run, found.all.median_seconds, found.all.share_unchanged) == (
        0,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [
        ([], 0.5, None),
        ([7], 0.9, 7),
        ([1, 2, 3, 4], 0.5, 2),
        ([3, 1, 2], 0.5, 2),
        (list(range(1, 11)), 0.9, 9),
    ],
)
def test_a_quantile_is_a_value_that_was_there(values: list[float], share: float, found: float | None) -> None:
    assert quantile(values, share) == found


def test_the_screen_names_every_figure() -> None:
    found = attention_of([paid("a", 30), paid("b", 60, "deny")])
    screen = "\n".join(str(line) for line in attention_parts(found, Which(agent="tester"), 120))

    assert "2 gates in 2 runs of agent tester, 1.00 a run" in screen
    assert [line.split() for line in screen.splitlines() if line.startswith("pay")] == [
        ["pay", "2", "2", "30", "s", "60", "s", "90", "s", "50%"]
    ]


def test_how_far_back_is_a_duration() -> None:
    assert ago("7d", NOW) == NOW - timedelta(days=7)
    assert ago("90m", NOW) == NOW - timedelta(minutes=90)


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-1d", "0d", "9" * 400 + "d", "99999999d"])
def test_what_is_no_duration_is_a_mistake_in_the_command(text: str) -> None:
    with pytest.raises(Trouble) as caught:
        ago(text, NOW)

    assert caught.value.code is Exit.USAGE
    assert "--since" in str(caught.value)


def test_visibility_is_asked_for_runs_that_are_open_or_ended_since() -> None:
    query = query_of(Which(since=datetime(2026, 1, 1, tzinfo=UTC), agent="a'b", tenant="acme"))

    assert "CloseTime >= '2026-01-01T00:00:00Z'" in query
    assert "AgentName = 'a\\'b'" in query
    assert "WorkflowId STARTS_WITH 'acme/'" in query
    assert "ExecutionStatus != 'ContinuedAsNew'" in query
