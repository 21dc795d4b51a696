"""The activity `agent.preview` on a real server: a tool says what a call would do, and does nothing."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any

import pytest
import pytest_asyncio
from pydantic import AfterValidator
from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

import activities.preview
from activities.preview import PreviewActivities
from activities.tools import Retry, Tool, ToolContext, ToolFailed, ToolMistake, ToolRejected, tool, tool_table
from agents import bounds
from agents.effect import READ, Effect
from agents.preview import Preview, PreviewInput, preview_of
from tests.tool_fixtures import HEARTBEAT, SEND, WRITE, until
from workflows.options import HEARTBEAT_THROTTLE


@workflow.defn(sandboxed=False)
class OnePreviewWorkflow:
    """Takes one preview."""

    @workflow.run
    async def run(self, given: PreviewInput, queue: str, attempts: int) -> Preview:
        preview: Preview = await workflow.execute_activity(
            "agent.preview",
            given,
            result_type=Preview,
            activity_id="t1.c1.preview",
            task_queue=queue,
            start_to_close_timeout=timedelta(seconds=30),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_attempts=attempts),
        )
        return preview


class Looker:
    """Takes previews, on a task queue of its own."""

    def __init__(self, client: Client, workflows: str) -> None:
        self.client, self.workflows = client, workflows
        self.queue = f"previews-{secrets.token_hex(6)}"

    @asynccontextmanager
    async def worker(self, *tools: Tool) -> AsyncIterator[None]:
        async with Worker(
            self.client,
            task_queue=self.queue,
            activities=[PreviewActivities(tool_table(*tools)).preview],
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        ):
            yield

    async def start(
        self, of: Tool | str, arguments: str, *, edited: bool = False, attempts: int = 4
    ) -> WorkflowHandle[Any, Preview]:
        name = of if isinstance(of, str) else of.spec.name
        return await self.client.start_workflow(
            OnePreviewWorkflow.run,
            args=[PreviewInput(tool=name, arguments=arguments, edited=edited), self.queue, attempts],
            id=f"preview-{secrets.token_hex(6)}",
            task_queue=self.workflows,
        )

    async def look(self, of: Tool, arguments: str = '{"coat":"blue"}', **options: Any) -> Preview:
        async with self.worker(of):
            preview: Preview = await (await self.start(of, arguments, **options)).result()
            return preview

    async def fails(self, of: Tool, **options: Any) -> ApplicationError:
        with pytest.raises(WorkflowFailureError) as raised:
            await self.look(of, **options)
        cause = raised.value.cause.__cause__
        assert isinstance(cause, ApplicationError)
        return cause


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def workflows(temporal: WorkflowEnvironment) -> AsyncIterator[str]:
    queue = f"one-preview-{secrets.token_hex(6)}"
    async with Worker(temporal.client, task_queue=queue, workflows=[OnePreviewWorkflow]):
        yield queue


@pytest.fixture
def looker(temporal: WorkflowEnvironment, workflows: str) -> Looker:
    return Looker(temporal.client, workflows)


def painting(*says: Any, effect: Effect = SEND) -> Tool:
    """A tool whose preview does one thing a time, in order; running it fails the test."""
    steps = list(says)

    async def preview(coat: str, layers: int) -> Any:
        step = steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step if step is not None else f"{layers} layers of {coat}"

    @tool(effect, preview=preview)
    async def paint(coat: str, layers: int = 2, *, context: ToolContext) -> str:
        """Paints."""
        raise AssertionError("a preview paints nothing")

    return paint


# --- what it says -------------------------------------------------------------------------------------------------


async def test_a_tool_says_what_a_call_would_do_with_the_arguments_that_it_would_get(looker: Looker) -> None:
    assert await looker.look(painting(None)) == preview_of("2 layers of blue")


async def test_a_plain_function_is_asked_in_a_thread(looker: Looker) -> None:
    def preview() -> str:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return "seen"

    @tool(WRITE, preview=preview)
    def plain() -> str:
        """Plain."""
        raise AssertionError

    assert (await looker.look(plain, "{}")).text == "seen"


async def test_a_tool_without_a_preview_says_nothing(looker: Looker) -> None:
    @tool(SEND)
    async def silent(coat: str) -> str:
        """Silent."""
        raise AssertionError

    assert await looker.look(silent) == Preview()
    assert (silent.spec.previews, painting().spec.previews) == (False, True)


async def test_a_long_preview_is_cut_and_its_digest_covers_all_of_it(looker: Looker) -> None:
    long = "é" * bounds.PREVIEW_BYTES
    one, other = await looker.look(painting(f"{long}a")), await looker.look(painting(f"{long}b"))

    assert one.text == other.text
    assert one.text.endswith("[cut off: 8,193 bytes]")
    assert one.digest != other.digest


# --- edited arguments ---------------------------------------------------------------------------------------------


async def test_edited_arguments_that_fit_are_previewed(looker: Looker) -> None:
    edited = await looker.look(painting(None), '{ "layers": 3, "coat": "green" }', edited=True)

    assert edited == preview_of("3 layers of green")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ('{"coat":7}', "coat: 7 is not of type 'string'"),
        ('{"coat":"blue","colour":"red"}', "'colour' was unexpected"),
        ("{}", "'coat' is a required property"),
        ("[]", "must be a JSON object"),
        ("{", "not JSON"),
    ],
)
async def test_edited_arguments_that_do_not_fit_come_back_with_the_reason(
    looker: Looker, arguments: str, problem: str
) -> None:
    edited = await looker.look(painting(), arguments, edited=True)

    assert edited.problem is not None
    assert problem in edited.problem
    assert (edited.text, edited.digest) == ("", "")


async def test_edited_arguments_are_held_to_what_the_schema_cannot_say(looker: Looker) -> None:
    def no_pink(coat: str) -> str:
        if coat == "pink":
            raise ValueError("not pink")
        return coat

    @tool(SEND)
    async def paint(coat: Annotated[str, AfterValidator(no_pink)]) -> str:
        """Paints."""
        raise AssertionError

    assert (await looker.look(paint, '{"coat":"pink"}', edited=True)).problem == "coat: Value error, not pink"
    assert (await looker.look(paint, '{"coat":"grey"}', edited=True)) == Preview()


async def test_arguments_that_todays_tool_does_not_take_are_rejected(looker: Looker) -> None:
    failure = await looker.fails(painting(), arguments='{"colour":"blue"}')

    assert failure.type == "ToolRejected"
    assert "the arguments do not fit the tool as it is now" in failure.message


# --- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Retry("later"), ValueError("flaky"), SystemExit(1)], ids=repr)
async def test_trouble_that_may_pass_is_tried_again(looker: Looker, error: BaseException) -> None:
    assert (await looker.look(painting(error, "seen"))).text == "seen"


async def test_a_preview_that_exits_fails_like_any_other(looker: Looker) -> None:
    failure = await looker.fails(painting(SystemExit(1)), attempts=1)

    assert failure.type == "Exhausted"
    assert "the preview called sys.exit" in failure.message


@pytest.mark.parametrize(
    "error", [ToolRejected("no such door"), ToolFailed("no such door")], ids=lambda e: type(e).__name__
)
async def test_a_final_word_of_the_preview_is_not_retried(looker: Looker, error: Exception) -> None:
    failure = await looker.fails(painting(error))

    assert (failure.type, failure.message) == (type(error).__name__, "no such door")
    assert failure.details == ({"attempts": 1},)


async def test_a_preview_that_is_no_text_is_named(looker: Looker) -> None:
    failure = await looker.fails(painting(7), attempts=1)

    assert (failure.type, failure.details) == ("Exhausted", ({"attempts": 1},))
    assert "the preview of paint gave int, not text" in failure.message


async def test_secrets_in_an_error_stay_out_of_the_history(looker: Looker) -> None:
    failure = await looker.fails(painting(ConnectionError("api_key=hunter2")), attempts=1)

    assert "api_key=***" in failure.message
    assert failure.__cause__ is None


async def test_a_preview_that_takes_too_long_is_ended(
    looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities.preview, "PREVIEW_SECONDS", 0.1)

    async def endless() -> str:
        await asyncio.sleep(60)
        return ""

    @tool(SEND, preview=endless)
    async def sends() -> str:
        """Sends."""
        raise AssertionError

    failure = await looker.fails(sends, arguments="{}", attempts=1)

    assert (failure.type, failure.message) == ("Exhausted", "it took longer than its 0.1 s")


async def test_beats_keep_a_slow_preview_alive_beyond_its_heartbeat_timeout(looker: Looker) -> None:
    async def slow() -> str:
        await asyncio.sleep(2 * HEARTBEAT.total_seconds())
        return "seen"

    @tool(SEND, preview=slow)
    async def sends() -> str:
        """Sends."""
        raise AssertionError

    assert (await looker.look(sends, "{}", attempts=1)).text == "seen"


async def test_a_worker_without_the_tool_leaves_the_preview_to_one_that_has_it(looker: Looker) -> None:
    @tool(READ)
    async def other() -> str:
        """Other."""
        return ""

    async with looker.worker(other):
        run = await looker.start("paint", '{"coat":"blue"}', attempts=100)

        async def refused() -> bool:
            pending = (await run.describe()).raw_description.pending_activities
            said = pending[0].last_failure.message if pending else ""
            return "has no tool 'paint' (it has: other)" in said

        await until(refused)
    async with looker.worker(painting("seen")):
        assert (await run.result()).text == "seen"


# --- making a tool ------------------------------------------------------------------------------------------------


def takes_more(coat: str, layers: int) -> str:
    return coat


def takes_less() -> str:
    return ""


def takes_another(colour: str) -> str:
    return colour


def takes_any(**arguments: str) -> str:
    return ""


def takes_by_position(coat: str, /) -> str:
    return coat


def takes_more_by_position(layers: int, /, coat: str) -> str:
    return coat


def takes_context(coat: str, *, context: ToolContext) -> str:
    return coat


@pytest.mark.parametrize(
    "preview",
    [
        takes_more,
        takes_less,
        takes_another,
        takes_any,
        takes_by_position,
        takes_more_by_position,
        takes_context,
    ],
    ids=lambda preview: preview.__name__,
)
def test_a_preview_that_takes_other_arguments_than_its_tool_is_refused(preview: Any) -> None:
    with pytest.raises(ToolMistake, match=r"tool paint: .* let it take exactly \(coat\)"):

        @tool(SEND, preview=preview)
        async def paint(coat: str, *, context: ToolContext) -> str:
            """Paints."""
            return coat


def test_a_question_has_no_preview() -> None:
    with pytest.raises(ToolMistake, match="a question has no preview"):

        @tool(READ, asks_person=True, preview=takes_less)
        async def asks() -> str:
            """Asks."""
            return ""


def test_what_undoes_a_call_is_said_by_its_tool_in_a_sentence_or_two() -> None:
    @tool(WRITE, undo="Paint it red again.")
    async def paint() -> str:
        """Paints."""
        return ""

    assert paint.spec.undo == "Paint it red again."
    with pytest.raises(ToolMistake, match="undo must have at most 300 characters"):
        tool(WRITE, undo="x" * 301)(paint.function)
