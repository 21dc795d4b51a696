"""Gates, where a run waits for a person; cards, what the person sees; decisions, what the person answers."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from agents import bounds
from agents.canonical import digest
from agents.effect import Risk
from agents.rules import ANYONE, Condition, Duration, Terms

SHORTEST_DIGEST = 16
"""Hex digits of a digest that a command must give: 64 bits, far beyond guessing one of a run's few gates."""


class GateKind(StrEnum):
    """Why a run waits."""

    APPROVAL = "approval"
    QUESTION = "question"
    FAILURE = "failure"
    UNKNOWN = "unknown outcome"
    BUDGET = "budget"


class DecisionKind(StrEnum):
    """What a person can answer."""

    APPROVE = "approve"
    EDIT = "edit"
    DENY = "deny"
    ANSWER = "answer"
    ASK = "ask"
    DELEGATE = "delegate"
    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did_not_happen"
    RETRY = "retry"
    GIVE_RESULT = "give_result"
    SKIP = "skip"
    END = "end"


NoticeKind = Literal["asks", "reminds", "escalates"]


class Vote(BaseModel):
    """One person's approval at a gate that needs several."""

    model_config = ConfigDict(frozen=True)

    by: str
    seat: str
    """Who they stand for: themselves, or the person who delegated to them. Each seat counts once."""
    at: AwareDatetime


class Exchange(BaseModel):
    """A question of a person to the agent at an open gate, and its answer."""

    model_config = ConfigDict(frozen=True)

    by: str
    question: str
    at: AwareDatetime
    begun: bool = Field(default=False, exclude_if=lambda value: not value)
    """The model has been asked."""
    answer: str | None = None
    """In the model's words; None: not yet."""


class Gate(BaseModel):
    """A place where a run waits."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(pattern=r"^(t\d+\.(c\d+|model)|budget\.\d+)$")
    kind: GateKind
    call: str | None
    """The call it holds back; None for a gate of the run itself."""
    summary: str
    reason: str
    """Why a person is asked."""
    risk: Risk
    accepts: tuple[DecisionKind, ...]
    since: AwareDatetime
    nonce: str
    """Another one in each branch that a reset makes: the same question has another digest there, and no old answer
    fits it."""
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 over everything that the person decides on."""
    tool: str | None = None
    rule: str | None = None
    """Name of the rule by which it asks; None: the dial."""
    terms: Terms = Terms(remind=None)
    preview: str = ""
    """What would happen, in the tool's words; at most `bounds.PREVIEW_BYTES`."""
    preview_digest: str | None = None
    changed: str = ""
    """Asked again: what has changed since the approval that was returned."""
    stated: str = ""
    """Why the agent wants it, in the model's own words; at most `bounds.STATED_CHARS`."""
    evidence: tuple[str, ...] = ()
    """The last calls the run had made, one short line each."""
    undo: str = ""
    """What undoes it."""
    votes: tuple[Vote, ...] = ()
    delegated: dict[str, str] = {}
    """Who stands in for whom."""
    thread: tuple[Exchange, ...] = ()
    rung: int = 0
    """Steps of the escalation ladder that have been taken."""
    deadline: AwareDatetime | None = None
    reminded: int = 0
    news: NoticeKind = "asks"
    """What the webhook's last message is about."""
    notices: int = 0
    """Messages that the webhook shall have."""
    notified: int = 0
    """Those that were begun."""
    telling: bool = False
    """One is on its way."""
    undelivered: str = ""
    """Why the last message to the webhook did not arrive."""

    @property
    def asks(self) -> tuple[str, ...]:
        """Who may decide now: names and roles, or `anyone`."""
        climbed = [name for rung in self.terms.escalate[: self.rung] for name in rung.to]
        named = (*self.terms.approvers, *climbed)
        return tuple(dict.fromkeys((*named, *self.delegated))) or (ANYONE,)


class Grant(BaseModel):
    """An approval of one tool for the rest of a run, as a person gives it with `approve`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: int = Field(ge=1, le=bounds.GRANT_CALLS)
    """Further calls that it lets pass, beside the one it is given for."""
    lasts: Duration
    """Seconds."""
    when: Condition | None = None
    """What must hold of their arguments; a comparison that cannot be made does not hold."""


class Decision(BaseModel):
    """A person's answer, bound to the digest of what was asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: str = Field(min_length=1, max_length=200)
    kind: DecisionKind
    digest: str = Field(pattern=rf"^[0-9a-f]{{{SHORTEST_DIGEST},64}}$")
    by: str = Field(min_length=1, max_length=200)
    id: str | None = Field(default=None, max_length=200)
    """The sender's own name for this decision."""
    comment: str | None = Field(default=None, max_length=4000)
    reason: str | None = Field(default=None, max_length=4000)
    text: str | None = None
    """The answer to the agent's question, or the question to the agent."""
    result: str | None = None
    arguments: dict[str, Any] | None = None
    """For edit: all arguments of the call, as they shall be."""
    to: str | None = Field(default=None, min_length=1, max_length=200)
    """For delegate: who decides instead."""
    grant: Grant | None = None
    """For approve: this tool may go on for the rest of the run."""
    signature: str | None = Field(default=None, max_length=200)
    """Base64 of the Ed25519 signature over `agents.signing.signed_text`."""

    def lacks(self) -> str | None:
        """The field that this kind of decision needs and does not have."""
        needed = {
            DecisionKind.DENY: "reason",
            DecisionKind.ANSWER: "text",
            DecisionKind.ASK: "text",
            DecisionKind.EDIT: "arguments",
            DecisionKind.DELEGATE: "to",
            DecisionKind.HAPPENED: "result",
            DecisionKind.GIVE_RESULT: "result",
        }.get(self.kind)
        return needed if needed and getattr(self, needed) in (None, "") else None


def gate_digest(
    run: str, gate: str, kind: GateKind, *, since: datetime, nonce: str, asked: dict[str, Any]
) -> str:
    """SHA-256 over run, gate, when and in which branch it opened, and exactly what is asked.

    What is in here can never change for runs under way: a decision in their history would no longer fit.
    """
    opened = f"{since.isoformat()} {nonce}"
    return digest({"run": run, "gate": gate, "kind": str(kind), "opened": opened, "asked": asked})
