"""Which steps are worth a line while a run is followed, and how the lines look."""

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from console.text import clock, lines
from console.trajectory.steps import (
    CallStep,
    DecisionStep,
    ErrandStep,
    GateStep,
    ModelStep,
    NoteStep,
    SteerStep,
    Step,
    WaitStep,
)
from console.trajectory.view import TEXT_LINES, headline

SILENT = frozenset({"planned", "waiting"})
"""States of a call that its gate or its dispatch tells of."""


class Teller:
    """Turns changed steps into lines, each said once.

    Args:
        begins: Also say when a call begins, where nothing else shows what is under way.
    """

    def __init__(self, *, begins: bool) -> None:
        self._begins = begins
        # A step lives as long as the run is read, so that its identity is its own.
        self._told: set[tuple[int, str]] = set()
        self._gated: set[str] = set()
        """Calls whose gate has opened: the decision tells what became of them."""

    def tell(self, steps: Sequence[Step], at: datetime) -> list[Text]:
        """The lines for steps that an event has changed at that moment."""
        found: list[Text] = []
        for step in steps:
            news = self._news(step, at)
            if news is None or (id(step), news) in self._told:
                continue
            self._told.add((id(step), news))
            found.append(Text.assemble((f"{clock(at)}  ", "dim")) + headline(step))
            # What it says without asking for a call is its answer, which comes at the end.
            if isinstance(step, ModelStep) and step.calls:
                found += [Text(f"{'':12}{line}", style="italic") for line in lines(step.text, TEXT_LINES)]
        return found

    def _news(self, step: Step, at: datetime) -> str | None:
        """What is to be said of a step now; None for nothing."""
        match step:
            case ModelStep(state="in flight"):
                return "begun" if self._begins else None
            case CallStep(state="in flight"):
                return f"begun {step.dispatches}" if self._begins else None
            case ModelStep():
                return step.state
            case CallStep():
                known = step.state == "denied" and step.id in self._gated
                return None if step.state in SILENT or known else step.state
            case DecisionStep():
                return None if step.door == "update" and step.accepted is None else f"taken {step.accepted}"
            case SteerStep():
                untold = step.door == "update" and step.accepted is None
                return None if untold else f"taken {step.accepted}, seen {step.seen}"
            case ErrandStep():
                return None if step.state in {"in flight", "done"} else step.state
            case WaitStep():
                return "begun" if step.state == "waiting" else None
            case NoteStep():
                # Nothing that a person can see changes when a run continues as new.
                return None if step.what == "continued" else "noted"
            case SteerStep():
                return None if step.accepted is None else "steered"
            case ErrandStep():
                return step.state if step.what == "notice" and step.state != "in flight" else None
            case GateStep():
                self._gated.add(step.call or "")
                # Before its deadline, what seems to be nobody's doing is a decision that has yet to be read.
                late = step.how == "nobody" and step.deadline is not None and step.deadline <= at
                return "late" if late else None
