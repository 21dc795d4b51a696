"""What a provider is, how its answer becomes a reply, and how an answer that is none is told apart.

A provider knows one model API: how an entry of the transcript is written in it, and how to ask for a reply.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from agents import bounds
from agents.agent import FINISH, Definition
from agents.arguments import call_problem
from agents.reply import Finish, ProposedCall, Reply, Usage
from agents.transcript import Message, ReplyEntry, Result

Ending = Literal["complete", "length", "filtered"]
"""How an answer ended, before it is known what it holds."""


class Provider(Protocol):
    """One model API."""

    def encode(self, entry: Message | ReplyEntry | Result) -> bytes:
        """The entry as the API's JSON items, joined by commas; empty where the API has no words for it."""
        ...

    async def complete(
        self, definition: Definition, prefix: Sequence[bytes], cache_key: str, *, aside: bool = False
    ) -> Reply:
        """Ask for the next reply.

        Args:
            definition: The run's snapshot.
            prefix: The transcript, encoded; joined by commas it is the request's list of items.
            cache_key: The same for every call of a run, so that the provider's prompt cache can hit.
            aside: The reply shall be text. The tools are declared all the same: the cache goes by them, too.

        Raises:
            openai.APIError: As the client of the API raises it.
            ReplyUnusable: The API answered, but with nothing that is a reply.
        """
        ...

    async def aclose(self) -> None:
        """Close what is open; may be called more than once."""
        ...


class ProviderMissing(Exception):
    """This worker does not speak the API that the run's snapshot names."""


class ReplyUnusable(Exception):
    """An answer of success that is no reply; the text says what it was."""


class ReplyMalformed(ReplyUnusable):
    """Not JSON, or not of the API's shape: the next attempt may be well formed."""


class ReplyTooLarge(ReplyUnusable):
    """More than a run can carry."""


class ReplyFailed(ReplyUnusable):
    """An error inside an answer of success, as some APIs report it."""

    def __init__(self, message: str, code: str | None) -> None:
        super().__init__(message)
        self.code = code


class Answer(BaseModel):
    """What an API answered, in no API's terms any more."""

    model_config = ConfigDict(frozen=True)

    ending: Ending = "complete"
    text: str = ""
    refusal: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    """Of each call the provider's id, the tool and the arguments as the model wrote them."""
    items: tuple[dict[str, Any], ...] = ()
    """As `Reply.items`."""
    usage: Usage = Usage()
    model: str


def read(definition: Definition, raw: bytes, parse: Callable[[Mapping[str, Any]], Answer]) -> Reply:
    """The reply in the body of an answer of success, which `parse` takes apart.

    Raises:
        ReplyUnusable: There is none; the subclass says why.
    """
    body = decoded(raw)
    try:
        answer = parse(body)
    except (KeyError, IndexError, TypeError, AttributeError, ValidationError) as error:
        raise ReplyMalformed(
            f"the answer has another shape than the API's: {type(error).__name__} {bounds.clip(str(error))}"
        ) from None
    return replied(definition, answer)


def replied(definition: Definition, answer: Answer) -> Reply:
    """The reply that this answer is.

    Raises:
        ReplyTooLarge: Its JSON is over the bound.
    """
    finish = _finish(answer)
    reply = Reply(
        finish=finish,
        text=answer.refusal if finish == "refused" else answer.text,
        calls=_proposed(definition, answer),
        items=answer.items,
        usage=answer.usage,
        model=answer.model,
    )
    size = len(reply.model_dump_json().encode())
    if size > bounds.REPLY_BYTES:
        raise ReplyTooLarge(
            f"the reply has {size:,} bytes; at most {bounds.REPLY_BYTES:,} fit. "
            "Set the agent's max_output_tokens, or have it write long texts in parts"
        )
    return reply


def _finish(answer: Answer) -> Finish:
    if answer.ending != "complete":
        return answer.ending
    if answer.calls:
        return "calls"
    return "refused" if answer.refusal else "stop"


def _proposed(definition: Definition, answer: Answer) -> tuple[ProposedCall, ...]:
    return tuple(
        ProposedCall(id=id, tool=tool, arguments=raw, problem=_problem(definition, answer, number, tool, raw))
        for number, (id, tool, raw) in enumerate(answer.calls)
    )


def _problem(definition: Definition, answer: Answer, number: int, tool: str, raw: str) -> str | None:
    if number >= bounds.CALLS_PER_TURN:
        return (
            f"a turn has at most {bounds.CALLS_PER_TURN} calls and this one was number {number + 1}; "
            "make it in a later turn"
        )
    if answer.ending == "length" and not raw.strip():
        return "the reply was cut off before the arguments were written; make the call again"
    if tool == FINISH and definition.output is not None and len(answer.calls) > 1:
        return f"{FINISH} must be the only call of its turn"
    return call_problem(definition, tool, raw)


def decoded(raw: bytes) -> dict[str, Any]:
    """The body of an answer of success.

    Raises:
        ReplyMalformed: It is not a JSON object.
        ReplyFailed: It holds an error.
    """
    try:
        body = json.loads(_text_of(raw))
    except (ValueError, RecursionError) as error:
        raise ReplyMalformed(f"the answer is not JSON: {bounds.clip(str(error))}") from None
    if not isinstance(body, dict):
        raise ReplyMalformed("the answer is not a JSON object")
    if failure := body.get("error"):
        described = failure if isinstance(failure, dict) else {"message": failure}
        code = described.get("code") or described.get("type")
        raise ReplyFailed(str(described.get("message") or failure), None if code is None else str(code))
    return body


def _text_of(raw: bytes) -> str:
    """The body as text in which no escape is half a surrogate pair: a model whose output is cut may end in one.

    Such a string cannot be written as UTF-8, so it could neither be recorded nor sent back.
    """
    text = raw.decode("utf-8", "replace")
    if "\\ud" not in text and "\\uD" not in text:
        return text
    whole = json.dumps(json.loads(text), ensure_ascii=False)
    return whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def arguments_of(value: Any) -> str:
    """A call's arguments as text; some compatible servers send them as an object, or null."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


MOST_TOKENS = 2**40
"""Of one reply; more is no count."""


def count(usage: Any, *path: str) -> int:
    """A number of tokens in a usage record; 0 where the server does not say."""
    for name in path:
        usage = usage.get(name) if isinstance(usage, dict) else None
    return usage if isinstance(usage, int) and 0 < usage < MOST_TOKENS else 0
