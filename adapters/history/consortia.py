"""Saved consortia in SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, select

from adapters.history.access import Access, setting
from adapters.history.database import fetch
from adapters.history.kept import Kept
from adapters.history.rows import to_json
from adapters.history.schema import consortia
from core.setup import ConsortiumSpec
from core.stores import SavedConsortium

_DEFAULT = "default consortium"


_FRESH = 1.0
"""Seconds for which what was read serves: every ask looks up its consortium."""


@dataclass(frozen=True)
class _Shelf:
    """All that is saved, by the keys of the names, and the default's name."""

    saved: Mapping[str, SavedConsortium]
    default: str | None


class SqlConsortia:
    """:class:`core.ports.Consortia` in SQL: what one process saves, any other finds within a second of ``monotonic``.

    Names are equal whatever their case and come back as they were given last.
    """

    def __init__(self, access: Access, *, monotonic: Callable[[], float]) -> None:
        self._access = access
        self._shelves: Kept[None, _Shelf] = Kept(self._read, fresh=_FRESH, monotonic=monotonic)

    async def get(self, name: str) -> SavedConsortium | None:
        """The saved consortium of that name."""
        return (await self._shelf()).saved.get(name.casefold())

    async def all(self) -> list[SavedConsortium]:
        """All of them by name, whatever its case."""
        return list((await self._shelf()).saved.values())

    async def default(self) -> str | None:
        """The name that was set, which need not be that of a saved one; None: nobody has set one."""
        return (await self._shelf()).default

    async def _shelf(self) -> _Shelf:
        return await self._shelves.get(None)

    async def _read(self, _: None) -> _Shelf:
        return await self._access.database.read(_shelf)

    async def save(self, name: str, setup: ConsortiumSpec) -> bool:
        """Save it, in place of one of the same name. Returns whether there was one."""
        existed = await self._exists(name)
        row = {"key": name.casefold(), "name": name, "setup": to_json(setup), "saved_at": self._access.clock()}
        await self._access.writer.write(name, (self._access.do.save_consortium, row))
        self._shelves.forget()
        return existed

    async def remove(self, name: str) -> bool:
        """Forget it, and that it was the default, both at once. Returns whether there was one."""
        if not await self._exists(name):
            return False
        statements = [(self._access.do.drop_consortium, {"key_": name.casefold()})]
        default = await self._access.setting(_DEFAULT)
        if default is not None and _name(default).casefold() == name.casefold():
            statements.append((self._access.do.drop_setting_if, {"key_": _DEFAULT, "value_": default}))
        await self._access.writer.write(name, *statements)
        self._shelves.forget()
        return True

    async def set_default(self, name: str | None) -> None:
        """Set it, or take it back."""
        await self._access.put_setting(_DEFAULT, None if name is None else json.dumps(name))
        self._shelves.forget()

    async def _exists(self, name: str) -> bool:
        query = select(consortia.c.key).where(consortia.c.key == name.casefold())
        return bool(await self._access.database.rows(query))


def _shelf(connection: Connection) -> _Shelf:
    rows = sorted(fetch(select(consortia), connection), key=_key)  # each database has an order of its own
    default = setting(_DEFAULT, connection)
    return _Shelf({_key(row): _saved(row) for row in rows}, None if default is None else _name(default))


def _name(value: str) -> str:
    return str(json.loads(value))


def _key(row: RowMapping) -> str:
    return str(row["key"])


def _saved(row: RowMapping) -> SavedConsortium:
    setup = ConsortiumSpec.model_validate_json(row["setup"])
    return SavedConsortium(name=row["name"], setup=setup, saved_at=row["saved_at"])
