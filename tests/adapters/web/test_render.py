"""A run becomes what the page draws, in the same shape at every stage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.web.render import panel_json, progress_json, run_json
from core.asks import Ask, Person, Platform, ThreadRef
from core.delivery import RunView
from core.events import ArbiterStarted, MemberEnded, MembersAsked, RoundEnded, RunStarted, TextDelta
from core.types import (
    Agreement,
    Ballot,
    Camp,
    Chart,
    Failure,
    FailureKind,
    Member,
    Outcome,
    Position,
    Response,
    Round,
    Run,
    RunStatus,
    Stance,
    Verdict,
    VerdictSource,
)

ASKED = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
ANNA = Member(id="anna", model="anna", role="Rawlsian", simulated=True)
BEN = Member(id="ben", model="ben")
CLEO = Member(id="cleo", model="cleo")
JUDGE = Member(id="judge", model="judge", simulated=True)
PANEL = (ANNA, BEN, CLEO)

SAID: tuple[Outcome, ...] = (
    Response(member=ANNA, text="Yes, **certainly**.", seconds=1.24),
    Response(member=BEN, text="No <b>way</b>.", seconds=0.4),
    Failure(member=CLEO, kind=FailureKind.TIMEOUT, detail="no reply within 60 s", seconds=60),
)
VERDICT = Verdict(
    source=VerdictSource.ARBITER,
    judge=JUDGE,
    synthesis="**Yes**, with care.",
    confidence=0.7,
    positions=(
        Position(member=ANNA, stance=Stance.AGREES, point="It helps the worst off."),
        Position(member=BEN, stance=Stance.DISAGREES, point="It is <i>risky</i>."),
    ),
    failures=(Failure(member=BEN, kind=FailureKind.BAD_REPLY, detail="gave no verdict"),),
)
VERDICT_OF_NOBODY = Verdict(source=VerdictSource.ARBITER, judge=JUDGE, synthesis="Nobody can tell.")
HEATMAP = Chart(kind="heatmap", png=b"png", alt="anna and ben: 0.42", width=900, height=700)


def a_run(**changes: Any) -> Run:
    where = ThreadRef(platform=Platform.WEB, workspace="local", channel="c", thread="t1", private=True)
    ask = Ask(id="r1", asked_at=datetime.now(UTC), text="Is <x> good?", asker=Person(id="p"), where=where)
    return Run(id="r1", ask=ask, consortium="default", panel=PANEL, created_at=ASKED, **changes)


def an_answered_run(**changes: Any) -> Run:
    rounds = (Round(number=1, outcomes=SAID, verdict=VERDICT),)
    answered_at = ASKED + timedelta(seconds=2)
    return a_run(**{"status": RunStatus.DONE, "rounds": rounds, "answered_at": answered_at, **changes})


def by_id(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {member["id"]: member for member in shown["members"]}


def a_failed_run(error: str, *outcomes: Outcome) -> Run:
    rounds = (Round(number=1, outcomes=outcomes),) if outcomes else ()
    return a_run(status=RunStatus.FAILED, rounds=rounds, error=error)


def test_before_anything_happens_all_members_think() -> None:
    shown = run_json(a_run())
    assert (shown["id"], shown["thread"], shown["question"]) == ("r1", "t1", "Is <x> good?")
    assert (shown["over"], shown["answered"], shown["body"]) == (False, False, "")
    assert [m["state"] for m in shown["members"]] == ["thinking"] * 3
    assert [m["role"] for m in shown["members"]] == ["Rawlsian", None, None]


def test_a_long_role_is_cut_beside_its_member_and_in_the_footer() -> None:
    wordy = ANNA.model_copy(update={"role": "a grumpy uncle " * 30 + "at rest"})
    shown = run_json(an_answered_run().model_copy(update={"panel": (wordy, BEN, CLEO)}))
    assert "roles: anna (simulated) as a grumpy uncle" in shown["footer"]
    assert "…" in shown["footer"]
    assert "at rest" not in shown["footer"]
    role = run_json(a_run().model_copy(update={"panel": (wordy, BEN, CLEO)}))["members"][0]["role"]
    assert len(role) <= 60
    assert role.startswith("a grumpy uncle")
    assert role.endswith("…")


def test_members_end_one_by_one_and_the_synthesis_grows() -> None:
    view = RunView()
    for event in (
        RunStarted(round=1, max_rounds=3, panel=PANEL),
        MemberEnded(round=1, outcome=SAID[0]),
        MemberEnded(round=1, outcome=SAID[2]),
    ):
        view.apply(event)
    shown = progress_json(a_run(), view)
    members = by_id(shown)
    assert members["anna"] | {"colour": 0, "ink": 0} == {
        "id": "anna",
        "state": "answered",
        "line": "<b>anna (simulated)</b>",
        "role": "Rawlsian",
        "meta": "1.2 s",
        "html": "<p>Yes, <strong>certainly</strong>.</p>\n",
        "seat": 1,
        "colour": 0,
        "ink": 0,
    }
    assert members["ben"]["state"] == "thinking"
    assert (members["cleo"]["state"], members["cleo"]["meta"]) == ("failed", "timed out")
    assert "2 done" in shown["headline"]

    view.apply(ArbiterStarted(round=1, judge=JUDGE))
    view.apply(TextDelta(text="**Ye"))
    view.apply(TextDelta(text="s** <script>"))
    shown = progress_json(a_run(), view)
    assert shown["headline"] == "judge (simulated) is weighing the answers"
    assert shown["body"] == "<p><strong>Yes</strong> &lt;script&gt;</p>\n"


def test_an_answer_says_who_holds_what_and_who_is_missing() -> None:
    shown = run_json(an_answered_run(), (HEATMAP,))
    members = by_id(shown)
    assert shown["over"]
    assert shown["answered"]
    assert shown["body"] == "<p><strong>Yes</strong>, with care.</p>\n"
    assert "2 of 3 members answered; cleo timed out" in shown["headline"]
    assert {key: m["state"] for key, m in members.items()} == {"anna": "agree", "ben": "disagree", "cleo": "failed"}
    assert members["anna"]["line"] == "<b>anna (simulated)</b> agrees: It helps the worst off."
    assert members["ben"]["line"] == "<b>ben</b> <strong>disagrees</strong>: It is &lt;i&gt;risky&lt;/i&gt;."
    assert members["ben"]["html"] == "<p>No &lt;b&gt;way&lt;/b&gt;.</p>\n"
    assert members["cleo"]["line"] == "<b>cleo</b>: no reply within 60 s"
    assert members["cleo"]["html"] is None
    assert shown["asides"] == ["ben: gave no verdict"]
    assert "judge (simulated)" in shown["footer"]
    assert shown["charts"] == [
        {
            "url": "/api/runs/r1/charts/heatmap.png",
            "title": HEATMAP.title,
            "alt": "anna and ben: 0.42",
            "width": 900,
            "height": 700,
        }
    ]


def test_how_sure_it_is_stands_in_a_line_of_its_own_with_the_arbiters_figure_and_the_votes() -> None:
    ballot = Ballot(
        basis="final answers",
        camps=(
            Camp(answer="yes <3", normal="yes", members=(ANNA, CLEO), weight=3.0),
            Camp(answer="no", normal="no", members=(BEN,), weight=1.0),
        ),
    )
    verdict = VERDICT.model_copy(
        update={"stated": 0.6, "agreement": Agreement(agree=1, total=2), "ballot": ballot, "confidence": 0.5}
    )
    shown = run_json(an_answered_run(rounds=(Round(number=1, outcomes=SAID, verdict=verdict),)))
    assert shown["headline"] == "2 of 3 members answered; cleo timed out."
    assert shown["sure"]["html"].startswith("Confidence low, 0.50: 1 of 2 agree; ben disagrees")
    assert (shown["sure"]["value"], shown["sure"]["own"]) == (0.5, 0.6)
    assert [(c["html"], c["share"]) for c in shown["votes"]["camps"]] == [("yes &lt;3", 0.75), ("no", 0.25)]
    assert [[m["seat"] for m in c["members"]] for c in shown["votes"]["camps"]] == [[1, 3], [2]]
    unknown = run_json(an_answered_run(rounds=(Round(number=1, outcomes=SAID, verdict=VERDICT_OF_NOBODY),)))
    assert unknown["sure"] == {"html": "Confidence unknown.", "value": None, "own": None}
    assert unknown["votes"] is None


def test_after_reviews_the_answers_are_shown() -> None:
    answers = Round(number=1, outcomes=SAID)
    reviews = (Response(member=ANNA, text="Ranking: A", seconds=1), Response(member=BEN, text="Ranking: A", seconds=1))
    shown = run_json(
        an_answered_run(rounds=(answers, Round(number=2, outcomes=reviews, verdict=VERDICT, kind="reviews")))
    )
    members = by_id(shown)
    assert members["anna"]["html"] == "<p>Yes, <strong>certainly</strong>.</p>\n"
    assert (members["cleo"]["state"], members["cleo"]["line"]) == ("failed", "<b>cleo</b>: no reply within 60 s")
    assert "ben: gave no verdict" in shown["asides"]
    assert not any("cleo" in line for line in shown["asides"])


def test_who_left_and_who_was_never_asked_stay_on_the_page() -> None:
    first = Round(number=1, outcomes=SAID[:2], verdict=VERDICT)
    only_anna = VERDICT.model_copy(update={"positions": VERDICT.positions[:1]})
    shown = by_id(run_json(an_answered_run(rounds=(first, Round(number=2, outcomes=SAID[:1], verdict=only_anna)))))
    assert [m["state"] for m in shown.values()] == ["agree", "left", "unasked"]
    assert (shown["ben"]["meta"], shown["cleo"]["meta"]) == ("left after round 1", "not asked")
    assert shown["ben"]["html"] == "<p>No &lt;b&gt;way&lt;/b&gt;.</p>\n"


def test_waves_and_rounds_without_a_verdict_keep_every_seat_in_its_place() -> None:
    view = RunView()
    view.apply(RunStarted(round=1, max_rounds=1, panel=(CLEO,)))
    states = {m["id"]: (m["seat"], m["state"], m["meta"]) for m in progress_json(a_run(), view)["members"]}
    assert states["cleo"] == (3, "thinking", "thinking …")
    assert states["anna"] == (1, "unasked", "not asked in this round")
    view.apply(MembersAsked(round=1, members=(ANNA,)))
    assert by_id(progress_json(a_run(), view))["anna"]["state"] == "thinking"
    view.apply(RoundEnded(round=1, verdict=None))
    view.apply(RunStarted(round=2, max_rounds=2, panel=(ANNA, CLEO), kind="reviews"))
    assert "rank each other" in progress_json(a_run(), view)["headline"]


def test_a_member_that_the_arbiter_says_nothing_of_has_answered() -> None:
    alone = VERDICT.model_copy(update={"positions": (), "source": VerdictSource.CENTRAL})
    shown = run_json(an_answered_run(rounds=(Round(number=1, outcomes=SAID, verdict=alone),)))
    assert {key: m["state"] for key, m in by_id(shown).items()} == {
        "anna": "answered",
        "ben": "answered",
        "cleo": "failed",
    }


def test_charts_are_waited_for_only_while_they_can_come() -> None:
    waiting = an_answered_run(status=RunStatus.RUNNING)
    assert run_json(waiting)["charts_follow"]
    assert not run_json(waiting)["over"]
    assert not run_json(waiting, (HEATMAP,))["charts_follow"]
    assert not run_json(waiting, (), "Only anna answered.")["charts_follow"]
    assert not run_json(an_answered_run())["charts_follow"]
    without = waiting.model_copy(update={"ask": waiting.ask.model_copy(update={"charts": False})})
    assert not run_json(without)["charts_follow"]


def test_nobody_answered() -> None:
    shown = run_json(a_failed_run("None answered.\n- cleo: no reply within 60 s", SAID[2]))
    assert shown["over"]
    assert not shown["answered"]
    assert shown["headline"] == "None answered."
    assert shown["body"] == ""  # the members' lines say it
    assert by_id(shown)["cleo"]["line"] == "<b>cleo</b>: no reply within 60 s"


def test_a_run_that_broke_before_anybody_was_asked() -> None:
    shown = run_json(a_failed_run("Something went wrong on our side.\n- why"))
    assert shown["headline"] == "Something went wrong on our side."
    assert shown["body"] == "<ul>\n<li>why</li>\n</ul>\n"
    assert shown["members"] == []


@pytest.mark.parametrize("run", [a_run(), an_answered_run(), a_failed_run("No."), a_failed_run("No.", *SAID[2:])])
def test_every_stage_has_the_same_shape(run: Run) -> None:
    keys = run_json(a_run()).keys()
    assert run_json(run).keys() == keys
    for member in run_json(run)["members"]:
        assert member.keys() == run_json(a_run())["members"][0].keys()


def test_a_seat_keeps_its_colour_from_the_welcome_to_the_answer() -> None:
    seats = {m["id"]: (m["seat"], m["colour"], m["ink"]) for m in panel_json(PANEL)}
    assert len(set(seats.values())) == 3
    for run in (a_run(), an_answered_run()):
        assert {m["id"]: (m["seat"], m["colour"], m["ink"]) for m in run_json(run)["members"]} == seats
