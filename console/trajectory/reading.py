"""What is known while a history is read, and how its payloads and failures are read. Pure."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ValidationError
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure

from agents.agent import Definition, ToolSpec
from agents.effect import Dial
from agents.gate import Decision, Gate
from agents.message import RawMessage
from agents.preview import Preview
from agents.rules import RuleSet
from agents.state import RunState
from console.trajectory.steps import (
    CallStep,
    DecisionStep,
    Ending,
    ErrandStep,
    GateStep,
    ModelStep,
    NoteStep,
    SteerStep,
    Step,
    Trajectory,
    WaitStep,
)

Model = TypeVar("Model", bound=BaseModel)


@dataclass
class Attempt:
    """What the server wrote down when an activity's last attempt ended."""

    number: int
    earlier_failure: str | None
    """Why the attempt before it failed."""


@dataclass(frozen=True)
class Sent:
    """A message to the run whose answer is open."""

    message: RawMessage
    decision: Decision | None
    step: DecisionStep | SteerStep


@dataclass
class Reading:
    """A run's steps so far, and those of them that later events will refer to."""

    header: Trajectory = field(default_factory=lambda: Trajectory(run=""))
    ending: Ending | None = None
    steps: list[Step] = field(default_factory=list)
    definition: Definition | None = None
    """The run's snapshot; None before it, and where it is in a part of the chain that is gone."""
    rules: RuleSet | None = None
    """By which the run goes now: the snapshot's, or those that a call met right before it was sent."""
    calls: dict[str, CallStep] = field(default_factory=dict)
    gates: dict[str, GateStep] = field(default_factory=dict)
    """The open ones, by gate id."""
    asked: dict[str, GateStep] = field(default_factory=dict)
    """All there were, by digest."""
    followed: dict[str, Gate] = field(default_factory=dict)
    """Open gates after decisions that left them open, by digest: whose seat was taken, which a card does not say."""
    asks_again: dict[str, Gate] = field(default_factory=dict)
    """Gates that ask again after an edit and have not been shown yet, by gate id: who stands in for whom stays."""
    closers: dict[str, DecisionStep] = field(default_factory=dict)
    """What closed a gate, by its digest, as far as one could judge."""
    state: RunState | None = None
    """The run's state as far as messages that were taken have made it: decisions, approvals for the rest of the run."""
    unseen: list[SteerStep] = field(default_factory=list)
    """What people said, and no model call has seen."""
    updates: dict[str, Sent] = field(default_factory=dict)
    """Those without an answer yet, by the update's id."""
    queue: list[Sent] = field(default_factory=list)
    """An edit whose arguments are being checked, and what has come after it: the run takes them in that order."""
    checking: bool = False
    """The check of its first one is under way."""
    checked: Preview | None = None
    """What that check has found."""
    activities: dict[int, ModelStep | CallStep | ErrandStep] = field(default_factory=dict)
    """Of this execution, by the event that scheduled them. So are the next two."""
    attempts: dict[int, Attempt] = field(default_factory=dict)
    timers: dict[int, WaitStep] = field(default_factory=dict)
    waits: dict[str, WaitStep] = field(default_factory=dict)
    """Those that the execution before was in: this one goes on with them, in timers of its own."""
    continued_by: str | None = None
    """The execution that goes on, where this one has ended by continue-as-new."""

    def begin(self) -> None:
        """What follows is another execution, from its first event on."""
        self.waits = {step.why: step for step in self.timers.values()}
        self.activities, self.attempts, self.timers = {}, {}, {}
        self.ending, self.continued_by = None, None

    @property
    def dial(self) -> Dial | None:
        """The run's dial, where it is known."""
        known = self.header.dial in {str(dial) for dial in Dial}
        return Dial(self.header.dial or "") if known else None

    def spec(self, tool: str) -> ToolSpec | None:
        """The tool as the run's snapshot has it."""
        return self.definition.tool(tool) if self.definition else None

    def add(self, step: Step) -> list[Step]:
        """Put a step at the end."""
        self.steps.append(step)
        return [step]

    def note(self, at: datetime, what: str, text: str) -> list[Step]:
        """Put a note at the end."""
        return self.add(NoteStep(at=at, what=what, text=text))


def moment(timestamp: Timestamp) -> datetime:
    """When an event happened."""
    return timestamp.ToDatetime(tzinfo=UTC)


def encoding(payload: Payload) -> str:
    """The payload's encoding, as its metadata says."""
    return payload.metadata.get("encoding", b"").decode(errors="replace")


def value(payload: Payload) -> Any:
    """What a payload holds; None where it holds nothing, or what is not JSON."""
    if encoding(payload) != "json/plain":
        return None
    try:
        return json.loads(payload.data)
    except ValueError:
        return None


def first(payloads: Payloads) -> Payload:
    """The first payload; an empty one where there is none."""
    return payloads.payloads[0] if payloads.payloads else Payload()


def read(payloads: Payloads, kind: type[Model]) -> Model | None:
    """The first payload as a model; None where it is not one, as when somebody gave a result by hand."""
    try:
        return kind.model_validate_json(first(payloads).data)
    except ValidationError:
        return None


def why(failure: Failure) -> str:
    """A failure in one line: its type where it has one, its message, and the cause below it where that says more."""
    kind = failure.application_failure_info.type
    text = f"{kind}: {failure.message}" if kind and kind not in failure.message else failure.message
    if failure.HasField("activity_failure_info") and failure.HasField("cause"):
        return why(failure.cause)
    return text
