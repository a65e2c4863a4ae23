"""Shows one run in its thread: a progress message that is edited, then the answer, then the charts.

The answer is posted as new messages and the progress message is deleted: an edit would notify nobody, would put
the answer above whatever was written in the meantime, and is refused for messages more than an hour old.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from adapters.discord.layout import COLOURS, Enclosure, Page, Rows, card_pages, short_page
from adapters.discord.library import discord
from adapters.discord.limits import Timing
from adapters.discord.posting import unsettled
from adapters.discord.render import pages
from core.cards import Card, Tone
from core.delivery import RunView
from core.present.answers import answer_card, failed_card
from core.present.progress import progress_card
from core.telemetry import get_logger
from core.types import Chart, Run

log = get_logger(__name__)

LATEST = 900
"""Characters of a synthesis in the making that are shown: its end, where it grows."""

Wish = Callable[[Run], Awaitable[bool]]
"""Whether the asker wants the whole text of answers at once."""


class Outlet(Protocol):
    """Where a run's messages go."""

    def fitting(self, pages: Sequence[Page]) -> list[Page]:
        """So many of an answer's messages as there may be."""
        ...

    async def put(self, key: str, page: Page) -> object:
        """Show a message, once."""
        ...

    async def change(self, key: str, page: Page) -> None:
        """Show a message that is edited later, or edit it."""
        ...

    async def drop(self, key: str) -> None:
        """Take a message away."""
        ...


@dataclasses.dataclass(frozen=True)
class Frame:
    """What stands around a run's texts: above it, in small print (e.g. why there is no thread), further buttons."""

    lead: str = ""
    note: str | None = None
    more: Rows = ()

    def pages(self, card: Card) -> list[Page]:
        """A card's messages."""
        return card_pages(card, lead=self.lead, note=self.note, more=self.more)


class DiscordPresenter:
    """A :class:`core.delivery.Presenter`."""

    def __init__(self, run: Run, outlet: Outlet, timing: Timing, long: Wish, frame: Frame | None = None) -> None:
        self.pace = timing.pace
        self.tick: float | None = timing.tick
        self._run, self._outlet, self._timing, self._long = run, outlet, timing, long
        self._frame = frame or Frame()
        self._shown: Page | None = None
        self._showing: asyncio.Task[None] | None = None

    async def progress(self, view: RunView) -> None:
        """Show the state. A request under way is not broken off when the answer comes meanwhile."""
        latest = view.text if len(view.text) <= LATEST else f"…{view.text[-LATEST:]}"
        card = progress_card(dataclasses.replace(view, text=latest), view.clock())
        page = short_page(card, lead=self._frame.lead, note=self._frame.note)
        if page != self._shown and (self._showing is None or self._showing.done()):
            self._showing = asyncio.create_task(self._show(page))
            self._showing.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may wait for it
            await asyncio.shield(self._showing)

    async def answer(self, run: Run) -> None:
        """Post the answer in as many messages as it takes, each once."""
        await self._put("answer", answer_card(run, long=await self._long(run)))

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Post the charts with their alternative texts, or these alone where files are not allowed."""
        if not (charts or note):
            return
        titles = " · ".join(f"**{c.title}**" for c in charts)
        [texts, *_] = pages([titles], (note or "").splitlines())
        first = Page(tuple(texts), pictures=tuple(Enclosure.of(chart, run.id) for chart in charts))
        try:
            await self._outlet.put("charts", first)
        except discord.Forbidden:
            words = [f"**{c.title}**\n{c.alt}" for c in charts]
            why = "The pictures are missing because the bot lacks the permission Attach Files."
            for number, texts_ in enumerate(pages(words, [why])):
                await self._outlet.put(f"charts {number}", Page(tuple(texts_), COLOURS[Tone.PLAIN]))

    async def failed(self, run: Run, text: str) -> None:
        """Say in the run's thread why there is no answer: the asker looks there, and the rest need not wait."""
        await self._put("failed", failed_card(run, text))

    async def _put(self, key: str, card: Card) -> None:
        for number, page in enumerate(self._outlet.fitting(self._frame.pages(card))):
            await self._outlet.put(f"{key} {number}", page)
        await self._drop_progress()

    async def _show(self, page: Page) -> None:
        await self._outlet.change("progress", page)
        self._shown = page

    async def _drop_progress(self) -> None:
        """Delete the progress message. The answer stands already: what will not pass is only logged, the rest is
        raised, for the delivery to be taken up again."""
        try:
            if self._showing is not None and not (await asyncio.wait([self._showing], timeout=self._timing.call))[0]:
                self._showing.cancel()
            await self._outlet.drop("progress")
        except Exception as error:
            if unsettled(error):
                raise
            log.warning("progress message not deleted", error=type(error).__name__, detail=str(error)[:200])
