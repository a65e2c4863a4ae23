"""Walks with two processes of one service on Discord: one ends in the middle, and the other goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from bot.app import Core, open_core
from bot.settings import Settings
from core.asks import Platform
from tests.e2e.discord.fronts import balanced, front, numbers, shown
from tests.e2e.discord.stage import TIMING, provided
from tests.emulators.discord import DiscordEmulator, Permission
from tests.emulators.provider import ProviderEmulator
from tests.servers import REDIS_MISSING, OwnServer, own_redis

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

QUESTION = "Should remote work be the default?"
POST = r"^/channels/\d+/messages$"
LONG = "Some more words to fill the line.\n\n" * 400
HELD = 60.0
"""Seconds for which a request is held whose front is killed meanwhile."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def members() -> AsyncIterator[ProviderEmulator]:
    async with ProviderEmulator() as emulator:
        yield emulator


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def core(members: ProviderEmulator, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Core]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMULATED_KEY", members.key)
        settings = Settings(  # type: ignore[call-arg]  # pydantic-settings takes the file's name beside the fields
            _env_file=None, data_dir=tmp_path_factory.mktemp("fronts"), redis_url="", database_url="", shutdown_grace=1
        )
        async with open_core(settings, provided(members)) as running:
            await running.studio.warm()
            yield running


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_left(core: Core, members: ProviderEmulator) -> None:
    """No front is to go on with what other tests have left on emulators that are no more."""
    for name in ("ada", "bert", "cleo", "judge"):
        members.model(name)
    for run_id in await core.history.undelivered(Platform.DISCORD, datetime.now(UTC) - timedelta(hours=2)):
        await core.history.mark_delivered(run_id)


@pytest_asyncio.fixture(loop_scope="module")
async def emu() -> AsyncIterator[DiscordEmulator]:
    """It forgets nonces at once: what keeps messages single is what we remember, and what we look for."""
    async with DiscordEmulator(rates=False, ack_deadline=20.0, nonce_window=0.0) as emulator:
        yield emulator
        assert emulator.violations == []


@pytest.fixture(scope="module")
def redis() -> OwnServer:
    server = own_redis()
    if server is None:
        pytest.skip(REDIS_MISSING)
    return server


async def delivered(core: Core) -> None:
    """Wait until all answers count as delivered."""
    async with asyncio.timeout(20):
        since = datetime.now(UTC) - timedelta(hours=1)
        while await core.history.undelivered(Platform.DISCORD, since):  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.02)


# --- a front is killed ----------------------------------------------------------------------------------

Moment = tuple[Callable[[DiscordEmulator], object], Callable[[DiscordEmulator], object]]
"""What is held up, and how it is seen that it has come so far."""

MOMENTS: dict[str, Moment] = {
    "the question is not acknowledged": (
        lambda emu: emu.faults.delay(HELD, "POST", "/callback$"),
        lambda emu: [r for r in emu.requests if r.path.endswith("/callback")],
    ),
    "it is acknowledged": (
        lambda emu: emu.faults.delay(HELD, "POST", "/callback$", when="after"),
        lambda emu: [r for r in emu.requests if r.path.endswith("/callback") and r.reply],
    ),
    "the question is not put up": (
        lambda emu: emu.faults.delay(HELD, "PATCH", "@original$"),
        lambda emu: [r for r in emu.requests if r.path.endswith("@original")],
    ),
    "the thread is open, nobody knows": (
        lambda emu: emu.faults.delay(HELD, "POST", "/threads$", when="after"),
        lambda emu: emu.threads,
    ),
    "progress stands, nobody knows": (
        lambda emu: emu.faults.delay(HELD, "POST", POST, when="after"),
        lambda emu: emu.threads and emu.messages(emu.threads[0].id),
    ),
    "half of the answer stands": (
        lambda emu: None,
        lambda emu: emu.threads and len(numbers(emu, emu.threads[0].id)) > 2,
    ),
    "all of the answer stands": (
        lambda emu: emu.faults.delay(HELD, "DELETE", r"/messages/\d+$"),
        lambda emu: [r for r in emu.requests if r.method == "DELETE"],
    ),
    "charts are there, nobody knows": (
        lambda emu: None,
        lambda emu: emu.threads and emu.files(emu.threads[0].id),
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_another_front_goes_on_where_one_was_killed(
    emu: DiscordEmulator, core: Core, members: ProviderEmulator, moment: str
) -> None:
    hold, come = MOMENTS[moment]
    for name in ("ada", "bert", "cleo"):
        members.model(name, text=LONG, latency=0.3 if "progress" in moment else 0.0)
    members.model("judge", reply="rubbish")
    async with front(emu, core, heir=False) as first:
        if "half" in moment or "all" in moment or "charts" in moment:
            await first.wants("long", "charts")
        hold(emu)
        await first.ask(QUESTION, charts=True)
        await emu.wait_for(lambda: come(emu), 40)
        await first.kill()
    emu.faults.clear()
    async with front(emu, core) as second:
        thread = (await emu.wait_for(lambda: emu.threads, 40))[0]
        await emu.wait_for(lambda: len(emu.files(thread.id)) == 2 and not second.progress(thread.id), 40)
        await delivered(core)
        assert len(second.answers(thread.id)) == 1
        await second.wants("charts")
    assert set(numbers(emu, thread.id, emu.channel_id).values()) == {1}
    assert [r.name for r in emu.threads] == [thread.name]
    [run] = await core.history.search(text=QUESTION, limit=1)
    assert "answer 0" in await core.history.postings(run.id)


@pytest.mark.parametrize("where", ["mention", "direct", "thread"])
async def test_a_message_whose_front_was_killed_is_answered_once(
    emu: DiscordEmulator, core: Core, members: ProviderEmulator, where: str
) -> None:
    place = emu.dm_channel_id if where == "direct" else emu.channel_id
    async with front(emu, core, heir=False) as first:
        if where == "thread":
            place = (await first.answered("A first question?")).id
        fault = emu.faults.delay(HELD, "POST", POST if where != "mention" else "/threads$", times=50)
        before = len(emu.messages(place))
        await emu.say(emu.alice, place, QUESTION, mention=where == "mention")
        await emu.wait_for(lambda: fault.hits, 40)
        await first.kill()
        assert len(emu.messages(place)) == before + 1
    emu.faults.clear()
    async with front(emu, core) as second:
        if where == "mention":
            place = (await emu.wait_for(lambda: emu.threads, 40))[0].id
        await second.settled(place, 2 if where == "thread" else 1)
        await emu.wait_for(lambda: not second.surface._shows.tasks, 40)
        assert len(second.answers(place)) == (2 if where == "thread" else 1)
    assert set(numbers(emu, place, emu.channel_id).values()) == {1}


async def test_a_visit_goes_on_by_its_interaction(emu: DiscordEmulator, core: Core, members: ProviderEmulator) -> None:
    emu.install(emu.alice)
    abroad = emu.add_guild("abroad", emu.alice)
    members.model("ada", latency=0.5)
    async with front(emu, core, heir=False) as first:
        asked = await first.ask(QUESTION, channel_id=abroad)
        await emu.wait_for(lambda: any("stop:" in str(m.components) for m in shown(asked)), 40)
        await first.kill()
    async with front(emu, core), front(emu, core):
        await emu.wait_for(lambda: "👍" in str([m.components for m in shown(asked)]), 40)
    assert len(shown(asked)) == 1


async def test_a_front_that_ends_in_order_leaves_its_runs_at_once(
    emu: DiscordEmulator, core: Core, members: ProviderEmulator
) -> None:
    members.model("ada", latency=0.5)
    async with front(emu, core) as first, front(emu, core) as second:
        assert (first.holds, second.holds) == (True, False)
        await first.ask(QUESTION)
        thread = (await emu.wait_for(lambda: emu.threads, 40))[0]
        await emu.wait_for(lambda: first.progress(thread.id), 40)
        await first.leave()
        await second.settled(thread.id)
        await emu.wait_for(lambda: second.holds, 40)
    assert set(numbers(emu, thread.id).values()) == {1}


async def test_what_stands_is_not_looked_for_where_it_is_on_record(
    emu: DiscordEmulator, core: Core, members: ProviderEmulator
) -> None:
    for name in ("ada", "bert", "cleo"):
        members.model(name, text=LONG)
    members.model("judge", reply="rubbish")
    quiet = replace(TIMING, backfill=0.0)
    async with front(emu, core, heir=False, timing=quiet) as first:
        await first.wants("long")
        await first.ask(QUESTION)
        thread = (await emu.wait_for(lambda: emu.threads, 40))[0]
        await emu.wait_for(lambda: len(emu.messages(thread.id)) > 2, 40)
        await first.kill()
    looked = sum(r.method == "GET" and r.path.endswith("/messages") for r in emu.requests)
    async with front(emu, core, timing=quiet) as second:
        await second.settled(thread.id)
        await second.wants("charts")
    assert sum(r.method == "GET" and r.path.endswith("/messages") for r in emu.requests) - looked <= 1


@pytest.mark.parametrize("known", ["nobody", "too late"])
async def test_a_question_that_cannot_be_answered_where_it_was_asked_is_answered_in_the_channel(
    emu: DiscordEmulator, core: Core, known: str
) -> None:
    async with front(emu, core, heir=False) as first:
        fault = emu.faults.delay(HELD, "POST", "/callback$", when="before" if known == "nobody" else "after")
        asked = await first.ask(QUESTION)
        await emu.wait_for(lambda: fault.hits and (known == "nobody" or asked.acked), 40)
        await first.kill()
    emu.faults.clear()
    emu.clock.advance(30 if known == "nobody" else 1000)
    emu.take_violations()
    async with front(emu, core) as second:
        [answer] = await second.settled(emu.channel_id)
        assert f"To: {QUESTION}" in answer.text
        await delivered(core)
    assert emu.threads == []


async def test_what_was_for_the_asker_alone_is_told_directly_where_it_is_too_late(
    emu: DiscordEmulator, core: Core, members: ProviderEmulator
) -> None:
    async with front(emu, core, heir=False) as first:
        fault = emu.faults.delay(HELD, "POST", "/callback$")
        await first.ask("  ")
        await emu.wait_for(lambda: fault.hits, 40)
        await first.kill()
    emu.faults.clear()
    emu.clock.advance(30)
    emu.take_violations()
    async with front(emu, core):
        await emu.wait_for(lambda: len(emu.messages(emu.dm_channel_id)) == 2, 40)
        assert "There is no question." in emu.messages(emu.dm_channel_id)[-1].text


async def test_an_answer_that_is_drawn_anew_on_two_fronts_at_once_is_drawn_once(
    emu: DiscordEmulator, core: Core, members: ProviderEmulator
) -> None:
    for name in ("ada", "bert", "cleo"):
        members.model(name, text=LONG)
    members.model("judge", reply="rubbish")
    async with front(emu, core) as first, front(emu, core) as second, balanced(emu, [first, second]) as taken:
        thread = await first.answered(QUESTION)
        [answer] = first.answers(thread.id)
        taken.clear()
        taps = [await emu.click(user, answer, "Longer") for user in (emu.alice, emu.bob)]
        await emu.wait_for(lambda: "Shorter" in str([m.components for m in emu.messages(thread.id)]), 40)
        await emu.wait_for(lambda: not (first.surface._tasks or second.surface._tasks), 40)
        assert all(tap.acked for tap in taps)
        assert sorted(taken) == [0, 1]
        assert len(first.answers(thread.id)) == 1
        assert len(emu.messages(thread.id)) > 2
    assert set(numbers(emu, thread.id).values()) == {1}


# --- what cannot be stored ------------------------------------------------------------------------------


async def test_what_cannot_be_kept_is_refused_in_words(emu: DiscordEmulator, core: Core, redis: OwnServer) -> None:
    with redis:
        async with front(emu, core, inbox=redis.url) as only:
            redis.stop()
            asked = await only.ask(QUESTION)
            await emu.say(emu.alice, emu.channel_id, QUESTION, mention=True)
            assert "Nothing of this has been taken in; please try again" in await only.told(asked)
            said = await emu.wait_for(lambda: [m for m in emu.messages(emu.channel_id) if m.author == emu.bot], 40)
            assert "Nothing of this has been taken in" in said[0].text
            redis.start()
    assert emu.threads == []


async def test_a_question_that_meets_an_outage_is_asked_when_that_is_over(
    emu: DiscordEmulator, core: Core, redis: OwnServer
) -> None:
    with redis:
        async with front(emu, core, claims=redis.url, inbox=core.state._link.url) as only:
            redis.stop()
            asked = await only.ask(QUESTION)
            await emu.wait_for(lambda: asked.acked, 40)
            await asyncio.sleep(0.3)
            assert emu.threads == []
            redis.start()
            thread = (await emu.wait_for(lambda: emu.threads, 40))[0]
            await only.settled(thread.id)
    assert asked.followups == []


# --- turns ----------------------------------------------------------------------------------------------


async def test_one_front_holds_the_session_and_another_takes_it_over(emu: DiscordEmulator, core: Core) -> None:
    async with front(emu, core) as second, front(emu, core) as first:
        assert (second.holds, first.holds) == (True, False)
        assert [await each.surface.ready() for each in (second, first)] == [None, None]
        await second.silence()
        await emu.wait_for(lambda: first.holds and not second.holds, 40)
        assert len(emu.gateway.connections) == 1
        await first.answered(QUESTION)
        assert len(emu.gateway.connections) == 1


async def test_what_is_asked_while_no_session_stands_is_found(emu: DiscordEmulator, core: Core) -> None:
    async with front(emu, core, heir=False) as first:
        thread = await first.answered("A first question?")
        await first.kill()
    await emu.say(emu.bob, emu.channel_id, "Nothing for the bot.")
    asked = await emu.say(emu.alice, emu.channel_id, QUESTION, mention=True)
    await emu.say(emu.alice, emu.channel_id, "help", mention=True)
    await emu.say(emu.alice, thread.id, "And at night?")
    async with front(emu, core) as second:
        await second.settled(thread.id, 2)
        await emu.wait_for(lambda: asked.id in [t.id for t in emu.threads], 40)
        await second.settled(asked.id)
        await emu.wait_for(lambda: not second.surface._shows.tasks, 40)
    assert len(emu.threads) == 2
    async with front(emu, core) as third:
        await third.answered("Something new?", user=emu.bob)
    assert len(emu.threads) == 3
    assert [len(third.answers(place)) for place in (thread.id, asked.id)] == [2, 1]


async def test_who_asked_while_no_session_stood_has_the_roles_that_they_have(emu: DiscordEmulator, core: Core) -> None:
    role = emu.add_role("askers")
    carol = emu.add_user("carol", roles=[role])
    asked = await emu.say(carol, emu.channel_id, QUESTION, mention=True)
    async with front(emu, core) as only:
        await emu.wait_for(lambda: emu.threads, 40)
        await only.settled(asked.id)
        assert [r.path for r in emu.requests if "/members/" in r.path] == [f"/guilds/{emu.guild_id}/members/{carol.id}"]


# --- where nothing can be written -----------------------------------------------------------------------


async def test_who_mentions_the_bot_where_it_may_not_write_is_told_directly(emu: DiscordEmulator, core: Core) -> None:
    mute = emu.add_channel("mute", deny_bot=Permission.SEND_MESSAGES | Permission.CREATE_PUBLIC_THREADS)
    async with front(emu, core):
        await emu.say(emu.alice, mute, QUESTION, mention=True)
        told = await emu.wait_for(lambda: emu.messages(emu.dm_channel_id), 40)
        assert f"About what you wrote in <#{mute}>" in told[0].text
        await emu.wait_for(
            lambda: "lacks the permission Send Messages " in emu.messages(emu.dm_channel_id)[-1].text, 20
        )
    assert [m.author for m in emu.messages(mute)] == [emu.alice]
