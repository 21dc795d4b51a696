"""Spans and metrics of runs, by OpenTelemetry's conventions for generative AI.

Every workflow task here replays its whole history: nothing may be told twice for it.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities.telemetry import CallTelemetry
from activities.tools import ToolFailed, tool
from agents import bounds
from agents.agent import Definition
from agents.effect import READ, Dial
from agents.model_call import ModelInput
from agents.transcript import Message
from runtime.core import core_runtime
from runtime.run_span import RunSpan, tracing_plugins
from tests.fake_openai import FakeOpenAI, Usage, calls, error, holds, says
from tests.house import House, decide, status, until
from tests.told import ForcedReplay, Told, names, of

PAGE = (Path(__file__).parents[1] / "docs" / "telemetry.md").read_text()


@pytest.fixture(scope="session")
def process() -> Told:
    return Told()


@pytest.fixture
def told(process: Told) -> Told:
    process.forget()
    return process


@pytest_asyncio.fixture
async def house(
    temporal: WorkflowEnvironment, fake_openai: FakeOpenAI, tmp_path: Any, told: Told
) -> AsyncIterator[House]:
    """A house whose client, and so its workers, tell of what they do."""
    client = await Client.connect(
        temporal.client.service_client.config.target_host,
        data_converter=pydantic_data_converter,
        plugins=[*tracing_plugins(), ForcedReplay()],
        runtime=core_runtime(),
    )
    yield House(client, fake_openai, tmp_path)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that a workflow's code began, replays included."""
    seen: list[str] = []
    original = RunSpan.execute_workflow

    async def counted(self: RunSpan, input: Any) -> Any:
        seen.append(input.type.__name__)
        return await original(self, input)

    monkeypatch.setattr(RunSpan, "execute_workflow", counted)
    return seen


async def test_each_call_has_one_span_although_every_task_replays(
    house: House, told: Told, begun: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.md", "b.md"):
        (house.workspace / name).write_text("x")
    house.fake.script(
        [
            calls(("list_files", {"pattern": "*.md"})),
            calls(("read_file", {"path": "a.md"}), ("read_file", {"path": "b.md"})),
            calls(("write_file", {"path": "c.md", "content": "y"})),
            says("done"),
        ]
    )
    async with house.worker():
        run = await house.start(dial="propose")
        await until(run, lambda s: s.phase == "waiting")
        await decide(run, "t3.c1", "approve")
        await run.result()
        await status(run)

    assert len(begun) > 8
    assert names(told.spans) == {
        "invoke_agent assistant": 1,
        "chat fake-model": 4,
        "execute_tool list_files": 1,
        "execute_tool read_file": 2,
        "execute_tool write_file": 1,
    }
    (whole,) = told.named("invoke_agent")
    parts = [span for span in told.spans if span is not whole]
    assert whole.parent is None
    assert {(s.context.trace_id, s.parent.span_id) for s in parts if s.parent} == {
        (whole.context.trace_id, whole.context.span_id)
    }
    assert all(whole.start_time <= s.start_time <= s.end_time <= whole.end_time for s in parts)
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


async def test_spans_say_what_the_conventions_ask_for(house: House, told: Told) -> None:
    usage = Usage(input=120, cached=100, output=7, reasoning=3)
    house.fake.script([calls(("list_files", {"pattern": "*"}), usage=usage), says("done", usage=usage)])
    host, port = house.fake.host.split(":")
    async with house.worker():
        run = await house.start(tenant="acme", id=f"acme/{house.queue}")
        await run.result()

    common = {
        "gen_ai.conversation.id": f"acme/{house.queue}",
        "gen_ai.agent.name": "assistant",
        "agent.tenant": "acme",
    }
    chats = sorted(told.named("chat"), key=lambda span: span.start_time or 0)
    assert [of(chat)["gen_ai.response.finish_reasons"] for chat in chats] == [("tool_call",), ("stop",)]
    assert chats[0].kind is SpanKind.CLIENT
    assert of(chats[0]) == common | {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "fake-model",
        "gen_ai.response.model": "fake-model",
        "gen_ai.response.finish_reasons": ("tool_call",),
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.reasoning.output_tokens": 3,
        "server.address": host,
        "server.port": int(port),
        "agent.turn": 1,
        "agent.attempt": 1,
    }
    (listing,) = told.named("execute_tool")
    assert listing.kind is SpanKind.INTERNAL
    assert of(listing) == common | {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "list_files",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "t1.c1",
        "agent.attempt": 1,
    }
    (whole,) = told.named("invoke_agent")
    assert of(whole) == common | {"gen_ai.operation.name": "invoke_agent"}
    assert {span.status.status_code for span in told.spans} == {StatusCode.UNSET}


async def test_a_run_is_part_of_the_trace_of_whoever_starts_it(house: House, told: Told) -> None:
    house.fake.script([says("done")])
    async with house.worker():
        with trace.get_tracer("caller").start_as_current_span("caller"):
            run = await house.start()
        await run.result()

    (caller,) = told.named("caller")
    (whole,) = told.named("invoke_agent")
    assert whole.parent is not None
    assert whole.parent.span_id == caller.context.span_id
    assert len({span.context.trace_id for span in told.spans}) == 1


async def test_token_metrics_add_up_to_what_the_provider_counted(house: House, told: Told) -> None:
    steps = [calls(("list_files", {"pattern": "*"}), usage=Usage(input=1000, output=20))]
    house.fake.script([*steps, says("done", usage=Usage(input=1100, output=5))])
    async with house.worker():
        run = await house.start()
        await run.result()
        used = (await status(run)).usage

    tokens: Counter[str] = Counter()
    points = told.points()
    for name, point in points:
        if name == "gen_ai.client.token.usage":
            tokens[point.attributes["gen_ai.token.type"]] += point.sum
    assert tokens == {"input": 2100, "output": 25}
    assert (used.input_tokens, used.output_tokens) == (2100, 25)
    assert {name: point.count for name, point in points if name.endswith("duration")} == {
        "gen_ai.client.operation.duration": 2,
        "gen_ai.execute_tool.duration": 1,
    }


async def test_metrics_tell_agents_and_tenants_apart_but_never_runs(house: House, told: Told) -> None:
    for task in ("for acme", "for globex"):
        house.fake.script([calls(("list_files", {"pattern": "*"})), says("done")], task)
    async with house.worker():
        for tenant in ("acme", "globex"):
            run = await house.start(f"for {tenant}", tenant=tenant, id=f"{tenant}/run-{house.queue}")
            await run.result()

    points = told.points()
    assert len(points) == 8  # of each tenant input and output tokens, and seconds of model and tool
    for _, point in points:
        assert point.attributes["gen_ai.agent.name"] == "assistant"
        assert point.attributes["agent.tenant"] in ("acme", "globex")
        assert house.queue not in str(point.attributes)


async def test_a_persons_question_to_the_model_is_told_apart_from_the_turn(told: Told) -> None:
    definition = Definition(
        agent="a", instructions="", model="m", api="chat", tools=(), dial=Dial.PROPOSE, max_turns=1
    )
    turn = ModelInput(turn=3, definition="", start=0, prefix="", total=0, delta=())
    aside = turn.model_copy(update={"aside": (Message(text="Why?"),)})

    def asked(given: ModelInput) -> None:
        with CallTelemetry(show_prompts=True).chat(given, definition):
            pass

    for given in (turn, aside):
        ActivityEnvironment().run(asked, given)

    spans = [of(span) for span in told.named("chat m")]
    assert [span.get("agent.aside") for span in spans] == [None, True]
    assert ["Why?" in span["gen_ai.input.messages"] for span in spans] == [False, True]
    assert "`agent.aside`" in PAGE


async def test_an_attempt_that_fails_has_a_span_of_its_own_that_says_why(house: House, told: Told) -> None:
    @tool(READ)
    async def look_up(word: str) -> str:
        """Finds nothing."""
        raise ToolFailed("no such word")

    house.fake.script([error(500), calls(("look_up", {"word": "x"})), says("sorry")])
    async with house.worker(look_up):
        await (await house.start(agent="tester")).result()

    failed = {(s.name, of(s)["error.type"]) for s in told.spans if s.status.status_code is StatusCode.ERROR}
    assert failed == {("chat fake-model", "500"), ("execute_tool look_up", "ToolFailed")}
    assert names(told.spans)["chat fake-model"] == 3
    assert sorted(of(s)["agent.attempt"] for s in told.named("chat")) == [1, 1, 2]
    seconds = [p for name, p in told.points() if name.endswith("duration")]
    assert sorted(str(p.attributes.get("error.type")) for p in seconds) == ["500", "None", "ToolFailed"]


SAID = {
    "task": "please water the tulips",
    "arguments": "tulips-arguments",
    "result": "the tulips drowned",
    "error": "tulips are out of stock",
    "answer": "no more tulips",
}


async def say_it_all(house: House, **settings: Any) -> None:
    """A run in which everybody says something, some of it in errors."""
    broken: list[str] = []

    @tool(READ)
    async def water(plant: str) -> str:
        """Waters."""
        if not broken:
            broken.append(plant)
            raise RuntimeError(SAID["error"])
        return SAID["result"]

    story = [
        error(500, body={"error": {"message": SAID["error"]}}),
        calls(("water", {"plant": SAID["arguments"]})),
        says(SAID["answer"]),
    ]
    house.fake.script(story)
    async with house.worker(water, **settings):
        await (await house.start(SAID["task"], agent="tester")).result()
        house.fake.script([error(400, body={"error": {"message": SAID["error"]}})])
        run = await house.start(SAID["task"] + "!", agent="tester")
        await until(run, lambda s: s.waiting)
        await decide(run, "t1.model", "end", reason=SAID["error"])
        with pytest.raises(WorkflowFailureError):
            await run.result()


async def test_nothing_that_was_said_is_told(house: House, told: Told) -> None:
    await say_it_all(house)

    everything = "".join(span.to_json() for span in told.spans) + str(told.points())
    assert "tester" in everything
    assert [text for text in SAID.values() if text in everything] == []


async def test_what_was_said_is_told_where_it_is_asked_for(house: House, told: Told) -> None:
    await say_it_all(house, agent_log_prompts=True)

    first, second = (span for span in told.named("chat") if "gen_ai.output.messages" in of(span))
    asked = {"role": "user", "parts": [{"type": "text", "content": SAID["task"]}]}
    assert json.loads(of(first)["gen_ai.input.messages"]) == [asked]
    (called,) = json.loads(of(first)["gen_ai.output.messages"])
    (part,) = called["parts"]
    assert (called["finish_reason"], part["type"], part["name"]) == ("tool_call", "tool_call", "water")
    assert SAID["arguments"] in part["arguments"]
    # Only what is new: the conversation so far is in the spans before.
    answered = {"type": "tool_call_response", "id": part["id"], "response": SAID["result"]}
    assert json.loads(of(second)["gen_ai.input.messages"])[-1] == {"role": "tool", "parts": [answered]}
    assert SAID["task"] not in of(second)["gen_ai.input.messages"]
    said = {
        "role": "assistant",
        "parts": [{"type": "text", "content": SAID["answer"]}],
        "finish_reason": "stop",
    }
    assert json.loads(of(second)["gen_ai.output.messages"]) == [said]
    watering = told.named("execute_tool")[-1]
    assert SAID["arguments"] in of(watering)["gen_ai.tool.call.arguments"]
    assert of(watering)["gen_ai.tool.call.result"] == SAID["result"]
    assert SAID["error"] not in "".join(span.to_json() for span in told.spans)


async def test_the_page_on_telemetry_names_all_that_comes_out(house: House, told: Told) -> None:
    await say_it_all(house, agent_log_prompts=True)

    points = told.points()
    names_ = {key for span in told.spans for key in of(span)} | {name for name, _ in points}
    names_ |= {key for _, point in points for key in point.attributes}
    assert len(names_) > 25
    assert {name for name in names_ if f"`{name}`" not in PAGE} == set()


async def test_a_run_that_goes_wrong_says_how(house: House, told: Told) -> None:
    house.fake.script([holds(says("never"))])
    async with house.worker():
        refused = await house.client.start_workflow(
            "AgentWorkflow", {"agent": "assistant"}, id=f"bad-{house.queue}", task_queue=house.queue
        )
        with pytest.raises(WorkflowFailureError):
            await refused.result()
        cancelled = await house.start(id=f"gone-{house.queue}")
        await house.fake.wait_held()
        await cancelled.cancel()
        with pytest.raises(WorkflowFailureError):
            await cancelled.result()

    told_of = {of(s)["gen_ai.conversation.id"]: s for s in told.named("invoke_agent")}
    assert {run: (s.status.status_code, of(s)["error.type"]) for run, s in told_of.items()} == {
        refused.id: (StatusCode.ERROR, "RunFailed"),
        cancelled.id: (StatusCode.ERROR, "CancelledError"),
    }
    (chat,) = told.named("chat")
    assert of(chat)["error.type"] == "CancelledError"


async def test_a_workflow_task_that_fails_is_no_span(house: House, told: Told, begun: list[str]) -> None:
    async with house.worker():
        run: WorkflowHandle[Any, Any] = await house.client.start_workflow(
            "UnknownWorkflow", {}, id=f"unknown-{house.queue}", task_queue=house.queue
        )
        async with asyncio.timeout(20):
            while len(begun) < 2:
                await asyncio.sleep(0.05)
        await run.terminate()

    assert told.spans == ()


async def test_an_execution_that_continues_as_new_is_no_error(
    house: House, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "CONTINUE_EVENTS", 12)
    house.fake.script([calls(("list_files", {"pattern": "*"})), says("done")])
    async with house.worker():
        await (await house.start()).result()

    *first, last = sorted(told.named("invoke_agent"), key=lambda span: span.end_time or 0)
    assert first
    assert {span.status.status_code for span in first} == {StatusCode.OK}
    assert last.status.status_code is StatusCode.UNSET
    assert {span.name for span in first} == {last.name} == {"invoke_agent assistant"}
    assert len({span.context.trace_id for span in told.spans}) == 1
    calls_told = {name: n for name, n in names(told.spans).items() if not name.startswith("invoke_agent")}
    assert calls_told == {"chat fake-model": 2, "execute_tool list_files": 1}
    (listing,) = told.named("execute_tool")
    assert of(listing)["gen_ai.agent.name"] == "assistant"
