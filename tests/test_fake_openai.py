"""The fake OpenAI server keeps its own promises, seen through the real `openai` package."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from time import monotonic
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from tests.fake_openai import (
    FakeOpenAI,
    Request,
    Step,
    Usage,
    calls,
    delays,
    drops,
    error,
    filtered,
    holds,
    malformed,
    refuses,
    says,
    truncated,
)

Ask = Callable[..., Awaitable[Any]]
TWO_READS = calls(("read_file", {"path": "a.md"}), ("read_file", {"path": "b.md"}), reasoning="Read both.")
PATHS = {"responses": "/v1/responses", "chat": "/v1/chat/completions"}


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def client(fake: FakeOpenAI) -> AsyncIterator[AsyncOpenAI]:
    http = httpx2.AsyncClient(verify=False)  # loading certificates takes longer than all else here
    async with AsyncOpenAI(
        api_key="sk-test", base_url=fake.base_url, max_retries=0, http_client=http
    ) as client:
        yield client


@pytest.fixture(params=["responses", "chat"])
def ask(request: pytest.FixtureRequest, client: AsyncOpenAI) -> Ask:
    """One request with a user's text, by either API."""

    async def by_responses(text: str, **more: Any) -> Any:
        return await client.responses.create(model="gpt-test", input=text, **more)

    async def by_chat(text: str, **more: Any) -> Any:
        messages: Any = [{"role": "user", "content": text}]
        return await client.chat.completions.create(model="gpt-test", messages=messages, **more)

    return by_responses if request.param == "responses" else by_chat


def text_of(reply: Any) -> str | None:
    return reply.output_text if hasattr(reply, "output_text") else reply.choices[0].message.content


async def post(fake: FakeOpenAI, api: str, body: Any, timeout: float = 10) -> httpx2.Response:
    """A request without the client's own ideas of what a request is."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": "Bearer sk-test"}
    async with httpx2.AsyncClient(timeout=timeout, verify=False) as http:
        return await http.post(f"http://{fake.host}{PATHS[api]}", content=content, headers=headers)


# Dialogues


async def test_a_dialogue_over_the_responses_api_passes_every_item_back_unchanged(
    fake: FakeOpenAI, client: AsyncOpenAI
) -> None:
    fake.script([TWO_READS, says("Done.", usage=Usage(input=900, cached=800, output=20, reasoning=5))])
    tools: Any = [
        {"type": "function", "name": "read_file", "parameters": {"type": "object"}, "strict": False}
    ]
    history: Any = [{"role": "user", "content": "Compare a and b."}]

    first = await client.responses.create(model="gpt-test", input=history, tools=tools)
    asked = [item for item in first.output if item.type == "function_call"]
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": call.name} for call in asked
    ]
    history += [item.to_dict() for item in first.output] + results
    second = await client.responses.create(model="gpt-test", input=history, tools=tools)

    assert [item.type for item in first.output] == ["reasoning", "function_call", "function_call"]
    assert [json.loads(call.arguments) for call in asked] == [{"path": "a.md"}, {"path": "b.md"}]
    assert len({call.call_id for call in asked}) == 2
    assert (second.status, second.output_text) == ("completed", "Done.")
    assert second.usage is not None
    assert (second.usage.total_tokens, second.usage.input_tokens_details.cached_tokens) == (920, 800)
    assert [(received.turn, received.paid) for received in fake.of("Compare a and b.")] == [
        (0, True),
        (1, True),
    ]
    assert fake.requests[1].history.startswith(fake.requests[0].history)
    assert fake.requests[1].body["input"] == history


async def test_a_dialogue_over_chat_completions(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script([TWO_READS, says("Done.", usage=Usage(input=900, cached=800, output=20))])
    tools: Any = [{"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}]
    history: Any = [{"role": "user", "content": "Compare a and b."}]

    first = await client.chat.completions.create(model="gpt-test", messages=history, tools=tools)
    asked = first.choices[0].message.tool_calls or []
    results = [{"role": "tool", "tool_call_id": call.id, "content": "text"} for call in asked]
    history += [first.choices[0].message.to_dict(), *results]
    second = await client.chat.completions.create(model="gpt-test", messages=history, tools=tools)

    assert first.choices[0].finish_reason == "tool_calls"
    assert [call.to_dict()["function"] for call in asked] == [
        {"name": "read_file", "arguments": '{"path":"a.md"}'},
        {"name": "read_file", "arguments": '{"path":"b.md"}'},
    ]
    assert second.choices[0].message.content == "Done."
    assert second.usage is not None
    assert second.usage.prompt_tokens_details is not None
    assert (second.usage.total_tokens, second.usage.prompt_tokens_details.cached_tokens) == (920, 800)
    assert [received.turn for received in fake.requests] == [0, 1]
    assert fake.requests[1].history.startswith(fake.requests[0].history)


@pytest.mark.parametrize(
    ("step", "responses", "chat"),
    [
        (refuses("No."), ("completed", None, "No."), ("stop", None, "No.")),
        (truncated("Half"), ("incomplete", "max_output_tokens", "Half"), ("length", "Half", None)),
        (filtered(), ("incomplete", "content_filter", None), ("content_filter", None, None)),
        (
            truncated(calls(("f", '{"pa'))),
            ("incomplete", "max_output_tokens", '{"pa'),
            ("length", None, None),
        ),
    ],
)
async def test_replies_that_end_otherwise_say_so_in_the_words_of_each_api(
    fake: FakeOpenAI, client: AsyncOpenAI, step: Step, responses: Any, chat: Any
) -> None:
    fake.script([step])

    one = await client.responses.create(model="gpt-test", input="Hello")
    two = await client.chat.completions.create(model="gpt-test", messages=[{"role": "user", "content": "Hi"}])

    reason = one.incomplete_details.reason if one.incomplete_details else None
    contents = [item.to_dict().get("arguments") or item.to_dict()["content"][0] for item in one.output]
    said = next((c if isinstance(c, str) else c.get("text") or c["refusal"] for c in contents), None)
    choice = two.choices[0]
    assert (one.status, reason, said) == responses
    assert (choice.finish_reason, choice.message.content, choice.message.refusal) == chat


async def test_without_a_given_usage_tokens_follow_the_length_and_an_identical_prefix_is_cached(
    fake: FakeOpenAI, client: AsyncOpenAI
) -> None:
    fake.script([says("One."), says("Two.")])
    history: Any = [{"role": "user", "content": "word " * 2000}]

    first = await client.responses.create(model="gpt-test", input=history)
    history += [*(item.to_dict() for item in first.output), {"role": "user", "content": "And?"}]
    second = await client.responses.create(model="gpt-test", input=history)

    assert first.usage is not None
    assert second.usage is not None
    assert first.usage.input_tokens == fake.requests[0].size // 4 + 1
    assert first.usage.input_tokens_details.cached_tokens == 0
    assert second.usage.input_tokens_details.cached_tokens == 2432  # of 2,509: whole steps of 128


async def test_previous_response_id_stands_for_the_history(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script([calls(("f", {}), reasoning="Hm."), says("Done.")])

    first = await client.responses.create(model="gpt-test", input="Go")
    call: Any = first.output[1]
    result: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "ok"}]
    second = await client.responses.create(model="gpt-test", input=result, previous_response_id=first.id)

    assert second.output_text == "Done."
    assert [received.turn for received in fake.of("Go")] == [0, 1]
    with pytest.raises(openai.BadRequestError, match="not found"):
        await client.responses.create(model="gpt-test", input="x", previous_response_id="resp_other")


# Trouble


@pytest.mark.parametrize(
    ("step", "expected", "code"),
    [
        (
            error(429, {"retry-after-ms": "1500", "retry-after": "2"}),
            openai.RateLimitError,
            "rate_limit_exceeded",
        ),
        (error(429, code="insufficient_quota"), openai.RateLimitError, "insufficient_quota"),
        (error(400, code="context_length_exceeded"), openai.BadRequestError, "context_length_exceeded"),
        (error(502, body="<html>Bad gateway</html>"), openai.InternalServerError, None),
    ],
)
async def test_an_error_has_the_shape_of_the_api_and_the_retry_gets_the_next_step(
    fake: FakeOpenAI, ask: Ask, step: Any, expected: type[openai.APIStatusError], code: str | None
) -> None:
    fake.script([step, says("Better.")])

    with pytest.raises(expected) as raised:
        await ask("Hello")
    reply = await ask("Hello")

    assert raised.value.code == code
    assert {**raised.value.response.headers, **step.headers} == dict(raised.value.response.headers)
    assert text_of(reply) == "Better."
    assert (fake.paid, fake.repeats, fake.requests[0].status) == (1, 0, step.status)


@pytest.mark.parametrize(("after", "paid"), [("nothing", 1), ("headers", 2), ("half_body", 2)])
async def test_a_dropped_connection_is_paid_once_the_reply_was_generated(
    fake: FakeOpenAI, ask: Ask, after: Any, paid: int
) -> None:
    fake.script([drops(after), says("Better.")])

    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        await ask("Hello")
    reply = await ask("Hello")

    assert text_of(reply) == "Better."
    assert (fake.paid, fake.repeats) == (paid, 0)
    assert [received.answered for received in fake.requests] == [False, True]


async def test_a_malformed_answer_is_a_200_that_nobody_can_use(fake: FakeOpenAI) -> None:
    fake.script([malformed(), malformed({"choices": []}), says("Better.")])

    broken = await post(fake, "chat", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
    misshapen = await post(fake, "chat", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]})

    assert (broken.status_code, misshapen.status_code, misshapen.json()) == (200, 200, {"choices": []})
    with pytest.raises(ValueError, match="Expecting value"):
        broken.json()
    assert fake.paid == 0


async def test_a_held_request_is_answered_when_the_test_releases_it(fake: FakeOpenAI, ask: Ask) -> None:
    fake.script([holds(says("At last."))])

    waiting = asyncio.ensure_future(ask("Hello"))
    await fake.wait_held(key="Hello")
    held = (waiting.done(), fake.held(), fake.paid, fake.requests[0].answered)
    released = fake.release()
    reply = await waiting

    assert held == (False, 1, 0, False)
    assert (released, text_of(reply)) == (1, "At last.")
    assert (fake.held(), fake.paid, fake.requests[0].answered) == (0, 1, True)


async def test_a_delayed_request_is_answered_later(fake: FakeOpenAI, ask: Ask) -> None:
    fake.script([delays(says("Late."), 0.1)])

    started = monotonic()
    reply = await ask("Hello")

    assert text_of(reply) == "Late."
    assert monotonic() - started >= 0.1


# Repeats


async def test_the_same_bytes_get_the_same_reply_and_count_as_a_repeat(fake: FakeOpenAI, ask: Ask) -> None:
    fake.script([calls(("f", {})), says("Next.")])

    first, again, other = await ask("Hello"), await ask("Hello"), await ask("Hello", temperature=0.5)

    assert first.to_dict() | {"created": 0, "created_at": 0} == again.to_dict() | {
        "created": 0,
        "created_at": 0,
    }
    assert text_of(other) == "Next."
    assert [received.repeat for received in fake.requests] == [False, True, False]
    assert (fake.paid, fake.repeats) == (3, 1)


async def test_a_call_lost_while_it_was_held_is_paid_and_its_repeat_gets_the_reply_at_once(
    fake: FakeOpenAI,
) -> None:
    fake.script([holds(says("Once."))])
    body = {"model": "m", "input": "Hello"}

    with pytest.raises(httpx2.ReadTimeout):
        await post(fake, "responses", body, timeout=0.2)
    again = await post(fake, "responses", body)

    assert again.json()["output"][0]["content"][0]["text"] == "Once."
    assert [(r.repeat, r.paid, r.answered) for r in fake.requests] == [
        (False, True, False),
        (True, True, True),
    ]
    assert fake.held() == 0


async def test_conversations_side_by_side_follow_their_own_scripts(fake: FakeOpenAI, ask: Ask) -> None:
    fake.script([says("Other 1."), says("Other 2.")])
    fake.script([says("Mine.")], task="mine")

    replies = await asyncio.gather(ask("a"), ask("mine"), ask("b"), ask("c"))
    second = await ask("a", temperature=0.5)

    assert [text_of(reply) for reply in replies] == ["Other 1.", "Mine.", "Other 1.", "Other 1."]
    assert text_of(second) == "Other 2."


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_a_function_can_decide_by_the_conversation(fake: FakeOpenAI, api: str) -> None:
    seen: list[Request] = []
    fake.respond(lambda request: seen.append(request) or says(f"turn {request.turn}"))
    if api == "responses":
        call: Any = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
        result: Any = {"type": "function_call_output", "call_id": "c1", "output": "42"}
        body = {"model": "m", "input": [{"role": "user", "content": "Go"}, call, result]}
    else:
        asked = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        call = {"role": "assistant", "content": None, "tool_calls": [asked]}
        result = {"role": "tool", "tool_call_id": "c1", "content": "42"}
        body = {"model": "m", "messages": [{"role": "user", "content": "Go"}, call, result]}

    await post(fake, api, body)

    assert [(request.conversation, request.turn, request.outputs) for request in seen] == [("Go", 1, ("42",))]


def test_a_request_beyond_the_script_is_final_and_fails_the_test() -> None:
    def ask_once_too_often() -> None:
        with FakeOpenAI() as fake:
            fake.script([])
            statuses.append(
                asyncio.run(post(fake, "responses", {"model": "m", "input": "Hello"})).status_code
            )

    statuses: list[int] = []
    with pytest.raises(AssertionError, match="the script of 'Hello' has 0 steps"):
        ask_once_too_often()

    assert statuses == [400]


# What the API refuses

USER = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
ASKED = {
    "role": "assistant",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
OPEN_SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}}


@pytest.mark.parametrize(
    ("api", "body", "message"),
    [
        ("responses", b"{", "could not parse"),
        ("responses", {"input": "Hi"}, "Missing required parameter: 'model'"),
        ("responses", {"model": "m"}, "Missing required parameter: 'input'"),
        ("responses", {"model": "m", "messages": [USER]}, "Unknown parameter: 'messages'"),
        ("responses", {"model": "m", "input": [USER, CALL]}, "No tool output found for function call c1"),
        ("responses", {"model": "m", "input": [USER, OUTPUT]}, "No tool call found for function call output"),
        ("responses", {"model": "m", "input": [USER, OUTPUT, CALL]}, "No tool call found for function call output"),
        ("responses", {"model": "m", "input": [USER, CALL, OUTPUT, OUTPUT]}, "Duplicate"),
        ("responses", {"model": "m", "input": [{"role": "robot", "content": ""}]}, "Invalid value: 'robot'"),
        ("responses", {"model": "m", "input": [USER | {"content": [{"type": "output_text"}]}]}, "'input_text'"),
        ("responses", {"model": "m", "input": "Hi", "tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
        ("responses", {"model": "m", "input": "Hi", "stream": True}, "does not support 'stream'"),
        ("responses", {"model": "m", "input": "Hi", "tool_choice": "none"}, "only allowed when 'tools' are specified"),
        (
            "responses",
            {"model": "m", "input": "Hi", "text": {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": OPEN_SCHEMA}}},
            "'additionalProperties' is required",
        ),
        ("chat", {"model": "m", "input": "Hi"}, "Unknown parameter: 'input'"),
        ("chat", {"model": "m", "messages": []}, "empty array"),
        ("chat", {"model": "m", "messages": [USER], "tool_choice": "none"}, "only allowed when 'tools' are specified"),
        ("chat", {"model": "m", "messages": [USER, ASKED]}, "did not have response messages: c1"),
        ("chat", {"model": "m", "messages": [USER, ASKED, USER]}, "did not have response messages: c1"),
        ("chat", {"model": "m", "messages": [USER, {"role": "tool", "tool_call_id": "c1", "content": ""}]}, "role 'tool'"),
        ("chat", {"model": "m", "messages": [{"role": "robot", "content": ""}]}, "Invalid value: 'robot'"),
        ("chat", {"model": "m", "messages": [{"role": "user", "content": None}]}, "got null"),
        ("chat", {"model": "m", "messages": [USER], "tools": [{"type": "function", "name": "f"}]}, "tools[0].function"),
        (
            "chat",
            {"model": "m", "messages": [USER], "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": OPEN_SCHEMA | {"additionalProperties": False}}}]},
            "Missing 'x'",
        ),
    ],
)  # fmt: skip
async def test_a_request_that_the_api_would_refuse_is_refused(
    fake: FakeOpenAI, api: str, body: Any, message: str
) -> None:
    fake.script([says("Never said.")])

    answer = await post(fake, api, body)

    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert message in str(fake.requests[0].problem)
    assert fake.paid == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, call, result: [r | {"status": None}, call, result], "was altered: status"),
        (lambda r, call, result: [r | {"summary": []}, call, result], "was altered: summary"),
        (lambda r, call, result: [r | {"id": "rs_other"}, call, result], "not found"),
        (lambda r, call, result: [call, result], "without its required 'reasoning' item"),
        (lambda r, call, result: [call, r, result], "without its required 'reasoning' item"),
        (lambda r, call, result: [r, USER, call, result], "without its required following item"),
        (lambda r, call, result: [r], "without its required following item"),
    ],
)
async def test_reasoning_must_come_back_as_it_was_and_before_its_call(
    fake: FakeOpenAI, change: Callable[[Any, Any, Any], list[Any]], message: str
) -> None:
    fake.script([calls(("f", {}), reasoning="Hm."), says("Never said.")])
    first = (await post(fake, "responses", {"model": "m", "input": "Hi"})).json()
    reasoning, call = first["output"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "ok"}

    changed = change(reasoning, call, result)
    answer = await post(fake, "responses", {"model": "m", "input": [USER, *changed]})

    assert answer.status_code in (400, 404)
    assert message in answer.json()["error"]["message"]


async def test_only_a_bearer_may_ask_and_only_for_what_there_is(
    fake: FakeOpenAI, client: AsyncOpenAI
) -> None:
    models = [model.id async for model in client.models.list()]
    async with httpx2.AsyncClient(verify=False) as http:
        nobody = await http.post(f"{fake.base_url}/responses", json={"model": "m", "input": "Hi"})
        nowhere = await http.get(f"{fake.base_url}/embeddings", headers={"authorization": "Bearer x"})

    assert models == ["gpt-test"]
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "invalid_api_key")
    assert nowhere.status_code == 404


async def test_a_body_may_come_in_chunks_and_need_not_be_kept() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"model": "m", "input": "'
        yield b"x" * 3_000_000 + b'"}'

    with FakeOpenAI(keep_bodies=False) as fake:
        fake.script([says("Long.")])
        async with httpx2.AsyncClient(headers={"authorization": "Bearer x"}, verify=False) as http:
            answer = await http.post(f"{fake.base_url}/responses", content=chunks())

    assert answer.status_code == 200
    assert (fake.requests[0].size, fake.requests[0].raw) == (3_000_027, b"")
