"""Resolving an agent's name to the snapshot that its run keeps."""

from collections.abc import Callable, Mapping

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from agents.agent import DEFINITION_VERSION, Agent, Definition, ModelApi, ToolSpec
from agents.model_call import ResolveInput
from agents.rulebook import Rulebook

DEPLOY_ATTEMPTS = 4
"""Attempts, 1.4 s together, before an agent counts as unknown: in the middle of a deploy another worker may know it."""


class CatalogError(ValueError):
    """The catalog does not fit together; the message names the agent, the tool and the remedy."""


def check_catalog(agents: Mapping[str, Agent], tools: Mapping[str, ToolSpec]) -> None:
    """Refuse a catalog in which an agent names a tool that is not installed, or an output that is no JSON Schema.

    Raises:
        CatalogError: With the agent, what is wrong, and what there is instead.
    """
    for agent in agents.values():
        if agent.output is not None:
            try:
                Draft202012Validator.check_schema(agent.output)
            except SchemaError as error:
                raise CatalogError(
                    f"agent {agent.name!r}: output is no JSON Schema: {error.message}"
                ) from None
        for name in agent.tools:
            if name not in tools:
                known = ", ".join(sorted(tools)) or "none"
                raise CatalogError(
                    f"agent {agent.name!r} names tool {name!r}, which catalog.py does not list; listed: {known}"
                )


class DefinitionActivities:
    """Takes the snapshot of an agent: instructions, model, tools with their schemas and effects, rules."""

    def __init__(
        self,
        agents: Mapping[str, Agent],
        tools: Mapping[str, ToolSpec],
        *,
        model: str,
        api: ModelApi,
        remember: Callable[[Definition], None],
        rulebook: Rulebook,
        notifies: bool = False,
    ) -> None:
        check_catalog(agents, tools)
        self._agents = agents
        self._tools = tools
        self._model = model
        self._api = api
        self._remember = remember
        self._rulebook = rulebook
        self._notifies = notifies

    @activity.defn(name="agent.resolve")
    async def resolve(self, given: ResolveInput) -> Definition:
        """The snapshot of the agent of that name.

        Raises:
            ApplicationError: No such agent is installed on this worker.
        """
        agent = self._agents.get(given.agent)
        if agent is None:
            known = ", ".join(sorted(self._agents))
            raise ApplicationError(
                f"unknown agent {given.agent!r}; installed: {known} (a worker reads catalog.py when it starts)",
                type="UnknownAgent",
                non_retryable=activity.info().attempt >= DEPLOY_ATTEMPTS,
            )
        definition = Definition(
            agent=agent.name,
            instructions=agent.instructions,
            model=agent.model or self._model,
            api=self._api,
            tools=tuple(self._tools[name] for name in agent.tools),
            dial=agent.dial,
            output=agent.output,
            max_turns=agent.max_turns,
            max_output_tokens=agent.max_output_tokens,
            rules=self._rulebook.for_agent(agent.name),
            notifies=self._notifies,
            v=DEFINITION_VERSION,
        )
        self._remember(definition)
        return definition
