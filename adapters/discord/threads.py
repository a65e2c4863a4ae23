"""Opening the thread of a question, and saying why there is none."""

from __future__ import annotations

import asyncio

import aiohttp

from adapters.discord import limits
from adapters.discord.inbound import may_thread
from adapters.discord.library import discord, open_thread_on
from adapters.discord.limits import Timing
from adapters.discord.posting import THREAD_EXISTS, Spot, unsettled
from adapters.discord.render import thread_name
from core.telemetry import get_logger

log = get_logger(__name__)


class NoThread(Exception):
    """No thread could be opened; the text tells people why and what happens instead."""

    def __init__(self, why: str) -> None:
        super().__init__(f"No thread: {why}. The answer follows here as a reply.")


async def open_thread(
    spot: Spot, message_id: int, question: str, may: discord.Permissions | None, timing: Timing
) -> int:
    """Open a thread on a message of a place and return its id. Raises NoThread.

    A thread has its message's id, so after an unknown outcome it can be looked up.
    """
    if may is not None and not may_thread(may):
        wanted = "Send Messages in Threads" if may.create_public_threads else "Create Public Threads"
        raise NoThread(f"the bot lacks the permission {wanted}")
    for last in (False, True):
        try:
            async with asyncio.timeout(timing.thread):
                return await open_thread_on(
                    spot.client(), spot.channel_id, message_id, thread_name(question), limits.ARCHIVE_AFTER
                )
        except (discord.HTTPException, aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("thread not opened", error=type(error).__name__, detail=str(error)[:200])
            if _exists(error) or (unsettled(error) and await _found(spot, message_id, timing)):
                return message_id
            if last or not _again(error):
                raise NoThread(_why(error)) from error
    raise AssertionError("unreachable")


def _exists(error: Exception) -> bool:
    return isinstance(error, discord.HTTPException) and error.code == THREAD_EXISTS


def _again(error: Exception) -> bool:
    """A lost connection is tried once more; a wait that was too long would be too long again."""
    limited = isinstance(error, discord.HTTPException) and error.status == 429
    return unsettled(error) and not limited and not isinstance(error, TimeoutError)


def _why(error: Exception) -> str:
    if isinstance(error, discord.Forbidden):
        return "the bot lacks the permission Create Public Threads"
    if isinstance(error, (discord.HTTPException, ValueError)) and not unsettled(error):
        return "this kind of channel has none"
    return "Discord does not let one be opened just now"


async def _found(spot: Spot, message_id: int, timing: Timing) -> bool:
    """Whether the thread is there although its opening was not confirmed."""
    try:
        async with asyncio.timeout(timing.thread):
            await spot.client().fetch_channel(message_id)
    except (discord.DiscordException, aiohttp.ClientError, OSError, ValueError):
        return False
    return True
