"""Reading the words behind a command: options, quotes, numbers; and quoting them in an error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from core.errors import BadInput

C = TypeVar("C")

_DASHES = re.compile(r"^[\u2010-\u2015\u2212]{1,2}(?=[A-Za-z])")
_OPTION = re.compile(r"--?(?P<name>[A-Za-z-]+)(?:=(?P<value>\S+))?$")


def first_word(text: str) -> tuple[str, str]:
    """The first word and what stands behind it, whatever white space there is between them."""
    word, rest = [*text.split(maxsplit=1), "", ""][:2]
    return word, rest.strip()


def options(
    text: str, command: str, named: Sequence[str], flags: Sequence[str] = (), *, anywhere: bool = False
) -> tuple[dict[str, str], str]:
    """The options that ``text`` begins with (or that stand ``anywhere`` in it), and the rest of it.

    Long dashes count as two, since phones write them so. Raises BadInput for an option there is not, or without value.
    """
    found: dict[str, str] = {}
    kept: list[str] = []
    rest = text
    while rest:
        word, after = first_word(rest)
        dashed = _DASHES.sub("--", word)
        match = _OPTION.match(dashed) if dashed.startswith("--") else None
        if match is None:
            if not anywhere:
                break
            kept.append(word)
            rest = after
            continue
        name = match["name"].lower()
        if name in flags:
            found[name] = ""
        elif name in named:
            value, after = (match["value"], after) if match["value"] else first_word(after)
            if not value:
                raise BadInput(f"`--{name}` needs a value behind it, e.g. `{command} --{name} value …`.")
            found[name] = value.strip("`")
        else:
            there = ", ".join(f"`--{n}`" for n in (*named, *flags))
            raise BadInput(f"`{command}` has no option `--{name}`; it has {there}.")
        rest = after
    return found, " ".join(kept) if anywhere else rest


def unquoted(text: str) -> str:
    """A text without the quotation marks around the whole of it."""
    quoted = re.fullmatch('["“”]([^"“”]*)["“”]', text)
    return quoted[1].strip() if quoted else text


def page_of(text: str, command: str) -> int:
    """A page's number. Raises BadInput."""
    if not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= 10_000:
        raise BadInput(f"`{short(text)}` is not a page; write `{command}` or `{command} 2`.")
    return int(text)


def without_words(command: C, name: str, rest: str) -> C:
    """The command, which takes nothing behind it. Raises BadInput where there is something."""
    if rest:
        raise BadInput(f"`{name}` takes nothing behind it.")
    return command


def short(text: str) -> str:
    """A user's own words for quoting in an error: one line, no code marks, not long."""
    flat = " ".join(text.replace("`", "'").split())
    return flat if len(flat) <= 60 else flat[:59] + "…"
