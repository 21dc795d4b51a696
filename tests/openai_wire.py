"""What both OpenAI APIs have in common, for the fake: replies, usage, refusals, rules about tools and schemas.

Standard library only. The two APIs themselves are in `openai_responses.py` and `openai_chat.py`.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

Json = dict[str, Any]
Ending = Literal["complete", "truncated", "filtered"]

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
STRICT_REFUSES = ("allOf", "default", "not", "oneOf")

# What the provider says of its own accord: message, type, code; by code, otherwise by status.
ERRORS: dict[str | int, tuple[str, str, str | None]] = {
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    404: (
        "The model does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    429: ("Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", "server_error", None),
    503: ("The engine is currently overloaded, please try again later.", "server_error", None),
    "insufficient_quota": (
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        None,
    ),
    "context_length_exceeded": (
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "invalid_request_error",
        None,
    ),
}


@dataclass(frozen=True)
class Usage:
    """Tokens of one reply. `cached` is a part of `input`, `reasoning` a part of `output`."""

    input: int
    cached: int = 0
    output: int = 1
    reasoning: int = 0


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """What the model produces in one turn, in no API's terms yet."""

    text: str | None = None
    calls: tuple[Call, ...] = ()
    reasoning: str | None = None
    refusal: str | None = None
    ending: Ending = "complete"
    usage: Usage | None = None

    @property
    def bytes(self) -> int:
        parts = [
            self.text,
            self.reasoning,
            self.refusal,
            *(call.name + call.arguments for call in self.calls),
        ]
        return sum(len(part.encode()) for part in parts if part)


@dataclass
class Issued:
    """What this fake has given out, to recognise it when it comes back."""

    reasoning: dict[str, Json] = field(default_factory=dict)
    """Reasoning items by id."""
    reasoning_of: dict[str, str] = field(default_factory=dict)
    """The reasoning that an item needs before it, by the item's id, and by the call id of a call."""


class Refused(Exception):
    """A request that the API answers with an error."""

    def __init__(
        self, message: str, param: str | None = None, code: str | None = None, *, status: int = 400
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, param=param, code=code)


def error_body(
    message: str, *, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> Json:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def provider_error(status: int, code: str | None, history: str) -> Json:
    """What the provider says with this status and code; `history` is the API's name for its conversation."""
    unknown = (
        f"The script answers {status}.",
        "server_error" if status >= 500 else "invalid_request_error",
        None,
    )
    message, kind, usual_code = ERRORS.get(code or status) or ERRORS.get(status) or unknown
    param = history if code == "context_length_exceeded" else None
    return error_body(message, kind=kind, param=param, code=code or usual_code)


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def not_one_of(value: Any, supported: Collection[str], param: str) -> NoReturn:
    listed = ", ".join(f"'{name}'" for name in supported)
    raise Refused(f"Invalid value: '{value}'. Supported values are: {listed}.", param, "invalid_value")


def required(holder: Any, name: str, param: str, kind: type | tuple[type, ...]) -> Any:
    """The field `name`, refused as the API does when it is missing or of another type."""
    if not isinstance(holder, dict) or name not in holder:
        raise Refused(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
    if not isinstance(holder[name], kind):
        found = type(holder[name]).__name__
        raise Refused(f"Invalid type for '{param}': got {found} instead.", param, "invalid_type")
    return holder[name]


def check_top_level(body: Json, known: Collection[str]) -> None:
    for name in body:
        if name not in known:
            raise Refused(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    required(body, "model", "model", str)
    for name in ("stream", "background"):
        if body.get(name):
            raise Refused(f"This fake does not support '{name}'.", name, "unsupported_parameter")


def check_tool_choice(body: Json) -> None:
    if "tool_choice" in body and not body.get("tools"):
        raise Refused(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
            "tool_choice",
        )


def check_name(name: str, param: str) -> None:
    if not TOOL_NAME.fullmatch(name):
        wanted = "a string that matches the pattern '^[a-zA-Z0-9_-]+$', at most 64 long"
        raise Refused(f"Invalid '{param}': expected {wanted}.", param, "invalid_value")


def check_function(function: Json, where: str) -> None:
    """One function tool; `where` is the path of the object that has its name."""
    name = required(function, "name", f"{where}.name", str)
    check_name(name, f"{where}.name")
    parameters = function.get("parameters")
    if parameters is not None and parameters.get("type") != "object":
        why = "schema must be a JSON Schema of 'type: \"object\"'"
        raise Refused(
            f"Invalid schema for function '{name}': {why}.",
            f"{where}.parameters",
            "invalid_function_parameters",
        )
    if function.get("strict"):
        check_strict(parameters, f"function '{name}'", f"{where}.parameters", "invalid_function_parameters")


def check_format(described: Json, param: str) -> None:
    """The JSON Schema of a structured answer."""
    name = required(described, "name", f"{param}.name", str)
    check_name(name, f"{param}.name")
    schema = required(described, "schema", f"{param}.schema", dict)
    if described.get("strict"):
        check_strict(schema, f"response_format '{name}'", f"{param}.schema", None)


def check_strict(schema: Any, owner: str, param: str, code: str | None) -> None:
    for problem in _strict_problems(schema, ()):
        raise Refused(f"Invalid schema for {owner}: {problem}", param, code)


def _strict_problems(schema: Any, context: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    where = f"In context={context}"
    for keyword in STRICT_REFUSES:
        if keyword in schema:
            yield f"{where}, '{keyword}' is not permitted."
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            yield f"{where}, 'additionalProperties' is required to be supplied and to be false."
        for name in schema.get("properties", {}):
            if name not in schema.get("required", []):
                yield (
                    f"{where}, 'required' is required to be supplied and to be an array including every key "
                    f"in properties. Missing '{name}'."
                )
    for group in ("properties", "$defs"):
        for name, inner in schema.get(group, {}).items():
            yield from _strict_problems(inner, (*context, group, name))
    for index, inner in enumerate(schema.get("anyOf", [])):
        yield from _strict_problems(inner, (*context, "anyOf", str(index)))
    yield from _strict_problems(schema.get("items"), (*context, "items"))
