"""How a call can fail: the `type` of each failure that crosses from an activity to the run.

| type | the run then |
| --- | --- |
| ProviderWait | waits as long as the provider said, and asks again |
| ModelFailed, ContextTooLong | parks on a failure gate |
| ToolRejected | tells the model: nothing happened, and why |
| ToolFailed | tells the model: it failed for good, and why |
| NotSent | parks on a failure gate, after Temporal's retries: nothing was sent |
| OutcomeUnknown | parks on a gate: it may have happened |
| Stale | asks a person (again): what holds now is not what the call was let pass under |
| Cancelled | closes the call as failed, since the run ends |
| anything else | parks on a failure gate, after Temporal's retries |
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from agents.preview import Stale


class FailureType(StrEnum):
    """The types above, as Temporal shows them on a failed activity."""

    PROVIDER_WAIT = "ProviderWait"
    MODEL_FAILED = "ModelFailed"
    CONTEXT_TOO_LONG = "ContextTooLong"
    TOOL_REJECTED = "ToolRejected"
    TOOL_FAILED = "ToolFailed"
    NOT_SENT = "NotSent"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    STALE = "Stale"
    CANCELLED = "Cancelled"
    EXHAUSTED = "Exhausted"


class Failure(BaseModel):
    """A failed activity, as the rules see it."""

    model_config = ConfigDict(frozen=True)

    type: FailureType
    message: str
    wait_seconds: float | None = None
    """For ProviderWait: how long the provider asked us to wait."""
    attempts: int = 1
    stale: Stale | None = None
    """For Stale: what holds now."""
