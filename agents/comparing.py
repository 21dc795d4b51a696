"""The comparisons of a rule's condition, over JSON values. Each says yes, no, or None: that it cannot be made."""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from agents.canonical import NotCanonical, canonical_json
from agents.rules import Comparison

Compared = Callable[[Any, Any], bool | None]


def compared(arguments: Mapping[str, Any], field: str, comparison: Comparison, value: Any) -> bool | None:
    """Whether the argument compares so with the value; None where it is missing, or of another type.

    Args:
        arguments: The call's.
        field: Name of an argument; `address.city` for one inside another.
        comparison: Which one.
        value: What the rule compares with.
    """
    given: Any = arguments
    for part in field.split("."):
        if not isinstance(given, Mapping) or part not in given:
            return None
        given = given[part]
    return _COMPARISONS[comparison](given, value)


def _type(value: Any) -> str | None:
    """The JSON type; None for what JSON has not."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return None if math.isnan(value) else "number"
        case str():
            return "string"
        case Mapping():
            return "object"
        case list() | tuple():
            return "array"
        case _:
            return None


def _equal(given: Any, value: Any) -> bool | None:
    kind = _type(value)
    if kind == "null":
        return given is None
    if kind is None or _type(given) != kind:
        return None
    if kind not in {"object", "array"}:
        return bool(given == value)
    try:
        # Python's own equality takes true for 1 inside of them.
        return canonical_json(given) == canonical_json(value)
    except NotCanonical:
        return None


def _among(given: Any, values: Any) -> bool | None:
    if _type(values) != "array":
        return None
    told = [_equal(given, value) for value in values]
    if True in told:
        return True
    return None if told and set(told) == {None} else False


def _contains(given: Any, value: Any) -> bool | None:
    if _type(given) == "array":
        return _among(value, given)
    return _of_text(operator.contains)(given, value)


def _not(comparison: Compared) -> Compared:
    def negated(given: Any, value: Any) -> bool | None:
        told = comparison(given, value)
        return None if told is None else not told

    return negated


def _in_order(comparison: Callable[[Any, Any], bool]) -> Compared:
    """Numbers by size, texts by their characters: ISO dates come in order."""

    def ordered(given: Any, value: Any) -> bool | None:
        kind = _type(given)
        return comparison(given, value) if kind in {"number", "string"} and kind == _type(value) else None

    return ordered


def _of_text(comparison: Callable[[str, str], bool]) -> Compared:
    def told(given: Any, value: Any) -> bool | None:
        return comparison(given, value) if isinstance(given, str) and isinstance(value, str) else None

    return told


_COMPARISONS: dict[Comparison, Compared] = {
    "=": _equal,
    "!=": _not(_equal),
    "<": _in_order(operator.lt),
    "<=": _in_order(operator.le),
    ">": _in_order(operator.gt),
    ">=": _in_order(operator.ge),
    "in": _among,
    "not in": _not(_among),
    "contains": _contains,
    "starts with": _of_text(str.startswith),
    "ends with": _of_text(str.endswith),
}
