"""Showing runs: where each goes, the task that follows it, and answers drawn anew when somebody wants more of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from weakref import WeakValueDictionary

import aiohttp

from adapters.discord import limits
from adapters.discord.connection import Connection
from adapters.discord.inbound import SLASH, cannot_write
from adapters.discord.layout import Page, card_pages, mark, number_of
from adapters.discord.library import Interaction, discord
from adapters.discord.limits import Timing
from adapters.discord.posting import Poster, Spot, persist
from adapters.discord.presenter import DiscordPresenter, Frame, Outlet
from adapters.discord.render import cut, quote
from adapters.discord.replies import refuse, whisper_instead
from adapters.discord.threads import NoThread, open_thread
from adapters.discord.visiting import Visit, follow_up_button, visiting
from core.asks import DIRECT, Platform
from core.cards import Redraw, Reply
from core.delivery import deliver
from core.ports import Events, History
from core.present.answers import answer_card
from core.service import Service
from core.telemetry import bind_run, get_logger
from core.types import Run

log = get_logger(__name__)

MOST_PAGES = 12
"""Messages of one answer that are looked for when it is drawn anew."""


class Shows:
    """Every run is shown by a task of its own."""

    def __init__(
        self, connection: Connection, service: Service, events: Events, history: History, timing: Timing
    ) -> None:
        self._connection, self._service, self._timing = connection, service, timing
        self._events, self._history = events, history
        self.tasks: set[asyncio.Task[None]] = set()
        self._shown: set[str] = set()
        self._drawing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # --- where a run is shown -----------------------------------------------------------------------

    async def by_interaction(self, run: Run, interaction: Interaction, target: discord.Message | None = None) -> None:
        """Put the question up as the interaction's response, and the run into a thread below it where one is due, or
        below ``target``, the message it is about."""
        bind_run(run.id)
        if visiting(interaction):
            self._visit(run, interaction)
            return
        where = run.ask.where
        spot = self.spot(int(where.thread or where.channel), interaction.id)
        note: str | None = None
        asked = await self._put_question(run, interaction)
        start = target or asked
        if start is not None and where.thread is None:
            spot = replace(spot, reply_to=start.id)
            run, spot, note = await self._move_to_thread(run, spot, start, interaction.app_permissions)
        self._show(run, self._poster(run, spot), Frame(note=note), interaction)

    async def by_message(self, run: Run, message: discord.Message, spot: Spot, may: discord.Permissions | None) -> None:
        """Show the run in a thread on the message that asked, or where the conversation is."""
        bind_run(run.id)
        note: str | None = None
        if run.ask.where.thread is None:
            run, spot, note = await self._move_to_thread(run, spot, message, may)
        self._show(run, self._poster(run, spot), Frame(note=note))

    async def resume(self) -> None:
        """Show the runs of the last hour whose answer an earlier process did not get to post."""
        for run in await self._service.undelivered(Platform.DISCORD):
            if run.id in self._shown:
                continue
            where = run.ask.where
            since = next((int(event) for event in run.ask.event_ids if event.isdecimal()), 0)
            spot = self.spot(int(where.thread or where.channel), since)
            note = None if where.thread else f"To: {cut(run.ask.text, 200)}"
            self._show(run, self._poster(run, spot, resumed=True), Frame(note=note))

    def spot(self, channel_id: int, since: int) -> Spot:
        """A place for messages."""
        return Spot(self._connection.client, channel_id, since)

    def _poster(self, run: Run, spot: Spot, *, resumed: bool = False) -> Poster:
        return Poster(run.id, spot, self._timing, resumed=resumed)

    def _visit(self, run: Run, interaction: Interaction) -> None:
        more = ((follow_up_button(run.ask.where.thread),),) if run.ask.where.thread else ()
        lead = "\n".join(f"> {line}" for line in cut(run.ask.text, 300).splitlines())
        self._show(run, Visit(run.id, interaction, self._timing), Frame(lead=lead, more=more))

    async def _put_question(self, run: Run, interaction: Interaction) -> discord.InteractionMessage | None:
        content, where = quote(run.ask.text, limits.MESSAGE - 100), run.ask.where
        if where.workspace != DIRECT and where.thread not in (None, str(interaction.channel_id)):
            content += f"\nThe answer comes in <#{where.thread}>."
        try:
            return await persist(lambda: interaction.edit_original_response(content=content), self._timing)
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("question not shown", error=type(error).__name__, detail=str(error)[:200])
            return None

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

    # --- following it -------------------------------------------------------------------------------

    def _show(self, run: Run, outlet: Outlet, frame: Frame, asked: Interaction | None = None) -> None:
        presenter = DiscordPresenter(run, outlet, self._timing, self._service.long, frame)
        task = asyncio.create_task(self._deliver(run, presenter, asked), name=f"discord run {run.id}")
        self._shown.add(run.id)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lambda _: self._shown.discard(run.id))

    async def _deliver(self, run: Run, presenter: DiscordPresenter, asked: Interaction | None) -> None:
        """Show a run to its end. After trouble it is taken up again; what stands already is not repeated."""
        bind_run(run.id)
        for pause in (*self._timing.redeliver, None):
            try:
                await self._connection.online.wait()
                await deliver(run, presenter, self._events, self._history)
                return
            except (discord.Forbidden, discord.NotFound) as error:
                log.warning("answer not allowed", code=error.code, detail=error.text[:200])
                if asked is not None:
                    await refuse(asked, _unshown(run, error), self._timing, keep=True)
                return
            except Exception as error:
                if pause is None:
                    log.exception("answer not delivered")
                    return
                log.warning("delivery interrupted", error=type(error).__name__, detail=str(error)[:200])
            await asyncio.sleep(pause)

    # --- drawing it anew ----------------------------------------------------------------------------

    async def redraw(self, wanted: Redraw, interaction: Interaction) -> None:
        """Show the answer whole or short in place of what stands; where that cannot be, to who wants it alone."""
        run = wanted.run
        card = answer_card(run, long=wanted.long)
        pressed = interaction.message
        if pressed is None or pressed.flags.ephemeral or visiting(interaction):
            await whisper_instead(interaction, Reply(text=card.markdown()), self._timing, keep=True)
            return
        pages = card_pages(card)
        try:
            async with self._drawing.setdefault(run.id, asyncio.Lock()):
                await self._redraw(run, pages, pressed, interaction)
        except discord.HTTPException as error:
            log.warning("answer not drawn anew", code=error.code, detail=str(error)[:200])
            await whisper_instead(interaction, Reply(text=card.markdown()), self._timing, keep=True)

    async def _redraw(
        self, run: Run, pages: Sequence[Page], pressed: discord.Message, interaction: Interaction
    ) -> None:
        if len(pages) == 1 and number_of(pressed) == mark(run.id, "answer 0"):
            view = pages[0].view(mark(run.id, "answer 0"))
            await persist(lambda: interaction.edit_original_response(view=view), self._timing)
        else:
            await self._replace(run, pages, pressed, interaction.id)

    async def _replace(self, run: Run, pages: Sequence[Page], pressed: discord.Message, since: int) -> None:
        """Edit the messages of an answer into others; more follow at the end, those too many go."""
        spot = self.spot(pressed.channel.id, since)
        standing = await self._standing(run, pressed, spot)
        poster = Poster(run.id, spot, self._timing, turn=str(since))
        for number, page in enumerate(pages):
            key = f"answer {number}"
            if number < len(standing):
                message, view = standing[number], page.view(mark(run.id, key))
                await persist(lambda m=message, v=view: m.edit(view=v), self._timing)  # type: ignore[misc]
            else:
                await poster.put(key, page)
        for message in standing[len(pages) :]:
            with suppress(discord.NotFound):
                await persist(message.delete, self._timing)

    async def _standing(self, run: Run, pressed: discord.Message, spot: Spot) -> list[discord.PartialMessage]:
        """The messages of the answer in their order: what was tapped, and what stands before and behind it."""
        numbers = {mark(run.id, f"answer {number}") for number in range(MOST_PAGES)}
        found = {pressed.id}
        here, channel = discord.Object(pressed.id), spot.channel()
        for near in (channel.history(limit=limits.SCAN, before=here), channel.history(limit=limits.SCAN, after=here)):
            found |= {message.id async for message in near if number_of(message) in numbers}
        return [spot.message(message_id) for message_id in sorted(found)]


def _unshown(run: Run, error: discord.Forbidden | discord.NotFound) -> str:
    """Why nothing can be posted where the run is shown."""
    if isinstance(error, discord.NotFound):
        place = "thread" if run.ask.where.thread else "channel"
        return f"The {place} of this question is gone, and its answer has no place. `{SLASH} history` lists it."
    return cannot_write("Send Messages in Threads" if run.ask.where.thread else "Send Messages")
