"""Runs the benchmark and prints its figures: ``python -m tests.bench [overhead|bulk|hang|chat|serve|history …]``."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvloop

from bot.app import Core, open_core
from bot.cli import spare_collections
from bot.settings import Settings
from core.asks import Person, Platform, ThreadRef
from core.catalog import Catalog
from core.commands.values import AskCommand
from core.delivery import RunView, deliver
from core.service import Inbound
from core.study.studio import Studio
from core.types import Chart, Run
from tests.bench.chat import THINKING, chat
from tests.bench.history import history

LATENCY = 0.3
LIMIT = 2 * LATENCY
"""Seconds that one ask cannot go below: members, then arbiter."""


@dataclass
class Shown:
    """A presenter that notes when things arrive."""

    pace: float = 0.5
    tick: float | None = None
    answered: float = 0.0
    drawn: float = 0.0
    run: Run | None = None
    pictures: tuple[Chart, ...] = ()
    failure: str = ""

    async def progress(self, view: RunView) -> None:
        """Not measured."""

    async def answer(self, run: Run) -> None:
        self.answered, self.run = time.perf_counter(), run

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        self.drawn, self.pictures = time.perf_counter(), charts

    async def failed(self, run: Run, text: str) -> None:
        self.failure = text


@dataclass
class Watch:
    """Processor time, memory and the longest pause of the loop over a stretch of time."""

    pause: float = 0.0
    memory: int = 0
    drawing_memory: int = 0
    cpu: float = 0.0
    drawing_cpu: float = 0.0
    wall: float = 0.0
    _children: list[psutil.Process] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def over(self) -> AsyncIterator[Watch]:
        """Measure what happens inside."""
        me = psutil.Process()
        self._children = [p for p in me.children(recursive=True) if "multiprocessing" in " ".join(p.cmdline())]
        before = self._drawing_cpu()
        pulse = asyncio.create_task(self._pulse(me))
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield self
        finally:
            self.cpu, self.wall = time.process_time() - cpu, time.perf_counter() - wall
            self.drawing_cpu = self._drawing_cpu() - before
            pulse.cancel()

    def _drawing_cpu(self) -> float:
        return sum(sum(p.cpu_times()[:2]) for p in self._children)

    async def _pulse(self, me: psutil.Process) -> None:
        sampled = 0.0
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            self.pause = max(self.pause, now - start - 0.005)
            if now - sampled > 0.2:
                sampled = now
                self.memory = max(self.memory, me.memory_info().rss)
                self.drawing_memory = max(self.drawing_memory, sum(p.memory_info().rss for p in self._children))


def catalog(base_url: str) -> Catalog:
    """Four members and an arbiter at the emulated provider."""
    models = {k: {"provider": "p", "name": k, "timeout": 30} for k in ("m1", "m2", "m3", "m4", "judge", "hanging")}
    return Catalog.model_validate(
        {
            "providers": {"p": {"base_url": base_url, "api_key_env": "OPENROUTER_API_KEY"}},
            "models": models,
            "consortia": {
                "default": {"members": ["m1", "m2", "m3", "m4"], "arbiter": "judge"},
                "hanging": {"members": ["m1", "m2", "m3", "hanging"], "arbiter": "judge"},
            },
            "limits": {"user": "1000000/minute", "workspace": "1000000/minute"},
        }
    )


@contextlib.asynccontextmanager
async def bench_core(latency: float = LATENCY) -> AsyncIterator[Core]:
    """The product on an embedded server and a file, against a provider in a process of its own, whose models take
    ``latency`` seconds."""
    provider = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.provider", str(latency)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert provider.stdout is not None
    url = (await provider.stdout.readline()).decode().strip()
    os.environ["OPENROUTER_API_KEY"] = "sk-emulated-1234567890"
    try:
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(data_dir=Path(folder), run_concurrency=256, redis_url="")
            async with open_core(settings, catalog(url)) as core:
                assert core.studio
                await core.studio.warm()
                yield core
    finally:
        provider.kill()
        await provider.wait()


async def ask(core: Core, number: int, *, charts: bool, consortium: str | None = None) -> tuple[float, Shown]:
    """One ask to its end; when it was sent, and what arrived when."""
    who = Person(id=f"u{number}")
    where = ThreadRef(platform=Platform.CLI, workspace="bench", channel="c", private=True)
    command = AskCommand(text=f"Question {number}: should it be the default?", charts=charts, consortium=consortium)
    started, shown = time.perf_counter(), Shown()
    run = await core.service.handle(command, Inbound(asker=who, where=where))
    assert isinstance(run, Run)
    await deliver(run, shown, core.events, core.history)
    if shown.run is None:
        raise SystemExit(f"an ask failed: {shown.failure}")
    return started, shown


async def overhead(core: Core) -> None:
    """One ask at a time."""
    for i in range(5):
        await ask(core, i, charts=True)
    asks = [await ask(core, 100 + i, charts=True) for i in range(20)]
    answer = [(shown.answered - started - LIMIT) * 1e3 for started, shown in asks]
    charts = [(shown.drawn - shown.answered) * 1e3 for _, shown in asks]
    print(f"one ask, warm, over its {LIMIT} s: {spread(answer)} ms; charts after the answer: {spread(charts)} ms")


async def bulk(core: Core) -> None:
    """Many asks at once, without charts and with both; warm: connections have been made by as many before."""
    await asyncio.gather(*(ask(core, 20_000 + i, charts=True) for i in range(50)))
    for count in (50, 200):
        for charts in (False, True):
            gc.collect()
            async with Watch().over() as watch:
                asks = await asyncio.gather(*(ask(core, count * 1000 + i, charts=charts) for i in range(count)))
            waits = sorted(shown.answered - started for started, shown in asks)
            line = (
                f"{count} asks at once, {'both charts' if charts else 'no charts'}: {count / watch.wall:.1f} asks/s, "
                f"answer p50 {waits[count // 2]:.2f} s, p95 {waits[int(count * 0.95)]:.2f} s, "
                f"processor {watch.cpu / count * 1e3:.1f} ms an ask, longest pause {watch.pause * 1e3:.0f} ms, "
                f"peak memory {watch.memory >> 20} MB"
            )
            if charts:
                line += (
                    f" (+{watch.drawing_memory >> 20} MB drawing), {watch.drawing_cpu / count / 2 * 1e3:.1f} ms "
                    f"a chart, {await foreign(core, [shown for _, shown in asks])} foreign charts"
                )
            print(line, flush=True)


async def foreign(core: Core, shown: list[Shown]) -> int:
    """How many charts differ from the same run's charts drawn alone."""
    wrong = 0
    async with Studio(workers=2) as studio:
        for one in shown:
            assert one.run
            alone = await studio.study(one.run.answers, one.run.panel, charts=True)
            stored = {c.kind: c.png for c in one.pictures}
            wrong += sum(stored.get(c.kind) != c.png for c in alone.charts)
    if len({c.png for one in shown for c in one.pictures if c.kind == "heatmap"}) < len(shown) * 0.95:
        raise SystemExit("the runs' charts are too alike for this check to mean anything")
    return wrong


async def hang(core: Core) -> None:
    """One member never answers."""
    late = [await ask(core, 10_000 + i, charts=False, consortium="hanging") for i in range(3)]
    waits = [shown.answered - started - LIMIT for started, shown in late]
    print(f"one of four members hanging: the answer comes {spread(waits)} s after the others plus arbiter")


async def serve() -> None:
    """Start-up time and memory of the serving process."""
    times, memories = [], []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            seconds, memory = await started(folder)
            times.append(seconds)
            memories.append(memory)
    print(f"consortium serve: ready after {spread(times)} s; idle after 5 s: {spread(memories)} MB")


async def started(folder: str) -> tuple[float, float]:
    """Start ``consortium serve`` once: seconds until it is ready, and its memory in MB five seconds later."""
    environment = {**os.environ, "DATA_DIR": folder, "PORT": "0", "LOG_JSON": "true"}
    begin = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).parent / "consortium"), "serve"),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    while json.loads(await process.stderr.readline())["event"] != "ready":
        pass
    seconds = time.perf_counter() - begin
    await asyncio.sleep(5)
    memory = psutil.Process(process.pid).memory_info().rss / 2**20
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    return seconds, memory


def spread(values: list[float]) -> str:
    """Median, with least and most."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def wanted() -> Iterator[str]:
    """The parts named on the command line, or all."""
    yield from sys.argv[1:] or ("overhead", "bulk", "hang", "chat", "serve", "history")


async def main() -> None:
    """Run the parts."""
    parts = list(wanted())
    needing_core = {"overhead": overhead, "bulk": bulk, "hang": hang}
    if any(part in needing_core for part in parts):
        async with bench_core() as core:
            spare_collections()
            for part in parts:
                if part in needing_core:
                    await needing_core[part](core)
    if "chat" in parts:
        async with bench_core(THINKING) as core:
            spare_collections()
            await chat(core)
    if "serve" in parts:
        await serve()
    if "history" in parts:
        await history()


if __name__ == "__main__":
    from core.telemetry import Logs, configure

    configure(Logs("ERROR"))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
