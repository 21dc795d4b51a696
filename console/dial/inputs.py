"""What the dial's commands look at: the agents, tools and rules that a worker started here would have. Needs no server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agents.agent import Agent, ToolSpec
from agents.effect import Dial
from agents.rules import Rule, RuleSet
from console.exits import Exit, Trouble
from runtime.rules_file import checked_rulebook
from runtime.settings import Settings, load_settings

Rules = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A rules file; otherwise that of AGENT_RULES.", show_default=False),
]


@dataclass(frozen=True)
class Installed:
    """What a worker has."""

    agents: Sequence[Agent]
    tools: Mapping[str, ToolSpec]


ReadCatalog = Callable[[Settings], Installed]


@dataclass(frozen=True)
class Inputs:
    """What decides on the calls of one agent."""

    agent: Agent
    specs: tuple[ToolSpec, ...]
    """Its tools."""
    rules: RuleSet
    """Those of the file and its own."""
    file: Path | None
    now: datetime

    def source(self, rule: Rule) -> str:
        """Where a rule stands."""
        return "the agent's own" if rule in self.agent.rules.rules else str(self.file)


def inputs_of(read_catalog: ReadCatalog, agent: str, file: Path | None) -> Inputs:
    """The inputs for an agent's calls.

    Args:
        read_catalog: Reads what is installed.
        agent: Its name.
        file: The rules file; None: that of the settings, where they name one.

    Raises:
        Trouble: There is no such agent.
        RulesError: The rules have mistakes.
        SettingsError: A setting cannot be used.
    """
    settings = load_settings()
    installed = read_catalog(settings)
    file = file or settings.agent_rules
    now = datetime.now(UTC)
    found = {each.name: each for each in installed.agents}.get(agent)
    if found is None:
        known = ", ".join(sorted(each.name for each in installed.agents))
        raise Trouble(f"There is no agent {agent!r}; installed: {known}.", Exit.USAGE)
    lacking = [name for name in found.tools if name not in installed.tools]
    if lacking:
        raise Trouble(f"Agent {agent!r} names tools that catalog.py does not list: {', '.join(lacking)}.")
    rulebook = checked_rulebook(file, installed.agents, installed.tools, now)
    specs = tuple(installed.tools[name] for name in found.tools)
    return Inputs(found, specs, rulebook.for_agent(agent), file, now)


def chosen_dial(dial: Dial | None, agent: Agent) -> tuple[Dial, str]:
    """The dial to rule by, and whose it is."""
    return (agent.dial, "the agent's") if dial is None else (dial, "as --dial says")
