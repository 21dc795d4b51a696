"""The ledger: a run's calls, the states they may pass through, and what is safe to repeat."""

from enum import StrEnum
from hashlib import sha256
from typing import Literal

from pydantic import BaseModel, ConfigDict

from agents.canonical import canonical_json
from agents.effect import EffectClass


class CallState(StrEnum):
    """Where a call stands."""

    PLANNED = "planned"
    WAITING = "waiting"
    IN_FLIGHT = "in flight"
    DONE = "done"
    FAILED = "failed"
    DENIED = "denied"
    UNKNOWN = "unknown"


CLOSED = frozenset({CallState.DONE, CallState.FAILED, CallState.DENIED})

TRANSITIONS: dict[CallState, frozenset[CallState]] = {
    CallState.PLANNED: frozenset(
        {CallState.WAITING, CallState.IN_FLIGHT, CallState.FAILED, CallState.DENIED}
    ),
    CallState.WAITING: frozenset({CallState.PLANNED, CallState.DONE, CallState.FAILED, CallState.DENIED}),
    # Denied: the rules of today refuse it, found right before it was sent.
    CallState.IN_FLIGHT: frozenset(
        {CallState.WAITING, CallState.DONE, CallState.FAILED, CallState.DENIED, CallState.UNKNOWN}
    ),
    CallState.UNKNOWN: frozenset({CallState.PLANNED, CallState.DONE}),
    CallState.DONE: frozenset(),
    CallState.FAILED: frozenset(),
    CallState.DENIED: frozenset(),
}


class IllegalTransition(ValueError):
    """A change of state that the ledger does not know: a bug in the rules, never an input."""


class Call(BaseModel):
    """One tool call that is not yet closed."""

    model_config = ConfigDict(frozen=True)

    id: str
    provider_id: str
    tool: str
    arguments: str
    """Canonical JSON."""
    effect: EffectClass
    summary: str
    state: CallState = CallState.PLANNED
    approved_by: str | None = None
    """Who let it pass its gate; None before, and where the dial let it pass."""
    ruling: str = ""
    """Digest of the ruling that it was let pass under; empty where neither a gate nor any rule had a say."""
    preview: str | None = None
    """Digest of the preview that was approved."""
    shown: str = ""
    """Its text, to tell what has changed when the call has to ask again."""
    awaits: Literal["", "preview", "previewing"] = ""
    """What it needs before its gate can open."""
    edited: str = ""
    """Who changed which arguments, for the model."""
    approvers: tuple[str, ...] = ()
    """The same people, one by one."""
    key: str = ""
    attempts: int = 0
    """Attempts of all dispatches whose end is known."""
    dispatches: int = 0

    def to(self, state: CallState, **changes: object) -> "Call":
        """The call in another state.

        Raises:
            IllegalTransition: The ledger does not allow it.
        """
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"{self.id}: {self.state} -> {state}")
        return self.model_copy(update={"state": state, **changes})


def idempotency_key(workflow_id: str, chain: str, call: str, tool: str, arguments: str) -> str:
    """The key of a call: the same over every attempt, crash, restart, reset and continue-as-new.

    `ag1-` and the first 32 hex digits of SHA-256 over the canonical JSON of these five, with the arguments as
    their canonical text.
    """
    bound = canonical_json([workflow_id, chain, call, tool, arguments])
    return "ag1-" + sha256(bound.encode()).hexdigest()[:32]


def safe_to_retry(state: CallState, effect: EffectClass, *, dispatched: bool) -> tuple[bool, str]:
    """Whether the call could be sent once more without harm, and why.

    Args:
        state: Where the call stands.
        effect: Its effect class.
        dispatched: Whether it has ever been handed to a worker.
    """
    if state is CallState.UNKNOWN:
        return False, "it may have happened: a person decides"
    if effect is EffectClass.READ:
        return True, "it only reads"
    if state is CallState.DONE:
        return False, "it is done"
    if not dispatched:
        return True, "nothing was sent"
    if effect is EffectClass.IDEMPOTENT:
        return True, "with the same key it has the effect of one call"
    if state is CallState.IN_FLIGHT:
        return False, "it may be under way"
    if state is CallState.FAILED:
        return False, "it failed for good: sending it again is a new decision"
    return True, "nothing was sent: what is lost after its fence is unknown instead"
