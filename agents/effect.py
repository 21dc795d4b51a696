"""What a tool does to the world, declared on the tool, and the dial that turns it into a verdict."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

Risk = Literal["low", "medium", "high", "critical"]
RISKS: tuple[Risk, ...] = ("low", "medium", "high", "critical")


class EffectClass(StrEnum):
    """How a call may be repeated (design section 5)."""

    READ = "read"
    IDEMPOTENT = "idempotent write"
    NON_IDEMPOTENT = "non-idempotent write"


class Effect(BaseModel):
    """A tool's effect. Two questions decide repetition (`writes`, `idempotent`), two decide asking."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    writes: bool
    """False: the call only reads and may be repeated freely."""
    idempotent: bool = True
    """True: repeated with the same key it has the effect of one call."""
    reversible: bool = True
    """True: a person can undo it."""
    risk: Risk = "low"
    """How bad a wrong call is."""
    observable: bool = True
    """True: one can find out afterwards whether it happened."""

    @property
    def effect_class(self) -> EffectClass:
        """The row of the failure table this effect falls under."""
        if not self.writes:
            return EffectClass.READ
        return EffectClass.IDEMPOTENT if self.idempotent else EffectClass.NON_IDEMPOTENT

    @property
    def grave(self) -> bool:
        """No dial lets such a call pass without a person; that takes a named override which expires."""
        return self.writes and (self.risk == "critical" or (self.risk == "high" and not self.reversible))

    def __str__(self) -> str:
        if not self.writes:
            return "read"
        return f"{'reversible' if self.reversible else 'irreversible'} {self.effect_class}, {self.risk} risk"


READ = Effect(writes=False)


class Dial(StrEnum):
    """How much agency a run has."""

    PROPOSE = "propose"
    """Every write asks."""
    SUPERVISED = "supervised"
    """What is irreversible or high-risk asks."""
    AUTONOMOUS = "autonomous"
    """Only what is critical, or high-risk and irreversible, asks."""


Says = Literal["allow", "ask", "refuse"]
"""What becomes of a call: it goes ahead, a person is asked, it is never made."""


class Verdict(BaseModel):
    """What the dial says of one call, and why, in words for the person who reads the card."""

    model_config = ConfigDict(frozen=True)

    says: Says
    reason: str


def verdict(effect: Effect, dial: Dial) -> Verdict:
    """Whether a call with this effect goes ahead under this dial."""
    if not effect.writes:
        return Verdict(says="allow", reason="it only reads")
    if effect.grave:
        return Verdict(says="ask", reason=f"{effect}: asks at every dial")
    if dial is Dial.PROPOSE:
        return Verdict(says="ask", reason="at dial propose every write asks")
    if dial is Dial.SUPERVISED and (not effect.reversible or effect.risk == "high"):
        return Verdict(says="ask", reason=f"{effect}: asks at dial supervised")
    return Verdict(says="allow", reason=f"{effect}: goes ahead at dial {dial}")
