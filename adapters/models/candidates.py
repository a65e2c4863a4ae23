"""Others' answers as a simulated model reads them: only what stands between real marks, compared by final answers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.votes.answers import final_answer
from core.votes.normal import normalise

_FINAL = re.compile(r"^\W*final answer\W*?:.*$", re.IGNORECASE | re.MULTILINE)
_IN_SHORT = re.compile(r"^In short: (.+)$", re.MULTILINE)
_HEDGE = re.compile(r"^(?:it depends|depends|partly|perhaps|maybe|yes,? but|no,? but|both)\b")


@dataclass(frozen=True)
class Candidate:
    """An answer of somebody else. ``said`` is the answer that it states, ``final`` a form in which equal ones are
    equal; both None when it states none, abstains or hedges.
    """

    letter: str
    text: str
    said: str | None
    final: str | None

    @property
    def abstains(self) -> bool:
        """Whether it has a line for its final answer, and says there that it cannot tell."""
        return self.final is None and _FINAL.search(self.text) is not None

    @property
    def point(self) -> str:
        """The sentence after the opening one, where reasons tend to begin; else the only one."""
        sentences = self.sentences
        return brief(sentences[min(1, len(sentences) - 1)], 200)

    @property
    def sentences(self) -> list[str]:
        """What it says besides its final answer; at least one, which may be empty."""
        body = _IN_SHORT.sub("", _FINAL.sub("", self.text))
        return re.split(r"(?<=[.!?])\s+", " ".join(body.split()))


def brief(text: str, most: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def candidate(letter: str, text: str) -> Candidate:
    """Read one answer."""
    said, final = conclusion(text)
    return Candidate(letter, text, said, final)


def conclusion(text: str) -> tuple[str, str] | tuple[None, None]:
    """What a text states as its answer, as said and in a form for comparing."""
    if stated := final_answer(text):
        said, final = stated.text, stated.normal
    elif brief := _IN_SHORT.findall(text):
        said, final = brief[-1].strip(" ."), normalise(brief[-1])
    else:
        return None, None
    return (None, None) if _HEDGE.match(final) else (said, final)


def between_marks(what: str, shown: str, nonce: str) -> tuple[Candidate, ...]:
    """The texts between marks that carry the nonce, whatever else in there looks like a mark."""
    blocks = re.findall(rf"<<{what} (\w+) {nonce}>>\n(.*?)\n<<END \1 {nonce}>>", shown, re.DOTALL)
    return tuple(candidate(letter, text) for letter, text in blocks)
