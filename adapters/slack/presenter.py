"""How a run looks in Slack: one progress message that turns into the answer, then its charts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from itertools import chain, count
from typing import Any

from slack_sdk.errors import SlackApiError

from adapters.slack.api import Api, Responder, Spot, Upload, error_code, in_blocks_or_text
from adapters.slack.inbound import is_direct
from adapters.slack.render import Content, in_block, messages, texts
from core.delivery import TICK, RunView
from core.present.answers import answer_text
from core.present.progress import progress_text
from core.telemetry import get_logger
from core.types import Chart, Run

log = get_logger(__name__)

FIRST = "0"
"""The part of a run that shows its progress, then the (beginning of the) answer."""

_GONE = frozenset({"message_not_found", "edit_window_closed", "cant_update_message"})

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Starts a task that the surface ends when it is closed."""


class ThreadPresenter:
    """Shows a run in its thread.

    ``tell`` shows a text to the asker alone; its argument says whether the thread has replies already.
    ``resumed`` tells that an earlier process may have shown some of the run.
    """

    def __init__(
        self,
        api: Api,
        spot: Spot,
        spawn: Spawn,
        tell: Callable[[str, bool], Awaitable[None]],
        *,
        pace: float,
        resumed: bool = False,
    ) -> None:
        self.pace = pace
        self.tick: float | None = TICK
        self._api, self._spot, self._spawn, self._tell = api, spot, spawn, tell
        self._posted: dict[str, str] = {}
        self._files: set[str] = set()
        self._unknown, self._answered = resumed, False
        self._shown: Content | None = None
        self._view: RunView | None = None
        self._editing: asyncio.Task[None] | None = None

    async def progress(self, view: RunView) -> None:
        """Show the state of the run, unless nothing changed or edits are scarce.

        The call goes on when the caller is cancelled: an edit of unknown outcome could cover the answer.
        """
        self._view = view
        if self._answered:
            return
        await self._settle()
        content = in_block(messages(progress_text(view))[0])
        if content == self._shown or (FIRST in self._posted and not self._api.may_update()):
            return
        self._editing = self._spawn(self._put(FIRST, content))
        await asyncio.shield(self._editing)
        self._shown = content

    async def answer(self, run: Run) -> None:
        """Turn the progress message into the answer; what does not fit follows in further messages."""
        await self._settle()
        self._answered = True
        await self._place(answer_text(run).markdown())

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Upload the charts as one message, or post the note that says why there are none."""
        await self._recall()
        uploads = [
            Upload(f"{run.id}-{chart.filename}", chart.title, chart.alt, chart.png)
            for chart in charts
            if f"{run.id}-{chart.filename}" not in self._files
        ]
        if uploads:
            await self._api.upload_once(self._spot, uploads, texts(messages(note)[0])[0] if note else None)
        elif note and not charts:
            await self._place(note, "note-")

    async def failed(self, run: Run, text: str) -> None:
        """Tell the asker; the progress message keeps the members' last states."""
        await self._settle()
        await self._recall()
        if is_direct(self._spot.channel):
            await self._place(text)
            return
        if FIRST in self._posted and self._view is not None:
            await self._put(FIRST, in_block(messages(progress_text(self._view))[0]))
        await self._tell(text, FIRST in self._posted)

    def begin_again(self) -> None:
        """Prepare for being told the run once more, after a failure: what stands is looked up first."""
        self._unknown = True

    async def _settle(self) -> None:
        """Wait for an edit under way, however it ends."""
        if self._editing is not None:
            await asyncio.wait({self._editing})
            if not self._editing.cancelled() and (error := self._editing.exception()):
                log.info("progress not shown", error=type(error).__name__, code=error_code(error))
            self._editing = None

    async def _place(self, markdown: str, prefix: str = "") -> None:
        for number, piece in enumerate(messages(markdown)):
            name = f"{prefix}{number}"
            # A block and the text in its stead are the same part; further texts are parts of their own.
            names = chain((name, name), (f"{name}.{more}" for more in count(1)))

            async def put(content: Content, names: Iterator[str] = names) -> None:
                await self._put(next(names), content)

            await in_blocks_or_text(piece, put)

    async def _put(self, part: str, content: Content) -> None:
        """Show a part: edit its message where there is one, else post it."""
        await self._recall()
        if ts := self._posted.get(part):
            try:
                await self._api.update(self._spot.channel, ts, content)
                return
            except SlackApiError as error:
                if error_code(error) not in _GONE:
                    raise
                del self._posted[part]
        self._posted[part] = await self._api.post_once(self._spot, part, content)

    async def _recall(self) -> None:
        """Find what an earlier process has shown."""
        if self._unknown:
            seen = await self._api.seen(self._spot)
            self._posted, self._files, self._unknown = seen.parts, seen.files, False


class ResponsePresenter:
    """Shows a run to its asker alone, where the bot may not post: the answer, without progress and charts."""

    pace = 60.0
    tick: float | None = None

    def __init__(self, responder: Responder) -> None:
        self._responder = responder

    async def progress(self, view: RunView) -> None:
        """Show nothing: a response_url takes few messages."""

    async def answer(self, run: Run) -> None:
        """Show the answer."""
        await self._responder.send(answer_text(run).markdown())

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Show nothing: files need a channel."""

    async def failed(self, run: Run, text: str) -> None:
        """Say why there is no answer."""
        await self._responder.send(text)
