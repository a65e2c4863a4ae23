"""One description of everything that is shown, for all platforms: answers, replies, buttons and forms.

The core words it; an adapter lays it out in its platform's idiom and cuts it to its limits. A button or a form carries
a command in coded form (:mod:`core.commands.actions`), so that it works after a restart: nothing is kept in memory.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from core.asks import Value
from core.types import Chart, Run


class Tone(StrEnum):
    """What a card is like at a glance; platforms show it as a colour or a sign."""

    PLAIN = "plain"
    RUNNING = "running"
    SURE = "sure"
    UNSURE = "unsure"
    SPLIT = "split"
    FAILED = "failed"


class Button(Value):
    """A command to tap. ``label`` has at most 75 characters, ``action`` at most 100."""

    label: str
    action: str
    style: Literal["plain", "primary", "danger"] = "plain"
    emoji: str = ""


class Section(Value):
    """Lines (Markdown, one line each) under a title."""

    title: str
    lines: tuple[str, ...]


class Card(Value):
    """One message. All texts are Markdown of the core's own dialect: paragraphs, lists, tables, code, links.

    ``status`` is one line that says most, ``details`` one in plain small type below it, ``body`` of any length.
    ``footer`` is small print, a line each. ``buttons`` are rows of at most five. ``good`` and ``bad`` ask what the
    answer was worth, where a platform has buttons of its own for that; elsewhere they are a further row.
    """

    tone: Tone = Tone.PLAIN
    status: str = ""
    details: str = ""
    body: str = ""
    sections: tuple[Section, ...] = ()
    footer: tuple[str, ...] = ()
    buttons: tuple[tuple[Button, ...], ...] = ()
    good: Button | None = None
    bad: Button | None = None

    def markdown(self) -> str:
        """All of its text as one document, for places that have nothing but text."""
        parts = [f"**{self.status}**" if self.status else "", self.details, self.body]
        parts += [f"**{s.title}**\n" + "\n".join(f"- {line}" for line in s.lines) for s in self.sections]
        parts.append("\n".join(f"_{line}_" for line in self.footer))
        return "\n\n".join(part for part in parts if part)


class Option(Value):
    """Something to choose: ``value`` is what it means, ``label`` what people see (at most 75 characters)."""

    value: str
    label: str
    about: str = ""


class Input(Value):
    """One field of a form.

    ``kind``: a line of text, several lines, one of the options, or any of them. ``value`` is what it begins with: a
    text, or the chosen values of options.
    """

    name: str
    label: str
    kind: Literal["line", "lines", "choice", "choices"]
    value: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    required: bool = False
    hint: str = ""
    max_length: int = 300


class Form(Value):
    """Something to fill in: at most five inputs, at most 24 characters of title. ``action`` is what it submits to."""

    action: str
    title: str
    inputs: tuple[Input, ...]
    submit: str = "Save"
    intro: str = ""


class Download(Value):
    """A file for the asker alone."""

    filename: str
    media_type: str
    data: bytes


class Reply(Value):
    """An answer to a command, for the asker alone: a text in Markdown, buttons, pictures, a file.

    A file goes into a direct message. ``key`` names what must not be shown twice in one thread, where a platform can
    show pictures only to all.
    """

    text: str
    buttons: tuple[tuple[Button, ...], ...] = ()
    pictures: tuple[Chart, ...] = ()
    download: Download | None = None
    key: str | None = None


class Redraw(Value):
    """The answer of a run is to be shown again, in place, with its whole text or short."""

    run: Run
    long: bool


Result = Run | Reply | Form | Redraw
"""What comes of a command: a run to be followed, something to be shown or filled in, an answer to be shown anew."""
