"""Steps and trajectories for people: one headline a step, and what belongs below it."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from rich.text import Text

from agents.bounds import SUMMARY_CHARS
from console.cards import argument_lines, risk_parts
from console.text import clock, duration, lines, one_line, size
from console.trajectory.head import head
from console.trajectory.marks import mark
from console.trajectory.people import decision_line, gate_details, gate_terms, steer_line
from console.trajectory.steps import (
    CallStep,
    DecisionStep,
    Ending,
    ErrandStep,
    GateStep,
    ModelStep,
    NoteStep,
    SteerStep,
    Step,
    Trajectory,
    WaitStep,
)

TEXT_LINES = 8
"""Of a text below a step, unless all is asked for."""


def headline(step: Step) -> Text:
    """A step in one line."""
    match step:
        case ModelStep():
            whose = f"{step.aside}, to a person's question" if step.aside else f"turn {step.turn}"
            return Text.assemble(mark(step.state), ("model", "bold"), f"  {whose}  ", *_model(step))
        case CallStep():
            return Text.assemble(
                mark(step.state), (step.id, "bold"), f"  {one_line(step.tool, 64)}", *_call(step)
            )
        case GateStep():
            return Text.assemble(
                mark("done" if step.closed else "waiting"),
                (step.gate, "bold"),
                f"  gate: {step.asks}",
                *risk_parts(step.asks, step.risk),
                f"  {one_line(step.summary, 160)}",
                (gate_terms(step), "dim"),
            )
        case DecisionStep():
            return decision_line(step)
        case SteerStep():
            return steer_line(step)
        case ErrandStep():
            what = f"{step.what} ({step.text})" if step.text else step.what
            return Text.assemble(
                mark(step.state), (step.about, "bold"), f"  {what}  {step.state}", *_failure(step)
            )
        case WaitStep():
            seconds = (step.until - step.at) / timedelta(seconds=1)
            # A gate's timer is cancelled when somebody has decided: nothing has gone wrong.
            state = "note" if step.gate and step.state == "cancelled" else step.state
            return Text.assemble(
                mark(state), ("wait", "bold"), f"  {duration(seconds)}: {one_line(step.why, 200)}"
            )
        case NoteStep():
            return Text.assemble(mark("note"), (step.what, "bold"), f"  {one_line(step.text, 400)}")


def _model(step: ModelStep) -> Iterable[str | tuple[str, str]]:
    if step.state == "in flight":
        yield "asked"
        return
    yield step.state
    yield from _effort(step.at, step.ended, step.attempts)
    if step.state == "done":
        if step.input_tokens or step.output_tokens:  # none of the stand-in's
            cached = f" ({step.cached_tokens:,} cached)" if step.cached_tokens else ""
            yield (f", tokens {step.input_tokens:,} in{cached}, {step.output_tokens:,} out", "dim")
        if step.finish not in {"stop", "calls"}:
            yield (f", ended: {step.finish}", "yellow")
    yield from _failure(step)


def _call(step: CallStep) -> Iterable[str | tuple[str, str]]:
    yield f"({one_line(step.summary, SUMMARY_CHARS)})  "
    yield step.state
    yield from _effort(step.started, step.ended, step.attempts or None)
    if step.dispatches > 1:
        yield f", dispatched {step.dispatches} times"
    if step.granted:
        yield f", under the approval of {one_line(step.granted, 80)} for the rest of the run"
    if step.override:
        yield (f", under override {one_line(step.override, 80)}", "bold yellow")
    if step.state == "done" and step.result is not None:
        yield (f", {size(step.result)}", "dim")
    yield from _failure(step)


def _failure(step: ModelStep | CallStep | ErrandStep) -> Iterable[tuple[str, str]]:
    if step.failure and step.state == "done":
        yield (f", an earlier attempt: {one_line(step.failure, 300)}", "yellow")
    elif step.failure:
        yield (f": {one_line(step.failure, 300)}", "red")


def _effort(start: datetime | None, end: datetime | None, attempts: int | None) -> Iterable[str]:
    if start and end:
        yield f" {duration((end - start) / timedelta(seconds=1))}"
    if attempts and attempts > 1:
        yield f", {attempts} attempts"


def below(step: Step, *, full: bool) -> list[Text]:
    """What belongs below a step's headline: texts, arguments, results, keys."""
    limit = None if full else TEXT_LINES
    match step:
        case ModelStep(text=text) if text:
            return [Text(line, style="italic") for line in lines(text, limit)]
        case CallStep():
            return [*_arguments(step, limit, full=full), *_result(step, limit), *_key(step)]
        case GateStep():
            return [*gate_details(step, limit)]
        case _:
            return []


def _arguments(step: CallStep, limit: int | None, *, full: bool) -> list[Text]:
    if not full:
        return []
    try:
        values = json.loads(step.arguments or "{}")
    except ValueError:
        values = step.arguments
    if not isinstance(values, dict):
        return [Text(line) for line in lines(str(values), limit)]
    return argument_lines(values, limit)


def _result(step: CallStep, limit: int | None) -> list[Text]:
    if step.result is None or (limit is not None and step.state == "done"):
        return []
    return [Text(line, style="dim") for line in lines(step.result, limit)]


def _key(step: CallStep) -> list[Text]:
    return [Text(f"{step.effect}, key {step.key}", style="dim")] if step.key else []


def trajectory_parts(found: Trajectory, now: datetime, *, full: bool) -> list[Text]:
    """A whole trajectory, line by line."""
    parts = [*head(found, now)]
    for step in found.steps:
        indent = "" if isinstance(step, ModelStep) else "  "
        parts.append(Text.assemble((f"{clock(step.at)}  ", "dim"), indent) + headline(step))
        answered = isinstance(step, ModelStep) and found.ending and step.text == found.ending.answer
        if not answered:
            parts += [Text(f"{'':10}{indent}  ") + line for line in below(step, full=full)]
    if found.ending:
        parts += [Text(), *ending_parts(found.ending)]
    return parts


def ending_parts(ending: Ending) -> list[Text]:
    """How a run ended, with its answer."""
    state = Text.assemble(mark(ending.phase), (ending.phase, "bold"))
    if ending.error and ending.phase != "cancelled":
        state.append(f": {one_line(ending.error, 2000)}")
    return [state, *(Text(f"  {line}") for line in lines(ending.answer or "", None))]
