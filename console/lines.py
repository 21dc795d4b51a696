"""The lines that people are shown to paste: they must work as they stand, in the folder of this project."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from agents.card import Card
from agents.gate import SHORTEST_DIGEST, DecisionKind
from console.text import compact
from runtime.connection import Connection
from runtime.server_process import DEFAULT_PORT, HOST, EmbeddedServerError, temporal_binary

USUAL_ADDRESSES = (f"{HOST}:{DEFAULT_PORT}", f"localhost:{DEFAULT_PORT}")
"""Where the `temporal` CLI looks when it is told nothing."""


def python_line(*words: str) -> str:
    """A line that runs a script of this project in the environment that runs this one."""
    return f"{_python()} {shlex.join(words)}"


def starter_line(*words: str) -> str:
    """A `starter.py` line."""
    return python_line("starter.py", *words)


def temporal_line(card: Card, line: str, connection: Connection) -> str:
    """A card's `temporal` line for this server: the run that wrote the card does not know where its server is."""
    words = line.removeprefix("temporal workflow signal")
    return f"{_temporal()} workflow signal{_where(connection, words)}{words}"


def signal_line(run: str, name: str, body: dict[str, Any], connection: Connection) -> str:
    """The `temporal` line that sends a message, for a POSIX shell; what it says is on this one line."""
    words = shlex.join(("--workflow-id", run, "--name", name, "--input", compact(body)))
    return f"{_temporal()} workflow signal{_where(connection)} {words}"


def _where(connection: Connection, words: str = "") -> str:
    where = "" if connection.address in USUAL_ADDRESSES else f" --address {shlex.quote(connection.address)}"
    if connection.namespace != "default" and "--namespace" not in words:
        where += f" --namespace {shlex.quote(connection.namespace)}"
    return where


_EXAMPLES = {
    DecisionKind.EDIT: ("--set", "FIELD=VALUE"),
    DecisionKind.DENY: ("--reason", "why not"),
    DecisionKind.DELEGATE: ("--to", "NAME"),
    DecisionKind.HAPPENED: ("--result", "what it gave back"),
    DecisionKind.GIVE_RESULT: ("--result", "the result"),
}


def decision_line(run: str, card: Card, kind: DecisionKind) -> str:
    """The `starter.py` line that answers a card."""
    bound = ("--digest", card.digest[:SHORTEST_DIGEST])
    match kind:
        case DecisionKind.APPROVE:
            return starter_line("approve", run, card.gate, *bound)
        case DecisionKind.EDIT:
            return starter_line("approve", run, card.gate, *bound, *_EXAMPLES[kind])
        case DecisionKind.DENY | DecisionKind.DELEGATE:
            return starter_line(str(kind), run, card.gate, *bound, *_EXAMPLES[kind])
        case DecisionKind.ANSWER:
            return starter_line("answer", run, card.gate, "your answer", *bound)
        case DecisionKind.ASK:
            return starter_line("ask", run, card.gate, "your question", *bound)
        case _:
            return starter_line("decide", run, card.gate, str(kind), *bound, *_EXAMPLES.get(kind, ()))


def _python() -> str:
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        return "uv run python"
    return _shortest("python", Path(sys.executable))


def _temporal() -> str:
    if shutil.which("temporal"):
        return "temporal"
    try:
        return _shortest("temporal", temporal_binary())
    except EmbeddedServerError:
        return "temporal"


def _shortest(name: str, program: Path) -> str:
    """`name` where the shell finds that very program by it; else its path, from here where it is below here."""
    if (found := shutil.which(name)) and Path(found).absolute() == program.absolute():
        return name
    here = Path.cwd()
    inside = program.absolute().is_relative_to(here)
    return shlex.quote(str(program.absolute().relative_to(here) if inside else program))
