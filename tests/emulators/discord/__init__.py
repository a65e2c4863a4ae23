"""A strict local Discord: REST, gateway and CDN on one loopback port, with the people who use the bot.

async with DiscordEmulator() as discord_emu:
    ...  # start the bot on discord_emu.api_url, discord_emu.gateway_url and discord_emu.token
    asked = await discord_emu.command(discord_emu.alice, "consortium ask", question="Why?")
    await asked.wait_acked()
    assert discord_emu.violations == []
"""

from tests.emulators.discord.emulator import DiscordEmulator
from tests.emulators.discord.errors import NotOffered
from tests.emulators.discord.interactions import Interaction
from tests.emulators.discord.limits import Intent, Permission
from tests.emulators.discord.record import DispatchRecord, RequestRecord, Violation
from tests.emulators.discord.world import Attachment, File, Guild, Message, Role, Thread, User

__all__ = [
    "Attachment",
    "DiscordEmulator",
    "DispatchRecord",
    "File",
    "Guild",
    "Intent",
    "Interaction",
    "Message",
    "NotOffered",
    "Permission",
    "RequestRecord",
    "Role",
    "Thread",
    "User",
    "Violation",
]
