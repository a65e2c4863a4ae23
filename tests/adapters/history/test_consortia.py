"""Saved consortia: one set of them for all processes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from adapters.history import SqlHistory
from core.asks import DIRECT, Platform, ThreadRef
from core.setup import ConsortiumSpec
from core.stores import Consortia, home
from tests.adapters.history.samples import CHANNEL, START

SMALL = ConsortiumSpec(members=("qwen:2",), arbiter="llama", description="two, and a judge")
LARGE = ConsortiumSpec(
    members=("qwen", "llama", "gemma:3"),
    arbiter="llama",
    strategy="voting",
    params={"lead": 2, "words": ["é", None]},
    roles={"qwen": "Skeptic"},
    system="Be brief.",
)


async def test_what_is_saved_comes_back_and_is_replaced(url: str) -> None:
    times = iter([START, START + timedelta(hours=1)])
    async with SqlHistory(url, clock=lambda: next(times)) as history:
        consortia: Consortia = history.consortia
        assert await consortia.get("Jury", None) is None
        assert await consortia.save("Jury", SMALL, None) is False
        saved = await consortia.get("Jury", None)
        assert saved is not None
        assert (saved.name, saved.setup, saved.saved_at) == ("Jury", SMALL, START)
        assert await consortia.save("Jury", LARGE, None) is True
        saved = await consortia.get("Jury", None)
        assert saved is not None
        assert (saved.setup, saved.saved_at) == (LARGE, START + timedelta(hours=1))


async def test_names_are_equal_whatever_their_case_and_keep_their_spelling(history: SqlHistory) -> None:
    consortia = history.consortia
    assert [await consortia.save(name, SMALL, None) for name in ("beta", "Ärzte", "Alpha")] == [False] * 3
    assert await consortia.save("ÄRZTE", LARGE, None) is True
    assert [saved.name for saved in await consortia.all(None)] == ["Alpha", "beta", "ÄRZTE"]
    found = await consortia.get("ärzte", None)
    assert found is not None
    assert (found.name, found.setup) == ("ÄRZTE", LARGE)


async def test_removing(history: SqlHistory) -> None:
    await history.consortia.save("Jury", SMALL, None)
    assert await history.consortia.remove("panel", None) is False
    assert await history.consortia.remove("JURY", None) is True
    assert await history.consortia.remove("Jury", None) is False
    assert await history.consortia.all(None) == []


async def test_the_default_goes_with_its_consortium_and_no_other(history: SqlHistory) -> None:
    consortia = history.consortia
    assert await consortia.default() is None
    for name in ("Jury", "Panel"):
        await consortia.save(name, SMALL, None)
    await consortia.set_default("jury")
    assert await consortia.default() == "jury"
    await consortia.remove("Panel", None)
    assert await consortia.default() == "jury"
    await consortia.remove("Jury", None)
    assert await consortia.default() is None
    await consortia.set_default("from the file")
    assert await consortia.remove("from the file", None) is False
    assert await consortia.default() == "from the file"
    await consortia.set_default(None)
    assert await consortia.default() is None


async def test_each_workspace_has_its_own(history: SqlHistory) -> None:
    consortia, slack, other = history.consortia, CHANNEL, CHANNEL.model_copy(update={"workspace": "T2"})
    for where, setup in ((None, SMALL), (slack, LARGE), (other, SMALL)):
        assert await consortia.save("Jury", setup, where) is False
    await consortia.save("Panel", SMALL, slack)
    await consortia.save("Bench", LARGE, None)

    async def seen(where: ThreadRef | None) -> list[tuple[str, bool, ConsortiumSpec]]:
        return [(one.name, one.own, one.setup) for one in await consortia.all(where)]

    assert await seen(None) == [("Bench", True, LARGE), ("Jury", True, SMALL)]
    assert await seen(slack) == [("Bench", False, LARGE), ("Jury", True, LARGE), ("Panel", True, SMALL)]
    assert await seen(other) == [("Bench", False, LARGE), ("Jury", True, SMALL)]
    assert await consortia.get("panel", other) is None
    assert await consortia.remove("panel", other) is False
    assert await consortia.remove("bench", slack) is False, "it is not theirs"
    assert await consortia.save("JURY", SMALL, slack) is True
    assert await consortia.remove("jury", slack) is True
    assert await seen(slack) == [("Bench", False, LARGE), ("Jury", False, SMALL), ("Panel", True, SMALL)]
    assert await seen(other) == [("Bench", False, LARGE), ("Jury", True, SMALL)]


async def test_a_workspace_that_removes_its_own_leaves_the_default(history: SqlHistory) -> None:
    for where in (None, CHANNEL):
        await history.consortia.save("Jury", SMALL, where)
    await history.consortia.set_default("Jury")
    assert await history.consortia.remove("Jury", CHANNEL) is True
    assert await history.consortia.default() == "Jury"
    assert await history.consortia.remove("Jury", None) is True
    assert await history.consortia.default() is None


def test_whose_things_are_meant() -> None:
    def place(platform: Platform, workspace: str, channel: str = "C1") -> ThreadRef:
        return ThreadRef(platform=platform, workspace=workspace, channel=channel)

    assert home(None) is home(place(Platform.WEB, "local")) is home(place(Platform.CLI, "local")) is None
    assert home(place(Platform.SLACK, "T1")) == home(place(Platform.SLACK, "T1", "C2")) == ("slack", "T1")
    assert home(place(Platform.DISCORD, "T1")) == ("discord", "T1")
    assert home(place(Platform.DISCORD, DIRECT)) != home(place(Platform.DISCORD, DIRECT, "C2"))


def seconds() -> Callable[[], float]:
    """A clock that goes on by a second each time that it is looked at."""
    return partial(next, itertools.count(1.0))


async def test_what_was_read_serves_for_a_second(url: str) -> None:
    now = [0.0]
    async with SqlHistory(url) as one, SqlHistory(url, monotonic=lambda: now[0]) as two:
        assert await two.consortia.all(None) == []
        await one.consortia.save("Jury", SMALL, None)
        now[0] = 0.9
        assert await two.consortia.get("Jury", None) is None
        now[0] = 1.0
        assert await two.consortia.get("Jury", None)
        await two.consortia.remove("Jury", None)
        assert await two.consortia.get("Jury", None) is None, "its own changes are seen at once"


async def test_processes_see_each_others_consortia(url: str) -> None:
    async with SqlHistory(url, monotonic=seconds()) as one, SqlHistory(url, monotonic=seconds()) as two:
        assert await two.consortia.get("jury", None) is None
        await one.consortia.save("Jury", SMALL, None)
        await one.consortia.set_default("Jury")
        found = await two.consortia.get("jury", None)
        assert found is not None
        assert found.setup == SMALL
        assert await two.consortia.default() == "Jury"
        await two.consortia.remove("Jury", None)
        assert (await one.consortia.get("Jury", None), await one.consortia.default()) == (None, None)


async def test_a_default_that_is_set_while_the_former_one_goes_stays(url: str) -> None:
    async with SqlHistory(url, monotonic=seconds()) as one, SqlHistory(url) as two:
        for name in ("Jury", "Panel"):
            await one.consortia.save(name, SMALL, None)
        for _ in range(20):
            await one.consortia.save("Jury", SMALL, None)
            await one.consortia.set_default("Jury")
            await asyncio.gather(two.consortia.remove("Jury", None), one.consortia.set_default("Panel"))
            assert await one.consortia.default() == "Panel"
