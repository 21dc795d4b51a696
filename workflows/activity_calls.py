"""The activities a run starts, declared with their types and options. Their code is in `activities/`.

A tool's activity type is the tool's name and its activity id the call id, so that the event history reads as the
trajectory and `temporal activity pause|reset|complete --activity-id t3.c1` works. Results come back raw, since a person
may have completed the activity by hand: `workflows.outcome` reads them.
"""

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import Priority, RawValue
from temporalio.workflow import ActivityConfig, ActivityHandle

from agents.agent import ToolSpec
from agents.events import AskAside, AskModel, Dispatch
from agents.ids import model_call_id
from agents.model_call import CarryInput, ResolveInput
from agents.notice import Notice
from agents.preview import PreviewInput
from workflows.options import (
    cancel_options,
    carry_options,
    edit_options,
    lookup_options,
    model_options,
    notice_options,
    preview_options,
    tool_options,
)

Handle = ActivityHandle[RawValue]

ID_DIGITS = 8
"""Of a gate's digest, in the ids of what is done for it: the server takes no activity of an id that has not ended, and a
gate that opens again under its old id may still have some."""


def resolve(agent: str, priority: Priority) -> Handle:
    """Take the snapshot of an agent's definition."""
    return _start("agent.resolve", ResolveInput(agent=agent), "resolve", agent, lookup_options(priority))


def ask_model(action: AskModel, priority: Priority) -> Handle:
    """Call the model."""
    turn = action.input.turn
    name = model_call_id(turn, action.stops)
    return _start("agent.model", action.input, name, f"turn {turn}", model_options(priority))


def call_tool(action: Dispatch, spec: ToolSpec, priority: Priority) -> Handle:
    """Run a tool."""
    call = action.call
    return _start(call.tool, action.input, call.id, call.summary, tool_options(spec, priority))


def take_preview(call: str, given: PreviewInput, spec: ToolSpec, priority: Priority) -> Handle:
    """Find out what a call would do."""
    return _start("agent.preview", given, f"{call}.preview", given.tool, preview_options(spec, priority))


def check_arguments(
    gate: str, number: int, given: PreviewInput, spec: ToolSpec, priority: Priority
) -> Handle:
    """Find out whether edited arguments fit their tool, and what the call would do with them."""
    return _start("agent.preview", given, f"{gate}.edit.{number}", given.tool, edit_options(spec, priority))


def ask_aside(action: AskAside, priority: Priority) -> Handle:
    """Put a person's question to the model."""
    name = f"{action.gate}.aside.{action.digest[:ID_DIGITS]}.{action.number}"
    return _start("agent.model", action.input, name, "a person's question", model_options(priority))


def tell(notice: Notice, priority: Priority) -> Handle:
    """Tell the webhook of a gate."""
    name = f"{notice.card.gate}.notice.{notice.card.digest[:ID_DIGITS]}.{notice.number}"
    return _start("agent.notify", notice, name, notice.what, notice_options(priority))


def cancel_run(priority: Priority) -> Handle:
    """Have the server cancel this run."""
    return _start("agent.cancel", None, "cancel", "a person's message", cancel_options(priority))


def fetch_carried(previous: str, chunk: int, digest: str, priority: Priority) -> Handle:
    """Read one chunk of the state that the previous execution could not hand over in its input."""
    name = f"carry.{chunk}"
    given = CarryInput(execution=previous, chunk=chunk, digest=digest)
    return _start("agent.carry", given, name, f"chunk {chunk}", carry_options(priority))


def _start(
    activity_type: str,
    given: BaseModel | None,
    activity_id: str,
    summary: str,
    options: ActivityConfig,
) -> Handle:
    options["activity_id"] = activity_id
    options["summary"] = summary
    args = [] if given is None else [given]
    handle: Handle = workflow.start_activity(activity_type, args=args, result_type=RawValue, **options)
    return handle
