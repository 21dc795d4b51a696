"""The one dynamic activity that runs every tool: its type is the tool's name, its id the call's.

What becomes of a call by its effect is in design section 5; how it fails, in `activities.tool_failure`.
"""

from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

import structlog
from temporalio import activity
from temporalio.common import RawValue

from activities.freshness import Freshness
from activities.heartbeat import Heartbeater
from activities.lineage import Lineage
from activities.result import content
from activities.telemetry import CallTelemetry
from activities.time_limit import DRAIN_SECONDS, TimeLimit, shutdown_seconds
from activities.tool_attempt import Attempt
from activities.tool_failure import NotInstalled, reported
from activities.tools import Tool, ToolRejected
from agents.effect import EffectClass
from agents.rulebook import Rulebook
from agents.tool_call import ToolInput, ToolOutput

__all__ = ["DRAIN_SECONDS", "ToolActivities", "tool_shutdown_seconds"]

log = structlog.get_logger()

STRICTNESS = (EffectClass.READ, EffectClass.IDEMPOTENT, EffectClass.NON_IDEMPOTENT)


def tool_shutdown_seconds(tools: Iterable[Tool]) -> float:
    """What these tools need of a worker's `graceful_shutdown_timeout`: time for the longest send to end."""
    sends = [
        t.spec.timeout_seconds for t in tools if t.spec.effect.effect_class is EffectClass.NON_IDEMPOTENT
    ]
    return shutdown_seconds(max(sends, default=0))


class ToolActivities:
    """Runs tool calls.

    Args:
        tools: By name, as `tool_table` makes them.
        telemetry: None: one that shows no prompts.
        rulebook: The rules of today, against which approved calls are held once more; None: there are none.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        telemetry: CallTelemetry | None = None,
        rulebook: Rulebook | None = None,
    ) -> None:
        self._tools = tools
        self._telemetry = CallTelemetry() if telemetry is None else telemetry
        self._lineage = Lineage()
        self._freshness = Freshness(rulebook)

    @activity.defn(dynamic=True)
    async def call_tool(self, values: Sequence[RawValue]) -> ToolOutput:
        """Run the tool that the activity's type names, with a `ToolInput`.

        Raises:
            ApplicationError: As `activities.tool_failure` says.
        """
        info = activity.info()
        given: ToolInput = activity.payload_converter().from_payload(values[0].payload, ToolInput)
        tool = self._tools.get(info.activity_type)
        effect = _effect(given, tool)
        sent_once = effect is EffectClass.NON_IDEMPOTENT
        fenced = sent_once or (given.approved is not None and effect is EffectClass.IDEMPOTENT)
        limit = TimeLimit(given.timeout_seconds, given.progress_seconds, drains=not sent_once)
        names = {"run": info.workflow_id, "call": info.activity_id, "tool": info.activity_type}
        with structlog.contextvars.bound_contextvars(**names, attempt=info.attempt):
            async with Heartbeater(fenced=fenced) as beat:
                try:
                    if tool is None:
                        raise NotInstalled(activity.client().identity, info.activity_type, self._tools)
                    return await self._called(
                        Attempt(info, given, tool, effect, beat, limit, self._lineage, self._freshness)
                    )
                except Exception as error:
                    # Not "from error": its text may hold secrets, which the failure's has lost.
                    raise reported("tool call failed", error, info.attempt) from None

    async def _called(self, attempt: Attempt) -> ToolOutput:
        begun = monotonic()
        with self._telemetry.execute_tool(attempt.given) as returned:
            arguments = _arguments(attempt)
            value = await attempt.call(arguments)
            shown = content(value, attempt.given.result_bytes, _offset(attempt.tool, arguments))
            returned(shown)
        log.info("tool call", seconds=round(monotonic() - begun, 3), bytes=len(shown.encode()))
        return ToolOutput(content=shown, attempts=attempt.info.attempt)


def _effect(given: ToolInput, tool: Tool | None) -> EffectClass:
    """The stricter of what the run's snapshot says and what the function says today."""
    today = tool.spec.effect.effect_class if tool else given.effect
    return max(given.effect, today, key=STRICTNESS.index)


def _arguments(attempt: Attempt) -> dict[str, Any]:
    try:
        return attempt.tool.signature.arguments(attempt.given.arguments)
    except ValueError as error:
        raise ToolRejected(f"the arguments do not fit the tool as it is now: {error}") from None


def _offset(tool: Tool, arguments: Mapping[str, Any]) -> int | None:
    """The argument that asks for a later part of a result; None for a tool that has none."""
    return arguments["offset"] if "offset" in tool.spec.parameters.get("properties", {}) else None
