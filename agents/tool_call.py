"""What goes into a tool call and what comes out: the types of the one dynamic activity that runs every tool."""

from pydantic import BaseModel, ConfigDict, Field

from agents.effect import EffectClass
from agents.preview import Approved


class ToolInput(BaseModel):
    """The input of a tool's activity. Usual values are left out: it is in history for every call."""

    model_config = ConfigDict(frozen=True)

    arguments: str
    """Canonical JSON, as validated and, where a person was asked, as approved."""
    key: str
    """The idempotency key of the call."""
    effect: EffectClass
    execution: str
    """Run id of the execution that dispatches; a non-idempotent call found in another one sends nothing."""
    dispatch: int = Field(default=1, exclude_if=lambda value: value == 1)
    """Which dispatch of this call it is, counted from 1 in the branch of the run that makes it."""
    reset: bool = Field(default=False, exclude_if=lambda value: not value)
    """The run's chain was reset: an earlier branch may have dispatched this call already."""
    approved: Approved | None = Field(default=None, exclude_if=lambda value: value is None)
    """What it was let pass under; None where neither a gate nor any rule had a say."""
    timeout_seconds: float
    progress_seconds: float | None = Field(default=None, exclude_if=lambda value: value is None)
    result_bytes: int


class ToolOutput(BaseModel):
    """What a tool gave back."""

    model_config = ConfigDict(frozen=True)

    content: str
    attempts: int = Field(default=1, exclude_if=lambda value: value == 1)


class Beat(BaseModel):
    """Heartbeat details of an activity: one merged record, so that no beat erases what an earlier one said."""

    model_config = ConfigDict(frozen=True)

    phase: str = "started"
    sending: bool = False
    """The fence: true from right before a write that is sent once, or was approved, until the attempt knows that nothing
    happened."""
    progress: str = Field(default="", max_length=2000)
