"""Foreign text that is shown to a judge between marks must not look as if it had marks of its own.

Real marks carry a random word, so nobody can forge one; but a judge may not look that closely. So what has the shape of
a mark is taken out of foreign text, in whatever brackets and look-alike letters it comes.
"""

# ruff: noqa: RUF001 - look-alike characters are what this is about

from __future__ import annotations

import re
import unicodedata

_SINGLE, _LESS = "<＜﹤‹〈⟨❮˂", "<＜﹤‹〈⟨❮˂«《⟪≪"
_MORE = ">＞﹥›〉⟩❯˃»》⟫≫"
_UNSEEN = r"\s\u00ad\u034f\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"

_MARK_LIKE = re.compile(
    rf"(?P<open>(?:&lt;|[{_LESS}])(?:&lt;|[{_LESS}{_UNSEEN}]){{0,40}})"
    rf"(?P<inside>[^{_LESS}{_MORE}&]{{2,160}}?)"
    rf"(?:&gt;|[{_MORE}])(?:[{_UNSEEN}]{{0,40}}(?:&gt;|[{_MORE}]))*"
)
_OPENS_TWICE = re.compile(rf"(?:&lt;|[{_SINGLE}]).*(?:&lt;|[{_SINGLE}])|[«《⟪≪]", re.DOTALL)
_OURS = re.compile(
    r"[\s_:#*/-]*(?:end|candidate|question|earlier|answer)(?:[\s_:#.,/|-]+\w+){0,6}[\s_:#*./!-]*", re.IGNORECASE
)
_ALIKE = str.maketrans("АВСЕНІЈКМОРЅТХаеорсіѕԁΑΒΕΗΙΚΜΝΟΡΤΧοαı", "ABCEHIJKMOPSTXaeopcisdABEHIKMNOPTXoai")
_TAG = re.compile(r"<(\s*/?\s*(?:synthesis|ranking|pick|confidence)\s*)>", re.IGNORECASE)

GONE = "[mark removed]"
"""What stands in place of a mark."""


def disarmed(text: str) -> str:
    """The text without what looks like one of our marks, and with the tags of a verdict in square brackets.

    Only what has both double brackets and begins with a word of ours goes: shifts, streams and generics of code stay.
    """
    return _TAG.sub(r"[\1]", _MARK_LIKE.sub(_without_mark, text))


def _without_mark(match: re.Match[str]) -> str:
    if not _OPENS_TWICE.search(match["open"]):
        return match[0]
    return GONE if _OURS.fullmatch(_plain(match["inside"])) else match[0]


def _plain(text: str) -> str:
    """The text as it looks: without what is not seen, accents, and letters of other scripts that look like ours."""
    seen = (c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) not in ("Cf", "Mn"))
    return "".join(seen).translate(_ALIKE)
