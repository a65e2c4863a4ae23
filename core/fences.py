"""Foreign text that is shown to a judge between marks must not look as if it had marks of its own.

Real marks carry a random word, so nobody can forge one; but a judge may not look that closely. So what has the shape of
a mark is taken out of foreign text, in whatever brackets and look-alike letters it comes.
"""

# ruff: noqa: RUF001 - look-alike characters are what this is about

from __future__ import annotations

import re
import unicodedata

_LESS, _MORE = "<＜﹤‹〈⟨❮˂«《⟪≪", ">＞﹥›〉⟩❯˃»》⟫≫"
_TWO_IN_ONE = "«《⟪≪»》⟫≫"
_UNSEEN = r"\s\u00ad\u034f\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"

_MARK_LIKE = re.compile(
    rf"(?P<open>(?:&lt;|[{_LESS}])(?:[{_UNSEEN}]*+(?:&lt;|[{_LESS}])){{0,40}}[{_UNSEEN}]*+)"
    rf"(?P<inside>(?:[^{_LESS}{_MORE}{_UNSEEN}&][{_UNSEEN}]*+){{2,160}}?)"
    rf"(?P<close>(?:&gt;|[{_MORE}])(?:[{_UNSEEN}]*+(?:&gt;|[{_MORE}]))*)"
)
"""Only what is seen is counted, for a mark may be stretched with what is not."""

_OURS = re.compile(
    r"[\s_:#*/-]*(?:end|candidate|question|earlier|answer)(?:[\s_:#.,/|-]+\w+){1,6}[\s_:#*./!-]*", re.IGNORECASE
)
_ALIKE = str.maketrans("АВСЕНІЈКМОРЅТХаеорсіѕԁΑΒΕΗΙΚΜΝΟΡΤΧοαı\u115f\u1160", "ABCEHIJKMOPSTXaeopcisdABEHIKMNOPTXoai  ")
_TAG = re.compile(r"<(\s*+(?:/\s*+)?(?:synthesis|ranking|pick|confidence)\s*)>", re.IGNORECASE)

GONE = "[mark removed]"
"""What stands in place of a mark."""


def disarmed(text: str) -> str:
    """The text without what looks like one of our marks, and with the tags of a verdict in square brackets.

    Only what has both double brackets and in them a word of ours and another goes: code's shifts, streams, generics and
    here-documents stay.
    """
    return _TAG.sub(r"[\1]", _MARK_LIKE.sub(_without_mark, text))


def _without_mark(match: re.Match[str]) -> str:
    double = _width(match["open"]) > 1 and _width(match["close"]) > 1
    return GONE if double and _OURS.fullmatch(_plain(match["inside"])) else match[0]


def _width(brackets: str) -> int:
    """How many brackets these look like."""
    plain = brackets.replace("&lt;", "<").replace("&gt;", ">")
    return sum(1 + (char in _TWO_IN_ONE) for char in plain if char in _LESS + _MORE)


def _plain(text: str) -> str:
    """The text as it looks: without what is not seen, accents, and letters of other scripts that look like ours."""
    seen = (c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) not in ("Cf", "Mn"))
    return "".join(seen).translate(_ALIKE)
