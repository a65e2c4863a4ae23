from __future__ import annotations

from core.errors import Unavailable
from core.types import Agreement, VerdictSource
from tests.core.fakes import FakeAnalyst, candidates, run_engine, virtual_time
from tests.core.strategies.panels import DOWN, panel_of, saying


@virtual_time
async def test_the_densest_group_is_judged_and_those_outside_count_as_not_agreeing() -> None:
    ran = await run_engine(
        panel_of(5, strategy="semantic"), saying("Yes, one.", "No, two.", "Yes, three.", "Yes, four.", "Maybe.")
    )
    assert set(candidates(ran.models["j"].prompts[0]).values()) == {"Yes, one.", "Yes, three.", "Yes, four."}
    assert (ran.verdict.agreement, ran.verdict.confidence) == (Agreement(agree=3, total=5), 0.72)
    assert ran.verdict.grouping
    assert ran.verdict.grouping.labels == (0, -1, 0, 0, -1)
    assert ran.run.notes == ("Outside the densest group of answers, and not shown to the arbiter: m2, m5.",)
    assert len(ran.run.answers) == 5


@virtual_time
async def test_outliers_keep_their_vote() -> None:
    says = ("Yes, so. Final answer: 4", "Yes. Final answer: 4", "No. Final answer: 5")
    ran = await run_engine(panel_of(3, strategy="semantic"), saying(*says, j=DOWN, k=DOWN))
    assert ran.verdict.source is VerdictSource.VOTE
    assert ran.verdict.agreement == Agreement(agree=2, total=3)
    judged = await run_engine(panel_of(3, strategy="semantic"), saying(*says))
    assert judged.verdict.ballot
    assert judged.verdict.ballot.votes == 3


@virtual_time
async def test_without_a_group_all_are_judged() -> None:
    ran = await run_engine(panel_of(3, strategy="semantic"), saying("Yes.", "No.", "Maybe."))
    assert len(candidates(ran.models["j"].prompts[0])) == 3
    assert ran.verdict.grouping
    assert ran.run.notes == ()


@virtual_time
async def test_what_cannot_be_grouped_is_judged_whole_and_that_is_said() -> None:
    broken = FakeAnalyst(error=Unavailable("the server of vectors does not answer"))
    ran = await run_engine(panel_of(3, strategy="semantic"), saying("Yes.", "Yes.", "No."), analyst=broken)
    assert len(candidates(ran.models["j"].prompts[0])) == 3
    assert ran.verdict.grouping is None
    assert ran.run.notes == ("The answers were not grouped by meaning: the server of vectors does not answer",)


@virtual_time
async def test_two_answers_are_not_grouped() -> None:
    ran = await run_engine(panel_of(3, strategy="semantic"), saying("Yes.", "No.", DOWN))
    assert ran.verdict.source is VerdictSource.ARBITER
    assert ran.run.notes == ("Too few answers to group them by meaning.",)


@virtual_time
async def test_how_it_is_grouped_can_be_set() -> None:
    asked: list[tuple[str, float | None]] = []

    class Watched(FakeAnalyst):
        async def group(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            asked.append((kwargs["method"], kwargs["eps"]))
            return await super().group(*args, **kwargs)

    cat = panel_of(3, strategy="semantic", params={"method": "hdbscan", "eps": 0.3})
    await run_engine(cat, saying("Yes.", "Yes.", "No."), analyst=Watched())
    assert asked == [("hdbscan", 0.3)]
