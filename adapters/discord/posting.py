"""Posting that can be trusted: a message stands exactly once, whatever becomes of the reply to the request."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, TypeVar

import aiohttp

from adapters.discord import limits
from adapters.discord.library import discord
from adapters.discord.limits import Timing
from core.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")

UNKNOWN_MESSAGE, NO_HISTORY_FOR_REPLY, THREAD_EXISTS, ALREADY_ACKNOWLEDGED, UNKNOWN_INTERACTION = (
    *(10008, 160002, 160004, 40060, 10062),
)
"""Discord's error codes that mean something to us."""


def unsettled(error: BaseException) -> bool:
    """Whether nobody knows if the request took effect, or asking again can help: lost replies, 5xx, 429."""
    if isinstance(error, discord.HTTPException):
        return error.status >= 500 or error.status == 429
    return isinstance(error, (aiohttp.ClientError, OSError))


async def persist(call: Callable[[], Awaitable[T]], timing: Timing) -> T:
    """Make a request that may be repeated without harm until its outcome is known, or the pauses are used up."""
    pauses = iter(timing.retries)
    while True:
        try:
            return await asyncio.wait_for(call(), timing.call)
        except Exception as error:
            pause = next(pauses, None)
            if pause is None or not unsettled(error):
                raise
            log.warning("request repeated", error=type(error).__name__, detail=str(error)[:200])
        await asyncio.sleep(pause)


@dataclass(frozen=True)
class Upload:
    """A file to send with a message; ``alt`` says in words what it shows."""

    filename: str
    data: bytes
    alt: str

    def file(self) -> discord.File:
        """A new handle: the library reads each once."""
        return discord.File(BytesIO(self.data), self.filename, description=self.alt)


@dataclass(frozen=True)
class Spot:
    """Where messages go: a channel, thread or direct channel, as replies to a message where ``reply_to`` is set.

    ``since`` is the id of the event behind it: what we posted for it is newer.
    """

    client: Callable[[], discord.Client]
    channel_id: int
    since: int
    reply_to: int | None = None

    def channel(self) -> discord.PartialMessageable:
        """The channel through the connection of the moment; a new connection does not make it stale."""
        return self.client().get_partial_messageable(self.channel_id)

    def message(self, message_id: int) -> discord.PartialMessage:
        """A message in it."""
        return self.channel().get_partial_message(message_id)


class Poster:
    """Posts the messages of one subject (a run, a reply), each once.

    A message's nonce follows from subject and key, so Discord itself drops a repetition within minutes; after an
    unknown outcome, and with ``resumed`` from the start, the channel is searched for the message first.
    """

    def __init__(self, subject: str, spot: Spot, timing: Timing, *, resumed: bool = False) -> None:
        self.spot = spot
        self._subject, self._timing, self._resumed = subject, timing, resumed
        self._posted: dict[str, int] = {}

    async def post(self, key: str, content: str, uploads: Sequence[Upload] = ()) -> int:
        """Post and return the message's id. Raises discord.HTTPException or what the connection raised."""
        if key not in self._posted:
            self._posted[key] = await self._post(key, content, uploads)
        return self._posted[key]

    async def _post(self, key: str, content: str, uploads: Sequence[Upload]) -> int:
        look = self._resumed

        async def attempt() -> int:
            nonlocal look
            found = await self.find(lambda m: _same(m, content, uploads)) if look else None
            look = True
            return found or await self._send(key, content, uploads)

        return await persist(attempt, self._timing)

    async def _send(self, key: str, content: str, uploads: Sequence[Upload]) -> int:
        digest = hashlib.blake2s(f"{self._subject}/{key}".encode(), digest_size=limits.NONCE_BYTES)
        options: dict[str, Any] = {"nonce": digest.hexdigest(), "suppress_embeds": True, "mention_author": False}
        if uploads:
            options["files"] = [upload.file() for upload in uploads]
        if self.spot.reply_to:
            options["reference"] = discord.MessageReference(
                message_id=self.spot.reply_to, channel_id=self.spot.channel_id, fail_if_not_exists=False
            )
        try:
            return (await self.spot.channel().send(content, **options)).id
        except discord.HTTPException as error:
            if error.code != NO_HISTORY_FOR_REPLY:
                raise
            self.spot = replace(self.spot, reply_to=None)
            return await self._send(key, content, uploads)

    async def find(self, wanted: Callable[[discord.Message], bool]) -> int | None:
        """The id of a message of ours since the event; None when there is none, or we may not look."""
        client = self.spot.client()
        me = client.user.id if client.user else None
        try:
            async for message in self.spot.channel().history(limit=limits.SCAN, after=discord.Object(self.spot.since)):
                if message.author.id == me and wanted(message):
                    return message.id
        except (discord.Forbidden, discord.NotFound):
            log.warning("may not read the channel's history")
        return None


def _same(message: discord.Message, content: str, uploads: Sequence[Upload]) -> bool:
    names = [attachment.filename for attachment in message.attachments]
    return message.content.strip() == content.strip() and names == [upload.filename for upload in uploads]
