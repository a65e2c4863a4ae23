from __future__ import annotations

from typing import Any

import pytest

from core.delivery import RunView
from core.errors import ConsortiumError, RateLimited, user_text
from core.ports import BreakerState, RunSummary
from core.present.answers import answer_text
from core.present.figures import FAILED_BECAUSE, cost_text, tokens_text
from core.present.lists import breaker_text, history_text, models_text, roles_text
from core.present.progress import progress_text
from core.types import (
    Agreement,
    Ballot,
    Bill,
    Camp,
    Failure,
    FailureKind,
    Member,
    Position,
    Response,
    Round,
    Run,
    RunStatus,
    Stance,
    Usage,
    Verdict,
    VerdictSource,
)
from core.votes.confidence import PRIOR
from core.votes.voting import agreement_of, by_vote
from tests.core.fakes import START, catalog, make_ask, make_run

A, B, C, D, E = (Member(id=key, model=key) for key in "abcde")
JUDGE = Member(id="j", model="j")
YES, NO, PARTLY = Stance.AGREES, Stance.DISAGREES, Stance.PARTLY


def answered(*stances: Stance, failures: dict[str, FailureKind] | None = None, **verdict: Any) -> Run:
    """A run whose members took these stances, with the failures of others."""
    given = tuple(Response(member=m, text=f"{m.id}.", seconds=1.2) for m in (A, B, C, D, E)[: len(stances)])
    failed = tuple(
        Failure(member=Member(id=name, model=name), kind=kind, detail=f"{name} because")
        for name, kind in (failures or {}).items()
    )
    positions = verdict.get("positions") or tuple(
        Position(member=r.member, stance=s, point=f"point {r.member.id}") for r, s in zip(given, stances, strict=True)
    )
    agreement = verdict.get("agreement", agreement_of(positions) if verdict.get("positions") != () else None)
    fields: dict[str, Any] = {
        "source": VerdictSource.ARBITER,
        "judge": JUDGE,
        "synthesis": "**Yes.**",
        "agreement": agreement,
        "confidence": PRIOR.confidence(agreement) if agreement else None,
        "positions": positions,
    }
    round_ = Round(number=1, outcomes=(*given, *failed), verdict=Verdict(**{**fields, **verdict}))
    panel = tuple(o.member for o in round_.outcomes)
    return make_run(catalog()).model_copy(update={"rounds": (round_,), "panel": panel, "answered_at": START})


ALIKE = Ballot(basis="meaning", camps=(Camp(answer="b.", normal="group 1", members=(A, B), weight=2),))


def voted(**fields: Any) -> Run:
    """a and b voted for 4, c for 5, d for nothing."""
    camps = (
        Camp(answer="4", normal="4", members=(A, B), weight=2),
        Camp(answer="5", normal="5", members=(C,), weight=1),
    )
    ballot = Ballot(basis="final answers", camps=camps, abstained=(D,))
    run = answered(YES, YES, NO, YES)
    found = by_vote(ballot, run.answers, dict.fromkeys("abcd", 1.0), confidence=0.72)
    return run.model_copy(update={"rounds": (run.rounds[0].model_copy(update={"verdict": found}),), **fields})


def asked_in_part() -> Run:
    """Two of three were asked."""
    return answered(YES, YES).model_copy(update={"panel": (A, B, C)})


@pytest.mark.parametrize(
    ("run", "headline"),
    [
        (answered(YES, YES, YES), "All 3 members answered. Confidence high, 0.91: 3 of 3 agree."),
        (
            answered(YES, YES, NO, failures={"mistral": FailureKind.TIMEOUT}),
            "3 of 4 members answered; mistral timed out. Confidence fair, 0.72: 2 of 3 agree; c disagrees.",
        ),
        (
            answered(NO, NO, PARTLY),
            "All 3 members answered. Confidence very low, 0.14: 0 of 3 agree; a and b disagree; c only in part.",
        ),
        (
            answered(YES, PARTLY, YES, NO, NO),
            "All 5 members answered. Confidence low, 0.60: 2 of 5 agree; d and e disagree; b only in part.",
        ),
        (
            answered(YES, YES, agreement=Agreement(agree=2, total=3)),
            "All 2 members answered. Confidence fair, 0.72: 2 of 3 agree.",
        ),
        (answered(YES, YES, positions=(), confidence=None), "All 2 members answered. Confidence unknown."),
        (
            answered(YES, source=VerdictSource.ONLY, judge=A, positions=(), confidence=None),
            "The only member answered. Only one answer: nobody could agree or disagree with it. Confidence unknown.",
        ),
        (
            answered(YES, YES, source=VerdictSource.CENTRAL, judge=B, positions=(), confidence=None),
            "All 2 members answered. No arbiter could decide: this is the answer most like the others, by b. "
            "Confidence unknown.",
        ),
        (
            answered(
                YES, YES, source=VerdictSource.CENTRAL, judge=B, positions=(), agreement=Agreement(agree=1, total=2)
            ),
            "All 2 members answered. No arbiter could decide: this is the answer most like the others, by b. "
            "Confidence low, 0.50: 1 of 2 agree.",
        ),
        (
            voted(),
            "All 4 members answered. Decided by vote, in the words of a. "
            "Confidence fair, 0.72: 2 of 3 agree; c disagrees; d did not vote.",
        ),
        (
            answered(YES, YES, source=VerdictSource.VOTE, judge=B, positions=(), confidence=None, ballot=ALIKE),
            "All 2 members answered. The largest group of like texts goes out, in the words of b. Confidence unknown.",
        ),
        (
            asked_in_part(),
            "2 members were asked and answered. Confidence high, 0.85: 2 of 2 agree.",
        ),
        (
            answered(YES, YES, agreement=None, confidence=0.9),
            "All 2 members answered. Confidence 0.90, the arbiter's own figure.",
        ),
    ],
    ids=[
        *("all agree", "one failed", "against", "partly", "outliers", "no positions", "only one", "central"),
        *("central with votes", "vote", "vote by meaning", "asked in waves", "from before"),
    ],
)
def test_the_headline_says_what_happened(run: Run, headline: str) -> None:
    assert answer_text(run).headline == headline


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_of_failure_has_its_words(kind: FailureKind) -> None:
    assert f"; x {FAILED_BECAUSE[kind]}" in answer_text(answered(YES, YES, failures={"x": kind})).headline


def test_an_answer_has_all_its_parts() -> None:
    lost = Failure(member=JUDGE, kind=FailureKind.BAD_REPLY, detail="its verdict could not be read")
    run = answered(YES, NO, failures={"x": FailureKind.TIMEOUT}, source=VerdictSource.STAND_IN)
    run = run.model_copy(
        update={
            "notes": ("Left out: much.",),
            "bill": Bill.of([Usage(prompt_tokens=900, completion_tokens=100, cost=0.5)]),
        }
    )
    verdict = run.rounds[0].verdict
    assert verdict
    run = run.model_copy(
        update={
            "rounds": (run.rounds[0].model_copy(update={"verdict": verdict.model_copy(update={"failures": (lost,)})}),)
        }
    )
    text = answer_text(run)
    assert text.body == "**Yes.**"
    assert text.views == ("a agrees: point a", "b **disagrees**: point b")
    assert text.failures == ("x: x because", "j: its verdict could not be read")
    for part in (
        "consortium default",
        "arbiter j, standing in",
        "1,000 tokens",
        "$0.5000",
        "run r1",
        "Left out: much.",
    ):
        assert part in text.footer
    document = text.markdown()
    parts = [text.headline, text.body, "Who says what", "Who is missing", text.footer]
    assert [document.index(part) for part in parts] == sorted(document.index(part) for part in parts)


def test_a_vote_shows_who_holds_what_and_that_an_abstention_holds_nothing() -> None:
    views = answer_text(voted()).views
    assert views == ("a agrees", "b agrees", "c **disagrees**: final answer: 5", "d stated no final answer")


def test_the_footer_has_the_strategy_and_the_arbiters_own_figure() -> None:
    setup = catalog(strategy="semantic").consortia["default"]
    run = answered(YES, YES, stated=0.4).model_copy(update={"ask": make_ask(setup=setup)})
    footer = answer_text(run).footer
    assert "strategy semantic · arbiter j (its own figure: 0.40)" in footer
    assert "strategy" not in answer_text(answered(YES, YES)).footer
    assert "arbiter" not in answer_text(voted()).footer


def test_a_council_names_who_gave_no_answer_and_who_gave_no_ranking() -> None:
    lost = Failure(member=C, kind=FailureKind.TIMEOUT, detail="slow")
    first = answered(YES, YES, failures={"d": FailureKind.REFUSED}).rounds[0]
    reviews = Round(number=2, outcomes=(*first.responses[:1], lost), verdict=first.verdict, kind="reviews")
    rounds = (first.model_copy(update={"verdict": None}), reviews)
    text = answer_text(answered(YES, YES).model_copy(update={"rounds": rounds, "panel": (A, B, D)}))
    assert text.headline.startswith("2 of 3 members answered; d was refused.")
    assert text.failures == ("d: d because", "c, ranking the others: slow")


def test_roles_and_domain_are_in_the_footer() -> None:
    panel = (A.model_copy(update={"role": "Rawlsian"}), B)
    run = answered(YES, YES).model_copy(update={"panel": panel, "ask": make_ask(domain="policy")})
    assert "roles: a as Rawlsian" in answer_text(run).footer
    assert "domain policy" in answer_text(run).footer


def test_simulated_members_are_labelled_wherever_they_appear() -> None:
    fake = Member(id="optimist", model="optimist", simulated=True)
    given = (Response(member=fake, text="Yes.", seconds=1), Response(member=A, text="Yes.", seconds=1))
    failed = Failure(member=fake.model_copy(update={"id": "nomad"}), kind=FailureKind.TIMEOUT, detail="gone")
    verdict = Verdict(
        source=VerdictSource.ARBITER, judge=fake, synthesis="Yes.", positions=(Position(member=fake, stance=NO),)
    )
    round_ = Round(number=1, outcomes=(*given, failed), verdict=verdict)
    run = make_run(catalog()).model_copy(update={"rounds": (round_,), "panel": (fake, A, failed.member)})
    document = answer_text(run).markdown()
    assert document.count("optimist") == document.count("optimist (simulated)") == 2
    assert document.count("nomad") == document.count("nomad (simulated)") == 2
    assert "no language model wrote their text" in document


def test_an_answer_that_a_simulated_arbiter_wrote_says_so_in_words() -> None:
    footer = answer_text(answered(YES, YES, judge=JUDGE.model_copy(update={"simulated": True}))).footer
    assert "arbiter j (simulated)" in footer
    assert footer.endswith("_The arbiter is simulated: no language model wrote this answer._")


def test_a_simulated_member_is_labelled_beside_its_role_too() -> None:
    run = answered(YES, YES)
    fake = A.model_copy(update={"simulated": True, "role": "Rawlsian"})
    footer = answer_text(run.model_copy(update={"panel": (fake, B)})).footer
    assert "roles: a (simulated) as Rawlsian" in footer


def test_a_run_without_a_verdict_has_no_answer() -> None:
    with pytest.raises(ValueError, match="no verdict"):
        answer_text(make_run(catalog()))


@pytest.mark.parametrize(
    ("usages", "tokens", "cost"),
    [
        ([], "tokens unknown", "cost unknown"),
        ([Usage()], "tokens unknown", "cost unknown"),
        ([Usage(prompt_tokens=0, completion_tokens=0, cost=0)], "0 tokens", "$0"),
        ([Usage(prompt_tokens=1000, completion_tokens=234, cost=0.0012)], "1,234 tokens", "$0.0012"),
        ([Usage(prompt_tokens=5, completion_tokens=5, cost=2), Usage()], "at least 10 tokens", "at least $2.00"),
        ([Usage(prompt_tokens=5, completion_tokens=5), Usage(prompt_tokens=1)], "at least 11 tokens", "cost unknown"),
    ],
)
def test_unknown_usage_stays_unknown(usages: list[Usage], tokens: str, cost: str) -> None:
    bill = Bill.of(usages)
    assert (tokens_text(bill), cost_text(bill)) == (tokens, cost)


def test_progress_shows_each_member_and_the_text_so_far() -> None:
    view = RunView(panel=(A, B, C.model_copy(update={"role": "Rawlsian"})), round=2, max_rounds=3)
    view.outcomes = {
        "a": Response(member=A, text="Yes.", seconds=1.25),
        "b": Failure(member=B, kind=FailureKind.TIMEOUT, detail="slow"),
    }
    view.judge, view.text = JUDGE, "Half a senten"
    text = progress_text(view)
    assert text.splitlines() == [
        "**Asking 3 members** · 2 done · round 2 of at most 3",
        "- ✅ a: answered in 1.2 s",
        "- ❌ b: timed out",
        "- ⏳ c as Rawlsian: thinking",
        "- ✍️ j is weighing the answers",
        "",
        "Half a senten",
    ]


def test_progress_keeps_a_long_role_short() -> None:
    view = RunView(panel=(A.model_copy(update={"role": "a very careful person " * 20}),))
    state = progress_text(view).splitlines()[1]
    assert state.startswith("- ⏳ a as a very careful person")
    assert state.endswith("…: thinking")
    assert len(state) < 90


def summary(**fields: Any) -> RunSummary:
    return RunSummary.model_validate(
        {
            "id": "r1",
            "question": "Why?\nNow?",
            "answer": "Because.",
            "status": RunStatus.DONE,
            "confidence": 0.85,
            "consortium": "default",
            "where": make_ask().where,
            "created_at": START,
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "  Because. (confidence 0.85)"),
        ({"confidence": None}, "  Because. (confidence unknown)"),
        ({"answer": None, "status": RunStatus.RUNNING}, "  still running"),
        ({"answer": None, "status": RunStatus.FAILED}, "  no answer"),
        ({"answer": "x" * 500}, f"  {'x' * 199}… (confidence 0.85)"),
    ],
)
def test_a_line_of_history(fields: dict[str, Any], line: str) -> None:
    lines = history_text([summary(**fields)], 1, more=False, prefix="").splitlines()
    assert lines == ["**Your questions**", "- 2026-03-01 12:00 UTC · **Why? Now?** · `r1`", line]


def test_roles_and_models_are_listed() -> None:
    fake = Member(id="o", model="o", simulated=True)
    text = roles_text({"Rawlsian": "Judge fairly."}, {"a": "a tired\nnurse", "gone": "x"}, [A, fake], "A note.")
    for line in ("- a: a tired nurse", "- o (simulated): no role", "- gone: x", "A note.", "- Rawlsian: Judge fairly."):
        assert line in text.splitlines()
    cat = catalog()
    states = {key: BreakerState(state="closed", failure_rate=0.25, calls=4) for key in cat.models}
    saved = {"mine": cat.consortia["default"].model_copy(update={"strategy": "voting"})}
    lines = models_text(cat, states, "mine", saved).splitlines()
    assert "- b (b at here): ready (25% of the last 4 calls failed)" in lines
    assert "- default: a, b, c; arbiter j" in lines
    assert "- mine (in use here): a, b, c; arbiter j; strategy voting" in lines


def test_a_breaker_in_words() -> None:
    assert breaker_text(BreakerState(state="open", failure_rate=1, calls=3, retry_in=7.6)) == (
        "resting after failures, tried again in 8 s"
    )
    assert breaker_text(BreakerState(state="half_open", failure_rate=1, calls=3)) == "being tried again"
    assert breaker_text(BreakerState(state="closed", failure_rate=0, calls=0)) == "ready (not called lately)"


# --- errors ---------------------------------------------------------------------------------------------


def test_errors_of_ours_speak_for_themselves_and_others_say_nothing_of_their_insides() -> None:
    assert user_text(RateLimited("You", 0.2)) == "You asked too often just now. Try again in 1 s."
    try:
        raise KeyError("secret") from ValueError("/srv/app.py")
    except KeyError as error:
        text = user_text(error, "r1")
    assert not any(word in text for word in ("secret", "KeyError", "Traceback", ".py"))
    assert "`r1`" in text
    assert "`" not in user_text(KeyError("x"))


def test_every_error_is_one_of_ours() -> None:
    import core.errors

    kinds = [kind for kind in vars(core.errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 8
    assert all(issubclass(kind, ConsortiumError) for kind in kinds)
