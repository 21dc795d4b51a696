"""The command `dial table`: an agent's tools by dials."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.text import Text

from agents.agent import ToolSpec
from agents.ruling import CAREFUL, Ruling
from console.dial.inputs import Inputs, ReadCatalog, Rules, inputs_of
from console.dial.outcomes import Otherwise, outcomes
from console.dial.screen import screen
from console.exits import Exit, finish
from console.session import AsJson
from console.table import table_lines
from console.text import document, plain

STYLES = {"allow": "green", "ask": "yellow", "refuse": "red"}
DEPENDS = "*"
"""Beside a verdict that some rule changes for some arguments."""

OVERRIDDEN = "!"
"""Beside that of a grave call which an override lets go ahead."""


def table_command(read_catalog: ReadCatalog) -> Callable[..., None]:
    """The command.

    Args:
        read_catalog: Reads what is installed.
    """

    def table(
        agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.", show_default=False)],
        *,
        rules: Rules = None,
        as_json: AsJson = False,
    ) -> None:
        """Show what becomes of an agent's calls: its tools by dials. Needs no server."""

        async def command() -> Exit:
            inputs = inputs_of(read_catalog, agent, rules)
            if as_json:
                typer.echo(document(_document(inputs)))
            else:
                _show(inputs)
            return Exit.DONE

        finish(command())

    return table


def _show(inputs: Inputs) -> None:
    out = screen()
    rows = [[Text(spec.name), *_cells(inputs, spec), Text(_effect(spec))] for spec in inputs.specs]
    for line in table_lines(("tool", *CAREFUL, "effect"), rows, out.width):
        out.print(line, soft_wrap=True)
    notes = dict.fromkeys(note for spec in inputs.specs for note in _notes(inputs, spec))
    for number, note in enumerate(notes):
        out.print(Text(plain(note if number else f"\n{note}")), soft_wrap=not out.is_terminal)
    source = f", rules of {inputs.file}" if inputs.file else ""
    out.print(
        Text(f"\n{inputs.agent.name} runs at dial {inputs.agent.dial} unless told otherwise{source}.", "dim")
    )


def _effect(spec: ToolSpec) -> str:
    return "question to a person" if spec.asks_person else str(spec.effect)


def _cells(inputs: Inputs, spec: ToolSpec) -> list[Text]:
    cells = []
    for dial in CAREFUL:
        base, others = outcomes(spec, dial, inputs.rules, inputs.now)
        marks = (OVERRIDDEN if base.override else "") + (DEPENDS if others else "")
        cells.append(Text(f"{base.says} {marks}".rstrip(), style=STYLES[base.says]))
    return cells


def _notes(inputs: Inputs, spec: ToolSpec) -> list[str]:
    found: dict[tuple[str, str], list[str]] = {}
    for dial in CAREFUL:
        base, others = outcomes(spec, dial, inputs.rules, inputs.now)
        told = [(OVERRIDDEN, base.reason)] if base.override else []
        for note in [*told, *((DEPENDS, str(other)) for other in others)]:
            found.setdefault(note, []).append(dial)
    return [f"{mark} {spec.name}{_at(dials)}: {note}" for (mark, note), dials in found.items()]


def _at(dials: list[str]) -> str:
    return "" if len(dials) == len(CAREFUL) else f" at dial {' and '.join(dials)}"


def _document(inputs: Inputs) -> dict[str, Any]:
    return {
        "agent": inputs.agent.name,
        "dial": inputs.agent.dial,
        "rules_file": str(inputs.file) if inputs.file else None,
        "rules_version": inputs.rules.version,
        "tools": [
            {
                "tool": spec.name,
                "effect": spec.effect.model_dump(mode="json"),
                "asks_person": spec.asks_person,
                "dials": {dial: _cell(*outcomes(spec, dial, inputs.rules, inputs.now)) for dial in CAREFUL},
            }
            for spec in inputs.specs
        ],
    }


def _cell(base: Ruling, others: list[Otherwise]) -> dict[str, Any]:
    return {
        "verdict": base.says,
        "reason": base.reason,
        "override": base.override,
        "depends_on_arguments": bool(others),
        "otherwise": [
            {"verdict": other.ruling.says, "rule": other.rule.name, "when": str(other.rule.when)}
            for other in others
        ],
    }
