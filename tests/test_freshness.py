"""An approved call on a real server: right before it is sent, what it would do and what the rules say is looked at again."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.testing import WorkflowEnvironment

import activities.preview
from activities.freshness import WORLD_CHANGED
from activities.tools import NotSent, Retry, ToolFailed, ToolRejected, tool
from agents.agent import Agent
from agents.effect import Dial, Effect
from agents.preview import Approved, preview_of
from agents.rulebook import Rulebook
from agents.rules import Condition, Person, Rule, RuleSet, Terms
from agents.ruling import rule_on
from agents.tool_call import Beat
from tests.tool_fixtures import (
    HEARTBEAT,
    READ,
    SEND,
    WRITE,
    Bench,
    Outcome,
    bench,
    left_behind,
    reset_to,
    until,
)

EFFECTS = pytest.mark.parametrize("effect", [READ, WRITE, SEND], ids=str)
WRITES = pytest.mark.parametrize("effect", [WRITE, SEND], ids=str)
COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
NO_RULES = RuleSet()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def calls(temporal: WorkflowEnvironment) -> AsyncIterator[Bench]:
    async with bench(temporal.client) as shared:
        yield shared


@pytest.fixture
def made(calls: Bench) -> Bench:
    """A bench on a task queue of the test's own."""
    return Bench(calls.client, calls._workflows)


class Door:
    """A door that a tool paints: its colour is the state of the world, and goes into the preview.

    Each of `steps` is one call of the tool's function: an exception is raised after the door was painted.
    """

    def __init__(self, effect: Effect, *steps: Exception | str, sees: Exception | None = None) -> None:
        self.colour = "red"
        self.painted = 0
        self.looked = 0
        self.slow = 0.0
        self.sees = sees
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        steps_left = list(steps)

        async def preview(coat: str) -> str:
            self.looked += 1
            await asyncio.sleep(self.slow)
            if self.sees is not None:
                raise self.sees
            return f"{self.colour} becomes {coat}"

        @tool(effect, preview=preview)
        async def paint(coat: str) -> str:
            """Paints."""
            self.painted += 1
            step = steps_left.pop(0) if steps_left else "painted"
            if not isinstance(step, NotSent):
                self.colour = coat
            if step == "wait":
                self.reached.set()
                await self.go_on.wait()
            if isinstance(step, Exception):
                raise step
            return step

        self.tool = paint

    def approved(
        self, rules: RuleSet = NO_RULES, dial: Dial = Dial.PROPOSE, **changes: Any
    ) -> dict[str, Any]:
        """The input of a call that was approved while the door was as it is now, under these rules."""
        ruling = rule_on(self.tool.spec, dial, rules, {"coat": "blue"}, datetime.now(UTC))
        shown = preview_of(f"{self.colour} becomes blue").digest
        values = {
            "agent": "painter",
            "dial": dial,
            "ruling": ruling.digest,
            "preview": shown,
            "rules": rules.version,
        }
        return {"arguments": '{"coat":"blue"}', "approved": Approved(**{**values, **changes})}


def rulebook(*rules: Rule) -> Rulebook:
    return Rulebook(RuleSet(rules=rules), {})


# --- the world ----------------------------------------------------------------------------------------------------


@EFFECTS
async def test_a_call_is_made_when_it_would_still_do_what_was_approved(made: Bench, effect: Effect) -> None:
    door = Door(effect)

    assert await made.call(door.tool, **door.approved()) == Outcome(content="painted", attempts=1)
    assert (door.looked, door.painted) == (1, 1)


@EFFECTS
async def test_a_call_is_not_made_when_it_would_do_something_else(made: Bench, effect: Effect) -> None:
    door = Door(effect)
    approved = door.approved()
    door.colour = "green"
    outcome = await made.call(door.tool, **approved)

    assert (outcome.failed, outcome.message, outcome.attempts) == ("Stale", WORLD_CHANGED, 1)
    assert door.painted == 0
    assert outcome.stale is not None
    assert outcome.stale.preview == preview_of("green becomes blue")
    assert (outcome.stale.why, outcome.stale.rules) == (WORLD_CHANGED, None)


@EFFECTS
async def test_nothing_is_looked_at_for_a_call_that_nobody_decided_on(made: Bench, effect: Effect) -> None:
    door = Door(effect)

    assert (await made.call(door.tool, arguments='{"coat":"blue"}')).content == "painted"
    assert (door.looked, door.painted) == (0, 1)


async def test_no_preview_is_taken_where_the_person_saw_none(made: Bench) -> None:
    door = Door(SEND)

    assert (await made.call(door.tool, **door.approved(preview=None))).content == "painted"
    assert (door.looked, door.painted) == (0, 1)


async def test_a_tool_that_can_no_longer_say_what_a_call_would_do_is_asked_about_again(made: Bench) -> None:
    approved = Door(SEND).approved()

    @tool(SEND)
    async def paint(coat: str) -> str:
        """Paints."""
        raise AssertionError

    outcome = await made.call(paint, **approved)

    assert (outcome.failed, outcome.attempts) == ("Stale", 1)


@EFFECTS
async def test_a_preview_that_cannot_be_taken_now_is_tried_again_and_nothing_is_sent_meanwhile(
    made: Bench, effect: Effect
) -> None:
    door = Door(effect, sees=ConnectionError("api_key=hunter2"))
    async with made.worker(door.tool):
        run = await made.start(door.tool, attempts=100, **door.approved())

        async def tried() -> bool:
            pending = (await run.describe()).raw_description.pending_activities
            said = pending[0].last_failure.message if pending else ""
            return said.startswith(
                "nothing was sent: what the call would do could not be looked at again: ConnectionError: api_key=***"
            )

        await until(tried)
        sent_meanwhile, door.sees = door.painted, None
        outcome = await run.result()

    assert (outcome.content, sent_meanwhile, door.painted) == ("painted", 0, 1)


@EFFECTS
@pytest.mark.parametrize("error", [ToolRejected("gone"), ToolFailed("gone")], ids=lambda e: type(e).__name__)
async def test_a_preview_that_can_no_longer_be_taken_parks_the_call_unsent(
    made: Bench, effect: Effect, error: Exception
) -> None:
    door = Door(effect, sees=error)
    outcome = await made.call(door.tool, **door.approved())

    assert (outcome.failed, outcome.attempts, door.painted) == ("NotSent", 1, 0)
    assert outcome.message.endswith("could not be looked at again: gone")


@WRITES
async def test_a_preview_that_takes_too_long_sends_nothing(
    made: Bench, effect: Effect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities.preview, "PREVIEW_SECONDS", 0.1)
    door = Door(effect)
    door.slow = 60
    outcome = await made.call(door.tool, attempts=2, **door.approved())

    assert (outcome.failed, outcome.attempts, door.painted) == ("NotSent", 2, 0)
    assert outcome.message.endswith("it took longer than its 0.1 s")


@WRITES
async def test_a_call_cancelled_while_it_is_looked_at_again_is_not_sent(made: Bench, effect: Effect) -> None:
    door = Door(effect)
    door.slow = 1
    async with made.worker(door.tool):
        run = await made.start(door.tool, **door.approved())

        async def looking() -> bool:
            return door.looked == 1

        await until(looking)
        await run.cancel()
        outcome = await run.result()

    assert (outcome.failed, door.painted) == ("NotSent", 0)
    assert "cancel_requested" in outcome.message


# --- the call's own effect ------------------------------------------------------------------------------------------


async def test_a_retried_write_does_not_ask_a_person_about_its_own_effect(made: Bench) -> None:
    door = Door(WRITE, Retry("the answer was lost"), "painted")
    outcome = await made.call(door.tool, **door.approved())

    assert outcome == Outcome(content="painted", attempts=2)
    assert (door.looked, door.painted) == (1, 2)


async def test_a_write_whose_worker_was_lost_behind_the_fence_is_repeated_without_a_look(made: Bench) -> None:
    """As after kill -9 between the fence and the write, or right after the write: nobody can tell which."""
    door = Door(WRITE)
    run = await made.start(door.tool, heartbeat=HEARTBEAT, **door.approved())
    await made.dying_worker(beats=Beat(sending=True))
    door.colour = "blue"
    async with made.worker(door.tool):
        outcome = await run.result()

    assert (outcome, door.looked, door.painted) == (Outcome(content="painted", attempts=2), 0, 1)


@WRITES
@pytest.mark.parametrize("beats", [None, Beat()], ids=repr)
async def test_a_write_whose_worker_was_lost_before_the_fence_is_looked_at_again(
    made: Bench, effect: Effect, beats: Beat | None
) -> None:
    door = Door(effect)
    run = await made.start(door.tool, heartbeat=HEARTBEAT, **door.approved())
    await made.dying_worker(beats=beats)
    door.colour = "green"
    async with made.worker(door.tool):
        outcome = await run.result()

    assert (outcome.failed, outcome.attempts, door.painted) == ("Stale", 2, 0)


async def test_a_write_that_was_not_sent_is_looked_at_again(made: Bench) -> None:
    door = Door(WRITE, NotSent("no connection", 0.5))
    async with made.worker(door.tool):
        run = await made.start(door.tool, **door.approved())

        async def refused() -> bool:
            return door.painted == 1

        await until(refused)
        door.colour = "green"
        outcome = await run.result()

    assert (outcome.failed, outcome.attempts, door.painted) == ("Stale", 2, 1)


async def test_a_write_that_was_not_sent_by_a_later_attempt_may_still_have_been_done_by_an_earlier_one(
    made: Bench,
) -> None:
    door = Door(WRITE, Retry("the answer was lost"), NotSent("no connection"), "painted")
    outcome = await made.call(door.tool, **door.approved())

    assert (outcome, door.looked) == (Outcome(content="painted", attempts=3), 1)


async def test_a_send_that_may_have_happened_is_unknown_before_anything_is_looked_at(made: Bench) -> None:
    door = Door(SEND)
    run = await made.start(door.tool, heartbeat=HEARTBEAT, **door.approved())
    await made.dying_worker(beats=Beat(sending=True))
    async with made.worker(door.tool):
        outcome = await run.result()

    assert (outcome.failed, door.looked, door.painted) == ("OutcomeUnknown", 0, 0)


async def test_the_fence_of_an_approved_write_survives_the_beats_before_it(
    made: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beats go on during a slow look, and none that could land after the fence goes through the SDK."""
    door = Door(WRITE, "wait")
    door.slow = 1.6
    through_sdk: list[Beat] = []
    heartbeat = activity.heartbeat
    monkeypatch.setattr(
        "activities.heartbeat.activity.heartbeat", lambda beat: (through_sdk.append(beat), heartbeat(beat))
    )
    async with made.worker(door.tool):
        run = await made.start(door.tool, heartbeat=HEARTBEAT, **door.approved())
        await door.reached.wait()
        beats = []
        for _ in range(15):
            beats.append(await left_behind(run))
            await asyncio.sleep(0.05)
        door.go_on.set()
        outcome = await run.result()

    assert outcome == Outcome(content="wait", attempts=1)
    assert all(beat is not None and beat.sending for beat in beats)
    assert [beat.sending for beat in through_sdk] == [True] * len(through_sdk)
    assert len(through_sdk) > 1


async def test_an_approved_write_hears_of_a_cancellation_while_it_runs_again(made: Bench) -> None:
    """It found a fence, so it raises none, and its beats are those of any other attempt."""
    door = Door(WRITE, Retry("the answer was lost"), "wait")
    async with made.worker(door.tool):
        run = await made.start(door.tool, **door.approved())
        await door.reached.wait()
        await run.cancel()
        outcome = await run.result()

    assert (outcome.failed, door.painted) == ("CancelledError", 2)


async def test_a_stale_call_of_a_branch_that_a_reset_left_has_not_happened(made: Bench) -> None:
    door = Door(SEND)
    approved = door.approved()
    door.colour = "green"
    async with made.worker(door.tool):
        run = await made.start(door.tool, **approved)
        assert (await run.result()).failed == "Stale"
        door.colour = "red"
        outcome = await (await reset_to(made.client, run, COMPLETED)).result()

    assert (outcome.content, door.painted) == ("painted", 1)


# --- the rules ------------------------------------------------------------------------------------------------------

BLUE = Condition(field="coat", comparison="=", value="blue")
TWO = Rule(name="two", tools=("paint",), terms=Terms(approvers=("manager",), needed=2))
NO_BLUE = Rule(name="no blue", tools=("paint",), when=BLUE, verdict="refuse")
FREE = Rule(name="free", tools=("paint",), verdict="allow")
ASKS = Rule(name="asks", tools=("*",), verdict="ask")


async def test_a_call_passes_under_the_rules_that_it_was_approved_under(made: Bench) -> None:
    door = Door(SEND)
    outcome = await made.call(door.tool, rulebook(TWO), **door.approved(RuleSet(rules=(TWO,))))

    assert (outcome.content, door.painted) == ("painted", 1)


@EFFECTS
@pytest.mark.parametrize(
    ("today", "why"),
    [
        (NO_BLUE, "the rules of today refuse it: rule 'no blue'"),
        (TWO, "by the rules of today it asks on other terms: rule 'two'"),
    ],
    ids=["refused", "asked otherwise"],
)
async def test_a_call_that_the_rules_of_today_treat_otherwise_is_not_made(
    made: Bench, effect: Effect, today: Rule, why: str
) -> None:
    door = Door(effect)
    outcome = await made.call(door.tool, rulebook(today), **door.approved())

    assert (outcome.failed, door.painted) == ("Stale", 0)
    assert outcome.stale is not None
    assert outcome.stale.why.startswith(why)
    assert outcome.stale.ruling.rule == today.name
    assert outcome.stale.rules == RuleSet(rules=(today,))
    assert outcome.stale.preview == preview_of("red becomes blue")


async def test_a_call_that_the_rules_allowed_and_now_ask_about_is_not_made(made: Bench) -> None:
    door = Door(WRITE)
    allowed = door.approved(dial=Dial.AUTONOMOUS, preview=None)
    outcome = await made.call(door.tool, rulebook(ASKS), **allowed)

    assert (outcome.failed, door.painted) == ("Stale", 0)


async def test_a_call_that_the_rules_of_today_let_pass_is_made(made: Bench) -> None:
    door = Door(WRITE)
    asked = door.approved(RuleSet(rules=(TWO,)))
    outcome = await made.call(door.tool, rulebook(FREE), **asked)

    assert (outcome.content, door.painted) == ("painted", 1)


async def test_the_rules_of_the_calls_own_agent_count(made: Bench) -> None:
    door = Door(SEND)
    painter = Agent(name="painter", instructions="", rules=RuleSet(rules=(TWO,)))
    other = painter.model_copy(update={"name": "other"})
    own = await made.call(door.tool, Rulebook(NO_RULES, {"painter": painter}), **door.approved())
    not_own = await made.call(door.tool, Rulebook(NO_RULES, {"other": other}), **door.approved())

    assert (own.failed, not_own.content) == ("Stale", "painted")


def people(*names: str, **keys: str) -> RuleSet:
    return RuleSet(people={name: Person(key=keys.get(name)) for name in names})


KEY = base64.b64encode(bytes(32)).decode()


@WRITES
async def test_what_somebody_approved_who_may_decide_nothing_any_more_asks_again(
    made: Bench, effect: Effect
) -> None:
    door = Door(effect)
    then, today = people("ann", "bob"), people("bob")
    approved = door.approved(then, by=("ann", "bob"))
    outcome = await made.call(door.tool, Rulebook(today, {}), **approved)

    assert (outcome.failed, door.painted) == ("Stale", 0)
    assert outcome.message == "ann, who approved it, may not decide any more"
    assert outcome.stale is not None
    assert outcome.stale.rules == today


async def test_what_somebody_approved_whose_key_is_gone_asks_again(made: Bench) -> None:
    door = Door(SEND)
    then, today = people("ann", "bob", ann=KEY, bob=KEY), people("ann", "bob", bob=KEY)
    outcome = await made.call(door.tool, Rulebook(today, {}), **door.approved(then, by=("ann",)))

    assert (outcome.failed, door.painted) == ("Stale", 0)
    assert outcome.message == "ann, who approved it, may not decide any more"


@pytest.mark.parametrize(
    "today",
    [people("ann", "bob"), people("ann", ann=KEY), people()],
    ids=["as then", "with a key", "nobody is named"],
)
async def test_what_somebody_approved_who_is_still_known_is_made(made: Bench, today: RuleSet) -> None:
    door = Door(SEND)
    outcome = await made.call(door.tool, Rulebook(today, {}), **door.approved(people("ann"), by=("ann",)))

    assert (outcome.content, door.painted) == ("painted", 1)


async def test_a_tool_that_has_become_riskier_asks_although_the_run_knows_it_as_harmless(made: Bench) -> None:
    harmless, riskier = Door(WRITE), Door(SEND)
    allowed = harmless.approved(dial=Dial.SUPERVISED)
    outcome = await made.call(riskier.tool, **allowed, effect=harmless.tool.spec.effect.effect_class)

    assert (outcome.failed, riskier.painted) == ("Stale", 0)
    assert "asks at dial supervised" in outcome.message


async def test_a_tool_that_has_become_a_read_still_asks_as_the_write_that_the_run_knows(made: Bench) -> None:
    write, read = Door(WRITE), Door(READ)
    approved = write.approved(dial=Dial.AUTONOMOUS, preview=None)
    approved["approved"] = approved["approved"].model_copy(update={"dial": Dial.PROPOSE})
    outcome = await made.call(read.tool, **approved, effect=write.tool.spec.effect.effect_class)

    assert (outcome.failed, read.painted) == ("Stale", 0)
    assert "at dial propose every write asks" in outcome.message


async def test_both_changes_are_told_together(made: Bench) -> None:
    door = Door(SEND)
    approved = door.approved()
    door.colour = "green"
    outcome = await made.call(door.tool, rulebook(TWO), **approved)

    assert outcome.message.startswith(f"{WORLD_CHANGED}; by the rules of today it asks on other terms: ")
