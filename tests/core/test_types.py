"""What values say of themselves."""

from __future__ import annotations

from typing import Literal

import pytest

from core.types import Ballot, Camp, Member, Position, Round, Run, Stance, Verdict, VerdictSource
from tests.adapters.history.samples import new_run

GEMMA, LLAMA, QWEN = (Member(id=model, model=model) for model in ("gemma", "llama", "qwen"))
ROME = Camp(answer="Rome", normal="rome", members=(GEMMA, LLAMA), weight=2)
PARIS = Camp(answer="Paris", normal="paris", members=(QWEN,), weight=3)


def verdict(
    source: VerdictSource,
    judge: Member,
    *agree: Member,
    basis: Literal["final answers", "meaning"] = "final answers",
) -> Verdict:
    return Verdict(
        source=source,
        judge=judge,
        synthesis="So.",
        ballot=Ballot(basis=basis, camps=(PARIS, ROME)),
        positions=tuple(
            Position(member=m, stance=Stance.AGREES if m in agree else Stance.PARTLY) for m in (GEMMA, LLAMA, QWEN)
        ),
    )


@pytest.mark.parametrize(
    ("of", "camp"),
    [
        (verdict(VerdictSource.VOTE, QWEN), PARIS),
        (verdict(VerdictSource.CENTRAL, LLAMA), ROME),
        (verdict(VerdictSource.CENTRAL, Member(id="phi", model="phi")), None),
        (verdict(VerdictSource.VOTE, QWEN, basis="meaning"), None),
        (verdict(VerdictSource.ARBITER, QWEN, LLAMA), ROME),
        (verdict(VerdictSource.STAND_IN, QWEN, GEMMA, LLAMA), ROME),
        (verdict(VerdictSource.ARBITER, QWEN, LLAMA, QWEN), None),
        (verdict(VerdictSource.ARBITER, QWEN), None),
        (Verdict(source=VerdictSource.ONLY, judge=QWEN, synthesis="So."), None),
    ],
)
def test_the_camp_behind_the_answer(of: Verdict, camp: Camp | None) -> None:
    assert of.camp == camp


def decided(panel: Member, judge: Member) -> Run:
    decision = Verdict(source=VerdictSource.ARBITER, judge=judge, synthesis="So.")
    return new_run().model_copy(update={"panel": (panel,), "rounds": (Round(number=1, outcomes=(), verdict=decision),)})


def test_a_run_is_simulated_where_anybody_in_it_is() -> None:
    fake = Member(id="bold", model="bold", simulated=True)
    assert not decided(QWEN, LLAMA).simulated
    assert decided(fake, LLAMA).simulated
    assert decided(QWEN, fake).simulated
    assert not decided(QWEN, fake).model_copy(update={"rounds": ()}).simulated
