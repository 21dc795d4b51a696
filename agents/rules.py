"""Rules: which calls ask whom, as data, with the people who decide. Evaluated by `agents.ruling`, never as code.

A rule set is part of a run's snapshot, so a field gets a default when it is added, and none is taken away.
"""

import base64
import binascii
import re
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from agents.canonical import digest
from agents.effect import Dial, Says

ANYONE = "anyone"
"""Stands for "no approvers are named" where people are listed; no person or role may be called so."""

LONGEST_LIST = 50
"""Names that one rule asks, or one step of its ladder: more is what roles are for."""

MORE = "more"
"""Stands for those whom a list had no room for; nobody may be called so either."""

REMIND_SECONDS = 24 * 3600.0
"""Until a person is reminded of a gate for the first time, and between reminders: a working day."""

LONGEST_SECONDS = 10 * 365 * 86400.0
"""Ten years: longer than anything here is meant to last, and far from where a calendar ends."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")

Comparison = Literal["=", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "starts with", "ends with"]
WhenNobody = Literal["deny", "escalate", "ask_again", "end"]


def _seconds(value: object) -> object:
    """`90s`, `30m`, `4h`, `2d`, or a number of seconds."""
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value.strip())
    if not found:
        raise ValueError("a duration is a number with s, m, h or d, such as 30m or 4h")
    return float(found[1]) * _UNITS[found[2]]


def _key(value: str) -> str:
    try:
        raw = base64.b64decode(value, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise ValueError("a key is the base64 of the 32 bytes of an Ed25519 public key")
    return value


Duration = Annotated[float, BeforeValidator(_seconds), Field(ge=1, le=LONGEST_SECONDS, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s,][^,\n]*$")]


class Strict(BaseModel):
    """Data that people write: a field that is not known is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Condition(Strict):
    """What must hold of a call's arguments: one comparison, or several joined by `all` or `any`."""

    field: str | None = Field(default=None, min_length=1)
    """An argument; `address.city` for one inside another."""
    comparison: Comparison | None = Field(default=None, alias="is")
    value: Any = None
    all: tuple["Condition", ...] | None = Field(default=None, min_length=1)
    any: tuple["Condition", ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_form(self) -> "Condition":
        forms = [
            self.field is not None or self.comparison is not None,
            self.all is not None,
            self.any is not None,
        ]
        if sum(forms) != 1:
            raise ValueError("a condition is either field, is and value, or all, or any")
        if forms[0] and (
            self.field is None or self.comparison is None or "value" not in self.model_fields_set
        ):
            raise ValueError("a comparison needs field, is and value")
        if self.comparison in {"in", "not in"} and not isinstance(self.value, list | tuple):
            raise ValueError(f"{self.comparison!r} needs a list as its value")
        return self

    def __str__(self) -> str:
        if self.all is not None:
            return "(" + " and ".join(map(str, self.all)) + ")"
        if self.any is not None:
            return "(" + " or ".join(map(str, self.any)) + ")"
        return f"{self.field} {self.comparison} {self.value!r}"


class Rung(Strict):
    """A step of the escalation ladder: who may decide too, and how long after the step before."""

    after: Duration
    to: tuple[Name, ...] = Field(min_length=1, max_length=LONGEST_LIST)


class Terms(Strict):
    """Who decides at a gate, how many of them, by when, and what happens when nobody does."""

    approvers: tuple[Name, ...] = Field(default=(), max_length=LONGEST_LIST)
    """Names of people, or roles; none: anyone."""
    needed: int = Field(default=1, ge=1, le=20)
    """Different people who must approve."""
    requester_counts: bool = True
    """Whether the person for whom the run works may decide."""
    deadline: Duration | None = None
    """Seconds from opening until `nobody` applies; none: it waits as long as it takes."""
    remind: Duration | None = REMIND_SECONDS
    """Seconds between reminders."""
    escalate: tuple[Rung, ...] = Field(default=(), max_length=20)
    nobody: WhenNobody = "deny"
    """At the deadline. `escalate`: on to the next rung, with the deadline once more; it waits after the last."""

    @model_validator(mode="after")
    def _fits(self) -> "Terms":
        if self.nobody == "escalate" and not self.escalate:
            raise ValueError("nobody: escalate needs an escalation ladder under escalate")
        if self.escalate and not self.approvers:
            raise ValueError("escalate has nobody to begin with: name approvers")
        return self


class Override(Strict):
    """Who answers for a grave call going ahead without a gate, and until when."""

    name: Name
    by: Name
    reason: str = Field(min_length=1, max_length=500)
    until: AwareDatetime


class Rule(Strict):
    """What holds for calls of some tools, or for some of their arguments."""

    name: Name
    agents: tuple[str, ...] = ()
    """Only for these agents; none: for all."""
    tools: tuple[str, ...] = Field(min_length=1)
    """Names, or `*` for all."""
    when: Condition | None = None
    """None: whatever the arguments are."""
    verdict: Says | None = None
    """`ask` and `refuse` hold at every dial; `allow` of a grave call needs an override."""
    dial: Dial | None = None
    """In place of the run's dial."""
    terms: Terms | None = None
    """For the gate. Without a verdict or a dial beside them, they mean that the call asks."""
    override: Override | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Rule":
        if self.verdict is None and self.dial is None and self.terms is None:
            raise ValueError("a rule says nothing without verdict, dial or terms")
        if self.verdict is not None and self.dial is not None:
            raise ValueError("give verdict or dial, not both")
        if self.verdict in {"allow", "refuse"} and self.terms is not None:
            raise ValueError(f"terms are for a gate: with verdict {self.verdict} none opens")
        if self.override is not None and self.verdict != "allow":
            raise ValueError("an override belongs to verdict allow")
        return self


class Person(Strict):
    """Somebody who may decide."""

    roles: tuple[Name, ...] = ()
    key: Annotated[str, AfterValidator(_key)] | None = None
    """Base64 of their Ed25519 public key. Once anybody has one, every decision must be signed."""


class RuleSet(Strict):
    """All rules that hold for a run, the people they name, and what holds for gates that no rule speaks of."""

    rules: tuple[Rule, ...] = ()
    people: dict[Name, Person] = {}
    default: Terms = Terms()

    @model_validator(mode="after")
    def _fits(self) -> "RuleSet":
        names = [rule.name for rule in self.rules]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two rules are called {twice!r}")
        if both := next((role for role in self.roles if role in self.people), None):
            raise ValueError(f"{both!r} is a person and a role")
        for reserved in (ANYONE, MORE):
            if reserved in self.people or reserved in self.roles:
                raise ValueError(f"nobody may be called {reserved!r}")
        return self

    @property
    def roles(self) -> frozenset[str]:
        """Every role that somebody has."""
        return frozenset(role for person in self.people.values() for role in person.roles)

    @cached_property
    def signed(self) -> bool:
        """Whether decisions must be signed."""
        return any(person.key for person in self.people.values())

    @cached_property
    def version(self) -> str:
        """First 16 hex digits of the digest of all of it."""
        # Without defaults: a field that is added later must not make another version of a set that does not use it.
        return digest(self.model_dump(mode="json", by_alias=True, exclude_defaults=True))[:16]

    def with_people_of(self, other: "RuleSet") -> "RuleSet":
        """These rules, for the people of another set: who is who may change in a run, what asks does not."""
        return RuleSet(rules=self.rules, people=other.people, default=self.default)
