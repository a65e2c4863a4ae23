"""Runs that a workspace does not want to keep any longer are deleted, every hour."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from core.asks import Person, Platform, ThreadRef
from core.errors import ConsortiumError
from core.service.office import Office
from core.telemetry import get_logger

log = get_logger(__name__)

PORTION = 100
"""Runs that are deleted at a time, so that nobody who asks has to wait for it."""

HOUR = 3600.0
"""Seconds between two sweeps."""

SWEEPER = Person(id="consortium", name="Consortium")
"""Who deletes, in the audit log."""


async def sweep(office: Office) -> int:
    """Delete the runs that ended longer ago than their workspace keeps them; returns how many. Raises Unavailable."""
    deleted = 0
    for platform, workspace, days in await office.governance.retentions():
        deleted += await _sweep_one(office, platform, workspace, days)
    return deleted


async def keep_sweeping(office: Office, sleep: Callable[[float], Awaitable[object]]) -> None:
    """Sweep now and every hour, until cancelled. A sweep that fails is logged, and made up for by the next."""
    while True:
        try:
            if deleted := await sweep(office):
                log.info("runs deleted that were kept long enough", runs=deleted)
        except ConsortiumError as error:
            log.warning("retention not kept to for now", error=str(error))
        await sleep(HOUR)


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
