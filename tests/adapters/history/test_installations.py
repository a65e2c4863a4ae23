"""Where an app was installed, and the states of installations under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from adapters.history import SqlHistory
from core.installed import Installations, Installed
from tests.adapters.history.samples import START

APP = "123.456"


class Hours:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Hours:
    return Hours()


@pytest.fixture
async def history(url: str, clock: Hours) -> AsyncIterator[SqlHistory]:
    async with SqlHistory(url, clock=clock) as opened:
        yield opened


def installed(
    team: str | None = "T1",
    user: str = "U1",
    *,
    org: str | None = None,
    bot: str | None = "B1",
    hours: float = 0,
    secrets: bytes = b"\x00\xffsealed",
) -> Installed:
    return Installed(
        client_id=APP,
        enterprise_id=org,
        team_id=team,
        user_id=user,
        bot_id=bot,
        bot_user_id=bot and f"U-{bot}",
        is_enterprise_install=team is None,
        scopes=("chat:write", "commands"),
        secrets=secrets,
        token_expires_at=START + timedelta(hours=12),
        installed_at=START + timedelta(hours=hours),
    )


async def test_what_was_installed_is_found_in_exactly_its_place(history: SqlHistory) -> None:
    store: Installations = history.installations
    here, org_wide, within = installed(), installed(None, org="E1"), installed("T1", org="E1")
    for one in (here, org_wide, within):
        await store.save(one)
    assert await store.find(APP, None, "T1") == here
    assert await store.find(APP, "E1", None) == org_wide
    assert await store.find(APP, "E1", "T1", "U1") == within
    assert await store.find(APP, None, "T2") is None
    assert await store.find(APP, None, "T1", "U2") is None
    assert await store.find("another app", None, "T1") is None


async def test_the_newest_bot_counts_and_a_person_is_asked_for_by_name(history: SqlHistory) -> None:
    store = history.installations
    first, second = installed(user="U1", hours=1), installed(user="U2", hours=2)
    without_bot = installed(user="U3", bot=None, hours=3)
    for one in (second, first, without_bot):
        await store.save(one)
    assert await store.find(APP, None, "T1") == second
    assert await store.find(APP, None, "T1", "U3") == without_bot
    assert await store.all(APP) == [first, second, without_bot]


async def test_installing_again_replaces(history: SqlHistory) -> None:
    store = history.installations
    await store.save(installed(secrets=b"old"))
    await store.save(installed(secrets=b"new"))
    assert [one.secrets for one in await store.all(APP)] == [b"new"]


async def test_one_person_or_everything_in_a_place_is_forgotten(history: SqlHistory) -> None:
    store = history.installations
    for one in (installed(user="U1"), installed(user="U2"), installed(user="U3"), installed("T2")):
        await store.save(one)
    await store.delete(APP, None, "T1", "U2")
    assert [one.user_id for one in await store.all(APP)] == ["U1", "U3", "U1"]
    await store.delete(APP, None, "T1")
    assert [one.team_id for one in await store.all(APP)] == ["T2"]


def test_secrets_are_not_shown() -> None:
    assert "sealed" not in repr(installed())


async def test_a_state_is_good_once_and_not_for_ever(history: SqlHistory, url: str, clock: Hours) -> None:
    store = history.installations
    await store.issue_state("s1", 600)
    await store.issue_state("s2", 600)
    async with SqlHistory(url, clock=clock) as other:
        said = await asyncio.gather(*(one.installations.consume_state("s1") for one in (history, other, history)))
    assert sorted(said) == [False, False, True]
    assert not await store.consume_state("never issued")
    clock.now += timedelta(seconds=601)
    assert not await store.consume_state("s2")
    await store.issue_state("s3", 600)
    assert await store.consume_state("s3")


async def test_one_rotates_at_a_time(history: SqlHistory, url: str) -> None:
    inside, most = 0, 0

    async def rotate(one: SqlHistory) -> None:
        nonlocal inside, most
        async with one.installations.locked("T1"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    async with SqlHistory(url) as other:
        await asyncio.gather(*(rotate(one) for one in (history, other) * 3))
    assert most == 1
