"""The rules of today: those of the rules file and those of the agents, put together for each agent."""

from collections.abc import Mapping

from agents.agent import Agent
from agents.rules import RuleSet


class Rulebook:
    """Which rules hold for the runs of which agent.

    Args:
        rules: Those of the rules file.
        agents: Those that are installed, by name, with their own rules.
    """

    def __init__(self, rules: RuleSet, agents: Mapping[str, Agent]) -> None:
        self._rules = rules
        self._agents = agents
        self._known: dict[str, RuleSet] = {}

    def for_agent(self, name: str) -> RuleSet:
        """The rules for the runs of an agent; for one that is not installed, what the file says.

        Raises:
            ValidationError: File and agent do not go together; `agents.rule_check` finds that when a worker starts.
        """
        if name not in self._known:
            agent = self._agents.get(name)
            self._known[name] = merged(self._rules, agent.rules if agent else RuleSet(), name)
        return self._known[name]


def merged(file: RuleSet, own: RuleSet, agent: str) -> RuleSet:
    """The file's rules first, then the agent's own; where both name a person or the default, the file's word holds.

    Raises:
        ValidationError: They do not go together.
    """
    return RuleSet(
        rules=tuple(rule for rule in (*file.rules, *own.rules) if not rule.agents or agent in rule.agents),
        people={**own.people, **file.people},
        default=file.default if "default" in file.model_fields_set else own.default,
    )
