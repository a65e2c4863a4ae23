"""Where the bot is no member, where it was just added, whom it may write to, and what members may do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import discord
import pytest

from tests.emulators.discord import DiscordEmulator, NotOffered, Permission
from tests.emulators.discord.samplebot import running
from tests.emulators.discord.samplechat import ChatBot, chart


@pytest.fixture
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(rates=False) as emulator:
        yield emulator


@pytest.fixture
async def bot(emu: DiscordEmulator) -> AsyncIterator[ChatBot]:
    async with running(emu, ChatBot()) as started:
        yield started
        assert emu.violations == []


def place(emu: DiscordEmulator, kind: str) -> int:
    """Make a place where the bot is no member."""
    if kind == "guild":
        return emu.add_guild("Elsewhere", emu.alice, emu.bob)
    carol = emu.add_user("carol")
    return emu.private_channel(emu.alice, emu.bob, *([carol] if kind == "group" else []))


@pytest.mark.parametrize(("kind", "context"), [("guild", 0), ("group", 2), ("pair", 2)])
async def test_where_the_bot_is_no_member(emu: DiscordEmulator, bot: ChatBot, kind: str, context: int) -> None:
    there = place(emu, kind)
    with pytest.raises(NotOffered, match="nor alice has the application"):
        await emu.command(emu.alice, "anywhere", channel_id=there)
    emu.install(emu.alice)
    asked = await emu.command(emu.alice, "anywhere", channel_id=there)
    answer = await asked.wait_response()
    sent = emu.dispatches[-1].data
    assert (sent["authorizing_integration_owners"], sent["context"]) == ({"1": str(emu.alice.id)}, context)
    assert ("member" in sent, "user" in sent) == (kind == "guild", kind != "guild")
    await emu.say(emu.bob, there, "does it hear me?")
    pressed = await emu.click(emu.bob, answer, "Slow")
    assert (await pressed.wait_response()).content == "Done."
    assert {r.event for r in emu.dispatches} <= {"READY", "GUILD_CREATE", "INTERACTION_CREATE"}
    for number in range(5):
        await bot.met[0].followup.send(f"more {number}")
    with pytest.raises(discord.HTTPException) as refused:
        await bot.met[0].followup.send("too much")
    assert refused.value.code == 40094
    with pytest.raises(discord.Forbidden) as missing:
        await bot.http.send_message(there, params=discord.http.handle_message_parameters("x"))
    assert missing.value.code == 50001
    with pytest.raises(discord.Forbidden):
        await bot.http.start_thread_with_message(there, answer.id, name="x", auto_archive_duration=60)


async def test_commands_of_the_guild_alone_stay_there(emu: DiscordEmulator, bot: ChatBot) -> None:
    emu.install(emu.alice)
    there = place(emu, "guild")
    with pytest.raises(NotOffered):
        await emu.command(emu.alice, "form", channel_id=there)
    said = await emu.say(emu.bob, there, "Is it so?")
    used = await emu.context_menu(emu.alice, "Ask about this", said)
    assert (await used.wait_response()).content == "Is it so? []"
    with pytest.raises(NotOffered, match="nor bob has"):
        await emu.context_menu(emu.bob, "Ask about this", said)
    both = await (await emu.command(emu.alice, "anywhere")).wait_acked()
    assert both.owners == {"0": str(emu.guild_id), "1": str(emu.alice.id)}


async def test_replies_are_hushed_where_external_apps_are_not_allowed(emu: DiscordEmulator, bot: ChatBot) -> None:
    emu.install(emu.alice)
    there = place(emu, "guild")
    guild = emu.world.guild_of(emu.world.channels[there])
    assert guild is not None
    everyone = guild.roles[guild.id]
    guild.roles[guild.id] = type(everyone)(
        guild.id, everyone.name, everyone.permissions & ~Permission.USE_EXTERNAL_APPS
    )
    asked = await emu.command(emu.alice, "anywhere", channel_id=there)
    await asked.wait_response()
    assert asked.ephemeral


async def test_tokens_live_as_long_as_told() -> None:
    async with DiscordEmulator(rates=False, token_ttl=60) as emu, running(emu, ChatBot()) as bot:
        await (await emu.command(emu.alice, "form")).wait_acked()
        asked = await emu.command(emu.alice, "secret")
        await asked.wait_response()
        emu.clock.advance(61)
        with pytest.raises(discord.HTTPException) as late:
            await bot.met[-1].followup.send("too late")
        assert late.value.code == 50027


async def test_members_have_roles_and_permissions(emu: DiscordEmulator, bot: ChatBot) -> None:
    with pytest.raises(NotOffered, match="may not use 'controls'"):
        await emu.command(emu.alice, "controls")
    crew = emu.add_role("crew", permissions=Permission.MANAGE_MESSAGES | Permission.MANAGE_GUILD)
    dora = emu.add_user("dora", roles=[crew])
    await (await emu.command(dora, "controls")).wait_acked()
    member = bot.met[-1].user
    assert isinstance(member, discord.Member)
    assert bot.met[-1].permissions.manage_guild
    sent = [record.data["member"] for record in emu.dispatches if record.event == "INTERACTION_CREATE"][-1]
    assert sent["roles"] == [str(crew.id)]
    assert int(sent["permissions"]) & Permission.MANAGE_MESSAGES


@pytest.mark.parametrize(
    ("system", "deny", "greeted"),
    [(True, Permission(0), ["Hello."]), (False, Permission(0), []), (True, Permission.SEND_MESSAGES, [])],
)
async def test_the_bot_is_added(
    emu: DiscordEmulator, bot: ChatBot, system: bool, deny: Permission, greeted: list[str]
) -> None:
    await bot.wait_until_ready()  # discord.py takes a guild that comes sooner for one it knew
    guild = emu.join_guild("New here", emu.alice, system_channel=system, deny_bot=deny)
    await emu.wait_for(lambda: bot.joined)
    welcome = [channel for channel in emu.world.channels.values() if channel.guild_id == guild.id][-1]
    if greeted:
        await emu.wait_for(lambda: emu.messages(welcome.id))
    await (await emu.command(emu.alice, "form", channel_id=welcome.id)).wait_acked()
    assert [message.content for message in emu.messages(welcome.id)] == greeted
    assert [channel.name for channel in bot.joined[0].text_channels] == ["rules", "welcome"]
    assert [record.event for record in emu.dispatches][:3] == ["READY", "GUILD_CREATE", "GUILD_CREATE"]


async def test_direct_channel_with_files(emu: DiscordEmulator, bot: ChatBot) -> None:
    user = await bot.fetch_channel(emu.dm_channel_id)
    assert isinstance(user, discord.DMChannel)
    opened = await bot.http.start_private_message(emu.bob.id)
    direct = bot.get_partial_messageable(int(opened["id"]))
    await direct.send("for you", file=chart())
    assert [file.filename for file in emu.files(int(opened["id"]))] == ["chart.png"]
    emu.refuse_direct(emu.bob)
    with pytest.raises(discord.Forbidden) as refused:
        await direct.send("still there?")
    assert refused.value.code == 50007
