from __future__ import annotations

import pytest

from core.errors import Unavailable
from core.events import MembersAsked
from core.types import Agreement, Round, VerdictSource
from tests.core.fakes import HANG, FakeAnalyst, Ran, Step, begun, make_ask, make_run, run_engine, verdict, virtual_time
from tests.core.strategies.panels import DOWN, names, paid, panel_of, saying, trusting, voting_for, waves


def camps(ran: Ran) -> dict[str, list[str]]:
    assert ran.verdict.ballot
    return {camp.answer: [m.id for m in camp.members] for camp in ran.verdict.ballot.camps}


@virtual_time
async def test_equal_final_answers_are_counted_and_no_arbiter_is_asked() -> None:
    ran = await run_engine(panel_of(5, strategy="voting"), voting_for("42", "42.0", "41", "**42**", "forty"))
    assert (ran.verdict.source, ran.verdict.judge.id) == (VerdictSource.VOTE, "m1")
    assert ran.verdict.synthesis == "**42**\n\nBecause of reason 0."
    assert camps(ran) == {"42": ["m1", "m2", "m4"], "41": ["m3"], "forty": ["m5"]}
    assert (ran.verdict.agreement, ran.verdict.confidence) == (Agreement(agree=3, total=5), 0.72)
    assert ran.calls("j", "k") == [0, 0]
    assert ran.run.bill.calls == 5
    assert "Always end with a line `Final answer: …`" in ran.said("m1")


@virtual_time
async def test_votes_weigh_by_trust_and_the_confidence_goes_by_heads() -> None:
    ran = await run_engine(
        panel_of(3, strategy="voting"), voting_for("4", "5", "5"), experience=trusting(m1=20, m2=6, m3=6)
    )
    assert ran.verdict.synthesis.startswith("**4**")
    assert ran.verdict.agreement == Agreement(agree=1, total=3)


@virtual_time
async def test_without_a_clear_winner_the_arbiter_decides() -> None:
    models = voting_for("4", "4", "5", "5", j=Step(verdict("Four.", stances=_four)))
    ran = await run_engine(panel_of(4, strategy="voting"), models)
    assert (ran.verdict.source, ran.verdict.synthesis) == (VerdictSource.ARBITER, "Four.")
    assert ran.verdict.agreement == Agreement(agree=2, total=4)
    assert len(camps(ran)) == 2, "the votes are kept beside its verdict"
    assert "No answer won the vote clearly, so it went to the arbiter." in ran.run.notes
    sure = await run_engine(panel_of(4, strategy="voting", params={"majority": 0.8}), voting_for("4", "4", "4", "5"))
    assert sure.verdict.source is VerdictSource.ARBITER


def _four(text: str) -> str:
    return "agree" if "answer: 4" in text else "disagree"


@virtual_time
async def test_without_the_arbiter_the_heaviest_goes_out() -> None:
    cat = panel_of(4, strategy="voting", params={"arbiter": False})
    ran = await run_engine(cat, voting_for("4", "5", "6", "5"))
    assert ran.verdict.synthesis.startswith("**5**")
    assert ran.calls("j") == [0]


@virtual_time
async def test_an_abstention_is_no_vote_and_one_vote_is_no_majority() -> None:
    ran = await run_engine(
        panel_of(4, strategy="voting"), saying("Final answer: 4", "Hm.", "Final answer: 4", "Who knows")
    )
    assert ran.verdict.source is VerdictSource.VOTE
    assert ran.verdict.agreement == Agreement(agree=2, total=2)
    assert ran.verdict.ballot
    assert [m.id for m in ran.verdict.ballot.abstained] == ["m2", "m4"]
    ran = await run_engine(panel_of(3, strategy="voting"), saying("Final answer: 4", "Hm.", "Final answer: unknown"))
    assert ran.verdict.source is VerdictSource.ARBITER
    assert len(camps(ran)) == 1


@virtual_time
async def test_one_answer_is_no_vote() -> None:
    ran = await run_engine(panel_of(3, strategy="voting"), saying("Final answer: 4", DOWN, DOWN))
    assert (ran.verdict.source, ran.verdict.confidence) == (VerdictSource.ONLY, None)


# --- nothing to count -----------------------------------------------------------------------------------


@virtual_time
@pytest.mark.parametrize(("kind", "why"), [(None, "No member stated a final answer"), ("open", "The question is open")])
async def test_where_nothing_can_be_counted_the_texts_are_grouped_and_that_is_said(kind: str | None, why: str) -> None:
    cat = panel_of(3, strategy="voting")
    models = saying("Yes, sure.", "Yes, because. Final answer: 1" if kind else "Yes, so.", "No.")
    ran = await run_engine(cat, models, run=make_run(cat, make_ask(question_type=kind)))
    assert ran.verdict.source is VerdictSource.VOTE
    assert ran.verdict.ballot
    assert ran.verdict.ballot.basis == "meaning"
    assert (ran.verdict.agreement, ran.verdict.confidence) == (None, None), "what is alike need not agree"
    assert ran.has_note(f"{why}, so there was nothing to count. The texts were grouped by meaning instead")
    assert ("Always end with a line" in ran.said("m1")) == (kind is None)


@virtual_time
async def test_where_texts_cannot_be_grouped_either_the_arbiter_decides() -> None:
    broken = FakeAnalyst(error=Unavailable("no process could be started"))
    ran = await run_engine(
        panel_of(3, strategy="voting", params={"arbiter": False}), analyst=broken, models=saying("A", "B", "C")
    )
    assert ran.verdict.source is VerdictSource.ARBITER
    assert ran.has_note(
        "No member stated a final answer, so there was nothing to count, and the texts could not be grouped: no"
    )
    ran = await run_engine(panel_of(3, strategy="voting"), saying("A.", "B.", "C."))
    assert ran.verdict.source is VerdictSource.ARBITER, "all differ"


@virtual_time
async def test_conclusions_are_read_from_text_where_the_question_has_one() -> None:
    cat = panel_of(3, strategy="voting")
    models = saying("The answer is 12.", "It comes to 12.", "So the answer is 13.")
    ran = await run_engine(cat, models, run=make_run(cat, make_ask(question_type="number")))
    assert ran.verdict.agreement == Agreement(agree=2, total=3)


# --- waves ----------------------------------------------------------------------------------------------


@virtual_time
async def test_the_most_trusted_are_asked_first_and_no_more_than_it_takes() -> None:
    cat = panel_of(6, strategy="voting", params={"lead": 2})
    ran = await run_engine(
        cat, voting_for("5", "4", "5", "5", "4", "4"), experience=trusting(m1=12, m2=20, m3=14, m4=13, m5=19, m6=11)
    )
    assert waves(ran) == [["m2", "m5"]]
    assert ran.calls(*names(6), "j") == [0, 1, 0, 0, 1, 0, 0]
    assert ran.run.bill.calls == 2
    assert ran.run.notes == ("Not asked, because the vote was decided without: m1, m3, m4, m6.",)
    assert ran.verdict.agreement == Agreement(agree=2, total=2)


@virtual_time
async def test_members_are_asked_on_until_one_answer_leads() -> None:
    cat = panel_of(6, strategy="voting", params={"lead": 2})
    trust = trusting(m1=20, m2=19, m3=18, m4=17, m5=16, m6=15)
    ran = await run_engine(cat, voting_for("4", "5", "5", "5", "6", "6"), experience=trust)
    assert waves(ran) == [["m1", "m2"], ["m3"], ["m4"]]
    assert ran.told[:4] == ["run_started", "member_ended", "member_ended", "members_asked"]
    assert ran.told[-1] == "round_ended"
    assert ran.told.count("members_asked") == 2
    assert ran.run.notes == ("Not asked, because the vote was decided without: m5, m6.",)
    two = await run_engine(
        panel_of(6, strategy="voting", params={"lead": 2, "wave": 2}), voting_for(*"455566"), experience=trust
    )
    assert waves(two) == [["m1", "m2"], ["m3", "m4"]]


@virtual_time
async def test_it_stops_where_the_rest_could_change_nothing() -> None:
    cat = panel_of(5, strategy="voting", params={"lead": 3, "wave": 1})
    trust = trusting(m1=20, m2=20, m3=20, m4=2, m5=2)
    ran = await run_engine(cat, voting_for("4", "4", "5", "5", "5"), experience=trust)
    assert sorted(waves(ran)[0]) == ["m1", "m2", "m3"]
    assert ran.calls("m4", "m5") == [0, 0]


@virtual_time
async def test_equals_are_asked_in_an_order_that_is_the_same_when_replayed() -> None:
    cat = panel_of(12, strategy="voting", params={"lead": 3})
    orders = set()
    for n in range(5):
        run = make_run(cat, make_ask(id=f"r{n}"))
        first, second = [waves(await run_engine(cat, voting_for(*"4" * 12), run=run)) for _ in range(2)]
        assert first == second
        orders.add(str(first))
    assert len(orders) > 1


@virtual_time
async def test_silence_of_the_first_is_not_the_end() -> None:
    cat = panel_of(4, strategy="voting", params={"lead": 2})
    trust = trusting(m1=20, m2=19, m3=3, m4=2)
    ran = await run_engine(cat, saying(DOWN, DOWN, "Final answer: 4", "Final answer: 4"), experience=trust)
    assert waves(ran) == [["m1", "m2"], ["m3"], ["m4"]]
    assert (ran.verdict.source, ran.verdict.agreement) == (VerdictSource.VOTE, Agreement(agree=2, total=2))
    assert [f.member.id for f in ran.run.rounds[0].failures] == ["m1", "m2"]
    one = await run_engine(panel_of(3, strategy="voting", params={"lead": 1}), voting_for("4", "4", "4"))
    assert one.run.bill.calls == 2, "one vote alone decides nothing"
    nobody = await run_engine(cat, saying(*[DOWN] * 4))
    assert (nobody.run.error or "").startswith("None of the 4 members answered")
    assert nobody.calls(*names(4)) == [1, 1, 1, 1]


@virtual_time
async def test_waves_that_change_hands_pay_for_nothing_twice() -> None:
    cat = panel_of(5, strategy="voting", params={"lead": 2})
    trust = trusting(m1=20, m2=19, m3=18, m4=17, m5=16)
    run = make_run(cat)
    before = Round(number=1, outcomes=(*paid(run, "m1"), *paid(run, "m2", "m3", text="Final answer: 5")))
    ran = await run_engine(cat, voting_for("4", "5", "5", "5", "5"), run=begun(run, before), experience=trust)
    assert ran.calls(*names(5)) == [0, 0, 0, 1, 0]
    assert waves(ran) == [["m1", "m2", "m3"], ["m4"]]
    assert ran.run.notes == ("Not asked, because the vote was decided without: m5.",)
    decided = Round(number=1, outcomes=(*paid(run, "m1", "m2", "m3"),))
    ran = await run_engine(cat, voting_for(*"44444"), run=begun(run, decided), experience=trust)
    assert ran.calls(*names(5)) == [0] * 5
    assert ran.run.notes == ("Not asked, because the vote was decided without: m4, m5.",), "m3 was asked"
    assert not any(isinstance(e, MembersAsked) for e in ran.events)


@virtual_time
async def test_an_open_question_is_put_to_all_at_once() -> None:
    cat = panel_of(5, strategy="voting", params={"lead": 2})
    ran = await run_engine(cat, saying(*["Yes."] * 5), run=make_run(cat, make_ask(question_type="open")))
    assert waves(ran) == [names(5)]


@virtual_time
async def test_a_few_votes_among_many_abstentions_decide_nothing_by_themselves() -> None:
    ran = await run_engine(panel_of(5, strategy="voting"), voting_for("4", "4", "unknown", "unknown", "unknown"))
    assert ran.verdict.source is VerdictSource.ARBITER
    assert "Most members stated no final answer, so it went to the arbiter." in ran.run.notes


@virtual_time
async def test_when_a_wave_has_taken_long_all_the_others_are_asked_at_once() -> None:
    cat = panel_of(6, strategy="voting", params={"lead": 2}, deadline=100, quorum=1)
    ran = await run_engine(cat, saying(*[HANG] * 6))
    assert [len(wave) for wave in waves(ran)] == [2, 4]
