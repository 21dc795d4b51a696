"""Composes and runs a worker: `python worker.py`. Stops on SIGTERM and SIGINT, after what is in flight has ended."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig

import catalog
from activities.cancel import cancel
from activities.carry import carry
from activities.definitions import CatalogError, DefinitionActivities
from activities.model_call import ModelActivities
from activities.notify import NotifyActivities
from activities.preview import PreviewActivities
from activities.providers import providers_for
from activities.providers.base import Provider
from activities.providers.offline import MODEL as OFFLINE_MODEL
from activities.telemetry import CallTelemetry
from activities.tool_call import ToolActivities, tool_shutdown_seconds
from activities.tools import Tool, tool_table
from activities.watchdog import LoopWatchdog
from activities.webhook import Webhook
from agents.agent import Agent, ModelApi
from runtime.connection import CannotReachTemporal, Connection, connect
from runtime.logging import configure_logging
from runtime.rules_file import RulesError, checked_rulebook
from runtime.search_attributes import SearchAttributesMissing, ensure_search_attributes
from runtime.settings import Settings, SettingsError, load_settings
from runtime.telemetry import configure_telemetry
from workflows.agent import AgentWorkflow
from workflows.options import HEARTBEAT_THROTTLE, STICKY_TIMEOUT, WORKFLOW_TASKS

log = structlog.get_logger()

DEPLOYMENT = "agents"
"""Name of the worker deployment, where AGENT_BUILD_ID turns versioning on."""

BUILD = "unversioned"
"""Build id where versioning is off. The SDK's own is a hash over all loaded code: 0.2 s at start, and 116 bytes of
history each turn."""


@asynccontextmanager
async def running_worker(
    client: Client,
    settings: Settings,
    *,
    agents: Sequence[Agent] = catalog.AGENTS,
    tools: Sequence[Tool] | None = None,
) -> AsyncIterator[Worker]:
    """A worker that polls while the block runs; at its end calls in flight may finish, and connections are closed.

    Args:
        client: Connected to the server it works for.
        settings: The process's settings.
        agents: By default those of the catalog.
        tools: By default those of the catalog.

    Raises:
        CatalogError: An agent names a tool that is not there.
        RulesError: The rules file or an agent's own rules have mistakes.
    """
    providers = providers_for(
        api_key=None if settings.model_is_offline else settings.model_api_key,
        base_url=settings.openai_base_url,
        offline_seconds=settings.agent_offline_seconds,
    )
    table = tool_table(*(catalog.tools(settings) if tools is None else tools))
    try:
        async with _worker(client, settings, agents, table, providers) as worker:
            yield worker
    finally:
        for provider in providers.values():
            await provider.aclose()


def _worker(
    client: Client,
    settings: Settings,
    agents: Sequence[Agent],
    tools: Mapping[str, Tool],
    providers: Mapping[ModelApi, Provider],
) -> Worker:
    telemetry = CallTelemetry(show_prompts=settings.agent_log_prompts, model_server=settings.openai_base_url)
    models = ModelActivities(providers, telemetry=telemetry)
    specs = {name: tool.spec for name, tool in tools.items()}
    rulebook = checked_rulebook(settings.agent_rules, agents, specs, datetime.now(UTC))
    definitions = DefinitionActivities(
        {agent.name: agent for agent in agents},
        specs,
        model=OFFLINE_MODEL if settings.model_is_offline else settings.agent_model,
        api="offline" if settings.model_is_offline else settings.agent_model_api,
        remember=models.remember,
        rulebook=rulebook,
        notifies=settings.agent_notify_url is not None,
    )
    url = settings.agent_notify_url
    notices = NotifyActivities(None if url is None else Webhook(url, settings.agent_notify_secret))
    return Worker(
        client,
        task_queue=settings.agent_task_queue,
        workflows=[AgentWorkflow],
        activities=[
            definitions.resolve,
            models.model,
            carry,
            cancel,
            notices.notify,
            PreviewActivities(tools).preview,
            ToolActivities(tools, telemetry, rulebook).call_tool,
        ],
        max_concurrent_workflow_tasks=WORKFLOW_TASKS,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        graceful_shutdown_timeout=timedelta(seconds=tool_shutdown_seconds(tools.values())),
        build_id=BUILD if settings.agent_build_id is None else None,
        deployment_config=_deployment(settings),
    )


def _deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    if settings.agent_build_id is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(DEPLOYMENT, settings.agent_build_id),
        use_worker_versioning=True,
        # A run that waits for weeks moves to the new build with its next task; replay tests guard that.
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


async def run_worker(connection: Connection, settings: Settings) -> None:
    """Poll until SIGTERM or SIGINT, then let what is in flight end within its bounds."""
    await ensure_search_attributes(connection.client)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with running_worker(connection.client, settings), LoopWatchdog():
        log.info(
            "worker ready",
            task_queue=settings.agent_task_queue,
            address=connection.address,
            namespace=connection.namespace,
            ui=connection.ui_url,
            model=OFFLINE_MODEL if settings.model_is_offline else settings.agent_model,
            rules=settings.agent_rules and str(settings.agent_rules),
        )
        await stop.wait()
        log.info("worker drains")
    log.info("worker stopped")


async def main() -> int:
    """Run a worker until it is told to stop. The exit code is 2 for bad settings, 4 for no server."""
    if len(sys.argv) > 1:
        sys.stderr.write("worker.py takes no arguments; .env.example names the variables that it reads\n")
        return 2
    try:
        settings = load_settings()
        configure_logging(settings)
        with closing(configure_telemetry()) as telemetry:
            connection = await connect(
                settings, start_embedded=True, plugins=telemetry.plugins, runtime=telemetry.runtime
            )
            await run_worker(connection, settings)
    except (SettingsError, CatalogError, RulesError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (CannotReachTemporal, SearchAttributesMissing) as error:
        sys.stderr.write(f"{error}\n")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
