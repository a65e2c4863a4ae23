"""What the core describes, laid out as messages: texts in a coloured box, pictures, buttons below.

A message is known again by a number that its box carries, made of whose message it is and which (:func:`mark`): texts
may be shortened, worded anew or emptied meanwhile, the number stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

from adapters.discord import limits, render
from adapters.discord.library import discord
from core.cards import Button, Card, Reply, Tone
from core.present.maths import readable
from core.types import Chart

COLOURS: dict[Tone, int | None] = {
    Tone.PLAIN: None,
    Tone.RUNNING: 0x5865F2,
    Tone.SURE: 0x2ECC71,
    Tone.UNSURE: 0xF1C40F,
    Tone.SPLIT: 0xE67E22,
    Tone.FAILED: 0xED4245,
}

Rows = tuple[tuple[Button, ...], ...]
Box = discord.ui.Container[discord.ui.LayoutView]
Row = discord.ui.ActionRow[discord.ui.LayoutView]

_STYLES = {
    "plain": discord.ButtonStyle.secondary,
    "primary": discord.ButtonStyle.primary,
    "danger": discord.ButtonStyle.danger,
}


@dataclass(frozen=True)
class Enclosure:
    """A file to send with a message; ``alt`` says in words what a picture shows."""

    filename: str
    data: bytes
    alt: str = ""

    def file(self) -> discord.File:
        """A new handle: the library reads each once."""
        return discord.File(BytesIO(self.data), self.filename, description=self.alt or None)

    @classmethod
    def of(cls, chart: Chart, subject: str) -> Enclosure:
        """A chart as a file whose name tells whose it is."""
        return cls(f"{subject}-{chart.filename}", chart.png, render.cut(chart.alt, limits.ALT_TEXT))


@dataclass(frozen=True)
class Page:
    """One message: texts with a line between them, pictures or a file, rows of buttons."""

    texts: tuple[str, ...] = ()
    colour: int | None = None
    pictures: tuple[Enclosure, ...] = ()
    download: Enclosure | None = None
    rows: Rows = ()

    @property
    def enclosures(self) -> tuple[Enclosure, ...]:
        """All its files."""
        return (*self.pictures, *([self.download] if self.download else []))

    def view(self, number: int | None = None) -> discord.ui.LayoutView:
        """The message for the library. The view is ended at once: what is tapped is heard without its help, so that
        nothing is kept in memory."""
        box: Box = discord.ui.Container(accent_colour=self.colour, id=number)
        for place, text in enumerate(self.texts):
            if place:
                box.add_item(discord.ui.Separator())
            box.add_item(discord.ui.TextDisplay(text))
        for picture in self.pictures:  # one below the other: side by side they are cropped, and too small for phones
            shown = discord.MediaGalleryItem(f"attachment://{picture.filename}", description=picture.alt)
            box.add_item(discord.ui.MediaGallery(shown))
        if self.download:
            box.add_item(discord.ui.File(f"attachment://{self.download.filename}"))
        for row in self.rows:
            box.add_item(_row(row))
        view = discord.ui.LayoutView(timeout=None)
        view.add_item(box)
        view.stop()
        return view


def mark(subject: str, key: str) -> int:
    """The number by which a message is known again."""
    digest = hashlib.blake2s(f"{subject}/{key}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) % (2**31 - 1) + 1


def number_of(message: discord.Message) -> int | None:
    """The number that a message carries, if it has one."""
    return getattr(message.components[0], "id", None) if message.components else None


def _row(buttons: Iterable[Button]) -> Row:
    row: Row = discord.ui.ActionRow()
    for button in buttons:
        row.add_item(
            discord.ui.Button(
                style=_STYLES[button.style],
                label=render.cut(button.label, limits.LABEL) or None,
                custom_id=button.action,
                emoji=button.emoji or (None if button.label else "▫️"),
            )
        )
    return row


# --- what the core describes ----------------------------------------------------------------------------


def card_pages(
    card: Card, *, lead: str = "", note: str | None = None, more: Rows = (), limit: int = limits.TEXT
) -> list[Page]:
    """A card in as many messages as it takes, its buttons on the last.

    ``lead`` stands above it, ``note`` is further small print, ``more`` further rows of buttons.
    """
    status = " ".join(card.status.split())
    said = (f"**{status}**" if status else "", render.Small(card.details), readable(card.body))
    listed = "\n\n".join(_section(section.title, section.lines) for section in card.sections)
    opinion = tuple(button for button in (card.good, card.bad) if button)
    rows = (*card.buttons, *([opinion] if opinion else []), *more)
    small = [line for text in (*card.footer, note or "") for line in text.splitlines()]
    return _lay_out([lead, said, readable(listed)], small, COLOURS[card.tone], rows, limit)


def short_page(card: Card, *, lead: str = "", note: str | None = None) -> Page:
    """As much of a card as one message holds, with its buttons."""
    first, *rest = card_pages(card, lead=lead, note=note, limit=limits.TEXT - len(_CUT))
    return replace(first, texts=(*first.texts, _CUT), rows=rest[-1].rows) if rest else first


def reply_pages(reply: Reply) -> list[Page]:
    """A reply in as many messages as it takes, pictures and buttons on the last."""
    pages = _lay_out([readable(reply.text)], (), None, reply.buttons)
    if reply.pictures:
        key = "".join(char for char in reply.key or "" if char.isalnum() or char == "-") or "charts"
        pages[-1] = replace(pages[-1], pictures=tuple(Enclosure.of(chart, key) for chart in reply.pictures))
    return pages


def error_pages(text: str, rows: Rows = ()) -> list[Page]:
    """Why something was not done."""
    return _lay_out([text], (), COLOURS[Tone.FAILED], rows)


def few(pages: Sequence[Page], most: int) -> list[Page]:
    """At most so many messages: what is left out of the middle is said to be."""
    if len(pages) <= most:
        return list(pages)
    last = pages[-1]
    if sum(map(limits.weight, last.texts)) <= limits.TEXT - len(_CUT):
        last = replace(last, texts=(_CUT, *last.texts))
    return [*pages[: most - 1], last]


_CUT = "*… Not all of it fits here.*"


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"**{title}**", *(f"- {' '.join(line.split())}" for line in lines)])


def _lay_out(
    parts: Sequence[str | Sequence[str]], small: Sequence[str], colour: int | None, rows: Rows, limit: int = limits.TEXT
) -> list[Page]:
    """Texts in messages; the buttons below the last, and on further ones where they are too many."""
    found = [Page(tuple(texts), colour) for texts in render.pages(parts, small, limit)] or [Page(("…",), colour)]
    first, *more = _groups(rows) or [()]
    return [*found[:-1], replace(found[-1], rows=first), *(Page(colour=colour, rows=group) for group in more)]


def _groups(rows: Rows) -> list[Rows]:
    """The rows by message. No command may stand on two buttons of one message."""
    fitting = list(_fitting_rows(rows))
    return [tuple(fitting[at : at + limits.ROWS]) for at in range(0, len(fitting), limits.ROWS)]


def _fitting_rows(rows: Rows) -> Iterator[tuple[Button, ...]]:
    seen: set[str] = set()
    for row in rows:
        new = list({button.action: button for button in row if button.action not in seen}.values())
        seen |= {button.action for button in new}
        yield from (tuple(new[at : at + limits.ROW]) for at in range(0, len(new), limits.ROW))
