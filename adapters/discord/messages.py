"""What people write: mentions, direct messages, and follow-ups in threads of ours."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp

from adapters.discord import limits
from adapters.discord.commands import slash_help
from adapters.discord.connection import Connection
from adapters.discord.files import Files, attached_to
from adapters.discord.inbound import (
    SLASH,
    Heard,
    check_may_answer,
    check_not_personal,
    from_message,
    is_for_us_to_read,
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
from core.asks import DIRECT
from core.cards import Reply, Result
from core.commands.grammar import parse_message
from core.commands.values import AskCommand, Command, HelpCommand
from core.errors import Duplicate, Unavailable, user_text
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
        self._authors: dict[tuple[int, int], discord.User | discord.Member] = {}

    # --- what is for us -----------------------------------------------------------------------------

    async def hear(self, message: discord.Message, *, late: bool = False) -> Heard | None:
        """A message with all that is needed to answer it; None where it is not for us. Mentions, direct messages, and
        what is written in threads are.

        ``late``: it was written while nobody was connected; then only questions are taken.
        """
        if not is_for_us_to_read(message):
            return None
        me = self._connection.me()
        mentioned, files = mentions(message, me), attached_to(message)
        text = words_of(message, me) or (WONDER if files else "")
        if not (text or mentioned):
            return None
        inbound = from_message(message, await self._known(message.channel), await self._author(message))
        direct = message.guild is None
        if not (direct or mentioned or inbound.where.thread):
            return None
        may = permissions_at(message)
        return Heard(
            id=message.id,
            channel=message.channel.id,
            text=text,
            inbound=inbound,
            mentioned=mentioned or direct,
            threaded=inbound.where.thread is not None,
            files=files,
            may=None if may is None else may.value,
            late=late,
        )

    async def missed(self, shard: int) -> AsyncIterator[discord.Message]:
        """What was written while nobody was connected, oldest first, as far as we may read it: all in threads, in
        channels what mentions us."""
        since = datetime.now(UTC) - timedelta(seconds=self._timing.backfill)
        recent, me = discord.utils.time_snowflake(since), self._connection.me()
        found: list[discord.Message] = []
        for place in self._lately_written(shard, recent)[: limits.BACKFILL]:
            try:
                written = [message async for message in place.history(after=since, limit=limits.SCAN)]
            except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
                log.warning("not read what was written meanwhile", channel=place.id, detail=str(error)[:200])
                continue
            found += [m for m in written if isinstance(place, discord.Thread) or mentions(m, me)]
        for message in sorted(found, key=lambda message: message.id):
            yield message
        self._authors.clear()

    def _lately_written(self, shard: int, recent: int) -> list[discord.Thread | discord.TextChannel]:
        """Threads and channels in which somebody has just written, the latest first."""
        places: list[discord.Thread | discord.TextChannel] = []
        for guild in self._connection.client().guilds_of(shard):
            places += guild.threads
            for channel in guild.text_channels:
                may = channel.permissions_for(guild.me)
                if may.view_channel and may.read_message_history:
                    places.append(channel)
        lately = [place for place in places if (place.last_message_id or 0) >= recent]
        return sorted(lately, key=lambda place: place.last_message_id or 0, reverse=True)

    # --- answering ----------------------------------------------------------------------------------

    async def handle(self, heard: Heard, *, last: bool) -> None:
        """Answer a message. Raises Unavailable unless it is the ``last`` time that it is tried."""
        try:
            await self._carry_out(heard)
        except Duplicate:
            log.info("message dropped: it came twice")
        except Exception as error:
            if isinstance(error, Unavailable) and not last:
                raise
            log_error(error, heard.id)
            await self.tell(heard, user_text(error, str(heard.id)))

    async def tell(self, heard: Heard, what: Reply | str) -> None:
        """Answer a message with a reply, or with why something was not done."""
        asker = None if heard.inbound.where.workspace == DIRECT else int(heard.inbound.asker.id)
        resumed = heard.inbound.replayed
        await reply(self._spot(heard), what, self._timing, asker=asker, resumed=resumed)

    def _spot(self, heard: Heard) -> Spot:
        spot = self._shows.spot(heard.channel, heard.id)
        return spot if heard.threaded else replace(spot, reply_to=heard.id)

    async def _carry_out(self, heard: Heard) -> None:
        inbound = heard.inbound.model_copy(update={"files": self._files.uploads(heard.files)})
        if not heard.mentioned:
            result = await self._service.follow_up(heard.text, inbound)
            if result is not None:
                await self._answer(result, heard)
            return
        command = parse_message(heard.text)
        if heard.late and not isinstance(command, AskCommand):
            return
        if heard.permissions is not None:
            check_may_answer(heard.permissions, inbound.where)
        check_not_personal(command, inbound)
        if inbound.where.workspace == DIRECT:
            await self._greet_newcomer(heard)
        await self._answer(offer(await self._handle(command, inbound), command), heard)

    async def _handle(self, command: Command, inbound: Inbound) -> Result:
        """What the service makes of a command. In servers the help tells of slash commands, which look otherwise."""
        result = await self._service.handle(command, inbound)
        slash = isinstance(command, HelpCommand) and inbound.prefix == SLASH
        return Reply(text=slash_help(command.topic)) if slash and isinstance(command, HelpCommand) else result

    async def _answer(self, result: Result, heard: Heard) -> None:
        match result:
            case Run() as run:
                await self._shows.by_message(run, heard, self._spot(heard))
            case Reply() as answer:
                await self.tell(heard, answer)
            case _:
                log.error("nothing can be made of this here", result=type(result).__name__)

    async def _known(self, channel: object) -> object:
        """A channel that the library does not know is a thread that was archived: ask what it is."""
        if not isinstance(channel, discord.PartialMessageable) or channel.guild_id is None:
            return channel
        with suppress(discord.Forbidden, discord.NotFound, discord.InvalidData):
            return await persist(lambda: self._connection.client().fetch_channel(channel.id), self._timing)
        return channel

    async def _author(self, message: discord.Message) -> discord.User | discord.Member:
        """Who wrote: of what is read afterwards the roles have to be asked for, once."""
        if message.guild is None or isinstance(message.author, discord.Member):
            return message.author
        guild, person = message.guild, message.author
        if (guild.id, person.id) not in self._authors:
            self._authors[guild.id, person.id] = person
            with suppress(discord.HTTPException, aiohttp.ClientError, OSError):
                self._authors[guild.id, person.id] = await persist(lambda: guild.fetch_member(person.id), self._timing)
        return self._authors[guild.id, person.id]

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

    async def _greet_newcomer(self, heard: Heard) -> None:
        """Say who we are to somebody who writes to us for the first time: nothing of ours stands there."""
        channel, me = heard.channel, self._connection.me()
        if channel in self._greeted:
            return
        self._greeted[channel] = None
        if len(self._greeted) > KNOWN:
            self._greeted.popitem(last=False)
        spot = self._shows.spot(channel, heard.id)
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
