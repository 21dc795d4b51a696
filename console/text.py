"""Text that is safe and short enough to show: what models, tools and people wrote may hold anything."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufeff"
    "\U000e0000-\U000e007f]"
)
"""Control characters but tab and newline, what turns the direction of writing (so that a line reads otherwise
than it is), what has no width (so that two names look the same), and halves of characters that no terminal can be
sent."""

LEFT_OUT = "… {} more lines; `trajectory --full` shows them"


def plain(text: str) -> str:
    """The text with every character that could steer a terminal replaced."""
    return UNSAFE.sub("\ufffd", text.replace("\r\n", "\n")).expandtabs(4)


def one_line(text: str, limit: int) -> str:
    """The text on one line, safe to show, cut to `limit` characters."""
    line = " ".join(plain(text[: limit * 4]).split())
    whole = len(line) <= limit and not text[limit * 4 :].strip()
    return line if whole else line[: limit - 1] + "…"


def middle(text: str, limit: int) -> str:
    """The text on one line, with its middle left out where it is longer: of an id, both ends tell it from others."""
    line = one_line(text, 10 * limit)
    if len(line) <= limit:
        return line
    half = (limit - 1) // 2
    return f"{line[: limit - 1 - half]}…{line[-half:]}"


def lines(text: str, limit: int | None, width: int = 400) -> list[str]:
    """The text's lines, safe to show; at most `limit` of at most `width` characters, and what is missing said."""
    found = plain(text).splitlines()
    if limit is None:
        return found
    shown = [line if len(line) <= width else line[: width - 1] + "…" for line in found[:limit]]
    return shown if len(found) <= limit else [*shown, LEFT_OUT.format(len(found) - limit)]


def document(value: Any) -> str:
    """One JSON document; characters that could steer a terminal are escaped, which reads back as the same text."""
    return _escaped(json.dumps(value, ensure_ascii=False, indent=2))


def compact(value: Any) -> str:
    """JSON on one line, escaped in the same way."""
    return _escaped(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _escaped(text: str) -> str:
    # Inside JSON they can only be within a string.
    return UNSAFE.sub(lambda found: json.dumps(found.group()).strip('"'), text)


def duration(seconds: float) -> str:
    """Seconds as a person says them: `0.04 s`, `12 s`, `3 min`, `2 h 5 min`, `4 d 3 h`."""
    seconds = max(seconds, 0)
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def many(number: int, one: str) -> str:
    """A number of things: `1 gate`, `2 gates`."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago a moment was."""
    return f"{duration((now - moment) / timedelta(seconds=1))} ago"


def size(text: str) -> str:
    """The size of a text in bytes."""
    count = len(text.encode(errors="replace"))
    return f"{count:,} bytes" if count != 1 else "1 byte"


def clock(moment: datetime) -> str:
    """The time of day on this machine's clock."""
    return f"{moment.astimezone():%H:%M:%S}"
