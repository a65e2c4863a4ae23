"""How a simulated judge decides: it counts the final answers that the candidates state, nothing else.

Its reply has the fields that it is asked for, so one rule serves all methods of judging. Nothing depends on the letters
or the order in which candidates are shown.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from adapters.models.candidates import Candidate, between_marks, brief
from adapters.models.characters import draw
from core.judging import FEW, SENTENCE
from core.ports import Prompt

_MARK = re.compile(r"<<(?:EARLIER|QUESTION|CANDIDATE A) (\w+)>>")
_REVIEWED = re.compile(
    r"^The members ranked each other's answers without names: ([A-L](?:, [A-L])*), best", re.MULTILINE
)
_KEYS = ("synthesis", "confidence", "members", "refine", "common", "disputed", "alone")


def verdict(prompt: Prompt) -> str:
    """The reply to an arbiter's prompt: JSON with the fields that its schema asks for."""
    case = prompt.messages[-1].content if prompt.messages else ""
    mark = _MARK.search(case)  # the first mark stands before any foreign text, so nobody can have forged it
    candidates = between_marks("CANDIDATE", case, mark[1]) if mark else ()
    if not mark or not candidates:
        return "There are no candidates to judge."
    after = case.rpartition(f" {mark[1]}>>")[2]
    reviewed = _REVIEWED.search(after)
    found = judge(candidates, reviewed[1].split(", ") if reviewed else ())
    keys = (prompt.json_schema or {}).get("required", _KEYS)
    return json.dumps({key: found[key] for key in keys if key in found}, ensure_ascii=False)


def judge(candidates: Sequence[Candidate], reviewed: Sequence[str] = ()) -> dict[str, Any]:
    """Everything that a judge may be asked for. ``reviewed`` are letters as the members ranked them, best first."""
    leading = _leading(candidates, reviewed)
    stances = {c.letter: _stance(c.final, leading) for c in candidates}
    order = sorted(candidates, key=lambda c: (_PLACES[stances[c.letter]], _place(c, reviewed)))
    share = sum(_WORTH[stance] for stance in stances.values()) / len(candidates)
    confidence = _confidence(share) if leading else 40
    disagreeing = [c for c in order if stances[c.letter] == "disagree"]
    refine = [f"whether this objection holds: “{c.point}”" for c in disagreeing[:2]]
    if not leading:
        refine = ["state a final answer that can be compared"]

    def entry(c: Candidate) -> dict[str, str]:
        return {"letter": c.letter, "stance": stances[c.letter], "point": c.point}

    return {
        "synthesis": _synthesis(order, stances, confidence),
        "pick": order[0].letter,
        "confidence": confidence,
        # Where there is no answer to agree with, nobody's stance is known, and so no confidence.
        "members": [entry(c) for c in candidates if leading],
        "ranking": [entry(c) for c in order],
        "refine": refine if confidence < 80 else [],
        **_compared(order, leading),
    }


_PLACES = {"agree": 0, "partly": 1, "disagree": 2}
_WORTH = {"agree": 1.0, "partly": 0.5, "disagree": 0.0}


def _leading(candidates: Sequence[Candidate], reviewed: Sequence[str]) -> str | None:
    """The final answer that most state; of equals, that of whom the members ranked highest, else by lot."""
    votes = Counter(c.final for c in candidates if c.final)
    if not votes:
        return None
    best = {c.final: _place(c, reviewed) for c in sorted(candidates, key=lambda c: _place(c, reviewed), reverse=True)}
    return min(votes, key=lambda final: (-votes[final], best[final][0], draw("lot", final)))


def _place(candidate: Candidate, reviewed: Sequence[str]) -> tuple[int, float]:
    """Where the members ranked it; without that, by lot."""
    place = reviewed.index(candidate.letter) if candidate.letter in reviewed else len(reviewed)
    return place, draw("lot", candidate.text)


def _stance(final: str | None, leading: str | None) -> str:
    if final is None or leading is None:
        return "partly"
    return "agree" if final == leading else "disagree"


def _confidence(share: float) -> int:
    """From the share that agrees: all 95, four of five 85, three of four 81, three of five 66, half 52."""
    missing = 1 - share
    return round(95 - 25 * missing - 120 * missing**2)


def _compared(order: Sequence[Candidate], leading: str | None) -> dict[str, Any]:
    """What all say, what they differ on, and what each says alone, as far as that can be seen without understanding."""
    saying = Counter(sentence for c in order for sentence in {s.casefold() for s in c.sentences} if sentence)
    # Who says "I" speaks of itself and not of the question.
    told = [s for s in dict.fromkeys(order[0].sentences) if not s.startswith("I ")]
    common = [s for s in told if saying[s.casefold()] == len(order)]
    if leading and all(c.final == leading for c in order):
        common.insert(0, f"The answer is “{brief(order[0].said or '', 60)}”.")
    # Those who disagree come first: an objection that only one has is easily lost.
    alone = [
        {"letter": c.letter, "point": brief(c.sentences[-1], SENTENCE)}
        for c in sorted(order, key=lambda c: c.final in (None, leading))
        if len(c.sentences) > 2 and saying[c.sentences[-1].casefold()] == 1  # the second one is its point already
    ]
    return {"common": [brief(s, SENTENCE) for s in common[:FEW]], "disputed": _disputed(order), "alone": alone[:FEW]}


def _disputed(order: Sequence[Candidate]) -> list[str]:
    """In one sentence which final answers there are, and how many state each."""
    words: dict[str, str] = {}
    for c in order:
        if c.final:
            words.setdefault(c.final, brief(c.said or "", 30))
    votes = Counter(c.final for c in order if c.final)
    sides = [f"“{words[final]}” ({votes[final]})" for final in sorted(votes, key=lambda f: (-votes[f], draw("lot", f)))]
    if sides and (silent := len(order) - votes.total()):
        sides.append(f"none that can be compared ({silent})")
    if len(sides) < 2:
        return []
    shown = sides[:3] + (["others"] if len(sides) > 3 else [])
    return [f"What the answer is: {', '.join(shown[:-1])} or {shown[-1]}."]


def _synthesis(order: Sequence[Candidate], stances: dict[str, str], confidence: int) -> str:
    agreeing = [c for c in order if stances[c.letter] == "agree"]
    others = [c for c in order if stances[c.letter] == "disagree"]
    if not agreeing:
        said = " ".join(dict.fromkeys(c.point for c in order[:3]))
        if all(c.abstains for c in order):
            return f"**Nobody here can tell.** {said}"
        return f"**No common answer can be read from these texts:** none of them states a final one. {said}"
    said = agreeing[0].said or ""
    parts = [f"**{said[:1].upper()}{said[1:]}.**"]
    parts += dict.fromkeys(c.point for c in agreeing[:2])
    if others:
        parts.append(f"There is another view ({others[0].said}): “{others[0].point}”")
    if confidence < 80:
        parts.append("The answers are close, so this may yet change.")
    return " ".join(parts)
