"""Records of gates and calls, as plain data. May import `agents` only."""

from datetime import timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from agents.agent import Definition
from agents.effect import Dial, Effect, Risk
from agents.gate import GateKind
from agents.rules import RuleSet

How = Literal["approved", "edited", "denied", "answered", "settled", "ended", "nobody", "open"]
"""How a gate closed: approved unchanged; approved with other arguments; denied; answered; what became of a failed or
unknown call was said; the run was ended there; without any decision (its deadline, or the run's end); not at all."""
DECIDED: frozenset[How] = frozenset({"approved", "edited", "denied", "answered", "settled", "ended"})
"""By a person."""


class GateRecord(BaseModel):
    """One gate of a run."""

    model_config = ConfigDict(frozen=True)

    run: str
    agent: str | None
    tenant: str | None
    gate: str
    call: str | None
    tool: str | None
    kind: GateKind
    rule: str | None
    """Name of the rule by which it asked; None: the dial."""
    risk: Risk
    effect: Effect | None
    """Of the tool; None where there is none, or the definition is in a part of the chain that is gone."""
    opened: AwareDatetime
    closed: AwareDatetime | None
    by: tuple[str, ...]
    how: How
    digest: str
    asked_again: bool
    """An earlier gate of the same call was there: something had changed, or nobody had answered."""

    @property
    def seconds(self) -> float | None:
        """From opening to the decision of a person; None without one."""
        if self.closed is None or self.how not in DECIDED:
            return None
        return (self.closed - self.opened) / timedelta(seconds=1)


class CallRecord(BaseModel):
    """One tool call of a run that its rules had a say in."""

    model_config = ConfigDict(frozen=True)

    run: str
    agent: str | None
    tenant: str | None
    call: str
    tool: str
    at: AwareDatetime
    """When the model asked for it."""
    proposed: str
    """Arguments as the model wrote them."""
    arguments: str
    """As dispatched: canonical JSON; where it never was, as a person edited them, or as proposed."""
    key: str | None
    state: str
    """As in the ledger, or `cancelled` or `lost`."""
    effect: Effect | None
    dial: Dial | None
    dispatched: bool
    """It was sent to a worker, and not returned unsent since what held had changed."""
    gated: bool
    """A gate opened before it: an approval or a question."""
    let_pass_by: tuple[str, ...]
    """Who decided that this very call be sent: approved it, or had it tried again."""
    granted: str | None
    """Whose approval for the rest of the run did."""
    override: str | None


class RunRecords(BaseModel):
    """All gates and calls of one run, and what they were ruled by."""

    model_config = ConfigDict(frozen=True)

    run: str
    agent: str | None = None
    tenant: str | None = None
    started: AwareDatetime | None = None
    definition: Definition | None = Field(default=None, exclude=True)
    rules: RuleSet | None = Field(default=None, exclude=True)
    """By which it went at last; None in runs from before there were rules."""
    gates: tuple[GateRecord, ...] = ()
    calls: tuple[CallRecord, ...] = ()
    gaps: tuple[str, ...] = ()
    """Parts of its chain whose history is gone, in words."""
