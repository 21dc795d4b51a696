"""One signed message to the operator's webhook, and what its answer means.

| what happened | then |
| --- | --- |
| 2xx | done |
| no connection, answer lost, 408, 409, 429, 5xx | try again; where it says when, then |
| a redirect, another 4xx | final |

A message that is tried again has the same key. A receiver that does not look at keys, as Slack does not, may show it
twice: the alternative is that nobody hears of a gate.

Nothing here tells the URL, nor its host: whoever knows it can post.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from pydantic import SecretStr

from activities.redaction import redacted
from activities.retry_after import stated_wait
from agents import bounds

TIMESTAMP = "X-Agent-Timestamp"
SIGNATURE = "X-Agent-Signature"
KEY = "Idempotency-Key"

POST_SECONDS = 8.0
"""For one attempt, all of it, within `workflows.options.NOTICE_TIMEOUT`. Slack answers within a second."""

CONNECT_SECONDS = 5.0

ANSWER_BYTES = 2000
"""What is read of an answer: where receivers say what was wrong."""

LONGEST_WAIT = 60.0
"""Seconds that a receiver may ask to wait: people are to hear of a gate while it is still open."""

TRY_AGAIN = frozenset({408, 409, 429})
"""And every 5xx."""

SHORTEST_PART = 6
"""Of the URL, to be blotted out of an answer: a shorter one may be an ordinary word."""

ADVICE: Mapping[int, str] = {
    400: "It does not take this form of message: the receiver must take Slack's JSON with blocks.",
    401: "It does not know the signature: AGENT_NOTIFY_SECRET must be the same on both sides.",
    403: "It does not let this worker post: check AGENT_NOTIFY_URL and AGENT_NOTIFY_SECRET.",
    404: "There is no such webhook any more: set AGENT_NOTIFY_URL to a new one and restart the worker.",
    410: "There is no such webhook or channel any more: set AGENT_NOTIFY_URL to a new one and restart the worker.",
}
CHECK = "Check AGENT_NOTIFY_URL on the worker; `starter.py notify --test` tries it."


class NotPosted(Exception):
    """The webhook has not taken the message; the text says why, and what to do."""


class Refused(NotPosted):
    """And trying again would not help."""


class Trouble(NotPosted):
    """But it may at the next attempt."""

    def __init__(self, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.wait = wait
        """Seconds that the receiver asked to wait, at most `LONGEST_WAIT`; None: it did not say."""


def signature(secret: SecretStr, timestamp: str, body: bytes) -> str:
    """`v1=` and the hex HMAC-SHA256, keyed with the secret, of `v1:`, the timestamp, `:` and the body."""
    signed = b"v1:" + timestamp.encode() + b":" + body
    return "v1=" + hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest()


class Webhook:
    """Where messages go. Makes its client with the first message, on the loop that it will use.

    Args:
        url: Whoever knows it can post there.
        secret: Shared with the receiver; None: messages are not signed.
    """

    def __init__(self, url: SecretStr, secret: SecretStr | None = None) -> None:
        self._url = url
        self._secret = secret
        self._client: httpx2.AsyncClient | None = None

    async def post(self, message: Mapping[str, Any], key: str) -> int:
        """Post a message once.

        Args:
            message: What is sent as JSON.
            key: The same for every attempt of one message.

        Returns:
            The status of the answer, 200 to 299.

        Raises:
            Refused: For good.
            Trouble: It may be tried again.
        """
        # With no spaces and in the order given: the same bytes for every attempt, which the receiver may compare.
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        if self._client is None:
            self._client = _new_client()
        try:
            async with asyncio.timeout(POST_SECONDS):
                status, headers, said = await self._answer(self._client, body, self._headers(body, key))
        except TimeoutError:
            raise Trouble(f"the webhook did not answer within {POST_SECONDS:g} s. {CHECK}") from None
        except httpx2.InvalidURL:
            raise Refused(f"the webhook's URL cannot be used. {CHECK}") from None
        except httpx2.HTTPError as error:
            # By its type only: the text of some holds the URL.
            raise Trouble(f"no answer from the webhook ({_kind(error)}). {CHECK}") from None
        if 200 <= status < 300:
            return status
        raise self._failure(status, headers, said)

    def _headers(self, body: bytes, key: str) -> dict[str, str]:
        headers = {"Content-Type": "application/json; charset=utf-8", KEY: key}
        if self._secret is not None:
            timestamp = str(int(datetime.now(UTC).timestamp()))
            headers |= {TIMESTAMP: timestamp, SIGNATURE: signature(self._secret, timestamp, body)}
        return headers

    async def _answer(
        self, client: httpx2.AsyncClient, body: bytes, headers: dict[str, str]
    ) -> tuple[int, httpx2.Headers, str]:
        url = self._url.get_secret_value()
        async with client.stream("POST", url, content=body, headers=headers) as response:
            data = bytearray()
            if not response.is_success:
                async for piece in response.aiter_raw():
                    data += piece
                    if len(data) >= ANSWER_BYTES:
                        break
            return response.status_code, response.headers, data[:ANSWER_BYTES].decode(errors="replace")

    def _failure(self, status: int, headers: httpx2.Headers, said: str) -> NotPosted:
        shown = bounds.clip(self._without_secrets(said), 200)
        what = f"the webhook answered {status}" + (f" ({shown})" if shown else "")
        if 300 <= status < 400:
            return Refused(
                f"{what}, a redirect, which is not followed: set AGENT_NOTIFY_URL to where it leads."
            )
        if status in TRY_AGAIN or status >= 500:
            wait = stated_wait(headers, datetime.now(UTC))
            return Trouble(f"{what}.", None if wait is None else min(wait, LONGEST_WAIT))
        return Refused(f"{what}. {ADVICE.get(status, CHECK)}")

    def _without_secrets(self, text: str) -> str:
        """What a receiver says without what it may repeat of the URL and the secret."""
        url = self._url.get_secret_value()
        parts = urlsplit(url)
        values = [value for _, value in parse_qsl(parts.query)]
        pieces = [url, parts.netloc, parts.path, parts.query, *parts.path.split("/"), *values]
        if self._secret is not None:
            pieces.append(self._secret.get_secret_value())
        for piece in sorted(
            {piece for piece in pieces if len(piece) >= SHORTEST_PART}, key=len, reverse=True
        ):
            text = text.replace(piece, "***")
        return redacted(text)


def _new_client() -> httpx2.AsyncClient:
    """A client that follows no redirects and keeps no cookies; by the environment's proxy, as the model's client."""
    return httpx2.AsyncClient(
        follow_redirects=False,
        timeout=httpx2.Timeout(POST_SECONDS, connect=CONNECT_SECONDS),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        # Messages are minutes apart: a kept connection would only be closed by the other side as the next one is sent.
        headers={
            "User-Agent": "temporal-agent-platform",
            "Accept-Encoding": "identity",
            "Connection": "close",
        },
    )


def _kind(error: httpx2.HTTPError) -> str:
    certificate = "CERTIFICATE_VERIFY_FAILED" in str(error)
    return "its certificate is not valid" if certificate else type(error).__name__
