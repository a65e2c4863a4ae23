"""Shows one run in its thread: a progress message that is edited, then the answer, then the charts.

The answer is posted as new messages and the progress message is deleted: an edit would notify nobody, would put
the answer above whatever was written in the meantime, and is refused for messages more than an hour old.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time

from adapters.discord import limits
from adapters.discord.library import discord
from adapters.discord.limits import Timing
from adapters.discord.posting import Poster, Spot, Upload, persist
from adapters.discord.render import clip, cut, split
from core.delivery import TICK, RunView
from core.present.answers import answer_text
from core.present.progress import progress_text
from core.telemetry import get_logger
from core.types import Chart, Run

log = get_logger(__name__)

LATEST = 900
"""Characters of a synthesis in the making that are shown: its end, where it grows."""


class DiscordPresenter:
    """A :class:`core.delivery.Presenter`. ``note`` is small print for every text, e.g. why there is no thread.

    With ``resumed`` an earlier process may have posted some of it already: that is looked up and not repeated.
    """

    def __init__(self, run: Run, spot: Spot, timing: Timing, *, note: str | None = None, resumed: bool = False) -> None:
        self.pace = timing.pace
        self.tick: float | None = TICK
        self._run, self._timing, self._note, self._resumed = run, timing, note, resumed
        self._poster = Poster(run.id, spot, timing, resumed=resumed)
        self._shown = ""
        self._showing: asyncio.Task[None] | None = None
        self._progress_id: int | None = None

    async def progress(self, view: RunView) -> None:
        """Post the state, then edit it. A request under way is not broken off when the answer comes meanwhile."""
        latest = view.text if len(view.text) <= LATEST else f"…{view.text[-LATEST:]}"
        text = clip(progress_text(dataclasses.replace(view, text=latest)), self._small(self._mark))
        if text != self._shown and (self._showing is None or self._showing.done()):
            self._showing = asyncio.create_task(self._show(text))
            self._showing.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may wait for it
            await asyncio.shield(self._showing)

    async def answer(self, run: Run) -> None:
        """Post the answer in as many messages as it takes, each once."""
        if not (self._resumed and await self._answered()):
            words = answer_text(run)
            body = words.model_copy(update={"footer": ""}).markdown()
            for number, page in enumerate(split(body, self._small(words.footer))):
                await self._poster.post(f"answer {number}", page)
        await self._drop_progress()

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None:
        """Post the charts as files with their alternative texts, or these alone where files are not allowed."""
        if not charts:
            if note:
                await self._poster.post("charts", clip("", note))
            return
        uploads = [Upload(f"{run.id}-{c.filename}", c.png, cut(c.alt, limits.ALT_TEXT)) for c in charts]
        titles = " · ".join(f"**{c.title}**" for c in charts)
        try:
            await self._poster.post("charts", clip(titles, note or ""), uploads)
        except discord.Forbidden:
            texts = "\n\n".join(f"**{c.title}**\n{c.alt}" for c in charts)
            why = "The pictures are missing because the bot lacks the permission Attach Files."
            for number, page in enumerate(split(texts, why)):
                await self._poster.post(f"charts {number}", page)

    async def failed(self, run: Run, text: str) -> None:
        """Say in the run's thread why there is no answer: the asker looks there, and the rest need not wait."""
        await self._poster.post("failed", clip(f"**No answer.** {text}", self._small(f"run {run.id}")))
        await self._drop_progress()

    @property
    def _mark(self) -> str:
        """The last line of the progress message, by which a later process knows it."""
        return f"in progress, run {self._run.id}"

    def _small(self, last: str) -> str:
        return "\n".join(filter(None, (self._note, last)))

    async def _show(self, text: str) -> None:
        await self._adopt_progress()
        if self._progress_id is None:
            self._progress_id = await self._poster.post("progress", text)
        elif time.time() - discord.utils.snowflake_time(self._progress_id).timestamp() < limits.EDITABLE_FOR:
            message = self._poster.spot.message(self._progress_id)
            await persist(lambda: message.edit(content=text), self._timing)
        self._shown = text

    async def _answered(self) -> bool:
        """After a restart: whether all of the answer stands. Its last message names the run in small print; the
        notes there may be others now."""
        end = re.compile(rf"^-# (?!{re.escape(self._mark)}$).*\brun {re.escape(self._run.id)}\b", re.MULTILINE)
        return await self._poster.find(lambda m: end.search(m.content) is not None) is not None

    async def _adopt_progress(self) -> None:
        """After a restart: go on with the progress message that the earlier process left."""
        if self._resumed and self._progress_id is None:
            last = clip("", self._mark)
            self._progress_id = await self._poster.find(lambda m: m.content.rpartition("\n")[2] == last)

    async def _drop_progress(self) -> None:
        """Delete the progress message. The answer stands already, so trouble is only logged."""
        try:
            if self._showing is not None:
                await asyncio.wait([self._showing], timeout=self._timing.call)
            await self._adopt_progress()
            if self._progress_id is not None:
                await persist(self._poster.spot.message(self._progress_id).delete, self._timing)
        except discord.NotFound:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer must count as delivered
            log.warning("progress message not deleted", error=type(error).__name__, detail=str(error)[:200])
