"""Seconds that `overview` and `inbox` take over a thousand runs, against a bare listing of the same runs.

The runs are started with the attributes and the memo that a worker would have written, and nobody works on them: what is
measured is reading. The server is one of its own, so that no other benchmark's runs are counted.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import PayloadLimitsConfig

from agents.card import Card, Spent
from agents.effect import RISKS
from agents.gate import GateKind
from agents.search_attributes import AGENT_NAME, AGENT_PHASE, AGENT_RISK, AGENT_TENANT, AGENT_WAITING_ON
from benchmarks.figure import Figure
from benchmarks.lab import ROOT, Lab
from console.overview import overview_of
from console.waiting import Wanted, inbox_of
from runtime.connection import MEMO_WARN_BYTES
from runtime.core import core_runtime
from runtime.search_attributes import ensure_search_attributes
from runtime.server_process import ENVIRONMENT
from tests.embedded import embedded_server
from workflows.publish import CARDS

RUNS, WAITING, ENDED = 1000, 400, 100
AT_ONCE = 20
ROUNDS = 15
COMMANDS = 3
SECOND = 1.0
"""The promise: seconds, over a thousand runs."""
BAR = 1.5
"""Times the bare listing: reading the answer must not cost more than half of what getting it does."""
DAY = timedelta(days=1)
WITHIN = 60.0


async def measure(lab: Lab) -> list[Figure]:
    """Both roll-ups, the floor, and the command as a person runs it."""
    async with embedded_server(lab.folder / "overview") as server:
        address = (await server.start()).address
        client = await Client.connect(
            address,
            data_converter=pydantic_data_converter,
            payload_limits=PayloadLimitsConfig(memo_warn_size=MEMO_WARN_BYTES),
            runtime=core_runtime(),
        )
        await ensure_search_attributes(client)
        await _runs(client)
        took = await _measured(client)
        command = median([await _command(address) for _ in range(COMMANDS)])
    note = f"{RUNS} runs, {WAITING} of them at a gate, {ENDED} ended; median of {ROUNDS}"
    floor = took["bare listing"]
    return [
        Figure("overview", took["overview"], "s", SECOND, note),
        Figure("overview / bare listing", took["overview"] / floor, "x", BAR, f"{floor * 1e3:.0f} ms bare"),
        Figure("inbox", took["inbox"], "s", SECOND, note),
        Figure("inbox / bare listing", took["inbox"] / floor, "x", BAR, f"of all {RUNS} runs"),
        Figure("overview, whole command", command, "s", note="with the start of Python"),
    ]


async def _runs(client: Client) -> None:
    """A thousand runs of three agents and two tenants."""
    room = asyncio.Semaphore(AT_ONCE)

    async def start(number: int) -> None:
        async with room:
            await _start(client, number)

    await asyncio.gather(*(start(number) for number in range(RUNS)))
    async with asyncio.timeout(WITHIN):
        while (await client.count_workflows("ExecutionStatus = 'Running'")).count > RUNS - ENDED:
            await asyncio.sleep(0.05)
        while (await client.count_workflows("")).count < RUNS:
            await asyncio.sleep(0.05)


async def _start(client: Client, number: int) -> None:
    waits = number % RUNS < WAITING
    tenant = ("default", "acme")[number % 2]
    run = await client.start_workflow(
        "AgentWorkflow",
        {"agent": "assistant", "task": "Be counted."},
        id=f"{'' if tenant == 'default' else 'acme/'}r-{number}",
        task_queue="nobody",
        memo={CARDS: [_card(number)]} if waits else None,
        search_attributes=TypedSearchAttributes(
            [
                _keyword(AGENT_NAME.name, f"agent-{number % 3}"),
                _keyword(AGENT_TENANT.name, tenant),
                _keyword(AGENT_PHASE.name, "waiting" if waits else "working"),
                _keyword(AGENT_RISK.name, RISKS[number % 4]),
                SearchAttributePair(
                    SearchAttributeKey.for_keyword_list(AGENT_WAITING_ON.name), ["anyone"] if waits else []
                ),
            ]
        ),
    )
    if number >= RUNS - ENDED:
        await run.terminate()


def _keyword(name: str, value: str) -> SearchAttributePair[str]:
    return SearchAttributePair(SearchAttributeKey.for_keyword(name), value)


def _card(number: int) -> dict[str, Any]:
    """A card of usual size, about 2 KB, as the memo holds it."""
    card = Card(
        gate="t3.c1",
        call="t3.c1",
        kind=GateKind.APPROVAL,
        summary="refund(" + "x" * 120 + ")",
        reason="irreversible non-idempotent write, high risk: asks at dial supervised",
        risk=RISKS[number % 4],
        digest=f"{number:064x}",
        since=datetime.now(UTC) - timedelta(minutes=number),
        deadline=None,
        tool="refund",
        preview="One line of what would happen.\n" * 20,
        stated="Because the customer asked for it. " * 10,
        evidence=("t2.c1 find_orders(customer=123): done",) * 5,
        undo="a new charge, which the customer must confirm",
        spent=Spent(model_calls=3, tokens=12_000),
        command="",
        others=(),
    )
    return card.model_dump(mode="json", exclude={"command", "others"})


async def _measured(client: Client) -> dict[str, float]:
    """Seconds of each, in rounds in which they take turns."""
    what: dict[str, Callable[[], Awaitable[object]]] = {
        "bare listing": lambda: _bare(client),
        "overview": lambda: overview_of(client, None, datetime.now(UTC) - DAY),
        "inbox": lambda: inbox_of(client, Wanted()),
    }
    took: dict[str, list[float]] = {name: [] for name in what}
    for number in range(ROUNDS + 1):
        for name, read in what.items():
            begun = time.perf_counter()
            await read()
            if number:  # the first round warms all up
                took[name].append(time.perf_counter() - begun)
    return {name: median(each) for name, each in took.items()}


async def _bare(client: Client) -> None:
    """All runs, in the largest pages there are, and nothing read."""
    token = b""
    while True:
        page = await client.workflow_service.list_workflow_executions(
            ListWorkflowExecutionsRequest(namespace=client.namespace, page_size=1000, next_page_token=token)
        )
        token = page.next_page_token
        if not token:
            return


async def _command(address: str) -> float:
    """Seconds of `starter.py overview` as a process."""
    given = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "starter.py",
        "overview",
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        env={**given, "TEMPORAL_ADDRESS": address, "TEMPORAL_CONFIG_FILE": os.devnull},
    )
    if await process.wait():
        raise RuntimeError("`starter.py overview` failed")
    return time.perf_counter() - begun
