"""The history alone, for what needs neither queue nor models: far less to load than :mod:`bot.app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from adapters.history.store import SqlHistory
from bot.settings import Settings
from core.errors import ConfigError


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@asynccontextmanager
async def open_history(settings: Settings) -> AsyncIterator[SqlHistory]:
    """The runs on record, saved consortia and lessons. Raises ConfigError or Unavailable."""
    make_folder(settings)
    async with SqlHistory(settings.history_url, clock=utc_now) as history:
        yield history


def make_folder(settings: Settings) -> None:
    """The folder for data, which is for this user's eyes alone where it is made here. Raises ConfigError."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"DATA_DIR: {settings.data_dir} cannot be made ({error.strerror}); write a folder that this user may use"
        ) from None
