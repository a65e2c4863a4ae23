"""Which shards a process holds, as it is written in the settings."""

from __future__ import annotations

import pytest

from adapters.discord.limits import Shards


@pytest.mark.parametrize("text", ["4/4", "2-1/4", "0-4/4", "a/b", "0-3", "-1/4", "0-3/8/9"])
def test_shards_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"first-last/count|do not have"):
        Shards.of(text)


@pytest.mark.parametrize(("text", "held"), [("0-3/8", (0, 3, 8)), (" 2/8 ", (2, 2, 8)), ("0/1", (0, 0, 1))])
def test_shards_are_read(text: str, held: tuple[int, int, int]) -> None:
    assert Shards.of(text) == Shards(*held)
    assert Shards.of(str(Shards.of(text))) == Shards(*held)
