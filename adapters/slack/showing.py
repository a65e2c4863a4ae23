"""Runs in their threads: opened, followed to their end, gone on with where another process was, and shown anew.

A run that was asked by slash command opens a thread with the question. Should Slack refuse that message, the answer
goes to the asker alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

import aiohttp
from slack_sdk.errors import SlackApiError

from adapters.slack.agents import Sessions
from adapters.slack.api import BLOCKS_REFUSED, Api, Spot, error_code, limited, unsure
from adapters.slack.inbound import Identity, tapped
from adapters.slack.limits import Timing
from adapters.slack.presenter import ResponsePresenter, ThreadPresenter
from adapters.slack.render import in_text, question
from adapters.slack.standing import ROOT, Record, Spawn, Standing
from adapters.slack.streaming import Streams
from adapters.slack.telling import Ear, Telling, cannot_post, is_closed
from core.cards import Card, Redraw
from core.errors import Unavailable
from core.ports import History
from core.present.answers import answer_card
from core.service import Service
from core.telemetry import bind_run, get_logger
from core.types import Run

T = TypeVar("T")

log = get_logger(__name__)

_SKEW = 300.0  # seconds by which Slack's clock may be behind ours
_LONG = 3_600.0  # seconds after which a run is not shown any more


class Showing:
    """Shows runs."""

    def __init__(
        self,
        me: Identity,
        api: Api,
        core: tuple[Service, History],
        telling: Telling,
        spawn: Spawn,
        timing: Timing,
    ) -> None:
        self._me, self._api, self._telling, self._spawn, self._timing = me, api, telling, spawn, timing
        self._service, self._history = core
        self._streams, self._sessions = Streams(api), Sessions(api)
        self._shown: set[str] = set()
        self._resting: dict[str, float] = {}

    @property
    def shown(self) -> set[str]:
        """Runs that are being shown here, or that are not to be tried again yet."""
        now = asyncio.get_running_loop().time()
        self._resting = {run: until for run, until in self._resting.items() if until > now - _LONG}
        return self._shown | {run for run, until in self._resting.items() if until > now}

    async def show(self, run: Run, ear: Ear, *, quote: bool = False, again: bool = False) -> None:
        """Show a run that has been asked: opens its place, and has it followed to its end.

        ``quote``: say in its thread who asks what, as that stands nowhere. ``again``: that may have been begun before.
        Raises SlackApiError or Unavailable where the place does not open.
        """
        if run.id in self._shown:
            return  # whoever goes on with it does all of this
        bind_run(run.id)
        self._shown.add(run.id)
        following = False
        try:
            standing = self._standing(run, again)
            if run.ask.where.thread is not None and quote:
                await self._patiently(lambda more: self._post_root(run, standing, again=more))
            following = await self._open(run, ear, standing, resumed=again)
        finally:
            if not following:
                self._shown.discard(run.id)

    def resume(self, run: Run) -> None:
        """Go on with a run that no process shows any more."""
        if run.id not in self._shown:
            self._shown.add(run.id)
            self._spawn(self._resume(run))

    async def _resume(self, run: Run) -> None:
        where, user = run.ask.where, run.ask.asker.id
        bind_run(run.id)
        ear = Ear(where.channel, user, where.thread, active=where.thread is not None)
        standing, following = self._standing(run, True), False
        try:
            async with self._telling.told(ear), self._laid_aside(run):
                if where.thread is not None and tapped(run.ask.event_ids):
                    await self._post_root(run, standing, again=False)
                following = await self._open(run, ear, standing, resumed=True)
        finally:
            if not following:
                self._shown.discard(run.id)

    async def redraw(self, wanted: Redraw, ear: Ear, *, fleeting: bool) -> None:
        """Show an answer anew in place, long or short."""
        run = wanted.run
        if fleeting and ear.responder is not None:
            await ear.responder.send(answer_card(run, long=wanted.long), replace=True)
            return
        standing = self._standing(run, True)
        await self._presenter(run, ear, standing, resumed=True, long=wanted.long).redraw(run)

    # --- inside -------------------------------------------------------------------------------------

    async def _open(self, run: Run, ear: Ear, standing: Standing, *, resumed: bool = False) -> bool:
        """Have a run followed in its thread, which is opened with the question where there is none; where that is not
        allowed, have its answer shown to the asker alone."""
        thread = run.ask.where.thread
        try:
            if thread is None:
                thread = await self._patiently(lambda more: self._post_root(run, standing, again=more))
                ear = replace(ear, thread=thread, active=False)
        except SlackApiError as error:
            if not is_closed(error_code(error)):
                raise
            log.warning("channel refuses messages", code=error_code(error))
            await self._telling.tell(ear, Card(body=cannot_post(error_code(error), ear.channel, self._me.name)))
            self._spawn(self._to_its_end(run, ear, partial(self._show_alone, run, ear)))
            return True
        finally:
            ear.stands()  # or no thread will open: the notice would promise one
        standing.opened(thread)
        run = await self._service.thread_opened(run, thread)
        follow = partial(self._follow, run, ear, standing, resumed=resumed)
        self._spawn(self._to_its_end(run, ear, follow))
        return True

    async def _to_its_end(self, run: Run, ear: Ear, work: Callable[[], Awaitable[None]]) -> None:
        try:
            async with self._telling.told(replace(ear, again=False)), self._laid_aside(run):
                await work()
        finally:
            self._shown.discard(run.id)

    @asynccontextmanager
    async def _laid_aside(self, run: Run) -> AsyncIterator[None]:
        """What could not be shown is tried again after a while, without a word; where nothing can be posted, whoever
        asked is told so, and that is its end."""
        try:
            yield
        except Exception as error:
            now, told = asyncio.get_running_loop().time(), run.id in self._resting
            passes = _passes(error)
            self._resting[run.id] = now + (self._timing.rest if passes else _LONG)
            if is_closed(error_code(error)):
                with suppress(Unavailable):
                    await self._history.mark_delivered(run.id)
            if passes and told:
                log.warning("not shown yet", error=type(error).__name__, code=error_code(error))
                return
            raise

    async def _show_alone(self, run: Run, ear: Ear) -> None:
        long = await self._service.long(run)
        await self._service.deliver(run, ResponsePresenter(lambda card: self._telling.tell(ear, card), long=long))

    async def _post_root(self, run: Run, standing: Standing, *, again: bool) -> str:
        """Say who asks what; ``again`` tells that it may stand there already."""
        if again:
            standing.begin_again()
        if stands := await standing.find(ROOT):
            return stands
        content = question(run.ask.asker.id, run.ask.text)
        try:
            return await standing.put(ROOT, content)
        except SlackApiError as error:
            if error_code(error) not in BLOCKS_REFUSED:
                raise
            return await standing.put(ROOT, in_text(content["text"]))

    async def _follow(self, run: Run, ear: Ear, standing: Standing, *, resumed: bool = False) -> None:
        """Follow a run in its thread to its end."""
        long = await self._service.long(run)
        presenter = self._presenter(run, ear, standing, resumed=resumed, long=long)

        async def show(again: bool) -> None:
            if again:
                presenter.begin_again()
            await self._service.deliver(run, presenter)

        with self._api.work():
            async with self._sessions.at_work(run):
                first = self._spawn(_begin(presenter, run)) if not resumed else None
                try:
                    await self._patiently(show)
                finally:
                    if first is not None:
                        first.cancel()

    def _standing(self, run: Run, resumed: bool) -> Standing:
        record = Record(self._history, run.id, self._spawn)
        live, patience = self._streams.live, self._timing.hurry
        return Standing(self._api, record, _spot(run), run.ask.where, live, resumed=resumed, patience=patience)

    def _presenter(self, run: Run, ear: Ear, standing: Standing, *, resumed: bool, long: bool) -> ThreadPresenter:
        person = (run.ask.where.workspace, run.ask.asker.id)
        tell = self._telling.teller(ear)
        return ThreadPresenter(
            self._streams, standing, person, self._spawn, tell, self._timing, resumed=resumed, long=long
        )

    async def _patiently(self, work: Callable[[bool], Awaitable[T]]) -> T:
        """Do it, again while Slack is not well; the argument tells that something may stand already."""
        for attempt, wait in enumerate(self._timing.redeliver):
            try:
                return await work(attempt > 0)
            except (SlackApiError, aiohttp.ClientError, TimeoutError, Unavailable) as error:
                if not _passes(error):
                    raise
                log.warning("not shown yet", error=type(error).__name__, code=error_code(error))
            await asyncio.sleep(wait)
        return await work(True)


async def _begin(presenter: ThreadPresenter, run: Run) -> None:
    """The first sign of life, whether a worker is free or not."""
    try:
        await presenter.begin(run)
    except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
        log.info("progress not shown", error=type(error).__name__, code=error_code(error))


def _spot(run: Run) -> Spot:
    where, begun = run.ask.where, run.created_at.timestamp()
    return Spot(run.id, where.channel, where.thread, begun - _SKEW, begun)


def _passes(error: BaseException) -> bool:
    """Whether a failure may be over in a while."""
    return isinstance(error, Unavailable) or unsure(error) or limited(error)
