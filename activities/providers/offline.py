"""The offline stand-in: plays the model where none is set up, so that a fresh clone runs without key or account.

It calls no model and says so in every reply. What it does follows from its input alone: it lists documents, reads
them side by side, writes a summary of their real content, and answers with what became of that.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pydantic import TypeAdapter

from activities.providers.base import Answer, Provider, replied
from agents.agent import Definition
from agents.bounds import clip
from agents.reply import Reply
from agents.transcript import Entry, Message, ReplyEntry, Result, entry_json

MODEL = "offline-stand-in"
MARK = "[offline stand-in, no model was called]"
TOOLS = ("list_files", "read_file", "write_file")
SUMMARY = "summary.md"
DEFAULT_PATTERN = "**/*.md"
PATTERN = re.compile(r"[\w./-]*\*[\w./*-]*[./][\w*-]+")
"""A pattern such as `docs/*.md` in a task."""
TEXT_SUFFIXES = frozenset({".md", ".txt", ".rst"})
MAX_DOCUMENTS = 8
"""Documents read: enough to show calls side by side."""

ENTRIES: TypeAdapter[list[Entry]] = TypeAdapter(list[Entry])
NO_PROSE = re.compile(r"[#>|<!`\-*+=_\[]|\d+\.")
"""How a line begins that is a heading, a quotation, a table, markup or a list, but no sentence."""


class OfflineProvider(Provider):
    """Speaks to nobody.

    Args:
        seconds: How long it seems to think, so that a worker can be killed in the middle of a step.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds

    def encode(self, entry: Message | ReplyEntry | Result) -> bytes:
        """See `Provider`; the wire form is the transcript's own."""
        return entry_json(entry)

    async def complete(
        self, definition: Definition, prefix: Sequence[bytes], cache_key: str, *, aside: bool = False
    ) -> Reply:
        """See `Provider`."""
        await asyncio.sleep(self._seconds)
        entries = ENTRIES.validate_json(b"[" + b",".join(prefix) + b"]")
        answer = _aside(entries) if aside else _answer(definition, Conversation.of(entries))
        return replied(definition, answer)

    async def aclose(self) -> None:
        """See `Provider`."""


@dataclass(frozen=True)
class Conversation:
    """What the stand-in needs to know of a transcript."""

    task: str
    turn: int
    results: Mapping[str, Sequence[tuple[dict[str, Any], Result]]]
    """By tool, in their order: the arguments of each call and how it ended."""

    @classmethod
    def of(cls, entries: Sequence[Message | ReplyEntry | Result]) -> "Conversation":
        """Take a transcript apart."""
        task = next((entry.text for entry in entries if isinstance(entry, Message)), "")
        replies = [entry.reply for entry in entries if isinstance(entry, ReplyEntry)]
        arguments = {call.id: json.loads(call.arguments) for reply in replies for call in reply.calls}
        results: dict[str, list[tuple[dict[str, Any], Result]]] = {tool: [] for tool in TOOLS}
        for entry in entries:
            if isinstance(entry, Result) and entry.tool in results:
                results[entry.tool].append((arguments[entry.provider_id], entry))
        return cls(task, len(replies) + 1, results)


def _answer(definition: Definition, heard: Conversation) -> Answer:
    if any(definition.tool(tool) is None for tool in TOOLS):
        return _says(f"The task was: {clip(heard.task, 300)}")
    listed, read, written = (heard.results[tool] for tool in TOOLS)
    if not listed:
        pattern = PATTERN.search(heard.task)
        return _calls(heard, "list_files", {"pattern": pattern.group() if pattern else DEFAULT_PATTERN})
    arguments, listing = listed[-1]
    paths = _documents(listing) if listing.state == "done" else []
    if not paths:
        return _says(f"There is nothing to summarise at {arguments['pattern']}: {clip(listing.content, 300)}")
    if not read:
        return _calls(heard, "read_file", *({"path": path} for path in paths))
    summary = _summary(read)
    if not written:
        return _calls(heard, "write_file", {"path": SUMMARY, "content": summary})
    return _says(_ending(written[-1][1], read, summary))


def _aside(entries: Sequence[Message | ReplyEntry | Result]) -> Answer:
    question = next((entry.text for entry in reversed(entries) if isinstance(entry, Message)), "")
    return _says(
        f"You asked: {clip(question, 300)} A stand-in has no reasons of its own and cannot answer that: the card says "
        "all there is to know. With OPENAI_API_KEY set on the worker, a model would answer."
    )


def _ending(write: Result, read: Sequence[tuple[dict[str, Any], Result]], summary: str) -> str:
    done = sum(result.state == "done" for _, result in read)
    told = f"{done} of {len(read)} documents read"
    if write.state == "done":
        return f"{told}. {clip(write.content, 300)}"
    verb = "denied" if write.state == "denied" else "not possible"
    return f"{told}; writing {SUMMARY} was {verb} ({clip(write.content, 200)}), so here it is:\n\n{summary}"


def _documents(listing: Result) -> list[str]:
    paths = [line.partition("\t")[0] for line in listing.content.splitlines()]
    return [
        path for path in paths if PurePosixPath(path).suffix.lower() in TEXT_SUFFIXES and path != SUMMARY
    ][:MAX_DOCUMENTS]


def _summary(read: Sequence[tuple[dict[str, Any], Result]]) -> str:
    sections = [
        _section(arguments["path"], result.content)
        if result.state == "done"
        else f"## {arguments['path']}\n\nCould not be read: {clip(result.content, 200)}"
        for arguments, result in read
    ]
    words = sum(len(result.content.split()) for _, result in read if result.state == "done")
    head = f"# Summary of {len(read)} document{'s' if len(read) != 1 else ''}\n\n{words} words in all. {MARK}"
    return "\n\n".join([head, *sections]) + "\n"


def _section(path: str, content: str) -> str:
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    title = next((line.lstrip("# ") for line in lines if line.startswith("#")), PurePosixPath(path).name)
    return f"## {clip(title)}\n\n{path}: {_first_sentence(content)}"


def _first_sentence(content: str) -> str:
    for paragraph in re.split(r"\n\s*\n", content):
        text = " ".join(paragraph.split())
        if text and not NO_PROSE.match(text):
            return clip(re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0], 300)
    return "(no sentence found)"


def _calls(heard: Conversation, tool: str, *arguments: dict[str, Any]) -> Answer:
    calls = tuple(
        (f"offline.t{heard.turn}.c{number}", tool, json.dumps(given))
        for number, given in enumerate(arguments, start=1)
    )
    return Answer(model=MODEL, calls=calls, text=MARK)


def _says(text: str) -> Answer:
    return Answer(model=MODEL, text=f"{MARK} {text}")
