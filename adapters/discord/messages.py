"""What people write: mentions, direct messages, and follow-ups in threads of ours."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp

from adapters.discord.commands import slash_help
from adapters.discord.connection import Connection
from adapters.discord.files import Files
from adapters.discord.inbound import (
    SLASH,
    check_may_answer,
    check_not_personal,
    from_message,
    mentions,
    permissions_at,
    words_of,
)
from adapters.discord.interactions import WONDER, log_error, offer
from adapters.discord.layout import reply_pages
from adapters.discord.library import discord
from adapters.discord.limits import Timing
from adapters.discord.posting import Poster, Spot, persist
from adapters.discord.replies import reply
from adapters.discord.shows import Shows
from core.cards import Reply, Result
from core.commands.grammar import parse_message
from core.commands.values import AskCommand, Command, HelpCommand
from core.errors import Duplicate, user_text
from core.service import Inbound, Service
from core.telemetry import get_logger
from core.types import Run

log = get_logger(__name__)

KNOWN = 4096
"""Direct channels of which it is remembered that we have written there."""


class Messages:
    """Hears messages, and greets where nobody knows us yet."""

    def __init__(self, connection: Connection, service: Service, shows: Shows, files: Files, timing: Timing) -> None:
        self._connection, self._service, self._shows = connection, service, shows
        self._files, self._timing = files, timing
        self._greeted: OrderedDict[int, None] = OrderedDict()

    async def handle(self, message: discord.Message, *, late: bool = False) -> None:
        """A mention, a direct message or a follow-up in a run's thread is answered, others are not ours.

        ``late``: it was written while nobody was connected; then only questions are taken, as these are told apart
        from what an earlier process has answered.
        """
        spot = self._shows.spot(message.channel.id, message.id)
        if message.guild is not None and not isinstance(message.channel, discord.Thread):
            spot = replace(spot, reply_to=message.id)
        try:
            await self._hear(message, spot, late)
        except Duplicate:
            log.info("message dropped: it came twice")
        except Exception as error:  # noqa: BLE001 - the person is told, the log has the rest
            log_error(error, message.id)
            await reply(spot, user_text(error, str(message.id)), self._timing)

    async def backfill(self) -> list[discord.Message]:
        """What was written in threads while nobody was connected."""
        since = datetime.now(UTC) - timedelta(seconds=self._timing.backfill)
        recent = discord.utils.time_snowflake(since)
        missed: list[discord.Message] = []
        for thread in [thread for guild in self._connection.client().guilds for thread in guild.threads]:
            if (thread.last_message_id or 0) < recent:
                continue
            try:
                missed += [message async for message in thread.history(after=since)]
            except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
                log.warning("thread not read", thread=thread.id, detail=str(error)[:200])
        return missed

    async def _hear(self, message: discord.Message, spot: Spot, late: bool) -> None:
        me = self._connection.me()
        mentioned, files = mentions(message, me), self._files.of_message(message)
        text = words_of(message, me) or (WONDER if files else "")
        if not (text or mentioned):
            return
        inbound = from_message(message, await self._known(message.channel), files)
        if message.guild is not None and not mentioned:
            if inbound.where.thread:
                await self._follow_up(text, inbound, message, spot)
            return
        command = parse_message(text)
        if late and not isinstance(command, AskCommand):
            return
        may = permissions_at(message)
        if may is not None:
            check_may_answer(may, inbound.where)
        check_not_personal(command, inbound)
        if message.guild is None:
            await self._greet_newcomer(message)
        await self._answer(offer(await self._handle(command, inbound), command), message, spot, may)

    async def _follow_up(self, text: str, inbound: Inbound, message: discord.Message, spot: Spot) -> None:
        result = await self._service.follow_up(text, inbound)
        if result is not None:
            await self._answer(result, message, replace(spot, reply_to=None), None)

    async def _handle(self, command: Command, inbound: Inbound) -> Result:
        """What the service makes of a command. In servers the help tells of slash commands, which look otherwise."""
        result = await self._service.handle(command, inbound)
        slash = isinstance(command, HelpCommand) and inbound.prefix == SLASH
        return Reply(text=slash_help(command.topic)) if slash and isinstance(command, HelpCommand) else result

    async def _answer(
        self, result: Result, message: discord.Message, spot: Spot, may: discord.Permissions | None
    ) -> None:
        match result:
            case Run() as run:
                await self._shows.by_message(run, message, spot, may)
            case Reply() as answer:
                await reply(spot, answer, self._timing)
            case _:
                log.error("nothing can be made of this here", result=type(result).__name__)

    async def _known(self, channel: object) -> object:
        """A channel that the library does not know is a thread that was archived: ask what it is."""
        if not isinstance(channel, discord.PartialMessageable) or channel.guild_id is None:
            return channel
        with suppress(discord.Forbidden, discord.NotFound, discord.InvalidData):
            return await persist(lambda: self._connection.client().fetch_channel(channel.id), self._timing)
        return channel

    # --- first contact ------------------------------------------------------------------------------

    async def greet_guild(self, guild: discord.Guild) -> None:
        """Say who we are, once, where newcomers are greeted, or in the first channel that we may write in."""
        channels = [*([guild.system_channel] if guild.system_channel else []), *guild.text_channels]
        for channel in channels:
            may = channel.permissions_for(guild.me)
            if may.view_channel and may.send_messages:
                spot = self._shows.spot(channel.id, guild.id)
                await self._greet(
                    Poster(f"welcome {guild.id}", spot, self._timing), self._service.welcome("joined", SLASH)
                )
                return
        log.info("no channel to say who we are", guild=guild.id)

    async def _greet_newcomer(self, message: discord.Message) -> None:
        """Say who we are to somebody who writes to us for the first time: nothing of ours stands there."""
        channel, me = message.channel.id, self._connection.me()
        if channel in self._greeted:
            return
        self._greeted[channel] = None
        if len(self._greeted) > KNOWN:
            self._greeted.popitem(last=False)
        spot = self._shows.spot(channel, message.id)
        try:
            async for earlier in spot.channel().history(limit=20):
                if earlier.author.id == me:
                    return
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("direct messages not read", detail=str(error)[:200])
            return
        await self._greet(Poster(f"welcome {channel}", spot, self._timing), self._service.welcome("opened", ""))

    async def _greet(self, poster: Poster, welcome: Reply) -> None:
        try:
            for number, page in enumerate(reply_pages(welcome)):
                await poster.put(f"page {number}", page)
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("not greeted", error=type(error).__name__, detail=str(error)[:200])
