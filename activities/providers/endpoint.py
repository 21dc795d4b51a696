"""The OpenAI client as the providers use it: no retries of its own, explicit timeouts, bodies sent as bytes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import openai

TIMEOUT = httpx2.Timeout(
    600.0,  # a reasoning model may think for minutes before its first byte, and we do not stream
    connect=10.0,  # a server that does not answer the door in this time is down
    pool=10.0,  # the pool is larger than what a worker runs side by side; waiting for it is a fault
)

REFUSALS: Mapping[str, tuple[str, ...]] = {
    "include": ("encrypted content is not supported", "reasoning.encrypted_content"),
    "prompt_cache_key": ("prompt_cache_key",),
    "parallel_tool_calls": ("parallel_tool_calls",),
    "tool_choice": ("tool_choice",),
}
"""Fields that only make a request better, and how a server that does not take one says so.

OpenAI refuses encrypted reasoning for models that do not reason, and `parallel_tool_calls` for some that do;
compatible servers refuse what they do not know. Names of models say nothing reliable about it, so we ask and learn.
"""


class Endpoint:
    """One server that speaks an OpenAI API, and what it has refused so far."""

    def __init__(self, api_key: str, base_url: str | None = None, timeout: httpx2.Timeout = TIMEOUT) -> None:
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            max_retries=0,  # retries are Temporal's: two that retry would multiply
        )
        self._refused: dict[str, frozenset[str]] = {}

    async def post(self, path: str, fields: Mapping[str, Any], items: str, chunks: Sequence[bytes]) -> bytes:
        """Send `fields` and, as the last field `items`, the list that `chunks` joined by commas are.

        The chunks are JSON already: the client would otherwise walk the whole transcript in Python, every time.

        Raises:
            openai.APIError: As the client raises it.
        """
        model = str(fields["model"])
        while True:
            sent = {name: fields[name] for name in fields if name not in self._refused.get(model, ())}
            try:
                return await self._send(path, _body(sent, items, chunks))
            except openai.APIStatusError as error:
                refused = _refused_field(error, sent)
                if refused is None:
                    raise
            self._refused[model] = self._refused.get(model, frozenset()) | {refused}

    async def _send(self, path: str, body: bytes) -> bytes:
        response = await self._client.post(path, cast_to=httpx2.Response, content=body)
        return response.content

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


def compact(value: Any) -> bytes:
    """JSON without spaces; the same value gives the same bytes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _body(fields: Mapping[str, Any], items: str, chunks: Sequence[bytes]) -> bytes:
    head = compact(fields)[:-1] + b"," + compact(items) + b":["
    return b"".join((head, b",".join(chunks), b"]}"))


def _refused_field(error: openai.APIStatusError, sent: Mapping[str, Any]) -> str | None:
    """The field that this error is about, where the request can do without it."""
    if error.status_code not in (400, 422):
        return None
    text = f"{error.message} {error.body}".lower()
    for field, phrases in REFUSALS.items():
        if field in sent and (error.param == field or any(phrase in text for phrase in phrases)):
            return field
    return None
