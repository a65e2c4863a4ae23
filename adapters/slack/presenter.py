"""How a run looks in Slack: one progress message that turns into the answer, then its charts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from itertools import chain, count
from typing import Any

from slack_sdk.errors import SlackApiError

from adapters.slack import limits
from adapters.slack.api import GONE, Api, Spot, Upload, error_code, in_blocks_or_text
from adapters.slack.blocks import pages
from adapters.slack.inbound import is_direct
from adapters.slack.limits import Timing
from adapters.slack.render import Content, line, to_mrkdwn
from adapters.slack.responses import Responder
from adapters.slack.streaming import Stream, Streams, closing
from core.cards import Card
from core.delivery import RunView
from core.present.answers import answer_card, failed_card
from core.present.progress import progress_card
from core.telemetry import get_logger
from core.types import Chart, Run

log = get_logger(__name__)

FIRST = "0"
"""The part of a run that shows its progress, then the (beginning of the) answer."""

_CONFLICT = "streaming_state_conflict"

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Starts a task that the surface ends when it is closed."""

Tell = Callable[[Card, bool], Awaitable[None]]
"""Shows something to the asker alone; the flag says whether the thread has replies, without which it hides them."""


class ThreadPresenter:
    """Shows a run in its thread: streamed where Slack does that, else by editing its message.

    ``person`` is for whom it is streamed, as (workspace, user). ``resumed`` tells that an earlier process may have
    shown some of the run, and ``long`` that the answer is wanted with its whole text.
    """

    def __init__(
        self,
        streams: Streams,
        spot: Spot,
        person: tuple[str, str],
        spawn: Spawn,
        tell: Tell,
        timing: Timing,
        *,
        resumed: bool = False,
        long: bool = False,
    ) -> None:
        self._api: Api = streams.api
        self._streams = streams
        self._spot, self._spawn, self._tell, self._timing, self._long = spot, spawn, tell, timing, long
        self._stream = Stream(streams, spot, None if is_direct(spot.channel) else person)
        self._stream.over = resumed
        self._posted: dict[str, str] = {}
        self._files: set[str] = set()
        self._unknown, self._answered = resumed, False
        self._shown: Content | None = None
        self._next = float("-inf")
        self._view: RunView | None = None
        self._editing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self.pace: float = timing.pace
        self.tick: float | None = None
        self._keep_time()

    def _keep_time(self) -> None:
        """Streams take more than edits, but show no seconds of those who still think."""
        over = self._stream.over
        self.pace = self._timing.pace if over else self._timing.stream_pace
        self.tick = 2 * self._timing.pace if over else None

    async def progress(self, view: RunView) -> None:
        """Show the state of the run, unless nothing changed or calls are scarce.

        The call goes on when the caller is cancelled: an edit of unknown outcome could cover the answer.
        """
        self._view = view
        await asyncio.sleep(self._next - asyncio.get_running_loop().time())
        async with self._turn:
            await self._settle()
            if self._answered:
                return
            self._editing = self._spawn(self._advance(view))
            await asyncio.shield(self._editing)

    async def begin(self, run: Run) -> None:
        """Show a first sign of life, whether anybody is at work on the run yet or not."""
        if self._view is None:
            await self.progress(RunView(run_id=run.id, panel=run.panel))

    async def _advance(self, view: RunView) -> None:
        card = progress_card(view, view.clock())
        if not self._stream.over:
            stop = next((button for row in card.buttons for button in row), None)
            shown = await self._stream.show(view, stop)
            self._pause()
            if self._stream.ts is not None:
                self._posted[FIRST] = self._stream.ts
            if shown:
                return
            await self._leave_stream(view)
        content = pages(card)[0].content()
        editing = FIRST in self._posted
        spare = self._api.updates.left(self._api.at_work) if editing else self._api.posts.free(self._spot.channel)
        if content == self._shown or not spare:
            return
        await self._put(FIRST, content)
        self._pause()
        self._shown = content

    def _pause(self) -> None:
        self._keep_time()
        self._next = asyncio.get_running_loop().time() + self.pace

    async def _leave_stream(self, view: RunView) -> None:
        """Go on by editing. What became of a stream that ended by itself is looked up: it may be another run's now."""
        if self._stream.lost:
            self._unknown = True
        elif self._stream.ts is not None:
            await self._stream.stop(view, FIRST)

    async def answer(self, run: Run) -> None:
        """Turn the progress message into the answer; what does not fit follows in further messages."""
        self._answered = True
        await self._settle()
        await self._end_stream()
        await self._place(answer_card(run, long=self._long))

    async def redraw(self, run: Run) -> None:
        """Show the answer anew, with its whole text or short; messages that this leaves over go."""
        await self._recall()
        await self._place(answer_card(run, long=self._long))
        needed = len(pages(answer_card(run, long=self._long)))
        for part, ts in list(self._posted.items()):
            if part.partition(".")[0].isdecimal() and int(part.partition(".")[0]) >= needed:
                await self._api.delete(self._spot.channel, ts)

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Upload the charts as one message, or post the note that says why there are none."""
        await self._recall()
        uploads = [upload for upload in uploads_of(run.id, charts) if upload.name not in self._files]
        if uploads:
            remark = to_mrkdwn(line(note, limits.LINE)) if note else None
            await self._api.upload_once(self._spot, uploads, remark)
        elif note and not charts:
            await self._place(Card(body=note), "note-")

    async def failed(self, run: Run, text: str) -> None:
        """Tell the asker; the progress message keeps the members' last states."""
        self._answered = True
        await self._settle()
        await self._end_stream()
        await self._recall()
        card = failed_card(run, text)
        if is_direct(self._spot.channel):
            await self._place(card)
            return
        if FIRST in self._posted and self._view is not None:
            still = progress_card(self._view, self._view.clock())
            ended = still.model_copy(
                update={"tone": card.tone, "status": card.status, "details": card.details, "body": ""}
            )
            await self._put(FIRST, pages(ended)[0].content())
        await self._tell(card, FIRST in self._posted)

    def begin_again(self) -> None:
        """Prepare for being told the run once more, after a failure: what stands is looked up first."""
        self._unknown = self._stream.over = True
        self._keep_time()

    async def _end_stream(self) -> None:
        if self._stream.over:
            return
        if self._stream.ts is None:
            self._stream.over = True
            return
        await self._stream.stop(self._view or RunView(), FIRST)

    async def _settle(self) -> None:
        """Wait for an edit under way, however it ends."""
        editing, self._editing = self._editing, None
        if editing is not None:
            await asyncio.wait({editing})
            if not editing.cancelled() and (error := editing.exception()):
                log.info("progress not shown", error=type(error).__name__, code=error_code(error))

    async def _place(self, card: Card, prefix: str = "") -> None:
        for number, page in enumerate(pages(card)):
            name = f"{prefix}{number}"
            # Blocks and the text in their stead are the same part; further texts are parts of their own.
            names = chain((name, name), (f"{name}.{more}" for more in count(1)))

            async def put(content: Content, names: Iterator[str] = names) -> None:
                await self._put(next(names), content)

            await in_blocks_or_text(page, put)

    async def _put(self, part: str, content: Content) -> None:
        """Show a part: edit its message where there is one, else post it."""
        await self._recall()
        if ts := self._posted.get(part):
            try:
                await self._edit(part, ts, content)
                return
            except SlackApiError as error:
                if error_code(error) not in GONE:
                    raise
                del self._posted[part]
        self._posted[part] = await self._api.post_once(self._spot, part, content)

    async def _edit(self, part: str, ts: str, content: Content) -> None:
        try:
            await self._api.update(self._spot, part, ts, content)
        except SlackApiError as error:
            if error_code(error) != _CONFLICT:
                raise
            await self._api.stop_stream(self._spot, part, ts, closing(self._view or RunView()))
            await self._api.update(self._spot, part, ts, content)

    async def _recall(self) -> None:
        """Find what an earlier process has shown. A message of ours without a mark was streamed and never ended."""
        if not self._unknown:
            return
        seen = await self._api.seen(self._spot)
        left = [ts for ts in seen.unmarked if ts not in self._streams.live]
        own = [ts for ts in left if float(ts) >= self._spot.begun - _AHEAD]
        if FIRST not in seen.parts and own:
            seen.parts[FIRST] = self._stream.ts if self._stream.ts in own else own[0]
        self._posted, self._files, self._unknown = seen.parts, seen.files, False


_AHEAD = 5.0  # seconds by which our clock may be ahead of Slack's


class ResponsePresenter:
    """Shows a run to its asker alone, where the bot may not post: the answer, without progress and charts."""

    pace = 60.0
    tick: float | None = None

    def __init__(self, responder: Responder, *, long: bool = False) -> None:
        self._responder, self._long = responder, long

    async def progress(self, view: RunView) -> None:
        """Show nothing: a response_url takes few messages."""

    async def answer(self, run: Run) -> None:
        """Show the answer."""
        await self._responder.send(answer_card(run, long=self._long))

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Show nothing: files need a channel."""

    async def failed(self, run: Run, text: str) -> None:
        """Say why there is no answer."""
        await self._responder.send(failed_card(run, text))


def uploads_of(key: str, charts: Sequence[Chart]) -> list[Upload]:
    """Charts as files whose names tell whose they are."""
    return [Upload(f"{key}-{chart.filename}", chart.title, chart.alt, chart.png) for chart in charts]
