"""The fair queue: runs wait by tenant, and tenants take turns at what room workers have.

Keys, all below ``{name}:fair:``:
- of runs, ``asks`` and ``runs`` (hashes: the ask, its tenant), ``since`` (when each began to wait), ``leases`` (those
  handed out or at work, and until when), ``holder`` (the worker of those at work), ``begun`` (those that were at work
  before), ``ended:{run}`` for ten minutes and ``withdrawn:{run}`` for one;
- of tenants, ``wait:{tenant}`` (a list), ``busy:{tenant}`` (its runs handed out or at work), and whose turn it is:
  ``heads``, ``last`` and ``clock``;
- of workers, ``workers`` (and until when they are there), ``capacity``, ``at:{worker}`` (its runs), ``swept`` (when one
  last looked for runs of which nothing is heard).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from adapters.state.redis import Argument, Link, Script
from core.asks import Ask, Platform
from core.ports import QueueDepth
from core.stores import home

HANDED_SECONDS = 2.0
"""A run that was handed out and that no worker begins for so long is handed out again."""


def tenant(ask: Ask) -> str:
    """Who takes turns with others: a workspace, a direct message that belongs to none, a person of the page or the
    command line."""
    where = home(ask.where)
    platform, name = where or (ask.where.platform, ask.asker.id)
    return f"{Platform(platform)}:{quote(name, safe='')}"


@dataclass(frozen=True)
class Report:
    """What a worker is told: runs to hand out; its own that another has, or that are not known; all workers; how many
    runs wait."""

    handed: list[str]
    lost: list[str]
    unknown: list[str]
    workers: list[str]
    waiting: int


class FairQueue:
    """The queue's state. Every method is one round trip, may be repeated, and raises Unavailable.

    Where runs are handed out, whoever asked passes them on to the workers; those that nobody begins are handed out
    again. ``at_once`` is how many runs of a tenant are at work at the most, 0: any number. ``lease`` is in seconds.
    A queue that is not ``lasting`` is forgotten an hour after its last worker.
    """

    def __init__(self, link: Link, name: str, *, at_once: int, lease: float, lasting: bool) -> None:
        self._link, self._key, self._lasting = link, f"{name}:fair", lasting
        self._expires_again = 0.0
        self._settings = (at_once, round(lease * 1000), round(min(HANDED_SECONDS, lease) * 1000))
        self._script = Script(files("adapters.state").joinpath("fair.lua").read_text())

    async def submit(self, ask: Ask) -> list[str]:
        """Have it wait; returns the runs to hand out. Nothing changes where it is known."""
        return _words(await self._run("submit", ask.id, tenant(ask), ask.model_dump_json()))

    async def place(self, run_id: str) -> int | None:
        """How many others begin before it; None when it does not wait."""
        ahead: int = await self._run("place", run_id)
        return None if ahead < 0 else ahead

    async def withdraw(self, run_id: str) -> bool:
        """Take it out. False when it does not wait."""
        return bool(await self._run("withdraw", run_id, secrets.token_hex(8)))

    async def depth(self) -> QueueDepth:
        """How many wait and are at work."""
        waiting, running, oldest = await self._run("depth")
        return QueueDepth(waiting=waiting, running=running, oldest=oldest / 1000 if oldest >= 0 else None)

    async def begin(self, run_id: str, worker: str) -> tuple[str, bool] | None:
        """The worker has it: the ask as JSON, and whether it has been at work before. None: it is not to be begun,
        for it is over, withdrawn, or at work elsewhere."""
        begun = await self._run("begin", run_id, worker, secrets.token_hex(8))
        return None if begun is None else (begun[0].decode(), bool(begun[1]))

    async def report(
        self, worker: str, *, capacity: int, alive: float, dead: Collection[str], ended: list[str], running: list[str]
    ) -> Report:
        """The worker is there for ``alive`` seconds, with room for ``capacity`` runs; those of ``dead`` are free."""
        now = time.monotonic()
        if expires := not self._lasting and now > self._expires_again:
            self._expires_again = now + 60
        about = (worker, capacity, round(alive * 1000), int(expires), " ".join(dead), len(ended))
        handed, lost, unknown, workers, waiting = await self._run("report", *about, *ended, *running)
        return Report(_words(handed), _words(lost), _words(unknown), _words(workers), waiting)

    async def restore(self, ask: Ask, worker: str) -> None:
        """The worker goes on with a run that Redis has lost."""
        await self._run("restore", ask.id, tenant(ask), ask.model_dump_json(), worker)

    async def leave(self, worker: str, ended: list[str]) -> list[str]:
        """The worker goes, and what it has at work is free; returns the runs to hand out."""
        return _words(await self._run("leave", worker, *ended))

    async def forget(self) -> None:
        """Delete it."""
        await self._run("forget")

    async def _run(self, operation: str, *args: Argument) -> Any:
        return await self._link.script(self._script, (self._key,), (operation, *self._settings, *args))


def _words(reply: list[bytes]) -> list[str]:
    return [word.decode() for word in reply]
