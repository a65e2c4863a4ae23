"""How much more workers carry out than one process: ``make bench-load``, or ``python -m tests.bench.load --help``.

In one run, side by side: ``consortium serve`` by itself, then one front with one, two and four workers. Everybody asks
at once in Slack; a model takes half a second. What was counted: asks answered a second, from the first question to the
last answer, and whose processor time went where meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.chaos import quiet
from tests.bench.crowd import Errand, Plan
from tests.bench.fleet import Fleet, Size, open_fleet, working_folder

WARM = 6
"""Asks before the first that counts: connections, caches and drawing processes are then made."""

BUSY = 0.8
"""Of a processor: a single process that uses as much is what holds up the others."""


@dataclass(frozen=True)
class Set:
    """One set-up: its name, and how many workers beside the front; none is one process that does all."""

    name: str
    workers: int


SETS = (Set("one process", 0), Set("1 worker", 1), Set("2 workers", 2), Set("4 workers", 4))


@dataclass(frozen=True)
class Measured:
    """What one set-up did: asks a second, processors in use by kind of process and by what else runs here, and the
    busiest of our own processes."""

    rate: float
    cores: dict[str, float]
    elsewhere: float
    busiest: tuple[str, float]


class Meter:
    """Processor seconds by kind of process, since it was made."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._began, self._before, self._busy = time.monotonic(), dict(self._read()), _busy()

    def all(self) -> float:
        """Processors in use by all that runs on this machine."""
        return (_busy() - self._busy) / (time.monotonic() - self._began)

    def cores(self) -> dict[str, float]:
        """Processors in use by each, on average: names as "worker0" and "worker0 drawing"."""
        seconds = time.monotonic() - self._began
        return {name: (used - self._before.get(name, 0.0)) / seconds for name, used in self._read()}

    def _read(self) -> Iterator[tuple[str, float]]:
        fleet = self._fleet
        for program in fleet.programs:
            yield program.name, _own(program.pid)
            yield f"{program.name} drawing", _children(program.pid)
        yield "Redis", _own(fleet.redis.pid)
        yield "PostgreSQL", _own(fleet.postgres.pid) + _children(fleet.postgres.pid)
        for name, pid in fleet.others.items():
            yield name, _own(pid)


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _own(pid: int | None) -> float:
    with suppress(psutil.Error):
        return float(sum(psutil.Process(pid).cpu_times()[:2]))
    return 0.0


def _children(pid: int | None) -> float:
    with suppress(psutil.Error):
        return sum(_own(child.pid) for child in psutil.Process(pid).children(recursive=True))
    return 0.0


def kind_of(name: str) -> str:
    """The kind of a process by its name."""
    plain = name.translate({ord(digit): None for digit in "0123456789"})
    return {"front": "fronts", "worker": "workers"}.get(plain, "drawing" if plain.endswith("drawing") else plain)


def plan(asks: int, *, charts: bool) -> Plan:
    """Some to warm up, each after the other; then all at once, each in a channel of its own. Slack bounds nothing."""
    warm = [Errand(number, "command", number * 0.5, number) for number in range(WARM)]
    rest = [Errand(WARM + number, "command", 0.0, WARM + number) for number in range(asks)]
    return Plan((*warm, *rest), rate_scale=0.001, charts=charts)


async def measure(a_set: Set, asks: int, folder: Path, *, seconds: float, charts: bool) -> Measured:
    """Throughput of one set-up."""
    size = Size(1, a_set.workers, seconds, alone=a_set.workers == 0)
    async with open_fleet(size, plan(asks, charts=charts), folder) as fleet:
        await fleet.crowd({"do": "begin", "upto": WARM})
        if not await quiet(fleet, 120):
            raise SystemExit(f"{a_set.name}: not all answers came")
        meter, began = Meter(fleet), time.monotonic()
        await fleet.crowd({"do": "begin"})
        if not await quiet(fleet, 600, grace=0.0):
            raise SystemExit(f"{a_set.name}: not all answers came")
        took, cores, busy = time.monotonic() - began, meter.cores(), meter.all()
        kinds: dict[str, float] = {}
        for name, used in cores.items():
            kinds[kind_of(name)] = kinds.get(kind_of(name), 0.0) + used
        ours = {name: used for name, used in cores.items() if kind_of(name) in ("fronts", "workers", "people")}
        name = max(ours, key=lambda key: ours[key])
        return Measured(asks / took, kinds, max(0.0, busy - sum(kinds.values())), (name, ours[name]))


def told(a_set: Set, runs: Sequence[Measured], single: float) -> str:
    """A line of the table: medians."""
    rate = statistics.median(run.rate for run in runs)
    middle = min(runs, key=lambda run: abs(run.rate - rate))
    costs = {kind: used / middle.rate for kind, used in middle.cores.items()}
    each = ", ".join(f"{kind} {cost * 1e3:.0f}" for kind, cost in sorted(costs.items(), key=lambda e: -e[1]))
    there = os.cpu_count() or 1
    return (
        f"{a_set.name:<12} {rate:5.2f} asks/s ({min(r.rate for r in runs):.2f} to {max(r.rate for r in runs):.2f}), "
        f"{rate / single:4.2f} of one process; {limit(middle)}\n"
        f"{'':<12} ms of processor an ask: {each}; so {there} processors carry {there / sum(costs.values()):.0f} asks/s"
    )


def limit(measured: Measured) -> str:
    """What held it up, as far as processor time tells."""
    there = os.cpu_count() or 1
    name, used = measured.busiest
    all_of_it = sum(measured.cores.values()) + measured.elsewhere
    figures = f"busiest {name} with {used:.2f}, elsewhere {measured.elsewhere:.2f}, {all_of_it:.2f} of {there} in use"
    if used >= BUSY:
        return f"held up by one process ({figures})"
    if all_of_it >= BUSY * there:
        others = ", by what else runs on it" if measured.elsewhere > sum(measured.cores.values()) else ""
        return f"held up by the machine{others} ({figures})"
    return f"held up by no processor: by waiting ({figures})"


async def main() -> None:
    """Measure all, in turn, as often as wanted: a noisy machine then treats them alike."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--asks", type=int, default=60, help="how many ask at once")
    parser.add_argument("--repeat", type=int, default=2, help="how often each set-up is measured")
    parser.add_argument("--model-seconds", type=float, default=0.5)
    parser.add_argument("--no-charts", dest="charts", action="store_false", help="answers without charts")
    options = parser.parse_args()
    found: dict[Set, list[Measured]] = {a_set: [] for a_set in SETS}
    async with working_folder(keep=False) as folder:
        for turn in range(options.repeat):
            for number, a_set in enumerate(SETS):
                place = folder / f"{turn}-{number}"
                found[a_set].append(
                    await measure(a_set, options.asks, place, seconds=options.model_seconds, charts=options.charts)
                )
                print(f"{a_set.name}: {found[a_set][-1].rate:.2f} asks/s", file=sys.stderr, flush=True)
    single = statistics.median(run.rate for run in found[SETS[0]])
    print(
        f"{options.asks} asks at once, models of {options.model_seconds} s, {'with' if options.charts else 'no'} charts"
    )
    for a_set, runs in found.items():
        print(told(a_set, runs, single))


if __name__ == "__main__":
    asyncio.run(main())
