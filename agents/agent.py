"""An agent, the tools it may call, and the snapshot of both that a run keeps."""

from functools import cached_property, lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents import bounds
from agents.canonical import digest
from agents.effect import Dial, Effect
from agents.rules import RuleSet

ModelApi = Literal["responses", "chat", "offline"]

DEFINITION_VERSION = 2
"""Grows when a snapshot says something that an older worker must not overlook, such as rules."""

FINISH = "finish"
"""The call that ends a run of an agent with a declared output."""


class ToolSpec(BaseModel):
    """What a run needs to know of a tool: what the model is told, and how its calls are treated.

    Part of every run's snapshot, so no field has a limit here: one that is tightened would break runs under way. The
    limits are checked where a tool is made (`activities.tools`).
    """

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema of the arguments."""
    effect: Effect
    timeout_seconds: float = 60
    """Longest time one attempt may take. Every tool has one: a heartbeat must not hide a hang."""
    progress_seconds: float | None = None
    """Longest time between two reports of progress, for tools that make any."""
    result_bytes: int = bounds.RESULT_BYTES
    asks_person: bool = False
    """The call is a question to a person: it opens a gate and no activity runs."""
    previews: bool = Field(default=False, exclude_if=lambda value: not value)
    """The tool can say beforehand what a call would do."""
    undo: str = Field(default="", exclude_if=lambda value: not value)
    """How a person undoes a call, for the card; empty where the tool does not say."""


class Agent(BaseModel):
    """One agent: who it is, what it may call, how far it may go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    instructions: str
    tools: tuple[str, ...] = ()
    """Names of tools in the catalog."""
    model: str | None = None
    """None: the worker's `AGENT_MODEL`."""
    dial: Dial = Dial.SUPERVISED
    output: dict[str, Any] | None = None
    """JSON Schema of the answer (`Model.model_json_schema()`). None: the answer is text."""
    max_turns: int = Field(default=100, gt=0)
    """Model calls before the run ends: an agent in a loop must not spend for ever."""
    max_output_tokens: int | None = Field(default=None, gt=0)
    """Bound on one reply, reasoning included. None: the provider's own."""
    rules: RuleSet = RuleSet()
    """Beside those of the rules file, which come first."""


class Definition(BaseModel):
    """The snapshot of an agent that a run keeps: editing prompts or tools never changes a run under way."""

    model_config = ConfigDict(frozen=True)

    agent: str
    instructions: str
    model: str
    api: ModelApi
    tools: tuple[ToolSpec, ...]
    dial: Dial
    output: dict[str, Any] | None = None
    max_turns: int
    max_output_tokens: int | None = None
    rules: RuleSet | None = Field(default=None, exclude_if=lambda value: value is None)
    """None only in snapshots from before there were rules: such a run goes on as it began."""
    v: int = Field(default=1, exclude_if=lambda value: value == 1)
    """`DEFINITION_VERSION` of the worker that took it."""
    notifies: bool = Field(default=False, exclude_if=lambda value: not value)
    """A webhook is told of the run's gates."""

    @cached_property
    def digest(self) -> str:
        """128 bits of the SHA-256 over the whole snapshot; inputs name it instead of repeating the schemas."""
        return digest(self.model_dump(mode="json"))[:32]

    def tool(self, name: str) -> ToolSpec | None:
        """The tool of that name, or None where this agent has no such tool."""
        return next((spec for spec in self.tools if spec.name == name), None)


class NewerDefinition(RuntimeError):
    """A snapshot that a newer version of this code took: another worker must go on with the run."""


@lru_cache(maxsize=128)
def read_definition(data: bytes) -> Definition:
    """The snapshot in this JSON.

    Runs of one agent share the object: its schemas would be half of what a waiting run takes of a worker's memory.

    Raises:
        ValidationError: It is none.
        NewerDefinition: This version would overlook something in it.
    """
    definition = Definition.model_validate_json(data)
    if definition.v > DEFINITION_VERSION:
        raise NewerDefinition(
            f"definition of version {definition.v}; this worker knows up to {DEFINITION_VERSION}"
        )
    return definition
