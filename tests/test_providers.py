"""What the providers send and what they make of the answer, over the real client against the fake server."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import pairwise
from typing import Any

import openai
import pytest

from activities.providers.base import Provider, ReplyFailed, ReplyMalformed, ReplyTooLarge
from activities.providers.chat import ChatProvider
from activities.providers.endpoint import Endpoint
from activities.providers.functions import fits_strict
from activities.providers.responses import ResponsesProvider
from agents import bounds
from agents.agent import Definition, ToolSpec
from agents.effect import READ, Dial
from agents.reply import Reply, Usage
from agents.transcript import Message, ReplyEntry, Result
from tests.fake_openai import FakeOpenAI, calls, drops, error, filtered, malformed, refuses, says, truncated
from tests.fake_openai import Usage as Counted

LOOSE: dict[str, Any] = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "limit": {"type": "integer", "default": 9}},
    "required": ["path"],
}
CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"query": {"type": "string"}},
    "required": ["query"],
    "additionalProperties": False,
}
OUTPUT: dict[str, Any] = {
    "type": "object",
    "properties": {"total": {"type": "integer"}},
    "required": ["total"],
    "additionalProperties": False,
}
APIS = {"responses": ResponsesProvider, "chat": ChatProvider}


class Conversation:
    """A run's side of a dialogue: what it appends, and the whole transcript encoded for each call."""

    def __init__(self, api: Any, endpoint: Endpoint, **changes: Any) -> None:
        tools = (
            ToolSpec(name="read_file", description="Reads a file.", parameters=LOOSE, effect=READ),
            ToolSpec(name="search", description="Searches.", parameters=CLOSED, effect=READ),
        )
        self.definition = Definition(
            **{
                "agent": "a",
                "instructions": "Be “brief”.",
                "model": "gpt-test",
                "api": api,
                "tools": tools,
                "dial": Dial.PROPOSE,
                "max_turns": 9,
                **changes,
            }
        )
        self.provider: Provider = APIS[api](endpoint)
        self.entries: list[Message | ReplyEntry | Result] = [Message(text="Compare a and b. ☃")]

    async def ask(self) -> Reply:
        reply = await self._complete(self.entries)
        self.entries.append(ReplyEntry(turn=len(self.entries), reply=reply))
        return reply

    async def ask_aside(self, question: str) -> Reply:
        """While the calls of the last reply wait for a person."""
        assert isinstance(self.entries[-1], ReplyEntry)
        waiting = [
            Result(
                call=f"t1.c{number}", provider_id=call.id, tool=call.tool, state="denied", content="It waits."
            )
            for number, call in enumerate(self.entries[-1].reply.calls, start=1)
        ]
        return await self._complete([*self.entries, *waiting, Message(text=question)], aside=True)

    async def _complete(
        self, entries: Sequence[Message | ReplyEntry | Result], *, aside: bool = False
    ) -> Reply:
        chunks = [chunk for entry in entries if (chunk := self.provider.encode(entry))]
        return await self.provider.complete(self.definition, chunks, cache_key="chain-1", aside=aside)

    def settle(self, reply: Reply, content: str = "text") -> None:
        for number, call in enumerate(reply.calls, start=1):
            self.entries.append(
                Result(
                    call=f"t1.c{number}", provider_id=call.id, tool=call.tool, state="done", content=content
                )
            )


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def endpoint(fake: FakeOpenAI) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint("sk-test", fake.base_url)
    yield endpoint
    await endpoint.aclose()


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def talk(api: str, endpoint: Endpoint) -> Conversation:
    return Conversation(api, endpoint)


# What is sent


async def test_calls_side_by_side_and_their_results_go_back_as_the_model_issued_them(
    fake: FakeOpenAI, talk: Conversation
) -> None:
    odd = '{ "path":"b.md" , "limit": 1.0e1 }'
    fake.script([calls(("read_file", {"path": "a.md"}), ("read_file", odd), text="Both."), says("Done.")])

    first = await talk.ask()
    talk.settle(first)
    second = await talk.ask()

    assert (first.finish, first.text) == ("calls", "Both.")
    assert [(call.tool, call.arguments, call.problem) for call in first.calls] == [
        ("read_file", '{"path":"a.md"}', None),
        ("read_file", odd, None),
    ]
    assert "a.md" not in json.dumps(first.items)
    assert json.dumps(odd).encode() in fake.requests[1].raw
    assert (second.finish, second.text, second.calls) == ("stop", "Done.", ())


async def test_reasoning_goes_back_unchanged_although_the_server_stores_nothing(
    fake: FakeOpenAI, endpoint: Endpoint
) -> None:
    talk = Conversation("responses", endpoint)
    fake.script([calls(("search", {"query": "x"}), reasoning="Think."), says("Done.", reasoning="More.")])

    talk.settle(await talk.ask())
    await talk.ask()

    sent = fake.requests[1].body
    reasoning = next(item for item in sent["input"] if item.get("type") == "reasoning")
    assert (sent["store"], sent["include"]) == (False, ["reasoning.encrypted_content"])
    assert reasoning["encrypted_content"]
    assert talk.entries[1].reply.items[0] == reasoning  # type: ignore[union-attr]


async def test_an_item_of_an_unknown_type_goes_back_unchanged() -> None:
    item = {"type": "web_thought", "id": "wt_1", "deep": [1, {"a": None}]}
    body = json.dumps({"output": [item], "model": "m"}).encode()
    provider = ResponsesProvider(Endpoint("k"))

    async def answer(*_: object) -> bytes:
        return body

    provider._endpoint.post = answer  # type: ignore[method-assign]
    reply = await provider.complete(Conversation("responses", Endpoint("k")).definition, [], "k")

    assert json.loads(provider.encode(ReplyEntry(turn=1, reply=reply))) == item


async def test_prefixes_stay_byte_identical_from_turn_to_turn(fake: FakeOpenAI, talk: Conversation) -> None:
    fake.script([calls(("search", {"query": f"é{turn}"}), reasoning="Hm.", text="So.") for turn in range(5)])

    for _ in range(5):
        talk.settle(await talk.ask(), content="☃ and \u2028 and \\ and \x00")

    bodies = [received.raw.removesuffix(b"]}") for received in fake.requests]
    assert all(later.startswith(earlier) for earlier, later in pairwise(bodies))
    assert fake.repeats == 0


async def test_the_request_says_what_the_definition_says(
    fake: FakeOpenAI, api: str, endpoint: Endpoint
) -> None:
    talk = Conversation(api, endpoint, max_output_tokens=77)
    fake.script([says("Done.")])

    await talk.ask()

    body = fake.requests[0].body
    assert (body["model"], body["prompt_cache_key"], body["parallel_tool_calls"]) == (
        "gpt-test",
        "chain-1",
        True,
    )
    if api == "responses":
        assert (body["instructions"], body["max_output_tokens"]) == ("Be “brief”.", 77)
        assert body["input"] == [{"role": "user", "content": "Compare a and b. ☃"}]
    else:
        assert body["max_completion_tokens"] == 77
        assert body["messages"] == [
            {"role": "system", "content": "Be “brief”."},
            {"role": "user", "content": "Compare a and b. ☃"},
        ]
    assert fake.requests[0].headers["content-type"] == "application/json"


async def test_an_agent_without_tools_offers_none(fake: FakeOpenAI, api: str, endpoint: Endpoint) -> None:
    fake.script([says("Done.")])

    await Conversation(api, endpoint, tools=()).ask()

    assert not {"tools", "parallel_tool_calls"} & fake.requests[0].body.keys()


async def test_functions_are_strict_only_where_the_schema_qualifies(
    fake: FakeOpenAI, api: str, endpoint: Endpoint
) -> None:
    fake.script([calls(("finish", {"total": 3}))])

    reply = await Conversation(api, endpoint, output=OUTPUT).ask()

    tools = fake.requests[0].body["tools"]
    functions = [tool if api == "responses" else tool["function"] for tool in tools]
    assert [(function["name"], function.get("strict", False)) for function in functions] == [
        ("read_file", False),
        ("search", True),
        ("finish", True),
    ]
    assert functions[2]["parameters"] == OUTPUT
    assert [(call.tool, call.problem) for call in reply.calls] == [("finish", None)]


async def test_a_question_aside_forbids_calls_and_shares_all_that_a_prompt_cache_goes_by(
    fake: FakeOpenAI, api: str, talk: Conversation
) -> None:
    fake.script([calls(("search", {"query": "x"}), reasoning="Hm."), says("Because."), says("Done.")])

    first = await talk.ask()
    aside = await talk.ask_aside("Why?")
    talk.settle(first)
    await talk.ask()

    before, asked, after = fake.requests
    assert aside.text == "Because."
    assert ["tool_choice" in received.body for received in fake.requests] == [False, True, False]
    assert asked.body["tool_choice"] == "none"
    items = "input" if api == "responses" else "messages"
    assert {k: v for k, v in asked.body.items() if k not in ("tool_choice", items)} == {
        k: v for k, v in after.body.items() if k != items
    }
    shared = len(after.body[items]) - 1  # all but the call's result
    assert asked.history.startswith(before.history)
    assert asked.body[items][:shared] == after.body[items][:shared]
    assert asked.body[items][-1] == {"role": "user", "content": "Why?"}


async def test_a_question_aside_to_an_agent_without_tools_forbids_nothing(
    fake: FakeOpenAI, api: str, endpoint: Endpoint
) -> None:
    talk = Conversation(api, endpoint, tools=())
    fake.script([says("Hm."), says("Because.")])

    await talk.ask()

    assert (await talk.ask_aside("Why?")).text == "Because."
    assert "tool_choice" not in fake.requests[1].body


async def test_a_server_that_cannot_be_forbidden_calls_is_asked_without(
    fake: FakeOpenAI, talk: Conversation
) -> None:
    refused = {"error": {"message": "Unsupported parameter: tool_choice", "param": "tool_choice"}}
    fake.script([says("Hm."), error(400, body=refused), says("Because.")])

    await talk.ask()

    assert (await talk.ask_aside("Why?")).text == "Because."
    assert ["tool_choice" in received.body for received in fake.requests] == [False, True, False]


async def test_what_a_server_refuses_but_can_do_without_is_left_out_from_then_on(
    fake: FakeOpenAI, endpoint: Endpoint
) -> None:
    talk = Conversation("responses", endpoint)
    message = "Encrypted content is not supported with this model."
    refused = {"error": {"message": message, "type": "invalid_request_error", "param": "include"}}
    fake.script(
        [
            error(400, body=refused),
            error(422, body={"detail": [{"loc": ["body", "prompt_cache_key"], "msg": "extra forbidden"}]}),
            says("One."),
            says("Two."),
        ]
    )

    replies = [await talk.ask(), await talk.ask()]

    assert [reply.text for reply in replies] == ["One.", "Two."]
    assert ["include" in received.body for received in fake.requests] == [True, False, False, False]
    assert ["prompt_cache_key" in received.body for received in fake.requests] == [True, True, False, False]


async def test_a_refusal_of_anything_else_is_not_repeated(fake: FakeOpenAI, talk: Conversation) -> None:
    fake.script([error(400, body={"error": {"message": "The input does not include a message."}})])

    with pytest.raises(openai.BadRequestError):
        await talk.ask()
    assert len(fake.requests) == 1


@pytest.mark.parametrize("step", [error(500), error(429), drops(), drops("half_body")])
async def test_the_client_never_retries_by_itself(fake: FakeOpenAI, talk: Conversation, step: Any) -> None:
    fake.script([step])

    with pytest.raises(openai.APIError):
        await talk.ask()
    assert len(fake.requests) == 1


# What comes back


async def test_a_refusal_carries_the_models_words(fake: FakeOpenAI, talk: Conversation) -> None:
    fake.script([refuses("I will not.")])

    reply = await talk.ask()

    assert (reply.finish, reply.text) == ("refused", "I will not.")


async def test_a_filtered_reply_is_told_apart(fake: FakeOpenAI, talk: Conversation) -> None:
    fake.script([filtered("Half a")])

    reply = await talk.ask()

    assert (reply.finish, reply.text) == ("filtered", "Half a")


async def test_truncated_text_is_kept_and_can_go_back(fake: FakeOpenAI, talk: Conversation) -> None:
    fake.script([truncated("Half a"), says("sentence.")])

    reply = await talk.ask()
    talk.entries.append(Message(text="Go on."))
    await talk.ask()

    assert (reply.finish, reply.text) == ("length", "Half a")


async def test_a_reply_cut_off_before_it_said_anything_does_not_poison_the_conversation(
    fake: FakeOpenAI, api: str, endpoint: Endpoint
) -> None:
    talk = Conversation(api, endpoint)
    # The API refuses reasoning that nothing follows, and an empty message: these may not be sent back.
    fake.script([truncated(calls(reasoning="Thought too long.")), says("Briefly.")])

    first = await talk.ask()
    talk.entries.append(Message(text="Go on more briefly."))
    second = await talk.ask()

    assert (first.finish, first.text, second.text) == ("length", "", "Briefly.")


async def test_of_a_truncated_turn_the_complete_calls_stand_and_the_cut_one_has_a_problem(
    fake: FakeOpenAI, talk: Conversation
) -> None:
    fake.script(
        [
            truncated(calls(("search", {"query": "x"}), ("search", '{"que'), ("search", ""))),
            says("Done."),
        ]
    )

    reply = await talk.ask()
    talk.settle(reply)
    await talk.ask()

    assert reply.finish == "length"
    assert [call.problem and call.problem.split(":")[0] for call in reply.calls] == [
        None,
        "the arguments are not JSON",
        "the reply was cut off before the arguments were written; make the call again",
    ]


async def test_a_bad_call_has_a_problem_by_the_snapshots_schema(fake: FakeOpenAI, talk: Conversation) -> None:
    fake.script([calls(("search", {"q": 1}), ("serch", {}), ("search", {"query": "x"}))])

    problems = [call.problem for call in (await talk.ask()).calls]

    assert problems[0] is not None
    assert "'query' is a required property" in problems[0]
    assert problems[1:] == ["unknown tool 'serch'; known tools: read_file, search", None]


async def test_finish_must_be_alone(fake: FakeOpenAI, api: str, endpoint: Endpoint) -> None:
    fake.script([calls(("finish", {"total": 3}), ("search", {"query": "x"}))])

    reply = await Conversation(api, endpoint, output=OUTPUT).ask()

    assert [call.problem for call in reply.calls] == ["finish must be the only call of its turn", None]


async def test_calls_beyond_the_turns_limit_have_a_problem(fake: FakeOpenAI, talk: Conversation) -> None:
    fake.script([calls(*[("search", {"query": "x"})] * (bounds.CALLS_PER_TURN + 2))])

    problems = [call.problem for call in (await talk.ask()).calls]

    assert problems[: bounds.CALLS_PER_TURN] == [None] * bounds.CALLS_PER_TURN
    assert problems[-1] == (
        "a turn has at most 256 calls and this one was number 258; make it in a later turn"
    )


async def test_usage_counts_cached_and_reasoning_tokens(fake: FakeOpenAI, talk: Conversation) -> None:
    fake.script([says("Done.", usage=Counted(input=900, cached=800, output=20, reasoning=5))])

    reply = await talk.ask()

    assert reply.usage == Usage(input_tokens=900, cached_tokens=800, output_tokens=20, reasoning_tokens=5)
    assert reply.model == "gpt-test"


MINIMAL = {
    "responses": {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]},
    "chat": {"choices": [{"message": {"role": "assistant", "content": "Hi"}}]},
}


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": None, "prompt_tokens": "many"}, 7])
async def test_a_compatible_server_may_leave_out_usage_status_and_model(
    fake: FakeOpenAI, talk: Conversation, api: str, usage: Any
) -> None:
    fake.script([malformed({**MINIMAL[api], "usage": usage})])

    reply = await talk.ask()

    assert (reply.finish, reply.text, reply.usage, reply.model) == ("stop", "Hi", Usage(), "")


@pytest.mark.parametrize(("sent", "read"), [({"query": "x"}, '{"query": "x"}'), (None, "")])
async def test_a_compatible_server_may_send_arguments_as_an_object(
    fake: FakeOpenAI, endpoint: Endpoint, sent: Any, read: str
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": sent}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    fake.script([malformed({"choices": [{"message": message}]})])

    reply = await Conversation("chat", endpoint).ask()

    assert [call.arguments for call in reply.calls] == [read]


async def test_several_messages_are_joined(fake: FakeOpenAI, endpoint: Endpoint) -> None:
    def message(*texts: str) -> dict[str, Any]:
        return {"type": "message", "content": [{"type": "output_text", "text": text} for text in texts]}

    fake.script([malformed({"output": [message("Look", "ing."), message(), message("Done.")]})])

    assert (await Conversation("responses", endpoint).ask()).text == "Looking.\n\nDone."


async def test_half_a_surrogate_pair_is_replaced_because_nothing_could_carry_it(
    fake: FakeOpenAI, talk: Conversation, api: str
) -> None:
    body = json.dumps(MINIMAL[api]).replace("Hi", "Hi \\ud83d")
    fake.script([malformed(body), says("Done.")])

    reply = await talk.ask()
    talk.entries.append(Message(text="Go on."))

    assert reply.text == "Hi \ufffd"
    assert Reply.model_validate_json(reply.model_dump_json()) == reply


async def test_a_whole_surrogate_pair_stays_what_it_is(
    fake: FakeOpenAI, talk: Conversation, api: str
) -> None:
    fake.script([malformed(json.dumps(MINIMAL[api]).replace("Hi", "\\ud83d\\ude00"))])

    assert (await talk.ask()).text == "😀"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        "[]",
        '{"output": ',
        "{}",
        {"output": None},
        {"output": [7]},
        {"output": [{"type": "message", "content": 7}]},
        {"output": [{"type": "function_call", "call_id": 7, "name": "x", "arguments": "{}"}]},
        {"choices": []},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": {"a": 1}}}]},
    ],
)
async def test_an_answer_of_another_shape_is_malformed(
    fake: FakeOpenAI, talk: Conversation, body: Any
) -> None:
    fake.script([malformed(body)])

    with pytest.raises(ReplyMalformed):
        await talk.ask()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (
            {"status": "failed", "error": {"code": "server_error", "message": "Oh."}, "output": []},
            "server_error",
        ),
        ({"error": {"code": 502, "message": "Oh."}}, "502"),
        ({"error": {"type": "overloaded", "message": "Oh."}}, "overloaded"),
        ({"error": "Oh."}, None),
    ],
)
async def test_an_error_inside_an_answer_of_success_keeps_its_code(
    fake: FakeOpenAI, talk: Conversation, body: Any, code: str | None
) -> None:
    fake.script([malformed(body)])

    with pytest.raises(ReplyFailed, match=r"Oh\.") as raised:
        await talk.ask()
    assert raised.value.code == code


async def test_a_response_that_was_cancelled_is_no_reply(fake: FakeOpenAI, endpoint: Endpoint) -> None:
    fake.script([malformed({"status": "cancelled", "output": []})])

    with pytest.raises(ReplyFailed, match="cancelled"):
        await Conversation("responses", endpoint).ask()


async def test_a_reply_over_the_bound_says_what_to_do(fake: FakeOpenAI, talk: Conversation) -> None:
    fake.script([says("x" * bounds.REPLY_BYTES)])

    with pytest.raises(ReplyTooLarge, match="max_output_tokens"):
        await talk.ask()


# Strict schemas


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        (CLOSED, True),
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        (LOOSE, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "anyOf": [CLOSED]}, False),
        ({"type": "array", "items": CLOSED}, False),
        ({**CLOSED, "properties": {"query": {"type": "string", "default": "x"}}}, False),
        ({**CLOSED, "properties": {"query": {"type": "array"}}}, False),
        ({**CLOSED, "properties": {"query": {"type": "array", "items": CLOSED}}}, True),
        ({**CLOSED, "properties": {"query": {"type": "array", "items": LOOSE}}}, False),
        ({**CLOSED, "properties": {"query": {"anyOf": [{"type": "null"}, CLOSED]}}}, True),
        ({**CLOSED, "properties": {"query": {"anyOf": [{"type": "null"}, LOOSE]}}}, False),
        ({**CLOSED, "properties": {"query": {}}}, False),
        ({**CLOSED, "properties": {"query": {"enum": ["a"]}}}, True),
        ({**CLOSED, "properties": {"query": {"$ref": "#/$defs/Q"}}, "$defs": {"Q": CLOSED}}, True),
        ({**CLOSED, "properties": {"query": {"$ref": "#/$defs/Q"}}, "$defs": {"Q": LOOSE}}, False),
        ({**CLOSED, "properties": {"query": {"$ref": "#/$defs/Q", "description": "a"}}}, False),
        ({**CLOSED, "properties": {"query": {"type": ["object", "null"]}}}, False),
    ],
)
def test_strict_takes_closed_objects_all_the_way_down(schema: dict[str, Any], fits: bool) -> None:
    assert fits_strict(schema) is fits
