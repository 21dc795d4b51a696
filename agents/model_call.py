"""What goes into a model call: the inputs of the activities `agent.resolve` and `agent.model`."""

from pydantic import BaseModel, ConfigDict, Field

from agents.transcript import Entry


class ModelInput(BaseModel):
    """The input of `agent.model`: what the worker's cached transcript has not seen yet."""

    model_config = ConfigDict(frozen=True)

    turn: int
    definition: str
    """Digest of the definition snapshot."""
    start: int
    """Entries of the transcript that come before `delta`."""
    prefix: str
    """Rolling digest of those entries."""
    total: int
    """Entries that this call must see: `start` and the delta, also where the delta is left out."""
    delta: tuple[Entry, ...] | None
    """The entries from `start` on; None when they are too large to pass and must be read by query."""
    aside: tuple[Entry, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Entries for this call only, after the others: a person's question at a gate. No tools are offered then, and
    neither they nor the reply become part of the transcript."""


class ResolveInput(BaseModel):
    """The input of `agent.resolve`."""

    model_config = ConfigDict(frozen=True)

    agent: str


class CarryInput(BaseModel):
    """The input of `agent.carry`."""

    model_config = ConfigDict(frozen=True)

    execution: str
    """Run id of the execution that continued as new."""
    chunk: int
    digest: str
    """Of the chunk, as the previous execution packed it."""
