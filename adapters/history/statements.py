"""The statements that write, made once: equal statements are one object, so that they can be batched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Executable,
    Float,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    extract,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from adapters.history.schema import (
    analyses,
    attachments,
    budgets,
    channels,
    charts,
    consortia,
    feedback,
    installations,
    labels,
    locks,
    oauth_states,
    outcomes,
    policies,
    postings,
    rounds,
    rules,
    runs,
    settings,
    spendings,
    totals,
    votes,
)

CHANGES_WITH_A_RUN = (
    *("answer", "confidence", "consortium", "status", "simulated", "error", "answered_at", "ended_at"),
    *("panel", "bill", "notes", "thread", "sought"),
)
"""The columns that :attr:`Statements.update_run` takes, each with a line at the end of its name."""

USED = ("runs", "tokens", "dollars", "unpriced", "uncounted")
"""What is added up of spendings."""

_POSTED = ("part", "message_id", "posted_at")


@dataclass(frozen=True)
class Statements:
    """All statements that write. They take rows as :mod:`adapters.history.rows` makes them.

    Names with a line at their end are not columns: ``id_`` is a run's, ``key_`` that of a row to drop, ``value_`` what
    must stand there still (somebody may have set it anew since it was read).
    """

    open_run: Executable
    update_run: Executable
    set_thread: Executable
    mark_delivered: Executable
    record_outcome: Executable
    record_round: Executable
    drop_votes: Executable
    record_vote: Executable
    record_analysis: Executable
    record_chart: Executable
    drop_charts: Executable
    put_label: Executable
    drop_label: Executable
    grade_vote: Executable
    save_consortium: Executable
    drop_consortium: Executable
    put_setting: Executable
    drop_setting: Executable
    drop_setting_if: Executable
    drop_run: Executable
    put_attachment: Executable
    put_feedback: Executable
    put_rule: Executable
    put_budget: Executable
    put_policy: Executable
    put_channel: Executable
    open_spending: Executable
    hold_spending: Executable
    add_spending: Executable
    put_spending: Executable
    put_posting: Executable
    drop_posting: Executable
    save_installation: Executable
    issue_state: Executable
    consume_state: Executable
    take_lock: Executable
    release_lock: Executable

    @classmethod
    def of(cls, backend: str) -> Statements:
        """The statements for "sqlite" or "postgresql", which share the words ON CONFLICT."""
        insert = _insert(backend)
        id_: BindParameter[str] = bindparam("id_")

        def replace(table: Table, *unique: str, where: ColumnElement[bool] | None = None) -> Executable:
            statement = insert(table)
            keys = [table.c[name] for name in unique] or list(table.primary_key.columns)
            own = {column.name for column in (*keys, *table.primary_key.columns)}
            changes = {c.name: statement.excluded[c.name] for c in table.c if c.name not in own}
            replacing: Executable = statement.on_conflict_do_update(index_elements=keys, set_=changes, where=where)
            return replacing

        return cls(
            open_run=insert(runs).on_conflict_do_nothing(index_elements=[runs.c.id]),
            update_run=_update_run(),
            set_thread=update(runs).where(runs.c.id == id_).values(thread=bindparam("thread")),
            mark_delivered=update(runs)
            .where(runs.c.id == id_)
            .values(delivered_at=func.coalesce(runs.c.delivered_at, bindparam("now", type_=runs.c.delivered_at.type))),
            record_outcome=replace(outcomes, where=_goes_on(outcomes)),
            record_round=replace(rounds, where=_goes_on(rounds)),
            drop_votes=_drop_votes(),
            record_vote=_record_vote(insert(votes)),
            record_analysis=replace(analyses),
            record_chart=replace(charts),
            drop_charts=delete(charts).where(charts.c.run_id == id_),
            put_label=replace(labels),
            drop_label=delete(labels).where(labels.c.run_id == id_),
            grade_vote=update(votes)
            .where(
                votes.c.run_id == id_, votes.c.member == bindparam("member_"), votes.c.answer == bindparam("answer_")
            )
            .values(correct=bindparam("correct")),
            save_consortium=replace(consortia),
            drop_consortium=delete(consortia).where(
                *(consortia.c[name] == bindparam(f"{name}_") for name in ("platform", "workspace", "key"))
            ),
            put_setting=replace(settings),
            drop_setting=delete(settings).where(settings.c.key == bindparam("key_")),
            drop_setting_if=delete(settings).where(
                settings.c.key == bindparam("key_"), settings.c.value == bindparam("value_")
            ),
            drop_run=delete(runs).where(runs.c.id == id_),
            put_attachment=replace(attachments),
            put_feedback=replace(feedback),
            put_rule=replace(rules),
            put_budget=replace(budgets),
            put_policy=replace(policies),
            put_channel=replace(channels),
            open_spending=insert(spendings).on_conflict_do_nothing(index_elements=[spendings.c.run_id]),
            hold_spending=update(spendings).where(_to_be_spent()).values(settled=spendings.c.settled),
            add_spending=_add_spending(insert(totals)),
            put_spending=update(spendings)
            .where(_to_be_spent())
            .values({name: bindparam(f"{name}_", type_=spendings.c[name].type) for name in (*USED, "settled")}),
            put_posting=_put_posting(insert(postings)),
            drop_posting=delete(postings).where(postings.c.run_id == id_, postings.c.part == bindparam("part_")),
            save_installation=replace(installations, "client_id", "enterprise_id", "team_id", "user_id"),
            issue_state=insert(oauth_states).on_conflict_do_nothing(index_elements=[oauth_states.c.state]),
            consume_state=_consume_state(),
            take_lock=_take_lock(insert(locks), backend),
            release_lock=delete(locks).where(
                locks.c.name == bindparam("name_"), locks.c.holder == bindparam("holder_")
            ),
        )


def _update_run() -> Executable:
    """No insert: a run that was deleted while it went on stays deleted, and one that has ended does not go on."""
    changes: dict[str, ColumnElement[Any]] = {
        name: bindparam(f"{name}_", type_=runs.c[name].type) for name in CHANGES_WITH_A_RUN
    }
    changes["thread"] = func.coalesce(changes["thread"], runs.c.thread)
    over = or_(runs.c.ended_at.is_(None), changes["ended_at"].is_not(None))
    return update(runs).where(runs.c.id == bindparam("id_"), over).values(changes)


def _goes_on(table: Table) -> ColumnElement[bool]:
    """What a worker that was held up still brings does not take the place of what another has brought to an end."""
    row: ColumnElement[str] = literal_column(
        f"{table.name}.run_id"
    )  # that of the row that stands; a column would be looked for anew
    return ~exists().where(runs.c.id == row, runs.c.ended_at.is_not(None))


def _drop_votes() -> Executable:
    """Those of members that are not among ``voters_``, made by :func:`adapters.history.rows.voters`.

    A list in a parameter could not be batched, and LIKE would read signs in names as wildcards.
    """
    voters = bindparam("voters_", type_=votes.c.member.type)
    without = func.replace(voters, literal("\n").concat(votes.c.member).concat("\n"), "")
    return delete(votes).where(votes.c.run_id == bindparam("id_"), without == voters)


def _record_vote(insert_vote: Any) -> Executable:
    """The run's own row says of which consortium it is, so that nobody needs to read it first.

    What was said of a vote holds for as long as its answer stays.
    """
    given = {name: bindparam(f"{name}_", type_=votes.c[name].type) for name in ("member", "model", "answer", "agreed")}
    vote = select(runs.c.id, runs.c.consortium, *given.values()).where(runs.c.id == bindparam("id_"))
    recording = insert_vote.from_select(["run_id", "consortium", *given], vote)
    changes = {name: recording.excluded[name] for name in ("consortium", "model", "answer", "agreed")}
    changes["correct"] = case((votes.c.answer == recording.excluded.answer, votes.c.correct))
    replacing: Executable = recording.on_conflict_do_update(
        index_elements=[votes.c.run_id, votes.c.member], set_=changes
    )
    return replacing


def _to_be_spent() -> ColumnElement[bool]:
    """The spending of a run; an estimate does not go before what the run really used."""
    settles = bindparam("settled_", type_=spendings.c.settled.type)
    return and_(spendings.c.run_id == bindparam("id_"), or_(spendings.c.settled.is_(False), settles))


def _add_spending(insert_total: Any) -> Executable:
    """Add to the totals of ``scope_`` by what the spending is about to change.

    The spending must be held: otherwise two processes might both add the same.
    """
    scope = bindparam("scope_", type_=totals.c.scope.type)
    subject = case((scope == "user", spendings.c.asker), (scope == "channel", spendings.c.channel), else_="")
    more = [bindparam(f"{name}_", type_=spendings.c[name].type) - spendings.c[name] for name in USED]
    change = select(spendings.c.platform, spendings.c.workspace, scope, subject, spendings.c.day, *more)
    names = ["platform", "workspace", "scope", "subject", "day", *USED]
    adding = insert_total.from_select(names, change.where(_to_be_spent()))
    sums = {name: totals.c[name] + adding.excluded[name] for name in USED}
    added: Executable = adding.on_conflict_do_update(index_elements=list(totals.primary_key.columns), set_=sums)
    return added


def _put_posting(insert_posting: Any) -> Executable:
    """Where the run is on record: a message about one that was deleted meanwhile is nothing to complain of."""
    given = {f"{name}": bindparam(f"{name}_", type_=postings.c[name].type) for name in _POSTED}
    posting = insert_posting.from_select(
        ["run_id", *given], select(runs.c.id, *given.values()).where(runs.c.id == bindparam("id_"))
    )
    changes = {name: posting.excluded[name] for name in ("message_id", "posted_at")}
    replacing: Executable = posting.on_conflict_do_update(
        index_elements=[postings.c.run_id, postings.c.part], set_=changes
    )
    return replacing


def _consume_state() -> Executable:
    """Once; ``by_`` may say so again, should it not have heard that it did."""
    now = bindparam("now_", type_=oauth_states.c.expires_at.type)
    free = or_(oauth_states.c.used_by.is_(None), oauth_states.c.used_by == bindparam("by_"))
    good = and_(oauth_states.c.state == bindparam("state_"), oauth_states.c.expires_at >= now, free)
    return update(oauth_states).where(good).values(used_by=bindparam("by_"))


def _take_lock(insert_lock: Any, backend: str) -> Executable:
    """A row comes back where the lock is the holder's now, for ``seconds_`` more."""
    now: ColumnElement[float]
    if backend == "postgresql":
        now = extract("epoch", func.clock_timestamp()).cast(Float)
    else:
        now = (func.julianday("now") - 2440587.5) * 86400.0
    taking = insert_lock.values(until=now + bindparam("seconds_", type_=locks.c.until.type))
    free = or_(locks.c.until < now, locks.c.holder == taking.excluded.holder)
    changes = {"holder": taking.excluded.holder, "until": taking.excluded.until}
    taken: Executable = taking.on_conflict_do_update(index_elements=[locks.c.name], set_=changes, where=free).returning(
        locks.c.name
    )
    return taken


def _insert(backend: str) -> Callable[[Table], Any]:
    """INSERT with the dialect's ON CONFLICT; the other dialect is not worth its time to import."""
    if backend == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_into_postgres

        return insert_into_postgres
    from sqlalchemy.dialects.sqlite import insert as insert_into_sqlite

    return insert_into_sqlite
