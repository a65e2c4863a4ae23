"""The page that shows what people see on the Discord emulator."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest

from tests.emulators.discord import DiscordEmulator
from tests.emulators.discord.samplebot import PIXEL, running
from tests.emulators.discord.samplechat import ChatBot
from tests.emulators.discord.view import channel_page, interaction_page
from tests.emulators.discord.view_text import as_html


@pytest.fixture
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(rates=False) as emulator:
        yield emulator


@pytest.fixture
async def bot(emu: DiscordEmulator) -> AsyncIterator[ChatBot]:
    async with running(emu, ChatBot()) as started:
        yield started


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("## A **b**", "<h2>A <b>b</b></h2>"),
        ("-# small *print*", "<small>small <i>print</i></small>"),
        ("> one\n> two", "<blockquote><p>one</p>\n<p>two</p></blockquote>"),
        ("1. **a** `<b>`", "<b>a</b> <code>&lt;b&gt;</code>"),
        ("  - deep", "margin-left:18px"),
        ("- item\n  goes on\nends", "item<br>goes on</span></div>\n<p>ends</p>"),
        ("```py\n**x**\n```", "<pre>**x**</pre>"),
        ("[here](https://example.org)", "<a title='https://example.org'>here</a>"),
        ("snake_case_name \\*not\\*", "<p>snake_case_name *not*</p>"),
        ("~~a~~ __b__ ***c***", "<s>a</s> <u>b</u> <b><i>c</i></b>"),
        ("<@7>", "<span class='mention'>@7</span>"),
        ("<script>", "<p>&lt;script&gt;</p>"),
    ],
)
def test_markdown(text: str, shown: str) -> None:
    assert shown in as_html(text, lambda kind, number: f"{kind}{number}")


async def test_page_of_a_channel(emu: DiscordEmulator, bot: ChatBot) -> None:
    owner = emu.world.guild.owner
    await (await emu.command(emu.alice, "show")).wait_response()
    await (await emu.command(owner, "controls")).wait_response()
    await (await emu.command(emu.alice, "secret")).wait_response()
    page = channel_page(emu, emu.channel_id, viewer=emu.alice, width=400)
    assert "body{width:400px}" in page
    assert page.count(base64.b64encode(PIXEL).decode()) == 2
    assert "border-left-color:#3366ff" in page
    assert "<b>Yes</b>, with <code>care</code>." in page
    assert "<button class='secondary' disabled>Never</button>" in page
    assert page.count("Only you can see this") == 1
    assert "Only you can see this" not in channel_page(emu, emu.channel_id, viewer=emu.bob)
    assert "127.0.0.1" not in page  # nothing is left to load


async def test_page_of_an_interaction(emu: DiscordEmulator, bot: ChatBot) -> None:
    asked = await (await emu.command(emu.alice, "form")).wait_acked()
    page = interaction_page(emu, asked)
    assert page.index("<h2>Settings</h2>") < page.index("<b>Question</b><em>*</em>") < page.index("Drop files")
    assert "<b>Way</b><div class='option'>&#9675; Vote</div>" in page
