from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from core.errors import ModelError, Unavailable
from core.ports import Prompt
from core.types import FailureKind, Stance, Usage, Verdict, VerdictSource
from tests.core.court import Court
from tests.core.fakes import (
    HANG,
    USED,
    Step,
    verdict,
    virtual_time,
)

K = FailureKind
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
