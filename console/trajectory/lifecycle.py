"""How a run begins, goes on and ends, and what operators and the server do to it. Pure."""

import re
from typing import Literal

from temporalio.api.enums.v1 import TimeoutType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent

from agents.ids import BadId, parse_run_id
from agents.request import task_text
from agents.result import RunResult
from console.trajectory.gates import gates_of
from console.trajectory.reading import Reading, first, moment, read, value, why
from console.trajectory.steps import Ending, Step, WaitStep

GATE = re.compile(r"(t\d+\.(?:c\d+|model)|budget\.\d+): ")
"""How the summary of a gate's timer begins."""


def run_started(reading: Reading, event: HistoryEvent) -> list[Step]:
    """An execution began: the run's first one holds the request."""
    given = event.workflow_execution_started_event_attributes
    header = reading.header
    header.run = given.workflow_id
    try:
        header.tenant = parse_run_id(given.workflow_id).tenant
    except BadId:
        header.tenant = None
    if given.continued_execution_run_id:
        # They are known already, unless the execution that opened them is gone.
        return gates_of(reading, given.memo, moment(event.event_time))
    header.started = moment(event.event_time)
    request = value(first(given.input))
    if isinstance(request, dict):
        task = request.get("task")
        header.task = task_text(task) if isinstance(task, str | dict) else None
        header.agent, header.requester = _text(request.get("agent")), _text(request.get("requester"))
        header.dial = _text(request.get("dial"))
    return []


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None


def run_continued(reading: Reading, event: HistoryEvent) -> list[Step]:
    """An execution handed over to the next one."""
    given = event.workflow_execution_continued_as_new_event_attributes
    reading.continued_by = given.new_execution_run_id
    text = f"a new execution goes on with an empty history: {given.new_execution_run_id}"
    return reading.note(moment(event.event_time), "continued", text)


def run_completed(reading: Reading, event: HistoryEvent) -> list[Step]:
    """The run is done."""
    result = read(event.workflow_execution_completed_event_attributes.result, RunResult)
    answer = result.answer if result else None
    text = answer if isinstance(answer, str) or answer is None else task_text(answer)
    return _end(reading, event, "done", answer=text)


def run_failed(reading: Reading, event: HistoryEvent) -> list[Step]:
    """The run failed."""
    return _end(
        reading, event, "failed", error=event.workflow_execution_failed_event_attributes.failure.message
    )


def run_cancelled(reading: Reading, event: HistoryEvent) -> list[Step]:
    """The run was cancelled and has stopped."""
    return _end(reading, event, "cancelled")


def run_terminated(reading: Reading, event: HistoryEvent) -> list[Step]:
    """Somebody ended the run from outside: its code had no say."""
    given = event.workflow_execution_terminated_event_attributes
    return _end(
        reading, event, "terminated", error=f"{given.reason or 'no reason given'} (by {given.identity})"
    )


def run_timed_out(reading: Reading, event: HistoryEvent) -> list[Step]:
    """The run's own time limit, which whoever started it had set, ended it."""
    return _end(reading, event, "timed out", error="the time limit that it was started with")


def _end(
    reading: Reading,
    event: HistoryEvent,
    phase: Literal["done", "failed", "cancelled", "terminated", "timed out"],
    *,
    answer: str | None = None,
    error: str | None = None,
) -> list[Step]:
    reading.ending = Ending(phase=phase, at=moment(event.event_time), answer=answer, error=error)
    return []


def timer_started(reading: Reading, event: HistoryEvent) -> list[Step]:
    """The run waits for a while, or goes on with a wait that continue-as-new came into."""
    given = event.timer_started_event_attributes
    at = moment(event.event_time)
    why = str(value(event.user_metadata.summary) or "")
    if (going_on := reading.waits.pop(why, None)) is not None:
        reading.timers[event.event_id] = going_on
        return []
    about = GATE.match(why)
    step = WaitStep(
        at=at,
        until=at + given.start_to_fire_timeout.ToTimedelta(),
        why=why,
        gate=about[1] if about else None,
    )
    reading.timers[event.event_id] = step
    return reading.add(step)


def timer_fired(reading: Reading, event: HistoryEvent) -> list[Step]:
    """The wait is over."""
    return _timer_ended(reading, event.timer_fired_event_attributes.started_event_id, "over")


def timer_cancelled(reading: Reading, event: HistoryEvent) -> list[Step]:
    """The wait is not needed any more."""
    return _timer_ended(reading, event.timer_canceled_event_attributes.started_event_id, "cancelled")


def _timer_ended(reading: Reading, beginning: int, state: Literal["over", "cancelled"]) -> list[Step]:
    step = reading.timers.pop(beginning, None)
    if step is None:
        return []
    step.state = state
    return [step]


def task_failed(reading: Reading, event: HistoryEvent) -> list[Step]:
    """A worker could not go on with the run; or, in the first events of a new execution, the run was reset."""
    given = event.workflow_task_failed_event_attributes
    at = moment(event.event_time)
    if given.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
        reason = given.failure.message or "no reason given"
        return reading.note(at, "reset", f"to this point, from execution {given.base_run_id}: {reason}")
    if given.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND:
        return []  # a message came while the run was about to end or to continue: it takes the message first
    return reading.note(
        at, "worker trouble", f"{given.identity} failed at the run's next step: {why(given.failure)}"
    )


def task_timed_out(reading: Reading, event: HistoryEvent) -> list[Step]:
    """The worker that had the run did not answer; another one takes over."""
    given = event.workflow_task_timed_out_event_attributes
    waited = given.timeout_type == TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START
    text = "did not take the next step" if waited else "was lost in the middle of a step"
    return reading.note(moment(event.event_time), "worker lost", f"the worker that had the run {text}")


def cancel_requested(reading: Reading, event: HistoryEvent) -> list[Step]:
    """Somebody asked the run to stop."""
    given = event.workflow_execution_cancel_requested_event_attributes
    return reading.note(moment(event.event_time), "cancel", f"asked for by {given.identity}")


def paused(reading: Reading, event: HistoryEvent) -> list[Step]:
    """An operator paused the run."""
    given = event.workflow_execution_paused_event_attributes
    return reading.note(
        moment(event.event_time), "paused", f"by {given.identity}: {given.reason or 'no reason given'}"
    )


def unpaused(reading: Reading, event: HistoryEvent) -> list[Step]:
    """An operator let the run go on."""
    given = event.workflow_execution_unpaused_event_attributes
    return reading.note(
        moment(event.event_time), "unpaused", f"by {given.identity}: {given.reason or 'no reason given'}"
    )
