"""What of a run stands in Slack: its messages by part, kept on record with the run, and found again by their marks.

Whoever goes on with the run after its process is gone believes the record. A message may stand that is not on it, as a
process can end between a post and its record: before such a part is posted, the thread is looked through, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError

from adapters.slack.api import GONE, Api, Seen, Spot, Upload, error_code, limited
from adapters.slack.blocks import Block
from adapters.slack.render import Content
from core.asks import ThreadRef
from core.errors import Unavailable
from core.ports import History
from core.telemetry import get_logger

log = get_logger(__name__)

ROOT = "root"
"""The part of a run that says who asks what."""

FIRST = "0"
"""The part of a run that shows its progress, then the (beginning of the) answer."""

FILE = "file:"
"""What the parts that are files begin with; their names follow."""

_CONFLICT = "streaming_state_conflict"
_AHEAD = 5.0  # seconds by which our clock may be ahead of Slack's
_FLUSH = 1.0  # seconds that a write to the record is waited for where its order matters
_RUNS = 20  # runs of a thread whose messages are told from this one's

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Starts a task that the surface ends when it is closed."""


class Record:
    """The ids of a run's messages in the store. Writing goes on behind the caller's back, in order: no answer waits
    for it, and what cannot be written is found in the thread."""

    def __init__(self, history: History, run_id: str, spawn: Spawn) -> None:
        self._history, self._run_id, self._spawn = history, run_id, spawn
        self._turn = asyncio.Lock()

    async def read(self) -> dict[str, str]:
        """What is on record; nothing while the store is away."""
        try:
            return dict(await self._history.postings(self._run_id))
        except Unavailable as error:
            log.warning("messages of the run not known", run=self._run_id, error=str(error))
            return {}

    async def of_others(self, where: ThreadRef) -> set[str]:
        """The messages of the thread's other runs."""
        try:
            runs = await self._history.thread_runs(where, limit=_RUNS)
            others = [await self._history.postings(run.id) for run in runs if run.id != self._run_id]
            return {ts for postings in others for ts in postings.values()}
        except Unavailable:
            return set()

    def put(self, part: str, message_id: str) -> None:
        """That part stands as that message."""
        self._spawn(self._write(lambda: self._history.record_posting(self._run_id, part, message_id)))

    def drop(self, part: str) -> None:
        """That part does not stand any more."""
        self._spawn(self._write(lambda: self._history.forget_posting(self._run_id, part)))

    async def written(self) -> None:
        """Wait until all of it is written, but not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH), self._turn:
                pass

    async def _write(self, write: Callable[[], Awaitable[None]]) -> None:
        async with self._turn:
            try:
                await write()
            except Unavailable as error:
                log.warning("message not recorded", run=self._run_id, error=str(error))


class Standing:
    """The messages of one run. ``resumed`` tells that another process may have posted some; ``live`` holds the ids of
    the messages that this process is streaming. ``closing`` gives what a stream is ended with that was left open.

    All methods that call Slack raise SlackApiError.
    """

    def __init__(
        self,
        api: Api,
        record: Record,
        spot: Spot,
        where: ThreadRef,
        live: set[str],
        *,
        resumed: bool = False,
        patience: float = 5.0,
    ) -> None:
        self._api, self._record, self._live, self._patience = api, record, live, patience
        self.spot, self._where = spot, where
        self.closing: Callable[[], list[Block]] = list
        self._posted: dict[str, str] = {}
        self._read, self._unknown = not resumed, resumed
        self._dead: set[str] = set()
        self._left: list[str] = []
        self._stream: str | None = None

    def opened(self, thread: str) -> None:
        """The run has that thread now."""
        self.spot = replace(self.spot, thread=thread)
        self._where = self._where.model_copy(update={"thread": thread})

    def begin_again(self) -> None:
        """After a failure: more may stand than is known."""
        self._unknown = True

    def streamed(self, ts: str) -> None:
        """The run's progress is streamed into that message."""
        self._stream = ts
        if self._posted.get(FIRST) != ts:
            self._stands(FIRST, ts)

    def stream_lost(self) -> None:
        """The stream ended by itself. What became of its message is looked up: it may be another run's by now."""
        self._posted.pop(FIRST, None)
        self._unknown = True

    def knows(self, part: str) -> bool:
        """Whether a part is known to stand."""
        return part in self._posted

    @property
    def pages(self) -> list[str]:
        """The parts that are known to stand and hold the answer's text."""
        return [part for part in self._posted if part.partition(".")[0].isdecimal()]

    async def find(self, part: str) -> str | None:
        """The message that shows a part, where one stands."""
        if not self._read:
            self._posted = {**await self._record.read(), **self._posted}
            self._read = True
        if part not in self._posted and self._unknown:
            await self._look()
        return self._posted.get(part)

    async def put(self, part: str, content: Content, *, hurry: bool = False) -> str:
        """Show a part: edit its message where there is one, else post it; returns its ts. In a ``hurry`` an edit that
        Slack would have wait for long is not waited for: the part is posted anew, and the old message goes."""
        while ts := await self.find(part):
            try:
                await self._edit(part, ts, content, self._patience if hurry else None)
                break
            except SlackApiError as error:
                if error_code(error) in GONE:
                    self._gone(part, ts)
                elif hurry and limited(error):
                    self._left.append(ts)
                    self._gone(part, ts)
                    await self._record.written()  # else whoever resumes would edit the old one, and the new one stays
                else:
                    raise
        else:
            ts = await self._api.post_once(self.spot, part, content, frozenset(self._dead))
            self._stands(part, ts)
        await self._clear()
        return ts

    async def upload(self, uploads: Sequence[Upload], comment: str | None) -> bool:
        """Share those files that are not there yet, as one message. Returns whether there were any."""
        missing = [upload for upload in uploads if await self.find(FILE + upload.name) is None]
        if missing:
            for name, file_id in (await self._api.upload_once(self.spot, missing, comment)).items():
                self._stands(FILE + name, file_id)
        return bool(missing)

    async def remove(self, part: str) -> None:
        """Take a part away."""
        ts = self._posted[part]
        self._gone(part, ts)
        self._left.append(ts)
        await self._clear()

    # --- inside -------------------------------------------------------------------------------------

    def _stands(self, part: str, message_id: str) -> None:
        self._posted[part] = message_id
        self._record.put(part, message_id)

    def _gone(self, part: str, ts: str) -> None:
        self._dead.add(ts)
        if self._posted.pop(part, None) is not None:
            self._record.drop(part)

    async def _edit(self, part: str, ts: str, content: Content, patience: float | None) -> None:
        try:
            await self._api.update(self.spot, part, ts, content, patience)
        except SlackApiError as error:
            if error_code(error) != _CONFLICT:
                raise
            self._live.discard(ts)
            await self._api.stop_stream(self.spot, part, ts, self.closing(), patience)
            await self._api.update(self.spot, part, ts, content, patience)

    async def _clear(self) -> None:
        """Take messages away that something newer stands for. Nothing depends on it."""
        while self._left:
            ts = self._left.pop()
            try:
                await self._api.delete(self.spot.channel, ts)
            except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
                log.info("old message not deleted", code=error_code(error) or type(error).__name__)

    async def _look(self) -> None:
        """Find what is not on record. A message of ours without a mark was streamed and never ended."""
        seen = await self._api.seen(self.spot)
        self._unknown = False
        for part, (*older, ts) in seen.parts.items():
            self._left += [one for one in older if one not in self._dead]
            if ts not in self._dead and self._posted.get(part) != ts:
                self._stands(part, ts)
        for name, file_id in seen.files.items():
            if name.startswith(self.spot.run_id) and FILE + name not in self._posted:
                self._stands(FILE + name, file_id)
        if self.spot.thread and FIRST not in self._posted and (streamed := await self._left_open(seen)):
            self._stands(FIRST, streamed)

    async def _left_open(self, seen: Seen) -> str | None:
        """The message that was being streamed for this run, as far as that can be told."""
        own = [ts for ts in seen.unmarked if ts not in self._live | self._dead]
        own = [ts for ts in own if float(ts) >= self.spot.begun - _AHEAD]
        if not own or self._stream in own:
            return self._stream if own else None
        others = await self._record.of_others(self._where)
        return next((ts for ts in own if ts not in others), None)
