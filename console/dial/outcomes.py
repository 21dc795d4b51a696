"""What may become of a tool's calls, whatever their arguments: for rules that look at them."""

from dataclasses import dataclass
from datetime import datetime

from agents.agent import ToolSpec
from agents.effect import Dial
from agents.rules import Rule, RuleSet
from agents.ruling import Ruling, rule_on
from console.dial.terms import terms_text

SAYS = {"allow": "goes ahead", "ask": "asks", "refuse": "is refused"}


@dataclass(frozen=True)
class Otherwise:
    """Another ruling, and the rule whose condition then holds."""

    rule: Rule
    ruling: Ruling

    def __str__(self) -> str:
        return f"where {self.rule.when} (rule {self.rule.name!r}), it {ruling_text(self.ruling)}"


def outcomes(spec: ToolSpec, dial: Dial, rules: RuleSet, now: datetime) -> tuple[Ruling, list[Otherwise]]:
    """The ruling while no rule's condition holds, and the others that one condition alone brings about.

    More than one at a time bring about nothing new: the strictest of them decides alone as well.
    """
    looking = [rule for rule in rules.rules if rule.when is not None and _speaks_of(rule, spec.name)]
    base = _with(None, spec, dial, rules, now)
    others = [Otherwise(rule, _with(rule, spec, dial, rules, now)) for rule in looking]
    return base, [other for other in others if ruling_text(other.ruling) != ruling_text(base)]


def ruling_text(ruling: Ruling) -> str:
    """What becomes of the call, and whom it asks or under which override."""
    asks = f" {terms_text(ruling.terms)}" if ruling.says == "ask" else ""
    under = f" under override {ruling.override!r}" if ruling.override else ""
    return f"{SAYS[ruling.says]}{asks}{under}"


def _speaks_of(rule: Rule, tool: str) -> bool:
    return tool in rule.tools or "*" in rule.tools


def _with(holding: Rule | None, spec: ToolSpec, dial: Dial, rules: RuleSet, now: datetime) -> Ruling:
    chosen = tuple(
        rule.model_copy(update={"when": None}) for rule in rules.rules if rule.when is None or rule is holding
    )
    return rule_on(spec, dial, rules.model_copy(update={"rules": chosen}), {}, now)
