"""Fronts and workers under fire: ``make chaos``, or ``python -m tests.bench.chaos --help``.

People ask in Slack while processes are killed, servers are restarted, sockets are dropped and calls fail. When all is
quiet it is judged from outside that each ask has its answer, once. Exits with 1 where one has not. A seed repeats the
schedule.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from tests.bench.crowd import Plan, errands
from tests.bench.fleet import MEMBERS, Fleet, Program, Size, open_fleet, working_folder
from tests.bench.verdicts import Judge, Judgement, records, summary

GRACE = 3.0
"""Seconds for which it stays quiet before it is judged: what is shown twice comes late."""

STILL = 75.0
"""Seconds without a change after which nothing more will come."""

ORPHANS = 5.0
"""Seconds that processes get to notice that theirs was killed."""


@dataclass(frozen=True)
class Options:
    """What goes wrong. Times in seconds; ``kills`` bounds how many processes are killed, None: by time alone.
    ``stalls`` is how many processes stand still for ``stall`` seconds, so that others take them for dead."""

    asks: int = 200
    fronts: int = 2
    workers: int = 3
    seconds: float = 75.0
    kill_every: float = 2.0
    kills: int | None = None
    redis_restarts: int = 1
    redis_away: float = 1.0
    redis_empty: bool = False
    stalls: int = 0
    stall: float = 12.0
    postgres_stop: float = 0.0
    drops: int = 5
    share: float = 0.05
    channels: int = 20
    model_seconds: float = 1.0
    settle: float = 180.0
    grace: float = GRACE
    seed: int = 1
    socket: bool = True
    keep: bool = False

    @property
    def plan(self) -> Plan:
        """What people do."""
        asked = errands(self.asks, self.seconds, self.channels, self.seed)
        return Plan(asked, socket=self.socket, seed=self.seed)


class Trouble:
    """All that goes wrong in a fleet, by a schedule that its seed decides."""

    def __init__(self, fleet: Fleet, options: Options) -> None:
        self._fleet, self._options = fleet, options
        self._chance = random.Random(options.seed)
        self._began = time.monotonic()
        self.notes: list[str] = []
        self.kills = self.hits = 0

    async def strike(self) -> None:
        """Until the schedule is over."""
        events = sorted(self._schedule(), key=lambda event: event[0])
        async with asyncio.TaskGroup() as group:
            for at, act in events:
                await asyncio.sleep(self._began + at - time.monotonic())
                group.create_task(act())

    def _schedule(self) -> Iterator[tuple[float, Callable[[], Coroutine[Any, Any, None]]]]:
        options, chance = self._options, self._chance
        at, kills = options.kill_every, 0
        while at < options.seconds and (options.kills is None or kills < options.kills):
            victim = chance.choice(self._fleet.programs)
            yield at, partial(self._kill, victim)
            at, kills = at + options.kill_every, kills + 1
        for number in range(options.drops):
            reason = chance.choice([None, "warning", "refresh_requested"])
            share = (number + chance.random()) / options.drops
            yield share * options.seconds, partial(self._drop, reason)
        for number in range(options.redis_restarts):
            yield options.seconds * (number + 0.5) / options.redis_restarts, self._restart_redis
        for number in range(options.stalls):
            sleeper = chance.choice(self._fleet.programs)
            yield options.seconds * (number + 0.3) / options.stalls, partial(self._stall, sleeper)
        if options.postgres_stop:
            yield options.seconds / 3, self._stop_postgres

    def _note(self, what: str) -> None:
        self.notes.append(f"{time.monotonic() - self._began:6.1f} s  {what}")

    async def _kill(self, victim: Program) -> None:
        pid, ready = victim.pid, victim.up
        if victim.kill():
            self.kills += 1
            self.hits += ready
            self._note(f"{victim.name} killed ({pid}{'' if ready else ', while it started'})")
        else:
            self._note(f"{victim.name} was to be killed, and is down")

    async def _stall(self, sleeper: Program) -> None:
        """It stands still, and goes on as if nothing had been."""
        pid = sleeper.pid
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self._note(f"{sleeper.name} stands still ({pid})")
            await asyncio.sleep(self._options.stall)
            if sleeper.pid == pid:
                os.kill(pid, signal.SIGCONT)
                self._note(f"{sleeper.name} goes on ({pid})")

    async def _drop(self, reason: str | None) -> None:
        if self._options.socket:
            await self._fleet.crowd({"do": "drop", "reason": reason})
            self._note(f"sockets dropped ({reason or 'reset'})")

    async def _restart_redis(self) -> None:
        await asyncio.to_thread(self._fleet.redis.stop, signal.SIGKILL)
        self._note("Redis killed")
        if self._options.redis_empty:
            await asyncio.to_thread(self._fleet.redis.forget)
            self._note("Redis has lost its data")
        await asyncio.sleep(self._options.redis_away)
        await asyncio.to_thread(self._fleet.redis.start)
        self._note("Redis is back")

    async def _stop_postgres(self) -> None:
        await asyncio.to_thread(self._fleet.postgres.stop)
        self._note("PostgreSQL stopped")
        await asyncio.sleep(self._options.postgres_stop)
        await asyncio.to_thread(self._fleet.postgres.start)
        self._note("PostgreSQL is back")


async def quiet(fleet: Fleet, seconds: float, grace: float = GRACE) -> bool:
    """Wait until every ask is answered, delivered and on record as over; False where that takes longer. ``grace`` is
    for how long it then stays so."""
    end, changed, before = time.monotonic() + seconds, time.monotonic(), (-1, -1)
    while time.monotonic() < end and time.monotonic() < changed + STILL:
        state = await fleet.crowd({"do": "open"})
        now = (sum(state.values()), await _unfinished(fleet.postgres.url))
        if not any(now):
            await asyncio.sleep(grace)
            return True
        changed, before = changed if now == before else time.monotonic(), now
        await asyncio.sleep(0.2)
    return False


async def _unfinished(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        open_ = "SELECT count(*) FROM runs WHERE delivered_at IS NULL OR status IN ('pending', 'running')"
        return int(await connection.fetchval(open_))
    finally:
        await connection.close()


async def chaos(options: Options, folder: Path) -> tuple[Judgement, Trouble]:
    """Run it all once."""
    size = Size(options.fronts, options.workers, options.model_seconds)
    began = time.monotonic()
    async with open_fleet(size, options.plan, folder) as fleet:
        ready = time.monotonic() - began
        await fleet.crowd({"do": "weather", "share": options.share, "seed": options.seed})
        await fleet.crowd({"do": "begin"})
        trouble = Trouble(fleet, options)
        began = time.monotonic()
        await trouble.strike()
        struck = time.monotonic() - began
        settled = await quiet(fleet, options.settle, options.grace)
        seconds = time.monotonic() - began
        seen, calls = await fleet.crowd({"do": "look"}), await fleet.calls({})
        (folder / "seen.json").write_text(json.dumps(seen, indent=1))
        judge = Judge(seen, await records(fleet.postgres.url), calls, panel=len(MEMBERS))
        judgement = judge.judge()
        judgement.figures = _events(fleet, trouble) | {
            "ready after": f"{ready:.1f} s",
            "trouble for, quiet after": f"{struck:.0f} s, {seconds:.0f} s",
        } | judgement.figures  # fmt: skip
        if not settled:
            judgement.violations.append(f"not quiet {seconds - struck:.0f} s after the trouble")
        judgement.violations += [f"does not start: {one.name}" for one in fleet.programs if one.given_up]
        await _orphans(fleet, judgement)
        return judgement, trouble


def _events(fleet: Fleet, trouble: Trouble) -> dict[str, Any]:
    starts = [life.ready - life.began for p in fleet.programs for life in p.lives if life.ready is not None]
    ended = [(p.name, life.ended) for p in fleet.programs for life in p.lives if life.ended and not life.killed]
    return {
        "processes": f"{len(fleet.fronts)} fronts, {len(fleet.workers)} workers",
        "killed (after they were ready)": f"{trouble.kills} ({trouble.hits})",
        "ended by themselves": ", ".join(f"{name} ({code})" for name, code in ended) or "none",
        "ready after a start, mean / most": f"{sum(starts) / len(starts):.1f} / {max(starts):.1f} s",
    }


async def _orphans(fleet: Fleet, judgement: Judgement) -> None:
    """The processes of a killed process end too."""
    end = time.monotonic() + ORPHANS
    while (left := sum(program.orphans() for program in fleet.programs)) and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    if left:
        judgement.violations.append(f"orphans: {left} processes of killed processes go on")


def arguments(given: Sequence[str]) -> Options:
    """Options from the command line."""
    usual = Options()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.chaos", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--asks", type=int, default=usual.asks)
    add("--fronts", type=int, default=usual.fronts)
    add("--workers", type=int, default=usual.workers)
    add("--seconds", type=float, default=usual.seconds, help="how long asks are spread over")
    add("--kill-every", type=float, default=usual.kill_every, help="seconds between two kills")
    add("--kills", type=int, default=None, help="kill so many at the most")
    add("--redis-restarts", type=int, default=usual.redis_restarts)
    add("--redis-empty", action="store_true", help="Redis comes back without its data")
    add("--stalls", type=int, default=0, help="how many processes stand still for a while")
    add("--stall", type=float, default=usual.stall, help="seconds for which they do")
    add("--postgres-stop", type=float, default=0.0, help="seconds for which PostgreSQL is stopped mid-way")
    add("--drops", type=int, default=usual.drops, help="how often Slack's sockets are dropped")
    add("--share", type=float, default=usual.share, help="of the platform's calls that fail, 0 to 1")
    add("--model-seconds", type=float, default=usual.model_seconds)
    add("--settle", type=float, default=usual.settle, help="seconds to wait for quiet")
    add("--seed", type=int, default=usual.seed)
    add("--mode", choices=("socket", "http"), default="socket")
    add("--keep", action="store_true", help="keep the logs")
    found = vars(parser.parse_args(given))
    socket = found.pop("mode") == "socket"
    return Options(**found, socket=socket)


async def main() -> int:
    """Run, print, and tell by the exit code whether all demands were met."""
    options = arguments(sys.argv[1:])
    async with working_folder(options.keep) as folder:
        if options.keep:
            print(f"logs in {folder}", flush=True)
        judgement, trouble = await chaos(options, folder)
        (folder / "judgement.txt").write_text("\n".join([*trouble.notes, judgement.table()]))
    print("\n".join(trouble.notes))
    print(judgement.table())
    if judgement.violations:
        print(summary(judgement.violations))
    return 1 if judgement.violations else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
