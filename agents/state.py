"""The state of a run: one serialisable model, and the only thing that continue-as-new carries."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from agents import bounds
from agents.agent import Definition
from agents.effect import Dial
from agents.gate import DecisionKind, Gate
from agents.ledger import Call, CallState
from agents.reply import Usage
from agents.request import Request
from agents.rules import Condition, RuleSet
from agents.steering import Cancel, Paused, Said
from agents.transcript import Entry, entry_json, roll

STATE_VERSION = 2


class ModelCall(BaseModel):
    """The model call of the current turn."""

    model_config = ConfigDict(frozen=True)

    phase: Literal["idle", "due", "in flight", "interrupt", "stopping", "backoff", "parked"] = "idle"
    """`interrupt`: a person's message shall cancel the call in flight; `stopping`: it is being cancelled."""
    until: AwareDatetime | None = None
    """While in backoff: when the provider may be asked again."""
    waits: int = 0
    """Waits in a row that the provider asked for."""
    stops: int = 0
    """Times that a person's message has cancelled this turn's call."""
    nudges: int = 0
    """Replies in a row with neither a call nor an answer."""


class RunUsage(BaseModel):
    """What the run has used so far."""

    model_config = ConfigDict(frozen=True)

    model_calls: int = 0
    """Replies received."""
    model_attempts: int = 0
    """Attempts behind those replies; what exceeds the replies may have been paid for and lost."""
    tokens: Usage = Usage()


class Rejected(BaseModel):
    """A message that changed nothing, and why."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    message: str
    """The signal's or update's name."""
    gate: str | None
    by: str | None
    reason: str


class Decided(BaseModel):
    """A gate that is closed: who decided what, and when."""

    model_config = ConfigDict(frozen=True)

    gate: str
    digest: str
    kind: DecisionKind
    by: str
    at: AwareDatetime
    content: str = ""
    """Digest of what the decision said, by which its identical repeat is known."""


class HeldGrant(BaseModel):
    """An approval of one tool for the rest of the run."""

    model_config = ConfigDict(frozen=True)

    tool: str
    call: str = ""
    """With whose approval it was given: where that is returned, so is this."""
    ruling: str
    """Digest of the ruling that it was given under; a call under another one asks all the same."""
    when: Condition | None
    left: int
    until: AwareDatetime
    by: str


class Outcome(BaseModel):
    """How a run ended."""

    model_config = ConfigDict(frozen=True)

    phase: Literal["done", "failed", "cancelled"]
    answer: str | None = None
    """The answer; for an agent with a declared output, its canonical JSON."""
    error: str | None = None


class RunState(BaseModel):
    """Everything a run knows. `agents.loop` makes the next one of it; nothing else changes it."""

    model_config = ConfigDict(frozen=True)

    v: int = STATE_VERSION
    run: str
    chain: str
    """Run id of the chain's first execution."""
    request: Request
    definition: Definition | None = None
    stage: Literal["resolve", "resolving", "model", "calls"] = "resolve"
    turn: int = 0
    model: ModelCall = ModelCall()
    calls: dict[str, Call] = {}
    """The open calls of this turn."""
    turn_calls: int = 0
    """Calls that this turn asked for: they share the bound on a turn's results."""
    gates: dict[str, Gate] = {}
    decided: tuple[Decided, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    rejected_total: int = 0
    counts: dict[CallState, int] = {}
    """Closed calls by state."""
    usage: RunUsage = RunUsage()
    epoch: int = 0
    """Grows when entries that a model has seen are rewritten."""
    entries: tuple[Entry, ...] = ()
    digest: str = ""
    """Rolling digest of all entries."""
    seen: int = 0
    """Entries up to the last reply: what the worker's cached transcript holds."""
    seen_digest: str = ""
    said: tuple[Said, ...] = ()
    """The last `bounds.KEPT_SAID` messages of people, and all that the agent has not seen."""
    said_total: int = 0
    paused: Paused | None = None
    cancel: Cancel | None = None
    """Somebody told the run to end."""
    cancelling: bool = False
    """The server has been asked to cancel it."""
    grants: tuple[HeldGrant, ...] = ()
    rules: RuleSet | None = None
    """Rules of a later day, which a call met right before it was sent; None: those of the definition."""
    early: bool | None = None
    """Of a run that got a message before its definition: whether this version began it. None: there was none."""
    reset: bool = False
    """The chain was reset: an earlier branch may have dispatched a call already."""
    outcome: Outcome | None = None

    @property
    def dial(self) -> Dial:
        """The run's dial: the request's, or else the agent's."""
        assert self.definition is not None
        return self.request.dial or self.definition.dial

    @property
    def rule_set(self) -> RuleSet | None:
        """The rules that the run goes by; None in a run from before there were any, which goes on as it began."""
        return self.rules or (self.definition.rules if self.definition else None)

    @property
    def before_rules(self) -> bool:
        """Whether it began under a version that knew no rules and no steering: it goes on as it began."""
        return self.early is False if self.definition is None else self.rule_set is None

    @property
    def waiting_said(self) -> tuple[Said, ...]:
        """What people said and no model call has been given."""
        return tuple(said for said in self.said if said.given is None)

    def append(self, *entries: Entry) -> "RunState":
        """The state with these entries at the end of its transcript."""
        rolled = self.digest
        for entry in entries:
            rolled = roll(rolled, entry_json(entry))
        return self.model_copy(update={"entries": (*self.entries, *entries), "digest": rolled})

    def without_grants(self, *, call: str = "", tool: str = "", by: str = "") -> "RunState":
        """The state without the approvals for the rest of the run that were given with this call, or by this person."""
        kept = tuple(
            grant
            for grant in self.grants
            if not (call and grant.call == call) and not (by and grant.by == by and grant.tool == tool)
        )
        return self.model_copy(update={"grants": kept}) if kept != self.grants else self

    def with_call(self, call: Call) -> "RunState":
        """The state with this call in place of the one of the same id."""
        return self.model_copy(update={"calls": {**self.calls, call.id: call}})

    def with_gate(self, gate: Gate) -> "RunState":
        """The state with this gate in place of the one of the same id."""
        return self.model_copy(update={"gates": {**self.gates, gate.id: gate}})

    def without_gate(self, gate: str) -> "RunState":
        """The state with this gate closed."""
        return self.model_copy(update={"gates": {k: v for k, v in self.gates.items() if k != gate}})

    def reject(self, rejected: Rejected) -> "RunState":
        """The state with one more refused message on its list."""
        kept = (*self.rejected, rejected)[-bounds.KEPT_REJECTED :]
        return self.model_copy(update={"rejected": kept, "rejected_total": self.rejected_total + 1})

    def ended(self, outcome: Outcome) -> "RunState":
        """The state of the run once it is over: nothing waits any more."""
        return self.model_copy(update={"outcome": outcome, "gates": {}})
