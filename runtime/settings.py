"""The one settings object, read from the environment and `.env` by `worker.py` and `starter.py` only.

Temporal's own variables are read by `temporalio.envconfig` (see `runtime.connection`), OpenTelemetry's by its SDK.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, cast

from dotenv import load_dotenv
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    StringConstraints,
    ValidationInfo,
)
from pydantic import ValidationError as PydanticValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.host_list import host_list

# The small model of OpenAI's current family: a first try costs a fraction of a cent, and both APIs serve it.
DEFAULT_MODEL = "gpt-6-luna"
# OpenAI's client insists on a key, compatible local servers ignore it.
KEYLESS_SERVER_KEY = "none"
# A shorter value may be an ordinary word, and blotting it out everywhere would make the logs unreadable.
MIN_SECRET_LENGTH = 6
# Slack's own webhooks: they check no signature, and their URL is the secret.
SLACK_HOSTS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
MIN_SIGNING_LENGTH = 16
SECRET_NAME = re.compile(
    # Who knows a webhook's URL can post to it: it is a secret as a key is.
    r"(^|_)(authorization|api_?key|key|token|secret|password|passwd|credentials?|headers|key_data|notify_url)$",
    re.IGNORECASE,
)
URL_USER = re.compile(r"//[^/\s]*@")


class SettingsError(Exception):
    """The environment holds a value that cannot be used; the text names each variable and what it must be."""


def _absolute_folder(path: Path) -> Path:
    path = path.expanduser().resolve()
    if path.exists() and not path.is_dir():
        raise ValueError("it is not a folder")
    return path


def _header_safe(key: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", key.get_secret_value()):
        raise ValueError("it holds spaces or characters that no HTTP header can carry")
    return key


def _http_url(url: str) -> str:
    if HttpUrl(url).username or HttpUrl(url).password:
        raise ValueError("it must not hold a user or password")
    return url.rstrip("/")


def _webhook_url(url: SecretStr) -> SecretStr:
    """In the one form in which the HTTP client would write it too, so that logs know it when they see it."""
    try:
        return SecretStr(str(HttpUrl(url.get_secret_value())))
    except ValueError:
        raise ValueError("it is no URL with http:// or https://") from None  # the error quotes it


def _webhook_secret(secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    url: SecretStr | None = info.data.get("agent_notify_url")
    if secret is None and url is not None and HttpUrl(url.get_secret_value()).host not in SLACK_HOSTS:
        raise ValueError("AGENT_NOTIFY_URL is not Slack's, so its receiver must be able to tell who posts")
    if secret is not None and len(secret.get_secret_value()) < MIN_SIGNING_LENGTH:
        raise ValueError(f"it has fewer than {MIN_SIGNING_LENGTH} characters")
    return secret


def _key_file(path: Path) -> Path:
    if "PRIVATE KEY" in str(path):
        raise ValueError("it holds the key itself")
    return path.expanduser()


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _strip_to_none(value: object) -> object:
    return _strip(value) or None


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


Folder = Annotated[Path, AfterValidator(_absolute_folder)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Settings(BaseSettings):
    """Every setting of the project; a field is the environment variable of the same name in upper case.

    The description of a field says what its value must be: it is what a person reads when it is not.
    """

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    openai_api_key: Annotated[
        SecretStr | None,
        BeforeValidator(_strip_to_none),
        AfterValidator(lambda key: key and _header_safe(key)),
    ] = Field(default=None, description="an API key in one piece, or empty for the offline stand-in model")
    openai_base_url: Annotated[
        str | None, BeforeValidator(_strip_to_none), AfterValidator(lambda url: url and _http_url(url))
    ] = Field(
        default=None,
        description="the URL of a compatible server, http(s) and without a user, as http://localhost:11434/v1",
    )
    agent_model: Name = Field(default=DEFAULT_MODEL, description="the name of a model that the server knows")
    agent_model_api: Annotated[Literal["responses", "chat"], BeforeValidator(_strip)] = Field(
        default="responses", description="'responses' or 'chat'"
    )
    agent_task_queue: Name = Field(default="agents", description="the name of a Temporal task queue")
    agent_workspace: Folder = Field(
        default=Path("workspace"),
        validate_default=True,
        description="the folder that file tools are confined to",
    )
    agent_rules: Annotated[Path, AfterValidator(Path.expanduser)] | None = Field(
        default=None, description="the path of a rules file, as rules.yaml"
    )
    agent_http_allow: Annotated[frozenset[str], NoDecode, BeforeValidator(host_list)] = Field(
        default=frozenset(),
        description="hosts or host:port that HTTP tools may reach besides public addresses, separated by commas, "
        "without scheme, path or wildcard, as localhost:8080,files.internal",
    )
    agent_notify_url: Annotated[
        SecretStr | None,
        BeforeValidator(_strip_to_none),
        AfterValidator(lambda url: url and _webhook_url(url)),
    ] = Field(default=None, description="the URL of a webhook that is told of gates, http(s)")
    agent_notify_secret: Annotated[
        SecretStr | None, BeforeValidator(_strip_to_none), AfterValidator(_webhook_secret)
    ] = Field(
        default=None,
        validate_default=True,
        description="a secret shared with the webhook's receiver, which signs what is posted, as `openssl rand -hex 32` "
        "makes one; Slack's own webhooks need none",
    )
    agent_signing_key: Annotated[Path, AfterValidator(_key_file)] | None = Field(
        default=None, description="the path of the private key that signs your decisions"
    )
    agent_home: Folder = Field(
        default=Path(".temporal"),
        validate_default=True,
        description="the folder of the embedded server's data",
    )
    agent_log_prompts: bool = Field(default=False, description="true to put prompt text into logs, or false")
    agent_log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR"
    )
    agent_build_id: Name | None = Field(
        default=None, description="the build of this worker's code, which turns worker versioning on"
    )
    agent_offline_seconds: float = Field(
        default=0.5,
        ge=0,
        allow_inf_nan=False,
        description="seconds (0 or more) that the offline model thinks",
    )

    @property
    def model_is_offline(self) -> bool:
        """Whether the offline stand-in plays the model: no key, and no server that may need none."""
        return self.openai_api_key is None and self.openai_base_url is None

    @property
    def model_api_key(self) -> str:
        """The key to send to the model server; a placeholder where none is set."""
        return KEYLESS_SERVER_KEY if self.openai_api_key is None else self.openai_api_key.get_secret_value()


def load_settings() -> Settings:
    """Read the settings of this process.

    A `.env` in the current folder is put into the environment first, where it replaces nothing. So it may
    hold Temporal's and OpenTelemetry's variables too, and reaches the processes that this one starts.

    Raises:
        SettingsError: A value cannot be used. The text names variable, value (never of a secret) and remedy.
    """
    try:
        load_dotenv(Path(".env"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The file .env cannot be read: {error}.") from error
    try:
        return Settings()
    except PydanticValidationError as error:
        raise SettingsError("\n".join(_complaint(detail) for detail in error.errors())) from None


def _complaint(detail: ErrorDetails) -> str:
    field = str(detail["loc"][0])
    variable, expected = field.upper(), Settings.model_fields[field].description
    reason = str(detail.get("ctx", {}).get("error", ""))
    complaint = f"{variable} is {_shown(variable)}{f' ({reason})' if reason else ''}. It must be {expected}."
    return URL_USER.sub("//***@", complaint)


def _shown(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        return "not set"
    return "a secret that is not shown" if SECRET_NAME.search(variable) else repr(value)


def secret_values(settings: Settings) -> frozenset[str]:
    """What must never be shown: the settings' secrets, and every variable whose name says that it is one.

    The second part covers Temporal's key, OpenTelemetry's headers and whatever tools are given.
    """
    fields = cast("dict[str, object]", dict(settings))
    own = {field.get_secret_value() for field in fields.values() if isinstance(field, SecretStr)}
    others = {value.strip() for name, value in os.environ.items() if SECRET_NAME.search(name)}
    return frozenset(value for value in own | others if len(value) >= MIN_SECRET_LENGTH)
