"""What a tool's author uses: `@tool`, `ToolContext`, `Excerpt` and the exceptions that say how a call went wrong.

    @tool(READ, timeout_seconds=20)
    async def weather(city: Annotated[str, Field(description="As on a map.")]) -> str:
        '''Tomorrow's weather in a city.'''

ToolError
├── ToolRejected   nothing happened, and the model is told why: raise it any time before the effect
├── ToolFailed     it failed for good, and the model is told why
├── NotSent        nothing was sent: try again
└── Retry          trouble that may pass; only where a repetition does no harm

Anything else that a tool raises counts as `Retry` where it may be repeated. After a non-idempotent tool began,
it leaves the outcome unknown: a person is asked.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from activities.result import Excerpt
from activities.signature import Function, Signature, ToolMistake, check_preview
from agents import bounds
from agents.agent import FINISH, ToolSpec
from agents.effect import Effect

__all__ = [
    "Excerpt",
    "NotSent",
    "Retry",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolFailed",
    "ToolMistake",
    "ToolRejected",
    "tool",
    "tool_table",
]


NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")
"""What model APIs take as a function's name."""

LONGEST_TIMEOUT = 24 * 3600
"""Seconds."""

LONGEST_UNDO = 300
"""Characters: a sentence or two on a card."""


class ToolError(Exception):
    """A tool's own account of what went wrong. See the module."""


class ToolRejected(ToolError):
    """Nothing happened, and nothing will by trying again; the text tells the model why."""


class ToolFailed(ToolError):
    """It failed for good; the text tells the model why."""


class _TryAgain(ToolError):
    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds
        """What the other side asked for; None: the retry policy decides."""


class NotSent(_TryAgain):
    """Nothing was sent, so that trying again is safe whatever the tool does."""


class Retry(_TryAgain):
    """Trouble that may pass, met by a read or an idempotent write."""


def _unheard(text: str) -> None:
    """Progress of a tool that is called outside a run."""


@dataclass(frozen=True)
class ToolContext:
    """The call that a tool is run for. Taken by a tool that declares `*, context: ToolContext`."""

    run: str
    call: str
    tool: str
    key: str
    """The idempotency key: the same over every attempt, and different for every other call."""
    attempt: int = 1
    report: Callable[[str], None] = field(default=_unheard, repr=False)

    def progress(self, text: str) -> None:
        """Say how far it is: shown by `watch` while the call runs, and restarts the tool's progress clock."""
        self.report(text)


@dataclass(frozen=True)
class Tool:
    """A function that an agent may call."""

    spec: ToolSpec
    function: Function
    signature: Signature
    preview: Function | None = None
    """Says what a call would do, without doing it."""

    @property
    def is_async(self) -> bool:
        """False: it runs in a thread, where nothing can stop it."""
        return inspect.iscoroutinefunction(self.function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function: for its unit tests."""
        return self.function(*args, **kwargs)


def tool(
    effect: Effect,
    *,
    timeout_seconds: float = 60,
    progress_seconds: float | None = None,
    result_bytes: int = bounds.RESULT_BYTES,
    asks_person: bool = False,
    preview: Function | None = None,
    undo: str = "",
) -> Callable[[Function], Tool]:
    """Make a tool of a typed function.

    Its name is the function's, its description the first paragraph of the docstring, its schema the parameters'
    types. It returns text, an `Excerpt`, or anything that has a JSON form.

    Args:
        effect: What it does to the world.
        timeout_seconds: Longest time of one attempt, its preview included.
        progress_seconds: Longest time between two calls of `context.progress`; None for a tool that makes none.
        result_bytes: Longest result; what is over it is cut off visibly.
        asks_person: It is a question to a person, and the function never runs.
        preview: Plain or async function of the same arguments without `context`, which only reads and gives text: what
            a call would do. A person sees it before they approve, and it is taken again right before the call is made:
            where it says anything else then, they are asked again. So it must say the same of the same state of the
            world: no clock, no counter, nothing that changes by itself.
        undo: How a person undoes a call, for those who decide on it.

    Raises:
        ToolMistake: The function lacks a type or a docstring, has a name that no tool may have, or the preview takes
            other arguments.
    """

    def made(function: Function) -> Tool:
        signature = Signature(function, ToolContext)
        if preview is not None:
            check_preview(preview, function)
        spec = ToolSpec(
            name=_name(function),
            description=_description(function),
            parameters=signature.schema,
            effect=effect,
            timeout_seconds=timeout_seconds,
            progress_seconds=progress_seconds,
            result_bytes=result_bytes,
            asks_person=asks_person,
            previews=preview is not None,
            undo=undo,
        )
        _check_limits(spec)
        return Tool(spec, function, signature, preview)

    return made


def tool_table(*tools: Tool) -> Mapping[str, Tool]:
    """The tools by name.

    Raises:
        ToolMistake: Two have the same name.
    """
    table: dict[str, Tool] = {}
    for each in tools:
        name = each.spec.name
        if name in table:
            places = " and ".join(
                f"{t.function.__module__}.{t.function.__qualname__}" for t in (table[name], each)
            )
            raise ToolMistake(f"two tools are called {name!r}: {places}; rename one of the functions")
        table[name] = each
    return table


def _name(function: Function) -> str:
    name = function.__name__
    if not NAME.fullmatch(name):
        raise ToolMistake(f"tool {name}: a name is a letter and up to 63 letters, digits, _ or -")
    if name == FINISH:
        raise ToolMistake(f"tool {name}: this name ends a run; rename the function")
    return name


def _check_limits(spec: ToolSpec) -> None:
    if not 0 < spec.timeout_seconds <= LONGEST_TIMEOUT:
        raise ToolMistake(f"tool {spec.name}: timeout_seconds must be over 0 and at most {LONGEST_TIMEOUT}")
    if spec.progress_seconds is not None and spec.progress_seconds <= 0:
        raise ToolMistake(f"tool {spec.name}: progress_seconds must be over 0, or None")
    if not 0 < spec.result_bytes <= bounds.RESULT_BYTES:
        raise ToolMistake(f"tool {spec.name}: result_bytes must be over 0 and at most {bounds.RESULT_BYTES}")
    if len(spec.undo) > LONGEST_UNDO:
        raise ToolMistake(f"tool {spec.name}: undo must have at most {LONGEST_UNDO} characters")
    if spec.asks_person and spec.previews:
        raise ToolMistake(f"tool {spec.name}: a question has no preview; take away preview or asks_person")


def _description(function: Function) -> str:
    first, _, _ = (inspect.getdoc(function) or "").partition("\n\n")
    if not first.strip():
        raise ToolMistake(
            f"tool {function.__name__}: it has no docstring; write one line that tells the model what it does"
        )
    return " ".join(first.split())
