from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.types import Agreement, Ballot, Grouping, Member, Position, Response, Stance, VerdictSource
from core.votes.voting import agreement_of, by_meaning, by_vote, can_change, cast

EQUAL = dict.fromkeys("abcdefg", 1.0)


def reply(member: str, text: str) -> Response:
    return Response(member=Member(id=member, model=member), text=text, seconds=0.1)


def stating(**answers: str) -> list[Response]:
    return [reply(m, f"I thought about it.\n\nFinal answer: {answer}") for m, answer in answers.items()]


def vote(responses: list[Response], weights: Mapping[str, float] = EQUAL, **options: Any) -> Ballot:
    ballot = cast(responses, weights, **options)
    assert ballot
    return ballot


def camps(ballot: Ballot) -> list[str]:
    return ["".join(m.id for m in camp.members) for camp in ballot.camps]


# --- counting ---------------------------------------------------------------------------------------------


def test_equal_answers_make_a_camp_however_they_are_written() -> None:
    ballot = vote(stating(a="1,200", b="**$1200.00**", c="1300", d="1200"))
    assert camps(ballot) == ["abd", "c"]
    assert ballot.camps[0].weight == 3
    assert ballot.lead == 2


def test_numbers_that_differ_by_rounding_alone_are_equal() -> None:
    assert camps(vote(stating(a="0.33333333", b="0.333333333", c="0.34"))) == ["ab", "c"]


def test_equal_numbers_of_different_units_are_different_answers() -> None:
    ballot = vote(stating(a="3 km", b="3", c="3 m", d="3 kilometers", e="3 metres"))
    assert [camp.answer for camp in ballot.camps] == ["3 km", "3 m"]
    assert camps(ballot) == ["abd", "ce"]


def test_abstaining_is_no_vote() -> None:
    ballot = vote([*stating(a="7", b="unknown"), reply("c", "It is hard to say what 12 means here.")])
    assert camps(ballot) == ["a"]
    assert [m.id for m in ballot.abstained] == ["b", "c"]
    assert ballot.votes == 1


def test_without_a_stated_answer_there_is_no_ballot() -> None:
    prose = [reply("a", "So we add them. Therefore, there are 12 eggs."), reply("b", "Hence there are 12 eggs.")]
    assert cast(prose, EQUAL) is None
    assert cast([], EQUAL) is None
    assert camps(vote(prose, question_type="number", prose=True)) == ["ab"]


def test_weight_goes_before_number() -> None:
    ballot = vote(stating(a="1", b="1", c="2"), {"a": 1, "b": 1, "c": 3})
    assert camps(ballot) == ["c", "ab"]
    assert ballot.lead == -1
    assert ballot.share == 0.6


@pytest.mark.parametrize(
    ("weights", "first"),
    [
        ({"a": 2, "b": 1, "c": 1}, "bc"),  # as heavy, but more
        ({"a": 1, "b": 2, "c": 1}, "bc"),
    ],
)
def test_of_equally_heavy_camps_the_larger_wins(weights: dict[str, float], first: str) -> None:
    assert camps(vote(stating(a="1", b="2", c="2"), weights))[0] == first


def test_then_the_one_with_the_most_trusted_member_then_the_first() -> None:
    uneven = {"a": 2, "b": 2, "c": 3, "d": 1}
    assert camps(vote(stating(a="1", b="1", c="2", d="2"), uneven)) == ["cd", "ab"]
    assert camps(vote(stating(b="1", a="2"))) == ["b", "a"]


def test_sums_that_differ_by_rounding_are_a_tie() -> None:
    weights = {"a": 0.1, "b": 0.2, "c": 0.3}
    assert camps(vote(stating(c="2", a="1", b="1"), weights)) == ["ab", "c"]


def test_the_winner_does_not_hang_on_the_order_of_answers() -> None:
    said, weights = {"a": "1", "b": "1", "c": "2", "d": "3"}, {"a": 1, "b": 1.5, "c": 3, "d": 0.5}
    found = {vote(stating(**dict(order)), weights).camps[0].normal for order in permutations(said.items())}
    assert found == {"2"}


def test_a_camp_is_shown_in_the_words_of_its_most_trusted_member() -> None:
    assert vote(stating(a="12 eggs", b="12"), {"a": 1, "b": 2}).camps[0].answer == "12"


@given(st.lists(st.tuples(st.sampled_from("1234"), st.floats(0.02, 50)), min_size=1, max_size=7))
def test_every_vote_is_counted_once_and_camps_are_in_order(votes: list[tuple[str, float]]) -> None:
    names = "abcdefg"[: len(votes)]
    weights = {name: weight for name, (_, weight) in zip(names, votes, strict=True)}
    ballot = vote(stating(**{name: answer for name, (answer, _) in zip(names, votes, strict=True)}), weights)
    assert sorted("".join(camps(ballot))) == list(names)
    heavy = [camp.weight for camp in ballot.camps]
    assert all(one >= other - 1e-6 for one, other in pairwise(heavy))
    assert sum(heavy) == pytest.approx(sum(weights.values()))


# --- by meaning -------------------------------------------------------------------------------------------


def grouping(*labels: int) -> Grouping:
    return Grouping(method="dbscan", eps=0.3, labels=labels, densest=0, confidence=0.5, density=(0.8,))


def test_groups_of_meaning_are_camps_and_outliers_stand_alone() -> None:
    texts = [reply("a", "No idea."), reply("b", "## Move\n\nIt pays."), reply("c", "Move! Soon."), reply("d", "Stay.")]
    ballot = by_meaning(texts, grouping(-1, 0, 0, -1), EQUAL)
    assert ballot.basis == "meaning"
    assert camps(ballot) == ["bc", "a", "d"]
    assert [camp.answer for camp in ballot.camps] == ["Move", "No idea.", "Stay."]
    assert len({camp.normal for camp in ballot.camps}) == 3


def test_a_first_sentence_is_kept_short() -> None:
    ballot = by_meaning([reply("a", "word " * 100)], grouping(0), EQUAL)
    assert len(ballot.camps[0].answer) <= 160
    assert ballot.camps[0].answer.endswith("…")


def test_a_vote_by_meaning_claims_no_agreement() -> None:
    texts = [reply("a", "Move."), reply("b", "Do move."), reply("c", "Stay.")]
    verdict = by_vote(by_meaning(texts, grouping(0, 0, -1), EQUAL), texts, EQUAL)
    assert verdict.synthesis == "Move."
    assert verdict.agreement is None
    assert verdict.positions == ()


# --- the verdict ------------------------------------------------------------------------------------------


def test_the_verdict_is_the_most_trusted_winner_with_its_answer_on_top() -> None:
    responses = [*stating(a="12", b="12", c="13"), reply("d", "Who knows.")]
    weights = {"a": 1, "b": 2, "c": 1, "d": 1}
    ballot = vote(responses, weights)
    verdict = by_vote(ballot, responses, weights, note="So it was.", seconds=2)
    assert verdict.source is VerdictSource.VOTE
    assert verdict.judge.id == "b"
    assert verdict.synthesis == "**12**\n\nI thought about it."
    assert verdict.agreement == Agreement(agree=2, total=3)
    assert verdict.ballot == ballot
    assert (verdict.note, verdict.seconds, verdict.ranking, verdict.confidence) == ("So it was.", 2, (), None)
    assert [(p.member.id, p.stance.value, p.point) for p in verdict.positions] == [
        ("a", "agree", ""),
        ("b", "agree", ""),
        ("c", "disagree", "final answer: 13"),
        ("d", "partly", "stated no final answer"),
    ]


@pytest.mark.parametrize(
    ("text", "synthesis"),
    [
        ("Final answer: 12", "**12**"),
        ("Because.\n\n**Final Answer:** 12\n", "**12**\n\nBecause."),
        ("> final answer : 12\n\nThat is it.", "**12**\n\nThat is it."),
        (r"So it is \boxed{12}.", "**12**\n\n" + r"So it is \boxed{12}."),
        ("Final answer: [1, 2]", "**`[1, 2]`**"),
    ],
)
def test_the_line_that_stated_the_answer_goes(text: str, synthesis: str) -> None:
    responses = [reply("a", text)]
    assert by_vote(vote(responses), responses, EQUAL).synthesis == synthesis


# --- agreement by an arbiter's word -----------------------------------------------------------------------


def test_partly_counts_half_and_nobody_judged_is_unknown() -> None:
    positions = [Position(member=Member(id=s, model="m"), stance=Stance(s)) for s in ("agree", "partly", "disagree")]
    assert agreement_of(positions) == Agreement(agree=1.5, total=3)
    assert agreement_of(positions, 5) == Agreement(agree=1.5, total=5)
    assert agreement_of([]) is None
    assert agreement_of([], 5) is None


# --- stopping early ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "outstanding", "open_"),
    [
        ({"a": "1", "b": "1", "c": "2"}, [], False),
        ({"a": "1", "b": "1", "c": "2"}, [1.0], True),  # level, and then trust decides
        ({"a": "1", "b": "1", "c": "1"}, [1.0, 1.0], False),
        ({"a": "1", "b": "1", "c": "1"}, [1.0, 1.0, 1.0], True),
        ({"a": "1", "b": "1", "c": "1", "d": "2"}, [1.0], False),
        ({"a": "1", "b": "1"}, [9.0], True),
    ],
)
def test_outstanding_votes_can_change_the_winner(
    answers: dict[str, str], outstanding: list[float], open_: bool
) -> None:
    assert can_change(vote(stating(**answers)), outstanding) is open_


@given(st.lists(st.tuples(st.sampled_from("123"), st.floats(0.02, 50)), min_size=2, max_size=7), st.data())
def test_when_it_cannot_change_it_does_not(votes: list[tuple[str, float]], data: st.DataObject) -> None:
    names = "abcdefg"[: len(votes)]
    weights = {name: weight for name, (_, weight) in zip(names, votes, strict=True)}
    asked = data.draw(st.integers(1, len(votes)))
    responses = stating(**{name: answer for name, (answer, _) in zip(names, votes, strict=True)})
    early, late = vote(responses[:asked], weights), vote(responses, weights)
    if not can_change(early, [weights[name] for name in names[asked:]]):
        assert early.camps[0].normal == late.camps[0].normal
