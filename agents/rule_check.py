"""What is wrong with rules where they meet the agents, tools and people there are: found before they are used."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from agents.agent import Agent, ToolSpec
from agents.condition_check import Loc, condition_mistakes
from agents.rulebook import merged
from agents.rules import Person, Rule, RuleSet, Terms


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, in words."""

    agent: str | None
    """Whose own rules it is in; None: in those of the rules file."""
    loc: Loc
    text: str


def rule_mistakes(
    file: RuleSet, agents: Sequence[Agent], tools: Mapping[str, ToolSpec], now: datetime
) -> list[Mistake]:
    """All that is wrong with the rules of the file and of the agents, each thing once.

    Args:
        file: The rules of the rules file.
        agents: Those that are installed.
        tools: Those that are installed, by name.
        now: For the expiry of overrides.
    """
    checks = [_Check(None, file, agents, tools, now, [merged_people(file, agent) for agent in agents])]
    checks += [_Check(a.name, a.rules, [a], tools, now, [merged_people(file, a)]) for a in agents]
    found = [mistake for check in checks for mistake in check.mistakes()]
    found += [mistake for agent in agents for mistake in _clashes(file, agent)]
    return list(dict.fromkeys(found))


def merged_people(file: RuleSet, agent: Agent) -> Mapping[str, Person]:
    """The people of both."""
    return {**agent.rules.people, **file.people}


def _clashes(file: RuleSet, agent: Agent) -> Iterator[Mistake]:
    try:
        merged(file, agent.rules, agent.name)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=False):
            text = each["msg"].removeprefix("Value error, ")
            yield Mistake(agent.name, (), f"together with the rules file: {text}")


@dataclass(frozen=True)
class _Check:
    """One rule set, held against what there is."""

    owner: str | None
    rules: RuleSet
    agents: Sequence[Agent]
    """For which it may hold."""
    tools: Mapping[str, ToolSpec]
    now: datetime
    people: Sequence[Mapping[str, Person]]
    """Those who decide for each of the agents."""

    def mistakes(self) -> Iterator[Mistake]:
        for index, rule in enumerate(self.rules.rules):
            for loc, text in self._of_rule(rule):
                yield Mistake(self.owner, ("rules", index, *loc), text)
        for people in self.people or [self.rules.people]:
            for loc, text in _of_terms(self.rules.default, people):
                yield Mistake(self.owner, ("default", *loc), text)

    def _of_rule(self, rule: Rule) -> Iterator[tuple[Loc, str]]:
        known = [agent.name for agent in self.agents]
        yield from _unknown("agents", "agent", rule.agents, known)
        yield from _unknown("tools", "tool", rule.tools, [*self.tools, "*"])
        tools = self._tools(rule)
        yield from condition_mistakes(rule, tools)
        yield from self._of_override(rule, tools)
        if rule.terms is not None:
            for agent, people in zip(self.agents, self.people, strict=True):
                if not rule.agents or agent.name in rule.agents:
                    for loc, text in _of_terms(rule.terms, people):
                        yield ("terms", *loc), text

    def _of_override(self, rule: Rule, tools: Sequence[ToolSpec]) -> Iterator[tuple[Loc, str]]:
        grave = [f"{spec.name} ({spec.effect})" for spec in tools if spec.effect.grave]
        if rule.verdict == "allow" and rule.override is None and grave:
            yield (
                ("verdict",),
                f"it lets {', '.join(grave)} go ahead without a person, which takes an override: "
                "who answers for it (name, by), the reason, and until when",
            )
        if rule.override is not None and rule.override.until <= self.now:
            until = rule.override.until.astimezone(UTC)
            yield (
                ("override", "until"),
                f"override {rule.override.name!r} of {rule.override.by} has expired ({until:%Y-%m-%d %H:%M} UTC): "
                "have it renewed, or take the rule out",
            )

    def _tools(self, rule: Rule) -> list[ToolSpec]:
        """The tools that the rule speaks of; with `*`, all of the agents for which it holds."""
        names = list(rule.tools)
        if "*" in names:
            for agent in self.agents:
                names += agent.tools if not rule.agents or agent.name in rule.agents else ()
        return [self.tools[name] for name in dict.fromkeys(names) if name in self.tools]


def _unknown(field: str, what: str, names: Sequence[str], known: Iterable[str]) -> Iterator[tuple[Loc, str]]:
    there_are = ", ".join(sorted(set(known) - {"*"})) or "none"
    for index, name in enumerate(names):
        if name not in known:
            yield (field, index), f"there is no {what} {name!r}; there is: {there_are}"


def _of_terms(terms: Terms, people: Mapping[str, Person]) -> Iterator[tuple[Loc, str]]:
    if not people:
        return
    places: list[tuple[Loc, str]] = [
        (("approvers", index), name) for index, name in enumerate(terms.approvers)
    ]
    places += [
        (("escalate", step, "to", index), name)
        for step, rung in enumerate(terms.escalate)
        for index, name in enumerate(rung.to)
    ]
    could: set[str] = set()
    for loc, name in places:
        found = _called(name, people)
        if not found:
            yield loc, f"{name!r} is nobody under people, and no role that anybody there has"
        could |= found
    could = could if terms.approvers else set(people)
    signed = any(person.key for person in people.values())
    able = {name for name in could if not signed or people[name].key}
    if len(able) < terms.needed and could:
        who = ", ".join(sorted(able)) or "nobody"
        why = "; the others have no key" if able != could else ""
        yield ("needed",), f"it takes {terms.needed}, and those who could decide are: {who}{why}"


def _called(name: str, people: Mapping[str, Person]) -> set[str]:
    """The person of that name, or those with that role."""
    return {person for person, about in people.items() if name == person or name in about.roles}
