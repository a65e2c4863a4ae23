"""Slack's limits as its documentation and its users' reports state them, and what this adapter keeps to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BLOCKS_TEXT: Final = 11_500
"""Characters of all markdown blocks of one message; Slack takes 12,000."""

TEXT: Final = 3_900
"""Characters of a message's text; chat.update refuses more than 4,000."""

QUOTE: Final = 2_000
"""Characters of a question that the message which opens its thread repeats."""

ALT_TEXT: Final = 1_000
"""Characters of a file's alternative text."""

UPDATES: Final = 48
"""Edits a minute, over all threads, beyond which progress is not shown: Slack takes 50. One is kept for each
run that is being shown, for its answer."""

POSTS: Final = 5
"""Messages into one channel within ``POSTS_WITHIN`` seconds: Slack takes one a second, and short bursts."""

POSTS_WITHIN: Final = 5.5

STREAMS: Final = 15
"""Streams a minute that are begun; Slack takes 20, and as many ends."""

APPENDS: Final = 80
"""Additions to streams a minute; Slack takes 100."""

STREAM_TEXT: Final = 11_000
"""Characters of text that are streamed into one message; what follows stands in the answer alone."""

TASK_TITLE: Final = 250
"""Characters of a task's title or id in a stream; Slack takes 256."""

SESSION_TITLE: Final = 200
"""Characters of the title that a session has in the agent view."""

PROMPTS: Final = 4
"""Questions that are suggested in an empty conversation."""

BLOCKS: Final = 45
"""Blocks of one message; Slack takes 50."""

LINE: Final = 400
"""Characters of a status or of a line of small print, before what Slack reads as markup is escaped."""

SECTION: Final = 2_900
"""Characters of a section's or a context's text; Slack takes 3,000."""

LABEL: Final = 75
"""Characters of a button's label or of an option."""

TITLE: Final = 24
"""Characters of a modal's title and of its buttons."""

INPUT: Final = 3_000
"""Characters that a modal's input takes."""

OPTION: Final = 150
"""Characters of an option's value."""

OPTIONS: Final = 100
"""Options of a menu, or of one group of them."""

METADATA: Final = 3_000
"""Characters of what a modal carries unseen."""

VIEW_ANSWER: Final = 2.2
"""Seconds after which a submitted modal is closed, whether what it asks for is done or not: Slack waits for 3."""

RESPONSES: Final = 5
"""Messages that one response_url takes, within half an hour."""

PAGE: Final = 200
"""Messages asked for at once when looking through a thread."""


@dataclass(frozen=True)
class Timing:
    """How long things take, in seconds.

    ``pace`` lies between two edits of one progress message, ``stream_pace`` between two additions to a stream,
    ``ping`` between two signs of life on the socket. After ``sign`` the asker of a command is told that it takes
    longer.
    ``repeats`` are the waits before a call is made again whose outcome is unknown (a message whose reply was lost
    needs time to appear), ``redeliver`` those before an answer is shown again while Slack is not well. ``call``
    and ``connect`` bound a call and the opening of the socket. An answer is posted anew when its edit would have to
    wait for longer than ``hurry``. A run that could not be shown is tried again after ``rest``, and an event that could
    not be carried out after each of ``again``. Every ``look`` it is looked which tokens end within ``ahead``, to renew
    them; what is installed is taken to be as it was for as long as ``fresh``.
    """

    pace: float = 3.0
    stream_pace: float = 1.0
    ping: float = 10.0
    sign: float = 0.6
    repeats: tuple[float, ...] = (0.3, 1.0, 3.0)
    redeliver: tuple[float, ...] = (5.0, 30.0, 120.0)
    call: float = 30.0
    connect: float = 30.0
    hurry: float = 5.0
    rest: float = 60.0
    again: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
    ahead: float = 7_200.0
    look: float = 60.0
    fresh: float = 2.0
