"""Places and first contact: messages asked about, files, servers the bot joins, and those where it is no member."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.discord.commands import MENU
from tests.e2e.discord.stage import TIMING, Stage, on_stage, provided
from tests.emulators.discord import DiscordEmulator, File, Message, Permission
from tests.emulators.provider import ProviderEmulator

pytestmark = pytest.mark.asyncio(loop_scope="package")

QUESTION = "Should remote work be the default?"
NOTES = File("notes.txt", b"The office has 12 desks.")


# --- the menu of a message ------------------------------------------------------------------------------


async def test_a_message_is_asked_about_in_a_thread_on_it(stage: Stage) -> None:
    emu = stage.emu
    message = await emu.say(emu.bob, emu.channel_id, "We should all work from home.", files=[NOTES])
    menu = await emu.context_menu(emu.alice, MENU, message)
    await menu.wait_acked(20)
    assert "We should all work from home." in str(menu.modal)
    sent = await emu.submit_modal(menu, {"text": "Is Bob right?"})
    thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
    assert thread.id == message.id
    [answer] = await stage.settled(thread.id)
    run = await stage.run_of(answer)
    assert run.ask.text == "Is Bob right?"
    assert [a.name for a in run.ask.attachments] == ["notes.txt"]
    assert (await sent.wait_response(20)).content == "> Is Bob right?"
    await emu.say(emu.bob, thread.id, "And at night?")
    await stage.settled(thread.id, 2)


async def test_a_message_in_a_direct_channel_is_asked_about_there(stage: Stage) -> None:
    emu = stage.emu
    message = await emu.say(emu.alice, emu.dm_channel_id, "help")
    menu = await emu.context_menu(emu.alice, MENU, message)
    await menu.wait_acked(20)
    await emu.submit_modal(menu)
    await stage.settled(emu.dm_channel_id)
    assert emu.threads == []


# --- files ----------------------------------------------------------------------------------------------


async def test_files_go_with_a_mention_and_with_a_command(stage: Stage) -> None:
    emu = stage.emu
    await emu.say(emu.alice, emu.channel_id, "how many desks?", mention=True, files=[NOTES])
    first = (await emu.wait_for(lambda: emu.threads, 20))[0]
    await stage.settled(first.id)
    second = await stage.answered("How many desks?", file=NOTES)
    for thread in (first, second):
        run = await stage.run_of(stage.answers(thread.id)[-1])
        assert [(a.name, a.kind) for a in run.ask.attachments] == [("notes.txt", "text")]
        [material] = await stage.core.history.materials(run.id)
        assert material.text == "The office has 12 desks."


async def test_a_file_alone_is_wondered_about(stage: Stage) -> None:
    emu = stage.emu
    await emu.say(emu.alice, emu.dm_channel_id, files=[NOTES])
    [answer] = await stage.settled(emu.dm_channel_id)
    assert (await stage.run_of(answer)).ask.text == "What do you make of this?"


async def test_a_file_that_is_gone_or_unreadable_is_named(stage: Stage) -> None:
    emu = stage.emu
    told = await stage.told(await stage.ask(QUESTION, file=File("virus.exe", b"MZ\x00\x01")))
    assert "virus.exe" in told
    assert emu.messages(emu.channel_id) == []


# --- first contact --------------------------------------------------------------------------------------


async def test_a_server_that_is_joined_is_greeted_with_questions_to_begin_with(stage: Stage) -> None:
    emu = stage.emu
    await ready(stage)
    guild = emu.join_guild("New place", emu.alice)
    welcome = await greeting(stage, guild.system_channel_id or 0)
    assert "/consortium" in welcome.text
    before = len(emu.threads)
    await emu.click(emu.alice, welcome, next(i for i in welcome.custom_ids if i.startswith("example:")))
    thread = (await emu.wait_for(lambda: emu.threads[before:], 20))[0]
    await stage.settled(thread.id)


async def test_without_a_channel_for_newcomers_the_first_one_is_taken(stage: Stage) -> None:
    emu = stage.emu
    await ready(stage)
    guild = emu.join_guild("New place", emu.alice, system_channel=False)
    rules = next(c.id for c in emu.world.channels.values() if c.guild_id == guild.id and c.name == "rules")
    await greeting(stage, rules)


async def test_where_it_may_not_write_the_next_channel_is_taken(stage: Stage) -> None:
    emu = stage.emu
    await ready(stage)
    guild = emu.join_guild("New place", emu.alice, deny_bot=Permission.SEND_MESSAGES)
    rules = next(c.id for c in emu.world.channels.values() if c.guild_id == guild.id and c.name == "rules")
    await greeting(stage, rules)
    assert emu.messages(guild.system_channel_id or 0) == []


async def ready(stage: Stage) -> None:
    """The library tells of servers that were joined only once it knows those of before."""
    await stage.surface._connection.client().wait_until_ready()


async def greeting(stage: Stage, channel: int) -> Message:
    [welcome] = await stage.emu.wait_for(lambda: stage.emu.messages(channel), 20)
    assert welcome.custom_ids
    return welcome


async def test_who_writes_for_the_first_time_is_greeted_once(emu: DiscordEmulator, tmp_path: Path) -> None:
    for number in range(2):
        async with on_stage(emu, tmp_path) as stage:
            await emu.say(emu.alice, emu.dm_channel_id, QUESTION)
            await stage.settled(emu.dm_channel_id, number + 1)
    messages = emu.messages(emu.dm_channel_id)
    greetings = [m for m in messages if any(i.startswith("example:") for i in m.custom_ids)]
    assert next(m.id for m in messages if m.author == emu.bot) == greetings[0].id
    assert len(greetings) == 1


# --- where the bot is no member -------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="package", params=["server", "group"])
async def abroad(emu: DiscordEmulator, request: pytest.FixtureRequest) -> int:
    """A channel without the bot, of somebody who has it installed."""
    emu.install(emu.alice)
    if request.param == "server":
        return emu.add_guild("Elsewhere", emu.alice, emu.bob)
    return emu.private_channel(emu.alice, emu.bob, emu.add_user("carl"))


async def test_where_the_bot_is_no_member_the_response_is_the_answer(stage: Stage, abroad: int) -> None:
    emu = stage.emu
    asked = await stage.ask(QUESTION, channel_id=abroad, charts=True)
    await emu.wait_for(lambda: asked.response and "-# consortium" in asked.response.text, 30)
    assert asked.response is not None
    assert f"> {QUESTION}" in asked.response.text
    await emu.wait_for(lambda: [f for m in asked.followups for f in m.files], 40)
    told = await stage.told(await emu.click(emu.alice, asked.response, "Answers"))
    assert "**What the members said**" in told
    paths = [r.path for r in emu.requests]
    assert not [path for path in paths if path.startswith(f"/channels/{abroad}")], "nothing but the interaction"


async def test_follow_ups_there_are_filled_in(stage: Stage, abroad: int) -> None:
    emu = stage.emu
    asked = await stage.ask(QUESTION, channel_id=abroad)
    response = await emu.wait_for(lambda: asked.response if "-# consortium" in shown(asked.response) else None, 30)
    tap = await emu.click(emu.alice, response, "Follow up")
    await tap.wait_acked(20)
    more = await emu.submit_modal(tap, {"text": "And for nurses?"})
    second = await emu.wait_for(lambda: more.response if "-# consortium" in shown(more.response) else None, 30)
    run = await stage.run_of(second)
    assert run.ask.text == "And for nurses?"
    said = " ".join(response.text for response in run.rounds[-1].responses)
    assert "goes on from what was said about" in said, "the members have seen the first question"


async def test_a_long_answer_there_keeps_to_five_further_messages(
    emu: DiscordEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emu.install(emu.alice)
    place = emu.add_guild("Elsewhere", emu.alice)
    async with ProviderEmulator() as provider:
        monkeypatch.setenv("EMULATED_KEY", provider.key)
        for name in ("ada", "bert", "cleo"):
            provider.model(name, text="Some more words to fill the line of it.\n\n" * 700)
        provider.model("judge", reply="rubbish")
        async with on_stage(emu, tmp_path, provided(provider), timing=replace(TIMING, retries=())) as stage:
            await stage.wants("long", "charts", channel_id=place)
            asked = await stage.ask(QUESTION, channel_id=place, charts=True)
            await emu.wait_for(lambda: [f for m in asked.followups for f in m.files], 60)
            assert len(asked.followups) <= 5
            texts = [m.text for m in asked.replies]
            assert any("Not all of it fits here" in text for text in texts)
            assert any("-# consortium" in text for text in texts)


async def test_what_is_for_the_asker_alone_is_so_there_too(stage: Stage, abroad: int) -> None:
    asked = await stage.emu.command(stage.emu.alice, "consortium history", channel_id=abroad)
    assert "not asked anything" in await stage.told(asked)
    assert asked.ephemeral


async def test_a_message_there_is_asked_about_in_place(stage: Stage, abroad: int) -> None:
    emu = stage.emu
    message = await emu.say(emu.bob, abroad, "We should all work from home.")
    menu = await emu.context_menu(emu.alice, MENU, message)
    await menu.wait_acked(20)
    sent = await emu.submit_modal(menu)
    await emu.wait_for(lambda: "-# consortium" in shown(sent.response), 30)


def shown(message: Message | None) -> str:
    return message.text if message else ""
