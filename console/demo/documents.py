"""The documents that the demo works on: chosen, and copied to where the agent may write beside them."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from console.exits import Exit, Trouble

ROOT = Path(__file__).resolve().parents[2]
OWN = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")
"""This repository's own documents."""

SUFFIXES = frozenset({".md", ".txt"})
MOST_DOCUMENTS = 5
LARGEST_BYTES = 64 * 1024
"""With these two a paid model reads 130,000 tokens at most, and the calls side by side fit a screen."""

PREFIX = "demo-"
"""Every demo's run, folder, task queue and log begin with it."""


@dataclass(frozen=True)
class Chosen:
    """The documents of a folder that the agent is given."""

    folder: Path
    names: tuple[str, ...]
    """Relative to the folder, those at its top first."""
    left_out: int
    """Documents beyond `MOST_DOCUMENTS` or larger than `LARGEST_BYTES`."""


def choose(folder: Path | None, workspace: Path) -> Chosen:
    """The documents of a folder; of this repository where none is named. Earlier demos are not looked into.

    Raises:
        Trouble: There are none.
    """
    if folder is None:
        root, places = ROOT, [ROOT / name for name in OWN]
    else:
        root, places = folder, [folder]
    found = [path for place in places for path in _documents(place, workspace)]
    fitting = [path for path in found if path.stat().st_size <= LARGEST_BYTES]
    if not fitting:
        at_most = f" of at most {LARGEST_BYTES // 1024} KB" if found else ""
        raise Trouble(f"There is no document (*.md or *.txt{at_most}) in {root}.", Exit.USAGE)
    names = sorted(
        (path.relative_to(root).as_posix() for path in fitting), key=lambda name: (name.count("/"), name)
    )
    chosen = tuple(names[:MOST_DOCUMENTS])
    return Chosen(root, chosen, len(found) - len(chosen))


def _documents(place: Path, workspace: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for folder, folders, names in os.walk(place):
        here = Path(folder)
        folders[:] = [name for name in folders if not _hidden(name) and not _is_demo(here / name, workspace)]
        for name in names:
            path = here / name
            if path.suffix.lower() in SUFFIXES and not _hidden(name) and path.is_file():
                yield path


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _is_demo(path: Path, workspace: Path) -> bool:
    return path.resolve().parent == workspace and path.name.startswith(PREFIX)


def copy(chosen: Chosen, target: Path) -> None:
    """Copy the documents into a new folder.

    Raises:
        Trouble: One cannot be read, or the folder cannot be written.
    """
    try:
        target.mkdir(parents=True)
        for name in chosen.names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(chosen.folder / name, target / name)
    except OSError as error:
        raise Trouble(
            f"The documents cannot be copied to {target}: {error}. Set AGENT_WORKSPACE to a folder that you may write.",
            Exit.USAGE,
        ) from error


def shown(path: Path) -> str:
    """The path from here where it is below here, since that is what people paste."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
