"""Runs on record, as the command line shows and exports them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.history import SqlHistory
from bot.commands.base import read_since
from core.asks import Ask, Person, Platform, ThreadRef
from core.errors import BadInput
from core.setup import ConsortiumSpec
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
from tests.bot.conftest import Desk

ONE, TWO, SIM = (
    Member(id="one", model="one", role="Skeptic"),
    Member(id="two", model="two"),
    Member(id="x", model="x"),
)
NOW = datetime.now(UTC)


def make_run(
    run_id: str, question: str = "Is 91 prime?", *, age: timedelta = timedelta(0), private: bool = True
) -> Run:
    """A run with everything in it that a trace can show."""
    where = ThreadRef(platform=Platform.SLACK, workspace="T1", channel="C1", thread="1.5", private=private)
    setup = ConsortiumSpec(
        members=("one", "two", "x"), arbiter="x", strategy="voting", params={"lead": 2}, system="Be brief."
    )
    ask = Ask(
        id=run_id,
        text=question,
        asked_at=NOW - age,
        asker=Person(id="U1", name="Ann"),
        where=where,
        consortium="default",
        setup=setup,
        question_type="yes-no",
    )
    usage = Usage(prompt_tokens=10, completion_tokens=5, cost=0.25)
    outcomes = (
        Response(member=ONE, text="7 * 13\n\nFinal answer: no", seconds=1.5, attempts=2, usage=usage),
        Response(member=TWO, text="It is odd.\n\nFinal answer: yes", seconds=0.5, truncated=True),
        Failure(member=SIM, kind=FailureKind.TIMEOUT, detail="no whole answer came within 60 s"),
    )
    camps = tuple(Camp(answer=a, normal=a, members=(m,), weight=w) for a, m, w in (("no", ONE, 2.0), ("yes", TWO, 1.0)))
    verdict = Verdict(
        source=VerdictSource.ARBITER,
        judge=SIM,
        synthesis="No: 91 = 7 * 13. \x1b[31m",
        confidence=0.5,
        stated=0.97,
        agreement=Agreement(agree=1, total=2),
        ballot=Ballot(basis="final answers", camps=camps, abstained=(SIM,)),
        positions=(
            Position(member=ONE, stance=Stance.AGREES),
            Position(member=TWO, stance=Stance.DISAGREES, point="says yes"),
        ),
        ranking=(ONE, TWO),
        refine=("what a prime is",),
        note="Judged once only.",
        failures=(Failure(member=TWO, kind=FailureKind.BAD_REPLY, detail="its verdict could not be read"),),
        seconds=2.0,
    )
    return Run(
        id=run_id,
        ask=ask,
        consortium="default",
        panel=(ONE, TWO, SIM),
        status=RunStatus.DONE,
        rounds=(Round(number=1, outcomes=outcomes, verdict=verdict),),
        bill=Bill.of([usage, Usage()]),
        notes=("One was late.",),
        created_at=NOW - age,
        answered_at=NOW - age + timedelta(seconds=3),
        ended_at=NOW - age + timedelta(seconds=4),
    )


def keep(desk: Desk, *runs: Run) -> None:
    async def store(history: SqlHistory) -> None:
        for run in runs:
            await history.open_run(run)
            for round_ in run.rounds:
                for outcome in round_.outcomes:
                    await history.record_outcome(run.id, round_.number, outcome)
                await history.record_round(run.id, round_)
            await history.update_run(run)

    desk.store(store)


# --- runs -----------------------------------------------------------------------------------------------


def test_no_runs_are_told_plainly(desk: Desk) -> None:
    assert desk.ok("runs").out == "No runs yet.\n"
    assert desk.ok("runs", "--json").json == []
    assert desk.ok("runs", "--search", "cats").out == "No such runs.\n"


def test_runs_are_listed_the_newest_first_and_found_by_text_and_age(desk: Desk) -> None:
    day = timedelta(days=1)
    keep(desk, make_run("aaa111", "Old?", age=9 * day), make_run("aaa222", "100% sure?", age=day), make_run("bbb333"))
    lines = desk.ok("runs").out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "bbb333", "aaa222", "aaa111"]
    assert "slack  default     0.50  Is 91 prime?" in lines[1]
    assert "\x1b" not in "".join(lines)
    found = [row["id"] for row in desk.ok("runs", "--json", "--since", "2d").json]
    assert found == ["bbb333", "aaa222"]
    assert [row["id"] for row in desk.ok("runs", "--json", "--search", "100% SURE").json] == ["aaa222"]
    assert [row["id"] for row in desk.ok("runs", "--json", "--limit", "1").json] == ["bbb333"]


def test_ages_and_dates_are_read() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert read_since(None) is None
    assert read_since("2d", now) == now - timedelta(days=2)
    assert read_since("12H", now) == now - timedelta(hours=12)
    assert read_since("2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    assert read_since("2026-11-01T10:00+02:00") == datetime(2026, 11, 1, 8, tzinfo=UTC)
    for wrong in ("yesterday", "2", "d", "-2d", "2026-13-01"):
        with pytest.raises(BadInput, match=r"^--since .+: .+; write e\.g\. 2d"):
            read_since(wrong, now)


# --- one run --------------------------------------------------------------------------------------------


def test_a_run_is_shown_with_everything_in_it(desk: Desk) -> None:
    keep(desk, make_run("aaa111"))
    out = desk.ok("run", "aaa").out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in (
        "run aaa111",
        "state done",
        "where slack T1/C1 (private)",
        "conversation 1.5",
        "question type yes-no",
        "Is 91 prime?",
        "panel one as Skeptic, two, x",
        "strategy voting (lead=2)",
        "system Be brief.",
        "--- round 1",
        "one as Skeptic: 1.5 s, 2 attempts, 10 + 5 tokens, $0.25",
        "7 * 13",
        "two: 0.5 s, tokens unknown, cut at its token limit",
        "x timed out: no whole answer came within 60 s",
        "verdict by the arbiter x, 2.0 s",
        "confidence 0.50 (low)",
        "agreement 1 of 2",
        "stated by the judge 0.97",
        "note Judged once only.",
        "no: 1 (weight 2.00): one",
        "no vote: x",
        "ranking: 1. one, 2. two",
        "two disagrees: says yes",
        "two could not judge, gave no usable reply: its verdict could not be read",
        "to clear up: what a prime is",
        "No: 91 = 7 * 13. [31m",
        "no analysis",
        "bill 2 calls, at least 15 tokens, at least $0.2500",
        "note: One was late.",
    ):
        assert line in lines, line
    assert any(line.endswith("after 3.0 s") for line in lines)
    assert "\x1b" not in out


def test_a_run_as_json_is_the_run(desk: Desk) -> None:
    run = make_run("aaa111")
    keep(desk, run)
    assert Run.model_validate(desk.ok("run", "aaa111", "--json").json) == run


def test_an_id_must_fit_one_run(desk: Desk) -> None:
    keep(desk, make_run("aaa111"), make_run("aaa222"))
    both = "consortium: ID aaa: 2 runs begin so (aaa222, aaa111); write more of it\n"
    assert desk.refused("run", "aaa") == both
    assert desk.ok("run", "AAA1", "--json").json["id"] == "aaa111"
    assert desk.refused("run", "zzz").startswith("consortium: ID zzz: no such run is on record; see consortium runs")
    assert desk.refused("run", "a").endswith("or at least 3 characters of it\n")


# --- export ---------------------------------------------------------------------------------------------


def test_the_export_has_a_whole_run_a_line_the_oldest_first(desk: Desk) -> None:
    old, new = make_run("aaa111", age=timedelta(days=3)), make_run("bbb222")
    keep(desk, new, old)
    lines = desk.ok("export").out.splitlines()
    assert [Run.model_validate_json(line) for line in lines] == [old, new]
    assert [json.loads(line)["id"] for line in desk.ok("export", "--since", "1d").out.splitlines()] == ["bbb222"]
    written = desk.run("export", "--output", "runs.jsonl")
    assert (written.code, written.out, written.err) == (0, "", "Wrote 2 runs to runs.jsonl.\n")
    assert Path("runs.jsonl").read_text().splitlines() == lines
    assert desk.refused("export", "--output", "none/x").startswith("consortium: --output none/x: cannot be written")


def test_the_export_for_training_leaves_out_what_has_no_answer(desk: Desk) -> None:
    failed = make_run("bbb222").model_copy(update={"rounds": (), "status": RunStatus.FAILED, "answered_at": None})
    keep(desk, make_run("aaa111"), failed)
    (line,) = desk.ok("export", "--format", "messages").out.splitlines()
    said = json.loads(line)
    assert said["run"] == "aaa111"
    assert [(m["role"], m["content"][:12]) for m in said["messages"]] == [
        ("system", "Be brief."),
        ("user", "Is 91 prime?"),
        ("assistant", "No: 91 = 7 *"),
    ]
    assert "simulated" not in said


# --- charts ---------------------------------------------------------------------------------------------


def test_charts_of_a_run_are_drawn_and_told_in_words(desk: Desk) -> None:
    keep(desk, make_run("aaa111"))
    (desk.folder / "consortium.toml").write_text(
        '[models.x]\nprovider = "simulated"\nname = "nomad"\n[consortia.default]\nmembers = ["x"]\narbiter = "x"\n'
        '[embeddings]\nbackend = "tfidf"\n'
    )
    drawn = desk.ok("charts", "aaa", "--charts-dir", "pictures", "--json").json
    assert drawn["run"] == "aaa111"
    assert {chart["kind"] for chart in drawn["charts"]} == {"heatmap", "emotions", "polarity", "radar", "drift"}
    for chart in drawn["charts"]:
        assert Path(chart["path"]).read_bytes().startswith(b"\x89PNG")
        assert len(chart["alt"]) > 20


def test_a_run_without_answers_has_nothing_to_draw(desk: Desk) -> None:
    keep(desk, make_run("aaa111").model_copy(update={"rounds": ()}))
    assert desk.refused("charts", "aaa").endswith("nobody answered in this run, so there is nothing to draw\n")
