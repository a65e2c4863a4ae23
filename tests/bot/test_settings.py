from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from bot.settings import WRITE, Settings, load_settings, missing_keys, new_key, provider_keys, secrets_of
from core.errors import ConfigError
from tests.core.fakes import catalog

EXAMPLE = Path(__file__).parents[2] / ".env.example"
FIELDS = {name.upper(): field for name, field in Settings.model_fields.items()}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours is set, and there is no .env."""
    for name in FIELDS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def documented() -> dict[str, str]:
    """Each variable of the example with the comment right above it."""
    blocks = re.findall(r"((?:^#.*\n)+)([A-Z_]+)=", EXAMPLE.read_text("utf-8"), re.MULTILINE)
    return {name: " ".join(line.lstrip("# ") for line in comment.splitlines()) for comment, name in blocks}


def example_of(comment: str) -> str:
    return comment.partition("Example: ")[2].strip()


# --- .env.example ---------------------------------------------------------------------------------------


def test_the_example_has_every_setting_and_no_other() -> None:
    assert set(dotenv_values(EXAMPLE)) == set(FIELDS)
    assert set(documented()) == set(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_explained_with_its_default_and_an_example(name: str) -> None:
    comment, default = documented()[name], FIELDS[name].default
    shown = re.search(r"Default: (\S+?)\.?(?: \(.*?\)\.?)? Example: (\S+)$", comment)
    assert shown, comment
    assert comment.index("Default:") > 20, "it says what the setting means"
    unset = default is None or default == ""
    assert shown[1] == ("none" if unset else str(default).lower() if isinstance(default, bool) else f"{default}")


def test_the_example_as_it_is_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(EXAMPLE.read_bytes())
    assert load_settings() == Settings(_env_file=None)  # type: ignore[call-arg]


FOR_MANY = ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET")


@pytest.mark.parametrize("left_out", [FOR_MANY, ("SLACK_BOT_TOKEN",)])
def test_what_the_example_gives_as_examples_can_be_written(tmp_path: Path, left_out: tuple[str, ...]) -> None:
    values = {name: example_of(comment) for name, comment in documented().items() if name not in left_out}
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in values.items()), "utf-8")
    settings = load_settings()
    assert (settings.port, settings.log_json, settings.data_dir) == (9000, True, Path("/var/lib/consortium"))
    written = {name: field for name, field in FIELDS.items() if name not in left_out}
    assert all(getattr(settings, name.lower()) != field.default for name, field in written.items())


# --- reading --------------------------------------------------------------------------------------------


def test_the_defaults() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.redis_url) == ("127.0.0.1", 8080, "")
    assert settings.slack_api_url == "https://slack.com/api/"
    assert settings.history_url == "sqlite:///data/consortium.db"


def test_the_environment_goes_before_the_file_and_empty_counts_as_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=9000\nHOST=0.0.0.0\nUNKNOWN=1\n")
    monkeypatch.setenv("PORT", "9001")
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/x")
    settings = load_settings()
    assert (settings.port, settings.host, settings.redis_url) == (9001, "0.0.0.0", "")  # noqa: S104 - listens nowhere
    assert settings.history_url == "postgresql://db/x"


WRONG = [
    ("PORT", "web", "unable to parse"),
    ("PORT", "70000", "less than or equal to 65535"),
    ("SLACK_BOT_TOKEN", "secret-1", "does not begin with xoxb-"),
    ("SLACK_APP_TOKEN", "secret-1", "does not begin with xapp-"),
    ("SLACK_API_URL", "slack.com/secret-1", "does not begin with https:// or http://"),
    ("DISCORD_API_URL", "secret-1", "does not begin with https:// or http://"),
    ("DISCORD_GATEWAY_URL", "https://secret-1", "does not begin with wss:// or ws://"),
    ("REDIS_URL", "http://secret-1", "does not begin with redis:// or rediss:// or unix://"),
    ("REDIS_URL", "redis://:secret-1@127.0.0.1/runs", "by something else than a number"),
    ("RUN_CONCURRENCY", "0", "greater than or equal to 1"),
    ("SHUTDOWN_GRACE", "-1", "greater than or equal to 0"),
    ("START_PATIENCE", "601", "less than or equal to 600"),
    ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    ("LOG_JSON", "perhaps", "boolean"),
    ("LOG_TEXTS", "perhaps", "boolean"),
    ("WORKER_PORT", "70000", "less than or equal to 65535"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "secret-1:4318", "does not begin with https:// or http://"),
]


@pytest.mark.parametrize(("name", "value", "what"), WRONG)
def test_a_wrong_value_is_one_line_with_the_name_what_is_wrong_and_what_to_write(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, what: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as refusal:
        load_settings()
    text = str(refusal.value)
    assert text.startswith(f"{name}: ")
    assert what in text
    assert text.endswith(f"; write {WRITE[name]}")
    assert "\n" not in text
    assert "secret-1" not in text, "values may be secret"


def test_several_wrong_values_have_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "web")
    monkeypatch.setenv("LOG_JSON", "perhaps")
    with pytest.raises(ConfigError) as refusal:
        load_settings()
    assert [line.partition(":")[0] for line in str(refusal.value).splitlines()] == ["PORT", "LOG_JSON"]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"SLACK_BOT_TOKEN": "xoxb-1"}, "SLACK_APP_TOKEN: missing, and so is SLACK_SIGNING_SECRET; write "),
        ({"SLACK_APP_TOKEN": "xapp-1"}, "SLACK_BOT_TOKEN: missing, though SLACK_APP_TOKEN is set; write "),
        ({"SLACK_SIGNING_SECRET": "x"}, "SLACK_BOT_TOKEN: missing, though SLACK_SIGNING_SECRET is set; write "),
    ],
)
def test_half_of_slack_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], missing: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as refusal:
        load_settings()
    assert str(refusal.value).startswith(missing)


@pytest.mark.parametrize("other", ["SLACK_APP_TOKEN=xapp-1", "SLACK_SIGNING_SECRET=x"])
def test_slack_is_whole_with_either_way_in(tmp_path: Path, other: str) -> None:
    (tmp_path / ".env").write_text(f"SLACK_BOT_TOKEN=xoxb-1\n{other}\n")
    assert load_settings().slack_bot_token


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"^\.env: cannot be read; write"):
        load_settings()


def test_secrets_are_not_shown() -> None:
    settings = Settings(slack_bot_token="xoxb-hidden", slack_app_token="xapp-hidden")  # type: ignore[arg-type]
    assert "hidden" not in repr(settings)


def test_keys_of_providers_come_from_environment_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    provider = catalog().providers["here"]
    providers = {name: provider.model_copy(update={"api_key_env": name.upper()}) for name in ("one", "two", "three")}
    (tmp_path / ".env").write_text("ONE=from-file\nTWO=from-file\n")
    monkeypatch.setenv("TWO", "from-environment")
    keys = provider_keys(catalog().model_copy(update={"providers": providers}))
    assert {name: key.get_secret_value() for name, key in keys.items()} == {
        "ONE": "from-file",
        "TWO": "from-environment",
    }


def test_keys_that_models_need_and_that_are_not_set_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    given = catalog()
    provider, model = given.providers["here"], next(iter(given.models.values()))
    providers = {name: provider.model_copy(update={"api_key_env": name.upper()}) for name in ("one", "two", "unused")}
    models = {name: model.model_copy(update={"provider": name}) for name in ("one", "two", "simulated")}
    monkeypatch.setenv("TWO", "from-environment")
    assert missing_keys(given.model_copy(update={"providers": providers, "models": models})) == ["ONE"]


# --- Slack for many workspaces --------------------------------------------------------------------------

KEY = new_key()
MANY = {
    "SLACK_CLIENT_ID": "1.2",
    "SLACK_CLIENT_SECRET": "secret",
    "SLACK_SIGNING_SECRET": "signed",
    "ENCRYPTION_KEY": KEY,
    "PUBLIC_URL": "https://bot.example/",
}


def wrong_with(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    return str(caught.value)


def test_many_workspaces_need_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load_settings().slack_for_many
    for name, value in MANY.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.slack_for_many
    assert settings.public_url == "https://bot.example"
    assert secrets_of(settings, {}) == {"secret", "signed", KEY}


def test_the_app_token_does_in_place_of_the_signing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (MANY | {"SLACK_SIGNING_SECRET": "", "SLACK_APP_TOKEN": "xapp-1"}).items():
        monkeypatch.setenv(name, value)
    assert load_settings().slack_for_many


@pytest.mark.parametrize("name", MANY)
def test_what_is_missing_for_many_workspaces_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    said = wrong_with(monkeypatch, **MANY | {name: ""})
    assert said.startswith(f"{name}: missing, ")
    assert said.endswith(f"; write {WRITE[name]}")


def test_a_token_for_one_and_a_client_for_many_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    said = wrong_with(monkeypatch, **MANY, SLACK_BOT_TOKEN="xoxb-1")
    assert said.startswith("SLACK_BOT_TOKEN: is for one workspace, and SLACK_CLIENT_ID is for many; leave one of them")


@pytest.mark.parametrize(
    "key",
    ["short", KEY[:-4], f"{KEY},", f"{KEY} {KEY}", "x" * 44],
    ids=["short", "cut off", "a comma too many", "no comma", "of one letter"],
)
def test_what_is_no_key_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    said = wrong_with(monkeypatch, ENCRYPTION_KEY=key)
    assert said == f"ENCRYPTION_KEY: is no key; write {WRITE['ENCRYPTION_KEY']}"


def test_several_keys_are_parted_by_commas_and_none_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEY", f"{KEY}, {new_key()}")
    settings = load_settings()
    assert KEY not in repr(settings)
    assert KEY in secrets_of(settings, {})


@pytest.mark.parametrize("url", ["http://bot.example", "https://", "https://bot.example/?a=b", "bot.example"])
def test_an_address_that_slack_sends_nobody_back_to_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert wrong_with(monkeypatch, PUBLIC_URL=url).startswith("PUBLIC_URL: ")


def test_all_that_is_secret_is_known_to_the_log() -> None:
    """Every field that is not to be shown, each part of those that hold several, and the passwords in addresses."""
    names = [name for name, field in FIELDS.items() if "Secret" in str(field.annotation)]
    hidden = {name: f"canary-{name},second-{name}" for name in names}
    assert len(hidden) > 7
    hidden["OTEL_EXPORTER_OTLP_HEADERS"] = "x-key=canary-key,x-other=second-key"
    urls = {
        "redis_url": "rediss://me:canary-r%40edis@host/0",
        "database_url": "postgresql+asyncpg://me:canary-database@host/x?a=b&password=canary-second%21",
        "otel_exporter_otlp_endpoint": "https://me:canary-collector@host",
    }
    given: dict[str, Any] = {name.lower(): SecretStr(value) for name, value in hidden.items()} | urls
    settings = Settings.model_construct(**given)
    secrets = secrets_of(settings, {"ONE": SecretStr("canary-provider")})
    assert {part.rpartition("=")[2] for value in hidden.values() for part in value.split(",")} <= secrets
    assert {"canary-r%40edis", "canary-r@edis", "canary-database", "canary-collector", "canary-provider"} <= secrets
    assert "canary-second!" in secrets
    assert "" not in secrets
