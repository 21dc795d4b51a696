"""A call's arguments as a person changes them: `FIELD=VALUE`, or all of them as JSON, and what that makes different."""

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from rich.text import Text

from console.exits import Exit, Trouble
from console.text import one_line, plain

CONTEXT_LINES = 2
"""Of a long text, around what changes."""

STYLES = {"+": "green", "-": "red", " ": "dim"}


def changed(arguments: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """The arguments with these changes.

    Args:
        arguments: Those of the call.
        changes: Each `FIELD=VALUE`, with `address.city` for a field inside another; see `value_of`.

    Raises:
        Trouble: A change is none.
    """
    result: dict[str, Any] = json.loads(json.dumps(arguments))
    for change in changes:
        field, equals, text = change.partition("=")
        if not field or not equals:
            raise Trouble(f"--set {change!r}: write FIELD=VALUE, such as amount=90.", Exit.USAGE)
        holder, name = _holder(result, field)
        holder[name] = value_of(field, text, holder.get(name))
    return result


def value_of(field: str, text: str, present: Any) -> Any:
    """What a person's text stands for.

    Where the field holds a text now, it is the text as it stands; where it holds anything else, JSON. Where it holds
    nothing, JSON if it can be read as such, or else the text.

    Raises:
        Trouble: It should be JSON and is not.
    """
    if isinstance(present, str):
        return text
    try:
        return json.loads(text, parse_constant=_no_json)
    except ValueError:
        if present is None:
            return text
    now = one_line(json.dumps(present, ensure_ascii=False), 60)
    raise Trouble(
        f"{field} holds {now} now, so its value must be JSON, with quotes around a text; got {text!r}.",
        Exit.USAGE,
    )


def all_arguments(given: str) -> dict[str, Any]:
    """All arguments, as JSON or as `@FILE`.

    Raises:
        Trouble: There is no such file, or it holds something else.
    """
    try:
        text = Path(given[1:]).read_text() if given.startswith("@") else given
        read = json.loads(text, parse_constant=_no_json)
    except (OSError, ValueError) as error:
        raise Trouble(f"--arguments: {error}", Exit.USAGE) from error
    if not isinstance(read, dict):
        raise Trouble("--arguments: give one JSON object with all of the call's arguments.", Exit.USAGE)
    return read


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Text]:
    """What changes between two sets of arguments, field by field; nothing where they are the same."""
    found: list[Text] = []
    for name in {**before, **after}:
        # As JSON: to Python, 1 and 1.0 and True are the same.
        old, new = (json.dumps(values[name]) if name in values else None for values in (before, after))
        if old != new:
            found.append(Text(f"  {one_line(name, 60)}:", style="cyan"))
            found += _field(before.get(name), after.get(name), gone=new is None, new=old is None)
    return found


def _field(before: Any, after: Any, *, gone: bool, new: bool) -> Iterable[Text]:
    # As they would read; as JSON where that would hide the difference, as with spaces or the kind of a value.
    for rows_of in (_rows, _json_rows):
        old, now = ([] if new else rows_of(before)), ([] if gone else rows_of(after))
        if old != now:
            break
    for row in list(difflib.unified_diff(old, now, n=CONTEXT_LINES, lineterm=""))[2:]:
        if row.startswith("@@"):
            continue
        yield Text(f"    {row[0]} {row[1:]}", style=STYLES[row[0]])


def _rows(value: Any) -> list[str]:
    if isinstance(value, str):
        return [line.rstrip() for line in plain(value).splitlines()] or [""]
    return _json_rows(value)


def _json_rows(value: Any) -> list[str]:
    return [plain(json.dumps(value, ensure_ascii=False))]


def _holder(arguments: dict[str, Any], field: str) -> tuple[dict[str, Any], str]:
    """The object that holds the field, and the field's name there."""
    if field in arguments:
        return arguments, field
    holder, *rest = [arguments], *field.split(".")
    found: Any = holder[0]
    for name in rest[:-1]:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise Trouble(f"--set {field}: the call's arguments hold no such object.", Exit.USAGE)
    return found, rest[-1]


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
