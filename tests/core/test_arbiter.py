from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, get_args

import pytest

from core.errors import ModelError, Unavailable
from core.judging import SCHEMAS
from core.ports import Prompt
from core.setup import Judging
from core.types import Ballot, Camp, FailureKind, Member, Stance, Usage, Verdict, VerdictSource
from tests.core.court import Court
from tests.core.fakes import (
    HANG,
    USED,
    Step,
    verdict,
    virtual_time,
)

K = FailureKind
METHODS: tuple[Judging, ...] = get_args(Judging)
RUBBISH = Step("I would rather talk about the weather.")


def reply(**fields: Any) -> Step:
    return Step(json.dumps({"synthesis": "Yes.", "confidence": 90, "members": [], "refine": [], **fields}))


@virtual_time
async def test_the_verdict_names_members_by_what_it_said_of_letters() -> None:
    def judge(prompt: Prompt) -> str:
        found = re.findall(r"<<CANDIDATE (\w) f00d>>\n(.*?)\n<<END", prompt.messages[-1].content, re.DOTALL)
        members = [
            {"letter": letter, "stance": "disagree" if text.startswith("No") else "agree", "point": text}
            for letter, text in found
        ]
        no = next(letter for letter, text in found if text.startswith("No"))
        return json.dumps(
            {"synthesis": f"Yes, though candidate {no} objects.", "confidence": 70, "members": members, "refine": ["x"]}
        )

    found = await Court(j=Step(judge)).decide()
    assert {p.member.id: (p.stance, p.point) for p in found.positions} == {
        "member 0": (Stance.AGREES, "Yes, it is."),
        "member 1": (Stance.AGREES, "It is."),
        "member 2": (Stance.DISAGREES, "No, it is not."),
    }
    assert found.synthesis == "Yes, though member 2 objects."
    assert (found.stated, found.refine, found.usage, found.judge.id) == (0.7, ("x",), (USED,), "j")
    assert (found.confidence, found.agreement, found.ballot, found.note) == (None, None, None, None)


# --- what the arbiter is shown --------------------------------------------------------------------------


@virtual_time
async def test_names_are_removed_and_the_schema_is_sent() -> None:
    court = Court("As member 0, I say yes.", "I'm an AI assistant, so it is.", "Speaking as model-2: no.")
    await court.decide()
    case = court.case()
    assert not re.search("member|model|assistant", case)
    assert {"I say yes.", "no."} <= set(case.splitlines())
    prompt = court.models["j"].prompts[0]
    assert prompt.json_schema
    assert next(iter(prompt.json_schema["properties"])) == "synthesis", "so that it streams first"


@virtual_time
async def test_the_order_differs_from_call_to_call_and_can_be_replayed() -> None:
    texts = [f"text {n}" for n in range(6)]

    async def order(run: str) -> list[str]:
        court = Court(*texts)
        await court.decide(run=run)
        return re.findall(r"text \d", court.case())

    orders = [tuple(await order(f"run {n}")) for n in range(12)]
    assert len(set(orders)) > 6
    assert all(sorted(o) == texts for o in orders)
    assert tuple(await order("run 3")) == orders[3]


@virtual_time
async def test_a_second_attempt_sees_another_order_and_another_mark() -> None:
    marks = (f"n{n}" for n in itertools.count())
    court = Court(*(f"text {n}" for n in range(8)), j=[RUBBISH, Step(verdict())], nonce=lambda: next(marks))
    await court.decide()
    first, second = (court.case("j", call) for call in (0, 1))
    assert re.findall(r"text \d", first) != re.findall(r"text \d", second)
    assert "n0>>" in first
    assert "n1>>" not in first
    assert "n0>>" not in second


# --- arbiters that fail ---------------------------------------------------------------------------------


@virtual_time
async def test_rubbish_is_asked_for_once_more() -> None:
    court = Court(j=[RUBBISH, Step(verdict("Second try."))])
    found = await court.decide()
    assert (found.source, found.synthesis, found.usage) == (VerdictSource.ARBITER, "Second try.", (USED, USED))
    assert court.calls() == (2, 0)


@virtual_time
async def test_then_a_stand_in_decides_and_what_the_arbiter_had_written_is_void() -> None:
    bad = Step('{"synthesis": "Not this one", "confidence": "banana"}')
    court = Court(j=bad)
    found = await court.decide()
    assert (found.source, found.judge.id, found.synthesis) == (VerdictSource.STAND_IN, "k", "Stand-in's.")
    assert [(f.member.id, f.kind) for f in found.failures] == [("j", K.BAD_REPLY)]
    assert "could not be read: 'banana' is no confidence" in found.failures[0].detail
    assert len(found.usage) == 3
    shown = "".join(court.shown)
    assert shown == "<j>Not this one<j>Not this one<k>Stand-in's."


@virtual_time
async def test_then_the_most_central_answer_labelled_as_such() -> None:
    court = Court(j=RUBBISH, k=RUBBISH)
    found = await court.decide()
    assert (found.source, found.judge.id, found.synthesis) == (VerdictSource.CENTRAL, "member 2", "No, it is not.")
    assert (found.confidence, found.positions) == (None, ())
    assert [f.member.id for f in found.failures] == ["j", "k"]
    assert court.calls() == (2, 2)


@pytest.mark.parametrize("error", [Unavailable("no processes"), ValueError("insides")], ids=repr)
def test_the_first_answer_has_to_do_when_even_that_cannot_be_told(error: Exception) -> None:
    @virtual_time
    async def test() -> None:
        court = Court(j=RUBBISH, k=RUBBISH)
        court.analyst.error = error
        found = await court.decide()
        assert (found.source, found.synthesis) == (VerdictSource.CENTRAL, "Yes, it is.")

    test()


@virtual_time
async def test_a_refused_arbiter_is_not_asked_twice() -> None:
    court = Court(j=Step(ModelError(K.REFUSED, "no such model")))
    assert (await court.decide()).source is VerdictSource.STAND_IN
    assert court.calls() == (1, 1)


@virtual_time
async def test_an_arbiter_that_hangs_leaves_its_stand_in_time() -> None:
    court = Court(j=HANG, k=Step(verdict("In time."), after=20))
    found = await court.decide(deadline=60)
    assert (found.source, found.synthesis) == (VerdictSource.STAND_IN, "In time.")
    assert [f.kind for f in found.failures] == [K.TIMEOUT]
    assert Usage() in found.usage, "what the arbiter used is unknown"
    assert found.seconds == pytest.approx(50)


@virtual_time
async def test_only_one_answer_is_no_consensus() -> None:
    court = Court("Alone.")
    found = await court.decide()
    assert (found.source, found.synthesis, found.confidence) == (VerdictSource.ONLY, "Alone.", None)
    assert court.calls() == (0, 0)
    assert court.shown == []


# --- odd verdicts ---------------------------------------------------------------------------------------


@virtual_time
async def test_what_makes_no_sense_beside_the_synthesis_is_left_out() -> None:
    members: list[Any] = [
        {"letter": "candidate b", "stance": " Agree ", "point": "fine\n  point"},
        {"letter": "B", "stance": "disagree", "point": "said twice"},
        {"letter": "Q", "stance": "agree", "point": "nobody"},
        {"letter": "A", "stance": "loves it", "point": "no stance"},
        {"stance": "agree"},
        "A agrees",
        None,
        {"letter": "C", "stance": "partly", "point": {"deep": ["x"]}},
        {"letter": ["A"], "stance": {"agree": 1}, "point": "x" * 1000},
        {"letter": "A", "stance": "disagree", "point": "x" * 1000},
    ]
    court = Court(j=reply(members=members, refine=["  costs ", "", 5, None, *"abcdefghijklm"], extra=1))
    found = await court.decide()
    points = {(p.stance, p.point) for p in found.positions}
    assert points == {(Stance.AGREES, "fine point"), (Stance.PARTLY, ""), (Stance.DISAGREES, "x" * 400)}
    assert found.refine[0] == "costs"
    assert len(found.refine) == 10


@pytest.mark.parametrize(
    "fields", [{"members": None, "refine": None}, {"members": "all", "refine": "x"}, {"members": 5}]
)
def test_fields_of_the_wrong_type_count_as_empty(fields: dict[str, Any]) -> None:
    @virtual_time
    async def test() -> None:
        found = await Court(j=reply(**fields)).decide()
        assert (found.source, found.positions, found.refine) == (VerdictSource.ARBITER, (), ())

    test()


@virtual_time
async def test_half_characters_in_a_verdict_can_still_be_stored_and_sent() -> None:
    found = await Court(j=Step(r'{"synthesis": "Yes \ud83d.", "confidence": 90, "refine": ["\ud83d"]}')).decide()
    assert Verdict.model_validate_json(found.model_dump_json()) == found


# --- other methods --------------------------------------------------------------------------------------


def by_text(method: Judging, prefer: Callable[[str, int], float], **fields: Any) -> Callable[[Prompt], str]:
    """A judge that likes the candidates best for which ``prefer`` (text, place) is highest, and disagrees with No."""

    def judge(prompt: Prompt) -> str:
        shown = re.findall(r"<<CANDIDATE (\w) f00d>>\n(.*?)\n<<END", prompt.messages[-1].content, re.DOTALL)
        places = {text: place for place, (_, text) in enumerate(shown)}
        best = sorted(shown, key=lambda c: -prefer(c[1], places[c[1]]))
        stances = [
            {"letter": x, "stance": "disagree" if text.startswith("No") else "agree", "point": text} for x, text in best
        ]
        whole = {
            "pick": best[0][0],
            "ranking": stances,
            "members": stances,
            "synthesis": f"As said: {best[0][1]}",
            "confidence": 80,
            "refine": [],
            "common": [f"All of {len(shown)} say so."],
            "disputed": [f"Who is first: {best[0][1]}"],
            "alone": [{"letter": x, "point": f"Only I say: {text}"} for x, text in shown],
            **fields,
        }
        return json.dumps({key: whole[key] for key in SCHEMAS[method]["required"]})

    return judge


def shortest(text: str, _: int) -> float:
    return -len(text)


def first_shown(_: str, place: int) -> float:
    return -place


def points(found: Verdict) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    return found.common, found.disputed, {r.member.id: r.point for r in found.alone}


POINTS = (
    ("All of 3 say so.",),
    ("Who is first: It is.",),
    {
        "member 0": "Only I say: Yes, it is.",
        "member 1": "Only I say: It is.",
        "member 2": "Only I say: No, it is not.",
    },
)


@virtual_time
async def test_a_synthesis_comes_with_what_all_say_what_they_differ_on_and_what_one_says() -> None:
    found = await Court(j=Step(by_text("synthesis", shortest))).decide()
    assert points(found) == POINTS
    assert Verdict.model_validate_json(found.model_dump_json()) == found
    stand_in = await Court(j=RUBBISH, k=Step(by_text("synthesis", shortest))).decide()
    assert (stand_in.source, points(stand_in)) == (VerdictSource.STAND_IN, POINTS)


@virtual_time
async def test_of_two_verdicts_the_points_of_the_first_count_and_of_none_where_they_contradict_each_other() -> None:
    other = by_text("synthesis", shortest, common=["Other."], disputed=[], alone=[])
    both = await Court(j=[Step(by_text("synthesis", shortest)), Step(other)]).decide(both_orders=True)
    assert points(both) == POINTS
    members = [{"letter": letter, "stance": "agree", "point": ""} for letter in "ABC"]
    agrees = by_text("synthesis", shortest, members=members)
    neither = await Court(j=[Step(by_text("synthesis", shortest)), Step(agrees)]).decide(both_orders=True)
    assert (neither.source, points(neither)) == (VerdictSource.CENTRAL, ((), (), {}))


@virtual_time
async def test_a_ranking_goes_with_the_answer_that_is_built_on_it() -> None:
    court = Court(j=Step(by_text("rank", shortest)))
    found = await court.decide(method="rank")
    assert [m.id for m in found.ranking] == ["member 1", "member 0", "member 2"]
    assert found.synthesis == "As said: It is."
    assert [p.stance for p in found.positions] == [Stance.AGREES, Stance.AGREES, Stance.DISAGREES]
    assert "".join(court.shown) == "<j>As said: It is."
    assert court.models["j"].prompts[0].json_schema == SCHEMAS["rank"]


@virtual_time
async def test_the_picked_answer_is_the_synthesis_and_nothing_streams() -> None:
    court = Court("I am model-0. It is so.", "Yes, certainly.", j=Step(by_text("pick-one", lambda t, _: t.count("so"))))
    found = await court.decide(method="pick-one")
    assert (found.synthesis, [m.id for m in found.ranking], found.judge.id) == ("It is so.", ["member 0"], "j")
    assert court.shown == ["<j>"]


@virtual_time
async def test_no_more_than_twelve_are_judged_and_it_says_so() -> None:
    court = Court(*(f"text {n}" for n in range(14)))
    found = await court.decide()
    assert court.case().count("<<CANDIDATE") == 12
    assert "text 12" not in court.case()
    assert found.note == "The arbiter was shown the first 12 answers; 2 more were not judged."


# --- both orders ----------------------------------------------------------------------------------------


def orders(court: Court) -> list[dict[str, str]]:
    """What each call of the arbiter showed: letters with texts, in order."""
    cases = [prompt.messages[-1].content for prompt in court.models["j"].prompts]
    return [dict(re.findall(r"<<CANDIDATE (\w) f00d>>\n(.*?)\n<<END", case, re.DOTALL)) for case in cases]


@pytest.mark.parametrize("many", range(2, 13))
def test_the_second_order_is_the_opposite_with_other_letters(many: int) -> None:
    @virtual_time
    async def test() -> None:
        court = Court(*(f"text {n}" for n in range(many)))
        await court.decide(both_orders=True)
        one, other = orders(court)
        assert list(one.values()) == list(reversed(other.values()))
        assert sorted(one) == sorted(other) == [chr(65 + n) for n in range(many)]
        assert all(one[letter] != other[letter] for letter in one)

    test()


@pytest.mark.parametrize("method", METHODS)
def test_two_verdicts_that_agree_are_one(method: Judging) -> None:
    @virtual_time
    async def test() -> None:
        replies = [Step(by_text(method, shortest, confidence=c), after=5) for c in (90, 60)]
        court = Court(j=replies)
        found = await court.decide(method=method, both_orders=True)
        assert (found.source, found.judge.id, found.note) == (VerdictSource.ARBITER, "j", None)
        assert found.stated == pytest.approx(0.75)
        assert found.usage == (USED, USED)
        assert found.seconds == pytest.approx(5), "both at the same time"
        assert court.calls() == (2, 0)
        assert court.shown.count("<j>") == 1, "only one is shown while it is written"
        alone = await Court(j=Step(by_text(method, shortest))).decide(method=method)
        assert (found.synthesis, found.positions, found.ranking) == (alone.synthesis, alone.positions, alone.ranking)

    test()


@virtual_time
async def test_ranks_are_averaged_below_the_first() -> None:
    texts = ("best", "b", "c", "d")

    def ranks(*order: str) -> Step:
        return Step(by_text("rank", lambda text, _: -order.index(text)))

    judges = [ranks("best", "b", "c", "d"), ranks("best", "d", "b", "c")]
    found = await Court(*texts, j=judges).decide(method="rank", both_orders=True)
    assert [m.id for m in found.ranking] == ["member 0", "member 1", "member 3", "member 2"]


@virtual_time
async def test_whom_only_one_verdict_judges_is_kept() -> None:
    both = by_text("synthesis", shortest)

    def half(prompt: Prompt) -> str:
        found = json.loads(both(prompt))
        return json.dumps({**found, "members": found["members"][:1], "confidence": None})

    found = await Court(j=[Step(half), Step(both)]).decide(both_orders=True)
    assert sorted(p.member.id for p in found.positions) == ["member 0", "member 1", "member 2"]
    assert found.stated == 0.8


def ballot(*camps: tuple[str, Sequence[int]]) -> Ballot:
    return Ballot(
        basis="final answers",
        camps=tuple(
            Camp(
                answer=answer,
                normal=answer,
                members=tuple(Member(id=f"member {n}", model=f"model-{n}") for n in who),
                weight=len(who),
            )
            for answer, who in camps
        ),
    )


@pytest.mark.parametrize("method", ["rank", "pick-one"])
def test_a_judge_that_prefers_the_first_it_sees_is_not_heard(method: Judging) -> None:
    @virtual_time
    async def test() -> None:
        biased = Step(by_text(method, first_shown, refine=["the cost"]))
        court = Court(j=biased)
        found = await court.decide(method=method, both_orders=True, ballot=ballot(("no", [2, 1]), ("yes", [0])))
        assert (found.source, found.judge.id) == (VerdictSource.VOTE, "member 2")
        assert "No, it is not." in found.synthesis
        assert found.note
        assert "j judged twice" in found.note
        assert "contradicted itself: the members' vote decided" in found.note
        assert (found.stated, found.refine, found.failures) == (None, ("the cost",), ())
        assert found.usage == (USED, USED)
        assert court.calls() == (2, 0)
        central = await Court(j=biased).decide(method=method, both_orders=True)
        assert (central.source, central.synthesis) == (VerdictSource.CENTRAL, "No, it is not.")
        assert central.note
        assert "the answer most like the others goes out" in central.note

    test()


@virtual_time
async def test_who_agrees_here_and_disagrees_there_is_a_contradiction_but_partly_is_none() -> None:
    async def source(one: str, other: str) -> str:
        return (await Court(j=[Step(verdict(stances=s)) for s in (one, other)]).decide(both_orders=True)).source

    assert await source("agree", "disagree") == VerdictSource.CENTRAL
    assert await source("agree", "partly") == await source("partly", "disagree") == VerdictSource.ARBITER


@pytest.mark.parametrize("first_fails", [True, False])
def test_where_one_of_both_fails_the_other_stands(first_fails: bool) -> None:
    @virtual_time
    async def test() -> None:
        refused = Step(ModelError(K.REFUSED, "not today"))
        steps = [refused, Step(verdict())] if first_fails else [Step(verdict()), refused]
        found = await Court(j=steps).decide(both_orders=True)
        assert (found.source, found.synthesis, found.failures) == (VerdictSource.ARBITER, "Yes.", ())
        assert found.note == "j was to judge twice, in opposite orders, but gave one verdict only (not today)."

    test()


@virtual_time
async def test_where_both_fail_the_stand_in_judges_twice() -> None:
    court = Court(j=RUBBISH)
    found = await court.decide(both_orders=True)
    assert (found.source, [f.member.id for f in found.failures]) == (VerdictSource.STAND_IN, ["j"])
    assert court.calls() == (4, 2)
    assert len(found.usage) == 6


@virtual_time
async def test_a_repeated_call_keeps_its_order() -> None:
    court = Court(*(f"text {n}" for n in range(6)), j=[RUBBISH, RUBBISH, Step(verdict())])
    await court.decide(both_orders=True)
    shown = [list(order.values()) for order in orders(court)]
    assert sorted(shown[:2]) == sorted(shown[2:])


# --- what it may cost, and what comes after -------------------------------------------------------------


@virtual_time
async def test_a_judge_is_called_four_times_at_the_most() -> None:
    broken = Step(ModelError(K.UNREACHABLE, "connection lost"))
    for steps, calls in (
        ([RUBBISH, broken, broken, broken], 4),
        ([broken, RUBBISH], 2),
        ([broken, broken, RUBBISH], 3),
        ([Step(ModelError(K.BAD_REPLY, "broke off"))], 3),
        ([RUBBISH], 2),
    ):
        court = Court(j=steps)
        found = await court.decide()
        assert (found.source, court.calls()) == (VerdictSource.STAND_IN, (calls, 1))


@virtual_time
async def test_the_vote_decides_where_no_arbiter_does() -> None:
    court = Court(j=RUBBISH, k=Step(ModelError(K.REFUSED, "no")))
    found = await court.decide(ballot=ballot(("yes", [0, 1]), ("no", [2])), weights={"member 1": 3.0})
    assert (found.source, found.judge.id) == (VerdictSource.VOTE, "member 1")
    assert [f.member.id for f in found.failures] == ["j", "k"]
    assert found.usage
    assert found.note is None


@pytest.mark.parametrize(
    "votes", [None, ballot(), ballot(("yes", [0])), ballot(("yes", [0, 7]))], ids=["none", "no vote", "one", "absent"]
)
def test_a_vote_of_one_or_of_somebody_else_decides_nothing(votes: Ballot | None) -> None:
    @virtual_time
    async def test() -> None:
        found = await Court(j=RUBBISH, k=RUBBISH).decide(ballot=votes)
        assert found.source is VerdictSource.CENTRAL

    test()


@virtual_time
async def test_who_is_cancelled_leaves_no_call_behind() -> None:
    court = Court(j=HANG)
    deciding = asyncio.create_task(court.decide(both_orders=True))
    await asyncio.sleep(1)
    deciding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deciding
    assert court.models["j"].cancelled == 2
    assert not court.breakers.out
