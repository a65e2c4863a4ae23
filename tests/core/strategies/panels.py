"""Panels that the tests of strategies share."""

from __future__ import annotations

from typing import Any

from core.catalog import Catalog
from core.errors import ModelError
from core.events import MembersAsked, RunStarted
from core.ports import Prompt
from core.types import FailureKind, Response, Run
from core.votes.confidence import PRIOR
from core.votes.trust import Experience, Record
from tests.core.fakes import FakeModel, Ran, Step, catalog, verdict

DOWN = Step(ModelError(FailureKind.REFUSED, "no such model"))


def names(count: int) -> list[str]:
    """Names of which some begin with others."""
    return [f"m{n}" for n in range(1, count + 1)]


def panel_of(count: int, **fields: Any) -> Catalog:
    """A consortium of so many members, with arbiter j and stand-in k."""
    members = names(count)
    return catalog([*members, "j", "k"], members=members, **fields)


def saying(*says: str | Step, **others: Step) -> dict[str, FakeModel]:
    """Models m1, m2, … that say this; j and k judge if not told otherwise."""
    steps = {key: say if isinstance(say, Step) else Step(say) for key, say in zip(names(len(says)), says, strict=True)}
    judges = {"j": Step(verdict()), "k": Step(verdict("Stand-in's."))}
    return {key: FakeModel(key, [step]) for key, step in {**steps, **judges, **others}.items()}


def voting_for(*answers: str, **others: Step) -> dict[str, FakeModel]:
    """Models m1, m2, … that state these final answers."""
    return saying(*(f"Because of reason {n}.\n\nFinal answer: {a}" for n, a in enumerate(answers)), **others)


def trusting(**agreed: int) -> Experience:
    """Records of models that agreed so often in twenty runs."""
    records = {key: Record(agreed=many, compared=20) for key, many in agreed.items()}
    return Experience(records=records, calibration=PRIOR)


def waves(ran: Ran) -> list[list[str]]:
    """Who was asked at a time."""
    asked = (
        e.panel if isinstance(e, RunStarted) else e.members
        for e in ran.events
        if isinstance(e, (RunStarted, MembersAsked))
    )
    return [[member.id for member in wave] for wave in asked]


def paid(run: Run, *members: str, text: str = "Final answer: 4") -> list[Response]:
    """Answers that were paid for before the run changed hands."""
    return [Response(member=m, text=text, seconds=1) for m in run.panel if m.id in members]


def last_words(prompt: Prompt) -> str:
    """The end of what a model was told."""
    return prompt.messages[-1].content
