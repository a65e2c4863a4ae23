"""A run while it goes on, streamed into one message: a card a member, then the answer as the arbiter writes it."""

from __future__ import annotations

import asyncio
import re

import aiohttp
from slack_sdk.errors import SlackApiError

from adapters.slack import limits
from adapters.slack.api import STREAM_OVER, Api, Spot, error_code, unsure
from adapters.slack.blocks import Block, button_row
from adapters.slack.render import line, safe
from adapters.slack.splitting import open_fence
from core.cards import Button
from core.delivery import RunView
from core.present.figures import FAILED_BECAUSE, short
from core.present.maths import readable
from core.present.progress import head, unanswered_text
from core.telemetry import get_logger
from core.types import Failure, Member, Response

log = get_logger(__name__)

JUDGE = "arbiter"
"""The id of the arbiter's card; those of members have a mark before their id."""

_PLAN = ""  # stands for the line above all cards

_REFUSED_FOR = 600.0  # seconds for which streams are not tried again where Slack does not take them
_LIMITED = frozenset({"ratelimited", "rate_limited"})


class Streams:
    """Where messages are streamed: workspaces without the feature refuse it, and kinds of channels do, which is not
    asked anew with every run. ``buttons`` tells whether a stream may hold one."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.buttons = True
        self.live: set[str] = set()
        self._off_until: dict[str, float] = {}

    def open(self, channel: str) -> bool:
        """Whether one may be begun there now."""
        off = asyncio.get_running_loop().time() < self._off_until.get(channel, 0.0)
        return not off and self.api.streams.left()

    def refused(self, channel: str) -> None:
        """Slack does not take them there."""
        self._off_until[channel] = asyncio.get_running_loop().time() + _REFUSED_FOR


class Stream:
    """One run's stream. Text that was sent cannot be taken back: when the arbiter starts anew, the stream is over.

    ``ts`` is its message, once there is one. ``over`` tells that it takes nothing any more, ``lost`` that it is not
    known what became of it.
    """

    def __init__(self, streams: Streams, spot: Spot, person: tuple[str, str] | None) -> None:
        self._streams, self._spot, self._person = streams, spot, person
        self.ts: str | None = None
        self.over = self.lost = False
        self._tasks: dict[str, tuple[str, str]] = {}
        self._sent = ""

    async def show(self, view: RunView, stop: Button | None) -> bool:
        """Show how far the run is. False: the stream is over, or never was."""
        try:
            if self.ts is None:
                return await self._start(view, stop)
            return await self._grow(view)
        except SlackApiError as error:
            code = error_code(error)
            if code in _LIMITED or unsure(error):
                raise
            log.info("stream ended", run=self._spot.run_id, code=code)
            self.over, self.lost = True, code in STREAM_OVER
            self._streams.live.discard(str(self.ts))
            return False

    async def _start(self, view: RunView, stop: Button | None) -> bool:
        if not self._streams.open(self._spot.channel):
            self.over = True
            return False
        chunks = self._changes(view)
        if stop is not None and self._streams.buttons:
            chunks.append({"type": "blocks", "blocks": [button_row(stop)]})
        try:
            self.ts = await self._streams.api.start_stream(self._spot, self._person, chunks)
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
            self.over, self.lost = True, unsure(error)  # it may stand there all the same
            if not self.lost and error_code(error) == "invalid_chunks" and self._streams.buttons:
                self._streams.buttons = False
            elif not self.lost and error_code(error) not in _LIMITED:
                self._streams.refused(self._spot.channel)
            log.info("no stream", run=self._spot.run_id, code=error_code(error) or type(error).__name__)
            return False
        self._streams.live.add(self.ts)
        return True

    async def _grow(self, view: RunView) -> bool:
        if not view.text.startswith(self._sent):
            self.over = True
            return False
        before, tasks = self._sent, dict(self._tasks)
        chunks = self._changes(view)
        if text := self._more(view.text):
            chunks.append({"type": "markdown_text", "text": text})
        if chunks and not self._streams.api.appends.left():
            self._sent, self._tasks = before, tasks
            return True
        if chunks:
            try:
                await self._streams.api.append_stream(self._spot, str(self.ts), chunks)
            except BaseException:
                self._tasks = tasks  # cards may be sent again without harm, text may not
                raise
        return True

    async def stop(self, view: RunView, part: str, patience: float | None = None) -> None:
        """End it with no card left turning; it is then marked as ``part``. ``patience`` is as in :meth:`Api.update`."""
        self.over = True
        self._streams.live.discard(str(self.ts))
        chunks = [*closing(view), *self._judged(view)]
        await self._streams.api.stop_stream(self._spot, part, str(self.ts), chunks, patience)

    def _judged(self, view: RunView) -> list[Block]:
        """The arbiter's card, done, where a further round has begun since."""
        title, status = self._tasks.get(JUDGE, ("", ""))
        if view.judge is not None or status != "in_progress":
            return []
        self._tasks[JUDGE] = (title, "complete")
        return [_task(JUDGE, title, "complete")]

    def _changes(self, view: RunView) -> list[Block]:
        """Cards that are not as they were shown last."""
        chunks = self._judged(view)
        if self._tasks.get(_PLAN) != (head(view), ""):
            self._tasks[_PLAN] = (head(view), "")
            chunks.append({"type": "plan_update", "title": head(view)})
        for task_id, title, status in _cards(view):
            if self._tasks.get(task_id) != (title, status):
                self._tasks[task_id] = (title, status)
                chunks.append(_task(task_id, title, status))
        return chunks

    def _more(self, text: str) -> str:
        """What can be sent of the text's rest: up to a gap between words that is in no code, link, formula or fence."""
        end = _ready(text, len(self._sent))
        piece = text[len(self._sent) : end]
        if not piece.strip() or end > limits.STREAM_TEXT:
            return ""
        within = bool(self._sent) and not self._sent.endswith("\n")
        self._sent += piece
        begin, end = len(piece) - len(piece.lstrip()), len(piece.rstrip())
        shown = piece[begin:end]
        if within and not begin and shown.startswith(("```", "~~~")):
            shown = "\u2060" + shown  # what stands within a line is no fence
        return piece[:begin] + safe(readable(shown)) + piece[end:]


def closing(view: RunView) -> list[Block]:
    """All cards of a run as they end: who has not answered is not waited for."""
    unanswered = unanswered_text(view.ended)
    return [
        _task(
            task_id,
            f"{title} · {unanswered}" if status == "in_progress" and unanswered else title,
            "complete" if status == "in_progress" and task_id == JUDGE and not unanswered else _ended(status),
        )
        for task_id, title, status in _cards(view)
    ]


def _ended(status: str) -> str:
    return "error" if status == "in_progress" else status


def _cards(view: RunView) -> list[tuple[str, str, str]]:
    cards = [(f"m:{member.id}", *_state(member, view)) for member in view.panel]
    if view.judge is not None:
        cards.append((JUDGE, f"{view.judge.label} brings the answers to one", "in_progress"))
    return cards


def _state(member: Member, view: RunView) -> tuple[str, str]:
    name = f"{member.label} as {short(member.role, 60)}" if member.role else member.label
    if view.round > 1:
        name += f" · round {view.round}"
    match view.outcomes.get(member.id):
        case Response() as response:
            return f"{name} · {response.seconds:.1f} s", "complete"
        case Failure() as failure:
            return f"{name} · {FAILED_BECAUSE[failure.kind]}", "error"
        case _:
            return name, "in_progress"


def _task(task_id: str, title: str, status: str) -> Block:
    cut = line(title, limits.TASK_TITLE // 2)[: limits.TASK_TITLE]
    return {"type": "task_update", "id": task_id[: limits.TASK_TITLE], "title": cut, "status": status}


_TRIED = 40
"""Gaps that are looked at, from the end: a long piece of code would take long otherwise."""

_OPENERS = re.compile(r"`+|\$+|\\[\[(]|\\[\])]|[\[\]()<>]")


def _ready(text: str, start: int) -> int:
    """Up to where a growing text can be shown: what follows might still change what it means."""
    for found in list(re.finditer(r"\s+", text[start:]))[: -_TRIED - 1 : -1]:
        end = start + found.end()
        if _settled(text[start:end]):
            return end
    return start


def _settled(piece: str) -> bool:
    """Whether nothing is left open in a piece: it is then safe by itself, whatever comes behind it."""
    if open_fence(piece) is not None or "```" in piece.rpartition("\n")[2] or "~~~" in piece.rpartition("\n")[2]:
        return False
    paragraph = piece.rpartition("\n\n")[2]
    counts: dict[str, int] = {}
    for found in _OPENERS.findall(paragraph):
        counts[found] = counts.get(found, 0) + 1
    marks = all(number % 2 == 0 for mark, number in counts.items() if mark[0] in "`$")
    pairs = (("[", "]"), ("(", ")"), ("<", ">"), ("\\[", "\\]"), ("\\(", "\\)"))
    return marks and all(counts.get(opener, 0) <= counts.get(closer, 0) for opener, closer in pairs)
