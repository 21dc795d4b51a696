"""Derives a run's trajectory from its event history. Pure: no server, no worker, no clock.

The events' payloads are expected as their codec has decoded them (`console.trajectory.chain` sees to that).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from temporalio.api.history.v1 import HistoryEvent

from console.trajectory import activities, lifecycle, messages
from console.trajectory.reading import Reading, moment
from console.trajectory.steps import CallStep, Execution, ModelStep, Step, Totals, Trajectory

READERS: dict[str, Callable[[Reading, HistoryEvent], list[Step]]] = {
    "workflow_execution_started": lifecycle.run_started,
    "workflow_execution_continued_as_new": lifecycle.run_continued,
    "workflow_execution_completed": lifecycle.run_completed,
    "workflow_execution_failed": lifecycle.run_failed,
    "workflow_execution_canceled": lifecycle.run_cancelled,
    "workflow_execution_terminated": lifecycle.run_terminated,
    "workflow_execution_timed_out": lifecycle.run_timed_out,
    "workflow_execution_cancel_requested": lifecycle.cancel_requested,
    "workflow_execution_paused": lifecycle.paused,
    "workflow_execution_unpaused": lifecycle.unpaused,
    "workflow_task_failed": lifecycle.task_failed,
    "workflow_task_timed_out": lifecycle.task_timed_out,
    "timer_started": lifecycle.timer_started,
    "timer_fired": lifecycle.timer_fired,
    "timer_canceled": lifecycle.timer_cancelled,
    "activity_task_scheduled": activities.scheduled,
    "activity_task_started": activities.started,
    "activity_task_completed": activities.completed,
    "activity_task_failed": activities.failed,
    "activity_task_timed_out": activities.timed_out,
    "activity_task_cancel_requested": activities.cancel_requested,
    "activity_task_canceled": activities.cancelled,
    "workflow_properties_modified": messages.memo_changed,
    "workflow_execution_signaled": messages.signaled,
    "workflow_execution_update_accepted": messages.update_accepted,
    "workflow_execution_update_completed": messages.update_completed,
}
"""What reads which event. The others say nothing that the trajectory shows."""


def take(reading: Reading, event: HistoryEvent) -> list[Step]:
    """Read one event; the steps that it has added or changed."""
    kind = event.WhichOneof("attributes") or ""
    reader = READERS.get(kind.removesuffix("_event_attributes"))
    return reader(reading, event) if reader else []


@dataclass(frozen=True)
class History:
    """One execution of a chain."""

    execution: str
    """Temporal's run id; empty where not even that is known."""
    events: Sequence[HistoryEvent] | None
    """None: the server does not have it any more."""


def read_chain(chain: Iterable[History]) -> Reading:
    """Read whole executions, oldest first."""
    reading, missing = Reading(), ""
    for history in chain:
        if history.events is None:
            missing = gap_text(history)
            continue
        if missing and history.events:
            reading.note(moment(history.events[0].event_time), "gap", missing)
        missing = ""
        reading.begin()
        for event in history.events:
            take(reading, event)
    return reading


def trajectory_of(chain: Sequence[History]) -> Trajectory:
    """The trajectory of a run.

    Args:
        chain: The executions that continued one another, oldest first.
    """
    reading = read_chain(chain)
    return reading.header.model_copy(
        update={
            "ending": reading.ending,
            "totals": totals(reading.steps),
            "executions": tuple(
                Execution(id=part.execution, events=None if part.events is None else len(part.events))
                for part in chain
            ),
            "gaps": tuple(gap_text(part) for part in chain if part.events is None),
            "steps": tuple(reading.steps),
        }
    )


def gap_text(history: History) -> str:
    """What is to be said of an execution that is not there."""
    which = f"execution {history.execution}" if history.execution else "one or more executions"
    return f"the server has no history of {which} any more: what happened in it is missing here"


def totals(steps: Iterable[Step]) -> Totals:
    """Sums over steps."""
    found = Totals()
    for step in steps:
        match step:
            case ModelStep():
                found.turns = max(found.turns, step.turn)
                found.model_calls += step.state == "done"
                found.model_attempts += step.attempts or 0
                found.input_tokens += step.input_tokens
                found.cached_tokens += step.cached_tokens
                found.output_tokens += step.output_tokens
            case CallStep():
                found.calls[step.state] = found.calls.get(step.state, 0) + 1
            case _:
                pass
    return found
