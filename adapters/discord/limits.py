"""What Discord allows: lengths, counts and paces. Lengths count UTF-16 units, which is never too generous."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

MESSAGE = 2000
"""Characters of a message of text alone."""
TEXT = 4000
"""The weight of all texts of a message that is laid out, see :func:`weight`."""
ROWS = 5
"""Rows of buttons in one message: with its texts they stay below the 40 components that one may have."""
ROW = 5
LABEL = 80
FORM_TITLE = 45
FORM_INPUTS = 5
FORM_LABEL = 45
FORM_HINT = 100
FORM_TEXT = 4000
OPTIONS = 25
OPTION = 100
FOLLOWUPS = 5
"""Messages beyond the first that may answer an interaction where the bot is no member."""
TOKEN_HOLDS = 14 * 60
"""Seconds in which an interaction can be answered; Discord gives 15 minutes."""
THREAD_NAME = 100
ALT_TEXT = 1024
QUESTION = 6000
"""The longest string option that a slash command takes."""
ROLE = 500
CHOICES = 25
CHOICE = 100
DESCRIPTION = 100
NONCE_BYTES = 12
"""A nonce has at most 25 characters; so many bytes make 24 in hexadecimal."""
EDITABLE_FOR = 55 * 60
"""Seconds. Editing a message that is more than an hour old is refused after a few edits."""
ARCHIVE_AFTER: Final = 1440
"""Minutes without a message after which a thread is archived; writing in it opens it again."""
DOUBLE_TAP: Final = timedelta(seconds=2)
"""Two taps of a person on one button within this time are one."""
TAPS = 1024
"""Taps that are remembered, to know the second one."""
SCAN = 100
"""Messages that one look into a channel returns at most."""
BACKFILL = 200
"""Channels and threads of a shard that are looked into at most for what was written while nobody was connected."""
BODY = 1024 * 1024
"""Bytes of an interaction that comes by HTTP."""
STALE = 300
"""Seconds by which the time of a signed request may differ from ours."""


@dataclass(frozen=True)
class Timing:
    """Paces and patiences in seconds; tests shorten them.

    ``pace`` lies between two edits of a progress message, ``tick`` between two that only count seconds. ``form`` is
    how long a form is waited for before Discord is told that something comes: it gives 3 s. ``thread`` is how long a
    thread may take to open: when Discord limits new threads it says so with waits of minutes. ``call`` bounds any
    other request, with the waits of the client's own rate limiting in it. ``retries`` are the pauses before a post
    whose fate is unknown is tried again, ``redeliver`` those before a whole delivery is. ``reconnect`` bounds the
    pause between two connections. ``guilds`` is how long the next guild may take as a session begins. ``backfill`` is
    how far back messages count that came while nobody was connected.

    ``stand_by`` lies between two looks at whether the gateway session is for this process, ``gone`` is how long one
    may be without a connection before another process has its turn, and ``identify`` lies between two new sessions that
    Discord counts together. ``patience`` are the pauses before an event is carried out again that met an outage,
    ``rest`` is how long a delivery that was given up is left alone.
    """

    pace: float = 1.5
    tick: float = 3.0
    form: float = 1.5
    thread: float = 8.0
    call: float = 60.0
    retries: tuple[float, ...] = (0.5, 2.0, 5.0)
    redeliver: tuple[float, ...] = (5.0, 30.0, 120.0)
    reconnect: tuple[float, float] = (1.0, 60.0)
    guilds: float = 2.0
    backfill: float = 600.0
    stand_by: float = 1.0
    gone: float = 20.0
    identify: float = 5.0
    patience: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
    rest: float = 120.0


@dataclass(frozen=True)
class Shards:
    """Which shards a process holds, of how many."""

    first: int
    last: int
    count: int

    @classmethod
    def of(cls, text: str) -> Shards:
        """Read ``0-3/8`` or ``2/8``. Raises ValueError."""
        found = re.fullmatch(r"\s*(\d+)(?:-(\d+))?/(\d+)\s*", text)
        if found is None:
            raise ValueError("is not written as first-last/count")
        first, count = int(found[1]), int(found[3])
        last = int(found[2]) if found[2] else first
        if not first <= last < count:
            raise ValueError(f"names shards that {count} do not have: they are counted from 0 to {count - 1}")
        return cls(first, last, count)

    def __str__(self) -> str:
        return f"{self.first}-{self.last}/{self.count}"


def size(text: str) -> int:
    """The length of a text as Discord counts it, or more."""
    return len(text) + sum(char > "\uffff" for char in text)


def weight(text: str) -> int:
    """What a text counts in a message that is laid out: :func:`size`, or more where its bytes are many.

    Discord fails, without saying why, on some ten thousand bytes of text in one message.
    """
    return max(size(text), -(-len(text.encode(errors="replace")) * 2 // 5))
