"""What one person is told: replies with their pictures and files, forms, and what went wrong."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp
from slack_sdk.errors import SlackApiError
from structlog.contextvars import get_contextvars

from adapters.slack.api import TOKEN_REFUSED, Api, Spot, Upload, error_code
from adapters.slack.blocks import form_view, reply_card
from adapters.slack.inbound import Identity, Said, carried, is_direct
from adapters.slack.presenter import Tell, uploads_of
from adapters.slack.responses import Responder
from core.asks import Person, Platform, ThreadRef
from core.cards import Button, Card, Form, Reply
from core.errors import BadForm, ConsortiumError, Duplicate, Refused, Unavailable, user_text
from core.service import Inbound, Service
from core.telemetry import get_logger

log = get_logger(__name__)

_CLOSED = frozenset({"not_in_channel", "channel_not_found", "is_archived", "cannot_reply_to_message"})
_TOO_LATE = frozenset(
    {"expired_trigger_id", "exchanged_trigger_id", "invalid_trigger_id", "trigger_expired", "trigger_exchanged"}
)
_EARLIER = 300.0  # seconds by which Slack's clock may be behind ours


@dataclass(frozen=True)
class Ear:
    """One person, and how to speak to them alone. ``active`` tells that ``thread`` has replies. ``under`` is where
    pictures go: the thread, or the message that one may be opened under. ``notice`` tells them that it takes long.
    ``again``: what they want is tried again when something that we need does not answer."""

    channel: str
    user: str
    thread: str | None = None
    under: str | None = None
    responder: Responder | None = None
    active: bool = False
    notice: asyncio.Task[None] | None = None
    again: bool = False

    def stands(self) -> None:
        """What they wait for stands: they need no notice that it takes long."""
        if self.notice is not None:
            self.notice.cancel()


_SLOW = "One moment: Slack bounds how fast I may post, and others were first. The thread with your question opens soon."


async def _soothe(responder: Responder, wait: float) -> None:
    await asyncio.sleep(wait)
    await responder.send(Card(body=_SLOW))


_LATER = (
    "That takes longer: something that I need does not answer at the moment. I have kept what you want and try again "
    "for a minute; you need do nothing."
)

NOT_KEPT = (
    "I could not take that in: where I keep what people want does not answer at the moment. Nothing was asked or "
    "changed. Please try again in a minute; if it stays like this, tell the operator."
)
"""What somebody is told whose command, tap or form was lost."""


class Telling:
    """Speaks to people alone. ``refused`` is told Slack's word when it takes the bot's token no more; ``sign`` is after
    how many seconds somebody who waits is told so."""

    def __init__(
        self,
        me: Identity,
        api: Api,
        session: aiohttp.ClientSession,
        service: Service,
        refused: Callable[[str], None],
        sign: float,
    ) -> None:
        self._me, self._api, self._session, self._service, self._refused = me, api, session, service, refused
        self._sign = sign

    def ear(self, said: Said) -> Ear:
        """Who said it. In direct messages everything is for them alone already."""
        responder = None
        if said.response_url and (said.fleeting or not said.direct or said.ts is None):
            responder = Responder(said.response_url, self._session, said.thread)
        active, under = said.thread is not None, said.thread or said.ts
        return Ear(said.channel, said.user, said.thread, under, responder, active=active, again=said.again)

    async def tell(self, ear: Ear, card: Card) -> None:
        """Show a card: where they are, or in a direct message where nothing can be shown there."""
        if ear.responder is not None and await ear.responder.send(card):
            return
        try:
            if is_direct(ear.channel):
                await self._api.say(ear.channel, ear.thread, card)
            else:
                await self._api.whisper(ear.channel, ear.user, ear.thread if ear.active else None, card)
        except SlackApiError as error:
            if not is_closed(error_code(error)) and error_code(error) != "user_not_in_channel":
                raise
            await self._api.say(await self._api.direct(ear.user), None, card)

    @asynccontextmanager
    async def waiting(self, ear: Ear) -> AsyncIterator[Ear]:
        """The same ear, which is given a sign of life should nothing stand soon: Slack makes us wait where much is
        asked at once."""
        if ear.responder is None:
            yield ear
            return
        notice = asyncio.create_task(_soothe(ear.responder, self._sign))
        try:
            yield replace(ear, notice=notice)
        finally:
            notice.cancel()

    def teller(self, ear: Ear) -> Tell:
        """:meth:`tell` as presenters take it."""

        async def tell(card: Card, active: bool) -> None:
            await self.tell(replace(ear, active=active), card)

        return tell

    @asynccontextmanager
    async def told(self, ear: Ear) -> AsyncIterator[None]:
        """What goes wrong inside is logged and told to the person; an event that was handled already is dropped.

        Raises Unavailable, and tells nobody, where it will be tried again.
        """
        try:
            yield
        except Duplicate:
            pass
        except Exception as error:
            if ear.again and isinstance(error, Unavailable):
                raise
            ours = isinstance(error, ConsortiumError) and not isinstance(error, Unavailable)
            run_id = get_contextvars().get("run")
            if not ours:
                log.exception("not carried out", code=error_code(error))
            code = error_code(error)
            if code in TOKEN_REFUSED:
                self._refused(code)
                return
            try:
                await self.tell(ear, await self._wrong(error, run_id, ear))
            except (SlackApiError, aiohttp.ClientError, TimeoutError, Unavailable) as silent:
                log.warning("asker not told", code=error_code(silent))

    async def _wrong(self, error: Exception, run_id: str | None, ear: Ear) -> Card:
        code = error_code(error)
        if is_closed(code):
            return Card(body=cannot_post(code, ear.channel, self._me.name))
        if code == "missing_scope":
            return Card(body=_MISSING_SCOPE.format(scope=_needed(error)))
        if isinstance(error, BadForm):
            return await self._closed_form(user_text(error), error, ear)
        return Card(body=user_text(error, run_id))

    async def soothe(self, said: Said) -> None:
        """Tell somebody that what they want is kept, and takes longer. Nothing depends on it."""
        try:
            await self.tell(self.ear(said), Card(body=_LATER))
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as silent:
            log.info("asker not told", code=error_code(silent))

    async def refuse(self, said: Said, why: str) -> None:
        """Tell somebody why what they want is not done."""
        async with self.told(replace(self.ear(said), again=False)):
            raise Refused(why)

    # --- replies ------------------------------------------------------------------------------------

    async def reply(self, ear: Ear, reply: Reply) -> None:
        """Show a reply with all that belongs to it. Pictures go into the thread, where all see them, each once; a file
        goes into a direct message."""
        note = ""
        if reply.pictures:
            note = await self._pictures(ear, reply)
        if reply.download is not None:
            direct = await self._api.direct(ear.user)
            file = Upload(reply.download.filename, reply.download.filename, "", reply.download.data)
            await self._api.upload_once(_spot("download", direct, None), [file], None)
            if direct != ear.channel:
                note = "The file is in our direct messages."
        card = reply_card(reply)
        if note:
            card = card.model_copy(update={"body": f"{card.body}\n\n{note}".strip()})
        if card.body or card.buttons:
            await self.tell(ear, card)

    async def _pictures(self, ear: Ear, reply: Reply) -> str:
        """Share pictures once a thread; returns what is to be said of it."""
        key = re.sub(r"[^\w.-]+", "-", reply.key or "picture")
        uploads = uploads_of(key, reply.pictures)
        if ear.under is None and not is_direct(ear.channel):
            return await self._pictures_in_private(ear, key, uploads)
        spot = _spot(key, ear.channel, ear.under)
        try:
            if reply.key is not None:
                there = (await self._api.seen(spot)).files
                uploads = [upload for upload in uploads if upload.name not in there]
            if not uploads:
                return "All of its charts stand in this thread already."
            await self._api.upload_once(spot, uploads, None)
        except SlackApiError as error:
            if not is_closed(error_code(error)):
                raise
            return await self._pictures_in_private(ear, key, uploads)
        return ""

    async def _pictures_in_private(self, ear: Ear, key: str, uploads: list[Upload]) -> str:
        await self._api.upload_once(_spot(key, await self._api.direct(ear.user), None), uploads, None)
        return "The charts are in our direct messages."

    # --- forms --------------------------------------------------------------------------------------

    async def open_form(self, said: Said, form: Form, extra: Mapping[str, str] | None = None) -> None:
        """Show a form by the trigger of what was said; without one offer a button that opens it."""
        if said.trigger is None:
            await self.tell(self.ear(said), await self._closed_form("", BadForm({}, form), self.ear(said)))
            return
        try:
            await self._api.open_view(said.trigger, form_view(form, {**carried(said), **(extra or {})}))
        except SlackApiError as error:
            if error_code(error) not in _TOO_LATE:
                raise
            raise Refused("Slack gives me three seconds to open a form. They were over: please try again.") from None

    async def offer(self, ear: Ear, action: str) -> None:
        """Offer a button that opens a form: Slack opens them for taps alone."""
        await self.tell(ear, _opener("", action))

    async def _closed_form(self, text: str, error: BadForm, ear: Ear) -> Card:
        where = ThreadRef(platform=Platform.SLACK, workspace=self._me.team or "", channel=ear.channel)
        asker = Inbound(asker=Person(id=ear.user), where=where)
        return _opener(text, await self._service.keep_form(error, asker))


def _opener(text: str, action: str) -> Card:
    button = Button(label="Open the form", action=action, style="primary")
    return Card(body=text or "Slack opens a form only when you tap on something.", buttons=((button,),))


def _spot(key: str, channel: str, thread: str | None) -> Spot:
    """Where something is shown that belongs to no run: it cannot be older than its thread."""
    return Spot(key, channel, thread, (float(thread) if thread else time.time()) - _EARLIER)


def is_closed(code: str) -> bool:
    """Whether Slack's word means that nothing can be posted in that place."""
    return code in _CLOSED or code.startswith("restricted_action")


def cannot_post(code: str, channel: str, bot: str) -> str:
    """Why nothing can be posted in a channel, and what the asker can do. ``code`` is Slack's word for it."""
    if code == "channel_not_found" and is_direct(channel):
        return "I am not part of this conversation, so I cannot answer here. Ask in a direct message to me."
    if code in ("not_in_channel", "channel_not_found"):
        return f"I am not in this channel, so I cannot answer here. Write `/invite @{bot}` first, then ask again."
    return f"Slack does not let me post here (`{code}`). Ask in another channel or in a direct message to me."


_MISSING_SCOPE = (
    "Slack does not let me do that: I lack the permission `{scope}`. Ask an administrator of this workspace to install "
    "me anew; `consortium manifest slack` prints what I need."
)


def _needed(error: BaseException) -> str:
    data = getattr(getattr(error, "response", None), "data", None)
    return str(data.get("needed") or "?") if isinstance(data, dict) else "?"
