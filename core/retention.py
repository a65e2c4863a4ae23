"""What is not to be kept any longer goes, every hour: runs, as their workspace wants it; and who used how much, once
the month is over. What was set aside on budgets for runs that never came to an end is given back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from core.asks import Person, Platform, ThreadRef
from core.engine import usages
from core.errors import ConsortiumError
from core.governance import begins
from core.service.office import Office
from core.telemetry import get_logger
from core.types import Bill

log = get_logger(__name__)

PORTION = 100
"""Runs that are deleted at a time, so that nobody who asks has to wait for it."""

HOUR = 3600.0
"""Seconds between two sweeps."""

LOST = timedelta(days=1)
"""After how long a run that has not ended never will."""

SWEEPING = "retention"
"""What the process that sweeps has claimed."""

SWEEPER = Person(id="consortium", name="Consortium")
"""Who deletes, in the audit log."""


async def sweep(office: Office) -> int:
    """Delete the runs that ended longer ago than their workspace keeps them; returns how many. Raises Unavailable."""
    now = office.clock()
    await _settle_lost(office, now - LOST)
    await office.governance.forget_spending(begins("month", now))
    deleted = 0
    for platform, workspace, days in await office.governance.retentions():
        deleted += await _sweep_one(office, platform, workspace, days)
    return deleted


async def keep_sweeping(office: Office, sleep: Callable[[float], Awaitable[object]]) -> None:
    """Sweep now and every hour, until cancelled. A sweep that fails is logged, and made up for by the next.

    Of many processes one sweeps, for as long as it is there. Should two do so (Redis has lost who it was), that does no
    harm: what one has deleted the other does not find.
    """
    while True:
        try:
            if await office.claims.take(SWEEPING) and (deleted := await sweep(office)):
                log.info("runs deleted that were kept long enough", runs=deleted)
        except ConsortiumError as error:
            log.warning("retention not kept to for now", error=str(error))
        except Exception:
            log.exception("retention not kept to for now")
        await sleep(HOUR)


async def _settle_lost(office: Office, before: datetime) -> None:
    """What runs have used that nobody could settle counts in place of their estimate; of one that is not on record
    that is nothing."""
    for run_id in await office.governance.unsettled(before):
        run = await office.history.run(run_id)
        bill = Bill() if run is None else run.bill if run.ended_at else Bill.of(usages(run.rounds))
        await office.governance.settle(run_id, bill)


async def _sweep_one(office: Office, platform: Platform, workspace: str, days: int) -> int:
    before = office.clock() - timedelta(days=days)
    deleted = 0
    try:
        while ids := await office.history.expired(platform, workspace, before, PORTION):
            await office.history.delete(*ids)
            deleted += len(ids)
    finally:
        if deleted:
            runs = "1 run" if deleted == 1 else f"{deleted:,} runs"
            where = ThreadRef(platform=platform, workspace=workspace, channel="")
            await office.governance.note(where, SWEEPER, "retention", f"{runs} older than {days} days deleted")
    return deleted
