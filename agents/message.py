"""The two doors' one decoder: whatever was sent becomes a decision or a steering message, or a reason why it is none.

Every signal and update of a run ends here, as raw bytes, so that no message can stall a run or vanish.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from agents import bounds
from agents.canonical import NotCanonical, canonical_json
from agents.gate import Decision, DecisionKind
from agents.steering import STEERING, Say, Steer

GENERAL = "decide"
SHORTHANDS = (DecisionKind.APPROVE, DecisionKind.DENY, DecisionKind.ANSWER)
DECISIONS = (*SHORTHANDS, GENERAL)
KNOWN = (*DECISIONS, *STEERING)

DEEPER = 8
"""Levels around a grant where the run's state carries it."""

Read = TypeVar("Read", bound=BaseModel)

LAST_READ = 8
"""Messages whose reading is kept: each is looked at twice, and a large one takes milliseconds."""


@dataclass(frozen=True)
class RawMessage:
    """A message as it came: its name, and for each payload its encoding and bytes."""

    name: str
    payloads: Sequence[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Bytes of all payloads."""
        return sum(len(data) for _, data in self.payloads)


class Unreadable(ValueError):
    """A message that says nothing to a run; the text says why, for the list `rejected`."""

    gate: str | None = None
    by: str | None = None
    """What the message said of itself, as far as it could be read."""


def read_message(message: RawMessage, known: Sequence[str] = KNOWN) -> Decision | Steer:
    """Decode a message.

    Args:
        message: As it came.
        known: The names that the run knows.

    Raises:
        Unreadable: It is nothing that a run takes, for the reason that the text names.
    """
    return _read(message.name, tuple(message.payloads), tuple(known))


@lru_cache(maxsize=LAST_READ)
def _read(name: str, payloads: tuple[tuple[str, bytes], ...], known: tuple[str, ...]) -> Decision | Steer:
    if name not in known:
        raise Unreadable(f"unknown message {bounds.clip(name, 60)!r}; known: {', '.join(known)}")
    body = _one_object(payloads)
    if "call" in body:
        body = {"gate": body["call"], **{k: v for k, v in body.items() if k != "call"}}
    try:
        return _steer(name, body) if name in STEERING else _decision(name, body)
    except Unreadable as error:
        gate, by = body.get("gate"), body.get("by")
        error.gate = gate if isinstance(gate, str) else None
        error.by = by if isinstance(by, str) else None
        raise


def _steer(name: str, body: dict[str, Any]) -> Steer:
    steer = _validated(STEERING[name], body)
    if isinstance(steer, Say) and len(steer.text.encode(errors="replace")) > bounds.SAY_BYTES:
        raise Unreadable(f"text: longer than {bounds.SAY_BYTES} bytes; put it into a file the agent can read")
    return steer


def _decision(name: str, body: dict[str, Any]) -> Decision:
    if name != GENERAL:
        if body.get("kind", name) != name:
            raise Unreadable(f"{name!r} with another kind: send it as 'decide'")
        body = {**body, "kind": name}
    decision = _validated(Decision, body)
    if missing := decision.lacks():
        raise Unreadable(f"{missing}: needed for {decision.kind}")
    _check_grant(body.get("grant"))
    return decision


def _check_grant(grant: Any) -> None:
    """Refuse one that no other reader of the run's state could read: it would stall the run that takes it."""
    try:
        from_json(b"[" * DEEPER + canonical_json(grant).encode() + b"]" * DEEPER)
    except (NotCanonical, ValueError) as error:
        raise Unreadable(bounds.clip(f"grant: {error}", 200)) from None


def _validated(model: type[Read], body: dict[str, Any]) -> Read:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        if where == "digest":
            raise Unreadable("digest: give 16 to 64 hex digits of the digest that the card shows") from None
        raise Unreadable(bounds.clip(f"{where}: {first['msg']}", 200)) from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose fields are there once: of two, another reader might show the other."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found


def _one_object(payloads: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
    if len(payloads) != 1:
        raise Unreadable(f"{len(payloads)} payloads; send one JSON object")
    encoding, data = payloads[0]
    if len(data) > bounds.MESSAGE_BYTES:
        raise Unreadable(f"{len(data)} bytes; at most {bounds.MESSAGE_BYTES}")
    if encoding != "json/plain":
        raise Unreadable(f"encoding {bounds.clip(encoding, 60)!r}; send json/plain")
    try:
        body = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Unreadable(bounds.clip(f"not JSON: {error}", 200)) from None
    if not isinstance(body, dict):
        raise Unreadable("not a JSON object")
    return body
