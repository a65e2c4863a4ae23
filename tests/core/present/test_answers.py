from __future__ import annotations

from typing import Any

import pytest

from core.asks import Attachment
from core.cards import Card, Tone
from core.commands.actions import decode
from core.commands.values import AskAgain, Feedback, Resize, ShowAnswers, ShowCharts, ShowDissent
from core.errors import NotFound
from core.present.answers import answer_card, answers_reply, dissent_reply, failed_card
from core.present.figures import FAILED_BECAUSE
from core.types import (
    Agreement,
    Ballot,
    Bill,
    Camp,
    Failure,
    FailureKind,
    Member,
    Position,
    Remark,
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


def answered(*stances: Stance, missing: dict[str, FailureKind] | None = None, **verdict: Any) -> Run:
    """A run whose members took these stances, with the failures of others."""
    given = tuple(Response(member=m, text=f"{m.id}.", seconds=1.2) for m in (A, B, C, D, E)[: len(stances)])
    lost = tuple(
        Failure(member=Member(id=name, model=name), kind=kind, detail=f"{name} because")
        for name, kind in (missing or {}).items()
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
    round_ = Round(number=1, outcomes=(*given, *lost), verdict=Verdict(**{**fields, **verdict}))
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


def actions_of(card: Card) -> list[object]:
    return [decode(button.action) for row in card.buttons for button in row]


def labels(card: Card) -> list[str]:
    return [button.label for row in card.buttons for button in row]


def lines(card: Card, title: str) -> tuple[str, ...]:
    return next((s.lines for s in card.sections if s.title == title), ())


# --- the status -----------------------------------------------------------------------------------------

USED = "0.0 s · tokens unknown · cost unknown"


@pytest.mark.parametrize(
    ("run", "status", "tone"),
    [
        (answered(YES, YES, YES), "3 of 3 agree · confidence high, 0.91", Tone.SURE),
        (
            answered(YES, YES, NO, missing={"mistral": FailureKind.TIMEOUT}),
            "2 of 3 agree; c disagrees · confidence fair, 0.72 / mistral timed out",
            Tone.SPLIT,
        ),
        (
            answered(NO, NO, PARTLY),
            "0 of 3 agree; a and b disagree; c only in part · confidence very low, 0.14",
            Tone.SPLIT,
        ),
        (answered(PARTLY, PARTLY), "0 of 2 agree; a and b only in part · confidence low, 0.50", Tone.UNSURE),
        (answered(YES, YES, PARTLY), "2 of 3 agree; c only in part · confidence fair, 0.81", Tone.SURE),
        (
            answered(YES, YES, agreement=Agreement(agree=2, total=3)),
            "2 of 3 agree · confidence fair, 0.72",
            Tone.UNSURE,
        ),
        (answered(YES, YES, positions=(), confidence=None), "All 2 members answered · confidence unknown", Tone.UNSURE),
        (
            answered(YES, source=VerdictSource.ONLY, judge=A, positions=(), confidence=None),
            "Only one answer: nobody could agree or disagree with it · confidence unknown",
            Tone.UNSURE,
        ),
        (
            answered(
                YES,
                missing={"x": FailureKind.REFUSED, "y": FailureKind.REFUSED},
                source=VerdictSource.ONLY,
                judge=A,
                positions=(),
                confidence=None,
            ),
            "Only one answer: nobody could agree or disagree with it · confidence unknown / x and y were refused",
            Tone.UNSURE,
        ),
        (
            answered(YES, source=VerdictSource.ONLY, judge=A, positions=(), confidence=None).model_copy(
                update={"ask": make_ask(addressed="a"), "panel": (A,)}
            ),
            "Only a was asked · confidence unknown",
            Tone.UNSURE,
        ),
        (
            answered(YES, YES, source=VerdictSource.CENTRAL, judge=B, positions=(), confidence=None),
            "All 2 members answered · confidence unknown / no arbiter could decide: this is the answer most like the "
            "others, by b",
            Tone.UNSURE,
        ),
        (
            answered(
                YES, YES, source=VerdictSource.CENTRAL, judge=B, positions=(), agreement=Agreement(agree=1, total=2)
            ),
            "1 of 2 agree · confidence low, 0.50 / no arbiter could decide: this is the answer most like the "
            "others, by b",
            Tone.UNSURE,
        ),
        (
            voted(),
            "2 of 3 agree; c disagrees; d did not vote · confidence fair, 0.72 / decided by vote, in the words of a",
            Tone.SPLIT,
        ),
        (
            answered(YES, YES, source=VerdictSource.VOTE, judge=B, positions=(), confidence=None, ballot=ALIKE),
            "All 2 members answered · confidence unknown / the largest group of like texts goes out, in the words of b",
            Tone.UNSURE,
        ),
        (
            answered(YES, YES, source=VerdictSource.STAND_IN, judge=JUDGE),
            "2 of 2 agree · confidence high, 0.85 / j stood in for the arbiter",
            Tone.SURE,
        ),
        (asked_in_part(), "2 of 2 agree · confidence high, 0.85 / 2 of 3 members asked", Tone.SURE),
        (
            answered(YES, YES, agreement=None, confidence=0.9),
            "All 2 members answered · confidence 0.90, the arbiter's own figure",
            Tone.SURE,
        ),
    ],
    ids=[
        *(
            "all agree",
            "one failed",
            "against",
            "all partly",
            "partly",
            "outliers",
            "no positions",
            "only one",
            "one of three",
        ),
        *("addressed", "central", "central with votes", "vote", "vote by meaning", "stand-in", "asked in waves"),
        "from before",
    ],
)
def test_the_status_says_what_happened(run: Run, status: str, tone: Tone) -> None:
    card = answer_card(run)
    status, _, details = status.partition(" / ")
    assert card.status == status
    assert card.details == f"{details} · {USED}".removeprefix(" · ")
    assert card.tone == tone


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_of_failure_has_its_words(kind: FailureKind) -> None:
    assert answer_card(answered(YES, YES, missing={"x": kind})).details.startswith(f"x {FAILED_BECAUSE[kind]} · ")
    several = answer_card(answered(YES, YES, missing={"x": kind, "y": kind})).details
    assert "x and y " in several
    assert "x and y was" not in several
    assert "x and y is" not in several


def test_the_threshold_of_the_setup_says_what_is_sure() -> None:
    setup = catalog(confidence_threshold=0.95).consortia["default"]
    assert answer_card(answered(YES, YES, YES).model_copy(update={"ask": make_ask(setup=setup)})).tone is Tone.UNSURE


# --- what stands below ----------------------------------------------------------------------------------


def told(**verdict: Any) -> Run:
    return answered(YES, YES, NO, **verdict)


def test_what_the_arbiter_found_is_short_at_first_and_whole_when_long() -> None:
    run = told(
        common=("It works.",),
        disputed=("Whether\nit pays.", "x" * 300, "How long.", "For whom."),
        alone=(Remark(member=A.model_copy(update={"simulated": True}), point="Ask the staff."),),
        failures=(Failure(member=JUDGE, kind=FailureKind.BAD_REPLY, detail="its verdict could not be read"),),
    )
    few, whole = answer_card(run), answer_card(run, long=True)
    assert [s.title for s in few.sections] == ["All say", "They differ on", "Only one said", "Dissent"]
    assert lines(few, "They differ on") == ("Whether it pays.", "x" * 239 + "…", "… and 2 more")
    assert lines(whole, "They differ on") == ("Whether it pays.", "x" * 300, "How long.", "For whom.")
    assert lines(few, "Only one said") == ("a (simulated): Ask the staff.",)
    assert lines(few, "Dissent") == ("c disagrees: point c",)
    assert [s.title for s in whole.sections][-1] == "Who is missing"
    assert lines(whole, "Who is missing") == ("j: its verdict could not be read",)


def test_without_the_arbiters_lists_the_positions_say_who_holds_what() -> None:
    card = answer_card(answered(YES, PARTLY, NO))
    assert lines(card, "Who says what") == ("a agrees: point a",)
    assert lines(card, "Dissent") == ("c disagrees: point c", "b agrees in part: point b")


def test_a_vote_shows_who_holds_what_and_that_an_abstention_holds_nothing() -> None:
    card = answer_card(voted())
    assert [s.title for s in card.sections] == ["Dissent"]
    assert lines(card, "Dissent") == ("c disagrees: final answer: 5", "d stated no final answer")


def test_who_is_missing_is_told_with_the_whole_reason() -> None:
    run = answered(YES, NO, missing={"x": FailureKind.TIMEOUT}, source=VerdictSource.STAND_IN)
    assert lines(answer_card(run), "Who is missing") == ()
    assert lines(answer_card(run, long=True), "Who is missing") == ("x: x because",)


def test_a_council_names_who_gave_no_answer_and_who_gave_no_ranking() -> None:
    lost = Failure(member=C, kind=FailureKind.TIMEOUT, detail="slow")
    first = answered(YES, YES, missing={"d": FailureKind.REFUSED}).rounds[0]
    reviews = Round(number=2, outcomes=(*first.responses[:1], lost), verdict=first.verdict, kind="reviews")
    rounds = (first.model_copy(update={"verdict": None}), reviews)
    card = answer_card(answered(YES, YES).model_copy(update={"rounds": rounds, "panel": (A, B, D)}), long=True)
    assert card.details.startswith("d was refused · c timed out when ranking the others · ")
    assert lines(card, "Who is missing") == ("d: d because", "c, ranking the others: slow")


def test_an_answer_is_short_at_first_and_offers_the_rest() -> None:
    text = "First of all. " * 40 + "\n\n" + "Then more of it. " * 40
    run = answered(YES, YES, synthesis=text)
    few, whole = answer_card(run), answer_card(run, long=True)
    assert len(few.body) < 720
    assert few.body.endswith(" it. …")
    assert whole.body == text
    assert labels(few) == ["Answers", "Dissent", "Charts", "Ask again", "Longer"]
    assert labels(whole)[-1] == "Shorter"
    assert actions_of(few) == [
        ShowAnswers(run="r1"),
        ShowDissent(run="r1"),
        ShowCharts(run="r1"),
        AskAgain(run="r1"),
        Resize(run="r1", long=True),
    ]
    assert (few.good and decode(few.good.action), few.bad and decode(few.bad.action)) == (
        Feedback(run="r1", good=True),
        Feedback(run="r1", good=False),
    )


def test_buttons_are_there_for_what_there_is() -> None:
    assert labels(answer_card(answered(YES, YES))) == ["Answers", "Dissent", "Charts", "Ask again"]
    assert "Charts" not in labels(answer_card(answered(YES, source=VerdictSource.ONLY, judge=A, positions=())))
    uncharted = answered(YES, YES).model_copy(update={"ask": make_ask(charts=False)})
    assert "Charts" not in labels(answer_card(uncharted))
    assert "Longer" in labels(answer_card(answered(YES, YES, missing={"x": FailureKind.TIMEOUT})))


# --- small print ----------------------------------------------------------------------------------------


def test_the_footer_says_how_it_was_asked() -> None:
    setup = catalog(strategy="semantic").consortia["default"]
    attached = (
        Attachment(name="plan.pdf", media_type="application/pdf", size=9, kind="text", shortened=True),
        Attachment(name="map.png", media_type="image/png", size=9, kind="image"),
    )
    run = answered(YES, YES, stated=0.4, source=VerdictSource.STAND_IN).model_copy(
        update={
            "ask": make_ask(setup=setup, domain="policy", attachments=attached),
            "panel": (A.model_copy(update={"role": "Rawlsian"}), B),
            "notes": ("Only a can see map.png.", "Two\nlines."),
        }
    )
    assert answer_card(run).footer == (
        "consortium default · strategy semantic · arbiter j, standing in (its own figure: 0.40) · roles: a as Rawlsian "
        "· domain policy · with plan.pdf (only its beginning), map.png · run r1",
        "Only a can see map.png.",
        "Two lines.",
    )
    assert answer_card(answered(YES, YES)).footer == ("consortium default · arbiter j · run r1",)
    assert "arbiter" not in answer_card(voted()).footer[0]


def test_simulated_members_are_labelled_wherever_they_appear() -> None:
    fake = Member(id="optimist", model="optimist", simulated=True)
    given = (Response(member=fake, text="Yes.", seconds=1), Response(member=A, text="Yes.", seconds=1))
    failed = Failure(member=fake.model_copy(update={"id": "nomad"}), kind=FailureKind.TIMEOUT, detail="gone")
    verdict = Verdict(
        source=VerdictSource.ARBITER, judge=fake, synthesis="Yes.", positions=(Position(member=fake, stance=NO),)
    )
    round_ = Round(number=1, outcomes=(*given, failed), verdict=verdict)
    run = make_run(catalog()).model_copy(update={"rounds": (round_,), "panel": (fake, A, failed.member)})
    card = answer_card(run, long=True)
    assert card.footer[-1] == "Simulated members: optimist, nomad. No language model wrote their text."
    for document in (
        card.model_copy(update={"footer": card.footer[:-1]}).markdown(),
        answers_reply(run).text,
        dissent_reply(run).text.rpartition("\n\n")[0],
    ):
        assert document.count("optimist") == document.count("optimist (simulated)") > 0
        assert document.count("nomad") == document.count("nomad (simulated)")


def test_an_answer_that_a_simulated_arbiter_wrote_says_so_in_words() -> None:
    footer = answer_card(answered(YES, YES, judge=JUDGE.model_copy(update={"simulated": True}))).footer
    assert "arbiter j (simulated)" in footer[0]
    assert footer[-1] == "The arbiter is simulated: no language model wrote this answer."


def test_a_run_without_a_verdict_has_no_answer() -> None:
    with pytest.raises(ValueError, match="no verdict"):
        answer_card(make_run(catalog()))
    with pytest.raises(NotFound, match="no verdict"):
        dissent_reply(make_run(catalog()))
    with pytest.raises(NotFound, match="Nobody has answered"):
        answers_reply(make_run(catalog()))


# --- no answer ------------------------------------------------------------------------------------------


def ended(status: RunStatus, *outcomes: Response | Failure) -> Run:
    rounds = (Round(number=1, outcomes=outcomes),) if outcomes else ()
    used = Bill.of([Usage(prompt_tokens=900, completion_tokens=100, cost=0.5)] if outcomes else [])
    return make_run(catalog()).model_copy(update={"rounds": rounds, "status": status, "bill": used})


GIVEN = Response(member=A, text="Yes.", seconds=1.2)
LOST = Failure(member=B, kind=FailureKind.TIMEOUT, detail="no answer within 60 s")


def test_a_run_that_was_stopped_shows_what_there_was() -> None:
    card = failed_card(ended(RunStatus.CANCELLED, GIVEN, LOST), "Stopped by Ana.")
    assert (card.tone, card.body) == (Tone.FAILED, "Stopped by Ana.")
    assert (card.status, card.details) == ("Stopped · 1 of 3 had answered", "1,000 tokens · $0.5000")
    assert lines(card, "Who is missing") == ("b: no answer within 60 s", "c: stopped before it answered")
    assert actions_of(card) == [ShowAnswers(run="r1"), AskAgain(run="r1")]
    early = failed_card(ended(RunStatus.CANCELLED), "Stopped by Ana.")
    assert early.status == "Stopped · 0 of 3 had answered"
    assert labels(early) == ["Ask again"]


def test_what_nobody_was_paid_for_is_told_in_three_words() -> None:
    fake = [m.model_copy(update={"simulated": True}) for m in (A, B, JUDGE)]
    said = Response(member=fake[0], text="Yes.", seconds=1.2)
    lost = Failure(member=fake[1], kind=FailureKind.CANCELLED, detail="stopped")
    update = {"panel": tuple(fake[:2]), "bill": Bill.of([Usage(cost=0.0), Usage()])}
    stopped = ended(RunStatus.CANCELLED, said).model_copy(update=update)
    assert failed_card(stopped, "Stopped.").details == "simulated, no cost"
    done = answered(YES, YES, judge=fake[2], positions=()).model_copy(update=update)
    assert answer_card(done).details == "0.0 s · simulated, no cost"
    real = answered(YES, YES).model_copy(update=update)
    assert answer_card(real).details == "0.0 s · tokens unknown · at least $0", "its arbiter was none of them"
    judging = ended(RunStatus.CANCELLED, said, lost).model_copy(update=update)
    assert failed_card(judging, "Stopped.").details == "tokens unknown · at least $0", "an arbiter may have been"


def test_a_run_that_failed_says_why_once() -> None:
    card = failed_card(ended(RunStatus.FAILED, LOST), "Nobody answered.\nb: no answer within 60 s")
    assert (card.status, card.details) == ("No answer", "1,000 tokens · $0.5000")
    assert card.markdown().count("no answer within 60 s") == 1
    assert card.footer == ("consortium default · run r1",)


def test_an_answer_of_an_earlier_round_counts_while_there_is_no_verdict() -> None:
    again = Failure(member=A, kind=FailureKind.CANCELLED, detail="stopped")
    run = ended(RunStatus.CANCELLED, GIVEN, LOST)
    run = run.model_copy(update={"rounds": (*run.rounds, Round(number=2, outcomes=(again,)))})
    assert "1 of 3 had answered" in failed_card(run, "Stopped.").status
    assert "Yes." in answers_reply(run).text


# --- members' own answers, dissent ----------------------------------------------------------------------


def test_members_answers_stand_on_one_page_when_short() -> None:
    run = ended(
        RunStatus.DONE,
        GIVEN.model_copy(
            update={
                "member": A.model_copy(update={"role": "Rawlsian"}),
                "truncated": True,
                "attempts": 2,
                "usage": Usage(prompt_tokens=9, completion_tokens=1200),
            }
        ),
        Response(member=C, text="**No.**", seconds=2),
        LOST,
    )
    reply = answers_reply(run)
    assert reply.buttons == ()
    assert (
        "**a as Rawlsian** · 1.2 s · 1,200 tokens written · 2 attempts · cut off at its token limit\n\nYes."
        in reply.text
    )
    assert "**c** · 2.0 s · tokens unknown\n\n**No.**" in reply.text
    assert reply.text.endswith("**Who is missing**\n- b: no answer within 60 s")


def test_code_that_was_cut_off_does_not_swallow_what_follows() -> None:
    begun = Response(member=A, text="So:\n```\nprint(", seconds=1, truncated=True)
    reply = answers_reply(ended(RunStatus.DONE, begun, Response(member=C, text="No.", seconds=2)))
    assert "print(\n```\n\n**c**" in reply.text
    for synthesis in ("So:\n```\nprint(", "So it is.\n\n```\n" + "print(1)\n" * 100):
        for long in (False, True):
            card = answer_card(answered(YES, YES, synthesis=synthesis), long=long)
            assert card.markdown().count("```") % 2 == 0


def test_long_answers_have_a_page_each() -> None:
    texts = {member.id: f"{member.id} says " + "much " * 500 for member in (A, B, C)}
    run = ended(RunStatus.DONE, *(Response(member=m, text=texts[m.id], seconds=1) for m in (A, B, C)))
    pages = [answers_reply(run, number) for number in (1, 2, 3)]
    for page, (own, text) in zip(pages, texts.items(), strict=True):
        assert text.strip() in page.text
        assert sum(f"{other} says" in page.text for other in texts) == 1, own
    turns = [[(b.label, decode(b.action)) for row in page.buttons for b in row] for page in pages]
    before, behind = ("Previous", ShowAnswers(run="r1", page=1)), ("Next", ShowAnswers(run="r1", page=3))
    assert turns == [
        [("Next", ShowAnswers(run="r1", page=2))],
        [before, behind],
        [("Previous", ShowAnswers(run="r1", page=2))],
    ]
    for number in (0, 4):
        with pytest.raises(NotFound, match="there are 3 pages"):
            answers_reply(run, number)


def test_dissent_names_who_holds_what_and_where_the_confidence_comes_from() -> None:
    text = dissent_reply(
        told(stated=0.4, disputed=("Whether it pays.",), refine=("What does it cost?",), ranking=(B, A, C))
    ).text
    for part in (
        "**c disagrees with the answer**",
        "- c disagrees: point c\n- a agrees: point a",
        "**They differ on**\n- Whether it pays.",
        "**Ranking**, best first: b, a, c",
        "**Still open**\n- What does it cost?",
        "**Confidence fair, 0.72**: 2 of 3 hold the answer. Of answers with so much agreement about 72 in 100",
        "The arbiter's own figure is 0.40; it does not count.",
    ):
        assert part in text


def test_votes_are_told_with_their_weights() -> None:
    text = dissent_reply(voted()).text
    assert "**Votes, by final answers**\n- 4: a and b (2 votes)\n- 5: c (1 vote)\n- no vote: d" in text
    assert "weigh" not in text
    camps = (
        Camp(answer="5", normal="5", members=(C,), weight=3),
        Camp(answer="4", normal="4", members=(A, B), weight=1),
    )
    run = answered(NO, NO, YES, ballot=Ballot(basis="final answers", camps=camps))
    text = dissent_reply(run).text
    assert "- 5: c (1 vote, 75% of all weight)\n- 4: a and b (2 votes, 25% of all weight)" in text
    assert "Votes weigh by how reliable each model was" in text
    assert "Weight went before number here" in text
    assert "still say opposite things" in dissent_reply(answered(YES, YES, ballot=ALIKE)).text


@pytest.mark.parametrize(
    ("run", "head"),
    [
        (answered(YES, YES, YES), "Nobody dissents: all 3 agree with the answer"),
        (answered(YES, PARTLY), "Nobody disagrees; b agrees only in part"),
        (answered(YES, source=VerdictSource.ONLY, judge=A, positions=()), "There is one answer only"),
        (answered(YES, YES, source=VerdictSource.CENTRAL, judge=B, positions=()), "Nobody judged who agrees"),
    ],
    ids=["all agree", "partly", "only one", "not judged"],
)
def test_where_nobody_dissents_that_is_what_it_says(run: Run, head: str) -> None:
    assert dissent_reply(run).text.startswith(f"**{head}")
