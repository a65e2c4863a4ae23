"""What comes with a question: texts, code, PDF and images, read into what members can be shown.

Limits are stated to whoever exceeds them; nothing is cut without saying so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from core.asks import Attachment, Value

MOST_FILES = 5
"""Attachments of one question."""

MOST_BYTES = 10 * 2**20
"""Bytes of one attachment."""

MOST_CHARACTERS = 40_000
"""Characters of text of one attachment that members are shown."""


@dataclass(frozen=True)
class Upload:
    """A file as a platform announces it. ``fetch`` downloads it; it raises :class:`core.errors.Refused` or Unavailable
    with a sentence for people."""

    name: str
    media_type: str
    size: int
    fetch: Callable[[], Awaitable[bytes]]


class Material(Value):
    """An attachment with its contents: ``text``, or the bytes of an image."""

    attachment: Attachment
    text: str | None = None
    image: bytes | None = None
