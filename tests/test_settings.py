"""One settings object: what the environment says, checked at once, with messages that a person can act on."""

import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from runtime.settings import DEFAULT_MODEL, Settings, SettingsError, load_settings, secret_values
from tests.embedded import environment


@pytest.fixture(autouse=True)
def empty_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with environment():
        yield


def test_with_an_empty_environment_everything_has_a_default(tmp_path: Path) -> None:
    settings = load_settings()

    assert settings.model_dump() == {
        "openai_api_key": None,
        "openai_base_url": None,
        "agent_model": DEFAULT_MODEL,
        "agent_model_api": "responses",
        "agent_task_queue": "agents",
        "agent_workspace": tmp_path / "workspace",
        "agent_rules": None,
        "agent_http_allow": frozenset(),
        "agent_notify_url": None,
        "agent_notify_secret": None,
        "agent_signing_key": None,
        "agent_home": tmp_path / ".temporal",
        "agent_log_prompts": False,
        "agent_log_level": "INFO",
        "agent_build_id": None,
        "agent_offline_seconds": 0.5,
    }


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_settings()
    for field in Settings.model_fields:
        monkeypatch.setenv(field.upper(), "")

    assert load_settings() == expected


def test_every_variable_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "OPENAI_API_KEY": " sk-test-key\n",
        "OPENAI_BASE_URL": "http://localhost:11434/v1/",
        "AGENT_MODEL": "local-model",
        "AGENT_MODEL_API": "chat",
        "AGENT_TASK_QUEUE": "other",
        "AGENT_WORKSPACE": "work/../files",
        "AGENT_RULES": str(tmp_path / "rules.yaml"),
        "AGENT_HTTP_ALLOW": "localhost:8080",
        "AGENT_NOTIFY_URL": " HTTPS://Example.org:443/hook\n",
        "AGENT_NOTIFY_SECRET": "0123456789abcdef",
        "AGENT_SIGNING_KEY": str(tmp_path / "ann.pem"),
        "AGENT_HOME": str(tmp_path / "home"),
        "AGENT_LOG_PROMPTS": "true",
        "AGENT_LOG_LEVEL": "debug",
        "AGENT_BUILD_ID": "v7",
        "AGENT_OFFLINE_SECONDS": "0",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    settings = load_settings()

    assert set(values) == {field.upper() for field in Settings.model_fields}
    assert settings.model_api_key == "sk-test-key"
    assert settings.model_dump(exclude={"openai_api_key"}) == {
        "openai_base_url": "http://localhost:11434/v1",
        "agent_model": "local-model",
        "agent_model_api": "chat",
        "agent_task_queue": "other",
        "agent_workspace": tmp_path / "files",
        "agent_rules": tmp_path / "rules.yaml",
        "agent_http_allow": frozenset({"localhost:8080"}),
        "agent_notify_url": SecretStr("https://example.org/hook"),
        "agent_notify_secret": SecretStr("0123456789abcdef"),
        "agent_signing_key": tmp_path / "ann.pem",
        "agent_home": tmp_path / "home",
        "agent_log_prompts": True,
        "agent_log_level": "DEBUG",
        "agent_build_id": "v7",
        "agent_offline_seconds": 0.0,
    }


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("OPENAI_BASE_URL", "localhost:8000", "http(s)"),
        ("OPENAI_BASE_URL", "ftp://example.org", "http(s)"),
        ("AGENT_MODEL_API", "completions", "'responses' or 'chat'"),
        ("AGENT_MODEL", "   ", "the name of a model"),
        ("AGENT_HTTP_ALLOW", "localhost,http://example.org", "without scheme"),
        ("AGENT_HTTP_ALLOW", "example.org/path", "without scheme, path"),
        ("AGENT_HTTP_ALLOW", "*.example.org", "wildcard"),
        ("AGENT_HTTP_ALLOW", "two words", "separated by commas"),
        ("AGENT_HTTP_ALLOW", "localhost:0", "no such port"),
        ("AGENT_HTTP_ALLOW", "localhost:65536", "no such port"),
        ("AGENT_LOG_PROMPTS", "perhaps", "true"),
        ("AGENT_LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING or ERROR"),
        ("AGENT_OFFLINE_SECONDS", "-1", "0 or more"),
        ("AGENT_OFFLINE_SECONDS", "inf", "seconds"),
        ("AGENT_WORKSPACE", os.devnull, "not a folder"),
    ],
)
def test_a_bad_value_is_refused_by_variable_value_and_remedy(
    variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as refused:
        load_settings()

    assert str(refused.value).startswith(f"{variable} is {value!r}")
    assert expected in str(refused.value)


def test_all_bad_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_MODEL_API", "x")
    monkeypatch.setenv("AGENT_LOG_LEVEL", "y")

    with pytest.raises(SettingsError) as refused:
        load_settings()

    assert [line.split()[0] for line in str(refused.value).splitlines()] == [
        "AGENT_MODEL_API",
        "AGENT_LOG_LEVEL",
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPENAI_API_KEY", "hunter2 hunter2"),
        ("OPENAI_API_KEY", "hunter2é"),
        ("OPENAI_BASE_URL", "http://me:hunter2@example.org"),
        ("AGENT_HTTP_ALLOW", "http://me:hunter2@example.org"),
        ("AGENT_NOTIFY_URL", "hooks.slack.com/services/hunter2"),
        ("AGENT_NOTIFY_URL", "ftp://example.org/hunter2"),
        ("AGENT_NOTIFY_SECRET", "hunter2"),
        ("AGENT_SIGNING_KEY", "-----BEGIN PRIVATE KEY-----hunter2"),
    ],
)
def test_a_bad_secret_is_named_but_never_shown(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=variable) as refused:
        load_settings()

    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "url", ["https://example.org/hook", "https://hooks.slack.com.example.org/services/T/B/X"]
)
def test_a_webhook_that_is_not_slacks_needs_a_secret(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_NOTIFY_URL", url)

    with pytest.raises(SettingsError) as refused:
        load_settings()

    assert str(refused.value).startswith("AGENT_NOTIFY_SECRET is not set (AGENT_NOTIFY_URL is not Slack's")
    assert "openssl rand" in str(refused.value)


def test_slacks_own_webhook_needs_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_NOTIFY_URL", "https://hooks.slack.com/services/T/B/X")

    assert load_settings().agent_notify_secret is None


def test_the_url_of_a_webhook_is_kept_out_of_logs_as_it_was_given_and_as_it_is_requested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENT_NOTIFY_URL", "HTTPS://Hooks.slack.com:443/services/T/B/X")

    assert secret_values(load_settings()) >= {
        "HTTPS://Hooks.slack.com:443/services/T/B/X",
        "https://hooks.slack.com/services/T/B/X",
    }


def test_secrets_do_not_show_when_the_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2hunter2")

    assert "hunter2" not in repr(load_settings())


@pytest.mark.parametrize(
    ("written", "entry"),
    [
        ("Files.Example.ORG.", "files.example.org"),
        ("localhost:08080", "localhost:8080"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "[::1]"),
        ("[0:0::1]:9000", "[::1]:9000"),
        ("my_service:80", "my_service:80"),
    ],
)
def test_allowed_hosts_have_one_form(written: str, entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_HTTP_ALLOW", f" {written} ,, other ")

    assert load_settings().agent_http_allow == {entry, "other"}


def test_a_dotenv_file_fills_in_what_the_environment_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(
        "AGENT_MODEL=from-file\nAGENT_TASK_QUEUE=from-file\nOPENAI_API_KEY=from-file\n"
    )
    monkeypatch.setenv("AGENT_TASK_QUEUE", "from-environment")
    monkeypatch.setenv("OPENAI_API_KEY", "")

    settings = load_settings()

    assert settings.agent_model == "from-file"
    assert settings.agent_task_queue == "from-environment"
    assert settings.model_is_offline


def test_a_dotenv_file_may_hold_temporals_variables_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TEMPORAL_ADDRESS=temporal.internal:7233\n")

    load_settings()

    assert os.environ["TEMPORAL_ADDRESS"] == "temporal.internal:7233"


def test_a_dotenv_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"AGENT_MODEL=\xff\xfe")

    with pytest.raises(SettingsError, match=r"\.env"):
        load_settings()


@pytest.mark.parametrize(
    ("key", "url", "offline", "sent"),
    [
        ("", "", True, "none"),
        ("sk-test-key", "", False, "sk-test-key"),
        ("", "http://localhost:1", False, "none"),
        ("sk-test-key", "http://localhost:1", False, "sk-test-key"),
    ],
)
def test_the_model_is_offline_only_without_key_and_server(
    key: str, url: str, offline: bool, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    monkeypatch.setenv("OPENAI_BASE_URL", url)

    settings = load_settings()

    assert (settings.model_is_offline, settings.model_api_key) == (offline, sent)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().agent_model = "other"  # type: ignore[misc]


def test_secrets_are_the_key_and_whatever_a_variable_calls_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with environment(
        OPENAI_API_KEY="first-secret",
        TEMPORAL_API_KEY="second-secret",
        BILLING_TOKEN="third-secret",
        DB_PASSWORD="short",
        AGENT_MODEL="no-secret",
    ):
        found = secret_values(load_settings())

    assert {"first-secret", "second-secret", "third-secret"} <= found
    assert found.isdisjoint({"short", "no-secret"})
