"""The Discord surface: what people write there, and the runs that are shown to them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp

from adapters.discord.commands import ConsortiumGroup, Interaction, slash_help
from adapters.discord.connection import Connection, DiscordConfig
from adapters.discord.inbound import (
    cannot_write,
    check_may_answer,
    check_not_personal,
    from_interaction,
    from_message,
    is_for_us_to_read,
    mentions,
    permissions_at,
    words_of,
)
from adapters.discord.library import discord
from adapters.discord.limits import Timing
from adapters.discord.posting import Spot, persist
from adapters.discord.presenter import DiscordPresenter
from adapters.discord.render import cut, quote
from adapters.discord.replies import acknowledge, refuse, reply, whisper
from adapters.discord.threads import NoThread, open_thread
from core.asks import Platform
from core.cards import Reply
from core.commands.grammar import parse_message
from core.commands.values import AskCommand, Command, HelpCommand
from core.delivery import deliver
from core.errors import Duplicate, Refused, user_text
from core.ports import Events, History
from core.service import Inbound, Service
from core.telemetry import bind_run, get_logger
from core.types import Run

__all__ = ["DiscordConfig", "DiscordSurface"]

log = get_logger(__name__)

REMEMBERED = 2048
"""Events whose ids are kept to drop repeated dispatches; they come within seconds of each other."""


class DiscordSurface:
    """Consortium on Discord. One per process; runs are shown by tasks of their own."""

    def __init__(
        self, config: DiscordConfig, service: Service, events: Events, history: History, timing: Timing | None = None
    ) -> None:
        self._service, self._events, self._history = service, events, history
        self._timing = timing or Timing()
        self._connection = Connection(config, service.catalog, self, self._timing)
        self._help = slash_help(ConsortiumGroup(service.catalog, self.on_command))
        self._closing = False
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shown: set[str] = set()

    # --- lifecycle ----------------------------------------------------------------------------------

    async def start(self, patience: float = 10.0) -> None:
        """Connect in the background, and go on doing so. Returns once connected, or after ``patience`` seconds.

        Raises ConfigError when Discord refuses the token or the intents within that time; see :meth:`wait`.
        """
        await self._connection.start(patience)

    async def wait(self) -> None:
        """Until the surface is closed. Raises ConfigError when Discord refuses the token or the intents."""
        await self._connection.wait()

    async def close(self, grace: float) -> None:
        """Take nothing new, give deliveries in flight so many seconds to finish, then disconnect."""
        self._closing = True
        pending = self._tasks - {asyncio.current_task()}
        if pending:
            _, late = await asyncio.wait(pending, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._connection.close()

    async def resume(self) -> None:
        """Show the runs of the last hour whose answer an earlier process did not get to post."""
        for run in await self._service.undelivered(Platform.DISCORD):
            if run.id in self._shown:
                continue
            where = run.ask.where
            spot = Spot(self._connection.client, int(where.thread or where.channel), int(run.ask.event_ids[0]))
            note = None if where.thread else f"To: {cut(run.ask.text, 200)}"
            self._show(run, DiscordPresenter(run, spot, self._timing, note=note, resumed=True))

    # --- what people write --------------------------------------------------------------------------

    async def on_command(self, interaction: Interaction, command: Command) -> None:
        """A slash command: acknowledged before anything else, then carried out."""
        if self._closing or not self._first(interaction.id):
            return
        with self._counted():
            asks = isinstance(command, AskCommand)
            if not await acknowledge(interaction, ephemeral=not asks):
                return
            try:
                inbound = from_interaction(interaction)
                if asks:
                    check_may_answer(interaction.app_permissions, inbound.where)
                match await self._handle(command, inbound):
                    case Run() as run:
                        await self._show_command(run, interaction)
                    case Reply() as answer:
                        await whisper(interaction, answer.text, self._timing)
            except Duplicate:
                log.info("slash command dropped: it came twice")
            except Exception as error:  # noqa: BLE001 - the asker is told, the log has the rest
                await self.refuse_command(interaction, error)

    async def refuse_command(self, interaction: Interaction, error: BaseException) -> None:
        """Tell the asker alone what went wrong."""
        _log_error(error, interaction.id)
        await refuse(interaction, user_text(error, str(interaction.id)), self._timing)

    async def on_message(self, message: discord.Message, *, late: bool = False) -> None:
        """A message: a mention, a direct message or a follow-up in a run's thread is answered, others are not ours.

        ``late``: it was written while nobody was connected; then only questions are taken, as these are told apart
        from what an earlier process has answered.
        """
        if self._closing or not is_for_us_to_read(message) or not self._first(message.id):
            return
        with self._counted():
            spot = Spot(self._connection.client, message.channel.id, message.id)
            if message.guild is not None and not isinstance(message.channel, discord.Thread):
                spot = replace(spot, reply_to=message.id)
            try:
                await self._hear(message, spot, late)
            except Duplicate:
                log.info("message dropped: it came twice")
            except Exception as error:  # noqa: BLE001 - the person is told, the log has the rest
                _log_error(error, message.id)
                await reply(spot, user_text(error, str(message.id)), self._timing)

    async def _hear(self, message: discord.Message, spot: Spot, late: bool) -> None:
        me = self._connection.me()
        mentioned, text = mentions(message, me), words_of(message, me)
        if not (text or mentioned):
            return
        inbound = from_message(message, await self._known(message.channel))
        if message.guild is not None and not mentioned:
            if inbound.where.thread and (run := await self._service.follow_up(text, inbound)):
                self._show(run, DiscordPresenter(run, replace(spot, reply_to=None), self._timing))
            return
        command = parse_message(text)
        if late and not isinstance(command, AskCommand):
            return
        may = permissions_at(message)
        if may is not None:
            check_may_answer(may, inbound.where)
        check_not_personal(command, inbound)
        match await self._handle(command, inbound):
            case Run() as run:
                await self._show_mention(run, message, spot, may)
            case Reply() as answer:
                await reply(spot, answer.text, self._timing)

    async def _handle(self, command: Command, inbound: Inbound) -> Reply | Run:
        """What the service makes of a command. In servers the help tells of slash commands, which look otherwise."""
        result = await self._service.handle(command, inbound)
        return Reply(text=self._help) if isinstance(command, HelpCommand) and inbound.prefix else result

    async def _known(self, channel: object) -> object:
        """A channel that the library does not know is a thread that was archived: ask what it is."""
        if not isinstance(channel, discord.PartialMessageable) or channel.guild_id is None:
            return channel
        with suppress(discord.Forbidden, discord.NotFound, discord.InvalidData):
            return await persist(lambda: self._connection.client().fetch_channel(channel.id), self._timing)
        return channel

    async def on_ready(self) -> None:
        """Take the follow-ups that were written in threads while nobody was connected."""
        since = datetime.now(UTC) - timedelta(seconds=self._timing.backfill)
        recent = discord.utils.time_snowflake(since)
        for thread in [thread for guild in self._connection.client().guilds for thread in guild.threads]:
            if (thread.last_message_id or 0) < recent:
                continue
            try:
                missed = [message async for message in thread.history(after=since)]
            except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
                log.warning("thread not read", thread=thread.id, detail=str(error)[:200])
                continue
            for message in missed:
                await self.on_message(message, late=True)

    def _first(self, event_id: int) -> bool:
        """Whether this event is new here; the library hands on what Discord sends twice."""
        if event_id in self._seen:
            return False
        self._seen[event_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True

    # --- showing runs -------------------------------------------------------------------------------

    async def _show_command(self, run: Run, interaction: Interaction) -> None:
        """Put the question up as the command's response, and the run into a thread below it where one is due."""
        bind_run(run.id)
        spot = Spot(self._connection.client, interaction.channel_id or 0, interaction.id)
        content, note = quote(run.ask.text), None
        try:
            asked = await persist(lambda: interaction.edit_original_response(content=content), self._timing)
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("question not shown", error=type(error).__name__, detail=str(error)[:200])
        else:
            if run.ask.where.thread is None:
                spot = replace(spot, reply_to=asked.id)
                run, spot, note = await self._move_to_thread(run, spot, asked, interaction.app_permissions)
        self._show(run, DiscordPresenter(run, spot, self._timing, note=note), interaction)

    async def _show_mention(
        self, run: Run, message: discord.Message, spot: Spot, may: discord.Permissions | None
    ) -> None:
        bind_run(run.id)
        note: str | None = None
        if run.ask.where.thread is None:
            run, spot, note = await self._move_to_thread(run, spot, message, may)
        self._show(run, DiscordPresenter(run, spot, self._timing, note=note))

    async def _move_to_thread(
        self, run: Run, spot: Spot, message: discord.Message, may: discord.Permissions | None
    ) -> tuple[Run, Spot, str | None]:
        """Open the run's thread; without one everything stays where it is, with a note that says why."""
        try:
            thread = await open_thread(message, run.ask.text, may, self._timing)
        except NoThread as reason:
            return run, spot, str(reason)
        return (
            await self._service.thread_opened(run, str(thread)),
            replace(spot, channel_id=thread, reply_to=None),
            None,
        )

    def _show(self, run: Run, presenter: DiscordPresenter, asked: Interaction | None = None) -> None:
        task = asyncio.create_task(self._deliver(run, presenter, asked), name=f"discord run {run.id}")
        self._shown.add(run.id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._shown.discard(run.id))

    async def _deliver(self, run: Run, presenter: DiscordPresenter, asked: Interaction | None) -> None:
        """Show a run to its end. After trouble it is taken up again; what stands already is not repeated."""
        bind_run(run.id)
        for pause in (*self._timing.redeliver, None):
            try:
                await self._connection.online.wait()
                await deliver(run, presenter, self._events, self._history)
                return
            except discord.Forbidden as error:
                log.warning("answer not allowed", code=error.code, detail=error.text[:200])
                if asked is not None:
                    missing = "Send Messages in Threads" if run.ask.where.thread else "Send Messages"
                    await refuse(asked, cannot_write(missing), self._timing, keep=True)
                return
            except Exception as error:
                if pause is None:
                    log.exception("answer not delivered")
                    return
                log.warning("delivery interrupted", error=type(error).__name__, detail=str(error)[:200])
            await asyncio.sleep(pause)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Let :meth:`close` wait for what this task does."""
        task = asyncio.current_task()
        if task is None or task in self._tasks:
            yield
            return
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)


def _log_error(error: BaseException, event: int) -> None:
    if isinstance(error, Refused):
        log.info("refused", event_id=event, reason=type(error).__name__)
    else:
        log.error("not carried out", event_id=event, exc_info=error)
