"""Answering a person directly: the acknowledgement, replies for their eyes only, replies to messages."""

from __future__ import annotations

import aiohttp

from adapters.discord.commands import Interaction
from adapters.discord.library import discord
from adapters.discord.limits import Timing
from adapters.discord.posting import (
    ALREADY_ACKNOWLEDGED,
    UNKNOWN_INTERACTION,
    UNKNOWN_MESSAGE,
    Poster,
    Spot,
    persist,
    unsettled,
)
from adapters.discord.render import split
from core.telemetry import get_logger

log = get_logger(__name__)


async def acknowledge(interaction: Interaction, *, ephemeral: bool) -> bool:
    """Tell Discord that an answer follows, within its 3 s. False when that is past: then nobody can be answered.

    A lost reply to the first try shows as "already acknowledged" at the second, which is as good.
    """
    for _ in range(2):
        try:
            await interaction.response.defer(ephemeral=ephemeral, thinking=True)
        except discord.InteractionResponded:
            return True
        except discord.HTTPException as error:
            if error.code == ALREADY_ACKNOWLEDGED:
                return True
            log.warning("slash command not acknowledged", code=error.code, detail=str(error)[:200])
            if error.code == UNKNOWN_INTERACTION or not unsettled(error):
                return False
        except (aiohttp.ClientError, OSError) as error:
            log.warning("slash command not acknowledged", detail=str(error)[:200])
        else:
            return True
    return False


async def whisper(interaction: Interaction, text: str, timing: Timing) -> None:
    """Fill a response that was deferred for the asker's eyes with a text, and add messages where one is too short."""
    first, *more = split(text)
    await persist(lambda: interaction.edit_original_response(content=first), timing)
    for page in more:
        await interaction.followup.send(page, ephemeral=True, suppress_embeds=True)


async def refuse(interaction: Interaction, text: str, timing: Timing, *, keep: bool = False) -> None:
    """Tell the asker alone why a command is not carried out, however it was acknowledged.

    A public deferral cannot become private: its message is deleted (unless ``keep``) and another one sent.
    """
    try:
        if not interaction.response.is_done() and not await acknowledge(interaction, ephemeral=True):
            return
        if not keep:
            await _take_back(interaction, timing)
        for page in split(text):
            await interaction.followup.send(page, ephemeral=True, suppress_embeds=True)
    except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
        log.warning("the asker was not told", text=text[:200], error=type(error).__name__, detail=str(error)[:200])


async def _take_back(interaction: Interaction, timing: Timing) -> None:
    try:
        await persist(interaction.delete_original_response, timing)
    except discord.NotFound as error:
        if error.code != UNKNOWN_MESSAGE:
            raise


async def reply(spot: Spot, text: str, timing: Timing) -> None:
    """Answer a person's message with messages in the same place. Trouble is only logged: there is no other way."""
    poster = Poster(f"reply {spot.since}", spot, timing)
    try:
        for number, page in enumerate(split(text)):
            await poster.post(f"page {number}", page)
    except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
        log.warning("message not answered", error=type(error).__name__, detail=str(error)[:200])
