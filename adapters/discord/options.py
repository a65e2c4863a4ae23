"""What a slash command takes: its options as Discord lists them, and what was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.commands.values import Command

STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, FILE = 3, 4, 5, 6, 7, 8, 11
"""Discord's types of options."""

Given = Mapping[str, Any]
"""What was given, by the options' names; ids of people, channels and roles as text."""


@dataclass(frozen=True)
class Opt:
    """One option. ``suggest`` names what is offered while somebody types, see :meth:`core.service.Service.suggest`;
    ``least`` and ``most`` bound a text's length, or a number."""

    name: str
    does: str
    kind: int = STRING
    required: bool = False
    suggest: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None

    def payload(self) -> dict[str, Any]:
        """As Discord takes it."""
        bounds = ("min_length", "max_length") if self.kind == STRING else ("min_value", "max_value")
        written: dict[str, Any] = {"type": self.kind, "name": self.name, "description": self.does}
        if self.required:
            written["required"] = True
        if self.suggest:
            written["autocomplete"] = True
        if self.choices:
            written["choices"] = [{"name": choice, "value": choice} for choice in self.choices]
        return written | {key: b for key, b in zip(bounds, (self.least, self.most), strict=True) if b is not None}


@dataclass(frozen=True)
class Sub:
    """One sub-command. ``words`` is how it is called behind ``/consortium``, e.g. "roles assign"."""

    words: str
    does: str
    options: tuple[Opt, ...]
    make: Callable[[Given], Command]

    @property
    def needed(self) -> str:
        """How it is written with no more than it needs."""
        return " ".join([f"/consortium {self.words}", *(f"{o.name}: …" for o in self.options if o.required)])

    @property
    def usage(self) -> str:
        """How it is written, with its options as Discord names them."""
        options = (f"{o.name}: …" if o.required else f"[{o.name}: …]" for o in self.options)
        return " ".join([f"/consortium {self.words}", *options])
