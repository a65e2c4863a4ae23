"""Every walk on every platform, through the real client libraries, against the strict emulators."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from adapters.slack.manifest import SCOPES
from tests.e2e.slack.stage import catalog, troubled_provider
from tests.e2e.walks import asking, governing, keeping
from tests.e2e.walks.catalogue import PLATFORMS, WALKS, Walk, wanted
from tests.e2e.walks.discord_hand import DiscordHand
from tests.e2e.walks.hand import Hand
from tests.e2e.walks.slack_hand import SlackHand
from tests.emulators.discord import DiscordEmulator
from tests.emulators.slack import SlackEmulator

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

assert asking
assert keeping
assert governing


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SlackHand]:
    folder = tmp_path_factory.mktemp("slack")
    # A minute of Slack's limits goes by in a second: some thirty walks are not to wait for one another.
    emulator = SlackEmulator(scopes=SCOPES, speed=0.01, stream_life=300, rate_scale=1 / 60)
    async with troubled_provider() as provider, emulator:
        hand = SlackHand(emulator, folder, catalog(provider))
        await hand.start()
        yield hand
        await hand.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def discord(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DiscordHand]:
    folder = tmp_path_factory.mktemp("discord")
    async with troubled_provider() as provider, DiscordEmulator(rates=False, ack_deadline=20.0) as emulator:
        hand = DiscordHand(emulator, folder, catalog(provider))
        await hand.start()
        yield hand
        await hand.stop()


async def taken(walk: Walk, hand: Hand) -> None:
    """Walk, and see that the walk was what the list says."""
    await hand.begin()
    await walk.steps(hand)
    await hand.end()
    assert walk.does <= hand.did, "what the list says has not been done"


def on(platform: str) -> list[Walk]:
    return [walk for walk in WALKS if platform in walk.on]


@pytest.mark.parametrize("walk", on("slack"), ids=lambda walk: walk.name)
async def test_on_slack(slack: SlackHand, walk: Walk) -> None:
    await taken(walk, slack)


@pytest.mark.parametrize("walk", on("discord"), ids=lambda walk: walk.name)
async def test_on_discord(discord: DiscordHand, walk: Walk) -> None:
    await taken(walk, discord)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_everything_that_there_is_has_a_walk(platform: str) -> None:
    walked = frozenset().union(*(walk.does for walk in on(platform)))
    assert wanted() - walked == set()
