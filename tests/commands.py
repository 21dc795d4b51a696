"""`starter.py` as people use it: a process of its own, with files or a terminal for its input and output."""

import asyncio
import contextlib
import json
import os
import re
import select
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import monotonic
from typing import Any

from tests.embedded import environment
from tests.house import SOON, House
from tests.processes import FORKS, ROOT, variables

FORKS.set_forkserver_preload(["tests.processes", "worker", "starter"])
STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
"""What moves the cursor and sets colours; anything else that begins with an escape is not ours."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on its standard output."""
        return json.loads(self.out)


async def starter(house: House, *words: str, stdin: str = "", **changes: str) -> Ended:
    """Run a command to its end, with no terminal."""
    folder = house.workspace.parent / f"command-{monotonic()}"
    folder.mkdir()
    (folder / "in").write_text(stdin)
    process = _start(house, words, [str(folder / name) for name in ("in", "out", "err")], changes)
    async with asyncio.timeout(SOON):
        code = await _ended(process)
    return Ended(code, (folder / "out").read_text(), (folder / "err").read_text())


class Terminal:
    """A command at a terminal, and the person there."""

    def __init__(self, house: House, words: tuple[str, ...]) -> None:
        self._master, self._slave = os.openpty()
        self._process = _start(
            house, words, [os.ttyname(self._slave)] * 3, {"TERM": "xterm", "COLUMNS": "100"}
        )
        self._raw = ""

    @property
    def text(self) -> str:
        """What has been printed, without colours."""
        while select.select([self._master], [], [], 0)[0]:
            self._raw += os.read(self._master, 65536).decode(errors="replace")
        return STYLE.sub("", self._raw)

    async def until(self, words: str, times: int = 1) -> str:
        """Wait until this is printed, or printed so many times; all that has been so far."""
        deadline = monotonic() + SOON
        while self.text.count(words) < times:
            assert monotonic() < deadline, f"no {words!r} within {SOON} s:\n{self.text}"
            await asyncio.sleep(0.02)
        return self.text

    def type(self, line: str) -> None:
        """Type a line and press Enter."""
        os.write(self._master, f"{line}\n".encode())

    def press_ctrl_c(self) -> None:
        """Interrupt the command, as the terminal does."""
        os.write(self._master, b"\x03")

    async def ended(self) -> int:
        """Wait until the command has ended; its exit code."""
        async with asyncio.timeout(SOON):
            return await _ended(self._process)

    def close(self) -> None:
        """End whatever is left."""
        _kill(self._process)
        os.close(self._master)
        os.close(self._slave)


@contextlib.contextmanager
def terminal(house: House, *words: str) -> Iterator[Terminal]:
    """A command at a terminal."""
    opened = Terminal(house, words)
    try:
        yield opened
    finally:
        opened.close()


@contextlib.asynccontextmanager
async def started(house: House, *words: str) -> AsyncIterator[Path]:
    """A command without a terminal that goes on beside the test; what it has printed so far is in the file."""
    out = house.workspace.parent / f"command-{monotonic()}"
    out.touch()
    process = _start(house, words, [os.devnull, str(out), str(out)], {})
    try:
        yield out
    finally:
        _kill(process)


async def printed(out: Path, words: str) -> str:
    """Wait until a command has printed this."""
    deadline = monotonic() + SOON
    while words not in out.read_text():
        assert monotonic() < deadline, f"no {words!r} within {SOON} s:\n{out.read_text()}"
        await asyncio.sleep(0.02)
    return out.read_text()


def _start(
    house: House, words: tuple[str, ...], files: list[str], changes: Mapping[str, str]
) -> ForkServerProcess:
    given = {**variables(house), "AGENT_HOME": str(house.workspace.parent / "home"), **changes}
    process = FORKS.Process(target=_run, args=(words, given, files), daemon=True)
    process.start()
    return process


async def _ended(process: ForkServerProcess) -> int:
    try:
        while (code := process.exitcode) is None:
            await asyncio.sleep(0.01)
        return code
    finally:
        _kill(process)


def _kill(process: ForkServerProcess) -> None:
    if process.exitcode is None and process.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    process.join()


def _run(words: tuple[str, ...], variables: Mapping[str, str], files: list[str]) -> None:
    os.setsid()
    for number, name in enumerate(files):
        flags = (
            os.O_RDWR
            if name.startswith("/dev/")
            else (os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT)
        )
        os.dup2(os.open(name, flags), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - they live as long as it
    with environment(**variables):
        import starter as program
        from runtime.connection import exit_process

        sys.argv = ["starter.py", *words]
        os.chdir(ROOT)
        exit_process(program.main())
