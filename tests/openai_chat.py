"""The Chat Completions API for the fake: what it demands of a request, and what a reply looks like."""

from typing import Any

from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from tests.openai_wire import (
    Issued,
    Json,
    Refused,
    Reply,
    Usage,
    check_format,
    check_function,
    check_name,
    check_tool_choice,
    check_top_level,
    not_one_of,
    required,
)

HISTORY = "messages"
ROLES = ("system", "assistant", "user", "function", "tool", "developer")
FINISH_REASON = {"truncated": "length", "filtered": "content_filter"}


def items_of(body: Json) -> list[Json]:
    """The messages."""
    messages: list[Json] = required(body, "messages", "messages", list)
    if not messages:
        raise Refused(
            "Invalid 'messages': empty array. Expected an array with minimum length 1.",
            "messages",
            "empty_array",
        )
    return messages


def is_from_model(message: Json) -> bool:
    return message.get("role") == "assistant"


def tool_output(message: Json) -> Any:
    """What a tool gave back, or None when the message is something else."""
    return message["content"] if message.get("role") == "tool" else None


def check_body(body: Json) -> None:
    check_top_level(body, CompletionCreateParamsNonStreaming.__annotations__)
    check_tool_choice(body)
    for index, tool in enumerate(body.get("tools") or []):
        if tool.get("type") == "function":
            function = required(tool, "function", f"tools[{index}].function", dict)
            check_function(function, f"tools[{index}].function")
    described = body.get("response_format") or {}
    if described.get("type") == "json_schema":
        check_format(
            required(described, "json_schema", "response_format.json_schema", dict), "response_format"
        )


def check_items(messages: list[Json], _: Issued) -> None:
    """The rules between the messages of a conversation.

    Raises:
        Refused: With the real API's words.
    """
    open_calls: dict[str, None] = {}
    asked_at = 0
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        _check_shape(message, where)
        if message["role"] == "tool":
            _check_called(message["tool_call_id"], open_calls, where)
        elif open_calls:
            raise _unanswered(open_calls, asked_at)
        else:
            open_calls, asked_at = {call["id"]: None for call in message.get("tool_calls") or []}, index
    if open_calls:
        raise _unanswered(open_calls, asked_at)


def _check_shape(message: Any, where: str) -> None:
    role = required(message, "role", f"{where}.role", str)
    if role not in ROLES:
        not_one_of(role, ROLES, f"{where}.role")
    if role == "tool":
        required(message, "tool_call_id", f"{where}.tool_call_id", str)
    calls = message.get("tool_calls")
    if calls == []:
        raise Refused(
            f"Invalid '{where}.tool_calls': empty array. Expected an array with minimum length 1.",
            f"{where}.tool_calls",
            "empty_array",
        )
    for index, call in enumerate(calls or []):
        _check_call(call, f"{where}.tool_calls[{index}]")
    if message.get("content") is None and not (role == "assistant" and (calls or message.get("refusal"))):
        raise Refused(
            "Invalid value for 'content': expected a string, got null.", f"{where}.content", "invalid_value"
        )
    if message.get("content") is not None:
        required(message, "content", f"{where}.content", (str, list))


def _check_call(call: Any, where: str) -> None:
    required(call, "id", f"{where}.id", str)
    if required(call, "type", f"{where}.type", str) != "function":
        not_one_of(call["type"], ("function",), f"{where}.type")
    function = required(call, "function", f"{where}.function", dict)
    check_name(required(function, "name", f"{where}.function.name", str), f"{where}.function.name")
    required(function, "arguments", f"{where}.function.arguments", str)


def _check_called(call_id: str, open_calls: dict[str, None], where: str) -> None:
    if call_id not in open_calls:
        raise Refused(
            "Invalid parameter: messages with role 'tool' must be a response to a preceding message "
            "with 'tool_calls'.",
            f"{where}.role",
        )
    del open_calls[call_id]


def _unanswered(open_calls: dict[str, None], asked_at: int) -> Refused:
    return Refused(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(open_calls)}",
        f"messages[{asked_at}].role",
    )


def render(reply: Reply, body: Json, seed: str, usage: Usage, created: int, _: Issued) -> Json:
    """The completion object."""
    message: Json = {"role": "assistant", "content": reply.text or None, "refusal": reply.refusal}
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": f"call_{seed}{number}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(reply.calls)
        ]
    finish_reason = FINISH_REASON.get(reply.ending) or ("tool_calls" if reply.calls else "stop")
    return {
        "id": f"chatcmpl-{seed}",
        "object": "chat.completion",
        "created": created,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        },
    }
