"""Who the simulated members are and how they speak: generic reasoning in five voices, no facts, no randomness."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Leaning = Literal["agrees", "dissents", "wavers"]
"""With the panel's main view, against it, or against it at first on a close question."""


@dataclass(frozen=True)
class Voice:
    """How a character speaks. ``pro`` and ``con`` are its reasons for and against; ``{topic}`` is filled in."""

    opening: tuple[str, ...]
    pro: tuple[str, ...]
    con: tuple[str, ...]
    closing: tuple[str, ...]


@dataclass(frozen=True)
class Character:
    """A simulated member. ``think`` is how long it takes to begin, ``word`` to write a word, in seconds.

    ``losses`` is the share of questions on which it cannot be reached.
    """

    voice: Voice
    leaning: Leaning = "agrees"
    think: float = 0.5
    word: float = 0.012
    losses: float = 0.0


@dataclass(frozen=True)
class Task:
    """What a member is asked, as read from its prompt. ``earlier`` is the question before, in a follow-up."""

    question: str
    role: str | None = None
    domain: str | None = None
    round: int = 1
    points: tuple[str, ...] = ()
    earlier: str | None = None


CHARACTERS: dict[str, Character] = {
    "pragmatist": Character(
        Voice(
            opening=(
                "What counts with {topic} is how it works on an ordinary day.",
                "I judge {topic} by what people can do with it next week.",
                "Let us keep {topic} practical.",
            ),
            pro=(
                "With clear rules it can save effort, and a mistake can still be undone.",
                "The useful part comes early, and the rough edges can be fixed along the way.",
            ),
            con=(
                "It would cost effort every day while the benefit stays small.",
                "The trouble comes early, and going back later would be hard.",
            ),
            closing=(
                "Set a date to look again, and keep what has helped.",
                "Agree on one plain measure before anything starts.",
            ),
        ),
    ),
    "optimist": Character(
        Voice(
            opening=(
                "I am hopeful about {topic}, and glad that somebody asks.",
                "There is something to look forward to in {topic}.",
                "{Topic} is a chance as much as a problem.",
            ),
            pro=(
                "People who are trusted with a choice often use it well and enjoy the freedom.",
                "A confident start invites others to join and to make it better.",
            ),
            con=(
                "There are happier ways to reach the same end, and they leave people more freedom.",
                "I trust people to find something better than this, and would love to see them try.",
            ),
            closing=(
                "I would begin with those who are eager and let their delight spread.",
                "Whatever is chosen, thank those who make it work.",
            ),
        ),
        think=0.7,
    ),
    "skeptic": Character(
        Voice(
            opening=(
                "I doubt that {topic} is as simple as it sounds.",
                "My worry with {topic} is what nobody has mentioned yet.",
                "Before anyone cheers for {topic}, ask who would pay for a failure.",
            ),
            pro=(
                "I fear the harm of doing nothing more than the risk of trying.",
                "The usual objections are weak, and hiding behind them is the greater danger.",
            ),
            con=(
                "The risk falls on people who were not asked, and the harm may be hard to repair.",
                "I fear hidden costs, and the promises sound too good to be trusted.",
            ),
            closing=(
                "Show me what would count as a failure, and who would admit it.",
                "I would be angry to see the doubts noted and then ignored.",
            ),
        ),
        leaning="dissents",
        think=0.9,
    ),
    "scholar": Character(
        Voice(
            opening=(
                "The terms come first: {topic} can mean several things, and the answer changes with them.",
                "It is worth separating what is known about {topic} from what is merely assumed.",
                "I am curious which evidence on {topic} would change a careful mind.",
            ),
            pro=(
                "On the most natural reading the reasons in favour are stronger, although they depend on conditions.",
                "Weighed side by side, the arguments for it rest on fewer assumptions.",
            ),
            con=(
                "On the most natural reading the reasons against are stronger, although they depend on conditions.",
                "Weighed side by side, the arguments against it rest on fewer assumptions.",
            ),
            closing=(
                "I hold this with moderate certainty and would revise it for good evidence.",
                "A small comparison, planned in advance, would teach more than further debate.",
            ),
        ),
        leaning="wavers",
        think=1.6,
    ),
    "nomad": Character(
        Voice(
            opening=(
                "Seen from the road, {topic} looks different in every place.",
                "Ask about {topic} in three towns and you get three stories.",
                "I have no fixed home, so I ask what {topic} does for those in between.",
            ),
            pro=(
                "It leaves room for people to move, and room is what most of them lack.",
                "It bends where places differ, and what bends lasts longer.",
            ),
            con=(
                "It ties people down, and what ties people down seldom fits two places.",
                "It treats all places alike, and that is a surprise waiting to happen.",
            ),
            closing=("Pack light, and leave a way back.", "Let each place choose its own pace."),
        ),
        think=0.6,
        losses=1 / 3,
    ),
    "arbiter": Character(
        Voice(
            opening=("I would rather weigh other answers on {topic} than give one of my own.",),
            pro=("Taken by itself, the case in favour seems somewhat stronger.",),
            con=("Taken by itself, the case against seems somewhat stronger.",),
            closing=("Hear the other side before relying on this.",),
        ),
        think=0.5,
        word=0.03,
    ),
}
"""The characters by name. Four agree as a rule: two quick ones in different words, a slow one that wavers on
close questions, and one that cannot be reached on a third of all questions; the skeptic dissents. The arbiter
answers as a member, too, when it is asked as one."""

_LENSES = {
    "utilitarian": "I add up who gains and who loses, and the sum decides.",
    "deontologist": "I ask first which duty or right is at stake, whatever the gain.",
    "virtue ethicist": "I ask what a fair and brave person would do, and which habits grow from it.",
    "libertarian": "I ask who consents and who would be forced.",
    "rawlsian": "I look first at those who fare worst, not knowing whose place I take.",
    "precautionary": "I ask for proof of safety first wherever harm could last.",
}

_CLOSE_SHARE = 0.25
_FACTUAL = re.compile(r"^(?:who|whom|whose|when|where|how (?:many|much|old|long|far|tall)|what(?:'s| is| are| was))\b")
_CHOICE = re.compile(r"\b([^\W\d_][\w-]*) or ([^\W\d_][\w-]*)", re.IGNORECASE)
_WORD = re.compile(r"[^\W_][\w'-]*")
_MODALS = frozenset(
    _WORD.findall("should is are was were am do does did can could will would has have had may might must shall ought")
)
_JOINING = frozenset({"of", "in", "or"})
_STOP = _MODALS | frozenset(
    _WORD.findall(
        """a about after all also an and any as at avoid be because been before being best better between build but by
        choose explain fix for from get give handle how i if improve increase into it its just keep make me more most
        much my need not on one our over pick please reduce so some solve start stop such support tell than that the
        their them then there these they this those to too under us use we what when where which while who whom whose
        why with you your"""
    )
)


def draw(*parts: object) -> float:
    """A number in 0..1 that depends on the parts alone."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8]) / 2**64


def plain(text: str) -> str:
    """Words in lower case with single spaces: what questions and answers are compared by."""
    return " ".join(_WORD.findall(text.casefold()))


def topic_of(question: str) -> str:
    """What a question is about: its longest run of words that carry meaning."""
    best: list[str] = []
    for clause in re.split(r"[^\w\s'-]+", question):
        run: list[str] = []
        joining: list[str] = []
        for word in _WORD.findall(clause):
            if word.casefold() in _JOINING:
                joining = [word]
            elif word.casefold() in _STOP:
                run, joining = [], []
            else:
                run, joining = [*run, *(joining if run else []), word], []
            if len(run) > len(best):
                best = run
    topic = " ".join(best[:5]) or "this question"
    return topic if topic[1:2].isupper() else topic[0].lower() + topic[1:]


def is_close(question: str) -> bool:
    """Whether the first round on it is close: one more member dissents."""
    return draw("close", plain(question)) < _CLOSE_SHARE


def is_lost(name: str, question: str) -> bool:
    """Whether the character cannot be reached on this question."""
    return draw("connection", name, plain(question)) < CHARACTERS[name].losses


def opinion(name: str, task: Task) -> str:
    """What the character says: three to six sentences, the last line its final answer."""
    character = CHARACTERS[name]
    voice, topic = character.voice, topic_of(task.question)
    seed = (name, plain(task.question), task.role, task.domain, task.round)

    def pick(options: Sequence[str]) -> str:
        chosen = options[int(draw(*seed, options[0]) * len(options))]
        return chosen.format(topic=topic, Topic=topic[:1].upper() + topic[1:])

    dissents = character.leaning == "dissents" or (
        character.leaning == "wavers" and task.round == 1 and is_close(task.question)
    )
    final, in_favour = _side(task.question, dissents)
    extras = _extras(task)
    sentences = [pick(voice.opening), pick(voice.pro if in_favour else voice.con), *extras, pick(voice.closing)]
    return f"{' '.join(sentences)}\n\nFinal answer: {final}"


def _extras(task: Task) -> list[str]:
    """Sentences about what is special this time: role, domain, an earlier question, another round. Three at most."""
    extras = []
    if task.role:
        lens = _LENSES.get(task.role.casefold(), "I look at it from that place first.")
        extras.append(f"{_as(task.role)}, {lens}")
    if task.round > 1:
        point = re.sub(r"^.*“|”.*$", "", task.points[0])[:120].rstrip(".") if task.points else "what was still open"
        extras.append(f"I have thought again about this: {point}.")
    if task.earlier:
        extras.append(f"This goes on from what was said about {topic_of(task.earlier)}.")
    if task.domain:
        extras.append(f"With {task.domain} in view, those concerned come first.")
    return extras[:3]


def _as(role: str) -> str:
    if re.match(r"(?:an?|the|my|your|our) ", role, re.IGNORECASE):
        return f"As {role[0].lower()}{role[1:]}"
    return f"As {'an' if role[0] in 'AEIOaeio' else 'a'} {role}"


def _side(question: str, dissents: bool) -> tuple[str, bool]:
    """The final answer, and whether the reasons speak in favour."""
    words = plain(question)
    first = draw("side", words) < 0.5
    if choice := _CHOICE.search(question):
        return (choice[1] if first is not dissents else choice[2]).lower(), True
    if words.split(" ", 1)[0] in _MODALS:
        in_favour = first is not dissents
        return ("yes" if in_favour else "no"), in_favour
    if _FACTUAL.match(question.strip().casefold()):
        return ("the question needs to be narrowed first" if dissents else "look it up in a good source"), not dissents
    return ("leave it as it is for now" if dissents else "start small and adjust"), not dissents
