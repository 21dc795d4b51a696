"""Tools for HTTP services: get, put, post. What their answers mean for the call is in `judged`.

| what happened | get, put | post |
| --- | --- | --- |
| no connection | tried again | tried again: nothing was sent |
| 429 | tried again | tried again: the service says it did nothing |
| 408, 5xx | tried again | unknown |
| answer lost | tried again | unknown |
| other 4xx | to the model | to the model |
"""

import json
import re
from datetime import UTC, datetime
from typing import Annotated

import httpx2
from pydantic import Field

from activities.retry_after import stated_wait
from activities.toolbox.exchange import BODY_BYTES, Answer, AnswerLost, NotConnected, exchange, new_client
from activities.tools import Excerpt, NotSent, Retry, Tool, ToolContext, ToolFailed, ToolRejected, tool
from agents import bounds
from agents.effect import READ, Effect

TRY_AGAIN = frozenset({408, 429})
"""And every 5xx."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5

SHOWN_ERROR = 1000
"""Characters of an error's body: where services say what was wrong."""

SHOWN_HEADER = 200

CHARSETS = re.compile(
    r"utf[-_]?(8|16|32)([-_]?[lb]e)?|(us-)?ascii|latin-?1|iso-?8859-\d{1,2}|windows-125\d|cp125\d"
    r"|shift[-_]jis|euc-(jp|kr)|gb(k|2312|18030)|big5|koi8-[ru]",
    re.IGNORECASE,
)
"""What a page may name. Python has more, some of them quadratic (punycode), and decoding holds up the whole worker."""

URL = Field(description="Absolute URL with http:// or https://.")
BODY = Field(description="Sent as JSON if it is JSON, else as plain text.")


def http_tools(allow: frozenset[str]) -> tuple[Tool, ...]:
    """The HTTP tools.

    Args:
        allow: `host` or `host:port` that they may reach besides public addresses.
    """
    web = Web(allow)

    @tool(READ, timeout_seconds=60)
    async def http_get(
        url: Annotated[str, URL],
        offset: Annotated[int, Field(ge=0, description="Where to begin in the body, in bytes of UTF-8.")] = 0,
        *,
        context: ToolContext,
    ) -> Excerpt:
        """Fetch a URL. Follows redirects. A long answer comes in parts: the result then says how to go on."""
        return _excerpt(await web.get(url, context), offset)

    @tool(
        Effect(writes=True, idempotent=True, reversible=True),
        timeout_seconds=60,
        undo="Put the former resource back. No copy of it is kept.",
    )
    async def http_put(
        url: Annotated[str, URL], body: Annotated[str, BODY], *, context: ToolContext
    ) -> Excerpt:
        """Put a resource at a URL, in place of what is there."""
        return _excerpt(await web.put(url, body, context), 0)

    @tool(Effect(writes=True, idempotent=False, reversible=False, risk="medium"), timeout_seconds=60)
    async def http_post(
        url: Annotated[str, URL], body: Annotated[str, BODY], *, context: ToolContext
    ) -> Excerpt:
        """Post to a URL. It is sent once and cannot be undone."""
        return _excerpt(await web.post(url, body, context), 0)

    return http_get, http_put, http_post


class Web:
    """HTTP services as tools see them. Makes its client with the first request, on the loop that it will use."""

    def __init__(self, allow: frozenset[str]) -> None:
        self._allow = allow
        self._client: httpx2.AsyncClient | None = None

    async def get(self, url: str, context: ToolContext) -> Answer:
        """Fetch, following redirects, each checked like the first URL."""
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._repeatable("GET", url, context)
            location = answer.headers.get("location")
            if answer.status not in REDIRECTS or not location:
                return answer
            try:
                url = str(answer.url.join(location))
            except httpx2.InvalidURL:
                raise ToolFailed(
                    f"{answer.url.host} redirects to what is not a URL: {location[:SHOWN_HEADER]}"
                ) from None
        raise ToolFailed(f"more than {MOST_REDIRECTS} redirects; the last led to {url}")

    async def put(self, url: str, body: str, context: ToolContext) -> Answer:
        """Send a resource; a repetition has the effect of one request."""
        return await self._repeatable("PUT", url, context, body)

    async def post(self, url: str, body: str, context: ToolContext) -> Answer:
        """Send once.

        Raises:
            AnswerLost: It may have been done.
        """
        try:
            answer = await self._exchange("POST", url, context, body)
        except NotConnected as error:
            raise NotSent(str(error)) from error
        if answer.status == 429:
            raise NotSent(_refusal(answer), _wait(answer))
        if answer.status in TRY_AGAIN or answer.status >= 500:
            raise AnswerLost(_refusal(answer))
        return _unless_refused(answer)

    async def _repeatable(
        self, method: str, url: str, context: ToolContext, body: str | None = None
    ) -> Answer:
        try:
            answer = await self._exchange(method, url, context, body)
        except (NotConnected, AnswerLost) as error:
            raise Retry(str(error)) from error
        if answer.status in TRY_AGAIN or answer.status >= 500:
            raise Retry(_refusal(answer), _wait(answer))
        return _unless_refused(answer)

    async def _exchange(self, method: str, url: str, context: ToolContext, body: str | None) -> Answer:
        if self._client is None:
            self._client = new_client()
        headers = {"Idempotency-Key": context.key}
        if body is not None:
            headers["Content-Type"] = _content_type(body)
        data = None if body is None else body.encode(errors="replace")
        return await exchange(self._client, method, url, allow=self._allow, headers=headers, body=data)


def _unless_refused(answer: Answer) -> Answer:
    if answer.status >= 400:
        raise ToolFailed(_refusal(answer))
    return answer


def _refusal(answer: Answer) -> str:
    said = bounds.clip(_text(answer), SHOWN_ERROR)
    return f"{answer.url.host} answered {_status(answer)}" + (f": {said}" if said else "")


def _wait(answer: Answer) -> float | None:
    return stated_wait(answer.headers, datetime.now(UTC))


def _excerpt(answer: Answer, offset: int) -> Excerpt:
    """The part of the answer's body that begins at `offset`, after status and headers.

    Raises:
        ToolRejected: The body ends before it.
    """
    lines = [f"HTTP {_status(answer)}"]
    for name in ("content-type", "location"):
        if value := answer.headers.get(name):
            lines.append(f"{name}: {value[:SHOWN_HEADER]}")
    data = _text(answer).encode(errors="replace")
    if offset and offset >= len(data):
        raise ToolRejected(f"the body has only {len(data)} bytes")
    text = data[offset:].decode(errors="ignore")
    start = len(data) - len(text.encode())
    return Excerpt(text, start, total=len(data), head="\n".join(lines) + "\n\n")


def _text(answer: Answer) -> str:
    """The body as text, or a word on what it is instead."""
    encoding = answer.headers.get("content-encoding", "identity")
    kind = answer.headers.get("content-type", "").partition(";")[0] or "unknown type"
    size = f"{len(answer.body)} bytes" if answer.complete else f"over {BODY_BYTES} bytes"
    if encoding.lower() != "identity":
        return f"[{size} in the encoding {encoding[:SHOWN_HEADER]}, which was not asked for]"
    if b"\0" in answer.body:
        return f"[{size} of {kind[:SHOWN_HEADER]}, which is not text]"
    text = _decoded(answer)
    return (
        text
        if answer.complete
        else f"{text}\n[the body goes on beyond {BODY_BYTES:,} bytes; no more is read]"
    )


def _decoded(answer: Answer) -> str:
    charset = answer.charset if CHARSETS.fullmatch(answer.charset) else "utf-8"
    try:
        return answer.body.decode(charset, errors="replace")
    except (LookupError, ValueError):  # there is no such charset; it has no replacements
        return answer.body.decode(errors="replace")


def _status(answer: Answer) -> str:
    return f"{answer.status} {answer.reason}".strip()


def _content_type(body: str) -> str:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return "text/plain; charset=utf-8"
    return "application/json"
