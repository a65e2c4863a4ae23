"""Posting that can be trusted: a message stands exactly once, whatever becomes of the reply to the request."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import aiohttp

from adapters.discord import limits
from adapters.discord.layout import Page, mark, number_of
from adapters.discord.library import discord
from adapters.discord.limits import Timing
from core.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")

UNKNOWN_MESSAGE, NO_HISTORY_FOR_REPLY, THREAD_EXISTS, ALREADY_ACKNOWLEDGED, UNKNOWN_INTERACTION, CLOSED = (
    *(10008, 160002, 160004, 40060, 10062, 50007),
)
"""Discord's error codes that mean something to us."""


def unsettled(error: BaseException) -> bool:
    """Whether nobody knows if the request took effect, or asking again can help: lost replies, 5xx, 429, a client that
    another takes the place of."""
    if isinstance(error, discord.HTTPException):
        return error.status >= 500 or error.status == 429
    return isinstance(error, (aiohttp.ClientError, OSError)) or closed(error)


def closed(error: BaseException) -> bool:
    """Whether a request was not made because its client is closed; aiohttp has no type of its own for that."""
    return isinstance(error, RuntimeError) and str(error) == "Session is closed"


async def persist(call: Callable[[], Awaitable[T]], timing: Timing) -> T:
    """Make a request that may be repeated without harm until its outcome is known, or the pauses are used up."""
    pauses = iter(timing.retries)
    while True:
        try:
            async with asyncio.timeout(timing.call):  # wait_for of Python 3.11 may lose a cancellation
                return await call()
        except Exception as error:
            pause = next(pauses, None)
            if pause is None or not unsettled(error):
                raise
            log.warning("request repeated", error=type(error).__name__, detail=str(error)[:200])
        await asyncio.sleep(pause)


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


class Record(Protocol):
    """Where it is written down what stands, for the process that may have to go on. It is a help: it never raises."""

    async def note(self, key: str, message_id: int) -> None:
        """That message of the subject stands."""
        ...

    async def forget(self, key: str) -> None:
        """It is gone."""
        ...


class Poster:
    """Posts the messages of one subject (a run, a reply), each once.

    A message's nonce follows from subject and key, so Discord itself drops a repetition within minutes. What stands is
    noted on ``record``, and ``known`` is what was noted before. After an unknown outcome, however long ago, and with
    ``resumed`` for what is not known, the channel is searched for the message first, by its number. ``turn`` tells
    occasions apart on which the same message may have been posted and deleted.
    """

    def __init__(
        self,
        subject: str,
        spot: Spot,
        timing: Timing,
        *,
        resumed: bool = False,
        turn: str = "",
        record: Record | None = None,
        known: Mapping[str, int] | None = None,
    ) -> None:
        self.spot = spot
        self._subject, self._timing, self._resumed, self._turn = subject, timing, resumed, turn
        self._record = record
        self._standing: dict[str, int] = dict(known or {})
        self._unsure: set[str] = set()
        self._left: dict[int | None, int] | None = None

    def fitting(self, pages: Sequence[Page]) -> list[Page]:
        """So many of an answer's messages as there may be: here all."""
        return list(pages)

    async def put(self, key: str, page: Page) -> int:
        """Post a message, once, and return its id. Raises discord.HTTPException or what the connection raised."""
        if key not in self._standing:
            await self._stands(key, await self._post(key, page))
        return self._standing[key]

    async def change(self, key: str, page: Page) -> None:
        """Post a message that is edited later, or edit it; not once it is too old for that."""
        await self._adopt(key)
        if key not in self._standing:
            await self.put(key, page)
        elif time.time() - discord.utils.snowflake_time(self._standing[key]).timestamp() < limits.EDITABLE_FOR:
            message = self.spot.message(self._standing[key])
            await persist(lambda: message.edit(view=page.view(mark(self._subject, key))), self._timing)

    async def drop(self, key: str) -> None:
        """Delete a message, if it is there."""
        await self._adopt(key)
        if key in self._standing:
            with suppress(discord.NotFound):
                await persist(self.spot.message(self._standing[key]).delete, self._timing)
            if self._record is not None:
                await self._record.forget(key)

    async def _stands(self, key: str, message_id: int) -> None:
        self._standing[key] = message_id
        if self._record is not None:
            await self._record.note(key, message_id)

    async def _adopt(self, key: str) -> None:
        """Go on with what an earlier process left, or a post of ours of which nobody knows."""
        if key not in self._standing and (found := await persist(lambda: self._look(key), self._timing)):
            await self._stands(key, found)

    async def _post(self, key: str, page: Page) -> int:
        async def attempt() -> int:
            found = await self._look(key)
            self._unsure.add(key)
            return found or await self._send(key, page)

        return await persist(attempt, self._timing)

    async def _look(self, key: str) -> int | None:
        """A message that may stand; None without a look where it cannot."""
        if key in self._unsure:
            return (await self._numbered()).get(mark(self._subject, key))
        return await self._find_left(key) if self._resumed else None

    async def _find_left(self, key: str) -> int | None:
        """The same of what an earlier process left: one look is enough for all its messages."""
        if self._left is None:
            self._left = await self._numbered()
        return self._left.get(mark(self._subject, key))

    async def _send(self, key: str, page: Page) -> int:
        named = f"{self._subject}/{key}/{self._turn}" if self._turn else f"{self._subject}/{key}"
        digest = hashlib.blake2s(named.encode(), digest_size=limits.NONCE_BYTES)
        options: dict[str, Any] = {"nonce": digest.hexdigest(), "mention_author": False}
        if page.enclosures:
            options["files"] = [enclosure.file() for enclosure in page.enclosures]
        if self.spot.reply_to:
            options["reference"] = discord.MessageReference(
                message_id=self.spot.reply_to, channel_id=self.spot.channel_id, fail_if_not_exists=False
            )
        try:
            return (await self.spot.channel().send(view=page.view(mark(self._subject, key)), **options)).id
        except discord.HTTPException as error:
            if error.code != NO_HISTORY_FOR_REPLY:
                raise
            self.spot = replace(self.spot, reply_to=None)
            return await self._send(key, page)

    async def _numbered(self) -> dict[int | None, int]:
        """Our messages since the event, by their numbers; none where we may not look."""
        client = self.spot.client()
        me = client.user.id if client.user else None
        found: dict[int | None, int] = {}
        try:
            async for message in self.spot.channel().history(limit=limits.SCAN, after=discord.Object(self.spot.since)):
                if message.author.id == me:
                    found.setdefault(number_of(message), message.id)
        except (discord.Forbidden, discord.NotFound):
            log.warning("may not read the channel's history")
        return found
