"""How a run looks in Slack: one progress message that turns into the answer, then its charts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, count

from slack_sdk.errors import SlackApiError

from adapters.slack import limits
from adapters.slack.api import Upload, error_code, in_blocks_or_text, limited, patient
from adapters.slack.blocks import Page, pages
from adapters.slack.inbound import is_direct
from adapters.slack.limits import Timing
from adapters.slack.render import Content, line, to_mrkdwn
from adapters.slack.standing import FIRST, Spawn, Standing
from adapters.slack.streaming import Stream, Streams, closing
from core.cards import Card
from core.delivery import RunView
from core.present.answers import answer_card, failed_card
from core.present.progress import progress_card
from core.telemetry import get_logger
from core.types import Chart, Run

log = get_logger(__name__)

_BRIEF = 1.0  # seconds that progress is put off for its rate; Slack names whole seconds

Tell = Callable[[Card, bool], Awaitable[None]]
"""Shows something to the asker alone; the flag says whether the thread has replies, without which it hides them."""


class ThreadPresenter:
    """Shows a run in its thread: streamed where Slack does that, else by editing its message.

    ``standing`` has what stands of it already. ``person`` is for whom it is streamed, as (workspace, user). ``resumed``
    tells that an earlier process may have shown some of the run, and ``long`` that the answer is wanted with its whole
    text.
    """

    def __init__(
        self,
        streams: Streams,
        standing: Standing,
        person: tuple[str, str],
        spawn: Spawn,
        tell: Tell,
        timing: Timing,
        *,
        resumed: bool = False,
        long: bool = False,
    ) -> None:
        self._api, self._standing = streams.api, standing
        self._spawn, self._tell, self._timing, self._long = spawn, tell, timing, long
        self._direct = is_direct(standing.spot.channel)
        self._stream = Stream(streams, standing.spot, None if self._direct else person)
        self._stream.over = resumed
        self._answered = False
        self._shown: Content | None = None
        self._next = float("-inf")
        self._view: RunView | None = None
        self._editing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        standing.closing = lambda: closing(self._view or RunView())
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
        """Show it now or not at all: the answer, which waits for this to end, may come at any time."""
        with patient(_BRIEF):
            await self._show_progress(view)

    async def _show_progress(self, view: RunView) -> None:
        card = progress_card(view, view.clock())
        if not self._stream.over:
            stop = next((button for row in card.buttons for button in row), None)
            shown = await self._stream.show(view, stop)
            self._pause()
            if self._stream.ts is not None:
                self._standing.streamed(self._stream.ts)
            if shown:
                return
            await self._leave_stream(view)
        content = pages(card)[0].content()
        editing = await self._standing.find(FIRST) is not None
        channel = self._standing.spot.channel
        spare = self._api.updates.left(self._api.at_work) if editing else self._api.posts.free(channel)
        if content == self._shown or not spare:
            return
        await self._standing.put(FIRST, content)
        self._pause()
        self._shown = content

    def _pause(self) -> None:
        self._keep_time()
        self._next = asyncio.get_running_loop().time() + self.pace

    async def _leave_stream(self, view: RunView) -> None:
        """Go on by editing."""
        if self._stream.lost:
            self._standing.stream_lost()
        elif self._stream.ts is not None:
            await self._stream.stop(view, FIRST)

    async def answer(self, run: Run) -> None:
        """Turn the progress message into the answer; what does not fit follows in further messages."""
        await self._end_progress(run)
        await self._place(pages(answer_card(run, long=self._long)))

    async def redraw(self, run: Run) -> None:
        """Show the answer anew, with its whole text or short; messages that this leaves over go."""
        shown = pages(answer_card(run, long=self._long))
        await self._place(shown)
        for part in self._standing.pages:
            if int(part.partition(".")[0]) >= len(shown):
                await self._standing.remove(part)

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Upload the charts as one message, or post the note that says why there are none."""
        if charts:
            remark = to_mrkdwn(line(note, limits.LINE)) if note else None
            await self._standing.upload(uploads_of(run.id, charts), remark)
        elif note:
            await self._place(pages(Card(body=note)), "note-")

    async def failed(self, run: Run, text: str) -> None:
        """Tell the asker; the progress message keeps the members' last states."""
        await self._end_progress(run)
        card = failed_card(run, text)
        if self._direct:
            await self._place(pages(card))
            return
        stands = await self._standing.find(FIRST) is not None
        if stands:
            view = self._view or _ended(run)
            view = replace(view, ended=view.ended or run.status)  # it may be from before anything was told
            still = progress_card(view, view.clock())
            ended = still.model_copy(
                update={"tone": card.tone, "status": card.status, "details": card.details, "body": ""}
            )
            await self._standing.put(FIRST, pages(ended)[0].content(), hurry=True)
        await self._tell(card, stands)

    def begin_again(self) -> None:
        """Prepare for being told the run once more, after a failure: what stands is looked up first."""
        self._standing.begin_again()
        self._stream.over = True
        self._keep_time()

    async def _end_progress(self, run: Run) -> None:
        """From now on nothing is shown but how the run ended."""
        self._answered = True
        self._view = self._view or _ended(run)
        await self._settle()
        stream = self._stream
        if not stream.over and stream.ts is not None:
            try:
                await stream.stop(self._view or RunView(), FIRST, self._timing.hurry)
            except SlackApiError as error:
                if not limited(error):
                    raise
        stream.over = True

    async def _settle(self) -> None:
        """Wait for an edit under way, however it ends."""
        editing, self._editing = self._editing, None
        if editing is not None:
            await asyncio.wait({editing})
            if not editing.cancelled() and (error := editing.exception()):
                log.info("progress not shown", error=type(error).__name__, code=error_code(error))

    async def _place(self, shown: Sequence[Page], prefix: str = "") -> None:
        for number, page in enumerate(shown):
            name = f"{prefix}{number}"
            # Blocks and the text in their stead are the same part; further texts are parts of their own.
            names = chain((name, name), (f"{name}.{more}" for more in count(1)))

            async def put(content: Content, names: Iterator[str] = names) -> None:
                await self._standing.put(next(names), content, hurry=True)

            await in_blocks_or_text(page, put)


def _ended(run: Run) -> RunView:
    """A run that is over, for whoever has seen nothing of it."""
    verdict = run.rounds[-1].verdict if run.rounds else None
    outcomes = {outcome.member.id: outcome for outcome in run.rounds[-1].outcomes} if run.rounds else {}
    over = None if verdict else run.status
    return RunView(
        run_id=run.id, panel=run.panel, outcomes=outcomes, judge=verdict.judge if verdict else None, ended=over
    )


class ResponsePresenter:
    """Shows a run to its asker alone, where the bot may not post: the answer, without progress and charts. ``send``
    shows them a card."""

    pace = 60.0
    tick: float | None = None

    def __init__(self, send: Callable[[Card], Awaitable[object]], *, long: bool = False) -> None:
        self._send, self._long = send, long

    async def progress(self, view: RunView) -> None:
        """Show nothing: a response_url takes few messages."""

    async def answer(self, run: Run) -> None:
        """Show the answer."""
        await self._send(answer_card(run, long=self._long))

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Show nothing: files need a channel."""

    async def failed(self, run: Run, text: str) -> None:
        """Say why there is no answer."""
        await self._send(failed_card(run, text))


def uploads_of(key: str, charts: Sequence[Chart]) -> list[Upload]:
    """Charts as files whose names tell whose they are."""
    return [Upload(f"{key}-{chart.filename}", chart.title, chart.alt, chart.png) for chart in charts]
