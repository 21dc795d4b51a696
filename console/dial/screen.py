"""Where the dial's commands print that need no connection."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from console.session import WIDTH_OF_A_FILE

INDENT = 13
"""Columns that the label of a field takes."""


def screen() -> Console:
    """Standard output."""
    out = Console(markup=False, highlight=False, emoji=False)
    if not out.is_terminal:
        out.width = WIDTH_OF_A_FILE
    return out


def show_field(out: Console, label: str, lines: Sequence[Text]) -> None:
    """Print a field's lines beside its label; at a terminal a long one goes on below its own beginning."""
    for number, line in enumerate(lines):
        rows = line.wrap(out, max(out.width - INDENT, 20)) if out.is_terminal else [line]
        for part, row in enumerate(rows):
            head = "" if number or part else f"  {label}"
            out.print(Text.assemble((head.ljust(INDENT), "dim"), row), soft_wrap=True)
