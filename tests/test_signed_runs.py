"""Where the rules hold keys, an unsigned or wrongly signed decision changes nothing, through whichever door it comes."""

import base64
import json
import subprocess
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.client import WorkflowHandle

from activities.tools import Tool, tool
from agents.agent import Agent
from agents.effect import Effect
from agents.gate import Decision
from agents.rules import Person, RuleSet
from agents.signing import signed_text
from console.signing import public_key
from runtime.server_process import temporal_binary
from tests.fake_openai import calls, says
from tests.house import House, status, until

Handle = WorkflowHandle[Any, Any]
ANN, BOB = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PEOPLE = {
    "ann": Person(key=public_key(ANN)),
    "bob": Person(key=public_key(BOB)),
    "cay": Person(),
}
PAYER = Agent(name="payer", instructions="pay", tools=("pay",), rules=RuleSet(people=PEOPLE))


@pytest.fixture
def pay() -> Tool:
    @tool(Effect(writes=True, idempotent=False, reversible=False, risk="high"), timeout_seconds=20)
    async def pay(amount: int) -> str:
        """Pay an amount."""
        return f"paid {amount}"

    return pay


def with_signature(key: Ed25519PrivateKey, run: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    text = signed_text(run, Decision.model_validate({**body, "kind": kind}))
    return {**body, "signature": base64.b64encode(key.sign(text)).decode()}


async def by_update(run: Handle, name: str, body: dict[str, Any]) -> bool:
    receipt = await run.execute_update(name, body)
    return bool(receipt["accepted"])


def by_cli(house: House, run: Handle, name: str, body: dict[str, Any]) -> None:
    address = house.client.service_client.config.target_host
    words = ["workflow", "signal", "--address", address, "--workflow-id", run.id, "--name", name]
    subprocess.run(
        [str(temporal_binary()), *words, "--input", json.dumps(body)],
        check=True,
        capture_output=True,
        timeout=30,
    )


async def test_only_the_signature_of_the_person_that_is_named_counts_through_every_door(
    house: House, pay: Tool
) -> None:
    house.fake.script([calls(("pay", {"amount": 1}), ("pay", {"amount": 2})), says("done")])
    async with house.worker(pay, agents=(PAYER,)):
        run = await house.start(agent="payer")
        first, second = (await until(run, lambda shown: len(shown.waiting) == 2)).waiting
        one = {"gate": first.gate, "digest": first.digest, "by": "ann"}
        two = {"gate": second.gate, "digest": second.digest, "by": "ann"}
        refused = {
            "unsigned": one,
            "garbage": {**one, "signature": "AAAA"},
            "of another person": with_signature(BOB, run.id, "approve", one),
            "in another person's name": {**with_signature(ANN, run.id, "approve", one), "by": "bob"},
            "for another run": with_signature(ANN, f"{run.id}-2", "approve", one),
            "for another gate": {
                **one,
                "signature": with_signature(ANN, run.id, "approve", two)["signature"],
            },
            "for another answer": {
                **one,
                "signature": with_signature(ANN, run.id, "deny", {**one, "reason": "no"})["signature"],
            },
            "of somebody without a key": with_signature(ANN, run.id, "approve", {**one, "by": "cay"}),
            "of somebody unknown": with_signature(ANN, run.id, "approve", {**one, "by": "eve"}),
        }
        for body in refused.values():
            assert not await by_update(run, "approve", body)
            assert not await by_update(run, "decide", {**body, "kind": "approve"})
            await run.signal("approve", body)
            await run.signal("decide", {**body, "kind": "approve"})
        by_cli(house, run, "approve", one)
        count = 4 * len(refused) + 1
        shown = await until(run, lambda shown: shown.rejected_total == count)
        assert len(shown.waiting) == 2
        assert {each.message for each in shown.rejected} == {"approve", "decide"}

        by_cli(house, run, "approve", with_signature(ANN, run.id, "approve", one))
        assert await by_update(
            run, "decide", {**with_signature(ANN, run.id, "approve", two), "kind": "approve"}
        )
        await run.result()
        assert (await status(run)).rejected_total == count
    assert house.fake.requests[1].raw.decode().count("paid ") == 2
