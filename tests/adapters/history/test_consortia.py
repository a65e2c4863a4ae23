"""Saved consortia: one set of them for all processes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from adapters.history import SqlHistory
from core.setup import ConsortiumSpec
from core.stores import Consortia
from tests.adapters.history.samples import START

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
        assert await consortia.get("Jury") is None
        assert await consortia.save("Jury", SMALL) is False
        saved = await consortia.get("Jury")
        assert saved is not None
        assert (saved.name, saved.setup, saved.saved_at) == ("Jury", SMALL, START)
        assert await consortia.save("Jury", LARGE) is True
        saved = await consortia.get("Jury")
        assert saved is not None
        assert (saved.setup, saved.saved_at) == (LARGE, START + timedelta(hours=1))


async def test_names_are_equal_whatever_their_case_and_keep_their_spelling(history: SqlHistory) -> None:
    consortia = history.consortia
    assert [await consortia.save(name, SMALL) for name in ("beta", "Ärzte", "Alpha")] == [False] * 3
    assert await consortia.save("ÄRZTE", LARGE) is True
    assert [saved.name for saved in await consortia.all()] == ["Alpha", "beta", "ÄRZTE"]
    found = await consortia.get("ärzte")
    assert found is not None
    assert (found.name, found.setup) == ("ÄRZTE", LARGE)


async def test_removing(history: SqlHistory) -> None:
    await history.consortia.save("Jury", SMALL)
    assert await history.consortia.remove("panel") is False
    assert await history.consortia.remove("JURY") is True
    assert await history.consortia.remove("Jury") is False
    assert await history.consortia.all() == []


async def test_the_default_goes_with_its_consortium_and_no_other(history: SqlHistory) -> None:
    consortia = history.consortia
    assert await consortia.default() is None
    for name in ("Jury", "Panel"):
        await consortia.save(name, SMALL)
    await consortia.set_default("jury")
    assert await consortia.default() == "jury"
    await consortia.remove("Panel")
    assert await consortia.default() == "jury"
    await consortia.remove("Jury")
    assert await consortia.default() is None
    await consortia.set_default("from the file")
    assert await consortia.remove("from the file") is False
    assert await consortia.default() == "from the file"
    await consortia.set_default(None)
    assert await consortia.default() is None


def seconds() -> Callable[[], float]:
    """A clock that goes on by a second each time that it is looked at."""
    return partial(next, itertools.count(1.0))


async def test_what_was_read_serves_for_a_second(url: str) -> None:
    now = [0.0]
    async with SqlHistory(url) as one, SqlHistory(url, monotonic=lambda: now[0]) as two:
        assert await two.consortia.all() == []
        await one.consortia.save("Jury", SMALL)
        now[0] = 0.9
        assert await two.consortia.get("Jury") is None
        now[0] = 1.0
        assert await two.consortia.get("Jury")
        await two.consortia.remove("Jury")
        assert await two.consortia.get("Jury") is None, "its own changes are seen at once"


async def test_processes_see_each_others_consortia(url: str) -> None:
    async with SqlHistory(url, monotonic=seconds()) as one, SqlHistory(url, monotonic=seconds()) as two:
        assert await two.consortia.get("jury") is None
        await one.consortia.save("Jury", SMALL)
        await one.consortia.set_default("Jury")
        found = await two.consortia.get("jury")
        assert found is not None
        assert found.setup == SMALL
        assert await two.consortia.default() == "Jury"
        await two.consortia.remove("Jury")
        assert (await one.consortia.get("Jury"), await one.consortia.default()) == (None, None)


async def test_a_default_that_is_set_while_the_former_one_goes_stays(url: str) -> None:
    async with SqlHistory(url, monotonic=seconds()) as one, SqlHistory(url) as two:
        for name in ("Jury", "Panel"):
            await one.consortia.save(name, SMALL)
        for _ in range(20):
            await one.consortia.save("Jury", SMALL)
            await one.consortia.set_default("Jury")
            await asyncio.gather(two.consortia.remove("Jury"), one.consortia.set_default("Panel"))
            assert await one.consortia.default() == "Panel"
