"""The conversation of a run as entries, the rolling digest over them, and pages of both."""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents import bounds
from agents.reply import Reply

ResultState = Literal["done", "failed", "denied"]


class Message(BaseModel):
    """A text for the model: the task, or a note of the run itself."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["message"] = "message"
    text: str


class ReplyEntry(BaseModel):
    """What the model said in a turn."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["reply"] = "reply"
    turn: int
    reply: Reply


class Result(BaseModel):
    """How a tool call ended, as the model reads it."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["result"] = "result"
    call: str
    provider_id: str
    tool: str
    state: ResultState
    content: str
    attempts: int = Field(default=1, exclude_if=lambda value: value == 1)
    arguments: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Canonical JSON of the arguments as a person changed them; None: as the model wrote them."""
    dispatched: bool = False
    """Whether a worker ever had it: only then does its key mean anything."""


Entry = Annotated[Message | ReplyEntry | Result, Field(discriminator="kind")]


def entry_json(entry: Message | ReplyEntry | Result) -> bytes:
    """The entry as JSON bytes; digests and pages are made of these."""
    return entry.model_dump_json().encode()


def start_digest(chain: str, definition: str, epoch: int) -> str:
    """The rolling digest of an empty transcript; differs by chain, definition and epoch."""
    return _short(f"{chain} {definition} {epoch}".encode())


def roll(previous: str, entry: bytes) -> str:
    """The rolling digest after one more entry."""
    return _short(previous.encode() + entry)


def _short(data: bytes) -> str:
    # 128 bits: it names a cached transcript and is in every model call's input.
    return hashlib.sha256(data).hexdigest()[:32]


class Page(BaseModel):
    """One page of the query `transcript`."""

    model_config = ConfigDict(frozen=True)

    epoch: int
    start: int
    entries: tuple[Entry, ...]
    next: int | None
    """Where the next page starts; None when this was the last."""
    total: int


def page(
    entries: Sequence[Message | ReplyEntry | Result], epoch: int, start: int, limit: int = bounds.PAGE_BYTES
) -> Page:
    """The entries from `start` on, up to `limit` bytes but at least one."""
    size, end = 0, start
    while end < len(entries):
        size += len(entry_json(entries[end]))
        if size > limit and end > start:
            break
        end += 1
    return Page(
        epoch=epoch,
        start=start,
        entries=tuple(entries[start:end]),
        next=end if end < len(entries) else None,
        total=len(entries),
    )
