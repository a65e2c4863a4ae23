"""What the parts of the history share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, select

from adapters.history.database import Database, fetch
from adapters.history.schema import settings
from adapters.history.statements import Statements
from adapters.history.writer import Writer


@dataclass(frozen=True)
class Access:
    """One database with its writer and statements, the clock for what is stamped, and settings: JSON by key."""

    database: Database
    writer: Writer
    do: Statements
    clock: Callable[[], datetime]

    async def setting(self, key: str) -> str | None:
        """The JSON that was put there; None when there is none."""
        return await self.database.read(partial(setting, key))

    async def put_setting(self, key: str, value: str | None) -> None:
        """Replace it; None takes it away."""
        if value is None:
            await self.writer.write(key, (self.do.drop_setting, {"key_": key}))
        else:
            await self.writer.write(key, (self.do.put_setting, {"key": key, "value": value}))


def setting(key: str, connection: Connection) -> str | None:
    """The JSON that was put there; None when there is none."""
    found = fetch(select(settings.c.value).where(settings.c.key == key), connection)
    return found[0]["value"] if found else None
