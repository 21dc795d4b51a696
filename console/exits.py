"""Exit codes, and the one place that turns an exception into a message for a person and an exit code."""

import asyncio
from collections.abc import Coroutine
from enum import IntEnum
from typing import NoReturn

import typer
from rich.console import Console
from temporalio.service import RPCError, RPCStatusCode

from agents.ids import BadId
from agents.request import BadRequest
from console.text import plain
from runtime.connection import CannotReachTemporal
from runtime.rules_file import RulesError
from runtime.server_process import EmbeddedServerError
from runtime.settings import SettingsError


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    """The run failed, or there is no such run, or the run refused; or an audit found what nobody had seen."""
    USAGE = 2
    WAITING = 3
    """The run waits for a person, and nobody at this terminal can be asked."""
    UNREACHABLE = 4
    INTERRUPTED = 130
    """Ctrl-C, by the shell's convention."""


class Trouble(Exception):
    """Something that a person should be told in one or two sentences, and the exit code that goes with it."""

    def __init__(self, text: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(text)
        self.code = code


NO_ANSWER = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.ABORTED,
    }
)
"""What a call to Temporal ends with while the server is away, or no worker answers in time."""

EXPECTED = (
    Trouble,
    BadRequest,
    BadId,
    SettingsError,
    RulesError,
    CannotReachTemporal,
    EmbeddedServerError,
    RPCError,
)


def finish(command: Coroutine[None, None, Exit]) -> NoReturn:
    """Run a command to its end. What is expected to go wrong is told on standard error, without a traceback.

    Raises:
        typer.Exit: Always, with the command's exit code.
    """
    try:
        code = asyncio.run(command)
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    except EXPECTED as error:
        code, text = explain(error)
        screen = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
        screen.print(plain(text))
    raise typer.Exit(code)


def explain(error: Exception) -> tuple[Exit, str]:
    """The exit code of an expected error, and its words."""
    match error:
        case Trouble():
            return error.code, str(error)
        case BadRequest() | BadId() | SettingsError() | RulesError():
            return Exit.USAGE, str(error)
        case RPCError(status=status) if status in NO_ANSWER:
            return Exit.UNREACHABLE, f"Temporal does not answer ({error.message}). Is the server still up?"
        case RPCError(status=status):
            return Exit.FAILED, f"Temporal refuses ({status.name}): {error.message}."
        case _:
            return Exit.UNREACHABLE, str(error)
