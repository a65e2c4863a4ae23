"""Menus, modals, files and installed apps of the Discord emulator, driven by the real discord.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import discord
import pytest

from tests.emulators.discord import DiscordEmulator, File, Message, NotOffered
from tests.emulators.discord.samplebot import PIXEL, running
from tests.emulators.discord.samplechat import ChatBot, Showcase, chart, notes


@pytest.fixture
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(rates=False) as emulator:
        yield emulator


@pytest.fixture
async def bot(emu: DiscordEmulator) -> AsyncIterator[ChatBot]:
    async with running(emu, ChatBot()) as started:
        yield started
        assert emu.violations == []


async def shown(emu: DiscordEmulator, words: str, **options: Any) -> Message:
    """Run a command and give its response."""
    return await (await emu.command(emu.world.guild.owner, words, **options)).wait_response()


async def fetched(emu: DiscordEmulator, url: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        return reply.status, await reply.read()


async def test_buttons(emu: DiscordEmulator, bot: ChatBot) -> None:
    message = await shown(emu, "controls")
    slow = await emu.click(emu.alice, message, "Slow")
    assert (await slow.wait_response()).content == "Done."
    assert slow.ephemeral
    assert slow.response != message
    quiet = await emu.click(emu.bob, message.id, "quiet")
    await emu.wait_for(lambda: message.content == "Changed.")
    assert (quiet.callback, quiet.response) == (6, message)
    sent = [record.data for record in emu.dispatches if record.event == "INTERACTION_CREATE"][-1]
    assert sent["data"] == {
        "component_type": 2,
        "id": message.components[0]["components"][2]["id"],
        "custom_id": "quiet",
    }
    assert sent["message"]["id"] == str(message.id)
    assert sent["authorizing_integration_owners"] == {"0": str(emu.guild_id)}


async def test_buttons_that_cannot_be_pressed(emu: DiscordEmulator, bot: ChatBot) -> None:
    message = await shown(emu, "controls")
    private = await shown(emu, "secret")
    for user, where, name, why in (
        (emu.alice, message, "never", "disabled"),
        (emu.alice, message, "other", "offers \\['form', 'slow', 'quiet', 'never'\\]"),
        (emu.alice, message, "pick", "not 'pick'"),
        (emu.alice, private, "form", "alice does not see"),
        (emu.alice, 7, "form", "no message 7"),
    ):
        with pytest.raises(NotOffered, match=why):
            await emu.click(user, where, name)
    await emu.delete(message.id)
    with pytest.raises(NotOffered, match="no message"):
        await emu.click(emu.alice, message, "form")


async def test_buttons_on_ephemeral_messages(emu: DiscordEmulator, bot: ChatBot) -> None:
    private = await shown(emu, "secret")
    before = len(emu.dispatches)
    click = await emu.click(emu.world.guild.owner, private, "Quiet")
    await emu.wait_for(lambda: private.content == "Changed.")
    assert private.ephemeral
    assert [record.event for record in emu.dispatches[before:]] == ["INTERACTION_CREATE"]
    await bot.met[-1].delete_original_response()
    assert click.response is None


async def test_menus(emu: DiscordEmulator, bot: ChatBot) -> None:
    message = await shown(emu, "controls")
    picked = await emu.select(emu.alice, message, "Pick", ["c", "a"])
    assert (await picked.wait_response()).content == "Picked ['a', 'c']"
    whom = await emu.select(emu.alice, message, "whom", [emu.bob])
    assert (await whom.wait_response()).content == "Member bob"
    for name, values, why in (
        ("pick", ["d"], "offers \\['a', 'b', 'c'\\], not 'd'"),
        ("pick", [], "1 to 2 values, not 0"),
        ("pick", ["a", "b", "c"], "not 3"),
        ("pick", ["a", "a"], "twice"),
        ("whom", [7], "no user 7"),
        ("form", ["a"], "not 'form'"),
    ):
        with pytest.raises(NotOffered, match=why):
            await emu.select(emu.alice, message, name, values)


async def test_every_component_and_its_edit(emu: DiscordEmulator, bot: ChatBot) -> None:
    message = await shown(emu, "show")
    [box, row] = message.components
    assert (box["accent_color"], [part["type"] for part in box["components"]]) == (0x3366FF, [10, 14, 9, 9, 12, 13])
    assert box["components"][5]["name"] == "notes.txt"
    assert box["components"][2]["accessory"]["media"]["attachment_id"] == str(message.files[0].id)
    assert row["components"][0]["options"][0]["value"] == "Deep"
    again = await emu.click(emu.bob, message, "Again")
    await again.wait_acked()
    assert (again.callback, [file.filename for file in message.files]) == (7, ["new.png", "notes.txt"])
    assert await fetched(emu, message.components[0]["components"][4]["items"][0]["media"]["url"]) == (200, PIXEL)


async def test_bot_changes_files_of_its_own_message(emu: DiscordEmulator, bot: ChatBot) -> None:
    channel = await bot.fetch_channel(emu.channel_id)
    assert isinstance(channel, discord.TextChannel)
    plain = await channel.send("chart", file=chart())
    plain = await plain.edit(attachments=[*plain.attachments, notes()])
    assert [file.filename for file in plain.attachments] == ["chart.png", "notes.txt"]
    plain = await plain.edit(attachments=plain.attachments[1:])
    assert [file.filename for file in emu.files(emu.channel_id)] == ["notes.txt"]
    await channel.send(view=Showcase(), files=[chart(), notes()])
    assert emu.messages(emu.channel_id)[-1].text.startswith("## Verdict")


async def test_a_file_that_no_component_shows_is_noted(emu: DiscordEmulator, bot: ChatBot) -> None:
    channel = await bot.fetch_channel(emu.channel_id)
    assert isinstance(channel, discord.TextChannel)
    await channel.send(view=Showcase(), files=[chart(), notes(), chart("lost.png")])
    assert [violation.kind for violation in emu.take_violations()] == ["files"]


ENTERED: dict[str, Any] = {"Question": "Why so?", "panel": ["deep"]}


async def test_modal_from_a_command(emu: DiscordEmulator, bot: ChatBot) -> None:
    asked = await (await emu.command(emu.alice, "form")).wait_acked()
    with pytest.raises(NotOffered, match="Question takes 3 to 50 characters, not 2"):
        await emu.submit_modal(asked, {**ENTERED, "question": "Hm", "Question": "Hm"})
    files = [File("a b.txt", b"first"), File("b.png", PIXEL)]
    sent = await emu.submit_modal(asked, {**ENTERED, "Way": "vote", "Extras": ["costs", "charts"], "files": files})
    told = await sent.wait_response()
    assert told.content == "Why so?|['deep']|vote|['charts', 'costs']|['a_b.txt', 'b.png']"
    assert sent.ephemeral
    data = emu.dispatches[-1].data
    assert (data["type"], "message" in data, data["data"]["custom_id"]) == (5, False, "settings")
    first = {"type": 4, "id": 2, "custom_id": "question", "value": "Why so?"}
    assert data["data"]["components"][0] == {"type": 18, "id": 1, "component": first}
    uploaded = data["data"]["components"][4]["component"]["values"]
    assert await fetched(emu, data["data"]["resolved"]["attachments"][uploaded[0]]["url"]) == (200, b"first")
    with pytest.raises(NotOffered, match="opened no modal"):
        await emu.submit_modal(asked, ENTERED)


async def test_modal_from_a_button(emu: DiscordEmulator, bot: ChatBot) -> None:
    message = await shown(emu, "controls")
    click = await (await emu.click(emu.bob, message, "form")).wait_acked()
    sent = await (await emu.submit_modal(click, ENTERED)).wait_acked()
    assert (sent.callback, sent.response) == (7, message)
    assert message.content == "Why so?|['deep']|None|[]|[]"
    assert emu.dispatches[-2].data["message"]["id"] == str(message.id)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"Panel": ["deep"]}, "Question is required"),
        ({"Question": "Why so?"}, "panel takes 1 to 1 values, not 0"),
        (ENTERED | {"Panel": "deep", "panel": "deep"}, "takes a list"),
        (ENTERED | {"panel": ["slow"]}, "not 'slow'"),
        (ENTERED | {"way": "flip"}, "not 'flip'"),
        (ENTERED | {"extras": ["x"]}, "not 'x'"),
        (ENTERED | {"files": ["x"]}, "a file is wanted"),
        (ENTERED | {"files": [File("a", b"")] * 3}, "1 to 2 values, not 3"),
        (ENTERED | {"colour": "red"}, "no field \\['colour'\\]"),
    ],
)
async def test_what_a_modal_does_not_take(emu: DiscordEmulator, bot: ChatBot, values: dict[str, Any], why: str) -> None:
    asked = await (await emu.command(emu.alice, "form")).wait_acked()
    with pytest.raises(NotOffered, match=why):
        await emu.submit_modal(asked, values)


async def test_context_menu(emu: DiscordEmulator, bot: ChatBot) -> None:
    said = await emu.say(emu.bob, emu.channel_id, "Green?", files=[File("sky.png", PIXEL, "the sky")])
    used = await emu.context_menu(emu.alice, "Ask about this", said)
    assert (await used.wait_response()).content == "Green? ['sky.png']"
    sent = [record.data["data"] for record in emu.dispatches if record.event == "INTERACTION_CREATE"][-1]
    assert (sent["type"], sent["target_id"], list(sent["resolved"]["messages"])) == (3, str(said.id), [str(said.id)])
    with pytest.raises(NotOffered, match="no command 'Summarise'"):
        await emu.context_menu(emu.alice, "Summarise", said)


async def test_autocomplete_deep_inside(emu: DiscordEmulator, bot: ChatBot) -> None:
    choices = await emu.autocomplete(emu.alice, "panels member swap", {"old": "ada", "number": "2"}, focused="number")
    assert [choice["value"] for choice in choices] == [2, 20, 21, 22, 23, 24]
    assert choices[0]["name"] == "ada 2"
    typed = emu.dispatches[-1].data["data"]["options"][0]["options"][0]["options"][1]
    assert typed == {"name": "number", "type": 4, "value": "2", "focused": True}
    all_of_them = await emu.autocomplete(emu.alice, "panels member swap", {"old": "x"}, focused="number")
    assert len(all_of_them) == 25
    assert (await shown(emu, "panels member swap", old="bert", number=3)).content == "bert 3"


async def test_too_many_choices(emu: DiscordEmulator, bot: ChatBot) -> None:
    with pytest.raises(TimeoutError):
        await emu.autocomplete(emu.alice, "panels member swap", {"old": "a"}, focused="old", timeout=0.3)
    assert emu.requests[-1].reply["errors"]["data"]["choices"]["_errors"][0]["code"] == "BASE_TYPE_MAX_LENGTH"
    assert [violation.kind for violation in emu.take_violations()] == ["request"]


async def test_files_of_people(emu: DiscordEmulator, bot: ChatBot) -> None:
    told = await shown(emu, "look", file=File("a.txt", b"hello"), who=emu.bob)
    assert told.content == "a.txt text/plain; charset=utf-8 b'hello' bob"
    said = await emu.say(emu.bob, emu.channel_id, files=[File("b.csv", b"1,2")])
    await emu.wait_for(lambda: [m for m in bot.seen if m.id == said.id])
    [attachment] = bot.seen[-1].attachments
    assert (await attachment.read(), attachment.size) == (b"1,2", 3)
    emu.expire_links()
    with pytest.raises(discord.NotFound):
        await attachment.read()
    channel = await bot.fetch_channel(emu.channel_id)
    assert isinstance(channel, discord.TextChannel)
    again = await channel.fetch_message(said.id)
    assert await again.attachments[0].read() == b"1,2"
    with pytest.raises(NotOffered, match="empty"):
        await emu.say(emu.bob, emu.channel_id, " ")
    with pytest.raises(NotOffered, match="a file is wanted"):
        await emu.command(emu.alice, "look", file="a.txt")


async def test_links_inside_components_are_renewed(emu: DiscordEmulator, bot: ChatBot) -> None:
    message = await shown(emu, "show")
    old = message.components[0]["components"][4]["items"][0]["media"]["url"]
    emu.expire_links()
    assert (await fetched(emu, old))[0] == 404
    channel = await bot.fetch_channel(emu.channel_id)
    assert isinstance(channel, discord.TextChannel)
    again = await channel.fetch_message(message.id)
    gallery = next(part for part in again.components[0].children if isinstance(part, discord.MediaGalleryComponent))  # type: ignore[union-attr] # the first component is the container
    assert await fetched(emu, gallery.items[0].media.url) == (200, PIXEL)
