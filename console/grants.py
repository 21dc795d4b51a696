"""An approval for the rest of a run, as a person gives it: so many calls, for so long, on such conditions."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from agents.gate import Grant
from agents.rules import Comparison
from console.edit import value_of
from console.exits import Exit, Trouble

COMPARISONS: tuple[str, ...] = get_args(Comparison)
_SIGNS = "|".join(sorted((c for c in COMPARISONS if not c[0].isalpha()), key=len, reverse=True))
_WORDS = "|".join(c.replace(" ", r"\s+") for c in COMPARISONS if c[0].isalpha())
CONDITION = re.compile(rf"([\w.-]+?)(?:\s*({_SIGNS})\s*|\s+({_WORDS})\s+)(\S.*)", re.DOTALL)
OPTIONS = {"calls": "--for-run", "lasts": "--lasts"}


def grant(
    calls: int | None, lasts: str | None, when: Sequence[str], arguments: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The fields of a grant; None where none is given.

    Args:
        calls: Further calls that it lets pass.
        lasts: `30m`, `4h`, `2d`.
        when: Conditions that must all hold of their arguments, each `FIELD COMPARISON VALUE`.
        arguments: Those of the call at the gate: they tell whether a value is a text.

    Raises:
        Trouble: Half of one is given, or something has the wrong form.
    """
    if calls is None:
        if lasts is not None or when:
            raise Trouble("--lasts and --when belong to --for-run N.", Exit.USAGE)
        return None
    if lasts is None:
        raise Trouble(
            "--for-run needs --lasts, such as 4h: an approval for more than one call ends.", Exit.USAGE
        )
    given: dict[str, Any] = {"calls": calls, "lasts": lasts}
    if when:
        conditions = [condition(text, arguments) for text in when]
        given["when"] = conditions[0] if len(conditions) == 1 else {"all": conditions}
    try:
        return Grant.model_validate(given).model_dump(mode="json", by_alias=True, exclude_unset=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        option = OPTIONS.get(str(first["loc"][0]), "--when")
        raise Trouble(f"{option}: {first['msg']}", Exit.USAGE) from error


def condition(text: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """One comparison, such as `amount <= 100`, `to ends with @example.com` or `city in ["Rome", "Oslo"]`.

    Raises:
        Trouble: It is none.
    """
    found = CONDITION.fullmatch(text.strip())
    if found is None:
        known = ", ".join(COMPARISONS)
        raise Trouble(
            f"--when {text!r}: write FIELD COMPARISON VALUE, such as 'amount <= 100'; comparisons: {known}",
            Exit.USAGE,
        )
    field, sign, word, value = found.groups()
    comparison = sign or " ".join(word.split())
    return {"field": field, "is": comparison, "value": _value(field, comparison, value, arguments)}


def _value(field: str, comparison: str, text: str, arguments: Mapping[str, Any]) -> Any:
    if comparison in {"in", "not in"}:
        try:
            return json.loads(text)
        except ValueError as error:
            raise Trouble(f"--when: {comparison} needs a JSON list; got {text!r}", Exit.USAGE) from error
    present: Any = arguments
    for name in [field] if field in arguments else field.split("."):
        present = present.get(name) if isinstance(present, dict) else None
    return value_of(field, text, None if isinstance(present, list | dict) else present)
