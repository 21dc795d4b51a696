"""The one list of agents and tools that are installed. Read by `worker.py`, and by `starter.py` for `dial`.

Add a tool or an agent by one line here; take one out by deleting its line.
"""

from activities.toolbox.files import file_tools
from activities.toolbox.http import http_tools
from activities.toolbox.person import ask_human
from activities.tools import Tool
from agents.agent import Agent
from agents.assistant import ASSISTANT
from runtime.settings import Settings

AGENTS: tuple[Agent, ...] = (ASSISTANT,)


def tools(settings: Settings) -> tuple[Tool, ...]:
    """The tools of this worker."""
    return (
        *file_tools(settings.agent_workspace),
        *http_tools(settings.agent_http_allow),
        ask_human,
    )
