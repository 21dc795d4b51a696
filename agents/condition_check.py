"""What is wrong with a rule's conditions: arguments that the tools do not take, comparisons that can never be made."""

from collections.abc import Iterator, Sequence
from typing import Any

from agents.agent import ToolSpec
from agents.canonical import NotCanonical, canonical_json
from agents.comparing import compared
from agents.rules import Condition, Rule

Loc = tuple[str | int, ...]
"""Where in a rule or a rule set, as in `("rules", 2, "terms", "needed")`."""

SAMPLES: dict[str, Any] = {
    "string": "",
    "integer": 0,
    "number": 0,
    "boolean": False,
    "array": [],
    "object": {},
}
"""A value of each type that a schema can name: a comparison that cannot be made with it can be with none of the type."""


def condition_mistakes(rule: Rule, tools: Sequence[ToolSpec]) -> Iterator[tuple[Loc, str]]:
    """Where in the rule, and what is wrong there.

    Args:
        rule: The rule.
        tools: Those that it speaks of.
    """
    if rule.when is None:
        return
    for loc, condition in _comparisons(("when",), rule.when):
        assert condition.field is not None
        lacking = [spec for spec in tools if not _takes(spec, condition.field)]
        if lacking:
            yield (*loc, "field"), _no_parameter(condition.field, lacking, tools, "*" in rule.tools)
        try:
            canonical_json(condition.value)
        except NotCanonical as error:
            yield (*loc, "value"), f"JSON cannot carry it everywhere: {error}"
            continue
        for spec in tools:
            if spec not in lacking and (kind := _type_that_cannot(spec, condition)):
                yield (
                    (*loc, "value"),
                    f"{condition.field!r} of {spec.name} is of type {kind}: it can never be "
                    f"compared by {condition.comparison!r} with {condition.value!r}",
                )


def _comparisons(loc: Loc, condition: Condition) -> Iterator[tuple[Loc, Condition]]:
    if condition.field is not None:
        yield loc, condition
    for name, parts in (("all", condition.all), ("any", condition.any)):
        for index, part in enumerate(parts or ()):
            yield from _comparisons((*loc, name, index), part)


def _parameters(spec: ToolSpec) -> dict[str, Any]:
    properties = spec.parameters.get("properties")
    return properties if isinstance(properties, dict) else {}


def _takes(spec: ToolSpec, field: str) -> bool:
    is_open = spec.parameters.get("additionalProperties") or "patternProperties" in spec.parameters
    return bool(is_open) or field.split(".")[0] in _parameters(spec)


def _no_parameter(field: str, lacking: Sequence[ToolSpec], tools: Sequence[ToolSpec], every: bool) -> str:
    first = field.split(".")[0]
    if every and len(lacking) < len(tools):
        having = ", ".join(spec.name for spec in tools if spec not in lacking)
        return f"not every tool has a parameter {first!r}; instead of *, name those that have it: {having}"
    has = "; ".join(f"{spec.name} has {', '.join(_parameters(spec)) or 'none'}" for spec in lacking)
    return f"there is no such parameter: {has}"


def _type_that_cannot(spec: ToolSpec, condition: Condition) -> str | None:
    """The type of the parameter, where no value of it can be compared so."""
    assert condition.field is not None
    assert condition.comparison is not None
    schema = _parameters(spec).get(condition.field)
    kind = schema.get("type") if isinstance(schema, dict) else None
    if not isinstance(kind, str) or kind not in SAMPLES:
        return None
    sample = {condition.field: SAMPLES[kind]}
    never = compared(sample, condition.field, condition.comparison, condition.value) is None
    return kind if never else None
