from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest

from core.catalog import Catalog
from core.errors import ModelError
from core.events import ArbiterStarted, MemberEnded, RoundEnded, RunEvent, RunStarted, TextDelta
from core.types import Bill, Failure, FailureKind, Response, Round, Run, RunStatus, Turn, Usage, VerdictSource
from tests.core.fakes import (
    HANG,
    USED,
    FakeBreakers,
    FakeModel,
    Step,
    catalog,
    make_ask,
    make_engine,
    make_run,
    panel_models,
    verdict,
    virtual_time,
)

K = FailureKind


class Ran:
    """One run through the engine, and what came of it."""

    def __init__(self, run: Run, events: list[RunEvent], models: dict[str, FakeModel]) -> None:
        self.run, self.events, self.models = run, events, models

    def calls(self, *keys: str) -> list[int]:
        return [len(self.models[key].prompts) for key in keys]

    def failure(self, member: str, number: int = 1) -> Failure:
        return next(f for f in self.run.rounds[number - 1].failures if f.member.id == member)

    def said(self, key: str, call: int = 0) -> str:
        return "\n".join(f"{m.role}: {m.content}" for m in self.models[key].prompts[call].messages)


async def run_engine(
    cat: Catalog | None = None,
    models: dict[str, FakeModel] | None = None,
    *,
    run: Run | None = None,
    turns: Sequence[Turn] = (),
    **parts: Any,
) -> Ran:
    cat, models = cat or catalog(), models or panel_models()
    events: list[RunEvent] = []
    ended = await make_engine(cat, models, **parts).run(run or make_run(cat), turns, events.append)
    return Ran(ended, events, models)


@virtual_time
async def test_all_members_are_asked_at_once_and_one_answer_comes_out() -> None:
    step = Step("It is.", after=3)
    ran = await run_engine(models=panel_models(a=step, b=step, c=step, j=Step(verdict("Yes.", 90), after=2)))
    run = ran.run
    assert run.verdict
    assert (run.verdict.source, run.verdict.synthesis, run.verdict.confidence) == (VerdictSource.ARBITER, "Yes.", 0.9)
    assert run.verdict.seconds == 2
    assert [o.member.id for o in run.rounds[0].outcomes] == ["a", "b", "c"]
    assert asyncio.get_running_loop().time() - 1000 == 5, "members beside each other, then the arbiter"
    assert run.status is RunStatus.RUNNING, "the analysis is still to come"
    assert run.bill == Bill(calls=4, prompt_tokens=40, completion_tokens=20, cost=0.04)


@virtual_time
async def test_events_tell_the_run_in_order() -> None:
    ran = await run_engine(models=panel_models(a=Step("A", after=2), b=Step("B", after=1), c=Step("C", after=3)))
    kinds = [event.type for event in ran.events if not isinstance(event, TextDelta)]
    assert kinds == ["run_started", *["member_ended"] * 3, "arbiter_started", "round_ended"]
    assert [e.outcome.member.id for e in ran.events if isinstance(e, MemberEnded)] == ["b", "a", "c"]
    started = ran.events[0]
    assert isinstance(started, RunStarted)
    assert (started.round, started.max_rounds, [m.id for m in started.panel]) == (1, 1, ["a", "b", "c"])


@virtual_time
async def test_the_synthesis_streams_in_pieces_that_join_to_the_whole() -> None:
    text = 'A "long" answer,\nin several … pieces. 😀'
    ran = await run_engine(models=panel_models(j=Step(verdict(text))))
    deltas = [i for i, event in enumerate(ran.events) if isinstance(event, TextDelta)]
    assert len(deltas) > 3
    assert "".join(e.text for e in ran.events if isinstance(e, TextDelta)) == text
    assert isinstance(ran.events[deltas[0] - 1], ArbiterStarted)
    assert isinstance(ran.events[deltas[-1] + 1], RoundEnded)


# --- members that fail ----------------------------------------------------------------------------------


@virtual_time
async def test_a_member_that_fails_is_a_failure_and_the_rest_answers() -> None:
    refused = Step(ModelError(K.REFUSED, "the key is wrong", status=401))
    ran = await run_engine(models=panel_models(b=refused))
    assert ran.run.verdict
    assert ran.run.verdict.source is VerdictSource.ARBITER
    assert (ran.failure("b").kind, ran.failure("b").detail) == (K.REFUSED, "the key is wrong")
    assert ran.calls("b") == [1]


@virtual_time
async def test_an_open_breaker_is_a_failure_like_any_other() -> None:
    ran = await run_engine(breakers=FakeBreakers(open={"c"}))
    assert ran.failure("c").kind is K.BREAKER_OPEN
    assert ran.calls("a", "b", "c") == [1, 1, 0]


@virtual_time
async def test_with_nobody_answering_the_run_fails_with_every_reason() -> None:
    models = panel_models(
        a=Step(ModelError(K.REFUSED, "no such model")),
        b=Step(ModelError(K.UNREACHABLE, "nobody listens", retryable=False)),
        c=HANG,
    )
    ran = await run_engine(catalog(deadline=40), models)
    assert ran.run.status is RunStatus.FAILED
    assert ran.run.verdict is None
    assert ran.run.answered_at is None
    error = ran.run.error or ""
    assert error.startswith("None of the 3 members answered, so there is no answer.\n")
    for reason in ("a: no such model", "b: nobody listens", "c: no answer within"):
        assert f"- {reason}" in error
    assert ran.calls("j", "k") == [0, 0]
    assert not any(isinstance(e, RoundEnded) for e in ran.events)


@virtual_time
async def test_a_single_answer_is_no_consensus() -> None:
    down = Step(ModelError(K.REFUSED, "no"))
    ran = await run_engine(models=panel_models(b=down, c=down))
    found = ran.run.verdict
    assert found
    assert (found.source, found.judge.id, found.synthesis) == (VerdictSource.ONLY, "a", "a says yes.")
    assert (found.confidence, found.positions) == (None, ())
    assert ran.calls("j") == [0]


# --- time -----------------------------------------------------------------------------------------------


@virtual_time
async def test_a_straggler_is_not_waited_for() -> None:
    ran = await run_engine(None, panel_models(a=Step("A", after=4), b=Step("B", after=5), c=HANG))
    failure = ran.failure("c")
    assert failure.kind is K.CANCELLED
    assert failure.seconds == 10, "patience 2: twice the five seconds that the quorum took"
    assert failure.usage == (Usage(),), "what it used is unknown"
    assert failure.detail == "still silent after 10.0 s, when 2 others had long answered; not waited for"
    assert ran.models["c"].cancelled == 1, "the call is ended"
    assert ran.run.bill.uncounted == 1
    assert ran.run.verdict


@virtual_time
async def test_a_fast_quorum_gives_the_rest_one_second_more() -> None:
    ran = await run_engine(models=panel_models(a=Step("A", after=0.1), b=Step("B", after=0.1), c=Step("C", after=1.05)))
    assert len(ran.run.rounds[0].responses) == 3
    ran = await run_engine(models=panel_models(a=Step("A", after=0.1), b=Step("B", after=0.1), c=Step("C", after=1.2)))
    assert ran.failure("c").kind is K.CANCELLED


@virtual_time
async def test_without_a_quorum_nobody_is_left_behind() -> None:
    ran = await run_engine(models=panel_models(a=Step("A", after=1), b=Step("B", after=20), c=Step("C", after=30)))
    assert len(ran.run.rounds[0].responses) == 3


@virtual_time
async def test_members_leave_the_arbiter_time_before_the_deadline() -> None:
    cat = catalog(deadline=40, quorum=1)
    ran = await run_engine(cat, panel_models(c=HANG, j=Step(verdict(), after=4)))
    assert ran.failure("c").kind is K.TIMEOUT
    assert ran.run.verdict
    assert ran.run.verdict.source is VerdictSource.ARBITER
    assert asyncio.get_running_loop().time() - 1000 == pytest.approx(34)


@virtual_time
async def test_members_of_a_later_round_leave_the_arbiter_time_too() -> None:
    cat = catalog(deadline=100, quorum=1, max_iterations=2)
    member = [Step("C", after=1), HANG]
    judge = [Step(verdict("First.", 10), after=1), Step(verdict("Second.", 90), after=5)]
    ran = await run_engine(cat, panel_models(c=member, j=judge))
    assert ran.failure("c", 2).kind is K.TIMEOUT
    assert ran.run.verdict
    assert (ran.run.verdict.source, ran.run.verdict.synthesis) == (VerdictSource.ARBITER, "Second.")


@virtual_time
async def test_the_deadline_holds_even_when_everybody_hangs() -> None:
    ran = await run_engine(catalog(deadline=30, quorum=1), panel_models(c=HANG, j=HANG, k=HANG))
    assert ran.run.verdict
    assert ran.run.verdict.source is VerdictSource.CENTRAL
    assert asyncio.get_running_loop().time() - 1000 <= 30.001


@virtual_time
async def test_a_cancelled_run_ends_its_calls() -> None:
    models, breakers = panel_models(a=HANG, b=HANG, c=HANG), FakeBreakers()
    task = asyncio.create_task(run_engine(models=models, breakers=breakers))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [models[key].cancelled for key in "abc"] == [1, 1, 1]
    assert breakers.reports == [("a", None), ("b", None), ("c", None)]
    assert not breakers.out
    assert len(asyncio.all_tasks()) == 1


# --- rounds ---------------------------------------------------------------------------------------------


@virtual_time
async def test_rounds_go_on_to_the_threshold_and_feed_back_what_is_open() -> None:
    judge = [Step(verdict("Perhaps.", 50, ["the cost", "the risk"])), Step(verdict("Yes.", 85))]
    ran = await run_engine(catalog(max_iterations=5, confidence_threshold=0.8), panel_models(j=judge))
    assert [r.verdict.synthesis for r in ran.run.rounds if r.verdict] == ["Perhaps.", "Yes."]
    assert [e.refine for e in ran.events if isinstance(e, RunStarted)] == [(), ("the cost", "the risk")]
    again = ran.said("a", 1)
    for part in ("assistant: a says yes.", "Perhaps.", "- the cost\n- the risk", "Round 2."):
        assert part in again
    assert "b says yes." not in again, "members see the panel's answer, not each other's"
    assert "Round 2 of at most 5." in ran.said("j", 1)
    assert ran.run.bill.calls == 8


@virtual_time
async def test_a_sure_verdict_ends_it_unless_more_rounds_are_asked_for() -> None:
    assert len((await run_engine(catalog(max_iterations=3))).run.rounds) == 1
    assert len((await run_engine(catalog(max_iterations=3, min_iterations=2))).run.rounds) == 2


@virtual_time
async def test_rounds_are_bounded() -> None:
    ran = await run_engine(catalog(max_iterations=3), panel_models(j=Step(verdict("Hm.", 20))))
    assert len(ran.run.rounds) == 3


@virtual_time
async def test_a_verdict_without_confidence_ends_it() -> None:
    ran = await run_engine(catalog(max_iterations=3), panel_models(j=Step(verdict("Yes.", None))))
    assert len(ran.run.rounds) == 1
    assert ran.run.verdict
    assert ran.run.verdict.confidence is None


@virtual_time
async def test_no_round_is_begun_that_the_deadline_would_cut_off() -> None:
    slow = Step("It is.", after=20)
    models = panel_models(a=slow, b=slow, c=slow, j=Step(verdict("Hm.", 20), after=5))
    ran = await run_engine(catalog(max_iterations=5, deadline=70), models)
    assert len(ran.run.rounds) == 2


@virtual_time
async def test_when_nobody_answers_again_the_earlier_verdict_stands() -> None:
    once = [Step("Yes."), Step(ModelError(K.REFUSED, "no"))]
    ran = await run_engine(
        catalog(max_iterations=3), panel_models(a=once, b=once, c=once, j=Step(verdict("Perhaps.", 50)))
    )
    assert [bool(r.verdict) for r in ran.run.rounds] == [True, False]
    assert ran.run.verdict
    assert ran.run.verdict.synthesis == "Perhaps."
    assert ran.run.status is RunStatus.RUNNING


# --- prompts --------------------------------------------------------------------------------------------


@virtual_time
async def test_role_and_domain_are_told_to_whom_they_belong() -> None:
    cat = catalog(members=["a:2", "b"], arbiter="j")
    ask = make_ask(roles={"a": "Rawlsian", "b": "a tired nurse"}, domain="policy")
    ran = await run_engine(cat, run=make_run(cat, ask))
    assert [m.id for m in ran.run.panel] == ["a 1", "a 2", "b"]
    for call in (0, 1):
        assert "Your role: Rawlsian. Judge from behind a veil of ignorance" in ran.said("a", call)
    assert "Your role: a tired nurse" in ran.said("b")
    assert "public policy" in ran.said("b")
    assert "role" not in ran.said("j").split("user:")[1], "the arbiter is not told who plays what"


@virtual_time
async def test_a_follow_up_carries_its_thread_within_the_budget() -> None:
    turns = [Turn(question=f"Question {n}? " + "x" * 390, answer=f"Answer {n}.") for n in range(4)]
    ran = await run_engine(catalog(context_tokens=220), turns=turns)
    for key in ("a", "j"):
        said = ran.said(key)
        assert [f"Question {n}?" in said for n in range(4)] == [False, False, True, True]
        assert said.index("Answer 2.") < said.index("Question 3?") < said.index("Answer 3.") < said.index("Is it so?")
    assert ran.run.notes == ("Left out of the conversation, to keep it short: the thread's oldest 2 questions.",)
    assert (await run_engine(turns=turns)).run.notes == ()


# --- taking a run over ----------------------------------------------------------------------------------


def begun(run: Run, *rounds: Round) -> Run:
    return run.model_copy(update={"rounds": rounds})


@virtual_time
async def test_answers_that_are_paid_for_are_not_asked_for_again() -> None:
    cat = catalog()
    run = make_run(cat)
    paid = Response(member=run.panel[0], text="Paid for.", seconds=1, usage=USED)
    lost = Failure(member=run.panel[1], kind=K.TIMEOUT, detail="slow")
    ran = await run_engine(cat, run=begun(run, Round(number=1, outcomes=(paid, lost))))
    assert ran.calls("a", "b", "c") == [0, 1, 1]
    assert [o.member.id for o in ran.run.rounds[0].outcomes] == ["a", "b", "c"]
    assert "Paid for." in ran.said("j")
    assert ran.run.bill.calls == 4


@virtual_time
async def test_a_straggler_is_not_waited_for_beside_answers_that_are_paid_for() -> None:
    cat = catalog()
    run = make_run(cat)
    paid = [Response(member=member, text="Paid for.", seconds=5, usage=USED) for member in run.panel[:2]]
    ran = await run_engine(cat, panel_models(c=HANG), run=begun(run, Round(number=1, outcomes=tuple(paid))))
    failure = ran.failure("c")
    assert (failure.kind, failure.seconds) == (K.CANCELLED, 10)


@virtual_time
async def test_a_round_with_its_verdict_is_taken_as_it_is() -> None:
    cat = catalog(max_iterations=2)
    down = Step(ModelError(K.REFUSED, "no"))
    first = await run_engine(cat, panel_models(b=down, j=Step(verdict("Perhaps.", 50))))
    run = begun(make_run(cat), first.run.rounds[0])
    ran = await run_engine(cat, run=run)
    assert ran.run.rounds[0] == first.run.rounds[0]
    assert ran.calls("a", "b", "c", "j") == [1, 1, 1, 1], "only the second round is asked for"
    assert "Perhaps." in ran.said("a")
    assert [e.outcome.member.id for e in ran.events if isinstance(e, MemberEnded) and e.round == 1] == ["a", "b", "c"]


@virtual_time
async def test_an_engine_carries_runs_beside_each_other_without_mixing_them() -> None:
    cat = catalog()
    models = panel_models(**{k: Step(lambda p: f"I read {p.messages[-1].content}", after=1) for k in "abc"})
    engine = make_engine(cat, models)

    async def one(n: int) -> tuple[Run, list[RunEvent]]:
        events: list[RunEvent] = []
        ask = make_ask(f"word{n:03}", id=f"r{n}", roles={"a": f"role{n:03}"})
        return await engine.run(make_run(cat, ask), [Turn(question=f"was{n:03}", answer="x")], events.append), events

    for n, (run, events) in enumerate(await asyncio.gather(*(one(n) for n in range(50)))):
        everything = run.model_dump_json() + "".join(e.model_dump_json() for e in events)
        for m in range(50):
            assert (f"word{m:03}" in everything) == (m == n)
            assert (f"role{m:03}" in everything) == (m == n)
    for key in "abcj":
        for prompt in models[key].prompts:
            text = prompt.model_dump_json()
            assert len({word[-3:] for word in _marks(text)}) == 1


def _marks(text: str) -> set[str]:
    return set(re.findall(r"(?:word|role|was)\d{3}", text))
