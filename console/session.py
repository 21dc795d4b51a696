"""What a command works with: the connected client, where its output goes, and the run that it is about."""

import logging
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console, RenderableType
from rich.text import Text
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from agents.ids import RunId, parse_run_id, run_id
from console.executions import Description, describe
from console.exits import Exit, Trouble, finish
from console.lines import starter_line
from console.text import document
from runtime.connection import Connection, connect
from runtime.logging import configure_logging
from runtime.server import EmbeddedServer
from runtime.settings import Settings, load_settings

WORKFLOW_TYPE = "AgentWorkflow"
WIDTH_OF_A_FILE = 120
"""Columns where the output is no terminal: Rich's own 80 would cut the tables."""

BEGINNING = re.compile(r"(\d\d:\d\d:\d\d)? *")
"""Of a line: its indentation, after the time where it has one."""

Line = str | Text
"""What is printed: a text for people, or a `str` for them to paste."""

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.", show_default=False)]
Tenant = Annotated[
    str | None,
    typer.Option(help="The run's tenant; the same as writing TENANT/RUN.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@dataclass(frozen=True)
class Session:
    """One command's connection and output."""

    connection: Connection
    settings: Settings
    out: Console
    """For people. With `--json` it is standard error, since standard output holds the document alone."""
    as_json: bool
    interactive: bool
    """A person is there: standard input and output are a terminal."""

    @property
    def client(self) -> Client:
        """The Temporal client."""
        return self.connection.client

    def say(self, *parts: Line, end: str = "\n") -> None:
        """Print lines for people. A `str` is never folded, so that what it holds can be pasted."""
        for part in parts:
            folded = isinstance(part, Text) and self.out.is_terminal
            self.out.print(self.folded(part) if folded else part, soft_wrap=not folded, end=end)

    def folded(self, part: Line) -> RenderableType:
        """A text whose long lines go on below their own beginning."""
        if not isinstance(part, Text):
            return part
        begin = BEGINNING.match(part.plain).end()  # type: ignore[union-attr]  # it matches everything
        rows = part[begin:].wrap(self.out, max(self.out.width - begin, 20)) or [Text()]
        below = [Text(" " * begin) + row for row in rows[1:]]
        return Text("\n").join([part[:begin] + rows[0], *below])

    def document(self, value: Any) -> None:
        """Print the command's JSON document."""
        sys.stdout.write(document(value) + "\n")

    def line(self, run: str, line: str) -> None:
        """Print a line to paste and nothing else; with `--json`, in a document."""
        if self.as_json:
            self.document({"run": run, "line": line})
        else:
            self.say(line)

    def handle(self, run: str, execution: str | None = None) -> WorkflowHandle[Any, Any]:
        """The run's handle; its latest execution where none is named."""
        return self.client.get_workflow_handle(run, run_id=execution)

    async def describe(self, run: str, *, patient: bool = True) -> Description:
        """What the server knows of a run, without any worker; see `console.executions.describe`.

        Raises:
            Trouble: There is no such run here.
        """
        where = f"namespace {self.connection.namespace!r} at {self.connection.address}"
        try:
            found = await describe(self.client, run, patient=patient)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            listing = starter_line("list")
            raise Trouble(
                f"There is no run {run!r} in {where}. `{listing}` shows those there are."
            ) from error
        if found.execution.type != WORKFLOW_TYPE:
            raise Trouble(f"{run!r} in {where} is a workflow of type {found.execution.type!r}, not a run.")
        return found

    async def describe_open(self, run: str) -> Description:
        """The same, of a run that can still be told something.

        Raises:
            Trouble: There is no such run here, or it has ended.
        """
        found = await self.describe(run)
        if not found.execution.open:
            raise Trouble(f"The run {run} has ended ({found.execution.state}): it takes no more messages.")
        return found

    def web_link(self, run: str) -> str | None:
        """The run's page in the Web UI, where we know the Web UI."""
        if self.connection.ui_url is None:
            return None
        return (
            f"{self.connection.ui_url}/namespaces/{self.connection.namespace}/workflows/{quote(run, safe='')}"
        )


def named(run: str, tenant: str | None) -> RunId:
    """The run that a person names, with its tenant before it or in `--tenant`.

    Raises:
        BadId: It can be no run's id.
    """
    return parse_run_id(run) if tenant is None else run_id(tenant, run)


async def open_session(tenant: str, *, as_json: bool = False, start_server: bool = False) -> Session:
    """Connect to Temporal, as the settings and Temporal's own configuration say.

    Raises:
        SettingsError: A setting cannot be used.
        CannotReachTemporal: There is no server; with `start_server`, not even our own can be started.
    """
    settings = load_settings()
    # A command's own messages are its output; what libraries log is of use only when it is bad.
    configure_logging(_quiet(settings))
    if settings.agent_log_level != "DEBUG":
        # It warns of each try to reach a server that is away; commands say so themselves, once.
        logging.getLogger("temporalio.core").setLevel(logging.ERROR)
    before = await EmbeddedServer(settings.agent_home).status() if start_server else None
    connection = await connect(settings, tenant=tenant, start_embedded=start_server)
    session = session_on(connection, settings, as_json=as_json)
    if start_server and connection.embedded and before is None:
        stop = starter_line("server", "stop")
        session.say(f"Started a Temporal server at {connection.address}; it stays until `{stop}`.")
    return session


def _quiet(settings: Settings) -> Settings:
    if settings.agent_log_level != "INFO":
        return settings
    return settings.model_copy(update={"agent_log_level": "WARNING"})


def session_on(connection: Connection, settings: Settings, *, as_json: bool = False) -> Session:
    """A session on a connection that is there."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    out = Console(file=sys.stderr if as_json else sys.stdout, markup=False, highlight=False, emoji=False)
    if not out.is_terminal:
        out.width = WIDTH_OF_A_FILE
    return Session(connection, settings, out, as_json, terminal and not as_json)


def about_run(
    run: str, tenant: str | None, command: Callable[[Session, str], Awaitable[Exit]], *, as_json: bool = False
) -> None:
    """Run a command that is about one run that exists.

    Raises:
        typer.Exit: Always, with the command's exit code.
    """

    async def connected() -> Exit:
        which = named(run, tenant)
        return await command(await open_session(which.tenant, as_json=as_json), str(which))

    finish(connected())
