"""The pictures in the documents: the product with its simulated panel, as Slack, Discord and the page show it.

``python -m tests.pictures [slack] [discord] [page]`` makes them anew, from real runs against the emulated platforms.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from PIL import Image
from playwright.async_api import Browser, Locator, Page, expect

from adapters.web.server import WebSurface
from bot.app import open_core
from bot.config import read_catalog
from core.catalog import Catalog
from tests.browser import browser
from tests.e2e.discord import stage as discord_stage
from tests.e2e.slack import stage as slack_stage
from tests.emulators.discord import DiscordEmulator
from tests.emulators.discord.view import channel_page, interaction_page
from tests.emulators.slack.view import render

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SIMULATED = ROOT / "bot" / "defaults" / "simulated.toml"
FOLDER = DOCS / "pictures"
QUESTION = "Should remote work be the default?"
PHONE, DESK = 360, 900
"""CSS pixels of the screens."""

HEAVY = 150_000
"""Bytes of a picture at the most."""


class Photographer:
    """Takes pictures with a browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    async def of_html(self, name: str, html: str, part: str = "body", *, last: bool = False, hide: str = "") -> None:
        """Show a page on a phone and take a picture of one part of it: the first, or the last of that kind."""
        page = await self.screen()
        await page.set_content(html)
        if hide:
            await page.add_style_tag(content=f"{hide} {{ display: none !important }}")
        found = page.locator(part)
        await self.take(name, found.last if last else found.first)
        await page.context.close()

    async def screen(self, width: int = PHONE, height: int = 780) -> Page:
        """A new screen. The caller closes its context."""
        context = await self._browser.new_context(
            viewport={"width": width, "height": height}, device_scale_factor=2, color_scheme="light"
        )
        return await context.new_page()

    async def take(self, name: str, what: Locator | Page, **options: Any) -> None:
        """Write a light PNG."""
        shot = await what.screenshot(animations="disabled", **options)
        data = _light(shot)
        target = (DOCS if name == "page" else FOLDER) / f"{name}.png"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        print(f"{target.relative_to(DOCS)}: {len(data) // 1000} kB")


def _light(png: bytes) -> bytes:
    """The picture with its most frequent colours alone, and smaller where that is not enough."""
    image = Image.open(BytesIO(png)).convert("RGB")
    for scale in (1.0, 0.75, 0.5):
        size = (round(image.width * scale), round(image.height * scale))
        scaled = image if scale == 1 else image.resize(size, Image.Resampling.LANCZOS)
        counted = sorted(scaled.getcolors(scaled.width * scaled.height) or (), key=lambda found: -found[0])
        palette = Image.new("P", (1, 1))
        palette.putpalette([part for _, colour in counted[:256] for part in cast("tuple[int, ...]", colour)])
        out = BytesIO()
        scaled.quantize(palette=palette, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if len(out.getvalue()) <= HEAVY:
            break
    return out.getvalue()


def panel() -> Catalog:
    """The built-in simulated panel."""
    return read_catalog(SIMULATED.read_text("utf-8"), SIMULATED.name)


async def of_slack(photographer: Photographer, folder: Path) -> None:
    """Progress, an answer with its charts, what stands behind a button, a form, the home."""
    slack = slack_stage.workspace()
    async with (
        slack,
        open_core(slack_stage.settings_in(folder), panel(), pace=1.5) as core,
        slack_stage.on_stage(slack, core) as stage,
    ):
        root = await stage.ask(QUESTION, options="")
        await slack.wait_for(lambda: stage.replies(root.ts))
        await asyncio.sleep(PROGRESS_SECONDS)
        await photographer.of_html("slack-progress", render(slack, channel=slack.channel, thread_ts=root.ts))
        answer = await stage.answer(root.ts)
        await stage.charts(root.ts, timeout=120)
        await stage.idle()
        thread = render(slack, channel=slack.channel, thread_ts=root.ts)
        await photographer.of_html("slack-answer", thread, hide=".message:last-of-type")
        await photographer.of_html("slack-charts", thread, ".message", last=True)
        found = slack_stage.buttons(answer)
        await slack.click(slack.channel, answer.ts, found["Dissent"])
        await stage.told()
        thread = render(slack, channel=slack.channel, thread_ts=root.ts)
        await photographer.of_html("slack-dissent", thread, ".message.only", last=True)
        await slack.command("/consortium save")
        await slack.wait_for(lambda: slack.modals())
        await photographer.of_html("slack-form", render(slack, channel=slack.channel), ".modal")
        await slack.open_home()
        home = await slack.wait_for(lambda: slack.home())
        await slack.close_view(slack.modals()[-1])
        assert home
        await photographer.of_html("slack-home", render(slack, home=True))


async def of_discord(photographer: Photographer, folder: Path) -> None:
    """The same, with the welcome in place of the home."""
    async with DiscordEmulator() as emu, discord_stage.on_stage(emu, folder, panel(), pace=1.5) as stage:
        await stage.ask(QUESTION, charts=True)
        [thread] = await emu.wait_for(lambda: emu.threads)
        await emu.wait_for(lambda: stage.progress(thread.id))
        await asyncio.sleep(PROGRESS_SECONDS)
        await photographer.of_html("discord-progress", channel_page(emu, thread.id, viewer=emu.alice))
        [answer] = await stage.settled(thread.id)
        await emu.wait_for(lambda: emu.files(thread.id) or _charted(emu, thread.id), 120)
        await photographer.of_html("discord-answer", channel_page(emu, thread.id, viewer=emu.alice))
        dissent = await emu.click(emu.alice, answer, "Dissent")
        await stage.told(dissent)
        await photographer.of_html("discord-dissent", interaction_page(emu, dissent), "main")
        save = await emu.command(emu.alice, "consortium save", {})
        await emu.wait_for(lambda: save.modal)
        await photographer.of_html("discord-form", interaction_page(emu, save), "main")
        guild = emu.join_guild("Book club", emu.alice)
        welcome = await emu.wait_for(lambda: [m for c in _channels(emu, guild.id) for m in emu.messages(c)])
        await photographer.of_html("discord-welcome", channel_page(emu, welcome[0].channel_id), "main")


def _channels(emu: DiscordEmulator, guild: int) -> list[int]:
    return [number for number, channel in emu.world.channels.items() if channel.guild_id == guild]


def _charted(emu: DiscordEmulator, channel: int) -> bool:
    return any("media" in str(m.components) for m in emu.messages(channel))


async def of_page(photographer: Photographer, folder: Path) -> None:
    """The welcome, progress and an answer on a phone; an answer on a desk."""
    async with open_core(slack_stage.settings_in(folder), panel(), pace=1.5) as core:
        surface = WebSurface(core.service, core.history)
        url = await surface.start("127.0.0.1", 0)
        try:
            phone = await photographer.screen()
            await phone.goto(url)
            await expect(phone.locator("#welcome")).to_be_visible()
            await photographer.take("page-welcome", phone)
            await _ask(phone)
            await asyncio.sleep(PROGRESS_SECONDS)
            await photographer.take("page-progress", phone)
            await expect(phone.locator(".run").first).to_have_attribute("data-state", "done", timeout=60_000)
            await _without_box(phone)
            await photographer.take("page-answer", phone.locator("#feed"))
            await phone.context.close()
            desk = await photographer.screen(DESK, 1100)
            await desk.goto(url)
            await _ask(desk)
            await expect(desk.locator(".run").first).to_have_attribute("data-state", "done", timeout=60_000)
            await desk.locator(".run").get_by_role("button", name="Charts").click()
            await expect(desk.locator(".run img").first).to_be_visible(timeout=60_000)
            await _without_box(desk)
            box = await desk.locator(".run img").nth(1).bounding_box()
            assert box
            below = await desk.evaluate("scrollY") + box["y"] + box["height"]
            clip = {"x": 0, "y": 0, "width": DESK, "height": below + 16}
            await photographer.take("page", desk, full_page=True, clip=clip)
            await desk.context.close()
        finally:
            await surface.close()


async def _ask(page: Page) -> None:
    box = page.locator("#text")
    await box.fill(QUESTION)
    await box.press("Enter")
    await expect(page.locator(".run").first).to_be_visible()


async def _without_box(page: Page) -> None:
    """Take away the box for questions, which would stand in the middle of a long picture."""
    await page.evaluate("document.querySelector('body > footer').remove()")


PROGRESS_SECONDS = 2.0
"""How long a run goes on before its progress is photographed: some have answered then, some not."""

SHOOTS = {"slack": of_slack, "discord": of_discord, "page": of_page}


async def main(wanted: list[str]) -> None:
    """Make the pictures of these surfaces; of all, where none is named."""
    async with browser() as running:
        photographer = Photographer(running)
        for name in wanted or SHOOTS:
            with tempfile.TemporaryDirectory() as folder:
                await SHOOTS[name](photographer, Path(folder))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
