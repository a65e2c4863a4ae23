"""A small bot on discord.py that uses what the emulator offers, for the emulator's own tests."""

from __future__ import annotations

import asyncio
import io
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import yarl

from tests.emulators.discord.emulator import DiscordEmulator

with warnings.catch_warnings():
    # discord.py imports the standard library's audioop for voice, which Python 3.11 and 3.12 deprecate.
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord
    from discord import app_commands
    from discord.gateway import DiscordWebSocket
    from discord.http import Route

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)
Bot = TypeVar("Bot", bound=discord.Client)
QUIET = discord.AllowedMentions.none()


class Panel(app_commands.Group):
    """The /consortium commands."""

    @app_commands.command(name="ask", description="Ask the panel")
    @app_commands.describe(question="What to ask", panel="Whom to ask")
    async def ask(
        self,
        interaction: discord.Interaction[discord.Client],
        question: app_commands.Range[str, 1, 500],
        panel: str | None = None,
    ) -> None:
        """Think, answer, open a thread, and put the chart there."""
        await interaction.response.defer()
        first = await interaction.edit_original_response(content=f"{question} ({panel})", allowed_mentions=QUIET)
        thread = await first.create_thread(name=question[:100], auto_archive_duration=1440)
        view = discord.ui.View()
        view.add_item(discord.ui.Button(label="Again", custom_id="again"))
        embed = discord.Embed(title="Answer", description="42").set_image(url="attachment://my_chart.png")
        chart = discord.File(io.BytesIO(PIXEL), "my chart.png", description="one pixel")
        await thread.send(embed=embed, file=chart, view=view, allowed_mentions=QUIET, nonce=str(interaction.id))

    @ask.autocomplete("panel")
    async def panels(self, _: discord.Interaction[discord.Client], current: str) -> list[app_commands.Choice[str]]:
        """Offer the panels that start with what was typed."""
        names = [name for name in ("default", "deep", "quick") if name.startswith(current)]
        return [app_commands.Choice(name=name.title(), value=name) for name in names]

    @app_commands.command(name="help", description="What this is")
    async def help(self, interaction: discord.Interaction[discord.Client]) -> None:
        """Tell the asker alone."""
        await interaction.response.send_message("Ask me.", ephemeral=True)
        await interaction.followup.send("Really.", ephemeral=True)

    @app_commands.command(name="chart", description="A chart with text components")
    async def chart(self, interaction: discord.Interaction[discord.Client]) -> None:
        """Answer with components of the second version."""
        view = discord.ui.LayoutView()
        box: discord.ui.Container[discord.ui.LayoutView] = discord.ui.Container(
            discord.ui.TextDisplay("## Chart"),
            discord.ui.MediaGallery(discord.MediaGalleryItem("attachment://chart.png", description="one pixel")),
        )
        view.add_item(box)
        await interaction.response.send_message(view=view, file=discord.File(io.BytesIO(PIXEL), "chart.png"))


class SampleBot(discord.Client):
    """Echoes what it reads in threads, direct messages and mentions."""

    def __init__(self) -> None:
        intents = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True)
        super().__init__(intents=intents, guild_ready_timeout=0.05)
        self.tree = app_commands.CommandTree(self)
        self.tree.add_command(Panel(name="consortium", description="Ask a panel of models"))
        self.tree.add_command(app_commands.ContextMenu(name="Ask about this", callback=_about))
        self.seen: list[discord.Message] = []

    async def setup_hook(self) -> None:
        """Sync the commands."""
        await self.tree.sync()

    async def on_message(self, message: discord.Message) -> None:
        """Echo."""
        self.seen.append(message)
        if message.author.bot:
            return
        here = isinstance(message.channel, (discord.Thread, discord.DMChannel, discord.PartialMessageable))
        if here or (self.user is not None and self.user in message.mentions):
            await message.channel.send(f"You said: {message.content}", reference=message, allowed_mentions=QUIET)

    async def on_interaction(self, interaction: discord.Interaction[discord.Client]) -> None:
        """Answer the button."""
        if interaction.type is discord.InteractionType.component:
            await interaction.response.edit_message(content="Once more.", view=None)


async def _about(interaction: discord.Interaction[discord.Client], message: discord.Message) -> None:
    await interaction.response.send_message(f"About: {message.content}", allowed_mentions=QUIET)


@asynccontextmanager
async def running(emulator: DiscordEmulator, bot: Bot) -> AsyncIterator[Bot]:
    """Run a bot against `emulator` until the block ends."""
    base, gateway = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    Route.BASE = emulator.api_url
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(emulator.gateway_url)
    task = asyncio.create_task(bot.start(emulator.token))
    try:
        await emulator.wait_connected()
        yield bot
    finally:
        await bot.close()
        await asyncio.wait([task], timeout=5)
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = base, gateway
