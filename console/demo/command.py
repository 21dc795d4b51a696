"""The command `demo`: a run on real documents, a worker that is killed in the middle, and what became of it."""

import asyncio
import contextlib
import dataclasses
import secrets
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text
from temporalio.service import RPCError

from agents.ids import RunId, run_id
from agents.request import parse_request
from console.demo.documents import PREFIX, ROOT, Chosen, choose, copy, shown
from console.demo.following import DemoFollower
from console.demo.killing import kill_in_the_middle
from console.demo.report import Outcome, next_lines, table
from console.demo.workers import DemoWorker
from console.exits import Exit, Trouble, finish
from console.lines import starter_line
from console.session import Session, open_session
from console.start import Started, start
from runtime.settings import Settings, load_settings

AGENT = "assistant"
TASK = (
    "Summarise the documents in this folder: list **/*, read the documents side by side in one turn, then write a few "
    "lines about each of them to summary.md."
)
UNATTENDED_SECONDS = 900.0
"""Where nobody watches, a demo that does not come to an end gives up; it takes half a minute."""
GIVE_UP_TIMEOUT = timedelta(seconds=5)

Folder = Annotated[
    Path | None,
    typer.Argument(
        exists=True,
        file_okay=False,
        resolve_path=True,
        help="The documents to work on, a folder with *.md or *.txt; otherwise this repository's own.",
        show_default=False,
    ),
]


def demo(folder: Folder = None) -> None:
    """Run an agent on documents, kill its worker in the middle of a step, and watch the run carry on.

    Exit codes: 0 done, 1 failed, 2 bad usage, 4 cannot reach Temporal.
    """
    finish(_command(folder))


async def _command(folder: Path | None) -> Exit:
    if sys.platform == "win32":
        raise Trouble("The demo needs Linux, macOS or WSL.", Exit.USAGE)
    settings = load_settings()
    chosen = choose(folder, settings.agent_workspace)
    for line in introduction(chosen, settings):
        typer.echo(line)
    _end_as_on_ctrl_c(signal.SIGTERM, signal.SIGHUP)
    session = await open_session("default", start_server=True)
    wanted = run_id("default", f"{PREFIX}{secrets.token_hex(3)}")
    workspace = settings.agent_workspace / wanted.name
    copy(chosen, workspace)
    own = settings.model_copy(update={"agent_task_queue": wanted.name, "agent_workspace": workspace})
    session = dataclasses.replace(session, settings=own)
    with DemoWorker(settings, wanted.name, workspace) as worker:
        process = worker.start()
        _announce(session, chosen, worker, process)
        await worker.ready(session.client)
        return await _run(session, wanted, worker, process)


def introduction(chosen: Chosen, settings: Settings) -> list[str]:
    """What is about to happen, in three lines."""
    more = f" ({chosen.left_out} more are left out)" if chosen.left_out else ""
    if settings.model_is_offline:
        model = "Neither OPENAI_API_KEY nor OPENAI_BASE_URL is set: an offline stand-in plays the model. Nothing is paid."
    else:
        where = settings.openai_base_url or "OpenAI"
        model = f"The model is {settings.agent_model} at {where}: it is called about five times, which may cost money."
    folder = "this repository" if chosen.folder == ROOT else chosen.folder
    number = len(chosen.names)
    documents = f"{number} documents" if number > 1 else "1 document"
    return [
        f"An agent reads {documents} of {folder}{more}, side by side, and writes a summary.",
        "It asks before it writes. In the middle of a step its worker is killed; another one takes over.",
        model,
        "",
    ]


def _end_as_on_ctrl_c(*signals: signal.Signals) -> None:
    """Treat these as Ctrl-C, which takes the worker along."""
    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, signal.raise_signal, signal.SIGINT)


def _announce(session: Session, chosen: Chosen, worker: DemoWorker, process: int) -> None:
    where = session.connection
    web = f", Web UI {where.ui_url}" if where.ui_url else ""
    session.say(
        f"Temporal   {where.address}{web}",
        f"Documents  copied to {shown(session.settings.agent_workspace)}; yours are not touched",
        f"Worker     process {process}, its log is {shown(worker.log)}",
    )


async def _run(session: Session, wanted: RunId, worker: DemoWorker, process: int) -> Exit:
    request = parse_request(str(wanted), {"agent": AGENT, "task": TASK, "dial": "propose"})
    started = await start(session, wanted, request, again=False, own_id=True)
    try:
        outcome, code = await _watched(session, started, worker, process)
    except BaseException:
        await _give_up(session, started.run, worker)
        raise
    if code is not Exit.DONE:
        session.say("", *where_to_look(started.run, worker))
        return code
    session.say(*table(outcome), "", *next_lines(outcome))
    return code


async def _watched(
    session: Session, started: Started, worker: DemoWorker, process: int
) -> tuple[Outcome, Exit]:
    follower = DemoFollower(session, started.run, started.execution, ask=True, worker=worker)
    following = asyncio.create_task(follower.follow(told=False))
    killing = asyncio.create_task(kill_in_the_middle(follower, process))
    try:
        async with asyncio.timeout(None if session.interactive else UNATTENDED_SECONDS):
            code, kill = await asyncio.gather(following, killing)
    except TimeoutError as error:
        raise Trouble(f"The run did not end within {UNATTENDED_SECONDS / 60:g} min.") from error
    finally:
        following.cancel()
        killing.cancel()
    workspace, offline = session.settings.agent_workspace, session.settings.model_is_offline
    return Outcome(session, started.run, follower.reading, kill, workspace, offline=offline), code


async def _give_up(session: Session, run: str, worker: DemoWorker) -> None:
    """End the run: nobody else takes from its task queue, and it would wait for ever."""
    with contextlib.suppress(RPCError):  # it has ended, or the server is gone: why we are here is told anyway
        await session.handle(run).terminate("the demo was stopped", rpc_timeout=GIVE_UP_TIMEOUT)
    session.say(
        Text("\nThe demo stops: its run is terminated, and its worker ends.", style="bold"),
        *where_to_look(run, worker),
    )


def where_to_look(run: str, worker: DemoWorker) -> list[str]:
    """What shows why a demo did not come to its end."""
    return [
        f"  what it did       {starter_line('trajectory', run)}",
        f"  the worker's log  {shown(worker.log)}",
    ]
