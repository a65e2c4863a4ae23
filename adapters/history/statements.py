"""The statements that write, made once: equal statements are one object, so that they can be batched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Executable, Table, bindparam, delete, func, update

from adapters.history.schema import analyses, charts, outcomes, rounds, runs

_CHANGES_WITH_A_RUN = (
    *("answer", "confidence", "consortium", "status", "error", "answered_at", "ended_at"),
    *("panel", "bill", "notes"),
)


@dataclass(frozen=True)
class Statements:
    """All statements that write. They take rows as :mod:`adapters.history.rows` makes them; ``id_`` is a run's."""

    open_run: Executable
    update_run: Executable
    set_thread: Executable
    mark_delivered: Executable
    record_outcome: Executable
    record_round: Executable
    record_analysis: Executable
    record_chart: Executable
    drop_charts: Executable

    @classmethod
    def of(cls, backend: str) -> Statements:
        """The statements for "sqlite" or "postgresql", which share the words ON CONFLICT."""
        insert = _insert(backend)
        id_: BindParameter[str] = bindparam("id_")

        def replace(table: Table) -> Executable:
            statement = insert(table)
            keys = table.primary_key.columns
            changes = {c.name: statement.excluded[c.name] for c in table.c if c.name not in keys}
            replacing: Executable = statement.on_conflict_do_update(index_elements=list(keys), set_=changes)
            return replacing

        opened = insert(runs)
        changes: dict[str, ColumnElement[Any]] = {name: opened.excluded[name] for name in _CHANGES_WITH_A_RUN}
        changes["thread"] = func.coalesce(opened.excluded.thread, runs.c.thread)
        return cls(
            open_run=opened.on_conflict_do_nothing(index_elements=[runs.c.id]),
            update_run=opened.on_conflict_do_update(index_elements=[runs.c.id], set_=changes),
            set_thread=update(runs).where(runs.c.id == id_).values(thread=bindparam("thread")),
            mark_delivered=update(runs)
            .where(runs.c.id == id_)
            .values(delivered_at=func.coalesce(runs.c.delivered_at, bindparam("now", type_=runs.c.delivered_at.type))),
            record_outcome=replace(outcomes),
            record_round=replace(rounds),
            record_analysis=replace(analyses),
            record_chart=replace(charts),
            drop_charts=delete(charts).where(charts.c.run_id == id_),
        )


def _insert(backend: str) -> Callable[[Table], Any]:
    """INSERT with the dialect's ON CONFLICT; the other dialect is not worth its time to import."""
    if backend == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_into_postgres

        return insert_into_postgres
    from sqlalchemy.dialects.sqlite import insert as insert_into_sqlite

    return insert_into_sqlite
