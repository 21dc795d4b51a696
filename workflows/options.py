"""Every timeout and retry policy of a run, with its reason, and how they add up to five seconds.

From `kill -9` of a worker to the next completed step, with another worker up:

| what has to pass | seconds | set by |
| --- | --- | --- |
| the server misses the dead worker's heartbeat | 2.0 to 2.5 | `HEARTBEAT_TIMEOUT`, less the age of the last beat |
| the retry's backoff | 0.2 | `RETRY_INTERVAL` |
| the first query or task of the run waits for the dead worker's sticky queue | 1.0 | `STICKY_TIMEOUT` |
| replay on the other worker | 0.1 to 0.5 | `bounds.CONTINUE_EVENTS` |

so 3.3 to 4.2 s, and the step's own time. A model call meets the sticky queue before it runs, when it reads the transcript
by query; a tool call after it has run, with the workflow task that takes its result. A kill inside a workflow task waits
for `TASK_TIMEOUT` instead of the first two rows: 2 s. `make bench` measures both.
"""

from datetime import timedelta

from temporalio.common import Priority, RetryPolicy
from temporalio.workflow import ActivityCancellationType, ActivityConfig

from agents.agent import ToolSpec
from agents.effect import EffectClass

HEARTBEAT_TIMEOUT = timedelta(seconds=2.5)
"""Five beats of `activities.heartbeat.BEAT_INTERVAL`: survives a worker's short stalls, notices its death."""

HEARTBEAT_THROTTLE = timedelta(seconds=0.4)
"""For the worker: the SDK sends a beat at most this often; its default, 0.8 of the timeout, would eat the margin."""

STICKY_TIMEOUT = timedelta(seconds=1)
"""For the worker: how long a task waits for the worker that has the run in its cache. A busy worker that needs
longer loses the cache entry, which costs a replay."""

WORKFLOW_TASKS = 4
"""For the worker: workflow tasks at a time. After a crash every run replays, on one core; 24 runs at once lost 16 tasks
to the timeout below with the SDK's 100, and none with 4 (measured)."""

TASK_TIMEOUT = timedelta(seconds=2)
"""For whoever starts a run (`--task-timeout 2s` on the `temporal` CLI, whose default is 10 s): how long a workflow
task of a killed worker is waited for."""

RETRY_INTERVAL = timedelta(seconds=0.2)
"""First backoff. Doubles up to a minute: a provider that is down is asked nine times in its first minute."""

RETRY_MAXIMUM = timedelta(seconds=60)

MODEL_ATTEMPTS = 12
"""About four minutes of a provider being down before a person is asked. Each loss of a worker takes one, too."""

TOOL_ATTEMPTS = 8
"""About 25 seconds of trouble before a person is asked, plus the attempts' own time."""

FENCED_ATTEMPTS = 12
"""Attempts of a non-idempotent call end at its fence; these are for what can go wrong before it."""

MODEL_TIMEOUT = timedelta(minutes=15)
"""Longest model call: reasoning models take minutes."""

LOOKUP_TIMEOUT = timedelta(seconds=30)
"""For activities that only read what is on the worker or on the server."""

EDIT_TIMEOUT = timedelta(seconds=15)
"""For all attempts: enough for a worker that dies meanwhile. Nothing else of the run is taken until then."""

NOTICE_ATTEMPTS = 12
"""About four minutes, and what the receiver asks for: Slack takes one message a second."""

NOTICE_TIMEOUT = timedelta(seconds=10)
"""One message to a webhook."""

REPORT_MARGIN = timedelta(seconds=10)
"""Beyond a tool's own timeout, which the activity keeps: time to report the outcome. The server's timeout says
only that the attempt was lost."""


def _retry(attempts: int) -> RetryPolicy:
    # An oversized result fails the attempt as retryable (PayloadsTooLarge): without this a model call would be
    # repeated, and paid for, until the attempts run out.
    return RetryPolicy(
        initial_interval=RETRY_INTERVAL,
        maximum_interval=RETRY_MAXIMUM,
        maximum_attempts=attempts,
        non_retryable_error_types=["PayloadsTooLarge"],
    )


def model_options(priority: Priority) -> ActivityConfig:
    """How a model call runs."""
    return ActivityConfig(
        start_to_close_timeout=MODEL_TIMEOUT,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=_retry(MODEL_ATTEMPTS),
        priority=priority,
    )


def lookup_options(priority: Priority) -> ActivityConfig:
    """How the activities run that only look something up."""
    return ActivityConfig(
        start_to_close_timeout=LOOKUP_TIMEOUT,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=_retry(MODEL_ATTEMPTS),
        priority=priority,
    )


def carry_options(priority: Priority) -> ActivityConfig:
    """How the rest of a state is fetched. Without end: a run that has no state yet cannot ask a person."""
    options = lookup_options(priority)
    options["retry_policy"] = _retry(attempts=0)
    return options


def preview_options(spec: ToolSpec, priority: Priority) -> ActivityConfig:
    """How a preview is taken: it reads, so it is retried as often as a read."""
    return ActivityConfig(
        start_to_close_timeout=timedelta(seconds=spec.timeout_seconds) + REPORT_MARGIN,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=_retry(TOOL_ATTEMPTS),
        priority=priority,
    )


def edit_options(spec: ToolSpec, priority: Priority) -> ActivityConfig:
    """How edited arguments are checked. The run takes nothing else meanwhile, so not for long."""
    options = preview_options(spec, priority)
    options["schedule_to_close_timeout"] = EDIT_TIMEOUT
    return options


def notice_options(priority: Priority) -> ActivityConfig:
    """How the webhook is told."""
    return ActivityConfig(
        start_to_close_timeout=NOTICE_TIMEOUT,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=_retry(NOTICE_ATTEMPTS),
        priority=priority,
    )


def cancel_options(priority: Priority) -> ActivityConfig:
    """How the server is asked to cancel the run. Without end: a person wants it to stop."""
    options = carry_options(priority)
    del options["heartbeat_timeout"]  # it is one call of the server, and has no time to send any
    return options


def tool_options(spec: ToolSpec, priority: Priority) -> ActivityConfig:
    """How a tool call runs. Attempts of a non-idempotent one stop at its fence, whatever the policy allows."""
    attempts = FENCED_ATTEMPTS if spec.effect.effect_class is EffectClass.NON_IDEMPOTENT else TOOL_ATTEMPTS
    return ActivityConfig(
        start_to_close_timeout=timedelta(seconds=spec.timeout_seconds) + REPORT_MARGIN,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=_retry(attempts),
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        priority=priority,
    )
