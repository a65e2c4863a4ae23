from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from core import strategies
from core.asks import Turn
from core.attachments import Material
from core.errors import BadInput, ModelError
from core.events import ArbiterStarted, MemberEnded, RoundEnded, RunEvent, RunStarted, TextDelta
from core.types import Agreement, Bill, Failure, FailureKind, Response, Round, Run, RunStatus, Usage, VerdictSource
from core.votes.confidence import Calibration, Knot
from core.votes.trust import Experience
from tests.core.fakes import (
    HANG,
    USED,
    FakeBreakers,
    Step,
    begun,
    catalog,
    make_ask,
    make_engine,
    make_run,
    panel_models,
    picture,
    run_engine,
    text_file,
    verdict,
    virtual_time,
)

K = FailureKind


@virtual_time
async def test_all_members_are_asked_at_once_and_one_answer_comes_out() -> None:
    step = Step("It is.", after=3)
    ran = await run_engine(models=panel_models(a=step, b=step, c=step, j=Step(verdict("Yes.", 90), after=2)))
    run = ran.run
    assert run.verdict
    assert (run.verdict.source, run.verdict.synthesis) == (VerdictSource.ARBITER, "Yes.")
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
    judge = [Step(verdict("First.", stances="disagree"), after=1), Step(verdict("Second.", 90), after=5)]
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
    judge = [Step(verdict("Perhaps.", 50, ["the cost", "the risk"], "partly")), Step(verdict("Yes.", 85))]
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
    ran = await run_engine(catalog(max_iterations=3), panel_models(j=Step(verdict("Hm.", stances="disagree"))))
    assert len(ran.run.rounds) == 3


@virtual_time
async def test_confidence_is_read_from_agreement_and_the_arbiters_own_figure_stands_beside_it() -> None:
    two = verdict("Yes.", 35, stances=lambda text: "disagree" if text.startswith("c") else "agree")
    found = (await run_engine(models=panel_models(j=Step(two)))).verdict
    assert (found.agreement, found.confidence, found.stated) == (Agreement(agree=2, total=3), 0.72, 0.35)
    learnt = Experience(
        calibration=Calibration(curves={3: (Knot(share=0, confidence=0.2), Knot(share=1, confidence=0.5))})
    )
    found = (await run_engine(models=panel_models(j=Step(two)), experience=learnt)).verdict
    assert found.confidence == 0.4


@virtual_time
async def test_an_arbiter_that_is_sure_of_itself_ends_nothing() -> None:
    doubted = verdict("Yes.", 99, stances="disagree")
    ran = await run_engine(catalog(max_iterations=2), panel_models(j=Step(doubted)))
    assert [r.verdict.stated for r in ran.run.rounds if r.verdict] == [0.99, 0.99]
    modest = verdict("Yes.", 1)
    assert len((await run_engine(catalog(max_iterations=2), panel_models(j=Step(modest)))).run.rounds) == 1


@virtual_time
async def test_a_verdict_without_confidence_ends_it() -> None:
    judged_nobody = verdict("Yes.", 90, stances="who knows")
    ran = await run_engine(catalog(max_iterations=3), panel_models(j=Step(judged_nobody)))
    assert len(ran.run.rounds) == 1
    assert (ran.verdict.confidence, ran.verdict.agreement, ran.verdict.stated) == (None, None, 0.9)


@virtual_time
async def test_without_an_arbiter_the_votes_decide_and_give_the_confidence() -> None:
    down = Step(ModelError(K.REFUSED, "no"))
    models = panel_models(
        a=Step("Final answer: 4"), b=Step("So: Final answer: 4"), c=Step("Final answer: 5"), j=down, k=down
    )
    found = (await run_engine(models=models)).verdict
    assert (found.source, found.agreement, found.confidence) == (VerdictSource.VOTE, Agreement(agree=2, total=3), 0.72)
    one_vote = panel_models(a=Step("Final answer: 4"), j=down, k=down)
    found = (await run_engine(models=one_vote)).verdict
    assert (found.source, found.agreement, found.confidence) == (VerdictSource.CENTRAL, None, None)


@virtual_time
async def test_no_round_is_begun_that_the_deadline_would_cut_off() -> None:
    slow = Step("It is.", after=20)
    models = panel_models(a=slow, b=slow, c=slow, j=Step(verdict("Hm.", stances="disagree"), after=5))
    ran = await run_engine(catalog(max_iterations=5, deadline=70), models)
    assert len(ran.run.rounds) == 2


@virtual_time
async def test_when_nobody_answers_again_the_earlier_verdict_stands() -> None:
    once = [Step("Yes."), Step(ModelError(K.REFUSED, "no"))]
    ran = await run_engine(
        catalog(max_iterations=3), panel_models(a=once, b=once, c=once, j=Step(verdict("Perhaps.", stances="partly")))
    )
    assert [bool(r.verdict) for r in ran.run.rounds] == [True, False]
    assert ran.run.verdict
    assert ran.run.verdict.synthesis == "Perhaps."
    assert ran.run.status is RunStatus.RUNNING


@virtual_time
async def test_a_set_up_that_names_what_has_gone_is_told_before_anybody_is_asked() -> None:
    gone = catalog().consortia["default"].model_copy(update={"members": ("a", "gone"), "strategy": "votign"})
    models = panel_models()
    with pytest.raises(
        BadInput, match=r"cannot be asked: members: no model 'gone' .*; strategy: .* did you mean voting"
    ):
        await run_engine(models=models, run=make_run(catalog()).model_copy(update={"ask": make_ask(setup=gone)}))
    assert not models["a"].prompts


@virtual_time
async def test_what_the_asker_should_know_of_the_panel_is_noted() -> None:
    cat = catalog(members=["a:3", "b"], arbiter="a")
    ran = await run_engine(cat)
    assert ran.run.notes == (
        "Seats of the same model are asked with different seeds, the further ones warmer: "
        "a 2 at temperature 0.7, a 3 at temperature 0.7.",
        "The arbiter a also sits on the panel, and may favour its own answer.",
    )
    simulated = cat.models["a"].model_copy(update={"provider": "simulated"})
    labelled = await run_engine(cat.model_copy(update={"models": {**cat.models, "a": simulated}}))
    assert labelled.has_note("The arbiter a (simulated) also sits on the panel")
    asked = [(p.seed, p.temperature) for p in ran.models["a"].prompts[:3]]
    assert asked == [(1, None), (2, 0.7), (3, 0.7)]


# --- one member alone, and files ------------------------------------------------------------------------


@virtual_time
async def test_one_member_is_asked_alone_whatever_the_strategy() -> None:
    for name in strategies.known():
        cat = catalog(strategy=name, min_iterations=2, max_iterations=3, members=["a:2", "b", "c"], arbiter="a")
        ran = await run_engine(cat, run=make_run(cat, make_ask(addressed="a 2")))
        assert ran.calls("a", "b", "c", "j") == [1, 0, 0, 0], name
        assert [m.id for m in ran.run.panel] == ["a 2"]
        assert (ran.verdict.source, ran.verdict.agreement, ran.verdict.ballot) == (VerdictSource.ONLY, None, None)
        assert ran.run.notes == (), "the make-up of the panel is beside the point"
        assert [type(e) for e in ran.events] == [RunStarted, MemberEnded, RoundEnded]


@virtual_time
async def test_who_was_asked_alone_and_fails_or_has_gone_is_named() -> None:
    models = panel_models(b=Step(ModelError(K.REFUSED, "no such model")))
    ran = await run_engine(models=models, run=make_run(catalog(), make_ask(addressed="b")))
    assert ran.run.error == "b, who alone was asked, gave no answer: no such model"
    with pytest.raises(BadInput, match="no member 'z' on this panel any more"):
        await run_engine(run=make_run(catalog(), make_ask(addressed="z")))


@virtual_time
async def test_who_could_read_what_is_noted() -> None:
    async def notes(*materials: Material, vision: str = "", **fields: Any) -> tuple[str, ...]:
        cat = catalog()
        seeing = {k: m.model_copy(update={"vision": k in vision}) for k, m in cat.models.items()}
        cat = cat.model_copy(update={"models": seeing})
        return (await run_engine(cat, run=make_run(cat, make_ask(**fields)), materials=materials)).run.notes

    assert await notes(text_file()) == ()
    assert await notes(text_file(shortened=True)) == ("Only the beginning was shown to the members: notes.txt.",)
    assert await notes(picture(), vision="ac") == ("Only a, c can see photo.png.",)
    assert await notes(picture(), vision="abc") == ()
    assert await notes(picture()) == ("No member of this panel can see pictures: photo.png was not looked at.",)
    two = (picture("1.png"), picture("2.png"))
    assert await notes(*two) == ("No member of this panel can see pictures: 1.png, 2.png were not looked at.",)
    gone = (text_file().attachment,)
    assert await notes(attachments=gone) == ("Not stored any more, and shown to nobody: notes.txt.",)


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
async def test_calls_that_failed_before_the_run_changed_hands_stay_on_the_bill() -> None:
    run = make_run(catalog())
    used = (Usage(prompt_tokens=7, completion_tokens=0, cost=0.5), Usage())
    failed = [Failure(member=m, kind=K.TIMEOUT, detail="late", attempts=2, usage=used) for m in run.panel[:2]]
    down = Step(ModelError(K.REFUSED, "no such model"))
    ran = await run_engine(models=panel_models(b=down), run=begun(run, Round(number=1, outcomes=tuple(failed))))
    assert ran.calls("a", "b", "c", "j") == [1, 1, 1, 1]
    assert (ran.run.bill.calls, ran.run.bill.unpriced) == (3 + 4, 2)
    assert ran.run.bill.cost == pytest.approx(0.5 * 2 + 0.01 * 3)


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
    first = await run_engine(cat, panel_models(b=down, j=Step(verdict("Perhaps.", stances="partly"))))
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
