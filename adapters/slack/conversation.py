"""What happens between a person's words and the last chart: to the service, then into the thread.

An ask by slash command runs in this order: is the bot in the channel (else the asker is told to invite it, and
nothing is spent), then ``service.handle`` (limits refuse here, before anything is posted), then the message that
opens the thread. Should Slack refuse that message all the same, the answer goes to the asker alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp
from slack_sdk.errors import SlackApiError
from structlog.contextvars import get_contextvars

from adapters.slack.api import BLOCKS_REFUSED, TOKEN_REFUSED, Api, Responder, Spot, error_code, unsure
from adapters.slack.inbound import Identity, Said, is_direct
from adapters.slack.limits import Timing
from adapters.slack.places import Places
from adapters.slack.presenter import ResponsePresenter, Spawn, ThreadPresenter
from adapters.slack.render import cannot_post, in_text, question
from core.asks import Platform
from core.cards import Reply
from core.commands.grammar import parse, parse_message
from core.commands.values import AskCommand
from core.delivery import deliver
from core.errors import ConsortiumError, Duplicate, Unavailable, user_text
from core.ports import Events, History
from core.service import Service
from core.telemetry import bind_run, get_logger
from core.types import Run

T = TypeVar("T")

log = get_logger(__name__)

Tell = Callable[[str, bool], Awaitable[None]]
"""Shows a text to the asker alone; the flag says whether the thread has replies, without which it hides them."""

ROOT = "root"
"""The part of a run that opens its thread."""

_SKEW = 300.0  # seconds by which Slack's clock may be behind ours
_CLOSED = frozenset({"not_in_channel", "channel_not_found", "is_archived", "cannot_reply_to_message"})


class Conversation:
    """Carries out what people say and shows the runs that come of it."""

    def __init__(
        self,
        me: Identity,
        api: Api,
        session: aiohttp.ClientSession,
        core: tuple[Service, Events, History],
        spawn: Spawn,
        timing: Timing,
        refused: Callable[[str], None],
    ) -> None:
        """``refused`` is told Slack's word when it takes the bot's token no more."""
        self._me, self._api, self._session, self._spawn, self._timing = me, api, session, spawn, timing
        self._service, self._events, self._history = core
        self._refused = refused
        self._places = Places(api)
        self._shown: set[str] = set()

    async def on_command(self, said: Said, response_url: str) -> None:
        """Carry out a slash command that has been acknowledged."""
        responder = Responder(response_url, self._session)
        tell = self._teller(said.channel, said.user, None, responder)
        async with self._told(tell, active=False):
            command = parse(said.text)
            place = await self._places.look(said.channel)
            if isinstance(command, AskCommand) and place.joined is False:
                await responder.send(cannot_post("not_in_channel", self._me.name))
                return
            result = await self._service.handle(command, said.inbound(place.private))
            if isinstance(result, Reply):
                await responder.send(result.text)
                return
            self._shown.add(result.id)
            await self._open_thread(result, responder)

    async def on_message(self, said: Said) -> None:
        """Answer a mention, a direct message, or what is written in a thread of ours."""
        tell = self._teller(said.channel, said.user, said.thread, None)
        async with self._told(tell, active=said.thread is not None):
            private = said.private
            if private is None:
                private = (await self._places.look(said.channel)).private
            inbound = said.inbound(private)
            if said.addressed:
                result = await self._service.handle(parse_message(said.text), inbound)
            elif (follow_up := await self._service.follow_up(said.text, inbound)) is None:
                return
            else:
                result = follow_up
            if isinstance(result, Reply):
                await tell(result.text, said.thread is not None)
                return
            self._shown.add(result.id)
            await self._show(await self._service.thread_opened(result, inbound.where.thread or ""), tell)

    async def resume(self) -> None:
        """Show what was asked lately and never got its answer posted."""
        for run in await self._service.undelivered(Platform.SLACK):
            if run.id not in self._shown:
                self._spawn(self._resume(run))

    async def _resume(self, run: Run) -> None:
        where, user = run.ask.where, run.ask.asker.id
        bind_run(run.id)
        async with self._told(self._teller(where.channel, user, where.thread, None), active=where.thread is not None):
            if where.thread is None:
                run = await self._service.thread_opened(run, await self._post_root(run, again=True))
            tell = self._teller(where.channel, user, run.ask.where.thread, None)
            await self._show(run, tell, resumed=True)

    async def _open_thread(self, run: Run, responder: Responder) -> None:
        """Post the question and show its run below; where that is not allowed, to the asker alone."""
        bind_run(run.id)
        try:
            root = await self._patiently(lambda again: self._post_root(run, again=again))
        except SlackApiError as error:
            if not _is_closed(error_code(error)):
                raise
            log.warning("channel refuses messages", code=error_code(error))
            await responder.send(cannot_post(error_code(error), self._me.name))
            await deliver(run, ResponsePresenter(responder), self._events, self._history)
            return
        run = await self._service.thread_opened(run, root)
        await self._show(run, self._teller(run.ask.where.channel, run.ask.asker.id, root, responder))

    async def _post_root(self, run: Run, *, again: bool) -> str:
        """Open the run's thread; ``again`` tells that it may be open already."""
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

    async def _show(self, run: Run, tell: Tell, *, resumed: bool = False) -> None:
        """Follow a run in its thread to its end."""
        bind_run(run.id)
        presenter = ThreadPresenter(self._api, _spot(run), self._spawn, tell, pace=self._timing.pace, resumed=resumed)

        async def show(again: bool) -> None:
            if again:
                presenter.begin_again()
            await deliver(run, presenter, self._events, self._history)

        await self._patiently(show)

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

    @asynccontextmanager
    async def _told(self, tell: Tell, *, active: bool) -> AsyncIterator[None]:
        """What goes wrong inside is logged and told to the asker; an event that was handled already is dropped."""
        try:
            yield
        except Duplicate:
            pass
        except Exception as error:
            ours = isinstance(error, ConsortiumError) and not isinstance(error, Unavailable)
            run_id = get_contextvars().get("run")
            if not ours:
                log.exception("not carried out", code=error_code(error))
            code = error_code(error)
            if code in TOKEN_REFUSED:
                self._refused(code)
                return
            try:
                await tell(cannot_post(code, self._me.name) if _is_closed(code) else user_text(error, run_id), active)
            except (SlackApiError, aiohttp.ClientError, TimeoutError) as silent:
                log.warning("asker not told", code=error_code(silent))

    def _teller(self, channel: str, user: str, thread: str | None, responder: Responder | None) -> Tell:
        async def tell(text: str, active: bool) -> None:
            if responder is not None and await responder.send(text):
                return
            if is_direct(channel):
                await self._api.say(channel, thread, text)
            else:
                await self._api.whisper(channel, user, thread if active else None, text)

        return tell


def _spot(run: Run) -> Spot:
    where = run.ask.where
    return Spot(run.id, where.channel, where.thread, run.created_at.timestamp() - _SKEW)


def _is_closed(code: str) -> bool:
    """Whether Slack's word means that nothing can be posted in that place."""
    return code in _CLOSED or code.startswith("restricted_action")


def _passes(error: BaseException) -> bool:
    """Whether a failure may be over in a while."""
    return isinstance(error, Unavailable) or unsure(error) or error_code(error) == "ratelimited"
