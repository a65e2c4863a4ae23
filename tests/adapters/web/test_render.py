"""A run becomes what the page draws, in the same shape at every stage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.web.render import form_json, panel_json, progress_json, reply_json, run_json
from core.asks import Ask, Person, Platform, ThreadRef
from core.cards import Button, Download, Form, Input, Option, Reply
from core.delivery import RunView
from core.events import ArbiterStarted, MemberEnded, MembersAsked, RoundEnded, RunStarted, TextDelta
from core.types import (
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
    footer = "\n".join(run_json(an_answered_run().model_copy(update={"panel": (wordy, BEN, CLEO)}))["footer"])
    assert "roles: anna (simulated) as a grumpy uncle" in footer
    assert "…" in footer
    assert "at rest" not in footer
    role = run_json(a_run().model_copy(update={"panel": (wordy, BEN, CLEO)}))["members"][0]["role"]
    assert len(role) <= 60
    assert role.startswith("a grumpy uncle")
    assert role.endswith("…")


def test_members_end_one_by_one_and_the_synthesis_grows() -> None:
    now = 100.0
    view = RunView(run_id="r1", clock=lambda: now)
    for event in (
        RunStarted(round=1, max_rounds=3, panel=PANEL),
        MemberEnded(round=1, outcome=SAID[0]),
        MemberEnded(round=1, outcome=SAID[2]),
    ):
        view.apply(event)
    now = 112.5
    shown = progress_json(a_run(), view)
    members = by_id(shown)
    assert members["anna"] | {"colour": 0, "ink": 0} == {
        "id": "anna",
        "label": "anna (simulated)",
        "state": "answered",
        "role": "Rawlsian",
        "meta": "1.2 s",
        "seconds": 12.5,
        "seat": 1,
        "colour": 0,
        "ink": 0,
    }
    assert (members["ben"]["state"], members["ben"]["seconds"]) == ("thinking", 12.5)
    assert (members["cleo"]["state"], members["cleo"]["meta"]) == ("failed", "timed out")
    assert "2 done" in shown["headline"]
    assert (shown["tone"], shown["round"]) == ("running", 1)
    assert [[(b["label"], b["action"]) for b in row] for row in shown["buttons"]] == [[("Stop", "stop:r1")]]

    view.apply(ArbiterStarted(round=1, judge=JUDGE))
    view.apply(TextDelta(text="**Ye"))
    view.apply(TextDelta(text="s** <script>"))
    shown = progress_json(a_run(), view)
    assert shown["headline"] == "<strong>judge (simulated) is weighing the answers</strong>"
    assert shown["body"] == "<p><strong>Yes</strong> &lt;script&gt;</p>\n"


def test_a_run_that_waits_says_how_many_go_before_it_and_that_nobody_is_asked_yet() -> None:
    run = a_run()
    shown = progress_json(run, RunView(run_id=run.id, panel=run.panel, place=3))
    assert shown["headline"] == "<strong>Waiting for its turn</strong> · 3 questions go before it"
    assert {(member["state"], member["meta"]) for member in shown["members"]} == {("unasked", "not asked yet")}


def test_an_answer_says_how_each_member_stands_to_it_and_what_can_be_looked_at() -> None:
    shown = run_json(an_answered_run())
    members = by_id(shown)
    assert (shown["over"], shown["answered"], shown["tone"], shown["long"]) == (True, True, "split", False)
    assert shown["body"] == "<p><strong>Yes</strong>, with care.</p>\n"
    assert shown["headline"].startswith("<strong>2 of 3 members answered</strong> · ")
    assert "cleo timed out" in shown["details"]
    assert {key: (m["state"], m["meta"]) for key, m in members.items()} == {
        "anna": ("agree", "agrees"),
        "ben": ("disagree", "disagrees"),
        "cleo": ("failed", "timed out"),
    }
    (dissent,) = [section for section in shown["sections"] if section["title"] == "Dissent"]
    assert dissent["lines"] == ["ben disagrees: It is &lt;i&gt;risky&lt;/i&gt;."]
    assert any("judge (simulated)" in line for line in shown["footer"])
    (row,) = shown["buttons"]
    assert [(b["label"], b["action"]) for b in row] == [
        ("Answers", "answers:r1:1"),
        ("Dissent", "dissent:r1"),
        ("Charts", "charts:r1"),
        ("Ask again", "again:r1"),
        ("Longer", "resize:r1:1"),
    ]
    assert [(b["emoji"], b["action"]) for b in shown["opinion"]] == [("👍", "feedback:r1:1"), ("👎", "feedback:r1:0")]


def test_the_long_answer_has_all_of_it() -> None:
    synthesis = "\n\n".join(f"Paragraph {n} says this and that. " * 8 for n in range(9))
    verdict = VERDICT.model_copy(update={"synthesis": synthesis})
    run = an_answered_run(rounds=(Round(number=1, outcomes=SAID, verdict=verdict),))
    short, long = run_json(run), run_json(run, long=True)
    assert ("Paragraph 8" in short["body"], "Paragraph 8" in long["body"]) == (False, True)
    assert [short["buttons"][0][-1]["label"], long["buttons"][0][-1]["label"]] == ["Longer", "Shorter"]
    assert (short["long"], long["long"]) == (False, True)
    (missing,) = [section for section in long["sections"] if section["title"] == "Who is missing"]
    assert "cleo: no reply within 60 s" in missing["lines"]


def test_after_reviews_it_is_the_answers_that_count() -> None:
    answers = Round(number=1, outcomes=SAID)
    reviews = (Response(member=ANNA, text="Ranking: A", seconds=1), Response(member=BEN, text="Ranking: A", seconds=1))
    last = Round(number=2, outcomes=reviews, verdict=VERDICT, kind="reviews")
    members = by_id(run_json(an_answered_run(rounds=(answers, last))))
    assert [m["state"] for m in members.values()] == ["agree", "disagree", "failed"]


def test_who_left_and_who_was_never_asked_stay_on_the_page() -> None:
    first = Round(number=1, outcomes=SAID[:2], verdict=VERDICT)
    only_anna = VERDICT.model_copy(update={"positions": VERDICT.positions[:1]})
    shown = by_id(run_json(an_answered_run(rounds=(first, Round(number=2, outcomes=SAID[:1], verdict=only_anna)))))
    assert [m["state"] for m in shown.values()] == ["agree", "left", "unasked"]
    assert (shown["ben"]["meta"], shown["cleo"]["meta"]) == ("left after round 1", "not asked")


def test_waves_and_rounds_without_a_verdict_keep_every_seat_in_its_place() -> None:
    view = RunView()
    view.apply(RunStarted(round=1, max_rounds=1, panel=(CLEO,)))
    states = {m["id"]: (m["seat"], m["state"], m["meta"]) for m in progress_json(a_run(), view)["members"]}
    assert states["cleo"] == (3, "thinking", "")
    assert states["anna"] == (1, "unasked", "not asked in this round")
    view.apply(MembersAsked(round=1, members=(ANNA,)))
    assert by_id(progress_json(a_run(), view))["anna"]["state"] == "thinking"
    view.apply(RoundEnded(round=1, verdict=None))
    view.apply(RunStarted(round=2, max_rounds=2, panel=(ANNA, CLEO), kind="reviews"))
    assert "rank each other" in progress_json(a_run(), view)["headline"]


def test_a_member_that_the_arbiter_says_nothing_of_has_answered() -> None:
    alone = VERDICT.model_copy(update={"positions": (), "source": VerdictSource.CENTRAL})
    shown = run_json(an_answered_run(rounds=(Round(number=1, outcomes=SAID, verdict=alone),)))
    assert {key: (m["state"], m["meta"]) for key, m in by_id(shown).items()} == {
        "anna": ("answered", "1.2 s"),
        "ben": ("answered", "0.4 s"),
        "cleo": ("failed", "timed out"),
    }


def test_who_did_not_vote_does_not_stand_beside_those_who_agree_in_part() -> None:
    camp = Camp(answer="yes", normal="yes", members=(ANNA,), weight=1.0)
    ballot = Ballot(basis="final answers", camps=(camp,), abstained=(BEN,))
    positions = (VERDICT.positions[0], Position(member=BEN, stance=Stance.PARTLY))
    update = {"source": VerdictSource.VOTE, "ballot": ballot, "positions": positions}
    voted = VERDICT.model_copy(update=update)
    shown = run_json(an_answered_run(rounds=(Round(number=1, outcomes=SAID, verdict=voted),)))
    assert by_id(shown)["ben"]["meta"] == "did not vote"


def test_nobody_answered() -> None:
    shown = run_json(a_failed_run("None answered.\n- cleo: no reply within 60 s", SAID[2]))
    assert (shown["over"], shown["answered"], shown["tone"]) == (True, False, "failed")
    assert shown["headline"] == "<strong>No answer</strong>"
    assert "None answered." in shown["body"]
    assert [m["state"] for m in shown["members"]] == ["unasked", "unasked", "failed"]
    assert [b["label"] for b in shown["buttons"][0]] == ["Ask again"]
    assert shown["opinion"] == []


def test_a_run_that_was_stopped_shows_who_had_answered() -> None:
    rounds = (Round(number=1, outcomes=SAID[:1]),)
    run = a_run(status=RunStatus.CANCELLED, rounds=rounds, error="Stopped by you. 1 of 3 had answered.")
    shown = run_json(run)
    assert shown["headline"].startswith("<strong>Stopped</strong> · 1 of 3 had answered")
    assert [(m["state"], m["meta"]) for m in shown["members"]] == [
        ("answered", "1.2 s"),
        ("unasked", "stopped"),
        ("unasked", "stopped"),
    ]
    assert [b["label"] for b in shown["buttons"][0]] == ["Answers", "Ask again"]


def test_a_run_that_broke_before_anybody_was_asked() -> None:
    shown = run_json(a_failed_run("Something went wrong on our side.\n- why"))
    assert "<li>why</li>" in shown["body"]
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


# --- replies and forms ----------------------------------------------------------------------------------


def test_a_reply_has_its_pictures_file_and_buttons() -> None:
    reply = Reply(
        text="**Here** <b>",
        buttons=((Button(label="Delete it", action="delete:r1:1", style="danger"),),),
        pictures=(HEATMAP,),
        download=Download(filename="mine.json", media_type="application/json", data=b"[1]"),
    )
    assert reply_json(reply, ["/picture"], "/file") == {
        "type": "reply",
        "html": "<p><strong>Here</strong> &lt;b&gt;</p>\n",
        "buttons": [[{"label": "Delete it", "action": "delete:r1:1", "style": "danger", "emoji": ""}]],
        "pictures": [
            {"url": "/picture", "title": HEATMAP.title, "alt": "anna and ben: 0.42", "width": 900, "height": 700}
        ],
        "download": {"url": "/file", "filename": "mine.json", "bytes": 3},
    }


def test_a_form_has_all_that_its_inputs_need() -> None:
    options = (Option(value="a", label="A", about="the first"),)
    members = Input(name="members", label="Members", kind="choices", value=("a",), options=options, required=True)
    shown = form_json(Form(action="save", title="Save", inputs=(members,), intro="> quoted"))
    assert shown["intro"] == "<blockquote>\n<p>quoted</p>\n</blockquote>\n"
    assert shown["inputs"] == [
        {
            "name": "members",
            "label": "Members",
            "kind": "choices",
            "value": ("a",),
            "required": True,
            "hint": "",
            "max_length": 300,
            "options": [{"value": "a", "label": "A", "about": "the first"}],
        }
    ]
