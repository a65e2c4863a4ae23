"""Recorded answers of real models, as the benchmark of quality replays them."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from core.asks import QuestionType
from core.votes.answers import FinalAnswer, final_answer, read_answer
from core.votes.normal import normalise, same

DATA = Path(__file__).parents[3] / "shared" / "data"
"""Beside the project; not a part of it."""

Council = tuple[int, ...]
"""Members by their place among a recording's models."""


@dataclass(frozen=True)
class Row:
    """One question: what each model replied, what was recorded as its answer (None: none), whether that was right."""

    id: str
    gold: str
    replies: tuple[str, ...]
    answers: tuple[str | None, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True)
class Recording:
    """A set of questions. With ``prose`` models reply as they did, without they state the recorded answer."""

    name: str
    models: tuple[str, ...]
    rows: tuple[Row, ...]
    question_type: QuestionType | None
    prose: bool = False

    def read(self, reply: str) -> FinalAnswer | None:
        """The final answer of a reply, as the product reads it."""
        return (read_answer if self.prose else final_answer)(reply, self.question_type)

    def halves(self) -> tuple[Council, Council]:
        """The rows in two halves by chance, always the same."""
        order = list(range(len(self.rows)))
        random.Random(7).shuffle(order)
        return tuple(order[::2]), tuple(order[1::2])

    def councils(self, many: int, size: int) -> list[Council]:
        """So many different councils by chance (all that there are, if fewer), always the same."""
        models = range(len(self.models))
        if math.comb(len(models), size) <= many:
            return list(itertools.combinations(models, size))
        rng, found = random.Random(1), set[Council]()
        while len(found) < many:
            found.add(tuple(sorted(rng.sample(models, size))))
        return sorted(found)


@cache
def is_right(normal: str, gold: str, question_type: QuestionType | None) -> bool:
    """Whether a normalised answer is the right one."""
    return same(normal, normalise(gold, question_type))


def recordings() -> Iterator[Recording]:
    """All recordings. Raises SystemExit where the data is absent."""
    if not DATA.is_dir():
        raise SystemExit(f"The recorded answers are not there (looked in {DATA}); this benchmark needs them.")
    yield _letters("gsm8k_answers_all", "number")
    yield _letters("mmlupro_answers", "choice")
    for name, kind in (("gsm8k_members", "number"), ("crux_members", None)):
        yield _texts(name, kind, prose=False)  # type: ignore[arg-type] # literals of a tuple are plain text
        yield _texts(name, kind, prose=True)  # type: ignore[arg-type]


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()]


def _letters(name: str, question_type: QuestionType) -> Recording:
    """A file that has answers alone, after a line that names the models."""
    head, *lines = _lines(name)
    rows = (_row(str(line["id"]), line["gold"], line["answers"], question_type) for line in lines)
    return Recording(name, tuple(head["models"]), tuple(rows), question_type)


def _texts(name: str, question_type: QuestionType | None, *, prose: bool) -> Recording:
    """A file that has whole replies."""
    lines = _lines(name)
    models = tuple(lines[0]["members"])
    rows = []
    for line in lines:
        said = [line["members"][model] for model in models]
        replies = [one["text"] or "I cannot tell." for one in said] if prose else None
        rows.append(_row(line["id"], line["gold"], [one["answer"] for one in said], question_type, replies))
    return Recording(f"{name}, {'texts' if prose else 'stated'}", models, tuple(rows), question_type, prose)


def _row(
    id: str,
    gold: str,
    answers: Sequence[str | None],
    question_type: QuestionType | None,
    replies: Sequence[str] | None = None,
) -> Row:
    answers = [None if answer is None else _written(answer) for answer in answers]
    gold = _written(gold)
    if replies is None:
        replies = ["I cannot tell." if answer is None else f"Final answer: {answer}" for answer in answers]
    right = (a is not None and is_right(normalise(a, question_type), gold, question_type) for a in answers)
    return Row(id, gold, tuple(replies), tuple(answers), tuple(right))


def _written(answer: str) -> str:
    """An answer as one would write it: an empty text as the literal that it is."""
    return answer if answer.strip() else repr(answer)
