"""A run's trace as a collector gets it: one, whichever processes had a hand in it, and without a word of anybody."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from adapters.tracing import ids, tracing
from bot.app import Core, open_core
from bot.health import traced
from bot.settings import Settings
from core.asks import Person, Platform, ThreadRef
from core.commands.values import AskCommand
from core.delivery import RunView
from core.service import Inbound
from core.telemetry import traces
from core.types import Chart, Run
from tests.e2e.web_stage import catalog, troubled_provider
from tests.emulators.collector import Collector, Told
from tests.emulators.provider import ProviderEmulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "Is the canary-question good?"
KEY = "canary-header"


class Silent:
    """Shows a run to nobody."""

    pace = 0.05
    tick: float | None = None

    async def progress(self, view: RunView) -> None: ...

    async def answer(self, run: Run) -> None: ...

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None: ...

    async def failed(self, run: Run, text: str) -> None: ...


def settings(folder: Path, **given: Any) -> Settings:
    fields = {"data_dir": folder, "redis_url": "", "database_url": "", "shutdown_grace": 1, **given}
    return Settings(_env_file=None, **fields)  # type: ignore[call-arg]


async def ask(core: Core, consortium: str) -> Run:
    where = ThreadRef(platform=Platform.CLI, workspace="local", channel="terminal", private=True)
    command = AskCommand(text=QUESTION, consortium=consortium, charts=False)
    run = await core.service.handle(command, Inbound(asker=Person(id="canary-person", name="canary-name"), where=where))
    assert isinstance(run, Run)
    await core.service.deliver(run, Silent())
    return run


@asynccontextmanager
async def working(folder: Path, provider: ProviderEmulator, collector: Collector) -> AsyncIterator[Core]:
    given = settings(folder, otel_exporter_otlp_endpoint=f"{collector.url}/", otel_exporter_otlp_headers=f"x-key={KEY}")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(traced(given, "consortium-test"))
        yield await stack.enter_async_context(open_core(given, catalog(provider), pace=0.01))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Run, Run, Collector]]:
    """Two runs at once, and all that the collector heard of them."""
    async with troubled_provider() as provider, Collector() as collector:
        async with working(tmp_path_factory.mktemp("traces"), provider, collector) as core:
            one, other = await asyncio.gather(ask(core, "partly"), ask(core, "real"))
        yield one, other, collector


def spans_of(run: Run, collector: Collector) -> list[Told]:
    return [span for span in collector.spans if span.trace == f"{ids(run.id)[0]:032x}"]


def below(spans: list[Told], parent: Told) -> list[str]:
    return sorted(span.name for span in spans if span.parent == parent.id)


def only(spans: list[Told], name: str, test: Callable[[Told], bool] = lambda span: True) -> Told:
    found = [span for span in spans if span.name == name and test(span)]
    assert len(found) == 1, (name, found)
    return found[0]


async def test_a_run_is_one_tree(told: tuple[Run, Run, Collector]) -> None:
    run, _, collector = told
    spans = spans_of(run, collector)
    root = only(spans, "ask")
    assert root.parent == ""
    assert below(spans, root) == ["delivery", "queue", "run"]
    assert below(spans, only(spans, "run")) == ["round"]
    assert below(spans, only(spans, "round")) == ["arbiter", "member", "member", "member"]
    assert below(spans, only(spans, "arbiter")) == ["judge"]
    assert len(spans) == 10
    assert {span.service for span in spans} == {"consortium-test"}


async def test_it_says_when_what_and_why(told: tuple[Run, Run, Collector]) -> None:
    run, _, collector = told
    spans = spans_of(run, collector)
    root = only(spans, "ask")
    assert root.attributes == {
        "consortium.run": run.id,
        "consortium.status": "done",
        "consortium.platform": "cli",
        "consortium.strategy": "default",
    }
    assert abs(root.begun - run.created_at.timestamp()) < 0.001
    assert all(root.begun - 0.001 <= span.begun <= span.ended for span in spans)
    assert only(spans, "round").attributes == {"consortium.round": 1, "consortium.kind": "answers"}
    good = only(spans, "member", lambda span: span.attributes["gen_ai.request.model"] == "ada")
    assert good.attributes["consortium.status"] == "answered"
    assert good.attributes["gen_ai.usage.input_tokens"] > 0
    assert good.attributes["gen_ai.usage.output_tokens"] > 0
    assert not good.failed
    bad = only(spans, "member", lambda span: span.attributes["gen_ai.request.model"] == "gone")
    assert (bad.attributes["error.type"], bad.failed) == ("refused", True)
    assert only(spans, "arbiter").attributes == {"consortium.source": "arbiter"}
    assert only(spans, "judge").attributes["gen_ai.request.model"] == "judge"


async def test_two_runs_do_not_meet(told: tuple[Run, Run, Collector]) -> None:
    run, other, collector = told
    mine, theirs = spans_of(run, collector), spans_of(other, collector)
    assert len(mine) + len(theirs) == len(collector.spans), "nobody else tells anything, no library either"
    ids_of_theirs = {span.id for span in theirs}
    assert [span for span in theirs if span.parent and span.parent not in ids_of_theirs] == []
    assert [span.name for span in theirs].count("member") == 2


async def test_nothing_that_was_written_and_nothing_secret_is_told(told: tuple[Run, Run, Collector]) -> None:
    *_, collector = told
    everything = "".join(collector.texts)
    assert "member" in everything
    assert "canary" not in everything
    assert "Final answer" not in everything
    assert collector.headers["x-key"] == KEY


async def test_processes_need_not_tell_each_other_whose_trace_it_is(tmp_path: Path) -> None:
    """Another process finds the same trace and root."""
    code = "from adapters.tracing import ids; print(*ids('0123456789ab'))"
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, check=True
    )
    assert tuple(map(int, ran.stdout.split())) == ids("0123456789ab")
    assert ids("0123456789ab") != ids("0123456789ac")


async def test_a_collector_that_is_away_holds_nobody_up(tmp_path: Path) -> None:
    async with troubled_provider() as provider, Collector() as collector:
        url = collector.url
    async with (
        tracing(url, timeout=0.2),
        open_core(settings(tmp_path), catalog(provider), pace=0.01) as core,
    ):
        async with asyncio.timeout(10):
            run = await ask(core, "default")
        stored = await core.history.run(run.id)
        assert stored is not None
        assert stored.status == "done"


async def test_without_a_collector_nothing_is_sent(tmp_path: Path) -> None:
    async with traced(settings(tmp_path), "consortium-test"):
        with traces.span("member", run="r1", model="m") as span:
            assert span.span is None
