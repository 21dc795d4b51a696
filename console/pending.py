"""What is under way in a run, as the server knows it without any worker: its pending activities and its next step."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.text import Text
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo

from agents.tool_call import Beat
from console.executions import Description
from console.text import duration, one_line
from console.trajectory.reading import moment, why

UNCLAIMED_SECONDS = 3.0
"""A step that no worker has taken for so long waits for one: a worker that is there takes it within milliseconds,
or, while the run is in a dead worker's cache, within the sticky timeout."""

QUIET_SECONDS = 1.5
"""Heartbeats come every half second; this long without one is worth showing."""


@dataclass(frozen=True)
class Pending:
    """One activity that has not ended."""

    id: str
    type: str
    attempt: int
    """The attempt under way, or the next one."""
    running: bool
    """An attempt is under way, as far as the server knows."""
    since: datetime
    """When this attempt began; while none runs, when it was dispatched or its last attempt ended."""
    next_try: datetime | None
    last_beat: datetime | None
    beat: Beat
    failure: str | None
    """Why the attempt before failed."""
    paused: bool


@dataclass(frozen=True)
class Step:
    """The run's next step in its own code: a workflow task."""

    since: datetime
    attempt: int
    claimed: bool
    """A worker has it."""


async def pending_activities(found: Description) -> tuple[Pending, ...]:
    """The activities that have not ended, in the order of their dispatch."""
    raw = sorted(found.raw.pending_activities, key=lambda info: info.scheduled_time.ToNanoseconds())
    return tuple([_pending(info, await _beat(found, info.heartbeat_details)) for info in raw])


async def _beat(found: Description, details: Payloads) -> Beat:
    decoded = await found.converter.decode_wrapper(details, [Beat])
    return decoded[0] if decoded else Beat(phase="")


def _pending(info: PendingActivityInfo, beat: Beat) -> Pending:
    running = info.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    if running:
        since = info.last_started_time
    else:
        ended = info.HasField("last_attempt_complete_time")
        since = info.last_attempt_complete_time if ended else info.scheduled_time
    return Pending(
        id=info.activity_id,
        type=info.activity_type.name,
        attempt=max(info.attempt, 1),
        running=running,
        since=moment(since),
        next_try=moment(info.next_attempt_schedule_time)
        if info.HasField("next_attempt_schedule_time")
        else None,
        last_beat=moment(info.last_heartbeat_time) if info.HasField("last_heartbeat_time") else None,
        beat=beat,
        failure=why(info.last_failure) if info.HasField("last_failure") else None,
        paused=info.paused,
    )


def next_step(found: Description) -> Step | None:
    """The workflow task that is scheduled or under way; None while the run has nothing to do but wait."""
    if not found.raw.HasField("pending_workflow_task"):
        return None
    task = found.raw.pending_workflow_task
    return Step(moment(task.original_scheduled_time), task.attempt, task.HasField("started_time"))


def nobody_works(step: Step | None, pending: Iterable[Pending], now: datetime) -> bool:
    """Whether something waits for a worker, and none has come for it."""
    longest = timedelta(seconds=UNCLAIMED_SECONDS)
    if step and not step.claimed and now - step.since > longest:
        return True
    return any(_unclaimed(activity, now) > longest for activity in pending)


def _unclaimed(activity: Pending, now: datetime) -> timedelta:
    if activity.running or activity.paused:
        return timedelta(0)
    return now - max(activity.since, activity.next_try or activity.since)


def pending_line(activity: Pending, now: datetime) -> Text:
    """One activity in one line."""
    return Text.assemble((_name(activity), "bold"), "  ", *_parts(activity, now))


def _name(activity: Pending) -> str:
    what, _, number = activity.id.partition(".model")
    match activity.type:
        case "agent.model" if ".aside." in activity.id:
            return f"model  a question at {activity.id.partition('.aside.')[0]}"
        case "agent.model":
            return f"model  turn {what.removeprefix('t')}" + (", asked anew" if number else "")
        case "agent.preview":
            return f"what {activity.id.rpartition('.')[0]} would do"
        case "agent.notify":
            return f"the webhook, of {activity.id.partition('.notice.')[0]}"
        case "agent.cancel":
            return "the run's cancellation"
        case "agent.resolve":
            return "the agent's definition"
        case "agent.carry":
            return "the state of the execution before"
        case _:
            return f"{activity.id}  {one_line(activity.type, 64)}"


def _parts(activity: Pending, now: datetime) -> Iterable[str | tuple[str, str]]:
    elapsed = duration((now - activity.since) / timedelta(seconds=1))
    if activity.paused:
        yield ("paused by an operator", "yellow")
    elif activity.running:
        yield elapsed
        if activity.beat.progress or activity.beat.phase:
            yield f", {one_line(activity.beat.progress or activity.beat.phase, 100)}"
        heard = max(activity.last_beat or activity.since, activity.since)
        if (quiet := (now - heard) / timedelta(seconds=1)) > QUIET_SECONDS:
            yield (f", not heard of for {duration(quiet)}", "yellow")
    elif activity.next_try and activity.next_try > now:
        left = duration((activity.next_try - now) / timedelta(seconds=1))
        yield f"tries again in {left}"
    else:
        yield f"waits for a worker, {elapsed}"
    if activity.attempt > 1:
        yield (f", attempt {activity.attempt}", "yellow")
    if activity.failure:
        yield (f"; before: {one_line(activity.failure, 200)}", "yellow")
