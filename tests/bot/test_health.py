"""What a process tells of itself while it works: the whole product, its page, and servers that go away."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from adapters.web.server import WebSurface
from bot.app import Core, open_core
from bot.health import Looks, probes
from bot.processes import watched
from bot.settings import Settings
from core.errors import ConfigError
from core.telemetry import metrics
from core.telemetry.health import Health
from tests.adapters.history.proxy import Proxy
from tests.e2e.web_stage import Stage, Visitor, catalog, stage, troubled_provider
from tests.servers import POSTGRES_MISSING, REDIS_MISSING, own_redis, postgres_url

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "canary-question"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """The product with its page, watched as ``serve`` has it watched."""
    async with stage(tmp_path_factory.mktemp("page")) as site:
        await site.surface.close()
        site.surface = WebSurface(site.core.service, site.core.history, outside=probes(site.core))
        site.url = await site.surface.start("127.0.0.1", 0)
        yield site


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(site: Stage) -> AsyncIterator[Visitor]:
    async with Visitor(site.url) as visitor:
        yield visitor


async def figures(visitor: Visitor) -> dict[str, Metric]:
    async with visitor.session.get("/metrics") as reply:
        assert reply.status == 200
        return {family.name: family for family in text_string_to_metric_families(await reply.text())}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """The sum of a figure's samples that have these labels; of a histogram, how often."""
    family = families[re.sub(r"_total$|_count$", "", name)]
    return sum(
        sample.value for sample in family.samples if sample.name == name and labels.items() <= sample.labels.items()
    )


# --- figures --------------------------------------------------------------------------------------------


async def test_a_run_is_in_the_figures(visitor: Visitor) -> None:
    before = await figures(visitor)
    run = await visitor.result(await visitor.ask(f"Is {CANARY} good?", options="--no-charts --consortium partly"))
    assert run["status"] == "done"
    after = await figures(visitor)

    def more(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert more("consortium_runs_total", status="done", platform="web", strategy="default") == 1
    for phase in ("queue", "members", "arbiter", "delivery", "run"):
        assert more("consortium_stage_seconds_count", stage=phase) == 1, phase
    assert more("consortium_member_seconds_count") == 2
    assert more("consortium_member_seconds_count", model="ada") == 1
    assert more("consortium_member_failures_total", model="gone", kind="refused") == 1
    assert more("consortium_verdicts_total", source="arbiter") == 1
    assert more("consortium_tokens_total", model="judge", kind="prompt") > 0
    assert more("consortium_tokens_total", model="ada", kind="completion") > 0
    assert more("consortium_events_total", platform="web", result="taken") == 1


async def test_an_event_that_comes_twice_is_a_duplicate(visitor: Visitor) -> None:
    before = await figures(visitor)
    for _ in range(2):
        await visitor.send("/consortium list", id="twice")
    after = await figures(visitor)
    assert value(after, "consortium_events_total", result="duplicate", platform="web") == 1 + value(
        before, "consortium_events_total", result="duplicate", platform="web"
    )


async def test_breakers_and_the_queue_are_looked_at(site: Stage, visitor: Visitor) -> None:
    looks = Looks(site.core, Health({}))
    breakers = site.core.office.breakers
    for _ in range(3):
        ticket = await breakers.admit("lost")
        assert ticket
        await breakers.report("lost", ticket, False)
    await looks.refresh()
    found = {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}
    states = {
        state: value(found, "consortium_breaker_state", model="lost", state=state) for state in ("closed", "open")
    }
    assert states == {"closed": 0, "open": 1}
    assert value(found, "consortium_breaker_state", model="ada", state="closed") == 1
    assert value(found, "consortium_queue_runs", state="waiting") == 0
    assert value(found, "consortium_queue_oldest_seconds") == 0
    assert value(found, "consortium_asyncio_tasks") > 1


async def test_what_is_described_is_what_there_is(visitor: Visitor) -> None:
    """The table of the documents against what a process really shows."""
    document = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    rows = re.findall(r"^\| `(consortium_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", document, re.MULTILINE)
    described = {name: (kind, set(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, meaning in rows}
    await visitor.result(await visitor.ask("Is it there?", options="--no-charts --consortium partly"))
    shown = {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in (await figures(visitor)).values()
        if family.name.startswith("consortium_")
    }
    assert {name: (family.type, family.documentation) for name, family in shown.items()} == {
        name: (kind, meaning) for name, (kind, _, meaning) in described.items()
    }
    for name, family in shown.items():
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == described[name][1], name


async def test_no_label_has_what_people_wrote_or_who_they_are(visitor: Visitor) -> None:
    run = await visitor.result(await visitor.ask(f"Is {CANARY} here?"))
    async with visitor.session.get("/metrics") as reply:
        text = await reply.text()
    cookies = [cookie.value for cookie in visitor.session.cookie_jar]
    assert cookies
    for word in (CANARY, run["id"], run["thread"], *cookies):
        assert word not in text


# --- a worker -------------------------------------------------------------------------------------------


def as_worker(core: Core, **given: Any) -> Core:
    return replace(core, settings=core.settings.model_copy(update=given))


async def test_a_worker_is_watched_where_a_port_is_given_alone(site: Stage) -> None:
    async with watched(as_worker(site.core)) as address:
        assert address is None
    async with watched(as_worker(site.core, worker_port=0)) as address:
        assert address
        assert (await ready(address))[0] == 200
        taken = int(address.rpartition(":")[2])
        with pytest.raises(ConfigError, match=rf"^WORKER_PORT: 127\.0\.0\.1:{taken} cannot be used .*WORKER_PORT=8081"):
            async with watched(as_worker(site.core, worker_port=taken)):
                raise AssertionError("it listens twice")
    with pytest.raises(ConfigError, match=r"^HOST: 203\.0\.113\.1 is no address of this machine"):
        async with watched(as_worker(site.core, worker_port=0, host="203.0.113.1")):
            raise AssertionError("it listens elsewhere")


async def test_what_goes_wrong_in_a_worker_is_not_taken_for_its_port(site: Stage) -> None:
    with pytest.raises(ConnectionError, match="out of order"):
        async with watched(as_worker(site.core, worker_port=0)):
            raise ConnectionError("out of order")


# --- readiness ------------------------------------------------------------------------------------------


async def ready(url: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{url.rstrip('/')}/readyz") as reply:
        return reply.status, {part["part"]: part for part in json.loads(await reply.text())["parts"]}


async def test_a_process_that_works_is_ready(site: Stage, visitor: Visitor) -> None:
    await visitor.result(await visitor.ask("Is it ready?"))
    await asyncio.sleep(0)
    status, parts = await ready(site.url)
    assert (status, list(parts)) == (200, ["database", "redis", "arbiter"])


async def test_only_the_probes_are_for_others(visitor: Visitor) -> None:
    outside = {"Host": "10.0.0.7:8080"}
    for path in ("/healthz", "/readyz", "/metrics"):
        async with visitor.session.get(path, headers=outside) as reply:
            assert reply.status == 200
            assert "Set-Cookie" not in reply.headers
    for path in ("/", "/api/threads", "/metrics/", "/readyz/../api/threads"):
        async with visitor.session.get(path, headers=outside) as reply:
            assert reply.status in (403, 404), path
            assert reply.status == 403, path


def settings(folder: Path, **given: Any) -> Settings:
    fields = {"data_dir": folder, "redis_url": "", "database_url": "", "shutdown_grace": 0.1, **given}
    return Settings(_env_file=None, **fields)  # type: ignore[call-arg]


async def test_servers_that_are_gone_are_named_without_secrets_and_come_back(tmp_path: Path) -> None:
    redis = own_redis()
    if redis is None:
        pytest.skip(REDIS_MISSING)
    url = redis.url.replace("redis://", "redis://default:canary-password@")  # any word will do for a user without one
    with redis:
        async with (
            troubled_provider() as provider,
            open_core(settings(tmp_path, redis_url=url), catalog(provider), work=False) as core,
        ):
            page = WebSurface(core.service, core.history, outside=probes(core))
            address = await page.start("127.0.0.1", 0)
            try:
                assert (await ready(address))[0] == 200
                await _gone(core, address, redis)
            finally:
                await page.close()


async def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    server = postgres_url()
    if server is None:
        pytest.skip(POSTGRES_MISSING)
    name = f"consortium_health_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(server)
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        async with Proxy(server.removesuffix("postgres") + name).open() as proxy, troubled_provider() as provider:
            url = proxy.url.replace("@", ":canary-password@")
            async with open_core(settings(tmp_path, database_url=url), catalog(provider), work=False) as core:
                page = WebSurface(core.service, core.history, outside=probes(core, patience=0.3))
                address = await page.start("127.0.0.1", 0)
                try:
                    await _cut_off(address, proxy)
                finally:
                    await page.close()
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


async def _cut_off(address: str, proxy: Proxy) -> None:
    assert (await ready(address))[0] == 200
    proxy.away = True
    proxy.cut()
    async with asyncio.timeout(20):
        while (told := await ready(address))[0] == 200:  # noqa: ASYNC110 - an answer holds for a second
            await asyncio.sleep(0.05)
    assert not told[1]["database"]["ok"]
    assert told[1]["redis"]["ok"]
    assert "canary" not in json.dumps(told)
    proxy.away = False
    async with asyncio.timeout(20):
        while (await ready(address))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _gone(core: Core, address: str, redis: Any) -> None:
    redis.stop(signal.SIGKILL)
    async with asyncio.timeout(20):
        while (told := await ready(address))[0] == 200:  # noqa: ASYNC110 - an answer holds for a second
            await asyncio.sleep(0.05)
    status, parts = told
    assert status == 503
    assert parts["database"]["ok"]
    assert not parts["redis"]["ok"]
    assert "canary" not in json.dumps(parts)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{address}healthz") as reply:
            assert reply.status == 200
        async with session.get(f"{address}metrics") as reply:
            text = await reply.text()
    assert 'consortium_ready{part="redis"} 0.0' in text
    assert "consortium_queue_oldest_seconds NaN" in text
    assert "consortium_queue_runs{" not in text
    assert 'consortium_breaker_state{model="ada",state="closed"} 1.0' in text, "those of this process stand in"
    redis.start()
    async with asyncio.timeout(20):
        while (await ready(address))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
