"""Calls to Slack that end well: patient with rate limits, and never a second message when a reply is lost."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.async_handler import AsyncRetryHandler
from slack_sdk.http_retry.request import HttpRequest
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from adapters.slack import limits
from adapters.slack.render import Content, in_block, in_text, messages, texts
from core.telemetry import get_logger

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
        return response is not None and response.status_code == 429

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
        headers = {} if response is None else {name.lower(): values for name, values in response.headers.items()}
        asked = (headers.get("retry-after") or ["1"])[0]
        await asyncio.sleep(float(asked) if asked.isdigit() else 1.0)
        state.increment_current_attempt()


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
    """Where a run is shown. ``since`` (seconds of the epoch) is before all of its messages."""

    run_id: str
    channel: str
    thread: str | None
    since: float


@dataclass
class Seen:
    """Our messages of one run that stand already: ts by part, and the names of files."""

    parts: dict[str, str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Upload:
    """A file to be shared."""

    name: str
    title: str
    alt: str
    data: bytes


class Api:
    """Slack's methods as this adapter uses them. ``bot`` is the bot's id; all raise SlackApiError."""

    def __init__(
        self, client: AsyncWebClient, session: aiohttp.ClientSession, bot: str, repeats: tuple[float, ...]
    ) -> None:
        self.client, self._session, self._bot, self._repeats = client, session, bot, repeats
        self._updates: deque[float] = deque()

    async def channel(self, channel: str) -> dict[str, Any]:
        """What Slack tells of a channel."""
        reply = await self._sure(lambda: self.client.conversations_info(channel=channel))
        return dict(reply["channel"])

    async def _sure(self, call: Callable[[], Awaitable[T]]) -> T:
        return await sure(call, self._repeats)

    async def post_once(self, spot: Spot, part: str, content: Content) -> str:
        """Post one part of a run and return its ts. When the reply is lost, the message is looked for first."""
        for wait in (*self._repeats, None):
            try:
                reply = await self.client.chat_postMessage(
                    channel=spot.channel,
                    thread_ts=spot.thread,
                    metadata={"event_type": EVENT_TYPE, "event_payload": {"run_id": spot.run_id, "part": part}},
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
            if ts := (await self.seen(spot)).parts.get(part):
                return ts
        raise AssertionError("the last attempt returns or raises")

    async def update(self, channel: str, ts: str, content: Content) -> None:
        """Replace what one of our messages shows."""
        self._updates.append(asyncio.get_running_loop().time())
        await self._sure(lambda: self.client.chat_update(channel=channel, ts=ts, **content))

    def may_update(self) -> bool:
        """Whether an edit can be spared for progress: answers go first."""
        minute_ago = asyncio.get_running_loop().time() - 60
        while self._updates and self._updates[0] < minute_ago:
            self._updates.popleft()
        return len(self._updates) < limits.UPDATES

    async def say(self, channel: str, thread: str | None, markdown: str) -> None:
        """Post a text that belongs to no run, in a direct message."""
        for piece in messages(markdown):

            async def post(content: Content) -> object:
                return await self.client.chat_postMessage(
                    channel=channel, thread_ts=thread, unfurl_links=False, unfurl_media=False, **content
                )

            await in_blocks_or_text(piece, post)

    async def whisper(self, channel: str, user: str, thread: str | None, markdown: str) -> None:
        """Show a text to one person alone. Slack shows it in a thread only when somebody has replied there."""
        for piece in messages(markdown):

            async def post(content: Content) -> object:
                return await self.client.chat_postEphemeral(channel=channel, user=user, thread_ts=thread, **content)

            await in_blocks_or_text(piece, post)

    async def seen(self, spot: Spot) -> Seen:
        """What of a run stands in its thread; without a thread, in its channel."""
        seen, cursor = Seen(), ""
        while True:
            page = await self._page(spot, cursor)
            for message in page.get("messages", []):
                # Files tell by their names whose they are: Slack does not promise a bot's id on what is uploaded.
                seen.files |= {file["name"] for file in message.get("files") or () if file.get("name")}
                if message.get("bot_id") != self._bot:
                    continue
                mark = message.get("metadata") or {}
                payload = mark.get("event_payload") or {}
                if mark.get("event_type") == EVENT_TYPE and payload.get("run_id") == spot.run_id:
                    seen.parts[str(payload.get("part"))] = str(message["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return seen

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

    async def upload_once(self, spot: Spot, uploads: Sequence[Upload], comment: str | None) -> None:
        """Share files in the run's thread, as one message. When the last reply is lost, the files are asked first.

        These are the steps of the SDK's ``files_upload_v2``, which keeps to itself the ids that a repeat needs.
        """
        files: list[dict[str, str | None]] = [
            {"id": await self._send(upload), "title": upload.title} for upload in uploads
        ]
        names = {upload.name for upload in uploads}
        lost = False
        for wait in (*self._repeats, None):
            try:
                await self.client.files_completeUploadExternal(
                    files=files, channel_id=spot.channel, thread_ts=spot.thread, initial_comment=comment
                )
                return
            except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
                if lost and not unsure(error):
                    return  # files are completed once: the attempt before has done it
                if wait is None or not unsure(error):
                    raise
                log.info("slack files looked for", run=spot.run_id, error=type(error).__name__)
            lost = True
            await asyncio.sleep(wait)
            if names <= (await self.seen(spot)).files or await self._shared(str(files[0]["id"])):
                return

    async def _send(self, upload: Upload) -> str:
        """The first two steps: a place for the file, then its bytes. Nothing is visible yet."""

        async def send() -> str:
            place = await self.client.files_getUploadURLExternal(
                filename=upload.name, length=len(upload.data), alt_txt=upload.alt[: limits.ALT_TEXT]
            )
            async with self._session.post(
                str(place["upload_url"]), data=upload.data, proxy=self.client.proxy
            ) as response:
                response.raise_for_status()
            return str(place["file_id"])

        return await self._sure(send)

    async def _shared(self, file_id: str) -> bool:
        reply = await self._sure(lambda: self.client.files_info(file=file_id))
        shares: dict[str, Any] = (reply.get("file") or {}).get("shares") or {}
        return any(shares.values())


class Responder:
    """A slash command's response_url: messages for the asker alone, a few of them, for half an hour."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._client = AsyncWebhookClient(url, session=session, logger=sdk_log, retry_handlers=retry_handlers())
        self.left = limits.RESPONSES

    async def send(self, markdown: str) -> bool:
        """Show a text, as far as the uses suffice. Returns whether all of it was taken."""
        pieces = messages(markdown)
        for piece in pieces:
            if not (await self._post(in_block(piece)) or await self._post({"text": texts(piece)[0]})):
                return False
        return True

    async def _post(self, content: Content) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        try:
            reply = await self._client.send_dict({"response_type": "ephemeral", **content})
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("response_url failed", error=type(error).__name__)
            return True  # it may have been shown: not again
        if reply.status_code != 200:
            log.warning("response_url refused", status=reply.status_code, body=reply.body[:200])
        return reply.status_code == 200


async def in_blocks_or_text(piece: str, post: Callable[[Content], Awaitable[object]]) -> None:
    """Post a piece of safe Markdown; where its block is refused, as texts."""
    try:
        await post(in_block(piece))
    except SlackApiError as error:
        if error_code(error) not in BLOCKS_REFUSED:
            raise
        log.warning("blocks refused", error=error_code(error))
        for text in texts(piece):
            await post(in_text(text))
