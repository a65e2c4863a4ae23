"""Fifty people ask at once, through everything that runs share: nobody sees a word of another."""

from __future__ import annotations

import asyncio
import re

from adapters.history import SqlHistory
from adapters.models import ModelPool
from adapters.state.state import State
from core.asks import Ask, Person, Platform, ThreadRef
from core.catalog import Catalog
from core.events import RunEvent
from core.runner import Runner
from core.types import RunStatus
from tests.core.fakes import START, make_engine, make_run, now, office
from tests.emulators.provider import ProviderEmulator, status

ASKS = 50
MARK = re.compile(r"mark-[a-z]+(\d+)x")


def shared_catalog(url: str) -> Catalog:
    """Two consortia that share models, one with a model as member and as arbiter."""
    return Catalog.model_validate(
        {
            "providers": {"here": {"base_url": url, "api_key_env": "KEY"}},
            "models": {key: {"provider": "here", "name": key} for key in ("m1", "m2", "m3", "m4")},
            "consortia": {
                "default": {"members": ["m1:2", "m2", "m3"], "arbiter": "m4", "max_iterations": 1},
                "other": {"members": ["m2", "m4"], "arbiter": "m1", "max_iterations": 2, "min_iterations": 2},
            },
        }
    )


def ask(n: int) -> Ask:
    where = ThreadRef(platform=Platform.WEB, workspace="w", channel=f"c{n % 3}", thread=f"t{n}")
    return Ask(
        asked_at=now(),
        id=f"run{n}",
        text=f"Is it so? mark-question{n}x",
        asker=Person(id=f"user{n % 7}"),
        where=where,
        consortium="other" if n % 2 else "default",
        domain=("policy", "science", None)[n % 3],
        roles={"m2": f"a friend of mark-role{n}x"},
    )


def owners(text: str) -> set[str]:
    """Whose words are in a text."""
    return set(MARK.findall(text))


async def test_fifty_asks_at_once_do_not_meet(state: State, history: SqlHistory) -> None:
    async with ProviderEmulator() as provider:
        for key in ("m1", "m2", "m4"):
            provider.model(key, latency=0.02)
        provider.model("m3", latency=0.05, fail=[status(429, retry_after="0"), "drop"] * 3)
        catalog = shared_catalog(provider.base_url)
        async with ModelPool(catalog, {"KEY": provider.key}) as models:
            engine = make_engine(catalog, models, breakers=state.breakers())
            shared = office(catalog, state, history)
            runner = Runner(engine, shared)

            async def one(n: int) -> list[RunEvent]:
                before = ask(n).model_copy(update={"id": f"before{n}", "text": f"And mark-before{n}x?"})
                await history.open_run(make_run(catalog, before).model_copy(update={"created_at": START}))
                await runner.run(before)
                await history.open_run(make_run(catalog, ask(n)).model_copy(update={"created_at": now()}))
                await runner.run(ask(n))
                return [event async for event in state.events.follow(f"run{n}")]

            followed = await asyncio.gather(*(one(n) for n in range(ASKS)))
        assert not provider.violations
        seen = [owners("\n".join(m["content"] for m in r.body["messages"])) for r in provider.requests]

    assert all(len(who) == 1 for who in seen), "each prompt holds the words of one person"
    assert {name for who in seen for name in who} == {str(n) for n in range(ASKS)}
    for n, events in enumerate(followed):
        stored = await history.run(f"run{n}")
        assert stored
        assert stored.status is RunStatus.DONE
        assert stored.verdict
        charts = await history.charts(f"run{n}")
        for text in (
            stored.model_dump_json(),
            "".join(event.model_dump_json() for event in events),
            b"".join(chart.png for chart in charts).decode(),
        ):
            assert owners(text) == {str(n)}
        assert {f"mark-question{n}x", f"mark-before{n}x"} <= set(re.findall(r"mark-\w+", stored.verdict.synthesis))
        assert len(stored.rounds) == (2 if n % 2 else 1)
        roles = {m.role for m in stored.panel if m.model == "m2"}
        assert roles == {f"a friend of mark-role{n}x"}
        assert {o.member.id for r in stored.rounds for o in r.outcomes} == {m.id for m in stored.panel}
