"""Records the histories that the replay tests read: `make record`, after a wanted change of the workflow.

Each scenario is one small run. They go into a folder of `tests/histories` named after the day. The older folders stay
for as long as a run of that age may be open: they are what a change must not break.
"""

import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.tools import ToolFailed, tool
from agents.agent import Agent
from agents.effect import READ, Effect
from agents.rules import RuleSet
from runtime.connection import exit_process
from runtime.search_attributes import ensure_search_attributes
from tests.chains import executions
from tests.conftest import own_arguments, started_server
from tests.fake_openai import FakeOpenAI, calls, error, holds, refuses, says
from tests.house import SOON, House, decide, until

HISTORIES = Path(__file__).parent / "histories"
IDENTITY = "recorder"
EVENTS_BEFORE_CONTINUING = 16

Run = WorkflowHandle[Any, Any]
Scenario = Callable[[House], Awaitable[Run]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__.replace("_", "-")] = function
    return function


@tool(READ)
async def look(at: str) -> str:
    """Look at something."""
    if at == "nothing":
        raise ToolFailed("there is nothing")
    return f"this is {at}"


@tool(Effect(writes=True))
async def put(what: str) -> str:
    """Put something somewhere."""
    return f"put {what}"


@tool(Effect(writes=True, idempotent=False, reversible=False))
async def pay(amount: int) -> str:
    """Pay once."""
    raise ConnectionError("the answer was lost")


@tool(READ, asks_person=True)
async def ask(question: str) -> str:
    """Ask a person."""
    raise NotImplementedError


BOARD = ["empty"]


def board(text: str) -> str:
    """What hangs there now."""
    return f"{BOARD[-1]} -> {text}"


@tool(Effect(writes=True, reversible=False), preview=board)
async def pin(text: str) -> str:
    """Pin something to the board."""
    BOARD.append(text)
    return f"pinned {text}"


TOOLS = (look, put, pay, ask)
AGENT = Agent(name="recorded", instructions="Work.", tools=tuple(t.spec.name for t in TOOLS))
RULES = {
    "people": {"ann": {"roles": ["manager"]}, "bob": {"roles": ["manager"]}, "cy": {}},
    "rules": [
        {"name": "two", "tools": ["pay"], "terms": {"approvers": ["manager"], "needed": 2}},
        {
            "name": "soon",
            "tools": ["put"],
            "when": {"field": "what", "is": "=", "value": "soon"},
            "terms": {
                "approvers": ["manager"],
                "deadline": "2s",
                "escalate": [{"after": "1s", "to": ["cy"]}],
            },
        },
    ],
}
RULED = Agent(
    name="ruled",
    instructions="Work.",
    tools=(*AGENT.tools, "pin"),
    rules=RuleSet.model_validate(RULES),
)


async def begun(house: House, *steps: Any, agent: Agent = AGENT, **request: Any) -> Run:
    house.fake.script(steps)
    return await house.start(agent=agent.name, id=house.queue, **request)


async def ended(run: Run) -> Run:
    """The run, when it is over in whatever way."""
    with suppress(WorkflowFailureError):
        await run.result()
    return run


@scenario
async def plain_answer(house: House) -> Run:
    return await ended(await begun(house, says("hello")))


@scenario
async def parallel_calls(house: House) -> Run:
    side_by_side = calls(("look", {"at": "a"}), ("look", {"at": "nothing"}), ("put", {"what": "b"}))
    return await ended(await begun(house, side_by_side, calls(("look", {"colour": "red"})), says("done")))


@scenario
async def approved_and_denied(house: House) -> Run:
    run = await begun(
        house, calls(("put", {"what": "a"}), ("put", {"what": "b"})), says("done"), dial="propose"
    )
    await until(run, lambda s: len(s.waiting) == 2)
    await decide(run, "t1.c2", "deny", reason="not that")
    await decide(run, "t1.c1", "approve")
    return await ended(run)


@scenario
async def question(house: House) -> Run:
    run = await begun(house, calls(("ask", {"question": "Which?"})), says("thanks"))
    [card] = (await until(run, lambda s: s.waiting)).waiting
    await run.signal("answer", {"call": card.call, "digest": card.digest[:16], "by": "ann", "text": "this"})
    return await ended(run)


@scenario
async def unknown_outcome(house: House) -> Run:
    run = await begun(house, calls(("pay", {"amount": 5})), says("paid"), dial="autonomous")
    await until(run, lambda s: s.waiting)
    await decide(run, "t1.c1", "did_not_happen")
    await until(run, lambda s: s.waiting and s.usage.model_calls == 1)
    await decide(run, "t1.c1", "happened", result="receipt 7")
    return await ended(run)


@scenario
async def provider_wait(house: House) -> Run:
    return await ended(await begun(house, error(429, headers={"retry-after": "1"}), says("late")))


@scenario
async def failure_gate(house: House) -> Run:
    run = await begun(house, error(400), says("fine"))
    await until(run, lambda s: s.waiting)
    await decide(run, "t1.model", "retry")
    return await ended(run)


@scenario
async def ended_at_a_gate(house: House) -> Run:
    run = await begun(house, refuses("I will not"))
    await until(run, lambda s: s.waiting)
    await decide(run, "t1.model", "end", reason="enough")
    return await ended(run)


@scenario
async def cancelled(house: House) -> Run:
    run = await begun(house, calls(("look", {"at": "a"})), holds(says("never")))
    await house.fake.wait_held()
    await run.cancel()
    return await ended(run)


@scenario
async def refused_request(house: House) -> Run:
    return await ended(await begun(house, colour="red"))


@scenario
async def rejected_messages(house: House) -> Run:
    run = await begun(house, calls(("ask", {"question": "Which?"})), says("thanks"))
    await until(run, lambda s: s.waiting)
    await run.signal("approve")
    await run.signal("launch", {"gate": "t1.c1"})
    await run.execute_update("decide", {"gate": "t1.c1", "digest": "0" * 64, "kind": "answer", "by": "eve"})
    await until(run, lambda s: s.rejected_total == 3)
    await decide(run, "t1.c1", "answer", text="this")
    return await ended(run)


@scenario
async def continued_in_the_middle_of_a_turn(house: House) -> Run:
    asked = calls(("look", {"at": "a"}), ("ask", {"question": "Which?"}), ("put", {"what": "b"}))
    run = await begun(house, calls(("look", {"at": "a"})), asked, says("done"), dial="propose")
    await until(run, lambda s: len(s.waiting) == 2)
    await decide(run, "t2.c2", "answer", text="this")
    await decide(run, "t2.c3", "approve")
    return await ended(run)


@scenario
async def reset(house: House) -> Run:
    run = await begun(house, calls(("ask", {"question": "Which?"})), says("thanks"), says("thanks again"))
    await until(run, lambda s: s.waiting)
    await decide(run, "t1.c1", "answer", text="this")
    old = [event async for event in (await ended(run)).fetch_history_events()]
    model = next(e for e in old if e.activity_task_scheduled_event_attributes.activity_id == "t1.model")
    answered = await house.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=house.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=run.id),
            reason="recorded",
            request_id="recorded",
            workflow_task_finish_event_id=(
                model.activity_task_scheduled_event_attributes.workflow_task_completed_event_id
            ),
        )
    )
    run = house.client.get_workflow_handle(run.id)
    await until(run, lambda s: s.waiting)
    await decide(run, "t1.c1", "answer", text="that")
    await ended(run)
    return house.client.get_workflow_handle(run.id, first_execution_run_id=answered.run_id)


@scenario
async def edited_and_granted(house: House) -> Run:
    puts = [calls(("put", {"what": what})) for what in "abc"]
    run = await begun(house, *puts, says("done"), agent=RULED, dial="propose")
    await until(run, lambda s: s.waiting)
    await decide(run, "t1.c1", "edit", arguments={"how": "so"})
    await decide(run, "t1.c1", "edit", arguments={"what": "z"})
    await until(run, lambda s: s.waiting and s.waiting[0].gate == "t2.c1")
    await decide(run, "t2.c1", "approve", grant={"calls": 1, "lasts": "1d"})
    return await ended(run)


@scenario
async def two_people(house: House) -> Run:
    run = await begun(house, calls(("pay", {"amount": 5})), says("paid"), agent=RULED)
    await until(run, lambda s: s.waiting)
    await decide(run, "t1.c1", "approve", by="cy")
    await decide(run, "t1.c1", "delegate", by="bob", to="cy")
    await decide(run, "t1.c1", "approve", by="cy")
    await decide(run, "t1.c1", "approve", by="ann")
    await until(run, lambda s: s.waiting and s.waiting[0].kind == "unknown outcome")
    await decide(run, "t1.c1", "happened", result="receipt 7")
    return await ended(run)


@scenario
async def asked_for_more(house: House) -> Run:
    run = await begun(
        house, calls(("put", {"what": "a"})), says("because"), says("done"), agent=RULED, dial="propose"
    )
    await until(run, lambda s: s.waiting)
    await decide(run, "t1.c1", "ask", text="why?")
    await until(run, lambda s: s.waiting[0].thread[0].answer)
    await decide(run, "t1.c1", "approve")
    return await ended(run)


@scenario
async def changed_since_it_was_approved(house: House) -> Run:
    run = await begun(house, calls(("pin", {"text": "a"})), says("done"), agent=RULED)
    first = (await until(run, lambda s: s.waiting)).waiting[0]
    BOARD.append("other")
    await decide(run, "t1.c1", "approve")
    await until(run, lambda s: s.waiting and s.waiting[0].digest != first.digest)
    await decide(run, "t1.c1", "edit", arguments={"text": "b"})
    await decide(run, "t1.c1", "approve")
    return await ended(run)


@scenario
async def nobody_answered(house: House) -> Run:
    run = await begun(house, calls(("put", {"what": "soon"})), says("then not"), agent=RULED)
    return await ended(run)


@scenario
async def steered(house: House) -> Run:
    run = await begun(house, holds(says("never")), calls(("put", {"what": "a"})), says("done"), agent=RULED)
    await house.fake.wait_held()
    await run.execute_update("say", {"by": "ann", "text": "not so", "policy": "interrupt"})
    await run.execute_update("pause", {"by": "ann"})
    await run.execute_update("say", {"by": "bob", "text": "and this"})
    await run.execute_update("resume", {"by": "bob"})
    return await ended(run)


@scenario
async def cancelled_by_a_message(house: House) -> Run:
    run = await begun(house, calls(("ask", {"question": "Which?"})), agent=RULED)
    await until(run, lambda s: s.waiting)
    await run.signal("cancel", {"by": "ann", "reason": "enough"})
    return await ended(run)


async def main(folder: Path) -> None:
    """Record every scenario into `folder`."""
    logging.disable(logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    folder.mkdir(parents=True)
    for name, play in SCENARIOS.items():
        async with _server(early="continued" in name) as environment:
            for number, history in enumerate(await _recorded(environment, name, play), start=1):
                file = folder / f"{name}.{number}.json"
                file.write_text(history)
                print(f"{file.relative_to(HISTORIES.parent.parent)}  {len(history):,} bytes")


@asynccontextmanager
async def _server(*, early: bool) -> AsyncIterator[WorkflowEnvironment]:
    """A server; `early`: one that suggests to continue as new after a few events, since that is in the history."""
    suggestion = f"limit.historyCount.suggestContinueAsNew={EVENTS_BEFORE_CONTINUING}"
    arguments = own_arguments() + (["--dynamic-config-value", suggestion] if early else [])
    async with await started_server(dev_server_extra_args=arguments, identity=IDENTITY) as environment:
        await ensure_search_attributes(environment.client)
        yield environment


async def _recorded(environment: WorkflowEnvironment, name: str, play: Scenario) -> list[str]:
    with FakeOpenAI() as fake, tempfile.TemporaryDirectory() as folder:
        house = House(environment.client, fake, Path(folder))
        house.queue = name
        async with house.worker(*TOOLS, pin, agents=(AGENT, RULED)):
            async with asyncio.timeout(SOON):
                run = await play(house)
            chain = await executions(environment.client, run)
            handles = [environment.client.get_workflow_handle(run.id, run_id=e.run_id) for e in chain]
            return [scrubbed((await handle.fetch_history()).to_json()) for handle in handles]


def scrubbed(history: str) -> str:
    """A history without the paths of the machine that recorded it, which are in stack traces only."""
    return json.dumps(_without(json.loads(history), "stackTrace"), indent=1) + "\n"


def _without(value: Any, name: str) -> Any:
    match value:
        case dict():
            return {key: _without(item, name) for key, item in value.items() if key != name}
        case list():
            return [_without(item, name) for item in value]
        case _:
            return value


if __name__ == "__main__":
    into = HISTORIES / (sys.argv[1] if len(sys.argv) > 1 else f"{datetime.now(UTC):%Y-%m-%d}")
    if into.exists():
        sys.exit(f"{into} exists: remove it, or name another folder: make record ARGS=<name>")
    asyncio.run(main(into))
    exit_process(0)
