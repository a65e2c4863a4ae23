"""Rules, budgets and what was spent, in SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, RowMapping, Select, and_, bindparam, delete, func, literal, or_, select, union_all

from adapters.history.access import Access
from adapters.history.database import Work, fetch
from adapters.history.hand import Hand
from adapters.history.kept import Kept
from adapters.history.policy import Place, policy_of
from adapters.history.schema import EVERYWHERE, changes, channels, policies, runs, spendings, totals
from adapters.history.seeds import Seeds
from adapters.history.statements import USED
from adapters.history.writer import Statement
from core.asks import Person, Platform, ThreadRef
from core.catalog import GovernanceSpec
from core.governance import (
    PERIODS,
    SCOPES,
    Budget,
    Change,
    Estimate,
    Period,
    Policy,
    Rule,
    Scope,
    Spending,
    Spent,
    begins,
)
from core.types import Bill, Run

T = TypeVar("T")

_FRESH = 1.0
"""Seconds for which what was read serves: every ask looks at the rules."""


@dataclass(frozen=True)
class _Book:
    """What holds in a workspace, and what its channels ask by default."""

    policy: Policy
    defaults: Mapping[str, str]


class SqlGovernance:
    """:class:`core.stores.Governance` in SQL: what one process changes, any other finds within a second of
    ``monotonic``; this object shows its own changes at once.

    Every change and its entry in the audit log are one transaction. What was spent has no tie to its run: to delete a
    run gives no budget back.
    """

    def __init__(self, access: Access, *, monotonic: Callable[[], float]) -> None:
        self._access = access
        self._books: Kept[Place, _Book] = Kept(self._read, fresh=_FRESH, monotonic=monotonic)

    # --- what holds -------------------------------------------------------------------------------------

    async def policy(self, where: ThreadRef) -> Policy:
        """What holds in the workspace, at most a second old."""
        return (await self._books.get(_place(where))).policy

    async def channel_default(self, where: ThreadRef) -> str | None:
        """What the channel asks by default, at most a second old; None: nobody has set it."""
        return (await self._books.get(_place(where))).defaults.get(where.channel)

    async def retentions(self) -> list[tuple[Platform, str, int]]:
        """All workspaces that delete runs; where all do, those that have any, but for those that do not."""
        return await self._access.database.read(_retentions)

    async def _read(self, place: Place) -> _Book:
        return await self._access.database.read(partial(_book, place))

    # --- changes ----------------------------------------------------------------------------------------

    async def seed(self, spec: GovernanceSpec) -> None:
        """Take over what the models file says, each entry once and for all workspaces.

        What administrators change afterwards stays. Raises :class:`core.errors.ConfigError` for an entry that is
        wrong; nothing is taken over then.
        """
        seeds = Seeds.of(spec)
        await self._access.writer.change(partial(seeds.sow, self._access.do, self._access.clock()))
        self._books.forget()

    async def add_rule(self, where: ThreadRef, rule: Rule, by: Person) -> int:
        """Add a rule; returns its number, which no other rule ever gets. One with the same right and subject is
        replaced; the very same rule stays as it is."""
        return await self._change(partial(self._hand(where, by).add_rule, rule))

    async def lift_rule(self, where: ThreadRef, number: int, by: Person) -> Rule | None:
        """Take a rule back; None when there is none of that number. One that the models file gave holds elsewhere
        still."""
        return await self._change(partial(self._hand(where, by).lift_rule, number))

    async def set_budget(self, where: ThreadRef, budget: Budget, by: Person) -> None:
        """Set a budget; without an amount it is taken back, even where the models file gives one."""
        await self._change(partial(self._hand(where, by).set_budget, budget))

    async def set_confirmation(
        self, where: ThreadRef, by: Person, *, dollars: float | None, tokens: int | None
    ) -> None:
        """From which estimate runs are asked for twice; with neither: never."""
        await self._change(partial(self._hand(where, by).set_confirmation, dollars, tokens))

    async def set_retention(self, where: ThreadRef, by: Person, days: int | None) -> None:
        """After how many days runs are deleted; None: never."""
        await self._change(partial(self._hand(where, by).set_retention, days))

    async def set_channel_default(self, where: ThreadRef, name: str | None, by: Person) -> None:
        """What the channel asks by default; None takes it back."""
        await self._change(partial(self._hand(where, by).set_channel_default, where.channel, name))

    async def note(self, where: ThreadRef, by: Person, action: str, detail: str) -> None:
        """Write into the audit log."""
        await self._change(partial(self._hand(where, by).note, action, detail))

    async def audit(self, where: ThreadRef, limit: int, offset: int) -> list[Change]:
        """The workspace's audit log with what was changed everywhere, newest first."""
        platform, workspace = _place(where)
        here = and_(changes.c.platform == platform, changes.c.workspace.in_([workspace, EVERYWHERE]))
        anywhere = and_(changes.c.platform == EVERYWHERE, changes.c.workspace == EVERYWHERE)
        query = select(changes).where(or_(here, anywhere)).order_by(changes.c.id.desc()).limit(limit).offset(offset)
        fields = Change.model_fields
        return [Change.model_validate({f: row[f] for f in fields}) for row in await self._access.database.rows(query)]

    def _hand(self, where: ThreadRef, by: Person) -> Hand:
        return Hand(self._access.do, _place(where), by, self._access.clock())

    async def _change(self, work: Work[T]) -> T:
        try:
            return await self._access.writer.change(work)
        finally:
            self._books.forget()

    # --- what was spent ---------------------------------------------------------------------------------

    async def spending(self, where: ThreadRef, asker: Person, now: datetime) -> Spending:
        """What the person, the channel and the workspace have used in this day and month (UTC)."""
        platform, workspace = _place(where)
        given = {"platform_": platform, "workspace_": workspace, "asker_": asker.id, "channel_": where.channel}
        days = {f"{period}_": _day(begins(period, now)) for period in PERIODS}
        rows = await self._access.database.rows(_SPENT, {**given, **days, "today_": _day(now)})
        return Spending(of={row["name"]: _spent(row) for row in rows})

    async def reserve(self, run: Run, estimate: Estimate) -> None:
        """A run begins: its estimate counts until it is settled. Changes nothing for a run that was settled."""
        where = run.ask.where
        row = {
            "run_id": run.id,
            "platform": where.platform.value,
            "workspace": where.workspace,
            "channel": where.channel,
            "asker": run.ask.asker.id,
            "day": _day(run.created_at),
            **dict.fromkeys(USED, 0),
            "settled": False,
        }
        unpriced = estimate.calls if estimate.dollars is None else 0
        spent = Spent(runs=1, tokens=estimate.tokens, dollars=estimate.dollars or 0.0, unpriced=unpriced)
        await self._spend(run.id, spent, False, (self._access.do.open_spending, row))

    async def settle(self, run_id: str, bill: Bill) -> None:
        """A run is over: its bill counts. Changes nothing for a run that was never reserved."""
        spent = Spent(
            runs=1,
            tokens=bill.prompt_tokens + bill.completion_tokens,
            dollars=bill.cost,
            unpriced=bill.unpriced,
            uncounted=bill.uncounted,
        )
        await self._spend(run_id, spent, True)

    async def unsettled(self, before: datetime) -> list[str]:
        """Ids of runs that were asked on a day (UTC) before that one, and count by their estimate still."""
        query = select(spendings.c.run_id).where(spendings.c.settled.is_(False), spendings.c.day < _day(before))
        return [row["run_id"] for row in await self._access.database.rows(query)]

    async def forget_spending(self, before: datetime) -> None:
        """Delete who used how much on days (UTC) before that one."""
        await self._access.writer.change(partial(_forget_spending, _day(before)))

    async def _spend(self, run_id: str, spent: Spent, settles: bool, *first: Statement) -> None:
        do = self._access.do
        row = {"id_": run_id, "settled_": settles, **{f"{name}_": getattr(spent, name) for name in USED}}
        held = {"id_": run_id, "settled_": settles}
        adding: list[Statement] = [(do.add_spending, {**row, "scope_": scope}) for scope in SCOPES]
        await self._access.writer.write(run_id, *first, (do.hold_spending, held), *adding, (do.put_spending, row))


def _place(where: ThreadRef) -> Place:
    return where.platform.value, where.workspace


def _book(place: Place, connection: Connection) -> _Book:
    platform, workspace = place
    query = select(channels).where(channels.c.platform == platform, channels.c.workspace == workspace)
    defaults = {row["channel"]: row["consortium"] for row in fetch(query, connection)}
    return _Book(policy_of(place, connection), defaults)


def _retentions(connection: Connection) -> list[tuple[Platform, str, int]]:
    told = select(policies.c.platform, policies.c.workspace, policies.c.retention_days).where(policies.c.retains)
    days = {(row["platform"], row["workspace"]): row["retention_days"] for row in fetch(told, connection)}
    if (everywhere := days.pop((EVERYWHERE, EVERYWHERE), None)) is not None:
        for row in fetch(select(runs.c.platform, runs.c.workspace).distinct(), connection):
            days.setdefault((row["platform"], row["workspace"]), everywhere)
    return [(Platform(p), workspace, d) for (p, workspace), d in sorted(days.items()) if d is not None]


def _forget_spending(before: date, connection: Connection) -> None:
    for table in (spendings, totals):
        connection.execute(delete(table).where(table.c.day < before))


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _sum(scope: Scope, period: Period) -> Select[Any]:
    """One row: what was used in one scope and period. With all that the key begins with, it is sought and not
    scanned, whatever the database knows of its tables."""
    subject = {"user": bindparam("asker_"), "channel": bindparam("channel_"), "workspace": literal("")}[scope]
    sums: list[Any] = [func.coalesce(func.sum(totals.c[name]), 0).label(name) for name in USED]
    return (
        select(literal(f"{scope}/{period}").label("name"), *sums)
        .where(totals.c.platform == bindparam("platform_"), totals.c.workspace == bindparam("workspace_"))
        .where(totals.c.scope == scope, totals.c.subject == subject)
        .where(totals.c.day.between(bindparam(f"{period}_"), bindparam("today_")))
    )


_SPENT = union_all(*(_sum(scope, period) for scope in SCOPES for period in PERIODS))
"""Made once: to put it together takes longer than to carry it out."""


def _spent(row: RowMapping) -> Spent:
    """Dollars without the dust that adding and taking away leaves."""
    used = {name: row[name] for name in USED}
    return Spent.model_validate({**used, "dollars": round(used["dollars"], 9)})
