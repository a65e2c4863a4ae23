"""Runs in their threads: opened, followed to their end, found again after a restart, and shown anew.

A run that was asked by slash command opens a thread with the question. Should Slack refuse that message, the answer
goes to the asker alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import aiohttp
from slack_sdk.errors import SlackApiError

from adapters.slack.agents import Sessions
from adapters.slack.api import BLOCKS_REFUSED, Api, Spot, error_code, unsure
from adapters.slack.inbound import Identity
from adapters.slack.limits import Timing
from adapters.slack.presenter import ResponsePresenter, Spawn, ThreadPresenter
from adapters.slack.render import in_text, question
from adapters.slack.responses import Responder
from adapters.slack.streaming import Streams
from adapters.slack.telling import Ear, Telling, cannot_post, is_closed
from core.cards import Card, Redraw
from core.delivery import deliver
from core.errors import Unavailable
from core.ports import Events, History
from core.present.answers import answer_card
from core.service import Service
from core.telemetry import bind_run, get_logger
from core.types import Run

T = TypeVar("T")

log = get_logger(__name__)

ROOT = "root"
"""The part of a run that says who asks what."""

_SKEW = 300.0  # seconds by which Slack's clock may be behind ours


class Showing:
    """Shows runs."""

    def __init__(
        self,
        me: Identity,
        api: Api,
        core: tuple[Service, Events, History],
        telling: Telling,
        spawn: Spawn,
        timing: Timing,
    ) -> None:
        self._me, self._api, self._telling, self._spawn, self._timing = me, api, telling, spawn, timing
        self._service, self._events, self._history = core
        self._streams, self._sessions = Streams(api), Sessions(api)
        self.shown: set[str] = set()  # ids of runs that this process has begun to show

    async def show(self, run: Run, ear: Ear, *, quote: bool = False) -> None:
        """Show a run that has just been asked. ``quote``: say in its thread who asks what, as that stands nowhere."""
        self.shown.add(run.id)
        bind_run(run.id)
        if run.ask.where.thread is None:
            await self._open_thread(run, ear)
            return
        if quote:
            await self._patiently(lambda again: self._post_root(run, again=again))
        run = await self._service.thread_opened(run, run.ask.where.thread)
        await self._follow(run, ear)

    def resume(self, run: Run) -> None:
        """Show a run that was asked lately and never got its answer posted, unless it is being shown here."""
        if run.id not in self.shown:
            self.shown.add(run.id)
            self._spawn(self._resume(run))

    async def _resume(self, run: Run) -> None:
        where, user = run.ask.where, run.ask.asker.id
        bind_run(run.id)
        ear = Ear(where.channel, user, where.thread, active=where.thread is not None)
        async with self._telling.told(ear):
            if where.thread is None:
                run = await self._service.thread_opened(run, await self._post_root(run, again=True))
            await self._follow(run, replace(ear, thread=run.ask.where.thread), resumed=True)

    async def redraw(self, wanted: Redraw, ear: Ear, *, fleeting: bool) -> None:
        """Show an answer anew in place, long or short."""
        run = wanted.run
        if fleeting and ear.responder is not None:
            await ear.responder.send(answer_card(run, long=wanted.long), replace=True)
            return
        await self._presenter(run, ear, resumed=True, long=wanted.long).redraw(run)

    # --- inside -------------------------------------------------------------------------------------

    async def _open_thread(self, run: Run, ear: Ear) -> None:
        """Post the question and show its run below; where that is not allowed, to the asker alone."""
        try:
            root = await self._patiently(lambda again: self._post_root(run, again=again))
        except SlackApiError as error:
            ear.stands()  # no thread will open: the notice would promise one
            if not is_closed(error_code(error)) or ear.responder is None:
                raise
            log.warning("channel refuses messages", code=error_code(error))
            await ear.responder.send(Card(body=cannot_post(error_code(error), ear.channel, self._me.name)))
            await self._show_alone(run, ear.responder)
            return
        ear.stands()
        run = await self._service.thread_opened(run, root)
        await self._follow(run, replace(ear, thread=root, active=False))

    async def _show_alone(self, run: Run, responder: Responder) -> None:
        presenter = ResponsePresenter(responder, long=await self._service.long(run))
        await deliver(run, presenter, self._events, self._history)

    async def _post_root(self, run: Run, *, again: bool) -> str:
        """Say who asks what; ``again`` tells that it may stand there already."""
        spot = _spot(run)
        if again and (stands := (await self._api.seen(spot)).parts.get(ROOT)):
            return stands
        content = question(run.ask.asker.id, run.ask.text)
        try:
            return await self._api.post_once(spot, ROOT, content)
        except SlackApiError as error:
            if error_code(error) not in BLOCKS_REFUSED:
                raise
            return await self._api.post_once(spot, ROOT, in_text(content["text"]))

    async def _follow(self, run: Run, ear: Ear, *, resumed: bool = False) -> None:
        """Follow a run in its thread to its end."""
        long = await self._service.long(run)
        presenter = self._presenter(run, ear, resumed=resumed, long=long)

        async def show(again: bool) -> None:
            if again:
                presenter.begin_again()
            await deliver(run, presenter, self._events, self._history)

        with self._api.work():
            async with self._sessions.at_work(run):
                first = self._spawn(_begin(presenter, run)) if not resumed else None
                try:
                    await self._patiently(show)
                finally:
                    if first is not None:
                        first.cancel()

    def _presenter(self, run: Run, ear: Ear, *, resumed: bool, long: bool) -> ThreadPresenter:
        where = run.ask.where
        person = (where.workspace, run.ask.asker.id)
        tell = self._telling.teller(ear)
        return ThreadPresenter(
            self._streams, _spot(run), person, self._spawn, tell, self._timing, resumed=resumed, long=long
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
    return isinstance(error, Unavailable) or unsure(error) or error_code(error) == "ratelimited"
