"""Calls to Slack that end well: patient with rate limits, and never a second message when a reply is lost."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.async_handler import AsyncRetryHandler
from slack_sdk.http_retry.request import HttpRequest
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack import limits
from adapters.slack.blocks import Block, Page, pages
from adapters.slack.pacing import Allowance, Turns
from adapters.slack.render import Content
from core.cards import Card
from core.telemetry import get_logger
from core.telemetry.metrics import RATE_LIMITED

T = TypeVar("T")

log = get_logger(__name__)

EVENT_TYPE = "consortium_run"
"""The metadata's event type that marks our messages; its payload has the run's id and the message's part."""

BLOCKS_REFUSED = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "invalid_attachments", "msg_blocks_too_long", "msg_blocks_too_many"}
)
"""Errors that a text without blocks does not meet."""

TOKEN_REFUSED = frozenset({"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"})
"""Errors that only the operator can put right, with another token."""

SLACK = "slack.com"

_UNSURE = frozenset({"internal_error", "fatal_error", "request_timeout", "service_unavailable"})

sdk_log = logging.getLogger("slack_sdk.consortium")
sdk_log.setLevel(logging.INFO)  # the SDK builds its debug lines, message texts included, unless a level is set


class RateLimitRetry(AsyncRetryHandler):
    """Waits as long as Slack asks for before the call is made again."""

    async def _can_retry_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        if response is None or response.status_code != 429:
            return False
        RATE_LIMITED.add(platform="slack", method=_method(request.url))
        return _asked(response) <= _patience.get()

    async def prepare_for_next_attempt_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> None:
        """Sleep for Retry-After, or a second where it is missing."""
        state.next_attempt_requested = True
        await asyncio.sleep(_asked(response))
        state.increment_current_attempt()


_patience: ContextVar[float] = ContextVar("patience", default=float("inf"))  # seconds that a call may be put off for


@contextmanager
def patient(seconds: float | None) -> Iterator[None]:
    """Calls within the block wait no longer than so many seconds when Slack, for their rate, asks for it: they raise
    then. None changes nothing; without such a block they wait as long as it asks for."""
    token = _patience.set(_patience.get() if seconds is None else seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def _method(url: str) -> str:
    """The method that was called; addresses that Slack gives out for one person are one of their own."""
    *_, folder, name = f"//{urlsplit(url).path}".rsplit("/", 2)
    return name if folder == "api" else "response_url"


def _asked(response: HttpResponse | None) -> float:
    headers = {} if response is None else {name.lower(): values for name, values in response.headers.items()}
    asked = (headers.get("retry-after") or ["1"])[0]
    return float(asked) if asked.isdigit() else 1.0


def retry_handlers() -> list[AsyncRetryHandler]:
    """What the SDK may repeat by itself: calls that were refused for their rate, and nothing else."""
    return [RateLimitRetry(max_retry_count=5)]


def error_code(error: BaseException) -> str:
    """Slack's word for what went wrong, empty where there is none."""
    data = getattr(getattr(error, "response", None), "data", None)
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def unsure(error: BaseException) -> bool:
    """Whether the call may have had its effect all the same."""
    if isinstance(error, SlackApiError):
        response = error.response
        status = getattr(response, "status_code", None) or getattr(response, "status", None) or 0
        return error_code(error) in _UNSURE or int(status) >= 500
    return isinstance(error, (aiohttp.ClientError, TimeoutError))


def limited(error: BaseException) -> bool:
    """Whether Slack refused a call for its rate."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(response, "status", None)
    return error_code(error) in ("ratelimited", "rate_limited") or status == 429


async def sure(call: Callable[[], Awaitable[T]], waits: Sequence[float]) -> T:
    """Make a call that may be made twice without harm; after each of ``waits`` again while its outcome is unknown."""
    for wait in waits:
        try:
            return await call()
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
            if not unsure(error):
                raise
            log.info("slack call repeated", error=type(error).__name__)
        await asyncio.sleep(wait)
    return await call()


@dataclass(frozen=True)
class Spot:
    """Where a run is shown. ``since`` (seconds of the epoch) is before all of its messages; ``begun`` is when it was
    asked by our clock."""

    run_id: str
    channel: str
    thread: str | None
    since: float
    begun: float = float("inf")

    def mark(self, part: str) -> dict[str, Any]:
        """The metadata by which a part of the run is found again."""
        return {"event_type": EVENT_TYPE, "event_payload": {"run_id": self.run_id, "part": part}}


@dataclass
class Seen:
    """Our messages of one run that stand already: their ts by part, oldest first, and the ids of files by their names.

    ``unmarked`` are messages of ours that do not say whose they are: what is streamed says so only at its end.
    """

    parts: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    unmarked: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Upload:
    """A file to be shared."""

    name: str
    title: str
    alt: str
    data: bytes


STREAM_OVER = frozenset({"message_not_in_streaming_state", "stopped_by_user"})
"""Errors that say that a stream takes no more."""

GONE = frozenset({"message_not_found", "edit_window_closed", "cant_update_message"})
"""Errors that say that a message cannot be edited any more."""

NOTE_TYPE = "consortium_note"
"""The metadata's event type of messages that belong to no run."""


class Api:
    """Slack's methods as this adapter uses them. ``bot`` is the bot's id; all raise SlackApiError."""

    def __init__(
        self, client: AsyncWebClient, session: aiohttp.ClientSession, bot: str, repeats: tuple[float, ...]
    ) -> None:
        self.client, self._session, self._bot, self._repeats = client, session, bot, repeats
        self.updates, self.streams = Allowance(limits.UPDATES), Allowance(limits.STREAMS)
        self.appends = Allowance(limits.APPENDS)
        self.posts = Turns(limits.POSTS, limits.POSTS_WITHIN)
        self.at_work = 0

    @contextmanager
    def work(self) -> Iterator[None]:
        """Keep an edit for the answer of a run that is being shown."""
        self.at_work += 1
        try:
            yield
        finally:
            self.at_work -= 1

    async def user(self, user: str) -> dict[str, Any]:
        """What Slack tells of a person."""
        reply = await self._sure(lambda: self.client.users_info(user=user))
        return dict(reply["user"])

    async def file(self, file: str) -> dict[str, Any]:
        """What Slack tells of a file."""
        reply = await self._sure(lambda: self.client.files_info(file=file))
        return dict(reply["file"])

    def owns(self, url: str) -> bool:
        """Whether an address is one of Slack's own, which may be shown the token."""
        try:
            asked, ours = urlsplit(url), urlsplit(self.client.base_url)
        except ValueError:
            return False
        if asked.netloc == ours.netloc:
            return asked.scheme == ours.scheme
        host, home = asked.hostname or "", ours.hostname or ""
        return asked.scheme == "https" and home.endswith(SLACK) and f".{host}".endswith(f".{SLACK}")

    async def channel(self, channel: str) -> dict[str, Any]:
        """What Slack tells of a channel."""
        reply = await self._sure(lambda: self.client.conversations_info(channel=channel))
        return dict(reply["channel"])

    async def _sure(self, call: Callable[[], Awaitable[T]]) -> T:
        return await sure(call, self._repeats)

    async def post_once(self, spot: Spot, part: str, content: Content, but: frozenset[str] = frozenset()) -> str:
        """Post one part of a run and return its ts. When the reply is lost, the message is looked for first. ``but``
        are earlier messages that showed this part."""
        for wait in (*self._repeats, None):
            await self.posts.take(spot.channel)
            try:
                reply = await self.client.chat_postMessage(
                    channel=spot.channel,
                    thread_ts=spot.thread,
                    metadata=spot.mark(part),
                    unfurl_links=False,
                    unfurl_media=False,
                    **content,
                )
                return str(reply["ts"])
            except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
                if not unsure(error) or wait is None:
                    raise
                log.info("slack message looked for", run=spot.run_id, part=part, error=type(error).__name__)
            await asyncio.sleep(wait)
            if stands := [ts for ts in (await self.seen(spot)).parts.get(part, ()) if ts not in but]:
                return stands[-1]
        raise AssertionError("the last attempt returns or raises")

    async def update(self, spot: Spot, part: str, ts: str, content: Content, patience: float | None = None) -> None:
        """Replace what one of our messages shows. With ``patience`` it is given up when Slack, for the rate of such
        calls, would have it wait for more seconds than that."""
        self.updates.spend()
        mark = spot.mark(part)
        with patient(patience):
            await self._sure(lambda: self.client.chat_update(channel=spot.channel, ts=ts, metadata=mark, **content))

    async def delete(self, channel: str, ts: str) -> None:
        """Take one of our messages away."""
        await self._sure(lambda: self.client.chat_delete(channel=channel, ts=ts))

    async def say(self, channel: str, thread: str | None, card: Card) -> None:
        """Post what belongs to no run."""
        mark = {"event_type": NOTE_TYPE, "event_payload": {}}

        async def post(content: Content) -> object:
            await self.posts.take(channel)
            return await self.client.chat_postMessage(
                channel=channel, thread_ts=thread, unfurl_links=False, unfurl_media=False, metadata=mark, **content
            )

        for page in pages(card):
            await in_blocks_or_text(page, post)

    async def whisper(self, channel: str, user: str, thread: str | None, card: Card) -> None:
        """Show something to one person alone. Slack shows it in a thread only when somebody has replied there."""

        async def post(content: Content) -> object:
            return await self.client.chat_postEphemeral(channel=channel, user=user, thread_ts=thread, **content)

        for page in pages(card):
            await in_blocks_or_text(page, post)

    # --- streams ------------------------------------------------------------------------------------

    async def start_stream(self, spot: Spot, person: tuple[str, str] | None, chunks: list[Block]) -> str:
        """Begin a message that grows; returns its ts. Outside of direct messages ``person`` is needed, as (workspace,
        user). Not repeated, since it cannot be looked up whether it was done."""
        self.streams.spend()
        whose = {"recipient_team_id": person[0], "recipient_user_id": person[1]} if person else {}
        reply = await self.client.chat_startStream(
            channel=spot.channel, thread_ts=str(spot.thread), chunks=chunks, task_display_mode="plan", **whose
        )
        return str(reply["ts"])

    async def append_stream(self, spot: Spot, ts: str, chunks: list[Block]) -> None:
        """Let it grow. Not repeated: what comes twice would stand there twice."""
        self.appends.spend()
        await self.client.chat_appendStream(channel=spot.channel, ts=ts, chunks=chunks)

    async def stop_stream(
        self, spot: Spot, part: str, ts: str, chunks: list[Block], patience: float | None = None
    ) -> None:
        """End it, and mark it as a part of the run. One that has ended already, or was deleted, is left as it is.
        ``patience`` is as in :meth:`update`."""
        try:
            with patient(patience):
                await self._sure(
                    lambda: self.client.chat_stopStream(
                        channel=spot.channel, ts=ts, chunks=chunks or None, metadata=spot.mark(part)
                    )
                )
        except SlackApiError as error:
            if error_code(error) not in STREAM_OVER | GONE:
                raise

    # --- modals, the home, the agent view -----------------------------------------------------------

    async def open_view(self, trigger: str, view: Block) -> None:
        """Show a modal, within three seconds of what the person did."""
        await self.client.views_open(trigger_id=trigger, view=view)

    async def publish_home(self, user: str, view: Block) -> None:
        """Show a person the app's home."""
        await self._sure(lambda: self.client.views_publish(user_id=user, view=view))

    async def direct(self, user: str) -> str:
        """The direct message with somebody."""
        reply = await self._sure(lambda: self.client.conversations_open(users=user))
        return str(reply["channel"]["id"])

    async def session(self, channel: str, thread: str, status: str, title: str | None) -> None:
        """Show in the agent view whether something is under way in a thread."""
        named = {"title": title} if title else {}
        await self.client.agents_sessions_setStatus(channel_id=channel, thread_ts=thread, status=status, **named)

    async def suggest(self, channel: str, prompts: list[dict[str, str]]) -> None:
        """Offer questions in an empty conversation."""
        await self.client.assistant_threads_setSuggestedPrompts(channel_id=channel, prompts=prompts)

    # --- what stands there --------------------------------------------------------------------------

    async def seen(self, spot: Spot) -> Seen:
        """What of a run stands in its thread; without a thread, in its channel."""
        seen, cursor = Seen(), ""
        while True:
            page = await self._page(spot, cursor)
            for message in page.get("messages", []):
                # Files tell by their names whose they are: Slack does not promise a bot's id on what is uploaded.
                seen.files |= {file["name"]: str(file["id"]) for file in message.get("files") or () if file.get("name")}
                if message.get("bot_id") != self._bot:
                    continue
                mark = message.get("metadata") or {}
                payload = mark.get("event_payload") or {}
                if mark.get("event_type") == EVENT_TYPE and payload.get("run_id") == spot.run_id:
                    seen.parts.setdefault(str(payload.get("part")), []).append(str(message["ts"]))
                elif not mark and not message.get("files"):
                    seen.unmarked.append(str(message["ts"]))
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                for stands in seen.parts.values():
                    stands.sort(key=float)
                return seen

    async def spoke(self, channel: str) -> bool:
        """Whether something of ours is among the latest messages of a channel."""
        reply = await self._sure(lambda: self.client.conversations_history(channel=channel, limit=limits.PAGE))
        return any(message.get("bot_id") == self._bot for message in reply.get("messages") or ())

    async def _page(self, spot: Spot, cursor: str) -> dict[str, Any]:
        window: dict[str, Any] = {"oldest": f"{spot.since:.6f}", "limit": limits.PAGE, "include_all_metadata": True}
        if cursor:
            window["cursor"] = cursor
        if spot.thread:
            thread = spot.thread
            reply = await self._sure(
                lambda: self.client.conversations_replies(channel=spot.channel, ts=thread, **window)
            )
        else:
            reply = await self._sure(lambda: self.client.conversations_history(channel=spot.channel, **window))
        return dict(reply.data) if isinstance(reply.data, dict) else {}

    async def upload_once(self, spot: Spot, uploads: Sequence[Upload], comment: str | None) -> dict[str, str]:
        """Share files in the run's thread, as one message; returns their ids by their names. When the last reply is
        lost, the files are asked first.

        These are the steps of the SDK's ``files_upload_v2``, which keeps to itself the ids that a repeat needs.
        """
        ids = {upload.name: await self._send(upload) for upload in uploads}
        files: list[dict[str, str | None]] = [{"id": ids[upload.name], "title": upload.title} for upload in uploads]
        lost = False
        for wait in (*self._repeats, None):
            try:
                await self.client.files_completeUploadExternal(
                    files=files, channel_id=spot.channel, thread_ts=spot.thread, initial_comment=comment
                )
                return ids
            except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
                if lost and not unsure(error):
                    return ids  # files are completed once: the attempt before has done it
                if wait is None or not unsure(error):
                    raise
                log.info("slack files looked for", run=spot.run_id, error=type(error).__name__)
            lost = True
            await asyncio.sleep(wait)
            found = (await self.seen(spot)).files
            if ids.keys() <= found.keys() or await self._shared(str(files[0]["id"])):
                return ids
        raise AssertionError("the last attempt returns or raises")

    async def _send(self, upload: Upload) -> str:
        """The first two steps: a place for the file, then its bytes. Nothing is visible yet."""

        async def send() -> str:
            place = await self.client.files_getUploadURLExternal(
                filename=upload.name, length=len(upload.data), alt_txt=upload.alt[: limits.ALT_TEXT]
            )
            async with self._session.post(
                str(place["upload_url"]), data=io.BytesIO(upload.data), proxy=self.client.proxy
            ) as response:
                response.raise_for_status()
            return str(place["file_id"])

        return await self._sure(send)

    async def _shared(self, file_id: str) -> bool:
        reply = await self._sure(lambda: self.client.files_info(file=file_id))
        shares: dict[str, Any] = (reply.get("file") or {}).get("shares") or {}
        return any(shares.values())


async def in_blocks_or_text(page: Page, post: Callable[[Content], Awaitable[object]]) -> None:
    """Post a page; where its blocks are refused, as texts."""
    try:
        await post(page.content())
    except SlackApiError as error:
        if error_code(error) not in BLOCKS_REFUSED:
            raise
        log.warning("blocks refused", error=error_code(error))
        for text in page.texts():
            await post(text)
