"""The list of walks: what must be possible on every platform where people talk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import get_args

from core.commands import actions
from core.commands.grammar import COMMANDS
from core.commands.values import Command
from tests.e2e.walks.hand import Hand

Steps = Callable[[Hand], Awaitable[None]]

PLATFORMS = ("slack", "discord")

WAYS = ("mention", "direct message", "follow-up", "menu of a message", "attachment", "welcome", "restart", "own extras")
"""Ways to the bot other than commands, buttons and forms."""

NO_BUTTON = {"usage"}
"""Verbs that stand on no button at present, but are understood."""


@dataclass(frozen=True)
class Walk:
    """Something people do, and by ``does`` which commands, buttons, forms and ways it is (as in :attr:`Hand.did`)."""

    name: str
    does: frozenset[str]
    steps: Steps
    on: tuple[str, ...]


WALKS: list[Walk] = []


def walk(*does: str, on: tuple[str, ...] = PLATFORMS) -> Callable[[Steps], Steps]:
    """Put a walk on the list. A word with a capital is a command by its type."""

    def listed(steps: Steps) -> Steps:
        WALKS.append(Walk(steps.__name__, frozenset(does), steps, on))
        return steps

    return listed


def wanted() -> set[str]:
    """All that must be walked on each platform."""
    return {
        *(f"/{name}" for name in COMMANDS),
        *(command.__name__ for command in get_args(Command)),
        *(f"tap:{verb}" for verb in actions._VERBS.keys() - NO_BUTTON - FORM_VERBS),
        *(f"form:{actions._BY_TYPE[form][0]}" for form in actions._FORMS),
        *(f"by:{way}" for way in WAYS),
    }


FORM_VERBS = {"reason"}
"""Verbs that a form carries and no button."""
