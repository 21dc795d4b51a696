"""What a function says of itself: the arguments it takes, as a JSON schema and as a check.

Imports the standard library and pydantic.
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

Function = Callable[..., Any]


class ToolMistake(TypeError):
    """A tool that cannot be offered to a model; the text names the function, the parameter and the remedy."""


def check_preview(preview: Function, function: Function) -> None:
    """Hold the preview of a tool to the arguments of its function.

    Raises:
        ToolMistake: It does not take the same ones, by name.
    """
    wanted = [name for name in inspect.signature(function).parameters if name != "context"]
    taken = inspect.signature(preview).parameters.values()
    by_name = [each.name for each in taken if each.kind in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}]
    if sorted(by_name) != sorted(wanted) or len(by_name) != len(taken):
        raise ToolMistake(
            f"tool {function.__name__}: its preview takes ({', '.join(map(str, taken))}); it is called by name with the "
            f"tool's own arguments, so let it take exactly ({', '.join(wanted)})"
        )


class Signature:
    """The arguments of a function, all passed by name.

    Args:
        function: Plain or async.
        context: Type of the keyword `context`, which is not the caller's to give.

    Raises:
        ToolMistake: A parameter has no type, or one that has no JSON schema, or cannot be passed by name.
    """

    def __init__(self, function: Function, context: type) -> None:
        self._name = function.__name__
        self._hints = self._type_hints(function)
        parameters = inspect.signature(function).parameters.values()
        self.takes_context = any(self._is_context(parameter, context) for parameter in parameters)
        fields = [self._field(parameter) for parameter in parameters if parameter.name != "context"]
        arguments = dataclasses.make_dataclass(
            self._name,
            fields,
            kw_only=True,
            namespace={"__pydantic_config__": ConfigDict(extra="forbid")},
        )
        self._arguments: TypeAdapter[Any] = TypeAdapter(arguments)
        self.schema = _without_titles(self._arguments.json_schema())

    def arguments(self, text: str) -> dict[str, Any]:
        """The arguments in a JSON text, as the function takes them.

        Raises:
            ValueError: They do not fit; the text says each reason.
        """
        try:
            return dict(vars(self._arguments.validate_json(text)))
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False, include_context=False)
            ]
            raise ValueError("; ".join(problems)) from None

    def _type_hints(self, function: Function) -> dict[str, Any]:
        try:
            return typing.get_type_hints(function, include_extras=True)
        except NameError as error:
            raise ToolMistake(
                f"tool {self._name}: the type {error.name!r} is not known where the module begins: "
                "define or import it at module level"
            ) from error

    def _is_context(self, parameter: inspect.Parameter, context: type) -> bool:
        named, typed = parameter.name == "context", self._hints.get(parameter.name) is context
        if named != typed:
            raise self._mistake(
                parameter, f"'context' and the type {context.__name__} belong together; use both or neither"
            )
        if named and parameter.kind is not parameter.KEYWORD_ONLY:
            raise self._mistake(parameter, "write it after a '*': it is passed by name")
        return named

    def _field(self, parameter: inspect.Parameter) -> tuple[str, Any, Any]:
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            raise self._mistake(
                parameter, "a model must be told each argument; name them instead of '*' or '**'"
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise self._mistake(parameter, "it cannot be passed by name; take away the '/'")
        if parameter.name not in self._hints:
            raise self._mistake(parameter, "it has no type; annotate it")
        annotation = self._hints[parameter.name]
        try:
            TypeAdapter(annotation).json_schema()
        except PydanticUserError as error:
            raise self._mistake(parameter, f"its type has no JSON schema: {error.message}") from error
        return parameter.name, annotation, _default(parameter)

    def _mistake(self, parameter: inspect.Parameter, why: str) -> ToolMistake:
        return ToolMistake(f"tool {self._name}, parameter {parameter.name!r}: {why}")


def _default(parameter: inspect.Parameter) -> Any:
    if parameter.default is parameter.empty:
        return dataclasses.field()
    if isinstance(parameter.default, list | dict | set):
        return dataclasses.field(default_factory=parameter.default.copy)
    return dataclasses.field(default=parameter.default)


def _without_titles(schema: Any) -> Any:
    """Without pydantic's titles: they repeat each name, and the model pays for every word."""
    match schema:
        case dict():
            return {
                key: {name: _without_titles(value) for name, value in value.items()}
                if key in {"properties", "$defs"}
                else _without_titles(value)
                for key, value in schema.items()
                if key != "title"
            }
        case list():
            return [_without_titles(item) for item in schema]
        case _:
            return schema
