"""What the demo says when it is over: what was done, what was repeated, what it cost, and what to try next."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.text import Text

from console.demo.documents import shown
from console.demo.following import WRITES
from console.demo.killing import Kill
from console.lines import python_line, starter_line
from console.session import Session
from console.text import lines, size
from console.trajectory.derive import totals
from console.trajectory.reading import Reading
from console.trajectory.steps import CallStep, ModelStep

FILE_LINES = 1
NAME_WIDTH = 13
EXCERPT_WIDTH = 100


@dataclass(frozen=True)
class Outcome:
    """A demo that is over."""

    session: Session
    run: str
    reading: Reading
    kill: Kill | None
    workspace: Path
    """The run's own."""
    offline: bool

    @property
    def done(self) -> list[ModelStep | CallStep]:
        """The steps that were completed."""
        return [
            step
            for step in self.reading.steps
            if isinstance(step, ModelStep | CallStep) and step.state == "done" and step.ended
        ]

    @property
    def seconds_to_progress(self) -> float | None:
        """From the kill, on this machine's clock, to the next step's completion, as the server wrote it down."""
        if self.kill is None:
            return None
        after = [step.ended for step in self.done if step.ended and step.ended > self.kill.at]
        return (min(after) - self.kill.at) / timedelta(seconds=1) if after else None


def table(outcome: Outcome) -> list[Text]:
    """What happened, in a few rows."""
    return [
        Text(f"{name if first else '':<{NAME_WIDTH}}", style="bold") + line
        for name, rows in _rows(outcome)
        for first, line in zip((True, *(False for _ in rows[1:])), rows, strict=True)
    ]


def _rows(outcome: Outcome) -> Iterator[tuple[str, list[Text]]]:
    done = outcome.done
    calls = sum(isinstance(step, CallStep) for step in done)
    yield "steps done", [Text(f"{len(done)}: {len(done) - calls} model calls, {calls} tool calls")]
    yield "repeated", [Text(_repeated(done))]
    yield "model calls", [Text(_model(outcome))]
    yield "recovery", [Text(_recovery(outcome))]
    yield "written", _written(outcome) or [Text("no file")]
    if link := outcome.session.web_link(outcome.run):
        yield "Web UI", [Text(link)]


def _repeated(done: list[ModelStep | CallStep]) -> str:
    again = [step for step in done if (step.attempts or 0) > 1]
    if not again:
        return f"0: each of the {len(done)} ran once"
    names = ", ".join(
        f"model call of turn {step.turn}" if isinstance(step, ModelStep) else step.id for step in again
    )
    extra = sum((step.attempts or 0) - 1 for step in again)
    return f"{extra}: {names}; the other {len(done) - len(again)} ran once"


def _model(outcome: Outcome) -> str:
    sums = totals(outcome.reading.steps)
    again = sums.model_attempts - sums.model_calls
    counted = f"{sums.model_calls} answered, {again} repeated"
    if outcome.offline:
        return f"{counted}; paid 0: the offline stand-in plays the model"
    maybe = f", and perhaps {again} whose answer was lost" if again else ""
    tokens = f"tokens {sums.input_tokens:,} in ({sums.cached_tokens:,} cached), {sums.output_tokens:,} out"
    return f"{counted}; paid {sums.model_calls}{maybe}; {tokens}"


def _recovery(outcome: Outcome) -> str:
    if outcome.kill is None:
        return "nothing was killed: the run was over before a model call could be caught in the middle"
    seconds = outcome.seconds_to_progress
    if seconds is None:
        return "no step was completed after the kill"
    return (
        f"{seconds:.1f} s from the kill, in the middle of the {outcome.kill.step}, to the next completed step"
    )


def _written(outcome: Outcome) -> list[Text]:
    """The path of each file that was written, and the first lines of the last one."""
    paths = dict.fromkeys(
        outcome.workspace / json.loads(step.arguments)["path"]
        for step in outcome.done
        if isinstance(step, CallStep) and step.tool == WRITES
    )
    found: list[Text] = []
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace")
        filled = "\n".join(line for line in text.splitlines() if line.strip())
        found.append(Text(f"{shown(path)}, {size(text)}"))
        first = lines(filled, None)[:FILE_LINES]
    return [*found, *(Text(f"| {line[:EXCERPT_WIDTH]}", style="dim") for line in first)] if found else []


def next_lines(outcome: Outcome) -> Iterator[str]:
    """The commands to try next, and how to stop what still runs."""
    task = f"Summarise {outcome.run}/**/*.*"
    yield "To try next, as they stand:"
    yield f"  every step of this run         {starter_line('trajectory', outcome.run)}"
    yield f"  a worker, until Ctrl-C         {python_line('worker.py')}"
    yield f"  a task, in a second terminal   {starter_line('run', 'assistant', task, '--dial', 'propose')}"
    if outcome.session.connection.embedded:
        yield f"The Temporal server keeps running, so that you can look; this stops it: {starter_line('server', 'stop')}"
