"""The Compose stack, read without an engine: its form, what it keeps secret, what waits for what, how it scales."""

import json
import os
import re
import secrets
import subprocess
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from runtime.server import RETENTION
from runtime.server_flags import PRODUCTION_DYNAMIC_CONFIG
from runtime.server_process import temporal_binary
from tests.house import House

ROOT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKER = SERVICES["worker"]
SECRET = re.compile(r"PASSWORD|PWD|SECRET|TOKEN|API_KEY")
# A whole value taken from the environment, without a fallback: ${NAME} or ${NAME:?what to do}.
FROM_ENVIRONMENT = re.compile(r"\$\{[A-Z_]+(:\?[^}]+)?\}")
EXACT_TAG = re.compile(r"[^\s:]+:\d+\.\d+(\.\d+)?(-[a-z0-9.]+)*")


def seconds(duration: str) -> float:
    """A Compose duration such as `90s` or `1m`, in seconds."""
    number, unit = re.fullmatch(r"(\d+)([sm])", duration).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def test_the_file_is_valid_by_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests/fixtures/compose-spec.json").read_text())

    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_every_image_is_pinned_to_an_exact_tag() -> None:
    pulled = [service["image"] for service in SERVICES.values() if "build" not in service]
    based_on = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert [image for image in pulled + based_on if not EXACT_TAG.fullmatch(image)] == []


def test_the_schema_is_set_up_by_the_tools_of_the_servers_own_version() -> None:
    server = SERVICES["temporal"]["image"].removeprefix("temporalio/server:")
    tools = {
        SERVICES[name]["image"].removeprefix("temporalio/admin-tools:") for name in ("schema", "namespace")
    }

    assert {server} == tools


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_written_down_and_none_has_a_fallback(name: str) -> None:
    secrets = {
        key: value for key, value in SERVICES[name].get("environment", {}).items() if SECRET.search(key)
    }

    assert {key: v for key, v in secrets.items() if v is not None and not FROM_ENVIRONMENT.fullmatch(v)} == {}


def test_a_missing_database_password_stops_compose_with_what_to_do() -> None:
    given = [
        value
        for service in SERVICES.values()
        for key, value in service.get("environment", {}).items()
        if value and "POSTGRES_PASSWORD" in str(value)
    ]

    assert given == ["${POSTGRES_PASSWORD:?set it in .env}"] * 3


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_or_says_why_it_has_none(name: str) -> None:
    service = SERVICES[name]

    assert ("healthcheck" in service) != bool(service.get("x-no-healthcheck"))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_until_what_it_needs_is_healthy_or_has_finished(name: str) -> None:
    waits_for = {needed: how["condition"] for needed, how in SERVICES[name].get("depends_on", {}).items()}
    expected = {
        needed: "service_healthy" if "healthcheck" in SERVICES[needed] else "service_completed_successfully"
        for needed in waits_for
    }

    assert expected == waits_for


def test_workers_can_be_scaled() -> None:
    assert not {"container_name", "hostname", "ports"} & WORKER.keys()


async def test_a_worker_is_killed_only_after_it_has_had_time_to_drain(house: House) -> None:
    async with house.worker() as worker:
        drain = worker.config()["graceful_shutdown_timeout"]

    assert seconds(WORKER["stop_grace_period"]) > drain.total_seconds()


def test_a_worker_needs_no_privilege_and_writes_to_its_workspace_only() -> None:
    image = (ROOT / "Dockerfile").read_text()

    assert re.search(r"^USER agent$", image, re.MULTILINE)
    assert True is WORKER["read_only"]
    assert WORKER["cap_drop"] == ["ALL"]
    writable = [each for each in WORKER["volumes"] if isinstance(each, str) or not each["read_only"]]
    assert writable == ["workspace:/workspace"]


def test_a_worker_is_told_to_stop_by_the_signal_itself() -> None:
    command = re.search(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert json.loads(command.group(1)) == ["python", "worker.py"]


def test_only_the_server_and_its_set_up_reach_the_database() -> None:
    reach = {name for name, service in SERVICES.items() if "database" in service["networks"]}

    assert {"postgresql", "schema", "temporal"} == reach
    assert "ports" not in SERVICES["postgresql"]


def test_ports_are_published_on_this_machine_only_unless_asked_otherwise() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert [port for port in ports if not port.startswith("${PUBLISH_ADDRESS:-127.0.0.1}:")] == []


def test_everything_but_telemetry_starts_without_a_profile() -> None:
    assert {n: s["profiles"] for n, s in SERVICES.items() if "profiles" in s} == {"telemetry": ["telemetry"]}


def test_the_image_holds_the_product_and_nothing_else() -> None:
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    product = {*mypy["packages"], *(f"{module}.py" for module in mypy["modules"])} - {"benchmarks"}
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]

    assert rules[0] == "*"
    assert product | {"pyproject.toml"} == {rule.removeprefix("!") for rule in rules if rule.startswith("!")}


def test_the_server_is_tuned_like_the_embedded_one() -> None:
    written = yaml.safe_load((ROOT / "deploy/temporal/dynamicconfig.yaml").read_text())

    assert {key: entries[0]["value"] for key, entries in written.items()} == PRODUCTION_DYNAMIC_CONFIG
    assert [key for key, entries in written.items() if len(entries) != 1] == []


def create_namespace(client: Client, name: str, retention: str) -> None:
    """Run the script of the `namespace` service as its container does."""
    environment = {
        "PATH": f"{Path(temporal_binary()).parent}{os.pathsep}{os.environ['PATH']}",
        "TEMPORAL_ADDRESS": client.service_client.config.target_host,
        "TEMPORAL_NAMESPACE": name,
        "TEMPORAL_RETENTION": retention,
    }
    script = ROOT / "deploy/temporal/create-namespace.sh"
    subprocess.run(["sh", str(script)], env=environment, check=True, capture_output=True, timeout=30)


async def retention_of(client: Client, name: str) -> timedelta:
    answer = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=name))
    return answer.config.workflow_execution_retention_ttl.ToTimedelta()


async def test_the_namespace_keeps_closed_runs_as_long_as_the_embedded_server(
    temporal: WorkflowEnvironment,
) -> None:
    name = f"n-{secrets.token_hex(6)}"

    create_namespace(temporal.client, name, SERVICES["namespace"]["environment"]["TEMPORAL_RETENTION"])

    assert await retention_of(temporal.client, name) == RETENTION


async def test_starting_the_stack_again_keeps_the_namespace_and_takes_a_new_retention(
    temporal: WorkflowEnvironment,
) -> None:
    name = f"n-{secrets.token_hex(6)}"

    create_namespace(temporal.client, name, "90d")
    create_namespace(temporal.client, name, "30d")

    assert await retention_of(temporal.client, name) == timedelta(days=30)
