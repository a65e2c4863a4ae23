"""What can go wrong on Discord's side, at the members and in between; each time people get one answer or a reason."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.discord.surface import DiscordConfig, DiscordSurface
from core.asks import Platform
from core.errors import ConfigError
from tests.e2e.discord.stage import TIMING, Stage, on_stage, provided
from tests.emulators.discord import DiscordEmulator, Permission
from tests.emulators.provider import ProviderEmulator, status

pytestmark = pytest.mark.asyncio(loop_scope="package")

QUESTION = "Should remote work be the default?"
POST = r"^/channels/\d+/messages$"
THREADS = r"/threads$"


# --- the posts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["502 after", "503 after", "drop after", "503 before", "drop before"])
async def test_a_lost_reply_to_a_post_makes_no_second_message(stage: Stage, how: str) -> None:
    emu = stage.emu
    kind, _, when = how.partition(" ")
    order = {"method": "POST", "path": POST, "times": 2, "when": when}
    fault = emu.faults.drop(**order) if kind == "drop" else emu.faults.status(int(kind), **order)  # type: ignore[arg-type]
    thread = await stage.answered(QUESTION, charts=True)
    await emu.wait_for(lambda: emu.files(thread.id), 40)
    assert fault.hits == 2
    contents = [m.text for m in emu.messages(thread.id)]
    assert len(contents) == len(set(contents))
    assert len(stage.answers(thread.id)) == 1
    assert len(emu.files(thread.id)) == 2


async def test_a_progress_message_that_nobody_knows_of_goes(
    emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator
) -> None:
    provider.model("ada", latency=0.3)
    emu.faults.drop("POST", POST, when="after")
    unread = emu.faults.status(503, "GET", POST, times=len(TIMING.retries))
    timing = replace(TIMING, pace=5.0, backfill=0.0)  # nothing is shown between the first message and the answer
    async with on_stage(emu, tmp_path, provided(provider), timing=timing) as stage:
        await stage.ask(QUESTION)
        thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
        await emu.wait_for(lambda: stage.answers(thread.id) and not stage.surface._tasks, 20)
        assert unread.left == 0
        assert stage.progress(thread.id) == []


async def test_a_progress_message_that_is_not_deleted_is_deleted_later(stage: Stage) -> None:
    emu = stage.emu
    fault = emu.faults.status(503, "DELETE", r"/messages/\d+$", times=1 + len(TIMING.retries))
    await stage.ask(QUESTION)
    thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
    await emu.wait_for(lambda: stage.answers(thread.id) and not stage.surface._tasks, 20)
    assert fault.left == 0
    assert stage.progress(thread.id) == []
    assert len(stage.answers(thread.id)) == 1


async def test_a_lost_reply_to_the_acknowledgement_counts_as_one(stage: Stage) -> None:
    emu = stage.emu
    emu.faults.status(502, "POST", "/callback$", when="after")
    await stage.answered(QUESTION)
    emu.faults.drop("POST", "/callback$", when="after")
    assert "**Models**" in await stage.told(await emu.command(emu.alice, "consortium models list"), 20)


async def test_an_acknowledgement_that_comes_too_late_starts_nothing(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path) as stage:
        emu.faults.delay(0.2, "POST", "/callback$")
        asked = await stage.ask(QUESTION)
        emu.clock.advance(30)
        await emu.wait_for(lambda: any(r.path.endswith("/callback") and r.status == 404 for r in emu.requests), 20)
        assert "not asked anything" in await stage.told(await emu.command(emu.alice, "consortium history"), 20)
        assert not asked.acked
    assert emu.threads == []


async def test_unreadable_history_does_not_stop_an_answer(emu: DiscordEmulator, tmp_path: Path) -> None:
    place = emu.add_channel("amnesia", deny_bot=Permission.READ_MESSAGE_HISTORY | Permission.CREATE_PUBLIC_THREADS)
    async with on_stage(emu, tmp_path) as stage:
        emu.faults.status(503, "POST", POST, times=2, when="after")
        await stage.ask(QUESTION, channel_id=place)
        await stage.settled(place)
        assert len(stage.answers(place)) == 1


# --- threads and permissions ----------------------------------------------------------------------------


async def test_without_the_permission_for_threads_the_answer_is_a_reply(emu: DiscordEmulator, tmp_path: Path) -> None:
    place = emu.add_channel("flat", deny_bot=Permission.CREATE_PUBLIC_THREADS)
    async with on_stage(emu, tmp_path) as stage:
        asked = await stage.ask(QUESTION, channel_id=place)
        [answer] = await stage.settled(place)
        assert asked.response is not None
        assert answer.reference == (place, asked.response.id)
        assert "lacks the permission Create Public Threads" in answer.text
        message = await emu.say(emu.alice, place, "and at night?", mention=True)
        _, answer = await stage.settled(place, 2)
        assert answer.reference == (place, message.id)
    assert emu.threads == []


async def test_a_refused_thread_is_no_lost_answer(stage: Stage) -> None:
    emu = stage.emu
    emu.faults.status(403, "POST", THREADS)
    await stage.ask(QUESTION)
    [answer] = await stage.settled(emu.channel_id)
    assert "No thread: " in answer.text


async def test_a_long_wait_for_threads_is_not_waited_for(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path, timing=replace(TIMING, thread=0.3)) as stage:
        emu.faults.rate_limit(280, "POST", THREADS, scope="shared")
        await stage.ask(QUESTION)
        [answer] = await stage.settled(emu.channel_id)
        assert "Discord does not let one be opened just now" in answer.text
    assert emu.threads == []


@pytest.mark.parametrize("how", ["drop", "502"])
async def test_a_thread_whose_opening_was_not_confirmed_is_used(stage: Stage, how: str) -> None:
    emu = stage.emu
    if how == "drop":
        emu.faults.drop("POST", THREADS, when="after")
    else:
        emu.faults.status(502, "POST", THREADS, when="after")
    await stage.answered(QUESTION)
    assert len(emu.threads) == 1
    assert stage.answers(emu.channel_id) == []


@pytest.mark.parametrize(("place", "missing"), [("locked", "Send Messages"), ("hidden", "View Channel")])
async def test_where_nothing_can_be_posted_the_asker_is_told_why(stage: Stage, place: str, missing: str) -> None:
    emu = stage.emu
    channel = {"locked": emu.locked_channel_id, "hidden": emu.hidden_channel_id}[place]
    told = await stage.told(await stage.ask(QUESTION, channel_id=channel), 20)
    assert f"lacks the permission {missing} " in told
    assert emu.messages(channel) == []
    assert "not asked anything" in await stage.told(await emu.command(emu.alice, "consortium history"), 20)


async def test_a_permission_taken_away_meanwhile_is_told(stage: Stage) -> None:
    emu = stage.emu
    emu.faults.status(403, "POST", POST, times=50)
    asked = await stage.ask(QUESTION)
    await emu.wait_for(lambda: asked.followups, 20)
    assert asked.followups[0].ephemeral
    assert "lacks the permission Send Messages in Threads" in asked.followups[0].text
    since = datetime.now(UTC) - timedelta(hours=1)
    await emu.wait_for(lambda: not stage.surface._tasks, 20)
    assert await stage.core.history.undelivered(Platform.DISCORD, since) == [], "nobody is told of it once more"


async def test_without_the_permission_for_files_the_charts_come_in_words(emu: DiscordEmulator, tmp_path: Path) -> None:
    place = emu.add_channel("plain", deny_bot=Permission.ATTACH_FILES)
    async with on_stage(emu, tmp_path) as stage:
        await stage.ask(QUESTION, channel_id=place, charts=True)
        thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
        await emu.wait_for(lambda: "permission Attach Files" in emu.messages(thread.id)[-1].text, 40)


# --- the connection -------------------------------------------------------------------------------------


async def test_the_gateway_is_cut_while_members_think(
    emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator
) -> None:
    provider.model("ada", latency=0.5)
    async with on_stage(emu, tmp_path, provided(provider)) as stage:
        await stage.ask(QUESTION)
        thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
        emu.gateway.cut()
        await emu.say(emu.bob, thread.id, "and at night?")
        await stage.settled(thread.id, 2 if stage.progress(thread.id) else 1)
        await emu.wait_for(lambda: emu.gateway.connected, 20)
        await emu.say(emu.bob, thread.id, "and by day?")
        await emu.wait_for(lambda: len(stage.answers(thread.id)) >= 2, 20)
    assert len(emu.gateway.sessions) == 1, "the session was resumed"


async def test_what_was_written_while_nobody_was_connected_is_answered(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path) as stage:
        thread = await stage.answered(QUESTION)
        await emu.say(emu.bob, thread.id, "and at night?")
        await stage.settled(thread.id, 2)
    await emu.say(emu.bob, thread.id, "and by day?")
    async with on_stage(emu, tmp_path) as stage:
        await stage.settled(thread.id, 3)
    assert len(stage.answers(thread.id)) == 3


async def test_a_new_session_takes_over_when_the_old_one_is_dead(stage: Stage) -> None:
    emu = stage.emu
    emu.gateway.invalidate(resumable=False)
    await emu.wait_for(lambda: len(emu.gateway.sessions) == 2 and emu.gateway.connected, 30)
    await stage.answered(QUESTION)


@pytest.mark.parametrize("what", ["an answer", "a list"])
async def test_what_goes_on_by_an_interaction_outlives_the_session(
    emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator, what: str
) -> None:
    provider.model("ada", latency=0.5)
    emu.install(emu.alice)
    abroad = emu.add_guild("Elsewhere", emu.alice)
    async with on_stage(emu, tmp_path, provided(provider)) as stage:
        if what == "an answer":
            asked = await stage.ask(QUESTION, channel_id=abroad)
            await emu.wait_for(lambda: asked.response and "stop:" in str(asked.response.components), 20)
        else:
            fault = emu.faults.delay(0.5, "PATCH", "@original$")
            asked = await emu.command(emu.alice, "consortium models list")
            await emu.wait_for(lambda: fault.hits, 20)
        emu.gateway.close(4012)
        wanted = "-# consortium" if what == "an answer" else "**Models**"
        await emu.wait_for(lambda: asked.response and wanted in asked.response.text, 20)
        assert len(asked.replies) == 1
        assert len(emu.gateway.sessions) == 2


async def test_discord_away_at_the_start_is_waited_for(emu: DiscordEmulator, tmp_path: Path) -> None:
    emu.faults.status(503, "GET", "/users/@me$", times=2)
    async with on_stage(emu, tmp_path) as stage:
        await stage.answered(QUESTION)


async def test_a_gateway_away_at_the_start_is_waited_for(stage: Stage, unused_tcp_port: int) -> None:
    emu = stage.emu
    await stage.surface.close(0)
    config = DiscordConfig(emu.token, emu.api_url, f"ws://127.0.0.1:{unused_tcp_port}/gw/")
    core = stage.core
    surface = DiscordSurface(config, core.service, core.history, TIMING)
    before = len(emu.requests)
    await surface.start(patience=0.1)
    await emu.wait_for(lambda: [r.path for r in emu.requests[before:]].count("/users/@me") >= 2, 20)
    await surface.close(0)


async def test_no_session_begins_for_which_discord_would_take_the_token(stage: Stage) -> None:
    emu, core = stage.emu, stage.core
    await stage.surface.close(0)
    emu.gateway.remaining, before = 0, len(emu.requests)
    config = DiscordConfig(emu.token, emu.api_url, emu.gateway_url)
    surface = DiscordSurface(config, core.service, core.history, TIMING)
    await surface.start(patience=0.1)
    await emu.wait_for(lambda: [r.path for r in emu.requests[before:]].count("/gateway/bot") >= 2, 20)
    assert (len(emu.gateway.sessions), await surface.ready()) == (1, "no gateway session stands")
    emu.gateway.remaining = 1
    await emu.wait_for(lambda: len(emu.gateway.sessions) == 2, 20)
    assert emu.gateway.remaining == 0
    await surface.close(0)


@pytest.mark.parametrize("wrong", ["token", "intent"])
async def test_what_the_operator_must_set_right_ends_the_start(stage: Stage, wrong: str) -> None:
    emu, core = stage.emu, stage.core
    await stage.surface.close(0)
    emu.gateway.message_content = wrong != "intent"
    token = "wrong" if wrong == "token" else emu.token
    config = DiscordConfig(token, emu.api_url, emu.gateway_url)
    surface = DiscordSurface(config, core.service, core.history, TIMING)
    hint = {"token": "Discord does not accept this token", "intent": "switch on Message Content Intent"}[wrong]
    with pytest.raises(ConfigError, match=f"DISCORD_BOT_TOKEN: .*{hint}"):
        await surface.start(patience=30)
    emu.take_violations()


async def test_a_token_that_is_revoked_ends_the_surface(stage: Stage) -> None:
    stage.emu.revoke_token()
    with pytest.raises(ConfigError, match="DISCORD_BOT_TOKEN"):
        await asyncio.wait_for(stage.surface.wait(), 20)
    stage.emu.take_violations()


# --- the members ----------------------------------------------------------------------------------------


async def test_all_members_down(emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator) -> None:
    for name in ("ada", "bert", "cleo"):
        provider.model(name, always=status(401, message="no such key"))
    async with on_stage(emu, tmp_path, provided(provider)) as stage:
        await stage.ask(QUESTION)
        thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
        told = await emu.wait_for(lambda: [m for m in emu.messages(thread.id) if "No answer" in m.text], 20)
        assert "ada" in told[0].text
        await emu.wait_for(lambda: not stage.progress(thread.id), 20)
        assert stage.answers(thread.id) == []


async def test_an_arbiter_that_talks_rubbish(emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator) -> None:
    provider.model("judge", reply="rubbish")
    async with on_stage(emu, tmp_path, provided(provider)) as stage:
        await stage.wants("long")
        thread = await stage.answered(QUESTION)
        texts = " ".join(m.text for m in emu.messages(thread.id))
        assert "no arbiter could decide, so the vote did, in the words of ada" in texts
        assert "judge" in texts
        assert "weather" not in texts


async def test_a_member_that_hangs(emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator) -> None:
    provider.model("bert", always="hang")
    async with on_stage(emu, tmp_path, provided(provider)) as stage:
        thread = await stage.answered(QUESTION)
        assert "bert was not waited for" in emu.messages(thread.id)[1].text


async def test_a_hostile_and_endless_model_is_shown_safely(
    emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator
) -> None:
    table = "| a | b |\n|---|---|\n" + "\n".join(f"| {n} | {'x' * 60} |" for n in range(30))
    code = "```python\n" + "\n".join(f"line_{n} = '@everyone'" for n in range(150))
    text = f"@everyone <@{emu.bob.id}> [safe](https://evil.example)\n\n{table}\n\n{code}\n```\n\n````\nopen"
    for name in ("ada", "bert", "cleo"):
        provider.model(name, text=text)
    provider.model("judge", reply="rubbish")
    async with on_stage(emu, tmp_path, provided(provider)) as stage:
        await stage.wants("long")
        thread = await stage.answered(QUESTION)
        posted = emu.messages(thread.id)
        assert len(posted) > 2
        whole = "\n".join(m.text for m in posted)
        assert all(f"line_{n} = " in whole for n in range(150))
        assert "safe (<https://evil.example>)" in whole
        assert all(not m.mention_everyone and m.mentions == [] for m in posted)


# --- and all the time -----------------------------------------------------------------------------------


async def test_everything_holds_under_the_usual_rate_limits(tmp_path: Path) -> None:
    async with DiscordEmulator(ack_deadline=20.0) as emu:
        async with on_stage(emu, tmp_path, timing=replace(TIMING, call=30.0, thread=8.0)) as stage:
            thread = await stage.answered(QUESTION)
            for number in range(2):
                await emu.say(emu.bob, thread.id, f"And at {number} o'clock?")
            await stage.settled(thread.id, 3)
        assert emu.violations == []
        assert all(r.status != 429 for r in emu.requests)
