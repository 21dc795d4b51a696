"""The command `overview`: one line for each agent and tenant, from visibility alone: no worker, no query.

A line holds counts and fields of a fixed list, and nothing that a model wrote.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import AwareDatetime, BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json
from rich.text import Text
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client

from agents.ids import DEFAULT_TENANT
from agents.rules import Duration
from agents.search_attributes import AGENT_COST, AGENT_NAME, AGENT_PHASE, SearchAttribute
from console.cards import cards_in
from console.executions import RUNNING, STATES, found, memo_of
from console.exits import Exit, Trouble, finish
from console.lines import starter_line
from console.queries import CLOSED, OPEN, RUNS, is_of, known_tenant, tenant_of, tenant_parts, where
from console.session import AsJson, Line, open_session
from console.table import table_lines
from console.text import clock, duration, one_line
from console.waiting import WAITING

COLUMNS = ("working", "waiting", "parked", "paused", "done", "failed", "cancelled")
HEADS = {"waiting": "needs a person"}
COUNTED = {"queued": "working", "terminated": "failed", "timed out": "failed"}
"""Phases that are counted under another one's name."""

STYLES = {"waiting": "bold yellow", "parked": "bold red", "failed": "red", "done": "green"}
UNKNOWN = "—"


class OverviewLine(BaseModel):
    """The runs of one agent and tenant."""

    agent: str | None
    """None: of runs that no worker has seen yet."""
    tenant: str
    working: int
    """Those that wait for a worker are among them."""
    waiting: int
    """For a person."""
    parked: int
    paused: int
    done: int
    failed: int
    """Or terminated, or timed out."""
    cancelled: int
    cost: float | None
    """In US dollars, of the runs of which it is known; None: of none."""
    cost_of: int
    """How many runs those are."""
    oldest_wait: AwareDatetime | None
    """Since when the gate that has waited longest is open."""


@dataclass
class Group:
    """What is known so far of the runs of one agent and tenant."""

    counts: Counter[str] = field(default_factory=Counter)
    costs: list[float] = field(default_factory=list)
    oldest: datetime | None = None

    def line(self, agent: str | None, tenant: str) -> OverviewLine:
        """Its line."""
        return OverviewLine(
            agent=agent,
            tenant=tenant,
            **{name: self.counts[name] for name in COLUMNS},
            cost=sum(self.costs) if self.costs else None,
            cost_of=len(self.costs),
            oldest_wait=self.oldest,
        )


def overview(
    *,
    tenant: Annotated[str | None, typer.Option(help="Only runs of this tenant.")] = None,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Of ended runs, those that ended within this: 30m, 24h, 7d.")
    ] = "24h",
    as_json: AsJson = False,
) -> None:
    """Show what all runs do: one line for each agent and tenant."""

    async def command() -> Exit:
        beginning = _beginning(since)
        session = await open_session(known_tenant(tenant) or DEFAULT_TENANT, as_json=as_json)
        now = datetime.now(UTC)
        lines = await overview_of(session.client, tenant, beginning)
        if as_json:
            rows = [line.model_dump(mode="json") for line in lines]
            session.document({"as_of": now.isoformat(), "since": beginning.isoformat(), "lines": rows})
        else:
            session.say(*overview_parts(lines, now, beginning, session.out.width))
        return Exit.DONE

    finish(command())


def _beginning(text: str) -> datetime:
    try:
        return datetime.now(UTC) - timedelta(seconds=TypeAdapter(Duration).validate_python(text))
    except (ValidationError, OverflowError) as error:
        raise Trouble(
            f"--since {text!r}: give a number with s, m, h or d, such as 30m, 24h or 7d", Exit.USAGE
        ) from error


async def overview_of(client: Client, tenant: str | None, beginning: datetime) -> list[OverviewLine]:
    """A line for each agent and tenant: all open runs, and those that have ended since the beginning.

    Raises:
        RPCError: The server does not answer.
    """
    shared = [RUNS, *tenant_parts(tenant)]
    ended = f"CloseTime >= '{beginning.isoformat()}'"
    groups: dict[tuple[str, str | None], Group] = {}
    seen: set[str] = set()
    # The open ones first: of a run that was reset or started again, the latest execution counts.
    for query in (where(*shared, OPEN), where(*shared, CLOSED, ended)):
        async for info in found(client, query):
            run = info.execution.workflow_id
            if is_of(tenant, run) and run not in seen:
                seen.add(run)
                group = groups.setdefault((tenant_of(run), _text(info, AGENT_NAME)), Group())
                await _count(client, group, info)
    ordered = sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    return [group.line(agent, name) for (name, agent), group in ordered]


async def _count(client: Client, group: Group, info: WorkflowExecutionInfo) -> None:
    state = STATES[info.status]
    phase = (_text(info, AGENT_PHASE) or "queued") if state == RUNNING else state
    counted = COUNTED.get(phase, phase)
    group.counts[counted if counted in COLUMNS else "working"] += 1
    cost = _value(info, AGENT_COST)
    if isinstance(cost, int | float):
        group.costs.append(float(cost))
    if state == RUNNING and phase in WAITING:
        memo = await memo_of(client, info)
        waits = [card.since for card in cards_in(info.execution.workflow_id, memo, client.namespace)]
        group.oldest = min(filter(None, [group.oldest, *waits]), default=None)


def _value(info: WorkflowExecutionInfo, attribute: SearchAttribute) -> Any:
    # By hand: the SDK's own way takes as long as half of what the server does.
    payload = info.search_attributes.indexed_fields.get(attribute.name)
    return None if payload is None else from_json(payload.data)


def _text(info: WorkflowExecutionInfo, attribute: SearchAttribute) -> str | None:
    value = _value(info, attribute)
    return value if isinstance(value, str) else None


def overview_parts(
    lines: Sequence[OverviewLine], now: datetime, beginning: datetime, width: int
) -> list[Line]:
    """The overview on a terminal."""
    window = duration((now - beginning) / timedelta(seconds=1))
    head = Text.assemble(
        ("Runs by agent and tenant", "bold"),
        f", as of {clock(now)}; ended ones of the last {window}",
    )
    if not lines:
        return [
            Text(f"No runs, as of {clock(now)}."),
            f"Start one: {starter_line('run', 'assistant', 'your task')}",
        ]
    rows = [_row(line, now) for line in lines]
    heads = ["agent", "tenant", *(HEADS.get(name, name) for name in COLUMNS), "cost", "oldest wait"]
    table = table_lines(heads, rows, width)
    waiting = sum(line.waiting + line.parked for line in lines)
    more = [f"What needs a person: {starter_line('inbox')}"] if waiting else []
    return [head, *table, *more]


def _row(line: OverviewLine, now: datetime) -> list[str | Text]:
    counts = [
        Text(
            str(count) if (count := getattr(line, name)) else "·",
            style=STYLES.get(name, "") if count else "dim",
        )
        for name in COLUMNS
    ]
    agent = UNKNOWN if line.agent is None else one_line(line.agent, 40)
    return [agent, one_line(line.tenant, 40), *counts, _cost(line), _wait(line, now)]


def _cost(line: OverviewLine) -> str:
    if line.cost is None:
        return UNKNOWN
    runs = sum(getattr(line, name) for name in COLUMNS)
    known = "" if line.cost_of == runs else f" of {line.cost_of}"
    return f"{line.cost:.4f} USD{known}"


def _wait(line: OverviewLine, now: datetime) -> str:
    return "" if line.oldest_wait is None else duration((now - line.oldest_wait) / timedelta(seconds=1))
