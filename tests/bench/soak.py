"""Half of what it can carry, for long: ``make soak``, or ``python -m tests.bench.soak --minutes 20``.

First so many ask at once, which tells what the fleet carries; then people ask at half that rate. Every five seconds
each process's memory, open files and tasks are noted, and the servers' connections. A line through what was noted after
the warm-up tells what grows. Exits with 1 where something does, or where an ask went without its answer.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg  # type: ignore[import-untyped]
import psutil
import redis.asyncio as aioredis

from tests.bench.chaos import quiet
from tests.bench.crowd import Errand, Plan
from tests.bench.fleet import MEMBERS, Fleet, Program, Size, open_fleet, working_folder
from tests.bench.verdicts import Judge, records

BURST = 20
"""How many ask at once to find out what the fleet carries."""

CHANNELS = 40

EVERY = 5.0
"""Seconds between two samples."""

SLACK = {"MB": 8.0, "files": 5.0, "tasks": 10.0, "connections": 3.0, "keys": 5.0}
"""By how much a figure may go up over the whole time, by its unit, before it counts as growing: caches fill slowly."""

_TASKS = re.compile(r"^consortium_asyncio_tasks (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Trend:
    """A line through samples: where it begins and ends, the least and the most, and whether it goes up."""

    name: str
    unit: str
    first: float
    last: float
    least: float
    most: float
    grows: bool

    def __str__(self) -> str:
        verdict = "GROWS" if self.grows else "no growth"
        return (
            f"{self.name:<32} {self.first:8.1f} to {self.last:8.1f} {self.unit:<12} "
            f"(from {self.least:.0f} to {self.most:.0f})  {verdict}"
        )


def trend(name: str, samples: Sequence[tuple[float, float]]) -> Trend:
    """Samples are (seconds, value). It grows where the line goes up by more than the unit's slack and a twentieth of
    where it began, and the last third is above the middle one as well: a level that is reached is no growth."""
    times, values = [at for at, _ in samples], [value for _, value in samples]
    slope, start = statistics.linear_regression(times, values)
    first, last = start + slope * times[0], start + slope * times[-1]
    unit = name.rpartition(" ")[2]
    third = len(values) // 3
    still = statistics.median(values[-third:]) - statistics.median(values[third:-third])
    slack = max(SLACK[unit], first / 20)
    return Trend(name, unit, first, last, min(values), max(values), last - first > slack and still > slack / 3)


class Sampler:
    """Notes what a fleet uses."""

    def __init__(self, fleet: Fleet, session: aiohttp.ClientSession) -> None:
        self._fleet, self._session = fleet, session
        self._began = time.monotonic()
        self.samples: dict[str, list[tuple[float, float]]] = defaultdict(list)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(EVERY)

    async def sample(self) -> None:
        """Note everything once."""
        for program in self._fleet.programs:
            with suppress(psutil.Error):
                process = psutil.Process(program.pid)
                below = process.children(recursive=True)
                self._note(f"{program.name} MB", process.memory_info().rss / 2**20)
                # Forked from one process, they share most of their memory: only their own counts.
                own = sum(child.memory_full_info().uss for child in below)
                self._note(f"{program.name} below it MB", own / 2**20)
                self._note(f"{program.name} files", process.num_fds())
            if (tasks := await self._tasks(program)) is not None:
                self._note(f"{program.name} tasks", tasks)
        async with aioredis.Redis.from_url(self._fleet.redis.url) as client:
            info = await client.info()
            keys = info.get("db0", {"keys": 0, "expires": 0})
            self._note("Redis connections", info["connected_clients"])
            # What ends by itself (after an hour, most of it) is no growth.
            self._note("Redis keys without an end keys", keys["keys"] - keys["expires"])
        self._note("PostgreSQL connections", await _connections(self._fleet.postgres.url))

    def _note(self, name: str, value: float) -> None:
        self.samples[name].append((time.monotonic() - self._began, value))

    async def _tasks(self, program: Program) -> float | None:
        """Tasks of its event loop, where it serves its figures."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"http://127.0.0.1:{program.port}/metrics") as response:
                if response.status == 200 and (found := _TASKS.search(await response.text())):
                    return float(found[1])
        return None


async def _connections(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE client_port IS NOT NULL"))
    finally:
        await connection.close()


async def capacity(size: Size, folder: Path) -> float:
    """Asks a second when many ask at once."""
    errands = [Errand(number, "command", 0.0, number) for number in range(2 * BURST)]
    async with open_fleet(size, Plan(tuple(errands), rate_scale=0.001), folder) as fleet:
        await fleet.crowd({"do": "begin", "upto": BURST})
        await quiet(fleet, 300)
        began = time.monotonic()
        await fleet.crowd({"do": "begin"})
        if not await quiet(fleet, 300, grace=0.0):
            raise SystemExit("not all answers came")
        return BURST / (time.monotonic() - began)


def steadily(rate: float, minutes: float) -> Plan:
    """So many asks a second, by command and by mention, in channels that hear of one now and then."""
    count = max(1, round(rate * minutes * 60))
    chance = random.Random(1)
    errands = [
        Errand(n, "mention" if n % 2 else "command", (n + chance.random()) / rate, n % CHANNELS) for n in range(count)
    ]
    return Plan(tuple(errands), rate_scale=0.1)


async def soak(size: Size, rate: float, minutes: float, warm: float, folder: Path) -> tuple[list[Trend], list[str]]:
    """Trends of all that was noted after ``warm`` minutes, and violations."""
    async with (
        open_fleet(size, steadily(rate, minutes), folder) as fleet,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2)) as session,
    ):
        sampler = Sampler(fleet, session)
        sampling = asyncio.create_task(sampler.run())
        await fleet.crowd({"do": "begin"})
        await asyncio.sleep(minutes * 60)
        sampling.cancel()
        await asyncio.wait([sampling])
        settled = await quiet(fleet, 120)
        seen, calls = await fleet.crowd({"do": "look"}), await fleet.calls({})
        judgement = Judge(seen, await records(fleet.postgres.url), calls, panel=len(MEMBERS)).judge()
        print(judgement.table())
        late = {name: [s for s in samples if s[0] > warm * 60] for name, samples in sampler.samples.items()}
        trends = [trend(name, samples) for name, samples in sorted(late.items()) if len(samples) > 6]
        return trends, judgement.violations + ([] if settled else ["not quiet at the end"])


async def main() -> int:
    """Measure, soak, and tell by the exit code whether anything grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--warm", type=float, default=None, help="minutes that do not count; default: a quarter")
    parser.add_argument("--rate", type=float, default=None, help="asks a second; default: half of what it carries")
    parser.add_argument("--fronts", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model-seconds", type=float, default=0.5)
    options = parser.parse_args()
    size = Size(options.fronts, options.workers, options.model_seconds)
    warm = options.minutes / 4 if options.warm is None else options.warm
    async with working_folder(keep=False) as folder:
        rate = options.rate
        if rate is None:
            most = await capacity(size, folder / "capacity")
            rate = most / 2
            print(f"carries {most:.2f} asks/s when {BURST} ask at once; half of it for {options.minutes:g} minutes")
        trends, violations = await soak(size, rate, options.minutes, warm, folder / "soak")
    print("\n".join(map(str, trends)))
    growing = [line.name for line in trends if line.grows]
    print(f"grows: {', '.join(growing) or 'nothing'}")
    return 1 if growing or violations else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
