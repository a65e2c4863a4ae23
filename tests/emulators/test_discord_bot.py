"""The Discord emulator driven by the real discord.py over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.emulators.discord import DiscordEmulator, Message, NotOffered
from tests.emulators.discord.samplebot import PIXEL, SampleBot, running


@pytest.fixture
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(rates=False) as emulator:
        yield emulator


@pytest.fixture
async def bot(emu: DiscordEmulator) -> AsyncIterator[SampleBot]:
    async with running(emu, SampleBot()) as started:
        yield started


async def asked(emu: DiscordEmulator) -> Message:
    """Run /consortium ask to its end and give the message in the thread."""
    await emu.command(emu.alice, "consortium ask", question="Why?", panel="deep")
    await emu.wait_for(lambda: emu.threads and emu.files(emu.threads[0].id))
    return emu.messages(emu.threads[0].id)[-1]


async def test_ask_opens_a_thread_with_a_chart(emu: DiscordEmulator, bot: SampleBot) -> None:
    interaction = await emu.command(emu.alice, "consortium ask", question="Why?", panel="deep")
    await interaction.wait_acked()
    answer = await interaction.wait_response()
    assert not interaction.ephemeral
    assert answer.content == "Why? (deep)"
    await emu.wait_for(lambda: emu.threads and emu.files(emu.threads[0].id))
    [thread] = emu.threads
    assert (thread.id, thread.name, thread.parent_id) == (answer.id, "Why?", emu.channel_id)
    chart = emu.messages(thread.id)[-1]
    assert chart.attachments == []  # shown inside the embed, therefore not listed
    assert [(file.filename, file.data, file.description, file.width) for file in chart.files] == [
        ("my_chart.png", PIXEL, "one pixel", 1)
    ]
    assert chart.text == "Answer\n42"
    async with aiohttp.ClientSession() as session, session.get(chart.embeds[0]["image"]["url"]) as reply:
        assert (await reply.read(), reply.content_type) == (PIXEL, "image/png")
        emu.clock.advance(86401)
        async with session.get(reply.url) as stale:
            assert stale.status == 404
    assert emu.violations == []


async def test_events_of_an_ask_come_in_order(emu: DiscordEmulator, bot: SampleBot) -> None:
    await asked(emu)
    events = [record.event for record in emu.dispatches]
    assert events == [
        "READY",
        "GUILD_CREATE",
        "INTERACTION_CREATE",
        "MESSAGE_CREATE",
        "MESSAGE_UPDATE",
        "THREAD_CREATE",
        "MESSAGE_UPDATE",
        "MESSAGE_CREATE",
        "MESSAGE_CREATE",
    ]
    assert emu.dispatches[3].data["flags"] == 128
    assert emu.dispatches[6].data["thread"]["id"] == emu.dispatches[6].data["id"]


async def test_words_in_a_thread_are_answered(emu: DiscordEmulator, bot: SampleBot) -> None:
    thread_id = (await asked(emu)).channel_id
    await emu.say(emu.bob, thread_id, "And now?")
    reply = await emu.wait_for(lambda: [m for m in emu.messages(thread_id) if m.content == "You said: And now?"])
    assert reply[0].reference == (thread_id, emu.messages(thread_id)[-2].id)
    emu.archive(thread_id)
    await emu.say(emu.bob, thread_id, "Awake?")
    await emu.wait_for(lambda: emu.messages(thread_id)[-1].content == "You said: Awake?")
    assert not emu.threads[0].archived
    assert emu.violations == []


async def test_direct_messages_and_mentions(emu: DiscordEmulator, bot: SampleBot) -> None:
    await emu.say(emu.alice, emu.dm_channel_id, "psst")
    await emu.wait_for(lambda: emu.messages(emu.dm_channel_id)[-1].content == "You said: psst")
    await emu.say(emu.alice, emu.channel_id, "not for you")
    await emu.say(emu.alice, emu.channel_id, "for you", mention=True)
    await emu.wait_for(lambda: emu.messages(emu.channel_id)[-1].content == f"You said: {emu.bot.mention} for you")
    assert len(emu.messages(emu.channel_id)) == 3
    assert emu.violations == []


async def test_an_event_can_arrive_twice(emu: DiscordEmulator, bot: SampleBot) -> None:
    message = await emu.say(emu.alice, emu.channel_id, "hello", repeat=3)
    await emu.wait_for(lambda: [seen.id for seen in bot.seen] == [message.id] * 3 or None)
    emu.gateway.repeat("MESSAGE_CREATE", 2)
    again = await emu.say(emu.alice, emu.channel_id, "hello")
    await emu.say(emu.bob, emu.channel_id, "end")
    await emu.wait_for(lambda: [seen.id for seen in bot.seen].count(again.id) == 2)


async def test_ephemeral_replies(emu: DiscordEmulator, bot: SampleBot) -> None:
    interaction = await emu.command(emu.alice, "consortium help")
    await emu.wait_for(lambda: interaction.followups)
    assert interaction.ephemeral
    assert (await interaction.wait_response()).content == "Ask me."
    assert [(m.content, m.ephemeral) for m in interaction.followups] == [("Really.", True)]
    assert emu.messages(emu.channel_id) == []
    assert "MESSAGE_CREATE" not in [record.event for record in emu.dispatches]
    assert emu.violations == []


async def test_autocomplete(emu: DiscordEmulator, bot: SampleBot) -> None:
    choices = await emu.autocomplete(emu.alice, "consortium ask", {"panel": "de"}, focused="panel")
    assert choices == [{"name": "Default", "value": "default"}, {"name": "Deep", "value": "deep"}]
    with pytest.raises(NotOffered, match="question has no autocomplete"):
        await emu.autocomplete(emu.alice, "consortium ask", focused="question")


async def test_a_button_edits_its_message(emu: DiscordEmulator, bot: SampleBot) -> None:
    message = await asked(emu)
    assert message.custom_ids == ["again"]
    click = await emu.click(emu.bob, message.id, "again")
    await click.wait_acked()
    assert (message.content, message.components) == ("Once more.", [])
    with pytest.raises(NotOffered, match="offers \\[\\]"):
        await emu.click(emu.bob, message.id, "again")
    assert emu.violations == []


async def test_second_version_components(emu: DiscordEmulator, bot: SampleBot) -> None:
    interaction = await emu.command(emu.alice, "consortium chart")
    message = await interaction.wait_response()
    assert message.text == "## Chart"
    assert (message.attachments, [file.data for file in message.files]) == ([], [PIXEL])
    gallery = message.components[0]["components"][1]["items"][0]
    assert gallery["description"] == "one pixel"
    assert gallery["media"]["attachment_id"] == str(message.files[0].id)
    assert emu.violations == []


async def test_message_command(emu: DiscordEmulator, bot: SampleBot) -> None:
    said = await emu.say(emu.bob, emu.channel_id, "The sky is green.")
    interaction = await emu.context_menu(emu.alice, "Ask about this", said)
    assert (await interaction.wait_response()).content == "About: The sky is green."
    assert emu.violations == []


@pytest.mark.parametrize(
    ("words", "options", "why"),
    [
        ("other", {}, "no command 'other'"),
        ("consortium", {}, "needs a sub-command"),
        ("consortium tell", {}, "no sub-command 'tell'"),
        ("consortium ask", {}, "question is required"),
        ("consortium ask", {"question": "x" * 501}, "501 characters"),
        ("consortium ask", {"question": 7}, "cannot be 7"),
        ("consortium ask", {"question": "x", "colour": "red"}, "no option \\['colour'\\]"),
    ],
)
async def test_only_what_was_synced_can_be_run(
    emu: DiscordEmulator, bot: SampleBot, words: str, options: dict[str, object], why: str
) -> None:
    with pytest.raises(NotOffered, match=why):
        await emu.command(emu.alice, words, options)


async def test_nothing_can_be_run_before_the_sync(emu: DiscordEmulator) -> None:
    with pytest.raises(NotOffered):
        await emu.command(emu.alice, "consortium ask", question="Why?")


async def test_discord_py_resumes_after_a_cut(emu: DiscordEmulator, bot: SampleBot) -> None:
    emu.gateway.cut()
    message = await emu.say(emu.alice, emu.channel_id, "while you were away")
    await emu.wait_for(lambda: message.id in [seen.id for seen in bot.seen])
    assert [record.event for record in emu.dispatches].count("READY") == 1
    await emu.wait_for(lambda: emu.dispatches[-1].event == "RESUMED")
    emu.gateway.reconnect()
    await emu.wait_for(lambda: [record.event for record in emu.dispatches].count("RESUMED") == 2)
    assert emu.violations == []


async def test_late_acknowledgement(emu: DiscordEmulator, bot: SampleBot) -> None:
    emu.faults.delay(0.1, "POST", "/callback$")
    interaction = await emu.command(emu.alice, "consortium help")
    emu.clock.advance(3.1)
    await emu.wait_for(lambda: [r for r in emu.requests if r.path.endswith("/callback") and r.status])
    assert emu.requests[-1].reply == {"message": "Unknown interaction", "code": 10062}
    assert not interaction.acked
