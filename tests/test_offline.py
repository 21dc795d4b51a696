"""The offline stand-in: a whole dialogue, whose every step follows from what it was given."""

import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from activities.providers.offline import MARK, OfflineProvider
from activities.result import content
from activities.toolbox.files import file_tools
from agents.agent import Agent, Definition, ToolSpec
from agents.effect import READ, Dial, Effect
from agents.reply import Reply, Usage
from agents.transcript import Message, ReplyEntry, Result, ResultState

FILES = {
    "docs/a.md": "# Alpha\n\n![badge](x.svg)\n\nAlpha is first. It has more to say.\n\n- a list\n",
    "docs/b.md": "Beta begins without a heading and\nruns over two lines. Then it ends.",
    "docs/empty.md": "(empty)",
}
WRITE = Effect(writes=True)


def tool(name: str, *parameters: str, effect: Effect = READ) -> ToolSpec:
    schema = {
        "type": "object",
        "properties": {parameter: {"type": "string"} for parameter in parameters},
        "required": list(parameters),
    }
    return ToolSpec(name=name, description="", parameters=schema, effect=effect)


TOOLS = (
    tool("list_files", "pattern"),
    tool("read_file", "path"),
    tool("write_file", "path", "content", effect=WRITE),
)


def definition(*tools: ToolSpec) -> Definition:
    agent = Agent(name="assistant", instructions="")
    return Definition(
        agent=agent.name,
        instructions="",
        model="any",
        api="offline",
        tools=tools,
        dial=Dial.PROPOSE,
        max_turns=9,
    )


class Dialogue:
    """A run's side: asks until there is an answer, and gives each call its result."""

    def __init__(self, task: str, outcome: Callable[[str, dict[str, Any]], tuple[ResultState, str]]) -> None:
        self.task = task
        self.outcome = outcome
        self.replies: list[Reply] = []
        self.written: dict[str, str] = {}

    async def run(self, *tools: ToolSpec) -> str:
        provider = OfflineProvider()
        entries: list[Any] = [Message(text=self.task)]
        while True:
            chunks = [provider.encode(entry) for entry in entries]
            reply = await provider.complete(definition(*tools), chunks, "chain")
            self.replies.append(reply)
            entries.append(ReplyEntry(turn=len(self.replies), reply=reply))
            if not reply.calls:
                return reply.text
            for number, call in enumerate(reply.calls, start=1):
                state, content = self.outcome(call.tool, json.loads(call.arguments))
                entries.append(
                    Result(
                        call=f"t{len(self.replies)}.c{number}",
                        provider_id=call.id,
                        tool=call.tool,
                        state=state,
                        content=content,
                    )
                )

    def asked(self) -> list[tuple[str, list[Any]]]:
        """Per turn the tool, and the first argument of each call."""
        return [
            (reply.calls[0].tool, [next(iter(json.loads(call.arguments).values())) for call in reply.calls])
            for reply in self.replies
            if reply.calls
        ]


def works(tool: str, arguments: dict[str, Any]) -> tuple[ResultState, str]:
    if tool == "list_files":
        return "done", "\n".join(f"{path}\t9" for path in [*FILES, "docs/picture.png", "summary.md"])
    if tool == "read_file":
        return "done", FILES[arguments["path"]]
    return "done", f"{len(arguments['content'])} characters written"


async def test_it_lists_reads_side_by_side_writes_and_answers() -> None:
    dialogue = Dialogue("Summarise docs/*.md.", works)

    answer = await dialogue.run(*TOOLS)

    assert dialogue.asked() == [
        ("list_files", ["docs/*.md"]),
        ("read_file", ["docs/a.md", "docs/b.md", "docs/empty.md"]),
        ("write_file", ["summary.md"]),
    ]
    assert answer == f"{MARK} 3 of 3 documents read. 234 characters written"
    assert [call.problem for reply in dialogue.replies for call in reply.calls] == [None] * 5


async def test_the_summary_is_made_of_the_documents_real_content() -> None:
    dialogue = Dialogue("Summarise docs/*.md.", works)

    await dialogue.run(*TOOLS)

    summary = json.loads(dialogue.replies[2].calls[0].arguments)["content"]
    assert summary == (
        f"# Summary of 3 documents\n\n28 words in all. {MARK}\n\n"
        "## Alpha\n\ndocs/a.md: Alpha is first.\n\n"
        "## b.md\n\ndocs/b.md: Beta begins without a heading and runs over two lines.\n\n"
        "## empty.md\n\ndocs/empty.md: (empty)\n"
    )


async def test_it_works_with_the_file_tools_that_ship(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(FILES["docs/a.md"])
    (tmp_path / "docs" / "blank.md").write_text("")
    shipped = {tool.spec.name: tool for tool in file_tools(tmp_path)}
    specs = [tool.spec for tool in shipped.values()]
    provider = OfflineProvider()
    entries: list[Any] = [Message(text="Summarise docs/*.md.")]

    for turn in range(1, 5):
        chunks = [provider.encode(entry) for entry in entries]
        reply = await provider.complete(definition(*specs), chunks, "chain")
        entries.append(ReplyEntry(turn=turn, reply=reply))
        for call in reply.calls:
            assert call.problem is None
            value = await shipped[call.tool].function(**json.loads(call.arguments))
            text = content(value, 10_000, offset=0)
            entries.append(Result(call="", provider_id=call.id, tool=call.tool, state="done", content=text))

    assert reply.text == f"{MARK} 2 of 2 documents read. Wrote 158 bytes to summary.md."
    assert "docs/a.md: Alpha is first." in (tmp_path / "summary.md").read_text()


async def test_every_reply_says_that_it_is_the_stand_ins_and_nothing_was_paid() -> None:
    dialogue = Dialogue("Summarise docs/*.md.", works)

    await dialogue.run(*TOOLS)

    assert all(reply.text.startswith(MARK) for reply in dialogue.replies)
    assert {(reply.model, reply.usage) for reply in dialogue.replies} == {("offline-stand-in", Usage())}


async def test_the_same_input_gives_the_same_dialogue() -> None:
    first, second = Dialogue("Go.", works), Dialogue("Go.", works)

    assert await first.run(*TOOLS) == await second.run(*TOOLS)
    assert first.replies == second.replies
    assert first.asked()[0] == ("list_files", ["**/*.md"])


@pytest.mark.parametrize(
    ("task", "pattern"),
    [
        ("Summarise docs/*.md.", "docs/*.md"),
        ("What is in notes/**/*.txt?", "notes/**/*.txt"),
        ("Summarise **everything**, please", "**/*.md"),
    ],
)
async def test_the_pattern_is_the_tasks_where_it_names_one(task: str, pattern: str) -> None:
    dialogue = Dialogue(task, works)

    await dialogue.run(*TOOLS)

    assert dialogue.asked()[0] == ("list_files", [pattern])


async def test_it_reads_eight_documents_at_most() -> None:
    def many(tool: str, arguments: dict[str, Any]) -> tuple[ResultState, str]:
        paths = "\n".join(f"{number:02}.md\t5" for number in range(20))
        return "done", paths if tool == "list_files" else "Text."

    dialogue = Dialogue("Go.", many)
    await dialogue.run(*TOOLS)

    assert dialogue.asked()[1] == ("read_file", [f"{number:02}.md" for number in range(8)])


async def test_a_denied_write_is_not_tried_again_and_the_answer_is_the_summary() -> None:
    def denies(tool: str, arguments: dict[str, Any]) -> tuple[ResultState, str]:
        return ("denied", "not today") if tool == "write_file" else works(tool, arguments)

    dialogue = Dialogue("Go.", denies)
    answer = await dialogue.run(*TOOLS)

    assert len(dialogue.asked()) == 3
    assert "writing summary.md was denied (not today)" in answer
    assert "docs/a.md: Alpha is first." in answer


async def test_a_failed_write_is_told_as_such() -> None:
    def fails(tool: str, arguments: dict[str, Any]) -> tuple[ResultState, str]:
        return ("failed", "disk full") if tool == "write_file" else works(tool, arguments)

    assert "writing summary.md was not possible (disk full)" in await Dialogue("Go.", fails).run(*TOOLS)


async def test_a_document_that_cannot_be_read_is_named_and_the_rest_goes_on() -> None:
    def fails(tool: str, arguments: dict[str, Any]) -> tuple[ResultState, str]:
        return ("failed", "no rights") if arguments.get("path") == "docs/b.md" else works(tool, arguments)

    dialogue = Dialogue("Go.", fails)
    answer = await dialogue.run(*TOOLS)

    summary = json.loads(dialogue.replies[2].calls[0].arguments)["content"]
    assert "## docs/b.md\n\nCould not be read: no rights" in summary
    assert "2 of 3 documents read" in answer


@pytest.mark.parametrize(("state", "content"), [("done", ""), ("done", "a.png"), ("failed", "no folder")])
async def test_where_there_is_nothing_to_read_it_says_so(state: ResultState, content: str) -> None:
    answer = await Dialogue("Read docs/*.md.", lambda *_: (state, content)).run(*TOOLS)

    assert answer.startswith(f"{MARK} There is nothing to summarise at docs/*.md")
    assert content in answer


async def test_without_these_tools_it_says_what_it_is() -> None:
    answer = await Dialogue("Book a flight.", works).run(tool("search", "query"))

    assert answer == "[offline stand-in, no model was called] The task was: Book a flight."


async def test_it_thinks_for_as_long_as_it_is_told() -> None:
    provider = OfflineProvider(seconds=0.05)
    begun = monotonic()

    await provider.complete(definition(), [provider.encode(Message(text="Go."))], "chain")

    assert monotonic() - begun >= 0.05


async def test_a_question_aside_is_told_that_nobody_is_there_to_answer_it() -> None:
    provider = OfflineProvider()
    entries = [Message(text="Go."), Message(text="Why do you write?")]

    reply = await provider.complete(
        definition(*TOOLS), [provider.encode(entry) for entry in entries], "chain", aside=True
    )

    assert (reply.finish, reply.calls) == ("stop", ())
    assert reply.text.startswith(f"{MARK} You asked: Why do you write?")
    assert "cannot answer that" in reply.text
