"""Reads the records of past runs: visibility says which there are, their histories what happened. No worker is needed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.text import Text

from agents.rules import Duration
from console.executions import found
from console.exits import Exit, Trouble
from console.queries import CLOSED, OPEN, RUNS, is_of, quoted, tenant_of, tenant_parts, where
from console.records.derive import records_of
from console.records.records import RunRecords
from console.session import Session
from console.text import many
from console.ticker import Ticker
from console.trajectory.chain import chain_of

AT_ONCE = 8
"""Histories that are fetched side by side: more make neither the server nor the one process that reads them faster."""

Since = Annotated[str, typer.Option(metavar="TIME", help="How far back: 90m, 12h, 7d.")]
OfAgent = Annotated[str | None, typer.Option("--agent", help="Only runs of this agent.", show_default=False)]
OfTenant = Annotated[
    str | None, typer.Option("--tenant", help="Only runs of this tenant.", show_default=False)
]


@dataclass(frozen=True)
class Which:
    """Which runs."""

    since: datetime | None = None
    """Those that have ended since then, or have not ended."""
    last: int | None = None
    """The last so many, by their start."""
    agent: str | None = None
    tenant: str | None = None

    @property
    def words(self) -> str:
        """The same for people, after "runs"."""
        agent = f" of agent {self.agent}" if self.agent else ""
        tenant = f" of tenant {self.tenant}" if self.tenant else ""
        since = f" since {self.since.astimezone():%Y-%m-%d %H:%M}" if self.since else ""
        return f"{agent}{tenant}{since}"


def ago(text: str, now: datetime | None = None) -> datetime:
    """The moment that a `--since` names.

    Raises:
        Trouble: It names none.
    """
    try:
        seconds = TypeAdapter(Duration).validate_python(text)
        return (now or datetime.now(UTC)) - timedelta(seconds=seconds)
    except (ValidationError, OverflowError) as error:
        raise Trouble(
            f"--since {text!r}: give a number with m, h or d, such as 12h or 7d", Exit.USAGE
        ) from error


async def past_runs(session: Session, which: Which) -> list[RunRecords]:
    """The records of these runs, each with all executions that are left of it.

    Raises:
        Trouble: The tenant can be none.
        RPCError: The server does not answer.
    """
    runs = await _executions(session, which)
    ticker, left, done = Ticker(session.out), asyncio.Semaphore(AT_ONCE), 0

    async def read(run: str, executions: Sequence[str]) -> RunRecords:
        nonlocal done
        async with left:
            # Of a run that was reset, or whose id was used again, each branch has a history of its own.
            parts = [records_of(run, await chain_of(session.client, run, one)) for one in executions]
            done += 1
            ticker.show([("histories", Text(f"reading histories: {done} of {many(len(runs), 'run')}"))])
            return merged(parts, which.since)

    tasks = [asyncio.create_task(read(run, executions)) for run, executions in runs.items()]
    try:
        return await asyncio.gather(*tasks)
    finally:
        ticker.quiet()
        for task in tasks:
            task.cancel()


async def _executions(session: Session, which: Which) -> Mapping[str, Sequence[str]]:
    """Temporal's run ids of the last executions of each chain, by run, the newest run first."""
    runs: dict[str, list[str]] = {}
    async for info in found(session.client, query_of(which)):
        run = info.execution.workflow_id
        if not is_of(which.tenant, run):
            continue
        if run not in runs and which.last is not None and len(runs) >= which.last:
            break
        runs.setdefault(run, []).append(info.execution.run_id)
    return runs


def query_of(which: Which) -> str:
    """The query to visibility."""
    agent = [f"AgentName = {quoted(which.agent)}"] if which.agent else []
    ended = (
        f"({OPEN} OR CloseTime >= '{which.since:%Y-%m-%dT%H:%M:%SZ}')"
        if which.since
        else f"({OPEN} OR {CLOSED})"
    )
    return where(RUNS, "ExecutionStatus != 'ContinuedAsNew'", *tenant_parts(which.tenant), *agent, ended)


def merged(parts: Sequence[RunRecords], since: datetime | None) -> RunRecords:
    """The branches of one run as one; what a reset copied from one into the next counts once.

    Args:
        parts: The newest branch first.
        since: Gates and calls from before are left out.
    """
    gates = {gate.digest: gate for part in reversed(parts) for gate in part.gates}
    calls = {(call.call, call.at): call for part in reversed(parts) for call in part.calls}
    newest = parts[0]
    return newest.model_copy(
        update={
            "tenant": newest.tenant or tenant_of(newest.run),
            "gates": tuple(gate for gate in gates.values() if since is None or gate.opened >= since),
            "calls": tuple(call for call in calls.values() if since is None or call.at >= since),
            "gaps": tuple(dict.fromkeys(gap for part in parts for gap in part.gaps)),
        }
    )


def gap_lines(runs: Sequence[RunRecords]) -> list[Text]:
    """What is to be said of histories that are not there any more."""
    with_gaps = [run for run in runs if run.gaps]
    if not with_gaps:
        return []
    names = ", ".join(run.run for run in with_gaps[:3]) + (" and others" if len(with_gaps) > 3 else "")
    return [
        Text(
            f"Of {many(len(with_gaps), 'run')} ({names}) the server has not the whole history any more: what happened in "
            "the parts that are past the namespace's retention is not counted here.",
            style="yellow",
        )
    ]
