"""Who imports whom, and that the rules and the workflow stay deterministic: held here, since the sandbox shares them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agents", "activities", "workflows", "runtime", "console", "examples", "benchmarks")
MAY_IMPORT = {
    "agents": set(),
    "activities": {"agents"},
    "workflows": {"agents"},
    "runtime": {"agents"},
    "console": {"agents", "runtime", "workflows"},
}
OUTSIDE = {
    "agents": {"pydantic", "pydantic_core", "rfc8785", "jsonschema", "referencing", "cryptography"},
    "workflows": {"pydantic", "pydantic_core", "temporalio"},
}
NOT_DETERMINISTIC = {
    "open", "input", "time", "random", "secrets", "uuid", "os", "socket", "subprocess", "threading", "pathlib",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
}  # fmt: skip


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Top-level names of everything that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package: str) -> None:
    ours = {*PACKAGES, "catalog", "worker", "starter"}
    allowed = {package, *MAY_IMPORT[package]}
    wrong = {path.name: imports(path) & ours - allowed for path in sources(package)}

    assert {name: found for name, found in wrong.items() if found} == {}


@pytest.mark.parametrize("package", OUTSIDE)
def test_rules_and_workflows_import_little_from_outside(package: str) -> None:
    allowed = {*sys.stdlib_module_names, *OUTSIDE[package], "agents", "workflows"}
    wrong = {path.name: imports(path) - allowed for path in sources(package)}

    assert {name: found for name, found in wrong.items() if found} == {}


@pytest.mark.parametrize("package", ["agents", "workflows"])
def test_rules_and_workflows_use_no_clock_no_chance_and_no_files(package: str) -> None:
    used = {
        (path.name, ast.unparse(node.func))
        for path in sources(package)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and (
            ast.unparse(node.func) in NOT_DETERMINISTIC
            or ast.unparse(node.func).split(".")[0] in NOT_DETERMINISTIC
        )
    }

    assert used == set()


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_rules_load_without_the_outside_world() -> None:
    assert loaded_by("agents.loop, agents.deciding, agents.carry, agents.details").isdisjoint(
        {"temporalio", "openai", "httpx2", "structlog", "opentelemetry"}
    )


def test_the_workflow_loads_without_a_model_client() -> None:
    assert loaded_by("workflows.agent").isdisjoint({"openai", "httpx2", "structlog", "activities", "runtime"})


def test_examples_are_known_to_the_catalog_only() -> None:
    files = [path for package in PACKAGES if package != "examples" for path in sources(package)]
    files += [ROOT / "worker.py", ROOT / "starter.py"]

    assert [path.name for path in files if "examples" in imports(path)] == []
