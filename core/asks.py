"""What enters: who asks, where, and what they want to know."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.setup import ConsortiumSpec


class Value(BaseModel):
    """Base of all values: immutable, and strict about unknown fields so that typing errors surface.

    An error of validation does not quote what it was given: it may be what people wrote, and errors go into the log.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


# --- who asks, where, what ------------------------------------------------------------------------------


class Platform(StrEnum):
    """Where a person meets the consortium."""

    SLACK = "slack"
    DISCORD = "discord"
    WEB = "web"
    CLI = "cli"


DIRECT = "dm"
"""The workspace of direct messages on platforms where these belong to none: its channels have nothing in common."""


class Person(Value):
    """Someone who asks; ``id`` is the platform's id of the account, ``name`` is for display only."""

    id: str
    name: str = ""


class ThreadRef(Value):
    """A place in a platform. ``thread`` is None until the conversation has a thread of its own.

    ``private`` marks direct messages and the like: runs from there are shown to their asker alone.
    """

    platform: Platform
    workspace: str
    channel: str
    thread: str | None = None
    private: bool = False


class Turn(Value):
    """One earlier question of a thread with the consensus it got, and what members said themselves, by their ids."""

    question: str
    answer: str
    answers: dict[str, str] = Field(default_factory=dict)


class Attachment(Value):
    """Something that came with a question; its contents are stored beside the run (:mod:`core.attachments`).

    ``size`` is in bytes. ``shortened`` tells that only the beginning of its text is shown to members.
    """

    name: str
    media_type: str
    size: int
    kind: Literal["text", "image"]
    shortened: bool = False


QuestionType = Literal["open", "yes-no", "choice", "number"]
"""What form the answer has: free text, yes or no, one of given options, a number."""


class Ask(Value):
    """What a person wants. ``id`` is the run's id; ``roles`` maps a model's key to a role name or free text.

    ``setup`` is the consortium as it was when it was asked: a saved one may change or go before the run ends.
    ``system`` are instructions of the asker's own for the members. ``addressed`` is the one member (by id) that is
    asked, where it is not the whole panel. ``event_ids`` are the platform's ids of the event behind it, used to drop
    duplicates.
    """

    id: str
    text: str
    asked_at: datetime
    asker: Person
    where: ThreadRef
    consortium: str | None = None
    setup: ConsortiumSpec | None = None
    domain: str | None = None
    question_type: QuestionType | None = None
    system: str | None = None
    roles: dict[str, str] = Field(default_factory=dict)
    addressed: str | None = None
    attachments: tuple[Attachment, ...] = ()
    charts: bool = True
    event_ids: tuple[str, ...] = ()
