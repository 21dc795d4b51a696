"""What continue-as-new carries: the whole state, compressed, in chunks that each fit a field."""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from agents import bounds
from agents.agent import read_definition
from agents.state import STATE_VERSION, RunState

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    # Rules, terms and steering came; every field of theirs has a default that stands for a run without them.
    1: lambda data: {**data, "v": 2},
}
"""From version n to n + 1: a run that began under an older version is read through all of them in turn."""


class UnknownVersion(ValueError):
    """A state written by a newer version of this code."""


def pack(state: RunState) -> list[bytes]:
    """The state in chunks of at most `bounds.CARRY_BYTES`."""
    # Level 3: a quarter of level 6's time on a transcript of 4 MB, for a tenth more bytes; a workflow task that
    # computes for two seconds counts as deadlocked.
    packed = zlib.compress(state.model_dump_json().encode(), 3)
    return [packed[i : i + bounds.CARRY_BYTES] for i in range(0, len(packed), bounds.CARRY_BYTES)]


def chunk_digest(chunk: bytes) -> str:
    """By it the next execution knows a chunk again: another version of this code may pack the same state otherwise."""
    return hashlib.sha256(chunk).hexdigest()[:32]


def unpack(chunks: Sequence[bytes]) -> RunState:
    """The state again, upgraded to this version.

    Raises:
        UnknownVersion: A newer version wrote it.
    """
    data = upgrade(from_json(zlib.decompress(b"".join(chunks))))
    definition = data["definition"]
    shared = definition and read_definition(to_json(definition))
    return RunState.model_validate({**data, "definition": shared})


def upgrade(data: dict[str, Any]) -> dict[str, Any]:
    """A stored state as this version writes it."""
    while data["v"] < STATE_VERSION:
        data = UPGRADES[data["v"]](data)
    if data["v"] > STATE_VERSION:
        raise UnknownVersion(f"state of version {data['v']}; this worker knows up to {STATE_VERSION}")
    return data
