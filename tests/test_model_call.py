"""The activity `agent.model` in a run on a real server: what it sends, keeps at hand, and reads from the run."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio import workflow
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities import time_limit
from activities.model_call import ModelActivities
from activities.providers import providers_for
from agents.agent import Definition, ToolSpec
from agents.effect import READ, Dial
from agents.model_call import ModelInput
from agents.reply import Reply
from agents.transcript import Message, Page, ReplyEntry, Result, entry_json, page, roll, start_digest
from tests.fake_openai import FakeOpenAI, calls, error, filtered, holds, says

SEARCH = ToolSpec(name="search", description="", parameters={"type": "object"}, effect=READ)
DEFINITION = Definition(
    agent="a",
    instructions="Be brief.",
    model="gpt-test",
    api="responses",
    tools=(SEARCH,),
    dial=Dial.PROPOSE,
    max_turns=9,
)
FOUND = "found " * 100


@workflow.defn(name="SmallRun")
class SmallRun:
    """The least of a run that a model call needs: entries, their digests, and the two queries."""

    def __init__(self) -> None:
        self.entries: list[Message | ReplyEntry | Result] = []
        self.seen, self.digest = 0, ""
        self.answers: list[Reply] = []

    @workflow.run
    async def run(self, definition: Definition, turns: int, inline: bool, question: str = "") -> list[Reply]:
        self._definition = definition
        chain = workflow.info().workflow_id
        self.digest = start_digest(chain, definition.digest, 0)
        self.entries.append(Message(text=chain))
        replies = []
        for turn in range(1, turns + 1):
            reply = await self._ask(turn, inline=inline)
            replies.append(reply)
            if reply.finish in ("filtered", "refused"):
                self.entries.append(Message(text="Try it otherwise."))
                continue
            self.entries.append(ReplyEntry(turn=turn, reply=reply))
            for entry in self.entries[self.seen :]:
                self.digest = roll(self.digest, entry_json(entry))
            self.seen = len(self.entries)
            if question and turn == 1:
                self.answers.append(await self._ask_aside(reply, question))
            for call in reply.calls:
                self.entries.append(
                    Result(call="c", provider_id=call.id, tool=call.tool, state="done", content=FOUND)
                )
        return replies

    async def _ask(self, turn: int, *, inline: bool) -> Reply:
        asking = self._call(turn, delta=tuple(self.entries[self.seen :]) if inline else None)
        self.entries.append(Message(text="A note that came while the model was asked."))
        reply = await asking
        self.entries.pop()
        return reply

    async def _ask_aside(self, reply: Reply, question: str) -> Reply:
        """A person's question while the calls of this reply wait at their gates."""
        waiting = [
            Result(call="c", provider_id=call.id, tool=call.tool, state="denied", content="It waits.")
            for call in reply.calls
        ]
        return await self._call(1, delta=(), aside=(*waiting, Message(text=question)))

    def _call(self, turn: int, **asked: Any) -> workflow.ActivityHandle[Reply]:
        given = ModelInput(
            turn=turn,
            definition=self._definition.digest,
            start=self.seen,
            prefix=self.digest,
            total=len(self.entries),
            **asked,
        )
        return workflow.start_activity(
            "agent.model",
            given,
            result_type=Reply,
            start_to_close_timeout=timedelta(seconds=60),
            heartbeat_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_attempts=4),
        )

    @workflow.query
    def transcript(self, epoch: int = 0, start: int = 0) -> Page:
        return page(self.entries, epoch, start, limit=1_000)

    @workflow.query
    def answered(self) -> list[Reply]:
        return self.answers

    @workflow.query
    def definition(self) -> Definition:
        return self._definition


class Workers:
    """Workers of one task queue, each with its own caches."""

    def __init__(self, temporal: WorkflowEnvironment, fake: FakeOpenAI) -> None:
        self.temporal, self.fake = temporal, fake
        self.queue = f"q-{secrets.token_hex(6)}"

    @asynccontextmanager
    async def one(self, *, api_key: str | None = "sk-test", **options: Any) -> AsyncIterator[ModelActivities]:
        providers = providers_for(api_key=api_key, base_url=self.fake.base_url, offline_seconds=0)
        models = ModelActivities(providers)
        async with Worker(
            self.temporal.client,
            task_queue=self.queue,
            workflows=[SmallRun],
            activities=[models.model],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_heartbeat_throttle_interval=timedelta(seconds=0.4),
            **options,
        ):
            yield models
        for provider in providers.values():
            await provider.aclose()

    async def start(
        self, turns: int, *, inline: bool = True, definition: Definition = DEFINITION, question: str = ""
    ) -> WorkflowHandle[Any, Any]:
        return await self.temporal.client.start_workflow(
            SmallRun.run,
            args=[definition, turns, inline, question],
            id=f"r-{secrets.token_hex(6)}",
            task_queue=self.queue,
        )


@pytest.fixture
def workers(temporal: WorkflowEnvironment, fake_openai: FakeOpenAI) -> Workers:
    return Workers(temporal, fake_openai)


def cached(logs: Sequence[Any]) -> list[bool]:
    """Of each model call, whether the transcript's beginning was at hand."""
    return [line["cached"] for line in logs if line["event"] == "model call"]


THREE_TURNS = [calls(("search", {"n": 1})), calls(("search", {"n": 2})), says("Done.")]


async def test_a_worker_sends_what_it_has_at_hand_and_the_new_entries(
    workers: Workers, fake_openai: FakeOpenAI
) -> None:
    fake_openai.script(THREE_TURNS)

    async with workers.one() as models:
        models.remember(DEFINITION)
        with capture_logs() as logs:
            replies = await (await workers.start(turns=3)).result()

    assert cached(logs) == [True, True, True]
    assert [reply.text for reply in replies] == ["", "", "Done."]
    histories = [received.history for received in fake_openai.requests]
    assert histories[2].startswith(histories[1])
    assert histories[1].startswith(histories[0])
    assert histories[2].count(FOUND.encode()) == 2


async def test_a_worker_that_knows_nothing_reads_definition_and_transcript_from_the_run(
    workers: Workers, fake_openai: FakeOpenAI
) -> None:
    fake_openai.script(THREE_TURNS)

    async with workers.one():
        await (await workers.start(turns=3, inline=False)).result()

    by_query = [received.raw for received in fake_openai.requests]
    assert len(by_query) == 3
    assert by_query[2].count(FOUND.encode()) == 2
    assert b"A note that came" not in by_query[2]


async def test_another_worker_goes_on_with_the_same_bytes(workers: Workers, fake_openai: FakeOpenAI) -> None:
    fake_openai.script([THREE_TURNS[0], holds(THREE_TURNS[1]), THREE_TURNS[2]])

    with capture_logs() as logs:
        async with workers.one(graceful_shutdown_timeout=timedelta(seconds=0)):
            run = await workers.start(turns=3)
            await fake_openai.wait_held()
        async with workers.one():
            replies = await run.result()

    assert cached(logs) == [True, False, True]
    assert fake_openai.repeats == 1
    assert [reply.attempts for reply in replies] == [1, 2, 1]
    assert replies[2].text == "Done."


async def test_a_retried_call_sends_the_same_bytes_from_what_is_at_hand(
    workers: Workers, fake_openai: FakeOpenAI
) -> None:
    fake_openai.script([THREE_TURNS[0], error(500), THREE_TURNS[2]])

    async with workers.one():
        with capture_logs() as logs:
            replies = await (await workers.start(turns=2)).result()

    assert cached(logs) == [True, True]
    assert fake_openai.requests[1].raw == fake_openai.requests[2].raw
    assert replies[1].attempts == 2


async def test_a_filtered_reply_is_not_part_of_what_is_kept(
    workers: Workers, fake_openai: FakeOpenAI
) -> None:
    fake_openai.script([THREE_TURNS[0], filtered("Half"), says("Done.")])

    async with workers.one():
        with capture_logs() as logs:
            replies = await (await workers.start(turns=3)).result()

    assert [reply.finish for reply in replies] == ["calls", "filtered", "stop"]
    assert cached(logs) == [True, True, True]
    assert b"Try it otherwise." in fake_openai.requests[2].raw
    assert b"Half" not in fake_openai.requests[2].raw


async def failure_of(run: WorkflowHandle[Any, Any]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as raised:
        await run.result()
    cause = raised.value.cause.__cause__
    assert isinstance(cause, ApplicationError)
    return cause


async def test_a_stated_delay_comes_out_as_a_wait_without_a_second_request(
    workers: Workers, fake_openai: FakeOpenAI
) -> None:
    fake_openai.script([error(429, headers={"retry-after": "30"})])

    async with workers.one():
        failure = await failure_of(await workers.start(turns=1))

    assert (failure.type, failure.details) == ("ProviderWait", ({"attempts": 1, "wait_seconds": 30.0},))
    assert len(fake_openai.requests) == 1


async def test_a_failure_holds_no_transcript_and_no_request(
    workers: Workers, fake_openai: FakeOpenAI
) -> None:
    fake_openai.script([error(401)])

    async with workers.one():
        failure = await failure_of(await workers.start(turns=1))

    assert (failure.type, failure.__cause__) == ("ModelFailed", None)


async def test_a_worker_without_the_api_says_so(workers: Workers) -> None:
    async with workers.one(api_key=None):
        failure = await failure_of(await workers.start(turns=1))

    assert failure.type == "ModelFailed"
    assert "this worker has no access to the API 'responses'" in failure.message


async def test_a_worker_that_drains_gives_a_call_some_time_and_then_leaves_it_to_another(
    workers: Workers, fake_openai: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limit, "DRAIN_SECONDS", 0.3)
    fake_openai.script([holds(says("Done."))])

    async with workers.one(graceful_shutdown_timeout=timedelta(seconds=10)):
        run = await workers.start(turns=1)
        await fake_openai.wait_held()
        stopping = asyncio.get_running_loop().time()
    stopped = asyncio.get_running_loop().time()
    async with workers.one():
        replies = await run.result()

    assert 0.3 <= stopped - stopping < 5
    assert (replies[0].text, replies[0].attempts) == ("Done.", 2)


async def test_the_log_of_a_call_tells_numbers_and_no_prompt(
    workers: Workers, fake_openai: FakeOpenAI
) -> None:
    fake_openai.script([says("A secret answer.")])

    async with workers.one():
        with capture_logs() as logs:
            await (await workers.start(turns=1)).result()

    line = next(line for line in logs if line["event"] == "model call")
    assert line["model"] == "gpt-test"
    assert line["input_tokens"] > 0
    assert "secret" not in str(logs)


# --- a person's question at a gate ----------------------------------------------------------------------------------


async def asked_aside(workers: Workers, *, definition: Definition = DEFINITION) -> Reply:
    """What the model answers, in a run of two turns, to a question between them."""
    run = await workers.start(turns=2, definition=definition, question="Why that?")
    await run.result()
    [answer] = await run.query("answered", result_type=list[Reply])
    return answer


async def test_a_question_aside_is_asked_after_the_transcript_and_leaves_no_trace_in_it(
    workers: Workers, fake_openai: FakeOpenAI
) -> None:
    fake_openai.script([THREE_TURNS[0], says("Because."), says("Done.")])

    async with workers.one():
        with capture_logs() as logs:
            answer = await asked_aside(workers)

    assert (answer.finish, answer.text, answer.items) == ("stop", "Because.", ())
    first, aside, second = fake_openai.requests
    assert aside.history.startswith(first.history)
    assert aside.body["input"][-1] == {"role": "user", "content": "Why that?"}
    assert aside.body["tool_choice"] == "none"
    assert second.history.startswith(first.history)
    assert not any(text in second.raw for text in (b"Why that?", b"Because.", b"It waits.", b"tool_choice"))
    assert cached(logs) == [True, True, True]
    assert [line.get("aside", False) for line in logs if line["event"] == "model call"] == [
        False,
        True,
        False,
    ]


async def test_calls_that_a_model_makes_although_it_was_asked_aside_are_dropped(
    workers: Workers, fake_openai: FakeOpenAI
) -> None:
    fake_openai.script([THREE_TURNS[0], calls(("search", {"n": 9}), text="Let me look."), says("Done.")])

    async with workers.one():
        answer = await asked_aside(workers)

    assert (answer.finish, answer.text, answer.calls, answer.items) == ("stop", "Let me look.", (), ())
    assert answer.usage.output_tokens > 0


async def test_a_worker_that_knows_nothing_of_the_run_can_answer_a_question_aside(
    workers: Workers, fake_openai: FakeOpenAI
) -> None:
    fake_openai.script([THREE_TURNS[0], holds(says("Because.")), says("Done.")])

    with capture_logs() as logs:
        async with workers.one(graceful_shutdown_timeout=timedelta(seconds=0)):
            run = await workers.start(turns=2, question="Why that?")
            await fake_openai.wait_held()
        async with workers.one():
            await run.result()

    assert cached(logs) == [True, False, False]
    assert fake_openai.repeats == 1
    assert fake_openai.requests[1].raw == fake_openai.requests[2].raw
