"""The history of runs in SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from adapters.history import migrations
from adapters.history.access import Access
from adapters.history.consortia import SqlConsortia
from adapters.history.database import Database, fetch, parse
from adapters.history.files import network_file_system
from adapters.history.governance import SqlGovernance
from adapters.history.installations import SqlInstallations
from adapters.history.lessons import SqlLessons
from adapters.history.locks import SqlLocks
from adapters.history.rows import (
    chart_of,
    chart_row,
    folded,
    material_of,
    material_row,
    outcome_row,
    outcomes_of,
    round_row,
    run_of,
    run_row,
    study_row,
    summary_of,
    vectors_of,
    vote_rows,
    voters,
)
from adapters.history.schema import analyses, attachments, charts, outcomes, postings, rounds, runs
from adapters.history.statements import CHANGES_WITH_A_RUN, Statements
from adapters.history.writer import Writer
from core.asks import Person, Platform, ThreadRef, Turn
from core.attachments import Material
from core.ports import RunSummary
from core.telemetry import get_logger
from core.types import Chart, Outcome, Round, Run, Study, Vectors

log = get_logger(__name__)

_SUMMARY = (
    *(runs.c.id, runs.c.question, runs.c.answer, runs.c.status, runs.c.simulated, runs.c.confidence, runs.c.consortium),
    *(runs.c.platform, runs.c.workspace, runs.c.channel, runs.c.thread, runs.c.private, runs.c.created_at),
)
_AT_ONCE = 500
"""Runs whose parts are read with one query; databases bound the number of parameters."""
_UNDELIVERED = (
    select(runs.c.id)
    .where(runs.c.platform == bindparam("platform_"), runs.c.delivered_at.is_(None))
    .where(runs.c.created_at >= bindparam("created_", type_=runs.c.created_at.type))
    .where(or_(runs.c.ended_at.is_(None), runs.c.ended_at >= bindparam("since_", type_=runs.c.ended_at.type)))
    .order_by(runs.c.created_at, runs.c.id)
)
_LOST = timedelta(days=1)
"""After how long a run that has not ended never will."""
_PORTION = 100
"""Runs that an export holds at a time."""


def _now() -> datetime:
    return datetime.now(UTC)


class SqlHistory:
    """:class:`core.ports.History` in SQL. Use as an async context manager: entering creates or updates the tables.

    ``url`` is ``sqlite:///path`` (any number of processes of one machine) or ``postgresql://...``. ``clock``
    gives the time for what is stamped here, ``monotonic`` the seconds by which what was read grows old.
    While the database is away, ``reads`` and ``writes`` wait for so many seconds; entering does not.
    Entering also makes :attr:`consortia`, :attr:`lessons`, :attr:`governance`, :attr:`locks` and
    :attr:`installations`, on the same database. Every method, and entering, raises :class:`core.errors.Unavailable`
    when the database does not work; a wrong ``url`` is a :class:`core.errors.ConfigError`, as is one that a newer
    version has written.

    Writing for a run that was never opened, or was deleted, raises :class:`core.errors.NotFound`, except that
    :meth:`update_run`, :meth:`set_thread`, :meth:`mark_delivered` and :meth:`record_posting` change nothing then. All
    writes can be repeated.
    """

    consortia: SqlConsortia
    lessons: SqlLessons
    governance: SqlGovernance
    locks: SqlLocks
    installations: SqlInstallations

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], datetime] = _now,
        monotonic: Callable[[], float] = time.monotonic,
        reads: float = 10,
        writes: float = 20,
    ) -> None:
        self._url = parse(url)
        self._patience = {"reads": reads, "writes": writes}
        self._clock, self._monotonic = clock, monotonic

    async def __aenter__(self) -> SqlHistory:
        self._warn_of_networks()
        self._database = Database(self._url, **self._patience)
        try:
            await self._database.migrate(migrations.migrate)
        except BaseException:
            await self._database.close()
            raise
        self._do = Statements.of(self._database.backend)
        self._writer = Writer(self._database)
        self._writer.start()
        access = Access(self._database, self._writer, self._do, self._clock)
        self.consortia = SqlConsortia(access, monotonic=self._monotonic)
        self.lessons = SqlLessons(access, monotonic=self._monotonic)
        self.governance = SqlGovernance(access, monotonic=self._monotonic)
        self.locks = SqlLocks(access)
        self.installations = SqlInstallations(access, self.locks)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._writer.close()
        finally:
            await self._database.close()

    def _warn_of_networks(self) -> None:
        """Processes of several hosts cannot share an SQLite file: locks and shared memory do not reach that far."""
        path = self._url.database
        if self._url.get_backend_name() == "sqlite" and path and (kind := network_file_system(Path(path))):
            advice = "the database is an SQLite file on a network file system, where it may be damaged; use PostgreSQL"
            log.warning(advice, path=path, kind=kind)

    # --- writing ----------------------------------------------------------------------------------------

    async def open_run(self, run: Run) -> None:
        """Store a new run; one with the same id stays as it is."""
        await self._writer.write(run.id, (self._do.open_run, run_row(run)))

    async def set_thread(self, run_id: str, thread: str) -> None:
        """The run's conversation got a thread of its own."""
        await self._writer.write(run_id, (self._do.set_thread, {"id_": run_id, "thread": thread}))

    async def record_outcome(self, run_id: str, round_number: int, outcome: Outcome) -> None:
        """A member answered or failed; takes the place of what it gave in that round before, until the run ends."""
        row = outcome_row(run_id, round_number, outcome, self._clock())
        await self._writer.write(run_id, (self._do.record_outcome, row))

    async def record_round(self, run_id: str, round_: Round) -> None:
        """A round ended with its verdict; its outcomes have been recorded one by one.

        Votes by final answers go into the records of their members, in place of the run's earlier ones.
        """
        statements = [(self._do.record_round, round_row(run_id, round_, self._clock()))]
        ballot = round_.verdict.ballot if round_.verdict else None
        if ballot and ballot.basis == "final answers":
            if round_.number > 1:  # a member that has no vote any more
                statements.append((self._do.drop_votes, {"id_": run_id, "voters_": voters(ballot)}))
            statements += ((self._do.record_vote, row) for row in vote_rows(run_id, ballot))
        await self._writer.write(run_id, *statements)

    async def record_study(self, run_id: str, study: Study) -> None:
        """Analysis, vectors and pictures, in place of earlier ones."""
        await self._writer.write(
            run_id,
            (self._do.record_analysis, study_row(run_id, study)),
            (self._do.drop_charts, {"id_": run_id}),
            *((self._do.record_chart, chart_row(run_id, i, chart)) for i, chart in enumerate(study.charts)),
        )

    async def update_run(self, run: Run) -> None:
        """Status, panel, answer, bill, notes, error and times. A thread that is set stays set, and a run that has ended
        is not changed by one that goes on."""
        row = run_row(run)
        changes = {f"{name}_": row[name] for name in ("id", *CHANGES_WITH_A_RUN)}
        await self._writer.write(run.id, (self._do.update_run, changes))

    async def mark_delivered(self, run_id: str) -> None:
        """The answer stands in its thread."""
        await self._writer.write(run_id, (self._do.mark_delivered, {"id_": run_id, "now": self._clock()}))

    async def record_posting(self, run_id: str, part: str, message_id: str) -> None:
        """A part of the run stands as that message, in place of an earlier one. Of a run that is not on record nothing
        is stored."""
        row = {"id_": run_id, "part_": part, "message_id_": message_id, "posted_at_": self._clock()}
        await self._writer.write(run_id, (self._do.put_posting, row))

    async def forget_posting(self, run_id: str, part: str) -> None:
        """That message is gone."""
        await self._writer.write(run_id, (self._do.drop_posting, {"id_": run_id, "part_": part}))

    async def keep_materials(self, run_id: str, materials: Sequence[Material]) -> None:
        """Store what came with a question; its run must be on record."""
        rows = (material_row(run_id, i, material) for i, material in enumerate(materials))
        await self._writer.write(run_id, *((self._do.put_attachment, row) for row in rows))

    async def delete(self, *run_ids: str) -> None:
        """Delete runs with all that belongs to them. What they have used counts still."""
        await asyncio.gather(*(self._writer.write(id_, (self._do.drop_run, {"id_": id_})) for id_ in run_ids))

    # --- reading ----------------------------------------------------------------------------------------

    async def run(self, run_id: str) -> Run | None:
        """The whole run as stored; of a round that has not ended, the outcomes so far."""
        found = await self._runs(runs.c.id == run_id)
        return found[0] if found else None

    async def charts(self, run_id: str) -> tuple[Chart, ...]:
        """The run's pictures in the order they were given."""
        query = select(charts).where(charts.c.run_id == run_id).order_by(charts.c.position)
        return tuple(chart_of(row) for row in await self._database.rows(query))

    async def vectors(self, run_id: str) -> Vectors | None:
        """The vectors of the run's answers, in the order of its analysis; None where none were kept."""
        query = select(analyses.c.embedder, analyses.c.vectors, analyses.c.dimensions).where(
            analyses.c.run_id == run_id
        )
        found = await self._database.rows(query)
        return vectors_of(found[0]) if found else None

    async def thread_runs(self, where: ThreadRef, limit: int = 20) -> list[RunSummary]:
        """The latest runs of exactly that thread, oldest first, whatever their status.

        A place without a thread has none: runs that merely share a channel are not one conversation.
        """
        if where.thread is None:
            return []
        query = (
            select(*_SUMMARY)
            .where(_in_workspace(where), runs.c.channel == where.channel, runs.c.thread == where.thread)
            .order_by(runs.c.created_at.desc(), runs.c.id.desc())
            .limit(limit)
        )
        return [summary_of(row) for row in reversed(await self._database.rows(query))]

    async def conversation(self, where: ThreadRef, before: datetime, limit: int) -> list[Turn]:
        """The latest turns of exactly that thread that were asked before then and answered, oldest first."""
        if where.thread is None:
            return []
        return [_turn(run) for run in await self._database.read(partial(_answered, where, before, limit))]

    async def materials(self, run_id: str) -> tuple[Material, ...]:
        """What came with the question, in its order."""
        query = select(attachments).where(attachments.c.run_id == run_id).order_by(attachments.c.position)
        return tuple(material_of(row) for row in await self._database.rows(query))

    async def postings(self, run_id: str) -> dict[str, str]:
        """The platform's ids of the run's messages, by part, as far as they are known to stand."""
        query = select(postings.c.part, postings.c.message_id).where(postings.c.run_id == run_id)
        return {row["part"]: row["message_id"] for row in await self._database.rows(query)}

    async def thread_materials(self, where: ThreadRef, before: datetime, limit: int) -> list[Material]:
        """What came with the questions of exactly that thread that were asked before then: the latest's first."""
        if where.thread is None:
            return []
        query = (
            select(attachments)
            .join(runs, runs.c.id == attachments.c.run_id)
            .where(_in_workspace(where), runs.c.channel == where.channel, runs.c.thread == where.thread)
            .where(runs.c.created_at < before)
            .order_by(runs.c.created_at.desc(), runs.c.id.desc(), attachments.c.position)
            .limit(limit)
        )
        return [material_of(row) for row in await self._database.rows(query)]

    async def page(
        self, asker: Person, where: ThreadRef, limit: int, offset: int, search: str = ""
    ) -> list[RunSummary]:
        """The person's own runs in this workspace, newest first; private ones only where they were asked."""
        query = (
            select(*_SUMMARY)
            .where(_in_workspace(where), runs.c.asker == asker.id, _visible(where), _with_text(search))
            .order_by(runs.c.created_at.desc(), runs.c.id.desc())
            .limit(limit)
            .offset(offset)
        )
        return [summary_of(row) for row in await self._database.rows(query)]

    async def visible(self, run_id: str, asker: Person, where: ThreadRef) -> Run | None:
        """A run that the person may see in that place: their own as in :meth:`page`, or one that anybody of the
        channel could see being asked there."""
        own = and_(runs.c.asker == asker.id, _visible(where))
        open_here = and_(runs.c.private.is_(False), runs.c.channel == where.channel)
        found = await self._runs(and_(runs.c.id == run_id, _in_workspace(where), or_(own, open_here)))
        return found[0] if found else None

    async def own(self, asker: Person, where: ThreadRef) -> list[Run]:
        """All runs of a person in this workspace, private ones wherever they were asked, oldest first."""
        return await self._runs(and_(_in_workspace(where), runs.c.asker == asker.id))

    async def expired(self, platform: Platform, workspace: str, before: datetime, limit: int) -> list[str]:
        """Ids of runs that ended before then, oldest first; one that never ended counts as ended after a day."""
        over = or_(runs.c.ended_at < before, and_(runs.c.ended_at.is_(None), runs.c.created_at < before - _LOST))
        query = (
            select(runs.c.id)
            .where(runs.c.platform == platform.value, runs.c.workspace == workspace)
            .where(runs.c.created_at < before, over)
            .order_by(runs.c.created_at, runs.c.id)
            .limit(limit)
        )
        return [row["id"] for row in await self._database.rows(query)]

    async def undelivered(self, platform: Platform, since: datetime) -> list[str]:
        """Ids of runs that are not marked as delivered and have ended since then, or go on, oldest first; none that was
        asked more than a day before that.

        Cheap enough to be asked every other second: an index has those runs alone.
        """
        given = {"since_": since, "created_": since - _LOST}
        rows = await self._database.rows(_UNDELIVERED, {**given, "platform_": platform.value})
        return [row["id"] for row in rows]

    async def search(self, *, text: str = "", since: datetime | None = None, limit: int = 20) -> list[RunSummary]:
        """Everybody's runs, private ones too, newest first: those with ``text`` in question, answer or id.

        The case of letters makes no difference.
        """
        condition = runs.c.created_at >= since if since else true()
        query = select(*_SUMMARY).where(condition, _with_text(text))
        query = query.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        return [summary_of(row) for row in await self._database.rows(query)]

    async def export(self, since: datetime | None = None) -> AsyncIterator[Run]:
        """All runs, oldest first, those included that come in meanwhile. Holds a hundred at a time."""
        condition = runs.c.created_at >= since if since else true()
        while portion := await self._runs(condition, limit=_PORTION):
            for run in portion:
                yield run
            condition = _after(portion[-1])

    async def _runs(self, condition: ColumnElement[bool], limit: int | None = None) -> list[Run]:
        """Whole runs, oldest first."""
        return await self._database.read(partial(_whole_runs, condition, limit))


def _with_text(text: str) -> ColumnElement[bool]:
    """Whether that text is in question, answer or id, whatever its case."""
    return runs.c.sought.contains(folded(text), autoescape=True) if text else true()


def _answered(where: ThreadRef, before: datetime, limit: int, connection: Connection) -> list[Run]:
    """The latest runs of a thread that were asked before then and have an answer, oldest first."""
    query = (
        select(runs.c.id)
        .where(_in_workspace(where), runs.c.channel == where.channel, runs.c.thread == where.thread)
        .where(runs.c.created_at < before, runs.c.answered_at.is_not(None), runs.c.answer.is_not(None))
        .order_by(runs.c.created_at.desc(), runs.c.id.desc())
        .limit(limit)
    )
    return _whole_runs(runs.c.id.in_([row["id"] for row in fetch(query, connection)]), None, connection)


def _turn(run: Run) -> Turn:
    said = {response.member.id: response.text for response in run.answers}
    return Turn(question=run.ask.text, answer=run.synthesis or "", answers=said)


def _after(run: Run) -> ColumnElement[bool]:
    """Runs that come after this one in the order of their making."""
    position = tuple_(runs.c.created_at, runs.c.id)
    return position > tuple_(literal(run.created_at, runs.c.created_at.type), literal(run.id, runs.c.id.type))


def _whole_runs(condition: ColumnElement[bool], limit: int | None, connection: Connection) -> list[Run]:
    """A run's row is read before its parts: when it says done, they are there."""
    found = fetch(select(runs).where(condition).order_by(runs.c.created_at, runs.c.id).limit(limit), connection)
    whole: list[Run] = []
    for start in range(0, len(found), _AT_ONCE):
        whole += _completed(found[start : start + _AT_ONCE], connection)
    return whole


def _completed(found: Sequence[RowMapping], connection: Connection) -> list[Run]:
    ids = [row["id"] for row in found]
    round_rows = _by_run(fetch(select(rounds).where(rounds.c.run_id.in_(ids)), connection))
    outcome_rows = _by_run(fetch(_outcomes_where(outcomes.c.run_id.in_(ids)), connection))
    bodies = select(analyses.c.run_id, analyses.c.body).where(analyses.c.run_id.in_(ids))
    analysed = {row["run_id"]: row["body"] for row in fetch(bodies, connection)}
    return [
        run_of(row, round_rows[row["id"]], outcomes_of(outcome_rows[row["id"]]), analysed.get(row["id"]))
        for row in found
    ]


def _outcomes_where(condition: ColumnElement[bool]) -> Select[Any]:
    return select(outcomes).where(condition).order_by(outcomes.c.round, outcomes.c.recorded_at, outcomes.c.member)


def _in_workspace(where: ThreadRef) -> ColumnElement[bool]:
    return and_(runs.c.platform == where.platform.value, runs.c.workspace == where.workspace)


def _visible(where: ThreadRef) -> ColumnElement[bool]:
    """Which of a person's own runs may be shown to them in that place, where others may look on."""
    if where.platform in (Platform.WEB, Platform.CLI):
        return true()
    if where.private:
        return or_(runs.c.private.is_(False), runs.c.channel == where.channel)
    return runs.c.private.is_(False)


def _by_run(rows: Sequence[RowMapping]) -> defaultdict[str, list[RowMapping]]:
    grouped: defaultdict[str, list[RowMapping]] = defaultdict(list)
    for row in rows:
        grouped[row["run_id"]].append(row)
    return grouped
