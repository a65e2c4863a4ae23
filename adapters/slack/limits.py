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

UPDATES: Final = 40
"""Edits a minute, over all threads, beyond which progress is not shown: Slack takes 50, answers need the rest."""

RESPONSES: Final = 5
"""Messages that one response_url takes, within half an hour."""

PAGE: Final = 200
"""Messages asked for at once when looking through a thread."""


@dataclass(frozen=True)
class Timing:
    """How long things take, in seconds.

    ``pace`` lies between two edits of one progress message; ``ping`` between two signs of life on the socket.
    ``repeats`` are the waits before a call is made again whose outcome is unknown (a message whose reply was lost
    needs time to appear), ``redeliver`` those before an answer is shown again while Slack is not well. ``call``
    and ``connect`` bound a call and the opening of the socket.
    """

    pace: float = 3.0
    ping: float = 10.0
    repeats: tuple[float, ...] = (0.3, 1.0, 3.0)
    redeliver: tuple[float, ...] = (5.0, 30.0, 120.0)
    call: float = 30.0
    connect: float = 30.0
