"""`starter.py demo`, as somebody starts it who has just cloned this: a real server, a real worker, a real SIGKILL."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from console.demo import documents
from console.demo.documents import choose
from console.exits import Trouble
from console.trajectory.chain import chain_of
from console.trajectory.derive import trajectory_of
from console.trajectory.steps import CallStep, DecisionStep, ModelStep, Trajectory
from runtime.core import core_runtime
from tests.embedded import embedded_server, environment
from tests.fake_openai import FakeOpenAI, Request, Step, calls, delays, error, says
from tests.processes import ROOT

LONG = 90.0
"""Seconds that a demo may take on a machine that does other things as well."""


@dataclass
class Place:
    """A project folder of its own, whose embedded server runs."""

    folder: Path
    client: Client

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """`python starter.py demo`, without a terminal unless the options say otherwise."""
        variables = {
            "AGENT_HOME": str(self.folder / "home"),
            "AGENT_WORKSPACE": str(self.folder / "workspace"),
        }
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with environment(**variables, **options.pop("variables", {})):
            return subprocess.Popen(
                [sys.executable, "starter.py", "demo", *arguments],
                cwd=self.folder,
                start_new_session=True,
                **{**streams, **options},
            )

    async def played(self, *arguments: str, **variables: str) -> "Screen":
        """A demo from its beginning to its end."""
        process = self.start(*arguments, variables=variables)
        try:
            output, _ = await asyncio.to_thread(process.communicate, timeout=LONG)
        finally:
            end(process)
        return Screen(self, output.decode(), process.returncode)


@dataclass
class Screen:
    """What a demo printed, and its exit code."""

    place: Place
    text: str
    exit: int

    @property
    def run(self) -> str:
        return re.findall(r"Started run (demo-\w+)", self.text)[0]

    @property
    def workers(self) -> list[int]:
        """The worker processes that it names."""
        found = re.findall(r"Worker +process (\d+)|; process (\d+) started", self.text)
        return [int(first or second) for first, second in found]

    @property
    def workspace(self) -> Path:
        return self.place.folder / "workspace" / self.run

    async def trajectory(self) -> Trajectory:
        return trajectory_of(await chain_of(self.place.client, self.run))

    def row(self, name: str) -> str:
        """A row of the table at the end."""
        return re.findall(rf"^{name} +(.*)$", self.text, re.MULTILINE)[0]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """As in a clone, `starter.py` is in the folder where one stands; no `.env` of whoever runs the tests is."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("starter.py", "worker.py"):
        (folder / name).symlink_to(ROOT / name)
    async with embedded_server(folder / "home") as server:
        address = (await server.start()).address
        client = await Client.connect(address, data_converter=pydantic_data_converter, runtime=core_runtime())
        yield Place(folder, client)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def screen(place: Place) -> Screen:
    """One demo without key and terminal; the tests below each look at another side of it."""
    return await place.played(AGENT_OFFLINE_SECONDS="1.5")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a demo with its worker, where a test has failed before it came to its end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def gone(*processes: int) -> bool:
    """Whether they are all gone, or soon are: whoever has lost its parent is reaped by another."""
    deadline = monotonic() + 2
    while any(alive(process) for process in processes):
        if monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


async def test_the_demo_needs_neither_key_nor_terminal_and_says_who_plays_the_model(screen: Screen) -> None:
    assert screen.exit == 0, screen.text
    assert "an offline stand-in plays the model. Nothing is paid." in screen.text
    assert "http://127.0.0.1:" in screen.row("Web UI")
    assert "Traceback" not in screen.text


async def test_the_output_fits_a_screen(screen: Screen) -> None:
    assert len(screen.text.splitlines()) <= 50


async def test_the_worker_is_killed_in_the_middle_of_a_model_call_which_alone_is_repeated(
    screen: Screen,
) -> None:
    seen = await screen.trajectory()
    models = {step.turn: step.attempts for step in seen.steps if isinstance(step, ModelStep)}
    tools = {step.id: step.attempts for step in seen.steps if isinstance(step, CallStep)}

    assert models == {1: 1, 2: 1, 3: 2, 4: 1}
    assert set(tools.values()) == {1}
    assert screen.row("repeated") == f"1: model call of turn 3; the other {3 + len(tools)} ran once"
    assert screen.row("steps done") == f"{4 + len(tools)}: 4 model calls, {len(tools)} tool calls"
    assert screen.row("model calls").startswith("4 answered, 1 repeated; paid 0")


async def test_the_steps_after_the_kill_are_done_by_the_second_process(screen: Screen) -> None:
    first, second = screen.workers
    [history] = await chain_of(screen.place.client, screen.run)
    begun = [
        event.activity_task_started_event_attributes.identity
        for event in history.events or ()
        if event.HasField("activity_task_started_event_attributes")
    ]
    by = [int(identity.partition("@")[0]) for identity in begun]

    after = by.index(second)
    assert after > 2
    assert set(by[:after]) == {first}
    assert set(by[after:]) == {second}


async def test_the_seconds_from_kill_to_progress_are_those_of_the_history(screen: Screen) -> None:
    said = float(screen.row("recovery").partition(" s ")[0])
    asked = next(
        step for step in (await screen.trajectory()).steps if isinstance(step, ModelStep) and step.turn == 3
    )

    assert asked.ended is not None
    assert 1.5 <= said <= (asked.ended - asked.at).total_seconds() + 0.1


async def test_the_write_is_edited_and_approved_by_the_lines_on_the_screen(screen: Screen) -> None:
    edits, approves = re.findall(r"^\$ (.*)$", screen.text, re.MULTILINE)
    digest = re.findall(r'"digest":"([0-9a-f]+)"', approves)[0]
    seen = await screen.trajectory()
    edit, approval = [step for step in seen.steps if isinstance(step, DecisionStep)]

    assert "starter.py approve" in edits
    assert "--set path=reviewed/summary.md" in edits
    assert (edit.door, edit.answer, edit.accepted) == ("update", "edit", True)
    assert "temporal workflow signal" in approves
    assert (approval.door, approval.answer, approval.accepted) == ("signal", "approve", True)
    assert "temporal-cli" in approval.sender
    assert any(getattr(step, "digest", "").startswith(digest) for step in seen.steps)


async def test_the_summary_is_written_beside_copies_and_its_first_lines_are_shown(screen: Screen) -> None:
    written = screen.workspace / "reviewed" / "summary.md"

    assert str(Path("workspace", screen.run, "reviewed", "summary.md")) in screen.row("written")
    assert f"| {written.read_text().splitlines()[0]}" in screen.text
    assert (screen.workspace / "README.md").read_bytes() == (ROOT / "README.md").read_bytes()
    assert not (screen.workspace / "summary.md").exists()
    assert not (ROOT / "summary.md").exists()


async def test_no_worker_is_left(screen: Screen) -> None:
    assert len(screen.workers) == 2
    assert await gone(*screen.workers)


async def test_the_line_to_try_next_works_as_it_stands(screen: Screen) -> None:
    line = screen.row("  every step of this run")
    with environment(AGENT_HOME=str(screen.place.folder / "home")):
        done = await asyncio.to_thread(
            subprocess.run, line, shell=True, cwd=screen.place.folder, capture_output=True, text=True
        )

    assert done.returncode == 0, done.stderr
    assert f"Run {screen.run}: done" in done.stdout


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
async def test_a_demo_that_is_stopped_leaves_no_worker_and_no_open_run(place: Place, how: str) -> None:
    process = place.start(variables={"AGENT_OFFLINE_SECONDS": "60"})
    try:
        assert process.stdout is not None
        text = ""
        while "list_files" not in text and "workflows/demo-" not in text:
            text += (await asyncio.to_thread(process.stdout.readline)).decode()
        if how == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all that it has in the foreground
        else:
            process.terminate()
        rest, _ = await asyncio.to_thread(process.communicate, timeout=LONG)
    finally:
        end(process)
    screen = Screen(place, text + rest.decode(), process.returncode)

    assert screen.exit == 130
    assert "The demo stops" in screen.text
    assert "Traceback" not in screen.text
    assert await gone(*screen.workers)
    ending = (await screen.trajectory()).ending
    assert ending is not None
    assert ending.phase == "terminated"


async def test_at_a_terminal_the_person_is_asked(place: Place) -> None:
    terminal, other = pty.openpty()
    process = place.start(stdin=other, stdout=other, stderr=other)
    os.close(other)
    try:
        before = await asyncio.to_thread(read_until, terminal, "later > ")
        os.write(terminal, b"a\n")
        after = await asyncio.to_thread(read_until, terminal, "server stop")
        assert await asyncio.to_thread(process.wait, LONG) == 0
    finally:
        end(process)
        os.close(terminal)

    assert "summary.md" in before
    assert "approved by" in after
    assert "$ " not in before


def read_until(terminal: int, words: str) -> str:
    text = ""
    while words not in text:
        read = os.read(terminal, 4096)
        assert read, f"it ended without {words!r}: {text}"
        text += read.decode(errors="replace")
    return text


def play(request: Request) -> Step:
    """A model that takes its time."""
    if request.turn == 0:
        return delays(calls(("list_files", {"pattern": "**"})), 0.1)
    if request.turn == 1:
        paths = [line.partition("\t")[0] for line in request.outputs[0].splitlines()]
        return delays(calls(*(("read_file", {"path": path}) for path in paths)), 0.1)
    if request.turn == 2:
        return delays(calls(("write_file", {"path": "notes/all.md", "content": "# All\n"})), 1.5)
    return says("It is in notes/all.md.")


async def test_a_model_that_is_set_up_is_used_and_its_calls_are_counted(
    place: Place, fake_openai: FakeOpenAI, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("One.")
    (tmp_path / "b.md").write_text("Two.")
    fake_openai.respond(play)

    screen = await place.played(
        str(tmp_path),
        OPENAI_API_KEY="sk-test-of-the-demo",
        OPENAI_BASE_URL=fake_openai.base_url,
        AGENT_MODEL="fake-model",
    )

    assert screen.exit == 0, screen.text
    assert f"The model is fake-model at {fake_openai.base_url}" in screen.text
    assert "4 answered, 1 repeated; paid 4, and perhaps 1" in screen.row("model calls")
    assert (len(fake_openai.requests), fake_openai.repeats) == (5, 1)
    assert (screen.workspace / "reviewed/summary.md").read_text() == "# All\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.md"]
    assert "sk-test-of-the-demo" not in screen.text


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (error(401, code="invalid_api_key"), "OPENAI_API_KEY"),
        (calls(("http_post", {"url": "http://example.com", "body": "x"})), "terminal"),
    ],
    ids=["a bad key", "a write that leaves the folder"],
)
async def test_without_a_terminal_only_the_write_is_approved(
    place: Place, fake_openai: FakeOpenAI, step: Step, said: str
) -> None:
    fake_openai.script([step])

    screen = await place.played(OPENAI_API_KEY="sk-test-of-the-demo", OPENAI_BASE_URL=fake_openai.base_url)

    assert screen.exit == 1
    assert said in screen.text.splitlines()[-1]
    assert "its log is" in screen.text
    assert "Traceback" not in screen.text
    assert await gone(*screen.workers)


async def test_without_a_server_at_the_address_that_is_set_the_exit_code_is_4(place: Place) -> None:
    screen = await place.played(TEMPORAL_ADDRESS="127.0.0.1:1")

    assert screen.exit == 4
    assert "127.0.0.1:1" in screen.text
    assert "process" not in screen.text


# --- which documents ------------------------------------------------------------------------------------------


def test_documents_are_chosen_from_the_top_and_the_rest_is_counted(tmp_path: Path) -> None:
    for name in ("z.md", "deep/a.md", "deep/.hidden/b.md", ".c.md", "d.TXT", "e.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "long.md").write_text("x" * (documents.LARGEST_BYTES + 1))
    for number in range(documents.MOST_DOCUMENTS):
        (tmp_path / "deep" / f"n{number}.md").write_text("text")

    chosen = choose(tmp_path, tmp_path / "workspace")

    assert chosen.names[:3] == ("d.TXT", "z.md", "deep/a.md")
    assert len(chosen.names) == documents.MOST_DOCUMENTS
    assert chosen.left_out == 4


def test_the_copies_of_earlier_demos_are_no_documents(tmp_path: Path) -> None:
    for name in ("notes.md", "demo-1a2b3c/notes.md", "own/demo-1a2b3c/notes.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")

    assert choose(tmp_path, tmp_path).names == ("notes.md", "own/demo-1a2b3c/notes.md")


def test_a_folder_without_documents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.py").write_text("text")

    with pytest.raises(Trouble, match=r"no document \(\*\.md or \*\.txt\) in "):
        choose(tmp_path, tmp_path / "workspace")
