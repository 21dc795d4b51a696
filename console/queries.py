"""Parts of the queries to visibility that listings and roll-ups share."""

from collections.abc import Iterable

from agents.ids import DEFAULT_TENANT, TENANT
from console.exits import Exit, Trouble
from console.session import WORKFLOW_TYPE

RUNS = f"WorkflowType = '{WORKFLOW_TYPE}'"
RUNNING = "ExecutionStatus = 'Running'"
OPEN = "ExecutionStatus IN ('Running', 'Paused')"
CLOSED = "ExecutionStatus NOT IN ('Running', 'Paused', 'ContinuedAsNew')"


def quoted(text: str) -> str:
    """A text in a query, with its quotes."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def one_of(name: str, values: Iterable[str]) -> str:
    """An attribute has one of these values, or, where it is a list, holds one."""
    return f"{name} IN ({', '.join(quoted(value) for value in values)})"


def known_tenant(tenant: str | None) -> str | None:
    """The tenant that a person named, if any.

    Raises:
        Trouble: It can be no tenant.
    """
    if tenant is not None and not TENANT.fullmatch(tenant):
        raise Trouble(f"--tenant {tenant!r}: use 1 to 40 of a-z, 0-9 and -", Exit.USAGE)
    return tenant


def tenant_parts(tenant: str | None) -> list[str]:
    """Only runs of this tenant; for the default tenant, `is_of` does the rest.

    By the id, which a run has before any worker has written its attributes.
    """
    shared = tenant in {None, DEFAULT_TENANT}
    return [] if shared else [f"WorkflowId STARTS_WITH {quoted(f'{tenant}/')}"]


def is_of(tenant: str | None, run: str) -> bool:
    """Whether the run is of this tenant; every run is, where none is named."""
    return tenant is None or tenant_of(run) == tenant


def tenant_of(run: str) -> str:
    """The tenant of a run, by its id."""
    tenant, slash, _ = run.partition("/")
    return tenant if slash else DEFAULT_TENANT


def where(*parts: str) -> str:
    """The query that all of these make."""
    return " AND ".join(parts)
