"""The settings of several processes on Discord."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.settings import Settings, load_settings
from core.errors import ConfigError

KEY = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only the token is set, and there is no .env."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DISCORD_BOT_TOKEN", "MTIz.abc.def")
    monkeypatch.chdir(tmp_path)


def test_shards_and_key_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_SHARDS", "4-7/8")
    monkeypatch.setenv("DISCORD_PUBLIC_KEY", KEY)
    settings = load_settings()
    assert (settings.discord_shards, settings.discord_public_key) == ("4-7/8", KEY)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("DISCORD_SHARDS", "all", "is not written as first-last/count; write DISCORD_SHARDS=0-3/8"),
        ("DISCORD_SHARDS", "4-8/8", "names shards that 8 do not have"),
        ("DISCORD_PUBLIC_KEY", KEY[:-1], "is no key, which has 64 hexadecimal digits; write DISCORD_PUBLIC_KEY="),
        ("DISCORD_PUBLIC_KEY", "z" * 64, "is no key"),
    ],
)
def test_what_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str, what: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"^{name}: {what}"):
        load_settings()


@pytest.mark.parametrize(("name", "value"), [("DISCORD_SHARDS", "0/1"), ("DISCORD_PUBLIC_KEY", KEY)])
def test_neither_goes_without_a_token(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.delenv("DISCORD_BOT_TOKEN")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"^DISCORD_BOT_TOKEN: missing, though {name} is set; write"):
        load_settings()
