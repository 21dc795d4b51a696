"""What a run has under way: starts the activities and timers behind its actions, and puts their ends on its queue."""

import asyncio
from collections import deque
from collections.abc import Set
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError

from agents.agent import ToolSpec
from agents.deciding import EditCheck
from agents.events import (
    Action,
    AskAside,
    AskModel,
    CancelRun,
    Dispatch,
    Resolve,
    StopModel,
    TakePreview,
    Tell,
    WaitOver,
    WaitUntil,
)
from agents.gate_actions import notice_of
from agents.preview import Preview
from agents.state import RunState
from workflows.activity_calls import (
    Handle,
    ask_aside,
    ask_model,
    call_tool,
    cancel_run,
    check_arguments,
    resolve,
    take_preview,
    tell,
)
from workflows.outcome import failure_of, preview_of_result


@dataclass
class Ended:
    """An activity that has ended, on the queue. Read when it is taken: an error there fails the task and shows."""

    action: Action
    handle: Handle


class UnderWay:
    """Activities in flight, and the wait that a model provider asked for.

    Args:
        queue: Where `Ended` and `WaitOver` are put.
    """

    def __init__(self, queue: deque[Any]) -> None:
        self._queue = queue
        self._in_flight: dict[Handle, Action] = {}
        self._timer: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no activity is in flight."""
        return not self._in_flight

    def start(self, action: Action, state: RunState) -> None:
        """Carry out an action of the rules.

        Args:
            action: What `decide` asked for.
            state: The run as it was then.
        """
        match action:
            case StopModel():
                self._cancel_model()
            case WaitUntil():
                self._wait(action)
            case _:
                handle = _activity(action, state)
                self._in_flight[handle] = action
                handle.add_done_callback(partial(self._ended, action))

    def cancel(self) -> None:
        """Cancel every activity in flight; their ends come all the same."""
        for handle in self._in_flight:
            handle.cancel()

    def stop_for_closed(self, open_gates: Set[str]) -> None:
        """Cancel messages to the webhook and questions to the model of gates without these digests."""
        for handle, action in self._in_flight.items():
            if isinstance(action, Tell | AskAside) and action.digest not in open_gates:
                handle.cancel()

    def stop_beside(self) -> None:
        """Cancel all messages to the webhook and questions to the model."""
        self.stop_for_closed(frozenset())

    def _cancel_model(self) -> None:
        # Where there is none any more, its reply is on the queue.
        for handle, action in self._in_flight.items():
            if isinstance(action, AskModel):
                handle.cancel()

    def _ended(self, action: Action, handle: Handle) -> None:
        del self._in_flight[handle]
        self._queue.append(Ended(action, handle))

    def _wait(self, action: WaitUntil) -> None:
        if self._timer:
            return
        delay = max((action.until - workflow.now()).total_seconds(), 0)
        why = f"the model provider asked to wait until {action.until:%H:%M:%S} UTC"
        self._timer = asyncio.create_task(workflow.sleep(delay, summary=why))
        self._timer.add_done_callback(self._wait_over)

    def _wait_over(self, timer: asyncio.Task[None]) -> None:
        self._timer = None
        if not timer.cancelled():
            self._queue.append(WaitOver())


def _activity(action: Action, state: RunState) -> Handle:
    priority = _priority(state)
    match action:
        case Resolve(agent):
            return resolve(agent, priority)
        case AskModel():
            return ask_model(action, priority)
        case Dispatch(call, _):
            return call_tool(action, _spec(state, call.tool), priority)
        case TakePreview(call, given):
            return take_preview(call, given, _spec(state, given.tool), priority)
        case AskAside():
            return ask_aside(action, priority)
        case Tell():
            return tell(notice_of(state, action, workflow.info().namespace), priority)
        case CancelRun():
            return cancel_run(priority)
        case StopModel() | WaitUntil():
            raise TypeError(f"no activity is behind {action}")
        case _:
            assert_never(action)


async def check_edit(check: EditCheck, number: int, state: RunState) -> Preview:
    """What a tool says of edited arguments.

    Args:
        check: What is to be checked.
        number: Of this execution's checks.
        state: The run.

    Raises:
        asyncio.CancelledError: The run is cancelled meanwhile.
    """
    spec = _spec(state, check.input.tool)
    handle = check_arguments(check.gate, number, check.input, spec, _priority(state))
    try:
        # Not the handle itself: it would take the run's cancellation for its own, and end as an activity that failed.
        await workflow.wait_condition(handle.done)
    except asyncio.CancelledError:
        handle.cancel()
        await asyncio.gather(handle, return_exceptions=True)
        raise
    try:
        value = handle.result()
    except ActivityError as error:
        return Preview(problem=f"the arguments could not be checked: {failure_of(error).message}")
    return preview_of_result(value)


def _priority(state: RunState) -> Priority:
    return Priority(priority_key=state.request.priority, fairness_key=state.request.tenant)


def _spec(state: RunState, tool: str) -> ToolSpec:
    assert state.definition is not None
    spec = state.definition.tool(tool)
    assert spec is not None
    return spec
