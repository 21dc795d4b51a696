"""What a run is told (`Event`) and what it asks for (`Action`): the words between the rules and the workflow."""

from dataclasses import dataclass
from datetime import datetime

from agents.agent import Definition
from agents.failure import Failure
from agents.ledger import Call
from agents.model_call import ModelInput
from agents.preview import Preview, PreviewInput
from agents.reply import Reply
from agents.tool_call import ToolInput, ToolOutput


@dataclass(frozen=True)
class Moment:
    """When an event is folded in, and a nonce for the gates it opens. Both come from the workflow."""

    now: datetime
    nonce: str


@dataclass(frozen=True)
class Resolve:
    """Take the snapshot of the agent's definition."""

    agent: str


@dataclass(frozen=True)
class AskModel:
    """Call the model."""

    input: ModelInput
    stops: int = 0
    """Calls of this turn that were cancelled before."""


@dataclass(frozen=True)
class Dispatch:
    """Run a tool."""

    call: Call
    input: ToolInput


@dataclass(frozen=True)
class WaitUntil:
    """Wait as long as the provider asked for."""

    until: datetime


@dataclass(frozen=True)
class StopModel:
    """Cancel the model call in flight: a person has said something that it should know."""


@dataclass(frozen=True)
class TakePreview:
    """Find out what a call would do, before its gate opens."""

    call: str
    input: PreviewInput


@dataclass(frozen=True)
class AskAside:
    """Put a person's question to the model, beside the conversation."""

    gate: str
    digest: str
    """Of the gate as it was asked: one that opens again under the same id is another."""
    asked: datetime
    """When: which of the gate's questions it is, wherever the gate has moved on to."""
    number: int
    """Of the gate's questions, from 0."""
    input: ModelInput


@dataclass(frozen=True)
class Tell:
    """Tell the webhook of a gate."""

    gate: str
    digest: str
    """Of the gate: one that opens again under the same id is another."""
    number: int
    """Of the gate's messages, from 1."""


@dataclass(frozen=True)
class CancelRun:
    """Have the server cancel the run: a person has said so."""


Action = Resolve | AskModel | Dispatch | WaitUntil | StopModel | TakePreview | AskAside | Tell | CancelRun


@dataclass(frozen=True)
class Started:
    """The workflow has carried this action out: it is under way."""

    action: Action


@dataclass(frozen=True)
class Resolved:
    """The definition is known."""

    definition: Definition


@dataclass(frozen=True)
class Replied:
    """The model answered."""

    reply: Reply


@dataclass(frozen=True)
class ModelFailed:
    """The model call failed."""

    failure: Failure


@dataclass(frozen=True)
class CallEnded:
    """A tool gave its result."""

    call: str
    output: ToolOutput


@dataclass(frozen=True)
class CallFailed:
    """A tool call failed."""

    call: str
    failure: Failure


@dataclass(frozen=True)
class Previewed:
    """It is known what a call would do, or why it is not."""

    call: str
    preview: Preview | None
    failure: Failure | None = None


@dataclass(frozen=True)
class AsideEnded:
    """The model has answered a person's question, or failed to."""

    gate: str
    asked: datetime
    number: int
    reply: Reply | None
    failure: Failure | None = None


@dataclass(frozen=True)
class Told:
    """The webhook has taken a message about a gate, or has not."""

    gate: str
    digest: str
    failure: Failure | None = None


@dataclass(frozen=True)
class GateDue:
    """A gate's timer has fired."""

    gate: str


@dataclass(frozen=True)
class CancelAsked:
    """The server has been asked to cancel the run; what it then tells the run comes by itself."""


@dataclass(frozen=True)
class ResolveFailed:
    """The agent's definition is not to be had."""

    failure: Failure


@dataclass(frozen=True)
class WaitOver:
    """The provider may be asked again."""


@dataclass(frozen=True)
class Cancelled:
    """Somebody cancelled the run; what was in flight has been told and has ended."""


Event = (
    Started
    | Resolved
    | ResolveFailed
    | Replied
    | ModelFailed
    | CallEnded
    | CallFailed
    | Previewed
    | AsideEnded
    | Told
    | GateDue
    | CancelAsked
    | WaitOver
    | Cancelled
)
