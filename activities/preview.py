"""The activity `agent.preview`: what a call would do, as its tool says it, before a person is asked. Nothing is done."""

import inspect
from collections.abc import Mapping
from typing import Any

import structlog
from temporalio import activity

from activities.heartbeat import Heartbeater
from activities.redaction import redacted
from activities.threads import in_thread
from activities.time_limit import TimeLimit
from activities.tool_failure import NotInstalled, reported
from activities.tools import Tool, ToolRejected
from agents.arguments import canonical_arguments, problem_of
from agents.preview import Preview, PreviewInput, preview_of

PREVIEW_SECONDS = 12.0
"""Longest time of one preview: less than `workflows.options.EDIT_TIMEOUT`, after which nobody would be told why."""


class PreviewActivities:
    """Takes previews.

    Args:
        tools: By name, as `tool_table` makes them.
    """

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools

    @activity.defn(name="agent.preview")
    async def preview(self, given: PreviewInput) -> Preview:
        """What the call would do; an empty preview for a tool that has none.

        Raises:
            ApplicationError: As `activities.tool_failure` says.
        """
        info = activity.info()
        names = {"run": info.workflow_id, "preview": info.activity_id, "tool": given.tool}
        with structlog.contextvars.bound_contextvars(**names, attempt=info.attempt):
            async with Heartbeater():
                try:
                    return await self._previewed(given)
                except Exception as error:
                    # Not "from error": its text may hold secrets, which the failure's has lost.
                    raise reported("preview failed", error, info.attempt) from None

    async def _previewed(self, given: PreviewInput) -> Preview:
        tool = self._tools.get(given.tool)
        if tool is None:
            raise NotInstalled(activity.client().identity, given.tool, self._tools)
        try:
            arguments = _arguments(tool, given)
        except ValueError as error:
            if given.edited:
                return Preview(problem=redacted(str(error)))
            raise ToolRejected(f"the arguments do not fit the tool as it is now: {error}") from None
        return await previewed(tool, arguments, tool.spec.timeout_seconds)


def _arguments(tool: Tool, given: PreviewInput) -> dict[str, Any]:
    problem = problem_of(tool.spec.parameters, given.arguments) if given.edited else None
    if problem:
        raise ValueError(problem)
    return tool.signature.arguments(canonical_arguments(given.arguments))


async def previewed(tool: Tool, arguments: dict[str, Any], seconds: float) -> Preview:
    """What a call with these arguments would do now; an empty preview for a tool that has none.

    Args:
        tool: Its own function is not run.
        arguments: As its signature gives them.
        seconds: Longest time, where that is less than `PREVIEW_SECONDS`.

    Raises:
        OutOfTime: It took too long, or its worker shuts down.
        Exception: Whatever the preview raises.
    """
    if tool.preview is None:
        return Preview()
    limit = TimeLimit(round(min(seconds, PREVIEW_SECONDS), 1), None, drains=True)
    is_async = inspect.iscoroutinefunction(tool.preview)
    try:
        text = await limit.run(tool.preview(**arguments) if is_async else in_thread(tool.preview, arguments))
    except SystemExit as error:  # it would end the worker
        raise RuntimeError("the preview called sys.exit") from error
    if not isinstance(text, str):
        raise TypeError(f"the preview of {tool.spec.name} gave {type(text).__name__}, not text")
    return preview_of(text)
