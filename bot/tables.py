"""What commands print: tables on a terminal, the same as aligned plain text in a pipe, or JSON."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

UNKNOWN = "-"
"""What stands where nothing is known: never a zero."""

_SLIM = 16  # columns of cells that are never broken

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BREAKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Table:
    """Rows under headings. ``right`` names the columns that hold figures; None in a row is unknown."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | None]] = field(default_factory=list)
    title: str = ""
    right: frozenset[str] = frozenset()


def printable(text: str) -> str:
    """Text from outside as a terminal may get it: without characters that move the cursor or turn the reading order."""
    return _CONTROLS.sub("", text)


def short(text: str, most: int) -> str:
    """One line of at most ``most`` characters."""
    flat = _BREAKS.sub(" ", printable(text)).strip()
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"


def print_table(table: Table) -> None:
    """Show it on standard output."""
    if sys.stdout.isatty():
        _print_rich(table)
    else:
        print("\n".join(plain(table)), flush=True)


def print_json(value: object) -> None:
    """Print as JSON: values of ours, and what is made of them."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=_jsonable), flush=True)


def print_fields(fields: Mapping[str, str | None]) -> None:
    """Names and values, a line each; the values below each other. None is left out."""
    shown = {name: value for name, value in fields.items() if value is not None}
    wide = max(map(len, shown), default=0)
    for name, value in shown.items():
        print(f"{name:<{wide}}  {printable(value)}".rstrip())


def plain(table: Table) -> list[str]:
    """The lines of a table without colours and frames: columns are two spaces apart, a cell is never cut."""
    cells = [[str(name) for name in table.columns], *([_cell(cell) for cell in row] for row in table.rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(_padded, row, widths, (name in table.right for name in table.columns))) for row in cells]
    return [*filter(None, [table.title]), *(line.rstrip() for line in lines)]


def _cell(cell: str | None) -> str:
    return UNKNOWN if cell is None else _BREAKS.sub(" ", printable(cell)).strip()


def _width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _print_rich(table: Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(
        title=table.title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for place, name in enumerate(table.columns):
        slim = all(_width(_cell(row[place])) <= _SLIM for row in table.rows)
        shown.add_column(name, justify="right" if name in table.right else "left", overflow="fold", no_wrap=slim)
    for row in table.rows:
        shown.add_row(*(Text(_cell(cell)) for cell in row))
    Console().print(shown)


def _jsonable(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Iterable):
        return list(value)
    return str(value)
