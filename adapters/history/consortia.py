"""Saved consortia in SQL."""

from __future__ import annotations

import json

from sqlalchemy import RowMapping, select

from adapters.history.access import Access
from adapters.history.rows import to_json
from adapters.history.schema import consortia
from core.ports import SavedConsortium
from core.setup import ConsortiumSpec

_DEFAULT = "default consortium"


class SqlConsortia:
    """:class:`core.ports.Consortia` in SQL: what one process saves, the next look of any other finds.

    Names are equal whatever their case and come back as they were given last.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def get(self, name: str) -> SavedConsortium | None:
        """The saved consortium of that name."""
        found = await self._access.database.rows(select(consortia).where(consortia.c.key == name.casefold()))
        return _saved(found[0]) if found else None

    async def all(self) -> list[SavedConsortium]:
        """All of them by name, whatever its case."""
        found = await self._access.database.rows(select(consortia))
        return [_saved(row) for row in sorted(found, key=_key)]  # each database has an order of its own

    async def save(self, name: str, setup: ConsortiumSpec) -> bool:
        """Save it, in place of one of the same name. Returns whether there was one."""
        existed = await self._exists(name)
        row = {"key": name.casefold(), "name": name, "setup": to_json(setup), "saved_at": self._access.clock()}
        await self._access.writer.write(name, (self._access.do.save_consortium, row))
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
        return True

    async def default(self) -> str | None:
        """The name that was set, which need not be that of a saved one; None: nobody has set one."""
        value = await self._access.setting(_DEFAULT)
        return None if value is None else _name(value)

    async def set_default(self, name: str | None) -> None:
        """Set it, or take it back."""
        await self._access.put_setting(_DEFAULT, None if name is None else json.dumps(name))

    async def _exists(self, name: str) -> bool:
        query = select(consortia.c.key).where(consortia.c.key == name.casefold())
        return bool(await self._access.database.rows(query))


def _name(value: str) -> str:
    return str(json.loads(value))


def _key(row: RowMapping) -> str:
    return str(row["key"])


def _saved(row: RowMapping) -> SavedConsortium:
    setup = ConsortiumSpec.model_validate_json(row["setup"])
    return SavedConsortium(name=row["name"], setup=setup, saved_at=row["saved_at"])
