"""What is wrong with a call's arguments, in words that a model can act on.

Checks against the schema in the run's snapshot, never today's function. Pure: jsonschema and the standard library.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for
from pydantic_core import from_json
from referencing import Registry

from agents import bounds
from agents.agent import FINISH, Definition
from agents.canonical import NotCanonical, canonical_json
from agents.reply import ProposedCall

SHOWN_PROBLEMS = 5
"""Schema errors named at once: enough to repair a call, too few to fill a model's window."""

PROBLEM_CHARS = 240
"""Length of one of them: jsonschema quotes the offending value, which may be a whole file."""

KEPT_VALIDATORS = 256
"""Schemas whose validator is kept: more tools than a worker has."""


class BadArguments(ValueError):
    """Arguments that cannot be dispatched; the text tells the model why."""


def call_problem(definition: Definition, tool: str, raw: str) -> str | None:
    """What is wrong with a call of `tool` with the arguments `raw`, or None when it may be dispatched."""
    if tool == FINISH and definition.output is not None:
        return problem_of(definition.output, raw)
    spec = definition.tool(tool)
    if spec is None:
        return f"unknown tool {bounds.clip(tool, 64)!r}; known tools: {_known(definition)}"
    return problem_of(spec.parameters, raw)


def problem_of(schema: Mapping[str, Any], raw: str) -> str | None:
    """What is wrong with the JSON text `raw` by this JSON Schema, or None."""
    try:
        arguments = parsed(raw)
        problem = _schema_problem(schema, arguments)
        if problem is None:
            _canonical(arguments)
    except BadArguments as error:
        return str(error)
    return problem


def parsed(raw: str) -> dict[str, Any]:
    """The arguments as an object; a blank text, which some models send for "none", is an empty one.

    Raises:
        BadArguments: They are too large, not JSON or not an object.
    """
    if len(raw) > bounds.ARGUMENT_BYTES:
        raise _too_large()
    if not raw.strip():
        return {}
    try:
        arguments = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadArguments(bounds.clip(f"the arguments are not JSON: {error}", PROBLEM_CHARS)) from None
    if not isinstance(arguments, dict):
        raise BadArguments(f"the arguments must be a JSON object, not {_json_type(arguments)}")
    return arguments


def canonical_arguments(raw: str) -> str:
    """The arguments as canonical JSON: what is dispatched, and what keys and approvals are bound to.

    Raises:
        BadArguments: They are too large, not JSON, not an object, or have no canonical form.
    """
    return _canonical(parsed(raw))


def short_arguments(call: ProposedCall) -> str:
    """The arguments in one short line; those that could not be read as the model wrote them."""
    try:
        arguments = parsed(call.arguments)
    except BadArguments:
        return bounds.clip(call.arguments)
    return bounds.clip(
        ", ".join(f"{k}={bounds.clip(json.dumps(v, ensure_ascii=False), 200)}" for k, v in arguments.items())
    )


def short_in_order(parameters: Mapping[str, Any], arguments: str) -> str:
    """Canonical arguments in one short line, in the order of the tool's parameters instead of the alphabet's."""
    given = parsed(arguments)
    known = [name for name in parameters.get("properties", {}) if name in given]
    ordered = {name: given[name] for name in (*known, *given)}
    return short_arguments(ProposedCall(id="", tool="", arguments=json.dumps(ordered)))


def _canonical(arguments: dict[str, Any]) -> str:
    try:
        canonical = canonical_json(arguments)
        from_json(canonical)  # nested deeper than this, no other reader of the run could read it
    except (NotCanonical, ValueError) as error:
        text = f"the arguments hold a value that JSON cannot carry everywhere: {error}"
        raise BadArguments(bounds.clip(text, PROBLEM_CHARS)) from None
    if len(canonical.encode()) > bounds.ARGUMENT_BYTES:
        raise _too_large()
    return canonical


def _too_large() -> BadArguments:
    limit = bounds.ARGUMENT_BYTES // bounds.KIB
    return BadArguments(f"the arguments are larger than {limit} KiB; make several smaller calls")


def _schema_problem(schema: Mapping[str, Any], arguments: dict[str, Any]) -> str | None:
    validator = _validator(json.dumps(schema))
    try:
        errors = list(islice(validator.iter_errors(arguments), SHOWN_PROBLEMS + 1))
    except RecursionError:
        return "the arguments are nested too deeply"
    if not errors:
        return None
    lines = [_sentence(error) for error in errors[:SHOWN_PROBLEMS]]
    more = ["and more"] if len(errors) > SHOWN_PROBLEMS else []
    return "the arguments do not match the tool's schema:\n" + "\n".join([*lines, *more])


@lru_cache(maxsize=KEPT_VALIDATORS)
def _validator(schema_json: str) -> Validator:
    """A validator that fetches nothing: jsonschema's default one would load a remote `$ref`."""
    schema = json.loads(schema_json)
    return validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())


def _sentence(error: ValidationError) -> str:
    alternatives = "; ".join(inner.message for inner in islice(error.context or (), 3))
    where = error.json_path.removeprefix("$").removeprefix(".") or "arguments"
    return bounds.clip(f"{where}: {alternatives or error.message}", PROBLEM_CHARS)


def _known(definition: Definition) -> str:
    names = [spec.name for spec in definition.tools] + [FINISH] * (definition.output is not None)
    return ", ".join(names) or "none"


def _json_type(value: Any) -> str:
    names = {str: "a string", list: "an array", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
