"""What was read serves for a while, and readers of different things do not wait for each other."""

from __future__ import annotations

import asyncio

from adapters.history.kept import Kept
from tests.adapters.history.test_lessons import Ticks


class Source:
    """Gives numbers that go up, each once its key's gate is open."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def read(self, key: str) -> int:
        self.reads.append(key)
        number = len(self.reads)
        if gate := self.gates.get(key):
            await gate.wait()
        return number


async def test_readers_of_one_key_do_not_wait_for_those_of_another() -> None:
    source = Source()
    source.gates["slow"] = asyncio.Event()
    kept: Kept[str, int] = Kept(source.read, fresh=1, monotonic=Ticks())
    slow = asyncio.gather(kept.get("slow"), kept.get("slow"))
    await asyncio.sleep(0)
    assert await kept.get("quick") == 2
    assert not slow.done()
    source.gates["slow"].set()
    assert list(await slow) == [1, 1]
    assert source.reads == ["slow", "quick"], "of many that want one, one reads"


async def test_what_is_being_read_when_it_is_forgotten_is_read_again_by_those_who_come_after() -> None:
    source = Source()
    source.gates["a"] = asyncio.Event()
    kept: Kept[str, int] = Kept(source.read, fresh=1, monotonic=Ticks())
    before = asyncio.create_task(kept.get("a"))
    await asyncio.sleep(0)
    kept.forget()
    after = asyncio.create_task(kept.get("a"))
    source.gates["a"].set()
    assert [await before, await after, await kept.get("a")] == [1, 2, 2]


async def test_a_reader_that_gives_up_leaves_the_others_to_read() -> None:
    source = Source()
    source.gates["a"] = asyncio.Event()
    kept: Kept[str, int] = Kept(source.read, fresh=1, monotonic=Ticks())
    first, second = (asyncio.create_task(kept.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    source.gates["a"].set()
    assert await second == 2
