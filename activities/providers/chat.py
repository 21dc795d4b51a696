"""OpenAI Chat Completions, the API that compatible servers speak."""

from collections.abc import Mapping, Sequence
from typing import Any

from activities.providers.base import Answer, Ending, Provider, arguments_of, count, read
from activities.providers.endpoint import Endpoint, compact
from activities.providers.functions import functions
from agents.agent import Definition
from agents.reply import Reply, Usage
from agents.transcript import Message, ReplyEntry, Result

ENDINGS: Mapping[str | None, Ending] = {"length": "length", "content_filter": "filtered"}


class ChatProvider(Provider):
    """Speaks to `/chat/completions`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def encode(self, entry: Message | ReplyEntry | Result) -> bytes:
        """See `Provider`."""
        match entry:
            case Message(text=text):
                return compact({"role": "user", "content": text})
            case Result(provider_id=provider_id, content=content):
                return compact({"role": "tool", "tool_call_id": provider_id, "content": content})
            case ReplyEntry(reply=reply):
                return _passed_back(reply)

    async def complete(
        self, definition: Definition, prefix: Sequence[bytes], cache_key: str, *, aside: bool = False
    ) -> Reply:
        """See `Provider`."""
        system = compact({"role": "system", "content": definition.instructions})
        fields = _fields(definition, cache_key, aside=aside)
        raw = await self._endpoint.post("/chat/completions", fields, "messages", (system, *prefix))
        return read(definition, raw, _answer)

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._endpoint.aclose()


def _fields(definition: Definition, cache_key: str, *, aside: bool) -> dict[str, Any]:
    tools = [
        {
            "type": "function",
            "function": {
                "name": function.name,
                "description": function.description,
                "parameters": function.parameters,
                **({"strict": True} if function.strict else {}),
            },
        }
        for function in functions(definition)
    ]
    fields: dict[str, Any] = {"model": definition.model}
    if tools:
        fields |= {"tools": tools, "parallel_tool_calls": True}
        if aside:
            fields["tool_choice"] = "none"
    if definition.max_output_tokens is not None:
        fields["max_completion_tokens"] = definition.max_output_tokens
    return fields | {"prompt_cache_key": cache_key}


def _answer(body: Mapping[str, Any]) -> Answer:
    choice = body["choices"][0]
    message: dict[str, Any] = choice["message"]
    made = [call for call in message.get("tool_calls") or () if "function" in call]
    usage = body.get("usage")
    return Answer(
        ending=ENDINGS.get(choice.get("finish_reason"), "complete"),
        text=_text(message.get("content")),
        refusal=message.get("refusal") or "",
        calls=tuple(_call(call) for call in made),
        items=(_with_arguments(message, [""] * len(made)),),
        usage=Usage(
            input_tokens=count(usage, "prompt_tokens"),
            cached_tokens=count(usage, "prompt_tokens_details", "cached_tokens"),
            output_tokens=count(usage, "completion_tokens"),
            reasoning_tokens=count(usage, "completion_tokens_details", "reasoning_tokens"),
        ),
        model=str(body.get("model") or ""),
    )


def _call(call: Mapping[str, Any]) -> tuple[str, str, str]:
    return call.get("id") or "", call["function"]["name"], arguments_of(call["function"].get("arguments"))


def _text(content: Any) -> str:
    """The message's text; some compatible servers send it in parts, as the Responses API does."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def _with_arguments(message: dict[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """The message with these texts as the arguments of its calls, in their order."""
    if not message.get("tool_calls"):
        return message
    texts = iter(arguments)
    return message | {
        "tool_calls": [
            call | {"function": call["function"] | {"arguments": next(texts)}} if "function" in call else call
            for call in message["tool_calls"]
        ]
    }


def _passed_back(reply: Reply) -> bytes:
    """The reply's message as the model issued it; nothing where it said nothing, which the API refuses."""
    message = _with_arguments(reply.items[0], [call.arguments for call in reply.calls])
    if not (message.get("content") or message.get("tool_calls") or message.get("refusal")):
        return b""
    return compact(message)
