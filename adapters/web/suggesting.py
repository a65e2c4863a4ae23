"""What fits behind the caret of the box to write in: which kind of name the grammar wants there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from core.cards import Option
from core.commands.grammar import OPTIONS, TYPES

PREFIX = "/consortium"

Suggest = Callable[[str, str], Awaitable[list[Option]]]
"""Options of a kind that fit what was typed."""


class Gap(NamedTuple):
    """What is wanted: ``kinds`` of names, or ``words`` of the grammar; ``typed`` of it stands from ``start`` on."""

    kinds: tuple[str, ...]
    typed: str
    start: int
    words: tuple[str, ...] = ()


_TYPES = ("=", *TYPES)

_BEHIND: dict[str, tuple[tuple[str, ...], ...]] = {
    "use": (("consortium",),),
    "channel-default": (("consortium",),),
    "leaderboard": (("consortium",),),
    "show": (("run", "consortium"),),
    "delete": (("run",),),
    "stop": (("run",),),
    "remove": (("saved",),),
    "save": (("saved",), ("model",), ("model",), ("model",), ("model",)),
    "strategy": (("strategy",),),
    "domain": (("domain",),),
    "examples": (("domain",),),
    "type": (_TYPES,),
    "help": (("command",),),
    "roles": (("=", "assign", "clear", "shuffle"), ("model",), ("role",)),
    "models": (("=", "reset"), ("model",)),
    "access": (("=", "allow", "block", "lift"), ("=", "ask", "save", "moderate", "admin")),
    "budget": (("=", "user", "channel", "workspace", "confirm"), ("=", "day", "month")),
}
"""By command, what its words are: kinds of names, or behind "=" the words there are."""

_OPTIONS: dict[str, tuple[str, ...]] = {
    "--consortium": ("consortium",),
    "--domain": ("domain",),
    "--strategy": ("strategy",),
    "--arbiter": ("arbiter",),
    "--models": ("model",),
    "--type": _TYPES,
}
_TAKING_OPTIONS = ("ask", "save")

_WORD = re.compile(r"\S+")


def gap(text: str) -> Gap | None:
    """What is wanted at the end of ``text``; None where anything may follow, or where it is no command."""
    words = [(found.group(), found.start()) for found in _WORD.finditer(text)]
    if not words or not words[0][0].startswith("/"):
        return None
    typed, start = words[-1] if not text[-1].isspace() else ("", len(text))
    before = [word for word, begin in words if begin < start]
    if not before:
        begun = PREFIX.startswith(typed.lower())
        return Gap(("command",), "" if begun else typed.removeprefix("/"), start)
    if before[0].lower() != PREFIX:
        return None
    if len(before) == 1:
        return Gap(("command",), typed, start)
    command, given = before[1].lower(), before[2:]
    if given and given[-1] in _OPTIONS and command in _TAKING_OPTIONS:
        start += typed.rfind(",") + 1
        return _wanted(_OPTIONS[given[-1]], typed.rpartition(",")[2], start)
    if command in _TAKING_OPTIONS and typed.startswith("-"):
        return Gap((), typed, start, tuple(option.split()[0] for option in OPTIONS))
    behind = _BEHIND.get(command, ())
    return _wanted(behind[len(given)], typed, start) if len(given) < len(behind) else None


def _wanted(kinds: tuple[str, ...], typed: str, start: int) -> Gap:
    return Gap((), typed, start, kinds[1:]) if kinds[0] == "=" else Gap(kinds, typed, start)


async def suggested(text: str, suggest: Suggest) -> tuple[int, list[tuple[str, Option]]]:
    """Where what is suggested begins, and each suggestion with the text to put there."""
    found = gap(text)
    if found is None:
        return 0, []
    options = [
        Option(value=word, label=word, about=_about(word)) for word in found.words if word.startswith(found.typed)
    ]
    for kind in found.kinds:
        options += await suggest(kind, found.typed)
    head = f"{PREFIX} " if found.start == 0 or not text[: found.start].strip() else ""
    return found.start, [(f"{head}{option.value} ", option) for option in options]


def _about(word: str) -> str:
    return next((does for option, does in OPTIONS.items() if option.split()[0] == word), "")
