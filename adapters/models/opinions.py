"""What simulated members say: an opinion in a character's voice, a sum that was worked out, or that they cannot tell.

None of it is knowledge. A member takes a side by lot (the same one each time), works out plain sums, and says
"unknown" where only a fact would do; its review of others goes by whether they come to its own answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from adapters.models.candidates import Candidate, conclusion
from adapters.models.characters import CHARACTERS, MODALS, draw, is_close, plain, topic_of
from adapters.models.sums import is_so, sum_in, worth
from core.asks import QuestionType

UNKNOWN = "unknown"


@dataclass(frozen=True)
class File:
    """Something that came with the question; ``text`` is None for a picture."""

    name: str
    text: str | None = None


@dataclass(frozen=True)
class Task:
    """What a member is asked, as read from its prompt.

    ``must_state`` asks for a final answer whatever the question is. ``earlier`` is the question before, in a follow-up;
    ``points`` are what the last verdict left open, ``own`` is the member's answer then. ``others`` are the answers that
    it is shown, in a debate or, with ``reviewing``, to rank them. ``seed`` sets seats of one model apart.
    ``files`` came with the question.
    """

    question: str
    type: QuestionType | None = None
    must_state: bool = False
    role: str | None = None
    domain: str | None = None
    round: int = 1
    points: tuple[str, ...] = ()
    earlier: str | None = None
    own: str | None = None
    others: tuple[Candidate, ...] = ()
    reviewing: bool = False
    seed: int | None = None
    files: tuple[File, ...] = ()


# --- what it holds --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stand:
    """What a member answers and what it rests on. ``says`` is a sentence of its own for this question."""

    final: str
    rests_on: Literal["reasons for", "reasons against", "a sum", "nothing"]
    says: str = ""


_FACTUAL = re.compile(
    r"(?:who|whom|whose|when|where|which|how (?:many|much|old|long|far|tall)|what(?:'s| is| are| was))\b"
)
_JUDGED = re.compile(r"\b(?:best|better|good|right|wise|worth|should|ought|prefer|favou?rite)\b")
_EITHER = re.compile(r"\b([^\W\d_][\w-]*) or ([^\W\d_][\w-]*)", re.IGNORECASE)
_OPTION = re.compile(r"(?:^|(?<=[\s,;]))\(?([A-Z])[).:]\s+(.+?)[,;.]?(?=\s+\(?[A-Z][).:]\s|\s*$)", re.MULTILINE)


def options_in(question: str) -> dict[str, str]:
    """The options that a question lists by letter, "A) Rome  B) Bern"; none unless they begin with A and go on."""
    found = dict(_OPTION.findall(question))
    return found if len(found) > 1 and list(found) == [chr(ord("A") + i) for i in range(len(found))] else {}


def stand_of(task: Task, dissents: bool) -> Stand:
    """What a member that agrees with the main view, or dissents, holds."""
    options = options_in(task.question)
    stem = _OPTION.sub("", task.question).strip() if options else task.question
    if known := _worked_out(stem, options):
        return known
    if options:
        return _of_options(stem, options, dissents)
    factual = _FACTUAL.match(stem.strip().casefold()) and not _JUDGED.search(stem.casefold())
    either = _EITHER.search(stem)
    if task.type == "number" or (factual and (task.type or task.must_state) and task.type != "open"):
        return Stand(UNKNOWN, "nothing")
    first = draw("side", plain(stem)) < 0.5
    in_favour = first is not dissents
    if either and task.type != "yes-no":
        return Stand(_capital((either[1] if in_favour else either[2]).lower()), "reasons for")
    if task.type == "choice":
        return Stand(UNKNOWN, "nothing")
    if task.type == "yes-no" or plain(stem).split(" ", 1)[0] in MODALS:
        return Stand("Yes", "reasons for") if in_favour else Stand("No", "reasons against")
    if factual:
        return Stand("Narrow the question first" if dissents else "Look it up in a good source", "nothing")
    return (
        Stand("Leave it as it is for now", "reasons against")
        if dissents
        else Stand("Start small and adjust", "reasons for")
    )


def _worked_out(stem: str, options: dict[str, str]) -> Stand | None:
    """The answer to plain arithmetic, as the option that has it where there are options."""
    if (written := sum_in(stem)) and (result := worth(written)):
        shown = " ".join(written.replace("**", "^").replace("*", " \u00d7 ").split())
        letters = [letter for letter, text in options.items() if worth(text) == result]
        if letters or not options:
            return Stand(
                letters[0] if letters else result,
                "a sum",
                f"{shown} = {result}{f', which is {letters[0]}' if letters else ''}.",
            )
    if options or not (so := is_so(stem)):
        return None
    return Stand("Yes" if so[0] else "No", "a sum", so[1])


def _of_options(stem: str, options: dict[str, str], dissents: bool) -> Stand:
    letters = list(options)
    main = int(draw("side", plain(stem)) * len(letters))
    letter = letters[(main + dissents) % len(letters)]
    says = f"Of the options I lean to {letter}, {options[letter].strip(' .')}; that is a leaning and no knowledge."
    return Stand(letter, "reasons for", says)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- what it says ---------------------------------------------------------------------------------------


def opinion(name: str, task: Task) -> str:
    """What the character answers: a few sentences, and a last line with its final answer where one is asked for."""
    stand = _stand(name, task)
    return f"{' '.join(_sentences(name, task, stand))}\n\n{_last_line(task)}: {stand.final}"


def _last_line(task: Task) -> str:
    return "In short" if task.type == "open" and not task.must_state else "Final answer"


def _stand(name: str, task: Task) -> Stand:
    leaning = CHARACTERS[name].leaning
    wavers = leaning == "wavers" and task.round == 1 and is_close(task.question)
    return stand_of(task, leaning == "dissents" or wavers)


def _sentences(name: str, task: Task, stand: Stand) -> list[str]:
    voice = CHARACTERS[name].voice
    topic = "this choice" if options_in(task.question) else topic_of(task.question)
    seed = (name, plain(task.question), task.role, task.domain, task.round, *([task.seed] if task.seed else []))

    def pick(options: Sequence[str]) -> str:
        chosen = options[int(draw(*seed, options[0]) * len(options))]
        return chosen.format(topic=topic, Topic=_capital(topic))

    extras = _extras(task, stand)
    match stand.rests_on:
        case "a sum":
            return [voice.sums, stand.says, *extras]
        case "nothing":
            return [voice.cannot, *extras]
        case side:
            reason = pick(voice.pro if side == "reasons for" else voice.con)
            return [pick(voice.opening), reason, *filter(None, [stand.says]), *extras, pick(voice.closing)]


_LENSES = {
    "utilitarian": "I add up who gains and who loses, and the sum decides.",
    "deontologist": "I ask first which duty or right is at stake, whatever the gain.",
    "virtue ethicist": "I ask what a fair and brave person would do, and which habits grow from it.",
    "libertarian": "I ask who consents and who would be forced.",
    "rawlsian": "I look first at those who fare worst, not knowing whose place I take.",
    "precautionary": "I ask for proof of safety first wherever harm could last.",
    "generator": "I put the strongest answer that I can find on the table.",
    "devil's advocate": "I have looked for the strongest case against my own answer.",
    "fact checker": "I keep what is known apart from what is only claimed.",
}
_MANNER = re.compile(r"you are (?:an? )?([^:;,.]{2,60})", re.IGNORECASE)


def _extras(task: Task, stand: Stand) -> list[str]:
    """Sentences about what is special this time: files, role, an earlier question, another round. Three at most."""
    extras = []
    if task.files:
        extras.append(_on_files(task.files))
    if task.role:
        extras.append(_in_role(task.role))
    if task.others:
        extras.append(_on_others(task, stand))
    elif task.round > 1:
        changed = " It has changed my answer." if _changed(task, stand) else ""
        extras.append(f"I have thought again about this: {_point(task)}.{changed}")
    if task.earlier:
        extras.append(f"This goes on from what was said about {topic_of(task.earlier)}.")
    if task.domain:
        extras.append(f"With {task.domain} in view, those concerned come first.")
    return extras[:3]


def _on_files(files: Sequence[File]) -> str:
    """That it was given files, which it understands nothing of: their names, and how the first text begins."""
    names = ", ".join(file.name for file in files)
    begins = next((" ".join(file.text.split()[:8]) for file in files if file.text), None)
    told = f"; what I see is how the text begins: \u201c{begins[:80]}\u201d" if begins else ""
    return f"I was given {names}, and being simulated I can neither read nor see what that means{told}."


def _point(task: Task) -> str:
    """What was left open, in short: where that quotes somebody, the quotation."""
    said = task.points[0] if task.points else "what was still open"
    quoted = re.search(r"“([^”]*)", said)
    return f"“{quoted[1][:120].rstrip(' .')}”" if quoted else said[:120].rstrip(" .")


def _in_role(role: str) -> str:
    if manner := _MANNER.match(role):
        return f"My role here is to be {manner[1].strip()}."
    lens = _LENSES.get(role.casefold(), "I look at it from that place first.")
    if re.match(r"(?:an?|the|my|your|our) ", role, re.IGNORECASE):
        return f"As {role[0].lower()}{role[1:]}, {lens}"
    return f"As {'an' if role[0] in 'AEIOaeio' else 'a'} {role}, {lens}"


def _changed(task: Task, stand: Stand) -> bool:
    own, now = conclusion(task.own or "")[1], conclusion(f"Final answer: {stand.final}")[1]
    return own is not None and now is not None and own != now


def _on_others(task: Task, stand: Stand) -> str:
    """How what the others say has moved it, in a debate."""
    if _changed(task, stand):
        return "The others have shown me what I had missed, so I change my answer."
    mine = conclusion(f"Final answer: {stand.final}")[1]
    against = sum(other.final not in (None, mine) for other in task.others)
    if not against:
        return "I have read the others, and nothing in them speaks against this."
    return f"{'One of the others comes' if against == 1 else 'Others come'} to another answer; my reasons stand."


def review(name: str, task: Task) -> str:
    """The character's ranking of the answers that it is shown: first those that come to its own, last those against it.

    Those of a kind stand level: the character knows nothing by which to tell them apart.
    """
    mine = conclusion(f"Final answer: {_stand(name, replace(task, round=1)).final}")[1]
    places: dict[int, list[str]] = {}
    lines = []
    for other in task.others:
        place = 0 if other.final == mine else 1 if other.final is None else 2
        places.setdefault(place, []).append(other.letter)
        lines.append(f"{other.letter} {_remark(other, place)}")
    ranking = " > ".join(" = ".join(places[place]) for place in sorted(places))
    return "\n".join([*lines, f"\nRanking: {ranking}"])


def _remark(other: Candidate, place: int) -> str:
    if place == 0 and other.final is None:
        return "admits, as I did, that it cannot tell."
    if place == 0:
        return f"comes to the answer that I gave, and says why: “{other.point}”"
    if place == 1:
        return "leaves open what it comes to."
    return f"comes to another answer, {other.said}; what I said still speaks against that."
