"""How the failure of a tool call leaves the activity, by what was raised and by whether it may be repeated.

| raised | read, idempotent write | non-idempotent write that has begun |
| --- | --- | --- |
| ToolRejected, ToolFailed | to the model | to the model |
| NotSent, NotPreviewed | tried again | tried again |
| StaleCall | a person is asked again | a person is asked again |
| Retry, out of time, anything else | tried again | OutcomeUnknown: a person is asked |

A preview fails as a read does. Imports `agents`, `activities`, structlog and `temporalio.exceptions`.
"""

import traceback
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from temporalio.exceptions import ApplicationError

from activities.redaction import redacted
from activities.time_limit import OutOfTime
from activities.tools import NotSent, Retry, ToolFailed, ToolRejected
from agents.failure import FailureType
from agents.preview import Stale

log = structlog.get_logger()

LONGEST_DELAY = 300.0
"""Seconds that a service may put off the next attempt: some say hours, and lift the limit sooner."""

AT_ONCE = 0.001
"""Seconds. For a call that only moves to another worker; zero would mean the policy's own backoff."""


class OutcomeUnknown(Exception):
    """A non-idempotent call may have happened."""


class Draining(NotSent):
    """Its worker shuts down before anything was sent; another one takes over."""

    def __init__(self) -> None:
        super().__init__("this worker shuts down; nothing was sent", AT_ONCE)


class NotInstalled(Retry):
    """This worker lacks the tool; another one may have it."""

    def __init__(self, worker: str, tool: str, tools: Iterable[str]) -> None:
        super().__init__(
            f"worker {worker} has no tool {tool!r} (it has: {', '.join(sorted(tools)) or 'none'}); its "
            "catalog.py differs from the one that the run was started with: deploy one that lists the tool"
        )


class NotPreviewed(Exception):
    """Nothing was sent, since what the call would do could not be looked at again."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class StaleCall(Exception):
    """Nothing was sent, since what holds now is not what the call was let pass under."""

    def __init__(self, stale: Stale) -> None:
        super().__init__(stale.why)
        self.stale = stale


def reported(what: str, error: Exception, attempt: int) -> ApplicationError:
    """The failure of the activity, after a line in the log that says what failed and where."""
    failure = failure_of(error, attempt)
    if isinstance(error, StaleCall):  # nothing is wrong: a person is asked again
        log.info("call is stale", why=str(error))
        return failure
    # Without the error's text, which may quote the conversation.
    stack = "".join(traceback.format_tb(error.__traceback__))
    log.warning(what, type=failure.type, error=type(error).__name__, stack=stack)
    return failure


def failure_of(error: BaseException, attempt: int) -> ApplicationError:
    """The failure of the activity for what the attempt raised.

    Its first detail holds the `attempts` and, for a stale call, the `stale` of it.
    """
    match error:
        case ToolRejected():
            return _failure(FailureType.TOOL_REJECTED, str(error), attempt)
        case ToolFailed():
            return _failure(FailureType.TOOL_FAILED, str(error), attempt)
        case OutcomeUnknown():
            return _failure(FailureType.OUTCOME_UNKNOWN, str(error), attempt)
        case StaleCall():
            stale = error.stale.model_dump(mode="json")
            return _failure(FailureType.STALE, str(error), attempt, stale=stale)
        case NotPreviewed():
            return _not_previewed(failure_of(error.cause, attempt))
        case NotSent():
            return _failure(
                FailureType.NOT_SENT, str(error), attempt, retry=True, after=error.retry_after_seconds
            )
        case Retry():
            return _failure(
                FailureType.EXHAUSTED, str(error), attempt, retry=True, after=error.retry_after_seconds
            )
        case OutOfTime():
            after = AT_ONCE if error.drained else None
            return _failure(FailureType.EXHAUSTED, str(error), attempt, retry=True, after=after)
        case _:
            return _failure(FailureType.EXHAUSTED, described(error), attempt, retry=True)


def _not_previewed(preview: ApplicationError) -> ApplicationError:
    return ApplicationError(
        f"nothing was sent: what the call would do could not be looked at again: {preview.message}",
        *preview.details,
        type=FailureType.NOT_SENT,
        non_retryable=preview.non_retryable,
        next_retry_delay=preview.next_retry_delay,
    )


def described(error: BaseException) -> str:
    """An exception that nobody expected, with the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (at {Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = f": {error}" if str(error) else ""
    return f"{type(error).__name__}{text}{where}"


def _failure(
    kind: FailureType,
    reason: str,
    attempt: int,
    *,
    retry: bool = False,
    after: float | None = None,
    **details: Any,
) -> ApplicationError:
    return ApplicationError(
        redacted(reason) or str(kind),
        {"attempts": attempt, **details},
        type=kind,
        non_retryable=not retry,
        next_retry_delay=None
        if after is None
        else timedelta(seconds=min(max(after, AT_ONCE), LONGEST_DELAY)),
    )
