"""What people tell a run apart from decisions: say, pause, resume, cancel, notify. And what becomes of what they say."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Policy = Literal["next_turn", "interrupt"]
"""When the model call under way does not know the message yet: let it end, or cancel it and call again."""


class Steer(BaseModel):
    """What all of them carry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str = Field(min_length=1, max_length=200)
    id: str | None = Field(default=None, max_length=200)
    """The sender's own name for this message; a second `say` of the same name changes nothing."""


class Say(Steer):
    """A message for the agent, which its next model call sees."""

    text: str = Field(min_length=1)
    """At most `bounds.SAY_BYTES`."""
    policy: Policy = "next_turn"


class Pause(Steer):
    """Start nothing more; what is in flight ends, and gates may be decided."""

    reason: str | None = Field(default=None, max_length=1000)


class Resume(Steer):
    """Go on."""


class Cancel(Steer):
    """End the run; calls in flight are cancelled."""

    reason: str | None = Field(default=None, max_length=1000)


class Notify(Steer):
    """Tell the webhook of the open gates once more."""

    gate: str | None = Field(default=None, max_length=200)
    """None: of all that wait."""


STEERING: dict[str, type[Steer]] = {
    "say": Say,
    "pause": Pause,
    "resume": Resume,
    "cancel": Cancel,
    "notify": Notify,
}
"""By the name of the signal or update."""


class Said(BaseModel):
    """A message of a person to the agent, and whether the agent has seen it."""

    model_config = ConfigDict(frozen=True)

    number: int
    """Of the run's messages, from 1."""
    by: str
    at: AwareDatetime
    policy: Policy
    text: str
    """Its beginning, in one line, once it is in the transcript."""
    id: str | None = None
    given: int | None = None
    """The turn whose model call it goes into; None: it waits for the next one."""
    seen: int | None = None
    """The turn in which the model has answered with it before its eyes; None: not yet, or never where the run has
    ended."""


class Paused(BaseModel):
    """Somebody has paused the run."""

    model_config = ConfigDict(frozen=True)

    by: str
    at: AwareDatetime
    reason: str | None = None


class Given(BaseModel):
    """An approval for the rest of the run that still holds, or did."""

    model_config = ConfigDict(frozen=True)

    tool: str
    when: str | None
    """Its condition in words."""
    left: int
    until: AwareDatetime
    by: str
