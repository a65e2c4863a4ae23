"""Settings: the only place that reads the environment (and ``.env``).

Every field is one variable of the same name in capitals; ``.env.example`` documents them all. What is wrong
ends the start with one line per field that says what to write.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from adapters.discord.limits import Shards
from core.catalog import Catalog
from core.errors import ConfigError

ENV_FILE = ".env"


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        if value and not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"does not begin with {' or '.join(f'{s}://' for s in schemes)}")
        return value

    return AfterValidator(check)


HttpUrl = Annotated[str, _url("https", "http")]
SocketUrl = Annotated[str, _url("wss", "ws")]
RedisUrl = Annotated[str, _url("redis", "rediss", "unix")]


class Settings(BaseSettings):
    """What the operator sets. Empty values count as not set."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE, extra="ignore", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    slack_bot_token: SecretStr | None = None
    slack_app_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_client_id: str = ""
    slack_client_secret: SecretStr | None = None
    encryption_key: SecretStr | None = None
    public_url: HttpUrl = ""
    slack_api_url: HttpUrl = "https://slack.com/api/"
    slack_connections: int = Field(default=2, ge=1, le=10)
    discord_bot_token: SecretStr | None = None
    discord_api_url: HttpUrl = "https://discord.com/api/v10"
    discord_gateway_url: SocketUrl = "wss://gateway.discord.gg/"
    discord_shards: str = ""
    discord_public_key: str = ""
    redis_url: RedisUrl = ""
    database_url: str = ""
    data_dir: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    worker_port: int | None = Field(default=None, ge=0, le=65535)
    consortium_config: Path | None = None
    openrouter_api_key: SecretStr | None = None
    run_concurrency: int = Field(default=64, ge=1, le=1000)
    start_patience: float = Field(default=30, ge=0, le=600)
    shutdown_grace: float = Field(default=20, ge=0, le=600)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_json: bool = False
    log_texts: bool = False
    otel_exporter_otlp_endpoint: HttpUrl = ""
    otel_exporter_otlp_headers: SecretStr | None = None

    @field_validator("slack_bot_token", "slack_app_token")
    @classmethod
    def _slack_prefix(cls, token: SecretStr | None, info: object) -> SecretStr | None:
        prefix = {"slack_bot_token": "xoxb-", "slack_app_token": "xapp-"}[getattr(info, "field_name", "")]
        if token and not token.get_secret_value().startswith(prefix):
            raise ValueError(f"does not begin with {prefix}")
        return token

    @field_validator("encryption_key")
    @classmethod
    def _is_key(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys and not all(map(_is_key, keys.get_secret_value().split(","))):
            raise ValueError("is no key")
        return keys

    @field_validator("redis_url")
    @classmethod
    def _names_a_number(cls, url: str) -> str:
        """The library takes any other name for database 0."""
        parts = urlsplit(url)
        if parts.scheme != "unix" and not re.fullmatch(r"/?|/\d+", parts.path):
            raise ValueError("names its database by something else than a number")
        return url

    @field_validator("public_url")
    @classmethod
    def _leads_here(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (not parts.hostname or parts.query or parts.fragment):
            raise ValueError("is no address of a service")
        if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost"):
            raise ValueError("does not begin with https://, without which Slack sends nobody back")
        return url.rstrip("/")

    @property
    def slack_for_many(self) -> bool:
        """Whether workspaces install the Slack app themselves."""
        return bool(self.slack_client_id)

    @model_validator(mode="after")
    def _slack_for_many_is_complete(self) -> Self:
        needed = {
            "SLACK_CLIENT_ID": self.slack_client_id,
            "SLACK_CLIENT_SECRET": self.slack_client_secret,
            "ENCRYPTION_KEY": self.encryption_key,
            "PUBLIC_URL": self.public_url,
        }
        begun = next((name for name in ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET") if needed[name]), None)
        if begun is None:
            return self
        if self.slack_bot_token:
            raise ValueError(f"SLACK_BOT_TOKEN: is for one workspace, and {begun} is for many; leave one of them out")
        for name, value in needed.items():
            if not value:
                raise ValueError(f"{name}: missing, though {begun} is set")
        if not (self.slack_app_token or self.slack_signing_secret):
            raise ValueError("SLACK_SIGNING_SECRET: missing, and so is SLACK_APP_TOKEN")
        return self

    @model_validator(mode="after")
    def _slack_is_complete(self) -> Self:
        if self.slack_for_many:
            return self
        if self.slack_bot_token and not (self.slack_app_token or self.slack_signing_secret):
            raise ValueError("SLACK_APP_TOKEN: missing, and so is SLACK_SIGNING_SECRET")
        if not self.slack_bot_token and (self.slack_app_token or self.slack_signing_secret):
            other = "SLACK_APP_TOKEN" if self.slack_app_token else "SLACK_SIGNING_SECRET"
            raise ValueError(f"SLACK_BOT_TOKEN: missing, though {other} is set")
        return self

    @field_validator("discord_shards")
    @classmethod
    def _names_shards(cls, text: str) -> str:
        return str(Shards.of(text)) if text else ""

    @field_validator("discord_public_key")
    @classmethod
    def _is_public_key(cls, text: str) -> str:
        if text and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
            raise ValueError("is no key, which has 64 hexadecimal digits")
        return text

    @model_validator(mode="after")
    def _discord_is_complete(self) -> Self:
        if not self.discord_bot_token and (self.discord_public_key or self.discord_shards):
            other = "DISCORD_PUBLIC_KEY" if self.discord_public_key else "DISCORD_SHARDS"
            raise ValueError(f"DISCORD_BOT_TOKEN: missing, though {other} is set")
        return self

    @property
    def hasty(self) -> Settings:
        """The same without a grace time: for a person at a terminal, who wants out on Ctrl-C."""
        return self.model_copy(update={"shutdown_grace": 0.0})

    @property
    def history_url(self) -> str:
        """Where history lives: DATABASE_URL, or an SQLite file in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / 'consortium.db'}"


WRITE = {
    "SLACK_BOT_TOKEN": "the Bot User OAuth Token of your Slack app, SLACK_BOT_TOKEN=xoxb-…",
    "SLACK_APP_TOKEN": "SLACK_APP_TOKEN=xapp-… for Socket Mode, or SLACK_SIGNING_SECRET=… for HTTP events",
    "SLACK_SIGNING_SECRET": "SLACK_SIGNING_SECRET=… for HTTP events, or SLACK_APP_TOKEN=xapp-… for Socket Mode",
    "SLACK_CLIENT_ID": "SLACK_CLIENT_ID=… from the app's page Basic Information, App Credentials",
    "SLACK_CLIENT_SECRET": "SLACK_CLIENT_SECRET=… from the app's page Basic Information, App Credentials",
    "ENCRYPTION_KEY": "what `consortium key` prints, ENCRYPTION_KEY=…; several keys are parted by commas, newest first",
    "PUBLIC_URL": "the address under which this service is reached, PUBLIC_URL=https://consortium.example",
    "SLACK_CONNECTIONS": "SLACK_CONNECTIONS=2, a number from 1 to 10",
    "SLACK_API_URL": "SLACK_API_URL=https://slack.com/api/, or leave it out",
    "DISCORD_API_URL": "DISCORD_API_URL=https://discord.com/api/v10, or leave it out",
    "DISCORD_GATEWAY_URL": "DISCORD_GATEWAY_URL=wss://gateway.discord.gg/, or leave it out",
    "DISCORD_BOT_TOKEN": "DISCORD_BOT_TOKEN=…, from the Bot page of your application",
    "DISCORD_SHARDS": "DISCORD_SHARDS=0-3/8, the first and the last that this process holds and how many there are, or "
    "leave it out",
    "DISCORD_PUBLIC_KEY": "DISCORD_PUBLIC_KEY=…, the Public Key on the General Information page of your application",
    "REDIS_URL": "REDIS_URL=redis://127.0.0.1:6379/0, or leave it out for an embedded server",
    "PORT": "PORT=8080, any number from 0 (any free port) to 65535",
    "WORKER_PORT": "WORKER_PORT=9090, any number from 0 (any free port) to 65535, or leave it out",
    "RUN_CONCURRENCY": "RUN_CONCURRENCY=64, a number from 1 to 1000",
    "START_PATIENCE": "START_PATIENCE=30, seconds from 0 to 600",
    "SHUTDOWN_GRACE": "SHUTDOWN_GRACE=20, seconds from 0 to 600",
    "LOG_LEVEL": "LOG_LEVEL=INFO, one of DEBUG, INFO, WARNING, ERROR",
    "LOG_JSON": "LOG_JSON=true or LOG_JSON=false",
    "LOG_TEXTS": "LOG_TEXTS=true or LOG_TEXTS=false",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318, or leave it out",
}
"""What to write, by variable; part of every complaint."""


def load_settings() -> Settings:
    """Read the environment. Raises ConfigError with a line for each wrong field."""
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigError("\n".join(_complaint(e["loc"], e["msg"]) for e in error.errors())) from None
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{ENV_FILE}: cannot be read; write it as UTF-8 text that this user may read") from None


def _complaint(loc: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ")
    name = str(loc[0]).upper() if loc else text.partition(":")[0]
    if loc:
        text = f"{name}: {text[0].lower() + text[1:]}"
    return f"{text}; write {WRITE[name]}" if name in WRITE else text


def provider_keys(catalog: Catalog) -> dict[str, SecretStr]:
    """The keys of the providers in the catalogue, by the name of their variable; only those that are set."""
    file = dotenv_values(ENV_FILE)
    names = {p.api_key_env for p in catalog.providers.values() if p.api_key_env}
    found = {name: os.environ.get(name) or file.get(name) for name in names}
    return {name: SecretStr(value) for name, value in found.items() if value}


def missing_keys(catalog: Catalog) -> list[str]:
    """The variables of keys without which some models cannot be asked, that are not set."""
    providers = (catalog.providers.get(model.provider) for model in catalog.models.values())
    needed = {provider.api_key_env for provider in providers if provider and provider.api_key_env}
    return sorted(needed - provider_keys(catalog).keys())


def secrets_of(settings: Settings, keys: Mapping[str, SecretStr]) -> frozenset[str]:
    """Every word that must appear nowhere: tokens, keys, and the passwords in addresses."""
    values = [value for name in Settings.model_fields if isinstance(value := getattr(settings, name), SecretStr)]
    whole = {value.get_secret_value() for value in (*values, *keys.values())}
    plain = whole.union(*(value.split(",") for value in whole))  # some hold several
    for url in (settings.redis_url, settings.database_url, settings.otel_exporter_otlp_endpoint):
        plain |= _passwords(url)
    if settings.encryption_key:
        plain |= {key.strip() for key in settings.encryption_key.get_secret_value().split(",")}
    headers = settings.otel_exporter_otlp_headers
    pairs = headers.get_secret_value().split(",") if headers else ()
    return frozenset(filter(None, (*plain, *(pair.partition("=")[2].strip() for pair in pairs))))


def new_key() -> str:
    """A new key for ENCRYPTION_KEY."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text.strip(), altchars=b"-_", validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def _passwords(url: str) -> set[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return set()
    written = {parts.password or "", *re.findall(r"(?:^|&)\w*password=([^&]*)", parts.query)}
    return written | {unquote(word) for word in written}
