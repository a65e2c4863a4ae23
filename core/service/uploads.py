"""What came with a question, checked and downloaded."""

from __future__ import annotations

from collections.abc import Sequence

from core import attachments
from core.attachments import MOST_BYTES, MOST_FILES, Material, Upload
from core.errors import BadInput


async def fetched(files: Sequence[Upload]) -> tuple[Material, ...]:
    """Files as members are shown them. Raises Refused naming the file, or Unavailable; nothing is downloaded of files
    that are too many or too large."""
    if len(files) > MOST_FILES:
        raise BadInput(f"A question has at most {MOST_FILES} files; this one has {len(files)}.")
    for file in files:
        if file.size > MOST_BYTES:
            raise BadInput(
                f"{file.name} has {file.size / 2**20:.1f} MB; a file has at most {MOST_BYTES // 2**20} MB. "
                "Send a smaller one, or the part that matters as text."
            )
    return tuple([await attachments.read(file) for file in files])
