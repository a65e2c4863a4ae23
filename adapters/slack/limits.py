"""Slack's limits as its documentation and its users' reports state them, and what this adapter keeps to."""

from __future__ import annotations

from typing import Final

BLOCKS_TEXT: Final = 11_500
"""Characters of all markdown blocks of one message; Slack takes 12,000."""

TEXT: Final = 3_900
"""Characters of a message's text; chat.update refuses more than 4,000."""

QUOTE: Final = 2_000
"""Characters of a question that the message which opens its thread repeats."""

ALT_TEXT: Final = 1_000
"""Characters of a file's alternative text."""

PACE: Final = 3.0
"""Seconds between two edits of one progress message."""

UPDATES: Final = 40
"""Edits a minute, over all threads, beyond which progress is not shown: Slack takes 50, answers need the rest."""

RESPONSES: Final = 5
"""Messages that one response_url takes, within half an hour."""

PAGE: Final = 200
"""Messages asked for at once when looking through a thread."""
