"""Answering a person directly: the acknowledgement, replies for their eyes only, forms, replies to messages."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Literal

import aiohttp

from adapters.discord import limits
from adapters.discord.forms import modal
from adapters.discord.layout import Enclosure, Page, Rows, error_pages, few, reply_pages
from adapters.discord.library import Interaction, discord
from adapters.discord.limits import Timing
from adapters.discord.posting import (
    ALREADY_ACKNOWLEDGED,
    CLOSED,
    UNKNOWN_INTERACTION,
    UNKNOWN_MESSAGE,
    Poster,
    Spot,
    persist,
    unsettled,
)
from core.cards import Download, Form, Reply
from core.telemetry import get_logger, texts

log = get_logger(__name__)

Audience = Literal["asker", "all", "same"]
"""Who sees what follows: the asker alone, all; or it becomes of the message that was tapped."""


async def acknowledge(interaction: Interaction, audience: Audience) -> bool:
    """Tell Discord that an answer follows, within its 3 s. False when that is past: then nobody can be answered."""
    if audience == "same":
        return await _first(lambda: interaction.response.defer())
    return await _first(lambda: interaction.response.defer(ephemeral=audience == "asker", thinking=True))


def holds(interaction: Interaction) -> bool:
    """Whether an interaction can be answered still."""
    return time.time() - interaction.created_at.timestamp() < limits.TOKEN_HOLDS


async def open_form(interaction: Interaction, form: Form) -> bool:
    """Open a form, which must be the first thing that Discord is told. False when it is too late for that."""
    return await _first(lambda: interaction.response.send_modal(modal(form)))


async def _first(call: Callable[[], Awaitable[object]]) -> bool:
    """Make the one first response. A lost reply to the first try shows as "already acknowledged" at the second, which
    is as good."""
    for _ in range(2):
        try:
            await call()
        except discord.InteractionResponded:
            return True
        except discord.HTTPException as error:
            if error.code == ALREADY_ACKNOWLEDGED:
                return True
            log.warning("interaction not acknowledged", code=error.code, detail=str(error)[:200])
            if error.code == UNKNOWN_INTERACTION or not unsettled(error):
                return False
        except (aiohttp.ClientError, OSError) as error:
            log.warning("interaction not acknowledged", detail=str(error)[:200])
        else:
            return True
    return False


async def whisper(interaction: Interaction, reply: Reply, timing: Timing) -> None:
    """Fill a response that was deferred for the asker's eyes, and add messages where one is too short."""
    first, *more = few(await _with_file(interaction, reply), 1 + limits.FOLLOWUPS)

    def fill() -> Awaitable[object]:
        files = [enclosure.file() for enclosure in first.enclosures]
        return interaction.edit_original_response(view=first.view(), attachments=files)

    await persist(fill, timing)
    for page in more:
        await _add(interaction, page)


async def whisper_instead(interaction: Interaction, reply: Reply, timing: Timing, *, keep: bool = False) -> None:
    """The same after another acknowledgement. What was deferred for all cannot become private: its message is deleted
    (unless ``keep``) and others are sent."""
    if not keep:
        await _take_back(interaction, timing)
    for page in few(await _with_file(interaction, reply), limits.FOLLOWUPS):
        await _add(interaction, page)


async def refuse(interaction: Interaction, text: str, timing: Timing, *, keep: bool = False, rows: Rows = ()) -> None:
    """Tell the asker alone why something is not carried out, however it was acknowledged.

    ``keep``: the first response is not ours to delete, or stands rightly.
    """
    try:
        if not interaction.response.is_done() and not await acknowledge(interaction, "asker"):
            return
        if not keep:
            await _take_back(interaction, timing)
        for page in error_pages(text, rows):
            await _add(interaction, page)
    except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
        log.warning("the asker was not told", error=type(error).__name__, detail=str(error)[:200], **texts(text=text))


async def forget_response(interaction: Interaction, timing: Timing) -> None:
    """Delete a response that says that something follows, where nothing does. Trouble is only logged."""
    try:
        await _take_back(interaction, timing)
    except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
        log.warning("response not deleted", error=type(error).__name__, detail=str(error)[:200])


async def _add(interaction: Interaction, page: Page) -> None:
    files = [enclosure.file() for enclosure in page.enclosures]
    await interaction.followup.send(view=page.view(), files=files, ephemeral=True)


async def _take_back(interaction: Interaction, timing: Timing) -> None:
    try:
        await persist(interaction.delete_original_response, timing)
    except discord.NotFound as error:
        if error.code != UNKNOWN_MESSAGE:
            raise


async def _with_file(interaction: Interaction, reply: Reply) -> Sequence[Page]:
    """The reply's messages. Its file goes into a direct message; where that is refused, it comes along."""
    pages = reply_pages(reply)
    if reply.download is None:
        return pages
    download = _enclosed(reply.download)
    try:
        direct = await interaction.user.create_dm()
        await direct.send(view=Page((download.filename,), download=download).view(), file=download.file())
    except discord.HTTPException as error:
        if error.code != CLOSED:
            log.warning("file not sent as a direct message", code=error.code, detail=str(error)[:200])
        closed = Page(("You take no direct messages from me, so here it is, for your eyes only.",), download=download)
        return [*pages, closed]
    return pages


def _enclosed(download: Download) -> Enclosure:
    return Enclosure(download.filename, download.data)


async def reply(
    spot: Spot, what: Reply | str, timing: Timing, *, asker: int | None = None, resumed: bool = False
) -> None:
    """Answer a person's message with messages in the same place; a text is why something was not done.

    Where we may not write, the asker is told in a direct message. Other trouble is only logged: there is no other way.
    """
    pages = error_pages(what) if isinstance(what, str) else reply_pages(what)
    if not isinstance(what, str) and what.download:
        pages.append(Page((what.download.filename,), download=_enclosed(what.download)))
    try:
        await _post(Poster(f"reply {spot.since}", spot, timing, resumed=resumed), pages)
    except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
        if asker is not None and isinstance(error, discord.Forbidden):
            await tell_directly(spot, asker, pages, timing)
            return
        log.warning("message not answered", error=type(error).__name__, detail=str(error)[:200])


async def tell_directly(spot: Spot, person: int, pages: Sequence[Page], timing: Timing) -> None:
    """Tell somebody in a direct message what cannot be said in a place. Trouble is only logged."""
    try:
        direct = await persist(lambda: spot.client().create_dm(discord.Object(person)), timing)
        there = replace(spot, channel_id=direct.id, reply_to=None)
        where = Page((f"About what you wrote in <#{spot.channel_id}>:",))
        await _post(Poster(f"direct {spot.since}", there, timing), [where, *pages])
    except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
        log.warning("the asker was not told", error=type(error).__name__, detail=str(error)[:200])


async def _post(poster: Poster, pages: Sequence[Page]) -> None:
    for number, page in enumerate(pages):
        await poster.put(f"page {number}", page)
