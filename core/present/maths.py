r"""Formulae as text: LaTeX between ``$…$``, ``$$…$$``, ``\(…\)`` and ``\[…\]`` becomes Unicode that any platform shows.

Code and sums of money stay as they are, and so does a formula that cannot be read or has commands that we do not know:
LaTeX is better than a formula that says something else.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pylatexenc.latex2text import LatexNodes2Text
    from pylatexenc.latexwalker import LatexWalker

LONGEST = 1_000
"""Characters of a formula; what is longer is none, or nothing that reads well as text."""

MOST_WORK = 4_000
"""Characters of formulae in one text that are put into words; the rest stays as it is: reading LaTeX takes a while."""

EACH = 20
"""How many characters a formula counts as beside its own: each of them costs something to begin with."""


def readable(markdown: str) -> str:
    """The text with its formulae in Unicode. Takes time in proportion to its length, whoever wrote it."""
    if "$" not in markdown and "\\(" not in markdown and "\\[" not in markdown:
        return markdown
    return _Reader(markdown).read()


# --- where formulae are ---------------------------------------------------------------------------------

_MARK = re.compile(
    r"(?P<fence>^ {0,3}(?:`{3,}|~{3,}))|(?P<ticks>`+)|(?P<opener>\$\$|\\\(|\\\[|\$)|(?P<escape>\\.)", re.MULTILINE
)
_CLOSERS = {"$$": "$$", "\\(": "\\)", "\\[": "\\]", "$": "$"}


class _Reader:
    """One walk over a text. Where the next closing mark of a kind is, is looked up once: a text without any costs
    no more than one with many."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._next: dict[str, int] = {}
        self._left = MOST_WORK
        self._out: list[str] = []
        self._done = 0

    def read(self) -> str:
        place = 0
        while match := _MARK.search(self._text, place):
            if match["fence"]:
                place = self._after_fence(match)
            elif match["ticks"]:
                place = self._after_code(match)
            elif match["opener"]:
                place = self._after_formula(match)
            else:
                place = match.end()
        return "".join([*self._out, self._text[self._done :]])

    def _find(self, mark: str, start: int) -> int:
        """Where a mark comes next, -1 for nowhere."""
        known = self._next.get(mark)
        if known is None or -1 < known < start:
            known = self._next[mark] = self._text.find(mark, start)
        return known

    def _after_fence(self, match: re.Match[str]) -> int:
        """Behind a code block; one that nobody closes goes on to the end."""
        mark = match["fence"].strip()
        place = match.end()
        while (place := self._find("\n" + mark[:3], place)) >= 0:
            line_end = self._text.find("\n", place + 1)
            line = self._text[place + 1 : line_end if line_end >= 0 else len(self._text)].strip()
            place = place + 1 + len(line)
            if len(line) >= len(mark) and not line.strip(mark[0]):
                return place
        return len(self._text)

    def _after_code(self, match: re.Match[str]) -> int:
        """Behind code within a line, which as many backticks close as have opened it."""
        ticks = match["ticks"]
        place = match.end()
        while (place := self._find(ticks, place)) >= 0:
            end = place + len(ticks)
            if self._text[end : end + 1] != "`":
                return end
            while self._text[end : end + 1] == "`":
                end += 1
            place = end
        return match.end()

    def _after_formula(self, match: re.Match[str]) -> int:
        opener, start = match["opener"], match.start()
        inside = match.end()
        end = self._find(_CLOSERS[opener], inside)
        if end < 0 or end - inside > LONGEST:
            return inside
        tex = self._text[inside:end]
        after = end + len(_CLOSERS[opener])
        if not _is_formula(opener, tex, self._text[start - 1 : start], self._text[after : after + 1]):
            return inside
        self._left -= len(tex) + EACH
        said = in_unicode(tex) if self._left >= 0 else None
        if said is None:
            return after
        self._out.append(self._text[self._done : start])
        self._out.append(self._display(said, start, after) if opener in ("$$", "\\[") else " ".join(said.split()))
        self._done = after
        return after

    def _display(self, said: str, start: int, after: int) -> str:
        """A formula on lines of its own; several, and what would be taken for a list, as code. Amid a line (which may
        be a row of a table) it stays there."""
        before = self._text[self._text.rfind("\n", 0, start) + 1 : start]
        behind = self._text[after : after + _LOOK]
        lines = said.split("\n")
        if before.strip() or not _NOTHING_MORE.match(behind):
            return "; ".join(lines)
        if len(lines) > 1 or _LIKE_A_LIST.match(said):
            lines = ["```", *lines, "```"]
        above = self._text[max(0, start - len(before) - _LOOK) : start - len(before)]
        first = "" if not above.strip() or _BLANK_ABOVE.search(above) else f"\n{before}"
        last = "\n" if _TEXT_BELOW.match(behind) else ""
        return first + f"\n{before}".join(lines) + last


_LOOK = 80
"""Characters before and behind a formula that are looked at."""

_NOTHING_MORE = re.compile(r"[ \t]*(?:\n|$)")
_TEXT_BELOW = re.compile(r"[ \t]*\n[ \t]*\S")
_BLANK_ABOVE = re.compile(r"\n[ \t]*\n$")
_LIKE_A_LIST = re.compile(r"[-+\u2217>#=](?:\s|$)|\d+[.)](?:\s|$)")
_WORDS = re.compile(r"[A-Za-z]{3,}[ ,]+[A-Za-z]{2,}")
_TELLING = re.compile(r"[\\^_=<>+*/{}|]")


def _is_formula(opener: str, tex: str, before: str, behind: str) -> bool:
    """Whether it is mathematics that stands there, and not two prices, two variables of a shell, or words in
    brackets that were escaped."""
    if not tex.strip() or "\n\n" in tex or "`" in tex:
        return False
    if opener == "$" and (
        tex[0].isspace() or tex[-1].isspace() or "\n" in tex or before.isalnum() or before == "$" or behind.isalnum()
    ):
        return False
    if _TELLING.search(tex):
        return True
    return not _WORDS.search(tex) and not (opener == "$" and tex[0].isdigit() and " " in tex)


# --- what they say --------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def in_unicode(tex: str) -> str | None:
    """A formula as text, without marks that Markdown would take for its own; None for one that cannot be read."""
    from pylatexenc.latexwalker import LatexWalkerParseError

    try:
        nodes, _, _ = _walker(_marked(tex)).get_latex_nodes()
        said = _plain(_writer().nodelist_to_text(nodes)).translate(_SAFE)
    except (LatexWalkerParseError, _UnknownError, RecursionError, ValueError, IndexError):
        return None
    said = _RELATION.sub(r" \1 ", said)
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in said.split("\n"))
    return "\n".join(line for line in lines if line) or None


class _UnknownError(Exception):
    """A command whose meaning we do not know."""


_UP = dict(
    zip(
        "0123456789+-=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVW\u2032\u2212",
        "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207c\u207d\u207e"
        "\u1d43\u1d47\u1d9c\u1d48\u1d49\u1da0\u1d4d\u02b0\u2071\u02b2\u1d4f\u02e1\u1d50\u207f\u1d52\u1d56\u02b3\u02e2"
        "\u1d57\u1d58\u1d5b\u02b7\u02e3\u02b8\u1dbb"
        "\u1d2c\u1d2e\u1d30\u1d31\u1d33\u1d34\u1d35\u1d36\u1d37\u1d38\u1d39\u1d3a\u1d3c\u1d3e\u1d3f\u1d40\u1d41\u2c7d\u1d42"
        "\u2032\u207b",
        strict=True,
    )
) | {"\u2218": "\u00b0"}
_DOWN = dict(
    zip(
        "0123456789+-=()aehijklmnoprstuvx\u2212",
        "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089\u208a\u208b\u208c\u208d\u208e"
        "\u2090\u2091\u2095\u1d62\u2c7c\u2096\u2097\u2098\u2099\u2092\u209a\u1d63\u209b\u209c\u1d64\u1d65\u2093\u208b",
        strict=True,
    )
)
_SMALL = "".join({*_UP.values(), *_DOWN.values()})
_SAFE = str.maketrans({"*": "\u2217", "|": "\u2223", "~": " ", "`": "\u2032"})
_RELATIONS = "=<>\u2264\u2265\u2260\u2248\u2261\u2192\u21d2\u21d4\u27f9\u27fa\u2208\u2209\u2282\u2286\u226a\u226b"
_RELATION = re.compile(rf"[ \t]*([{_RELATIONS}])[ \t]*")
_SCRIPT = re.compile(r"(?<!\\)([\^_])\s*(\{|\\(?:[A-Za-z]+(?!\s*[\[{])(?![A-Za-z]))?|[^\s\\{}^_])")
_NO_SIGN = re.compile(r"\\(left|right|middle)(?![A-Za-z])\s*\.?")
_COMMENT = re.compile(r"(?<!\\)%")
_OPEN, _CLOSE, _NAMED = "\ue000", "\ue001", "\ue002"
"""Stand around a fraction until it is known whether it needs brackets where it is, and behind the name of a function
until it is known whether a blank has to follow."""
_MARKS = re.compile(f"[{_OPEN}{_CLOSE}{_NAMED}]")


def _marked(tex: str) -> str:
    """The formula with what stands high or low as arguments of commands of our own, and without comments.

    Raises _UnknownError where a command with arguments stands there without braces round all of it.
    """

    def script(match: re.Match[str]) -> str:
        command = r"\raisedto" if match[1] == "^" else r"\loweredto"
        if match[2].startswith("\\") and (match[2] == "\\" or match[2][1:] in _TAKE_MORE):
            raise _UnknownError
        return f"{command}{{" if match[2] == "{" else f"{command}{{{match[2]}}}"

    tex = _MARKS.sub("", tex).replace("'", "\u2032")
    return _SCRIPT.sub(script, _NO_SIGN.sub("", _COMMENT.sub(r"\\%", tex)))


def _walker(tex: str) -> LatexWalker:
    from pylatexenc.latexwalker import LatexWalker

    return LatexWalker(tex, latex_context=_grammar(), tolerant_parsing=False)


@cache
def _grammar() -> Any:
    """How many arguments commands have that the library does not know."""
    from pylatexenc.latexwalker import get_default_latex_context_db
    from pylatexenc.macrospec import MacroSpec

    one = [MacroSpec(name, "{") for name in ("raisedto", "loweredto", "boxed", "pmod", "operatorname", *_THROUGH)]
    two = [MacroSpec(name, "{{") for name in ("frac", "dfrac", "tfrac", "cfrac", "binom", "dbinom", "tbinom")]
    grammar = get_default_latex_context_db()
    grammar.add_context_category("ours", macros=[*one, *two], prepend=True)
    return grammar


_TAKE_MORE = frozenset({"frac", "dfrac", "tfrac", "cfrac", "binom", "sqrt", "text", "mathrm", "mathbf", "left"})
_FUNCTIONS = (
    *("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "log", "ln"),
    *(
        "lg",
        "exp",
        "lim",
        "liminf",
        "limsup",
        "max",
        "min",
        "sup",
        "inf",
        "det",
        "dim",
        "ker",
        "deg",
        "gcd",
        "arg",
        "Pr",
    ),
)
_THROUGH = ("mathop", "mathrel", "mathbin", "mathord", "mathopen", "mathclose", "mathstrut", "hbox", "mbox")
_SILENT = (
    *("displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "nonumber", "notag", "middle"),
    *(size + side for size in ("big", "Big", "bigg", "Bigg") for side in ("", "l", "r", "m")),
)
_SIGNS = {"implies": "\u27f9", "impliedby": "\u27f8", "iff": "\u27fa", "bmod": " mod ", "colon": ":", "lvert": "|"}
_SIGNS |= {"rvert": "|", "lVert": "\u2016", "rVert": "\u2016", "land": "\u2227", "lor": "\u2228", "lnot": "\u00ac"}
_ENVIRONMENTS = ("aligned", "alignedat", "gathered", "split", "cases", "dcases", "smallmatrix")


@cache
def _writer() -> LatexNodes2Text:
    from pylatexenc.latex2text import (
        EnvironmentTextSpec,
        LatexNodes2Text,
        MacroTextSpec,
        get_default_latex_context_db,
    )

    def unknown(node: Any) -> str:
        raise _UnknownError

    frac = ("frac", "dfrac", "tfrac", "cfrac", "nicefrac", "textfrac")
    ours = {
        **dict.fromkeys(frac, _fraction),
        **dict.fromkeys(("binom", "dbinom", "tbinom"), _binomial),
        **dict.fromkeys(("overline", "bar"), _overlined),
        **dict.fromkeys(("boxed", "operatorname", *_THROUGH), "%s"),
        **dict.fromkeys(_SILENT, ""),
        **_SIGNS,
        **{name: f"{name}{_NAMED}" for name in _FUNCTIONS},
        "sqrt": _root,
        "raisedto": _raised,
        "loweredto": _lowered,
        "pmod": " (mod %s)",
    }
    texts = get_default_latex_context_db()
    texts.add_context_category(
        "ours",
        macros=[MacroTextSpec(name, simplify_repl=said) for name, said in ours.items()],
        environments=[EnvironmentTextSpec(name, discard=False) for name in _ENVIRONMENTS],
        prepend=True,
    )
    texts.set_unknown_macro_spec(MacroTextSpec("", simplify_repl=unknown))
    texts.set_unknown_environment_spec(EnvironmentTextSpec("", simplify_repl=unknown))
    return LatexNodes2Text(latex_context=texts, math_mode="text")


def _arguments(node: Any, l2tobj: Any) -> list[str]:
    given = node.nodeargd.argnlist if node.nodeargd else ()
    return [_plain(l2tobj.nodelist_to_text([each])).strip() for each in given if each is not None]


def _raised(node: Any, l2tobj: Any) -> str:
    return _script(_arguments(node, l2tobj)[0], _UP, "^")


def _lowered(node: Any, l2tobj: Any) -> str:
    return _script(_arguments(node, l2tobj)[0], _DOWN, "_")


def _script(text: str, letters: dict[str, str], mark: str) -> str:
    """High or low letters where there are such for all of it, else a mark and, round more than one, brackets."""
    if all(letter in letters for letter in text):
        return "".join(letters[letter] for letter in text)
    return mark + (text if len(text) == 1 else f"({text})")


_ATOM = re.compile(rf"\d+(?:[.,]\d+)?|\w[{_SMALL}]*|\([^()]*\)")


def _fraction(node: Any, l2tobj: Any) -> str:
    above, below = (text if _ATOM.fullmatch(text) else f"({text})" for text in _arguments(node, l2tobj))
    return f"{_OPEN}{above}/{below}{_CLOSE}"


_TOUCHES = re.compile(rf"[\w)\]/{_SMALL}]")
_TOUCHED = re.compile(rf"[\w(\[/^{_SMALL}{_OPEN}]")
_AFTER_NAME = re.compile(rf"{_NAMED}(?=[^\W_]|\u221a)(?![{_SMALL}])")
_FRACTION = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")


def _plain(text: str) -> str:
    """Fractions in brackets where they touch something that would else belong to them."""

    def settled(match: re.Match[str]) -> str:
        before, behind = text[: match.start()][-1:], text[match.end() : match.end() + 1]
        alone = not (before and _TOUCHES.match(before)) and not (behind and _TOUCHED.match(behind))
        return match[1] if alone and before != _CLOSE else f"({match[1]})"

    return _AFTER_NAME.sub(" ", _FRACTION.sub(settled, text)).replace(_NAMED, "")


def _root(node: Any, l2tobj: Any) -> str:
    *degree, under = _arguments(node, l2tobj)
    return f"{_script(degree[0], _UP, '^') if degree else ''}\u221a({under})"


def _binomial(node: Any, l2tobj: Any) -> str:
    above, below = _arguments(node, l2tobj)
    return f"({above} choose {below})"


def _overlined(node: Any, l2tobj: Any) -> str:
    return "".join(letter + "\u0305" for letter in _arguments(node, l2tobj)[0])
