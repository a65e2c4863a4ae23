"""Who the simulated members are: generic reasoning in five voices, no facts, no randomness."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

Leaning = Literal["agrees", "dissents", "wavers"]
"""With the panel's main view, against it, or against it at first on a close question."""


@dataclass(frozen=True)
class Voice:
    """How a character speaks. ``pro`` and ``con`` are its reasons for and against, ``sums`` how it introduces what it
    has worked out, ``cannot`` what it says where it cannot tell; ``{topic}`` is filled in.
    """

    opening: tuple[str, ...]
    pro: tuple[str, ...]
    con: tuple[str, ...]
    closing: tuple[str, ...]
    sums: str
    cannot: str


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
            sums="I have simply worked it out, step by step.",
            cannot="I have no way to look this up, and an answer out of thin air would help nobody.",
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
            sums="A pleasure, for once something that can be settled.",
            cannot="I would love to tell, but nothing in the question lets me find out.",
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
            sums="I did it twice and looked for a mistake, and found none.",
            cannot="Whoever names an answer here without a source is guessing, and I will not.",
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
            sums="Powers come first, then products and quotients, then sums and differences.",
            cannot="This is a matter of record and not of reasoning, and I have no record at hand.",
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
            sums="Sums are the same in every town.",
            cannot="I have heard three answers to this on the road, and trust none of them.",
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
            sums="I can check this one myself.",
            cannot="No weighing of answers replaces a source, and I have none.",
        ),
        think=0.5,
        word=0.03,
    ),
}
"""The characters by name. Four agree as a rule: two quick ones in different words, a slow one that wavers on
close questions, and one that cannot be reached on a third of all questions; the skeptic dissents. The arbiter
answers as a member, too, when it is asked as one."""

_CLOSE_SHARE = 0.25
_WORD = re.compile(r"[^\W_][\w'-]*")
MODALS = frozenset(
    _WORD.findall("should is are was were am do does did can could will would has have had may might must shall ought")
)
_JOINING = frozenset({"of", "in", "or"})
_STOP = MODALS | frozenset(
    _WORD.findall(
        """a about after all also an and any as at avoid be because been before being best better between build but by
        choose explain far fix for from get give handle how i if improve increase into it its just keep long
        make many me more most much my need not old on one our over pick please reduce so some solve start
        stop such support tell than that the their them then there these they this those to too under us use
        we what when where which while who whom whose why with you your"""
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
