"""The Responses API for the fake: what it demands of a request, and what a reply looks like."""

import base64
from typing import Any

from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

from tests.openai_wire import (
    TOOL_NAME,
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

HISTORY = "input"
PARTS_BY_ROLE = {
    "assistant": ("output_text", "refusal"),
    "system": ("input_text", "input_image", "input_file"),
    "developer": ("input_text", "input_image", "input_file"),
    "user": ("input_text", "input_image", "input_file"),
}
FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "message": {"role": (str,), "content": (str, list)},
    "reasoning": {"id": (str,), "summary": (list,)},
    "function_call": {"call_id": (str,), "name": (str,), "arguments": (str,)},
    "function_call_output": {"call_id": (str,), "output": (str, list)},
}
INCOMPLETE = {"truncated": "max_output_tokens", "filtered": "content_filter"}


def items_of(body: Json) -> list[Json]:
    """The input as a list of items."""
    given = required(body, "input", "input", (str, list))
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def kind_of(item: Json) -> str:
    return item.get("type") or "message"


def is_from_model(item: Json) -> bool:
    return kind_of(item) in ("reasoning", "function_call") or item.get("role") == "assistant"


def tool_output(item: Json) -> Any:
    """What a tool gave back, or None when the item is something else."""
    return item["output"] if kind_of(item) == "function_call_output" else None


def check_body(body: Json) -> None:
    check_top_level(body, ResponseCreateParamsNonStreaming.__annotations__)
    check_tool_choice(body)
    for index, tool in enumerate(body.get("tools") or []):
        if tool.get("type") == "function":
            check_function(tool, f"tools[{index}]")
    described = (body.get("text") or {}).get("format") or {}
    if described.get("type") == "json_schema":
        check_format(described, "text.format")


def check_items(items: list[Json], issued: Issued) -> None:
    """The rules between the items of a conversation.

    Raises:
        Refused: With the real API's words.
    """
    seen: set[str] = set()
    open_calls: dict[str, None] = {}
    reasoning_before = None
    for index, item in enumerate(items):
        _check_shape(item, index)
        kind = kind_of(item)
        if reasoning_before and not is_from_model(item):
            raise _without_following(reasoning_before)
        reasoning_before = item["id"] if kind == "reasoning" else None
        if kind == "reasoning":
            _check_reasoning(item, index, issued)
            seen.add(item["id"])
        elif kind == "function_call":
            _check_reasoned(item, item["call_id"], seen, issued)
            open_calls[item["call_id"]] = None
            seen.add(item["call_id"])
        elif kind == "function_call_output":
            _check_called(item["call_id"], seen, open_calls)
        else:
            _check_reasoned(item, item.get("id"), seen, issued)
    if reasoning_before:
        raise _without_following(reasoning_before)
    for call_id in open_calls:
        raise Refused(f"No tool output found for function call {call_id}.", "input")


def _check_shape(item: Any, index: int) -> None:
    # The paths that the errors name are made only when needed: this runs for every item of every request.
    if not isinstance(item, dict):
        raise Refused(f"Invalid type for 'input[{index}]': expected an input item.", "input", "invalid_type")
    kind = kind_of(item)
    if kind not in FIELDS:
        not_one_of(kind, FIELDS, f"input[{index}].type")
    for name, types in FIELDS[kind].items():
        if not isinstance(item.get(name), types):
            required(item, name, f"input[{index}].{name}", types)
    if kind == "function_call" and not TOOL_NAME.fullmatch(item["name"]):
        check_name(item["name"], f"input[{index}].name")
    if kind == "message":
        _check_message(item, index)


def _check_message(item: Json, index: int) -> None:
    role, content = item["role"], item["content"]
    if role not in PARTS_BY_ROLE:
        not_one_of(role, PARTS_BY_ROLE, f"input[{index}].role")
    for number, part in enumerate(content if isinstance(content, list) else []):
        if part.get("type") not in PARTS_BY_ROLE[role]:
            not_one_of(part.get("type"), PARTS_BY_ROLE[role], f"input[{index}].content[{number}].type")


def _check_reasoning(item: Json, index: int, issued: Issued) -> None:
    given = issued.reasoning.get(item["id"])
    if given is None:
        raise Refused(f"Item with id '{item['id']}' not found.", "input", status=404)
    if item != given:
        changed = sorted(name for name in item.keys() | given.keys() if item.get(name) != given.get(name))
        changed = changed or sorted(item.keys() ^ given.keys())
        message = f"Reasoning item '{item['id']}' was altered: {', '.join(changed)}."
        raise Refused(message, f"input[{index}]", "invalid_value")


def _check_reasoned(item: Json, key: str | None, seen: set[str], issued: Issued) -> None:
    needed = issued.reasoning_of.get(key or "")
    if needed is not None and needed not in seen:
        name, kind = item.get("id") or key, kind_of(item)
        message = (
            f"Item '{name}' of type '{kind}' was provided without its required 'reasoning' item: '{needed}'."
        )
        raise Refused(message, "input")


def _check_called(call_id: str, seen: set[str], open_calls: dict[str, None]) -> None:
    if call_id not in seen:
        raise Refused(f"No tool call found for function call output with call_id {call_id}.", "input")
    if call_id not in open_calls:
        raise Refused(f"Duplicate function call output for call_id {call_id}.", "input")
    del open_calls[call_id]


def _without_following(reasoning_id: str) -> Refused:
    return Refused(
        f"Item '{reasoning_id}' of type 'reasoning' was provided without its required following item.",
        "input",
    )


def render(reply: Reply, body: Json, seed: str, usage: Usage, created: int, issued: Issued) -> Json:
    """The response object; its reasoning is remembered in `issued`."""
    output = _output(reply, seed)
    if reply.reasoning is not None:
        reasoning, *others = output
        issued.reasoning[reasoning["id"]] = reasoning
        keys = {key for item in others for key in (item["id"], item.get("call_id")) if key}
        issued.reasoning_of.update(dict.fromkeys(keys, reasoning["id"]))
    reason = INCOMPLETE.get(reply.ending)
    return {
        "id": f"resp_{seed}",
        "object": "response",
        "created_at": created,
        "status": "incomplete" if reason else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "store": body.get("store", True),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "usage": {
            "input_tokens": usage.input,
            "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": usage.cached},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.input + usage.output,
        },
    }


def _output(reply: Reply, seed: str) -> list[Json]:
    status = "completed" if reply.ending == "complete" else "incomplete"
    output: list[Json] = []
    if reply.reasoning is not None:
        sealed = base64.b64encode(f"{seed} {reply.reasoning}".encode()).decode()
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        output.append(
            {"id": f"rs_{seed}", "type": "reasoning", "summary": summary, "encrypted_content": sealed}
        )
    if content := _content(reply):
        message = {"id": f"msg_{seed}", "type": "message", "status": status, "role": "assistant"}
        output.append({**message, "content": content})
    for number, call in enumerate(reply.calls):
        ids = {"id": f"fc_{seed}{number}", "call_id": f"call_{seed}{number}"}
        asked = {"name": call.name, "arguments": call.arguments, "status": status}
        output.append({**ids, "type": "function_call", **asked})
    return output


def _content(reply: Reply) -> list[Json]:
    if reply.refusal is not None:
        return [{"type": "refusal", "refusal": reply.refusal}]
    return [{"type": "output_text", "text": reply.text, "annotations": []}] if reply.text else []
