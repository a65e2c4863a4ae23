"""Files of a thread's earlier questions: members are shown them with a follow-up too, as far as there is room."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from core.asks import Ask
from core.attachments import MOST_CHARACTERS, MOST_FILES, Material
from core.estimate import PICTURE
from core.ports import History

LOOKED_AT = 2 * MOST_FILES
"""How many of a thread's latest files are looked at."""


class Earlier(NamedTuple):
    """What of a thread's files goes along with a question, and the names of those for which there is no room."""

    materials: tuple[Material, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the asker should know of it."""
        found = []
        if self.materials:
            names = ", ".join(m.attachment.name for m in self.materials)
            found.append(f"The members were shown files of earlier questions too: {names}.")
        if self.left_out:
            names = ", ".join(self.left_out)
            found.append(f"Of earlier questions, not shown again for want of room: {names}. Attach what matters anew.")
        return tuple(found)


async def earlier_files(history: History, ask: Ask, before: datetime, own: Sequence[Material]) -> Earlier:
    """What of the thread's files from before then goes along with ``own``, the latest first: no more files than one
    question may have, with no more text than one file may have. Raises Unavailable."""
    if ask.where.thread is None:
        return Earlier()
    known = {_same(material) for material in own}
    kept: list[Material] = []
    left_out: list[str] = []
    room = MOST_CHARACTERS
    for material in await history.thread_materials(ask.where, before, LOOKED_AT):
        if _same(material) in known:
            continue
        known.add(_same(material))
        size = 4 * PICTURE if material.text is None else len(material.text)
        if len(own) + len(kept) < MOST_FILES and size <= room:
            kept.append(material.model_copy(update={"earlier": True}))
            room -= size
        else:
            left_out.append(material.attachment.name)
    return Earlier(tuple(kept), tuple(left_out))


def _same(material: Material) -> tuple[str, int]:
    """By what a file that is attached again is known."""
    return material.attachment.name, material.attachment.size
