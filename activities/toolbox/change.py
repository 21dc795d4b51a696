"""What writing a file would change, in words: for the preview of `write_file`. Pure: standard library only."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

COMPARED_BYTES = 256 * 1024
"""Of the file that is there: as much as a call can write. A longer one is named by size and digest."""

COMPARED_LINES = 5_000
"""Of either text: a second of work at worst (measured), while the worker has other runs."""

LINE_CHARS = 200
"""Of each line of a difference."""


@dataclass(frozen=True)
class Present:
    """The file that is there."""

    size: int
    sha256: str = ""
    """Of all of it; empty where the worker may not read it."""
    data: bytes | None = None
    """All of it, where it has at most `COMPARED_BYTES`."""


def change(path: str, present: Present | None, data: bytes) -> str:
    """What putting `data` at `path` would do."""
    new = f"{len(data):,} bytes"
    text = data.decode(errors="replace")
    if present is None:
        return f"New file {path}, {new}:\n\n{text}"
    old = f"{present.size:,} bytes"
    if present.sha256:
        old += f", sha256 {present.sha256[:16]}"
    if present.data == data:
        return f"{path} has this very content already ({old}). Nothing would change."
    compared, reason = _compared(present, text)
    if reason:
        return f"Replaces {path} ({old}; not compared: {reason}) by {new}:\n\n{text}"
    return f"Replaces {path} ({old}) by {new}:\n\n{compared}"


def _compared(present: Present, text: str) -> tuple[str, str]:
    """The difference, or why there is none to be shown."""
    if not present.sha256:
        return "", "it may not be read by this worker"
    if present.data is None:
        return "", "it is too long"
    try:
        before = present.data.decode()
    except UnicodeDecodeError:
        return "", "it is not text"
    if "\0" in before:
        return "", "it is not text"
    old, new = before.splitlines(), text.splitlines()
    if max(len(old), len(new)) > COMPARED_LINES:
        return "", "there are too many lines"
    if old == new:
        return "Only the ends of lines differ.", ""
    return "\n".join(_difference(old, new)), ""


def _difference(old: list[str], new: list[str]) -> Iterator[str]:
    lines = difflib.unified_diff(old, new, lineterm="")
    next(lines), next(lines)  # the names of the files
    for line in lines:
        yield line if len(line) <= LINE_CHARS else line[: LINE_CHARS - 1] + "…"
