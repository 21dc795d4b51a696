"""What a trajectory is made of: plain data, in the order in which it happened. May import `agents` only."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field

from agents.effect import Risk

Work = Literal["in flight", "done", "failed", "cancelled", "lost"]
"""How an activity stands. `lost`: it was dispatched, and no attempt came back."""


class ModelStep(BaseModel):
    """One model call."""

    kind: Literal["model"] = "model"
    at: AwareDatetime
    turn: int
    aside: str | None = None
    """The gate at which a person asked what this call answers; None for a turn's own call."""
    state: Work = "in flight"
    ended: AwareDatetime | None = None
    attempts: int | None = None
    """Attempts of the activity; None while it is in flight."""
    model: str = ""
    finish: str | None = None
    text: str = ""
    calls: tuple[str, ...] = ()
    """Ids of the calls it asked for."""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    failure: str | None = None
    """Why it failed; where it is done after several attempts, why the one before the last failed."""


class CallStep(BaseModel):
    """One tool call, from the moment the model asked for it."""

    kind: Literal["call"] = "call"
    at: AwareDatetime
    id: str
    turn: int
    tool: str
    arguments: str
    """As the model wrote them, or as a person changed them; once dispatched, the canonical JSON that was."""
    proposed: str = ""
    """As the model wrote them."""
    problem: str | None = None
    """Why it was closed before any rule had a say: it did not fit the tool."""
    summary: str = ""
    """The arguments in one short line, as cards and the Web UI show them."""
    state: str = "planned"
    """As in the ledger: planned, waiting, in flight, done, failed, denied, unknown."""
    effect: str | None = None
    key: str | None = None
    """The idempotency key; None where it was never dispatched."""
    dispatches: int = 0
    attempts: int = 0
    """Attempts over all dispatches whose end is known."""
    started: AwareDatetime | None = None
    """Of its first dispatch."""
    ended: AwareDatetime | None = None
    result: str | None = None
    failure: str | None = None
    granted: str | None = None
    """Who had approved the tool for the rest of the run, where that let it pass."""
    override: str | None = None
    """The override under which a grave call went ahead without a gate."""
    returned: int = 0
    """Dispatches that sent nothing: what held by then was not what the call had been let pass under."""


class GateStep(BaseModel):
    """A gate that opened."""

    kind: Literal["gate"] = "gate"
    at: AwareDatetime
    gate: str
    call: str | None
    asks: str
    """The gate's kind: approval, question, failure, unknown outcome."""
    summary: str
    reason: str
    risk: Risk
    digest: str
    tool: str | None = None
    rule: str | None = None
    """Name of the rule by which it asked; None: the dial."""
    people: tuple[str, ...] = ()
    """Names and roles of those who might decide, as last written down; empty in runs from before there were rules."""
    needed: int = 1
    requester_counts: bool = True
    deadline: AwareDatetime | None = None
    changed: str = ""
    """Asked again: what had changed since the approval that was returned."""
    preview: str = ""
    votes: tuple[str, ...] = ()
    """Who has approved, where several must."""
    closed: AwareDatetime | None = None
    by: tuple[str, ...] = ()
    """Whose decision closed it; several where several had to approve."""
    how: str | None = None
    """The kind of that decision, or `nobody`; None while it is open."""


class DecisionStep(BaseModel):
    """A message of a person to the run, whether or not it changed anything."""

    kind: Literal["decision"] = "decision"
    at: AwareDatetime
    door: Literal["signal", "update"]
    name: str
    """The signal's or update's name."""
    gate: str | None = None
    answer: str | None = None
    """approve, deny, answer, ...; None where the message could not be read."""
    by: str | None = None
    said: str | None = None
    """The reason, answer, result or comment that came with it; for an edit, what it changes; for a delegation, to whom;
    for an approval of further calls, which."""
    closes: bool = False
    """It closed its gate. An accepted one did not where more people must approve, or the gate was closed already."""
    accepted: bool | None = None
    """None: the history does not tell."""
    reason: str = ""
    sender: str = ""
    """The client that sent it, as Temporal knows it: process and host."""


class SteerStep(BaseModel):
    """What a person told the run apart from decisions: say, pause, resume, cancel, notify."""

    kind: Literal["steer"] = "steer"
    at: AwareDatetime
    door: Literal["signal", "update"]
    name: str
    by: str | None = None
    said: str | None = None
    """The text or the reason."""
    policy: str | None = None
    """Of a `say`: next_turn or interrupt."""
    seen: int | None = None
    """Of a `say`: the turn whose model call saw it first."""
    accepted: bool | None = None
    """None: the history does not tell."""
    reason: str = ""
    sender: str = ""


class ErrandStep(BaseModel):
    """What the run had done beside turns and calls: a preview for a gate, a notice to the webhook."""

    kind: Literal["errand"] = "errand"
    at: AwareDatetime
    what: Literal["preview", "notice"]
    about: str
    """The call, or the gate."""
    edited: bool = False
    """Of a preview: it is of the arguments that a person's edit gave, which are checked with it."""
    text: str = ""
    """Of a notice: what it said of the gate (asks, reminds, escalates)."""
    state: Work = "in flight"
    ended: AwareDatetime | None = None
    attempts: int | None = None
    failure: str | None = None


class WaitStep(BaseModel):
    """A timer."""

    kind: Literal["wait"] = "wait"
    at: AwareDatetime
    until: AwareDatetime
    why: str
    gate: str | None = None
    """The gate that something comes due at; None for a wait of the run itself."""
    state: Literal["waiting", "over", "cancelled"] = "waiting"


class NoteStep(BaseModel):
    """Something that happened to the run as a whole: a reset, continue-as-new, a cancellation, a lost worker."""

    kind: Literal["note"] = "note"
    at: AwareDatetime
    what: str
    text: str


Step = Annotated[
    ModelStep | CallStep | GateStep | DecisionStep | SteerStep | ErrandStep | WaitStep | NoteStep,
    Field(discriminator="kind"),
]


class OverrideLine(BaseModel):
    """Who answers for grave calls of this run going ahead without a gate, until when, and which of them did."""

    name: str
    rule: str
    by: str
    until: AwareDatetime
    reason: str
    calls: tuple[str, ...] = ()


class Ending(BaseModel):
    """How a run ended."""

    phase: Literal["done", "failed", "cancelled", "terminated", "timed out"]
    at: AwareDatetime
    answer: str | None = None
    error: str | None = None


class Execution(BaseModel):
    """One Temporal execution of the run's chain."""

    id: str
    """Temporal's run id."""
    events: int | None
    """None: the server does not have its history any more."""


class Totals(BaseModel):
    """Sums over the trajectory's steps."""

    turns: int = 0
    model_calls: int = 0
    model_attempts: int = 0
    """What exceeds the calls may have been paid for and lost."""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    calls: dict[str, int] = {}
    """Calls by state."""


class Trajectory(BaseModel):
    """The reviewable record of a run, derived from its event history and nothing else."""

    run: str
    agent: str | None = None
    tenant: str | None = None
    task: str | None = None
    requester: str | None = None
    dial: str | None = None
    model: str | None = None
    started: AwareDatetime | None = None
    ending: Ending | None = None
    """None: it is not over."""
    totals: Totals = Totals()
    executions: tuple[Execution, ...] = ()
    rules: str | None = None
    """Version of the rules that the run goes by; None in runs from before there were rules."""
    overrides: tuple[OverrideLine, ...] = ()
    """Every override in those rules, whether or not a call went ahead under it."""
    gaps: tuple[str, ...] = ()
    """Parts of the chain that are not there any more, in words; what they held is not in the steps."""
    steps: tuple[Step, ...] = ()
