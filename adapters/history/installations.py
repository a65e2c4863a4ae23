"""Where an app was installed, in SQL. What is secret arrives encrypted and leaves so."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, select

from adapters.history.access import Access
from adapters.history.locks import SqlLocks
from adapters.history.rows import Row
from adapters.history.schema import installations, oauth_states
from core.installed import Installed

_KEY = ("client_id", "enterprise_id", "team_id", "user_id")
_BLANK = ("enterprise_id", "team_id", "user_id", "bot_id", "bot_user_id")
"""Empty in the table where there is none: nulls would all be different in the unique key."""


class SqlInstallations:
    """:class:`core.installed.Installations` in SQL."""

    def __init__(self, access: Access, locks: SqlLocks) -> None:
        self._access, self._locks = access, locks

    async def save(self, installed: Installed) -> None:
        """Store it, in place of what the same person had installed there."""
        await self._access.writer.write(installed.client_id, (self._access.do.save_installation, _row(installed)))

    async def find(
        self, client_id: str, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> Installed | None:
        """What that person installed in exactly that place; with no person, the newest that has a bot."""
        query = select(installations).where(_in(client_id, enterprise_id, team_id, user_id))
        if user_id is None:
            query = query.where(installations.c.bot_id != "")
        newest = query.order_by(installations.c.installed_at.desc(), installations.c.id.desc()).limit(1)
        rows = await self._access.database.rows(newest)
        return _installed(rows[0]) if rows else None

    async def delete(
        self, client_id: str, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> None:
        """Forget what that person installed in exactly that place; with no person, everything there."""
        statement = delete(installations).where(_in(client_id, enterprise_id, team_id, user_id))
        await self._access.writer.write(client_id, (statement, {}))

    async def all(self, client_id: str) -> Sequence[Installed]:
        """Everything that was installed of that app, oldest first."""
        query = select(installations).where(installations.c.client_id == client_id)
        query = query.order_by(installations.c.installed_at, installations.c.id)
        return [_installed(row) for row in await self._access.database.rows(query)]

    def locked(self, key: str) -> AbstractAsyncContextManager[None]:
        """Wait until nobody else, in any process, is inside with the same key. Raises Unavailable."""
        return self._locks.locked(f"installation {key}")

    async def issue_state(self, state: str, seconds: float) -> None:
        """An installation begins; its state is good for so long. States that have expired are forgotten."""
        now = self._access.clock()
        expired = delete(oauth_states).where(oauth_states.c.expires_at < now)
        row = {"state": state, "expires_at": now + timedelta(seconds=seconds)}
        await self._access.writer.write(state, (expired, {}), (self._access.do.issue_state, row))

    async def consume_state(self, state: str) -> bool:
        """Whether that state was issued and has not expired; true once."""
        return await self._access.writer.change(partial(self._consume, state, uuid4().hex))

    def _consume(self, state: str, by: str, connection: Connection) -> bool:
        given = {"state_": state, "by_": by, "now_": self._access.clock()}
        return connection.execute(self._access.do.consume_state, given).rowcount == 1


def _in(client_id: str, enterprise_id: str | None, team_id: str | None, user_id: str | None) -> ColumnElement[bool]:
    given = {"client_id": client_id, "enterprise_id": enterprise_id or "", "team_id": team_id or ""}
    if user_id is not None:
        given["user_id"] = user_id
    return and_(*(installations.c[name] == value for name, value in given.items()))


def _row(installed: Installed) -> Row:
    row = installed.model_dump()
    return row | {name: row[name] or "" for name in _BLANK} | {"scopes": ",".join(installed.scopes)}


def _installed(row: RowMapping) -> Installed:
    given = {name: row[name] for name in Installed.model_fields}
    scopes = tuple(scope for scope in row["scopes"].split(",") if scope)
    return Installed.model_validate(given | {name: row[name] or None for name in _BLANK} | {"scopes": scopes})
