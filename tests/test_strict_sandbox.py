"""The workflow runs outside Temporal's sandbox, for speed. Here the sandbox watches it, over every recorded run."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from tests.record_histories import HISTORIES
from tests.strict import StrictAgentWorkflow, WithAClock

NATIVE = ("pydantic", "pydantic_core", "rfc8785", "referencing", "rpds", "jsonschema", "cryptography")
"""What cannot be loaded twice, and what is not ours. Nothing of ours is here."""

FILES = sorted(HISTORIES.rglob("*.json"))


async def replay(agent_workflow: type, file: Path) -> None:
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*NATIVE)
    replayer = Replayer(
        workflows=[agent_workflow],
        data_converter=pydantic_data_converter,
        workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions),
    )
    await replayer.replay_workflow(WorkflowHistory.from_json(file.stem.partition(".")[0], file.read_text()))


async def test_the_sandbox_finds_nothing_that_is_not_deterministic() -> None:
    assert FILES
    for file in FILES:
        await replay(StrictAgentWorkflow, file)


async def test_a_clock_would_be_found() -> None:
    with pytest.raises(RuntimeError, match=r"Cannot access datetime\.datetime\.now"):
        await replay(WithAClock, FILES[0])
