"""The verdict on one call: effect, dial, rules and arguments in, and what becomes of it, with the reason in words.

| rules that match | the call |
| --- | --- |
| one says `refuse` | is never made |
| one says `ask`, or has terms and neither verdict nor dial | asks |
| some set a dial | goes by the most careful of those dials, in place of the run's |
| one says `allow` | goes ahead; a grave call only under an override that has not expired |
| none | goes by the run's dial |

The first row that fits decides, whatever the order of the rules. The terms are those of the first rule in the set that
matches and has any. A comparison that cannot be made (the argument is missing, or is of another type) counts as true
for a rule that makes things stricter, and as false for one that loosens them.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from pydantic import BaseModel, ConfigDict

from agents import bounds
from agents.agent import ToolSpec
from agents.canonical import digest
from agents.comparing import compared
from agents.effect import Dial, Says, verdict
from agents.rules import Condition, Override, Rule, RuleSet, Terms

CAREFUL = (Dial.PROPOSE, Dial.SUPERVISED, Dial.AUTONOMOUS)
"""The most careful first."""

WHEN_CHARS = 300
"""Length of the condition in a reason: a list to compare with may be long."""


class Ruling(BaseModel):
    """What the rules say of one call."""

    model_config = ConfigDict(frozen=True)

    says: Says
    reason: str
    dial: Dial
    """The one that it went by."""
    rules: tuple[str, ...] = ()
    """Names of the rules that match."""
    rule: str | None = None
    """The one that decided; None: the dial did."""
    terms: Terms = Terms()
    override: str | None = None
    """Name of the override under which a grave call goes ahead."""

    @cached_property
    def digest(self) -> str:
        """16 hex digits over what an approval depends on: the verdict and the terms, not their wording."""
        terms = self.terms.model_dump(mode="json", exclude={"remind"}, exclude_defaults=True)
        return digest({"says": self.says, "rule": self.rule, "terms": terms})[:16]


def rule_on(
    spec: ToolSpec, dial: Dial, rules: RuleSet, arguments: Mapping[str, Any], now: datetime
) -> Ruling:
    """The ruling on a call.

    Args:
        spec: The tool, with its effect.
        dial: The run's dial.
        rules: Those of the call's agent.
        arguments: The call's arguments.
        now: For the expiry of overrides.
    """
    matching = _matching(spec, dial, rules, arguments)
    went_by = _most_careful(matching, dial)
    ruled = partial(
        Ruling,
        dial=went_by,
        rules=tuple(rule.name for rule in matching),
        terms=next((rule.terms for rule in matching if rule.terms), rules.default),
    )
    return _by_rule(ruled, spec, matching, arguments, now) or _by_dial(ruled, spec, dial, matching, arguments)


def holds(condition: Condition | None, arguments: Mapping[str, Any]) -> bool | None:
    """Whether the condition holds of these arguments; None where that cannot be said."""
    if condition is None:
        return True
    if condition.all is not None:
        told = [holds(part, arguments) for part in condition.all]
        return False if False in told else None if None in told else True
    if condition.any is not None:
        told = [holds(part, arguments) for part in condition.any]
        return True if True in told else None if None in told else False
    assert condition.field is not None
    assert condition.comparison is not None
    return compared(arguments, condition.field, condition.comparison, condition.value)


def fields_of(condition: Condition) -> tuple[str, ...]:
    """The arguments that a condition looks at."""
    if condition.field is not None:
        return (condition.field,)
    return tuple(
        name for part in (*(condition.all or ()), *(condition.any or ())) for name in fields_of(part)
    )


def _by_rule(
    ruled: Callable[..., Ruling],
    spec: ToolSpec,
    matching: Sequence[Rule],
    arguments: Mapping[str, Any],
    now: datetime,
) -> Ruling | None:
    for says in ("refuse", "ask"):
        if rule := next((rule for rule in matching if _says(rule) == says), None):
            return ruled(says=says, reason=_because(rule, arguments), rule=rule.name)
    if spec.asks_person:
        return ruled(says="ask", reason="the agent asks")
    for rule in _allowing(matching):
        reason = _because(rule, arguments)
        if not spec.effect.grave:
            return ruled(says="allow", reason=reason, rule=rule.name)
        if rule.override and now < rule.override.until:
            reason += f", under {_named(rule.override)}: {rule.override.reason}"
            return ruled(says="allow", reason=reason, rule=rule.name, override=rule.override.name)
    return None


def _by_dial(
    ruled: Callable[..., Ruling],
    spec: ToolSpec,
    dial: Dial,
    matching: Sequence[Rule],
    arguments: Mapping[str, Any],
) -> Ruling:
    went_by = _most_careful(matching, dial)
    by_dial = verdict(spec.effect, went_by)
    reason = by_dial.reason + "".join(_lapsed(rule) for rule in _allowing(matching))
    if by_dial == verdict(spec.effect, dial):
        return ruled(says=by_dial.says, reason=reason)
    setting = next(rule for rule in matching if rule.dial == went_by)
    return ruled(says=by_dial.says, reason=f"{_because(setting, arguments)}; {reason}", rule=setting.name)


def _matching(spec: ToolSpec, dial: Dial, rules: RuleSet, arguments: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules that count for a call: those whose condition holds, and the strict ones where nobody can say."""
    told = [
        (rule, holds(rule.when, arguments))
        for rule in rules.rules
        if spec.name in rule.tools or "*" in rule.tools
    ]
    limit = _most_careful([rule for rule, held in told if held], dial)
    return tuple(rule for rule, held in told if held or (held is None and _is_stricter(rule, limit)))


def _most_careful(rules: Sequence[Rule], dial: Dial) -> Dial:
    """The most careful of the dials that these rules set; where none does, this one."""
    return min((rule.dial for rule in rules if rule.dial), key=CAREFUL.index, default=dial)


def _allowing(matching: Sequence[Rule]) -> list[Rule]:
    """The rules that let a call pass: none where one sets a dial, which comes before them."""
    return [] if any(rule.dial for rule in matching) else [r for r in matching if r.verdict == "allow"]


def _is_stricter(rule: Rule, dial: Dial) -> bool:
    if rule.dial is not None:
        return CAREFUL.index(rule.dial) <= CAREFUL.index(dial)
    return rule.verdict != "allow"


def _says(rule: Rule) -> Says | None:
    """What the rule says of a call by itself; None: it leaves that to a dial."""
    return rule.verdict or (None if rule.dial else "ask")


def _because(rule: Rule, arguments: Mapping[str, Any]) -> str:
    why = "every call" if rule.when is None else bounds.clip(_what_matched(rule.when, arguments), WHEN_CHARS)
    return f"rule {rule.name!r}: {why}"


def _what_matched(condition: Condition, arguments: Mapping[str, Any]) -> str:
    """The part of a condition for which it counts, or that which cannot be told."""
    if condition.all is not None:
        return " and ".join(_part(part, arguments) for part in condition.all)
    held = holds(condition, arguments)
    if condition.any is not None:
        return " or ".join(_part(part, arguments) for part in condition.any if holds(part, arguments) is held)
    return str(condition) if held is not None else f"{condition} cannot be told"


def _part(condition: Condition, arguments: Mapping[str, Any]) -> str:
    text = _what_matched(condition, arguments)
    return text if condition.field else f"({text})"


def _lapsed(rule: Rule) -> str:
    if rule.override is None:
        return f"; rule {rule.name!r} would let it go ahead, but has no override"
    return f"; rule {rule.name!r} would let it go ahead, but {_named(rule.override)} has expired"


def _named(override: Override) -> str:
    until = override.until.astimezone(UTC)
    return f"override {override.name!r} of {override.by} until {until:%Y-%m-%d %H:%M} UTC"
