"""Walks where Discord sends interactions by HTTP: to one front, and to two behind a balancer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from io import BytesIO

import pytest
import pytest_asyncio

from adapters.discord.limits import BODY, STALE
from bot.app import Core, open_core
from bot.settings import Settings
from tests.e2e.discord.fronts import balanced, front, numbers
from tests.e2e.discord.stage import simulated
from tests.emulators.discord import DiscordEmulator
from tests.servers import REDIS_MISSING, own_redis

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

QUESTION = "Should remote work be the default?"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def core(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Core]:
    settings = Settings(  # type: ignore[call-arg]  # pydantic-settings takes the file's name beside the fields
        _env_file=None, data_dir=tmp_path_factory.mktemp("http"), redis_url="", database_url="", shutdown_grace=1
    )
    async with open_core(settings, simulated(), pace=0.0) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(rates=False, ack_deadline=20.0) as emulator:
        yield emulator
        assert emulator.violations == []


async def test_commands_forms_taps_and_typing_come_by_http(emu: DiscordEmulator, core: Core) -> None:
    async with front(emu, core) as only, balanced(emu, [only]):
        thread = await only.answered(QUESTION)
        assert "**Models**" in await only.told(await emu.command(emu.alice, "consortium models list"))
        offered = await emu.autocomplete(
            emu.alice, "consortium ask", {"question": "Why?", "consortium": "de"}, focused="consortium", timeout=20
        )
        assert {choice["value"] for choice in offered} == {"default", "deep"}
        await only.wants("long")
        [answer] = only.answers(thread.id)
        good = next(action for action in answer.custom_ids if action.startswith("feedback:") and action.endswith(":1"))
        tapped = await emu.click(emu.bob, answer, good)
        await tapped.wait_acked(20)
        await emu.say(emu.alice, thread.id, "And at night?")
        await only.settled(thread.id, 2)
        await only.wants()
        assert set(emu.endpoint.statuses) == {202}
    assert not [d for d in emu.dispatches if d.event == "INTERACTION_CREATE"]


async def test_two_fronts_behind_a_balancer_take_turns(emu: DiscordEmulator, core: Core) -> None:
    async with front(emu, core) as first, front(emu, core) as second, balanced(emu, [first, second]) as taken:
        assert (first.holds, second.holds) == (True, False)
        for _ in range(2):
            await second.answered(QUESTION, user=emu.alice)
        assert taken == [0, 1]
        opened = await emu.command(emu.alice, "consortium settings")  # the form opens on one, and is sent to the other
        await opened.wait_acked(20)
        assert await first.told(await emu.submit_modal(opened, {"show": ["charts"]}))
        await emu.say(emu.alice, emu.threads[1].id, "And at night?")
        await second.settled(emu.threads[1].id, 2)
    assert set(numbers(emu, *(thread.id for thread in emu.threads)).values()) == {1}


async def test_a_double_tap_that_reaches_two_fronts_asks_once(emu: DiscordEmulator, core: Core) -> None:
    async with front(emu, core) as first, front(emu, core) as second, balanced(emu, [first, second]) as taken:
        shown = await emu.command(emu.alice, "consortium examples")
        await first.told(shown)
        example = next(action for action in shown.replies[0].custom_ids if action.startswith("example:"))
        taken.clear()
        taps = [await emu.click(emu.alice, shown.replies[0], example) for _ in range(2)]
        thread = (await emu.wait_for(lambda: emu.threads, 40))[0]
        await first.settled(thread.id)
        await emu.wait_for(lambda: sorted(len(tap.replies) for tap in taps) == [0, 1], 40)
        assert sorted(taken) == [0, 1]
    assert len(emu.threads) == 1


async def test_a_server_whose_members_have_roles_is_known_without_a_session(emu: DiscordEmulator, core: Core) -> None:
    role = emu.add_role("askers")
    carol = emu.add_user("carol", roles=[role])
    async with front(emu, core) as holder, front(emu, core) as other, balanced(emu, [other]):
        assert (holder.holds, other.holds) == (True, False)
        thread = await other.answered(QUESTION, user=carol)
        [answer] = other.answers(thread.id)
        answers = next(action for action in answer.custom_ids if action.startswith("answers:"))
        assert "pragmatist" in await other.told(await emu.click(carol, answer, answers))
        assert emu.world.channels[thread.id].parent_id == emu.channel_id  # type: ignore[attr-defined]
        emu.install(emu.bob)
        abroad = emu.add_guild("abroad", emu.bob)
        asked = await other.ask(QUESTION, user=emu.bob, channel_id=abroad)
        await emu.wait_for(lambda: asked.response and "👍" in str(asked.response.components), 40)
    assert len(emu.threads) == 1


# --- who is let in --------------------------------------------------------------------------------------


def asked(emu: DiscordEmulator, number: int) -> bytes:
    """An interaction as Discord writes it, of a command that is answered alone."""
    user = {"id": str(emu.alice.id), "username": "alice", "discriminator": "0", "global_name": None, "avatar": None}
    written = {
        "id": str(number),
        "application_id": str(emu.app_id),
        "type": 2,
        "token": "t",
        "version": 1,
        "channel_id": str(emu.dm_channel_id),
        "channel": {"id": str(emu.dm_channel_id), "type": 1},
        "user": user,
        "app_permissions": "0",
        "locale": "en-US",
        "entitlements": [],
        "context": 1,
        "authorizing_integration_owners": {"0": "0"},
        "attachment_size_limit": 10485760,
        "data": {"id": "1", "name": "consortium", "type": 1, "options": [{"name": "help", "type": 1}]},
    }
    return json.dumps(written).encode()


async def test_only_what_discord_has_just_signed_is_taken(emu: DiscordEmulator, core: Core) -> None:
    async with front(emu, core) as only, balanced(emu, [only]):
        post, signed, now = emu.endpoint.post, emu.endpoint.signed, emu.clock.wall()
        body = asked(emu, emu.world.snowflake())
        for headers in (
            {},
            signed(body + b" "),
            signed(body) | {"X-Signature-Ed25519": "ff" * 64},
            signed(body) | {"X-Signature-Ed25519": "nonsense"},
            signed(body) | {"X-Signature-Timestamp": str(int(now) + 1)},
            signed(body) | {"X-Signature-Timestamp": "²"},
            signed(body) | {"X-Signature-Timestamp": "1" * 8_000},
            signed(body, now - STALE - 5),
            signed(body, now + STALE + 5),
        ):
            assert (await post(body, headers))[0] == 401
        for wrong in (b"", b"[]", b"7", b"null", b'{"type": 2}', b'{"type": 2, "id": "x"}', b"\xff"):
            assert (await post(wrong, signed(wrong)))[0] == 400
        large = b" " * (BODY + 1)
        assert (await post(BytesIO(large), signed(large)))[0] == 413
        assert not [r for r in emu.requests if r.path.endswith("/callback")]


async def test_a_request_that_is_sent_again_is_refused(emu: DiscordEmulator, core: Core) -> None:
    async with front(emu, core) as first, front(emu, core) as second, balanced(emu, [first, second]):
        body = asked(emu, emu.world.snowflake())
        headers = emu.endpoint.signed(body)
        assert (await emu.endpoint.post(body, headers))[0] == 202
        await emu.wait_for(lambda: [r for r in emu.requests if r.path.endswith("/callback") and r.status], 40)
        said = [await emu.endpoint.post(body, headers) for _ in range(3)]
        assert [status for status, _ in said] == [409] * 3
        assert len([r for r in emu.requests if r.path.endswith("/callback")]) == 1


async def test_what_cannot_be_kept_is_refused_in_the_response(emu: DiscordEmulator, core: Core) -> None:
    redis = own_redis()
    if redis is None:
        pytest.skip(REDIS_MISSING)
    with redis:
        async with front(emu, core, inbox=redis.url) as only, balanced(emu, [only]):
            redis.stop()
            told = await only.told(await only.ask(QUESTION))
            assert "please try again" in told
            redis.start()
    assert emu.threads == []


async def test_a_front_that_does_not_reach_discord_says_so(emu: DiscordEmulator, core: Core) -> None:
    async with front(emu, core) as only, balanced(emu, [only]):
        only.surface._connection.reachable.clear()
        assert "does not reach Discord" in await only.told(await only.ask(QUESTION))
        assert await only.surface.ready() == "Discord is not reached"
