"""Readiness: what parts say, how long is waited for them, and how often they are asked."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import Unavailable
from core.telemetry.health import FORGOTTEN, Health, Lately, Part


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def fine() -> None:
    """A part that works."""


async def test_all_parts_are_told_in_their_order() -> None:
    async def away() -> str | None:
        raise Unavailable("Redis at localhost does not answer.")

    async def refused() -> str | None:
        return "the socket is not connected"

    report = await Health({"database": fine, "redis": away, "slack": refused}).report()
    assert report.parts == (
        Part("database", True, "ok"),
        Part("redis", False, "Redis at localhost does not answer."),
        Part("slack", False, "the socket is not connected"),
    )
    assert not report.ok
    assert (await Health({"database": fine}).report()).ok


async def test_a_part_that_hangs_holds_nobody_up_and_one_that_breaks_tells_no_more_than_its_type() -> None:
    async def hangs() -> str | None:
        await asyncio.Event().wait()
        return None

    async def breaks() -> str | None:
        raise ValueError("secret")

    parts = (await Health({"one": hangs, "two": breaks, "three": fine}, patience=0.01).report()).parts
    assert [part.detail for part in parts] == ["does not answer within 0.01 s", "could not be asked (ValueError)", "ok"]


async def test_many_probes_at_once_ask_a_part_once_a_second() -> None:
    asked = 0

    async def count() -> str | None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return None

    time = Time()
    health = Health({"one": count}, clock=time)
    await asyncio.gather(*(health.report() for _ in range(50)))
    time.now += 0.9
    await health.report()
    assert asked == 1
    time.now += 0.2
    await health.report()
    assert asked == 2


# --- the arbiter ----------------------------------------------------------------------------------------


def test_before_the_first_nothing_is_known() -> None:
    assert Lately().part("arbiter") == Part("arbiter", True, "unknown")


def test_a_success_is_told_with_its_age() -> None:
    time = Time()
    lately = Lately(clock=time)
    lately.note(True)
    time.now += 12
    assert lately.part("arbiter") == Part("arbiter", True, "answered 12 s ago")


@pytest.mark.parametrize("before", [True, False])
def test_only_ten_failures_in_a_row_count(before: bool) -> None:
    time = Time()
    lately = Lately(clock=time)
    if before:
        lately.note(True)
    for _ in range(9):
        lately.note(False)
        time.now += 1
        assert lately.part("arbiter").ok
    lately.note(False)
    detail = "answered 9 s ago" if before else "none before"
    assert lately.part("arbiter") == Part("arbiter", False, f"the latest 10 attempts have all failed; {detail}")
    lately.note(True)
    assert lately.part("arbiter").ok


def test_failures_are_forgotten_so_that_whoever_is_asked_nothing_comes_back() -> None:
    time = Time()
    lately = Lately(clock=time)
    for _ in range(10):
        lately.note(False)
    time.now += FORGOTTEN - 1
    assert not lately.part("arbiter").ok
    time.now += 2
    assert lately.part("arbiter").ok


async def test_an_arbiter_that_fails_makes_the_process_not_ready() -> None:
    lately = Lately(latest=1)
    health = Health({"database": fine}, {"arbiter": lately}, kept=0)
    assert (await health.report()).ok
    lately.note(False)
    assert not (await health.report()).ok
