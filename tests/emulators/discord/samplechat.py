"""A second small bot on discord.py: menus, forms, files and everywhere-installed commands, for the emulator's tests."""

from __future__ import annotations

import io
from typing import Any

import discord
from discord import app_commands

from tests.emulators.discord.samplebot import PIXEL, QUIET

Context = discord.Interaction[discord.Client]
everywhere = app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
installs = app_commands.allowed_installs(guilds=True, users=True)


class Settings(discord.ui.Modal, title="Settings"):
    """One field of every kind that a modal can have."""

    def __init__(self) -> None:
        super().__init__(custom_id="settings")
        ui = discord.ui
        choices = [discord.SelectOption(label=name.title(), value=name) for name in ("fast", "deep")]
        ways = [discord.RadioGroupOption(label=name.title(), value=name) for name in ("vote", "debate")]
        extras = [discord.CheckboxGroupOption(label=name.title(), value=name) for name in ("charts", "costs")]
        self.question = ui.TextInput[Settings](
            custom_id="question", style=discord.TextStyle.long, min_length=3, max_length=50
        )
        self.panel = ui.Select[Settings](custom_id="panel", options=choices)
        self.way = ui.RadioGroup[Settings](custom_id="way", options=ways, required=False)
        self.extras = ui.CheckboxGroup[Settings](custom_id="extras", options=extras, required=False, min_values=0)
        self.files = ui.FileUpload[Settings](custom_id="files", required=False, max_values=2)
        for text, component in (
            ("Question", self.question),
            ("Panel", self.panel),
            ("Way", self.way),
            ("Extras", self.extras),
            ("Files", self.files),
        ):
            self.add_item(ui.Label(text=text, component=component))

    async def on_submit(self, interaction: Context) -> None:
        """Repeat what was entered."""
        names = [file.filename for file in self.files.values]
        said = f"{self.question.value}|{self.panel.values}|{self.way.value}|{self.extras.values}|{names}"
        if interaction.message is not None:
            await interaction.response.edit_message(content=said, view=None)
        else:
            await interaction.response.send_message(said, ephemeral=True)


class Controls(discord.ui.View):
    """Buttons and menus below a message of the first kind."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        self.heard: list[tuple[str, list[str]]] = []

    @discord.ui.button(label="Form", custom_id="form")
    async def form(self, interaction: Context, _: discord.ui.Button[Controls]) -> None:
        """Open the form."""
        await interaction.response.send_modal(Settings())

    @discord.ui.button(label="Slow", custom_id="slow")
    async def slow(self, interaction: Context, _: discord.ui.Button[Controls]) -> None:
        """Think first, answer the presser alone."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        await interaction.edit_original_response(content="Done.")

    @discord.ui.button(label="Quiet", custom_id="quiet")
    async def quiet(self, interaction: Context, _: discord.ui.Button[Controls]) -> None:
        """Acknowledge, then change the message."""
        await interaction.response.defer()
        await interaction.edit_original_response(content="Changed.")

    @discord.ui.button(label="Never", custom_id="never", disabled=True)
    async def never(self, _: Context, __: discord.ui.Button[Controls]) -> None:
        """Cannot be pressed."""

    @discord.ui.select(
        custom_id="pick",
        placeholder="Pick",
        max_values=2,
        options=[discord.SelectOption(label=name.upper(), value=name) for name in "abc"],
    )
    async def pick(self, interaction: Context, select: discord.ui.Select[Controls]) -> None:
        """Say what was picked."""
        await interaction.response.send_message(f"Picked {select.values}")

    @discord.ui.select(cls=discord.ui.UserSelect, custom_id="whom")
    async def whom(self, interaction: Context, select: discord.ui.UserSelect[Controls]) -> None:
        """Say who was picked."""
        kind = type(select.values[0]).__name__
        await interaction.response.send_message(f"{kind} {select.values[0].name}", allowed_mentions=QUIET)


def chart(name: str = "chart.png") -> discord.File:
    """Make the smallest chart."""
    return discord.File(io.BytesIO(PIXEL), name)


class Showcase(discord.ui.LayoutView):
    """Every component of the second version."""

    def __init__(self, picture: str = "chart.png") -> None:
        super().__init__(timeout=None)
        ui = discord.ui
        again = ui.Button[Showcase](label="Again", custom_id="again")
        link = f"attachment://{picture}"
        box: ui.Container[Showcase] = ui.Container(
            ui.TextDisplay("## Verdict\n**Yes**, with `care`."),
            ui.Separator(spacing=discord.SeparatorSpacing.large),
            ui.Section("Ada agrees", "Bert too", accessory=ui.Thumbnail(link, description="a face")),
            ui.Section("Once more?", accessory=again),
            ui.MediaGallery(discord.MediaGalleryItem(link, description="one pixel")),
            ui.File("attachment://notes.txt"),
            accent_colour=discord.Colour(0x3366FF),
        )
        self.add_item(box)
        self.add_item(ui.ActionRow(ui.Select[Showcase](custom_id="how", options=[discord.SelectOption(label="Deep")])))
        again.callback = self.redo  # type: ignore[method-assign] # discord.py's own way for a button made by hand

    async def redo(self, interaction: Context) -> None:
        """Show another picture instead."""
        await interaction.response.edit_message(view=Showcase("new.png"), attachments=[chart("new.png"), notes()])


def notes() -> discord.File:
    """Make a text file."""
    return discord.File(io.BytesIO(b"notes"), "notes.txt")


class ChatBot(discord.Client):
    """Knows one command for each thing to try; `met` are interactions, `joined` new guilds."""

    def __init__(self) -> None:
        intents = discord.Intents(guilds=True, guild_messages=True, message_content=True)
        super().__init__(intents=intents, guild_ready_timeout=0.05)
        self.tree = app_commands.CommandTree(self)
        self.seen: list[discord.Message] = []
        self.met: list[Context] = []
        self.joined: list[discord.Guild] = []
        commands: tuple[Any, ...] = (controls, show, form, secret, everywhere_command, look, about, Deep())
        for command in commands:
            self.tree.add_command(command)

    async def setup_hook(self) -> None:
        """Sync the commands."""
        await self.tree.sync()

    async def on_message(self, message: discord.Message) -> None:
        """Remember."""
        self.seen.append(message)

    async def on_interaction(self, interaction: Context) -> None:
        """Remember."""
        self.met.append(interaction)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Greet where the guild wants greetings."""
        self.joined.append(guild)
        if guild.system_channel is not None and guild.system_channel.permissions_for(guild.me).send_messages:
            await guild.system_channel.send("Hello.")


@app_commands.command(name="controls", description="Buttons and menus")
@app_commands.default_permissions(manage_messages=True)
async def controls(interaction: Context) -> None:
    """Show buttons and menus."""
    await interaction.response.send_message("Press.", view=Controls())


@app_commands.command(name="show", description="Every component")
async def show(interaction: Context) -> None:
    """Show every component."""
    await interaction.response.send_message(view=Showcase(), files=[chart(), notes()])


@app_commands.command(name="form", description="A form")
async def form(interaction: Context) -> None:
    """Open the form."""
    await interaction.response.send_modal(Settings())


@app_commands.command(name="secret", description="Only for you")
async def secret(interaction: Context) -> None:
    """Show buttons to the asker alone."""
    await interaction.response.send_message("Psst.", view=Controls(), ephemeral=True)


@app_commands.command(name="anywhere", description="Where I am no member")
@everywhere
@installs
async def everywhere_command(interaction: Context) -> None:
    """Think, then answer with a button."""
    await interaction.response.defer()
    await interaction.edit_original_response(content="Here.", view=Controls())


@app_commands.command(name="look", description="Read a file")
async def look(interaction: Context, file: discord.Attachment, who: discord.User | None = None) -> None:
    """Tell what the file holds."""
    data = await file.read()
    await interaction.response.send_message(f"{file.filename} {file.content_type} {data!r} {who}")


@app_commands.context_menu(name="Ask about this")
@everywhere
@installs
async def about(interaction: Context, message: discord.Message) -> None:
    """Repeat the message."""
    names = [file.filename for file in message.attachments]
    await interaction.response.send_message(f"{message.content} {names}", ephemeral=True, allowed_mentions=QUIET)


class Deep(app_commands.Group):
    """A group with a group in it."""

    def __init__(self) -> None:
        super().__init__(name="panels", description="Panels")
        inner = app_commands.Group(name="member", description="Members", parent=self)

        @inner.command(name="swap", description="Swap members")
        async def swap(interaction: Context, old: str, number: int) -> None:
            await interaction.response.send_message(f"{old} {number}")

        @swap.autocomplete("old")
        async def olds(_: Context, current: str) -> list[app_commands.Choice[str]]:
            return [app_commands.Choice(name=current, value=str(number)) for number in range(26)]

        @swap.autocomplete("number")
        async def numbers(interaction: Context, current: Any) -> list[app_commands.Choice[int]]:
            old = interaction.namespace["old"]
            return [app_commands.Choice(name=f"{old} {n}", value=n) for n in range(25) if str(n).startswith(current)]
