"""What a channel is, with few questions to Slack and little patience."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.api import Api
from adapters.slack.places import Place, Places
from tests.emulators.slack import SlackEmulator


@pytest.fixture
async def slack() -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator() as emulator:
        yield emulator
        emulator.assert_clean()


@pytest.fixture
async def places(slack: SlackEmulator) -> AsyncIterator[Places]:
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session)
        yield Places(Api(client, session, slack.bot_id, ()))


async def test_many_who_look_at_once_ask_once(slack: SlackEmulator, places: Places) -> None:
    found = await asyncio.gather(*(places.look(slack.channel) for _ in range(20)), places.look(slack.private_channel))
    assert {place.private for place in found[:-1]} == {False}
    assert found[-1].private
    await places.look(slack.channel)
    assert len(slack.calls_to("conversations.info")) == 2


async def test_nobody_waits_long_and_what_is_told_late_counts_later(
    slack: SlackEmulator, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.slack.places._PATIENCE", 0.05)
    slack.fault("conversations.info", delay=0.3)
    assert await places.look(slack.channel) == Place(private=True, joined=None)
    async with asyncio.timeout(5):
        while (place := await places.look(slack.channel)).joined is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (place.private, place.joined) == (False, True)
    assert len(slack.calls_to("conversations.info")) == 1
