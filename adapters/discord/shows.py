"""Showing runs: where each goes, the task that follows it, and answers drawn anew when somebody wants more of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp

from adapters.discord import limits
from adapters.discord.connection import Connection
from adapters.discord.inbound import REPLAYED, SLASH, Heard, cannot_write
from adapters.discord.layout import Page, card_pages, error_pages, mark, number_of
from adapters.discord.library import Interaction, discord
from adapters.discord.limits import Timing
from adapters.discord.posting import Poster, Spot, persist
from adapters.discord.presenter import DiscordPresenter, Frame, Outlet
from adapters.discord.render import cut, quote
from adapters.discord.replies import holds, refuse, tell_directly, whisper_instead
from adapters.discord.threads import NoThread, open_thread
from adapters.discord.visiting import Visit, follow_up_button, visiting
from core.asks import DIRECT, Platform
from core.cards import Redraw, Reply
from core.errors import Unavailable
from core.ports import History
from core.present.answers import answer_card
from core.service import Service
from core.service.handover import showing
from core.telemetry import bind_run, get_logger
from core.types import Run

log = get_logger(__name__)

MOST_PAGES = 12
"""Messages of one answer that are looked for when it is drawn anew."""

RESTS = 3600.0
"""Seconds for which a run is left alone that cannot be shown: until it is too old to be."""

QUESTION, VISIT = "question", "visit"
"""Parts of a run on record beside its messages: what asked it, and the interaction that alone can show it."""


class Postings:
    """A :class:`adapters.discord.posting.Record` of a run's messages, in history."""

    def __init__(self, history: History, run_id: str) -> None:
        self._history, self._run = history, run_id

    async def known(self) -> dict[str, int]:
        """What was noted before; nothing while history is away: the messages are looked for then."""
        try:
            return {part: int(message) for part, message in (await self._history.postings(self._run)).items()}
        except Unavailable as error:
            log.warning("what stands could not be read", error=str(error))
            return {}

    async def note(self, key: str, message_id: int) -> None:
        """That message of the run stands."""
        try:
            await self._history.record_posting(self._run, key, str(message_id))
        except Unavailable as error:
            log.warning("what stands could not be noted", key=key, error=str(error))

    async def forget(self, key: str) -> None:
        """It is gone."""
        try:
            await self._history.forget_posting(self._run, key)
        except Unavailable as error:
            log.warning("what is gone could not be noted", key=key, error=str(error))


class Shows:
    """Every run is shown by a task of its own."""

    def __init__(self, connection: Connection, service: Service, history: History, timing: Timing) -> None:
        self._connection, self._service, self._timing = connection, service, timing
        self._history = history
        self.tasks: set[asyncio.Task[None]] = set()
        self._shown: set[str] = set()
        self._resting: dict[str, float] = {}

    # --- where a run is shown -----------------------------------------------------------------------

    async def by_interaction(self, run: Run, interaction: Interaction, target: int | None = None) -> None:
        """Put the question up as the interaction's response, and the run into a thread below it where one is due, or
        below the message ``target``, which it is about. Where we are no member, it returns when all has been shown.

        Raises Unavailable where that has to wait.
        """
        bind_run(run.id)
        replayed, visit = REPLAYED in interaction.extras, visiting(interaction)
        if replayed and run.id in self._shown:
            if visit:  # its messages can be written with the interaction alone
                raise Unavailable("What was taken over is about to be left to this.")
            return
        if visit:
            await self._visit(run, interaction)
            return
        where, postings = run.ask.where, Postings(self._history, run.id)
        known = await postings.known() if replayed else {}
        spot = self.spot(int(where.thread or where.channel), interaction.id)
        note: str | None = None
        asked = await self._put_question(run, interaction)
        start = target or asked or known.get(QUESTION)
        if where.thread is not None:
            pass
        elif start is None:
            note = _addressed(run)
        else:
            await postings.note(QUESTION, start)
            run, spot, note = await self._start(run, spot, start, interaction.app_permissions, known)
        poster = self._poster(run, spot, postings, known if replayed else None)
        self._show(run, poster, Frame(note=note), interaction)

    async def by_message(self, run: Run, heard: Heard, spot: Spot) -> None:
        """Show the run in a thread on the message that asked, or where the conversation is."""
        bind_run(run.id)
        replayed = heard.inbound.replayed
        if replayed and run.id in self._shown:
            return
        postings, note = Postings(self._history, run.id), None
        known = await postings.known() if replayed else {}
        if run.ask.where.thread is None:
            await postings.note(QUESTION, heard.id)
            run, spot, note = await self._start(run, spot, heard.id, heard.permissions, known)
        self._show(run, self._poster(run, spot, postings, known if replayed else None), Frame(note=note))

    async def resume(self, coming: Collection[str]) -> None:
        """Show the runs that no process shows and that go on or have ended within the last hour, without those that
        are ``coming`` here by events."""
        now = time.monotonic()
        self._resting = {run: until for run, until in self._resting.items() if until > now}
        for run in await self._service.adopt(Platform.DISCORD, {*self._shown, *self._resting, *coming}):
            if run.id not in self._shown:
                self._begin(run, self._take_over(run))

    def spot(self, channel_id: int, since: int) -> Spot:
        """A place for messages."""
        return Spot(self._connection.client, channel_id, since)

    async def _take_over(self, run: Run) -> None:
        """Go on with what another process has left."""
        postings, where = Postings(self._history, run.id), run.ask.where
        known = await postings.known()
        if VISIT in known:  # whoever takes its interaction over can go on with it, nobody else
            self._rest(run, RESTS)
            with suppress(Unavailable):
                await self._service.unclaim(showing(run.id))
            return
        since = next((int(event) for event in run.ask.event_ids if event.isdecimal()), 0)
        spot, note = self.spot(int(where.thread or where.channel), since), None
        if where.thread is None and (question := known.get(QUESTION)):
            run, spot, note = await self._start(run, spot, question, None, known)
        elif where.thread is None:
            note = _addressed(run)
        await self._deliver(run, self._presenter(run, self._poster(run, spot, postings, known), Frame(note=note)), None)

    def _poster(self, run: Run, spot: Spot, postings: Postings, known: Mapping[str, int] | None) -> Poster:
        """With what is ``known`` to stand of a run that was shown before; None for a new one."""
        resumed = known is not None
        return Poster(run.id, spot, self._timing, resumed=resumed, record=postings, known=known)

    async def _visit(self, run: Run, interaction: Interaction) -> None:
        """Raises Unavailable where it cannot be known what stands: here nothing can be looked for."""
        standing = (await self._history.postings(run.id)).keys() - {VISIT} if REPLAYED in interaction.extras else set()
        postings = Postings(self._history, run.id)
        await postings.note(VISIT, interaction.id)
        more = ((follow_up_button(run.ask.where.thread),),) if run.ask.where.thread else ()
        lead = "\n".join(f"> {line}" for line in cut(run.ask.text, 300).splitlines())
        visit = Visit(run.id, interaction, self._connection.client, self._timing, postings, standing)
        await asyncio.wait({self._show(run, visit, Frame(lead=lead, more=more))})

    async def _put_question(self, run: Run, interaction: Interaction) -> int | None:
        content, where = quote(run.ask.text, limits.MESSAGE - 100), run.ask.where
        if where.workspace != DIRECT and where.thread not in (None, str(interaction.channel_id)):
            content += f"\nThe answer comes in <#{where.thread}>."
        try:
            return (await persist(lambda: interaction.edit_original_response(content=content), self._timing)).id
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("question not shown", error=type(error).__name__, detail=str(error)[:200])
            return None

    async def _start(
        self, run: Run, spot: Spot, message_id: int, may: discord.Permissions | None, known: Mapping[str, int]
    ) -> tuple[Run, Spot, str | None]:
        """Open the run's thread on a message; without one all is a reply to it, with a note that says why. So is what
        goes on where parts of it stand already."""
        spot = replace(spot, reply_to=message_id)
        if known.keys() - {QUESTION}:
            return run, spot, None
        try:
            thread = await open_thread(spot, message_id, run.ask.text, may, self._timing)
        except NoThread as reason:
            return run, spot, str(reason)
        run = await self._service.thread_opened(run, str(thread))
        return run, replace(spot, channel_id=thread, reply_to=None), None

    # --- following it -------------------------------------------------------------------------------

    def _show(self, run: Run, outlet: Outlet, frame: Frame, asked: Interaction | None = None) -> asyncio.Task[None]:
        return self._begin(run, self._deliver(run, self._presenter(run, outlet, frame), asked))

    def _presenter(self, run: Run, outlet: Outlet, frame: Frame) -> DiscordPresenter:
        return DiscordPresenter(run, outlet, self._timing, self._service.long, frame)

    def _begin(self, run: Run, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(run, work), name=f"discord run {run.id}")
        self._shown.add(run.id)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lambda _: self._shown.discard(run.id))
        return task

    def _rest(self, run: Run, seconds: float) -> None:
        """Leave a run alone for a while: it still is on record as not delivered."""
        self._resting[run.id] = time.monotonic() + seconds

    async def _guarded(self, run: Run, work: Coroutine[Any, Any, None]) -> None:
        bind_run(run.id)
        try:
            await work
        except Exception:
            self._rest(run, self._timing.rest)
            log.exception("answer not delivered")

    async def _deliver(self, run: Run, presenter: DiscordPresenter, asked: Interaction | None) -> None:
        """Show a run to its end. After trouble it is taken up again; what stands already is not repeated."""
        for pause in (*self._timing.redeliver, None):
            try:
                await self._connection.reachable.wait()
                await self._service.deliver(run, presenter)
                return
            except (discord.Forbidden, discord.NotFound) as error:
                self._rest(run, RESTS)
                log.warning("answer not allowed", code=error.code, detail=error.text[:200])
                await self._tell(run, _unshown(run, error), asked)
                with suppress(Unavailable):  # that is its end: nobody is to be told twice
                    await self._history.mark_delivered(run.id)
                    await self._service.unclaim(showing(run.id))
                return
            except Exception as error:
                if pause is None:
                    raise
                log.warning("delivery interrupted", error=type(error).__name__, detail=str(error)[:200])
            await asyncio.sleep(pause)

    async def _tell(self, run: Run, why: str, asked: Interaction | None) -> None:
        """Why a run cannot be shown: as a reply to what was used, else in a direct message."""
        where = run.ask.where
        if asked is not None and holds(asked):
            await refuse(asked, why, self._timing, keep=True)
        elif where.workspace != DIRECT:
            since = next((int(event) for event in run.ask.event_ids if event.isdecimal()), 0)
            spot = self.spot(int(where.channel), since)
            await tell_directly(spot, int(run.ask.asker.id), error_pages(why), self._timing)

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
            async with self._service.turn(f"draw:{run.id}"):
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


def _addressed(run: Run) -> str:
    """What tells to what an answer belongs that stands on its own."""
    return f"To: {cut(run.ask.text, 200)}"


def _unshown(run: Run, error: discord.Forbidden | discord.NotFound) -> str:
    """Why nothing can be posted where the run is shown."""
    if isinstance(error, discord.NotFound):
        place = "thread" if run.ask.where.thread else "channel"
        return f"The {place} of this question is gone, and its answer has no place. `{SLASH} history` lists it."
    return cannot_write("Send Messages in Threads" if run.ask.where.thread else "Send Messages")
