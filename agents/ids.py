"""The one parser of run ids, and the ids of calls and gates.

A run id is its Temporal workflow id. An id with a `/` begins with its tenant; ids of tenant `default` hold none.
A child's id is its parent's id, `~` and the step.
"""

import re
from dataclasses import dataclass

DEFAULT_TENANT = "default"
TENANT = re.compile(r"[a-z0-9-]{1,40}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,199}")


class BadId(ValueError):
    """A run id, tenant or call id that no run can have; the message says what is allowed."""


@dataclass(frozen=True)
class RunId:
    """A run's tenant and its name within that tenant."""

    tenant: str
    name: str

    def __str__(self) -> str:
        return self.name if self.tenant == DEFAULT_TENANT else f"{self.tenant}/{self.name}"


def run_id(tenant: str, name: str) -> RunId:
    """The id of a run of `tenant` called `name`; a name that already begins with `tenant/` is taken as it is.

    Raises:
        BadId: Either part has other characters than it may.
    """
    prefix, slash, rest = name.partition("/")
    if slash and prefix == tenant and tenant != DEFAULT_TENANT:
        name = rest
    if not TENANT.fullmatch(tenant):
        raise BadId(f"tenant {tenant!r}: use 1 to 40 of a-z, 0-9 and -")
    if not NAME.fullmatch(name):
        raise BadId(
            f"run id {name!r}: use 1 to 200 of A-Z, a-z, 0-9 and . _ ~ : - and begin with a letter or digit"
        )
    return RunId(tenant, name)


def parse_run_id(text: str) -> RunId:
    """Read a workflow id.

    Raises:
        BadId: It is not the id of a run.
    """
    tenant, slash, name = text.partition("/")
    if not slash:
        return run_id(DEFAULT_TENANT, text)
    if tenant == DEFAULT_TENANT:
        raise BadId(f"run id {text!r}: ids of tenant {DEFAULT_TENANT!r} have no '/'")
    return run_id(tenant, name)


def call_id(turn: int, number: int) -> str:
    """The id of a turn's n-th call, both counted from 1: `t3.c1`. Also its activity id and its gate's id."""
    return f"t{turn}.c{number}"


def model_gate_id(turn: int) -> str:
    """The id of a turn's model call, as activity and as gate: `t3.model`."""
    return f"t{turn}.model"


def model_call_id(turn: int, stops: int) -> str:
    """The activity id of a turn's model call: `t3.model`, and `t3.model.2` for the one after a cancelled one.

    The server takes no activity of an id that is still being cancelled.
    """
    return model_gate_id(turn) + (f".{stops + 1}" if stops else "")
