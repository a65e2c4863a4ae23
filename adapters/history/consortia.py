"""Saved consortia in SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, or_, select

from adapters.history.access import Access, setting
from adapters.history.database import fetch
from adapters.history.kept import Kept
from adapters.history.rows import to_json
from adapters.history.schema import EVERYWHERE, consortia
from core.asks import ThreadRef
from core.setup import ConsortiumSpec
from core.stores import SavedConsortium, home

_DEFAULT = "default consortium"


_FRESH = 1.0
"""Seconds for which what was read serves: every ask looks up its consortium."""


_Home = tuple[str, str]
_OPERATOR: _Home = (EVERYWHERE, EVERYWHERE)


@dataclass(frozen=True)
class _Shelf:
    """All that is seen from one home, by the keys of the names, and the default's name."""

    saved: Mapping[str, SavedConsortium]
    default: str | None


class SqlConsortia:
    """:class:`core.ports.Consortia` in SQL: what one process saves, any other finds within a second of ``monotonic``.

    Names are equal whatever their case and come back as they were given last.
    """

    def __init__(self, access: Access, *, monotonic: Callable[[], float]) -> None:
        self._access = access
        self._shelves: Kept[_Home, _Shelf] = Kept(self._read, fresh=_FRESH, monotonic=monotonic)

    async def get(self, name: str, where: ThreadRef | None) -> SavedConsortium | None:
        """The saved consortium of that name, as it is seen there."""
        return (await self._shelves.get(_home(where))).saved.get(name.casefold())

    async def all(self, where: ThreadRef | None) -> list[SavedConsortium]:
        """All that are seen there by name, whatever its case."""
        return list((await self._shelves.get(_home(where))).saved.values())

    async def default(self) -> str | None:
        """The name that was set, which need not be that of a saved one; None: nobody has set one."""
        return (await self._shelves.get(_OPERATOR)).default

    async def _read(self, seen_from: _Home) -> _Shelf:
        return await self._access.database.read(partial(_shelf, seen_from))

    async def save(self, name: str, setup: ConsortiumSpec, where: ThreadRef | None) -> bool:
        """Save it, in place of an own one of the same name. Returns whether there was one."""
        existed = await self._exists(name, where)
        row = {"key": name.casefold(), "name": name, "setup": to_json(setup), "saved_at": self._access.clock()}
        row |= dict(zip(("platform", "workspace"), _home(where), strict=True))
        await self._access.writer.write(name, (self._access.do.save_consortium, row))
        self._shelves.forget()
        return existed

    async def remove(self, name: str, where: ThreadRef | None) -> bool:
        """Forget an own one, and that it was the default, both at once. Returns whether there was one."""
        if not await self._exists(name, where):
            return False
        place = dict(zip(("platform_", "workspace_"), _home(where), strict=True))
        statements = [(self._access.do.drop_consortium, {"key_": name.casefold(), **place})]
        default = await self._access.setting(_DEFAULT) if home(where) is None else None
        if default is not None and _name(default).casefold() == name.casefold():
            statements.append((self._access.do.drop_setting_if, {"key_": _DEFAULT, "value_": default}))
        await self._access.writer.write(name, *statements)
        self._shelves.forget()
        return True

    async def set_default(self, name: str | None) -> None:
        """Set it, or take it back."""
        await self._access.put_setting(_DEFAULT, None if name is None else json.dumps(name))
        self._shelves.forget()

    async def _exists(self, name: str, where: ThreadRef | None) -> bool:
        query = select(consortia.c.key).where(_is_of(_home(where)), consortia.c.key == name.casefold())
        return bool(await self._access.database.rows(query))


def _shelf(seen_from: _Home, connection: Connection) -> _Shelf:
    """Own ones go before the operator's of the same names. Each database has an order of its own."""
    rows = fetch(select(consortia).where(or_(_is_of(seen_from), _is_of(_OPERATOR))), connection)
    seen = {str(row["key"]): row for row in sorted(rows, key=lambda row: _of(row) == seen_from)}
    default = setting(_DEFAULT, connection)
    return _Shelf(
        {key: _saved(row, seen_from) for key, row in sorted(seen.items())}, None if default is None else _name(default)
    )


def _home(where: ThreadRef | None) -> _Home:
    return home(where) or _OPERATOR


def _is_of(owner: _Home) -> ColumnElement[bool]:
    return and_(consortia.c.platform == owner[0], consortia.c.workspace == owner[1])


def _of(row: RowMapping) -> _Home:
    return str(row["platform"]), str(row["workspace"])


def _name(value: str) -> str:
    return str(json.loads(value))


def _saved(row: RowMapping, seen_from: _Home) -> SavedConsortium:
    setup = ConsortiumSpec.model_validate_json(row["setup"])
    return SavedConsortium(name=row["name"], setup=setup, saved_at=row["saved_at"], own=_of(row) == seen_from)
