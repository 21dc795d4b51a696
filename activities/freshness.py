"""Whether what a call was let pass under still holds, looked at again right before it is sent.

Imports `agents` and `activities`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from activities.preview import previewed
from activities.tool_failure import NotPreviewed, StaleCall
from activities.tools import Tool
from agents.agent import ToolSpec
from agents.arguments import parsed
from agents.effect import EffectClass
from agents.preview import Approved, Preview, Stale
from agents.rulebook import Rulebook
from agents.rules import RuleSet
from agents.ruling import Ruling, rule_on
from agents.tool_call import ToolInput

WORLD_CHANGED = "what the call would do has changed since it was approved"


@dataclass(frozen=True)
class Freshness:
    """Compares today with what a call's input says."""

    rulebook: Rulebook | None
    """None: no rules hold today."""

    async def check(
        self, given: ToolInput, tool: Tool, effect: EffectClass, arguments: dict[str, Any], seconds: float
    ) -> None:
        """Let the call pass if nothing has changed for it.

        Args:
            given: The call's input. Without `approved` nothing was decided on it, and nothing is compared.
            tool: As it is today.
            effect: The stricter of today's and the one that the run knows.
            arguments: As the tool's function takes them.
            seconds: Longest time.

        Raises:
            StaleCall: It would do something else now, or the rules of today say otherwise.
            NotPreviewed: That cannot be told.
        """
        approved = given.approved
        if approved is None:
            return
        preview = None if approved.preview is None else await _again(tool, arguments, seconds)
        rules = RuleSet() if self.rulebook is None else self.rulebook.for_agent(approved.agent)
        now = datetime.now(UTC)
        ruling = rule_on(_spec(tool, effect), approved.dial, rules, parsed(given.arguments), now)
        if why := "; ".join([*_changes(approved, preview, ruling), *_gone(approved, rules)]):
            other = None if rules.version == approved.rules else rules
            raise StaleCall(Stale(why=why, ruling=ruling, preview=preview, rules=other))


def _changes(approved: Approved, preview: Preview | None, ruling: Ruling) -> list[str]:
    changes = []
    if preview is not None and preview.digest != approved.preview:
        changes.append(WORLD_CHANGED)
    if ruling.says == "refuse":
        changes.append(f"the rules of today refuse it: {ruling.reason}")
    elif ruling.says == "ask" and ruling.digest != approved.ruling:
        changes.append(f"by the rules of today it asks on other terms: {ruling.reason}")
    return changes


def _gone(approved: Approved, rules: RuleSet) -> list[str]:
    """Who approved it and may decide nothing any more, where the rules say who may."""
    if not rules.people:
        return []
    known = {name for name, person in rules.people.items() if person.key or not rules.signed}
    return [f"{name}, who approved it, may not decide any more" for name in approved.by if name not in known]


async def _again(tool: Tool, arguments: dict[str, Any], seconds: float) -> Preview:
    try:
        return await previewed(tool, arguments, seconds)
    except Exception as error:  # a preview may raise anything; whatever it is, nothing was sent
        raise NotPreviewed(error) from error


def _spec(tool: Tool, effect: EffectClass) -> ToolSpec:
    """The tool as it is today, and at least as strict as the run knows it."""
    today = tool.spec.effect
    if effect is today.effect_class:
        return tool.spec
    strict = today.model_copy(update={"writes": True, "idempotent": effect is EffectClass.IDEMPOTENT})
    return tool.spec.model_copy(update={"effect": strict})
