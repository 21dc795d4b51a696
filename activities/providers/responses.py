"""The OpenAI Responses API, stateless: nothing is stored there, so every request carries the whole transcript."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from activities.providers.base import Answer, Ending, Provider, ReplyFailed, arguments_of, count, read
from activities.providers.endpoint import Endpoint, compact
from activities.providers.functions import functions
from agents.agent import Definition
from agents.reply import Reply, Usage
from agents.transcript import Message, ReplyEntry, Result

ENDINGS: Mapping[str | None, Ending] = {"max_output_tokens": "length", "content_filter": "filtered"}


class ResponsesProvider(Provider):
    """Speaks to `/responses`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def encode(self, entry: Message | ReplyEntry | Result) -> bytes:
        """See `Provider`."""
        match entry:
            case Message(text=text):
                return compact({"role": "user", "content": text})
            case Result(provider_id=provider_id, content=content):
                return compact({"type": "function_call_output", "call_id": provider_id, "output": content})
            case ReplyEntry(reply=reply):
                return b",".join(compact(item) for item in _passed_back(reply))

    async def complete(
        self, definition: Definition, prefix: Sequence[bytes], cache_key: str, *, aside: bool = False
    ) -> Reply:
        """See `Provider`."""
        fields = _fields(definition, cache_key, aside=aside)
        raw = await self._endpoint.post("/responses", fields, "input", prefix)
        return read(definition, raw, _answer)

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._endpoint.aclose()


def _fields(definition: Definition, cache_key: str, *, aside: bool) -> dict[str, Any]:
    tools = [
        {
            "type": "function",
            "name": function.name,
            "description": function.description,
            "parameters": function.parameters,
            "strict": function.strict,  # left out it would be true
        }
        for function in functions(definition)
    ]
    fields: dict[str, Any] = {"model": definition.model, "instructions": definition.instructions}
    if tools:
        fields |= {"tools": tools, "parallel_tool_calls": True}
        if aside:
            fields["tool_choice"] = "none"
    if definition.max_output_tokens is not None:
        fields["max_output_tokens"] = definition.max_output_tokens
    # Without storage a model's reasoning can only come back with us, and it is worth that: it was paid for.
    return fields | {
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": cache_key,
    }


def _answer(body: Mapping[str, Any]) -> Answer:
    status = body.get("status", "completed")
    if status not in ("completed", "incomplete"):
        raise ReplyFailed(f"the response ended as {status!r} without saying why", None)
    output: list[dict[str, Any]] = body["output"]
    reason = (body.get("incomplete_details") or {}).get("reason")
    usage = body.get("usage")
    return Answer(
        ending="complete" if status == "completed" else ENDINGS.get(reason, "length"),
        text=_said(output, "output_text", "text"),
        refusal=_said(output, "refusal", "refusal"),
        calls=tuple(_call(item) for item in output if _is_call(item)),
        items=tuple(item | {"arguments": ""} if _is_call(item) else item for item in output),
        usage=Usage(
            input_tokens=count(usage, "input_tokens"),
            cached_tokens=count(usage, "input_tokens_details", "cached_tokens"),
            output_tokens=count(usage, "output_tokens"),
            reasoning_tokens=count(usage, "output_tokens_details", "reasoning_tokens"),
        ),
        model=str(body.get("model") or ""),
    )


def _is_call(item: Mapping[str, Any]) -> bool:
    return item.get("type") == "function_call"


def _call(item: Mapping[str, Any]) -> tuple[str, str, str]:
    return item["call_id"], item["name"], arguments_of(item["arguments"])


def _said(output: Iterable[Mapping[str, Any]], kind: str, field: str) -> str:
    messages = (item["content"] for item in output if item.get("type") == "message")
    texts = ("".join(part[field] for part in parts if part["type"] == kind) for parts in messages)
    return "\n\n".join(text for text in texts if text)


def _passed_back(reply: Reply) -> Iterable[dict[str, Any]]:
    """The reply's items as the model issued them.

    Reasoning that nothing follows, as in a reply that was cut off while the model thought, is left out: the API
    refuses it.
    """
    items = list(reply.items)
    while items and items[-1].get("type") == "reasoning":
        items.pop()
    arguments = iter(call.arguments for call in reply.calls)
    for item in items:
        yield item | {"arguments": next(arguments)} if _is_call(item) else item
