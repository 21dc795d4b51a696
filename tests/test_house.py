"""The house files keep their word: variables, make targets and continuous integration agree with the code."""

import ast
import os
import re
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path

import yaml

from runtime.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENV_EXAMPLE = (ROOT / ".env.example").read_text().splitlines()
# `#NAME=` is a variable to uncomment, `# words` is prose.
VARIABLE = re.compile(r"#([A-Z][A-Z0-9_]*)=(.*)")
VARIABLES = {match.group(1) for line in ENV_EXAMPLE if (match := VARIABLE.fullmatch(line))}
COMPOSE = (ROOT / "docker-compose.yml").read_text()
# Set for this stack whatever .env says, or of no use in a container.
NOT_PASSED_TO_WORKERS = {
    "AGENT_HOME",
    "AGENT_SIGNING_KEY",
    "TEMPORAL_API_KEY",
    "TEMPORAL_CONFIG_FILE",
    "TEMPORAL_PROFILE",
}


def settings_variables() -> set[str]:
    """The names that the settings object reads, as they are in the environment."""
    return {name.upper() for name in Settings.model_fields}


def variables_named_in_code() -> set[str]:
    """Environment variables that the product reads, or tells people to set."""
    mypy = PROJECT["tool"]["mypy"]
    files = [ROOT / f"{module}.py" for module in mypy["modules"]]
    files += [file for package in mypy["packages"] for file in (ROOT / package).rglob("*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    # A whole family, as in TEMPORAL_TLS*, is not a variable.
    variable = re.compile(r"\b(?:AGENT|OPENAI|TEMPORAL|OTEL)_[A-Z0-9_]*[A-Z0-9]\b(?!\*)")
    return {name for text in texts for name in variable.findall(text)}


def make_targets() -> set[str]:
    listed = subprocess.run(
        ["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=30
    )
    return set(re.findall(r"^  make ([a-z-]+)", listed.stdout, re.MULTILINE))


def test_the_example_environment_names_every_setting() -> None:
    assert set() == settings_variables() - VARIABLES


def test_the_example_environment_names_every_variable_in_the_code() -> None:
    assert set() == variables_named_in_code() - VARIABLES


def test_the_example_environment_names_every_variable_of_the_compose_file() -> None:
    assert set() == set(re.findall(r"\$\{([A-Z_]+)", COMPOSE)) - VARIABLES


def test_the_example_environment_sets_nothing() -> None:
    assert [line for line in ENV_EXAMPLE if line and not line.startswith("#")] == []


def test_each_variable_of_the_example_environment_is_explained_right_above_it() -> None:
    unexplained = [
        line for above, line in pairwise(ENV_EXAMPLE) if VARIABLE.fullmatch(line) and above[:2] != "# "
    ]

    assert unexplained == []


def test_every_setting_reaches_the_workers_of_the_compose_stack() -> None:
    passed = set(yaml.safe_load(COMPOSE)["services"]["worker"]["environment"])

    assert set() == settings_variables() - passed - NOT_PASSED_TO_WORKERS


def test_make_lists_the_targets_that_people_rely_on() -> None:
    assert make_targets() >= {"help", "demo", "test", "lint", "bench", "worker", "record", "clean"}


def test_every_make_target_that_a_document_names_exists() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    # In running text within backticks, in a code block at the start of a line.
    command = re.compile(r"`make ([a-z-]+)|^make ([a-z-]+)(?=\s*(?:$|#|[A-Z]+=))", re.MULTILINE)
    named = {inline or block for file in documents for inline, block in command.findall(file.read_text())}

    assert set() == named - make_targets()


def test_continuous_integration_runs_all_checks_on_every_supported_python() -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["checks"]
    first, last = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["project"]["requires-python"]).groups()

    assert [f"3.{minor}" for minor in range(int(first), int(last))] == job["strategy"]["matrix"]["python"]
    assert ".ci/run" in [step.get("run") for step in job["steps"]]


def test_the_checks_of_continuous_integration_are_lint_and_test() -> None:
    script = ROOT / ".ci/run"

    assert os.access(script, os.X_OK)
    assert [line for line in script.read_text().splitlines() if line[:5] == "make "] == [
        "make lint",
        "make test",
    ]
