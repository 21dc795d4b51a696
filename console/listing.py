"""The command `list`: runs as visibility knows them, which needs no worker and asks no run."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import AwareDatetime, BaseModel
from rich.text import Text
from temporalio.common import SearchAttributeKey

from agents.card import Card
from agents.ids import DEFAULT_TENANT
from agents.rules import ANYONE
from agents.search_attributes import AGENT_NAME, AGENT_RISK, AGENT_TURN
from console.cards import memo_cards
from console.executions import PAUSED, Execution, listed
from console.exits import Exit, Trouble, finish
from console.lines import starter_line
from console.queries import CLOSED, OPEN, RUNNING, RUNS, is_of, known_tenant, quoted, tenant_parts, where
from console.seen import phase_of
from console.session import AsJson, Session, open_session
from console.status import PHASES
from console.table import table_lines
from console.text import ago, one_line

AGENT = SearchAttributeKey.for_keyword(AGENT_NAME.name)
TURN = SearchAttributeKey.for_int(AGENT_TURN.name)
RISK = SearchAttributeKey.for_keyword(AGENT_RISK.name)
OPEN_PHASES = ("queued", "working", "waiting", "parked", PAUSED)
CLOSED_STATUS = {
    "done": "Completed",
    "failed": "Failed",
    "cancelled": "Canceled",
    "terminated": "Terminated",
    "timed out": "TimedOut",
}
"""Phases of runs that have ended, and how a query asks for them."""


class ListedRun(BaseModel):
    """One run in a listing."""

    run: str
    agent: str | None
    phase: str
    turn: int | None
    """When its phase last changed; None while it works, when it has gone on since."""
    started: AwareDatetime
    """When its latest execution began."""
    closed: AwareDatetime | None
    risk: str | None
    waiting: tuple[Card, ...]


def list_runs(
    *,
    tenant: Annotated[str | None, typer.Option(help="Only runs of this tenant.")] = None,
    phase: Annotated[str | None, typer.Option(help="Only runs in this phase, such as waiting.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only runs of this agent.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Runs at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs: the open ones first, then those that ended, the latest first."""

    async def command() -> Exit:
        queries = _queries(tenant, phase, agent)
        session = await open_session(tenant or DEFAULT_TENANT, as_json=as_json)
        found, more = await _found(session, tenant, queries, limit)
        now = datetime.now(UTC)
        if as_json:
            session.document(
                {
                    "as_of": now.isoformat(),
                    "runs": [run.model_dump(mode="json") for run in found],
                    "more": more,
                }
            )
        else:
            _show(session, found, now, more=more)
        return Exit.DONE

    finish(command())


def _queries(tenant: str | None, phase: str | None, agent: str | None) -> list[str]:
    shared = [RUNS, *tenant_parts(known_tenant(tenant))]
    if agent is not None:
        shared.append(f"AgentName = {quoted(agent)}")
    return [where(*shared, *part) for part in _phase_parts(phase)]


def _phase_parts(phase: str | None) -> list[list[str]]:
    match phase:
        case None:
            return [[OPEN], [CLOSED]]
        case "queued":
            return [[RUNNING, "(AgentPhase IS NULL OR AgentPhase = 'queued')"]]
        case "paused":
            return [["ExecutionStatus = 'Paused'"], [RUNNING, "AgentPhase = 'paused'"]]
        case _ if phase in CLOSED_STATUS:
            return [[f"ExecutionStatus = '{CLOSED_STATUS[phase]}'"]]
        case _ if phase in OPEN_PHASES:
            return [[RUNNING, f"AgentPhase = '{phase}'"]]
        case _:
            known = ", ".join([*OPEN_PHASES, *CLOSED_STATUS])
            raise Trouble(f"--phase {phase!r}: there is {known}", Exit.USAGE)


async def _found(
    session: Session, tenant: str | None, queries: Sequence[str], limit: int
) -> tuple[list[ListedRun], bool]:
    found: list[ListedRun] = []
    for query in queries:
        some: list[Execution] = []
        async for execution in listed(session.client, query):
            if not is_of(tenant, execution.run):
                continue
            if len(found) + len(some) == limit:
                return found + _rows(session, some), True
            some.append(execution)
        found += _rows(session, some)
    return found, False


def _rows(session: Session, executions: Sequence[Execution]) -> list[ListedRun]:
    # Not every visibility store sorts, and a query must not ask for it where the store cannot.
    newest_first = sorted(executions, key=lambda execution: execution.started, reverse=True)
    return [_row(session, execution) for execution in newest_first]


def _row(session: Session, execution: Execution) -> ListedRun:
    attributes, phase = execution.attributes, phase_of(execution)
    return ListedRun(
        run=execution.run,
        agent=attributes.get(AGENT),
        phase=phase,
        turn=None if phase == "working" else attributes.get(TURN),
        started=execution.started,
        closed=execution.closed,
        risk=attributes.get(RISK) if execution.open else None,
        waiting=memo_cards(execution, session.connection.namespace),
    )


def _show(session: Session, found: Sequence[ListedRun], now: datetime, *, more: bool) -> None:
    if not found:
        session.say(f"No such runs. Start one: {starter_line('run', 'assistant', 'your task')}")
        return
    rows = [
        (
            run.run,
            Text(run.phase, style=PHASES.get(run.phase, "cyan")),
            run.agent or "",
            "" if run.turn is None else str(run.turn),
            ago(run.started, now),
            _waits_for(run),
        )
        for run in found
    ]
    session.say(
        *table_lines(("run", "phase", "agent", "turn", "began", "waits for"), rows, session.out.width)
    )
    if more:
        session.say(
            Text(
                "There are more: ask for them with --limit, or fewer with --phase, --agent or --tenant.",
                style="dim",
            )
        )


def _waits_for(run: ListedRun) -> str:
    if not run.waiting:
        return ""
    first = run.waiting[0]
    more = f" and {len(run.waiting) - 1} more" if len(run.waiting) > 1 else ""
    who = "" if first.asks == (ANYONE,) else f" by {one_line(', '.join(first.asks), 60)}"
    return f"{first.gate} {first.kind}{who}: {one_line(first.summary, 60)}{more}"
