"""What people did to a run, and what they were asked, as lines of its trajectory."""

from collections.abc import Iterable

from rich.text import Text

from agents.rules import ANYONE
from console.text import lines, one_line
from console.trajectory.marks import mark
from console.trajectory.steps import DecisionStep, GateStep, SteerStep

DID = {
    "approve": "approved",
    "edit": "edited",
    "deny": "denied",
    "answer": "answered",
    "ask": "asked the agent",
    "delegate": "delegated",
    "happened": "said to have happened",
    "did_not_happen": "said not to have happened",
    "retry": "to be tried again",
    "give_result": "result given",
    "skip": "skipped",
    "end": "run ended",
}
"""An accepted answer, as it reads before "by ann"."""

TALK = frozenset({"ask", "delegate"})
"""Answers that never decide anything."""

STEERED = {
    "say": "said",
    "pause": "paused",
    "resume": "resumed",
    "cancel": "cancelled",
    "notify": "told the webhook again",
}
"""An accepted steering message, likewise."""


def gate_terms(step: GateStep) -> str:
    """Whom a gate asks, where it does not ask anyone."""
    named = [one_line(name, 80) for name in step.people if name != ANYONE]
    who = f", asks {', '.join(named)}" if named else ""
    needed = f", {step.needed} must approve" if step.needed > 1 else ""
    until = f", until {step.deadline:%Y-%m-%d %H:%M %Z}" if step.deadline else ""
    nobody = ", closed by nobody's decision" if step.how == "nobody" else ""
    return f"{who}{needed}{until}{nobody}"


def decision_line(step: DecisionStep) -> Text:
    """A decision, and what became of it."""
    what = step.answer or repr(one_line(step.name, 60))
    what = DID.get(what, what) if step.accepted else what.replace("_", " ")
    by = f" by {one_line(step.by, 80)}" if step.by else f" from {one_line(step.sender, 80)}"
    state = {True: "accepted", False: "refused", None: "note"}[step.accepted]
    refused = f", refused: {one_line(step.reason, 200)}" if step.accepted is False else ""
    said = f": {one_line(step.said, 200)}" if step.said else ""
    if step.accepted and not step.closes and step.answer not in TALK:
        # It was accepted and decided nothing: one of several votes, or what had been said already.
        refused = f" ({one_line(step.reason, 200)})"
    return Text.assemble(
        mark(state),
        (one_line(step.gate or "message", 60), "bold"),
        f"  {what}{by}{said}{refused} ",
        (f"({step.door})", "dim"),
    )


def steer_line(step: SteerStep) -> Text:
    """A steering message, and what became of it."""
    what = STEERED.get(step.name, step.name) if step.accepted else step.name
    by = f" by {one_line(step.by, 80)}" if step.by else f" from {one_line(step.sender, 80)}"
    state = {True: "accepted", False: "refused", None: "note"}[step.accepted]
    refused = f", refused: {one_line(step.reason, 200)}" if step.accepted is False else ""
    said = f": {one_line(step.said, 200)}" if step.said else ""
    seen = ""
    if step.name == "say" and step.accepted:
        seen = f", seen at turn {step.seen}" if step.seen else ", not seen yet"
    return Text.assemble(
        mark(state), ("message", "bold"), f"  {what}{by}{said}{refused}{seen} ", (f"({step.door})", "dim")
    )


def gate_details(step: GateStep, limit: int | None) -> Iterable[Text]:
    """Why a gate opened, what had changed, and what its call would have done."""
    named = step.rule is None or repr(step.rule) in step.reason
    rule = "" if named else f" (rule {one_line(step.rule or '', 80)})"
    yield Text(f"why: {one_line(step.reason, 1000)}{rule}", style="dim")
    for line in lines(step.changed, limit):
        yield Text(line, style="yellow")
    for line in lines(step.preview, limit):
        yield Text(f"preview: {line}", style="dim")
