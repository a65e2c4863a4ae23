"""What runs teach, as the command line shows it and takes labels for it."""

from __future__ import annotations

import json

import pytest

from core.votes.confidence import PRIOR
from tests.bot.conftest import Desk
from tests.bot.test_runs import keep, make_run


def with_runs(desk: Desk, count: int) -> list[str]:
    ids = [f"run{number:03}" for number in range(count)]
    keep(desk, *map(make_run, ids))
    return ids


def labels(ids: list[str], answer: str = "no") -> str:
    return "".join(json.dumps({"run": run_id, "answer": answer}) + "\n" for run_id in ids)


def test_nothing_learnt_yet_is_told_plainly(desk: Desk) -> None:
    assert desk.ok("leaderboard").out.startswith("Nothing yet: members are compared where")
    assert desk.ok("leaderboard", "--consortium", "QUICK").out.startswith("Nothing yet of quick:")
    assert desk.ok("leaderboard", "--json").json == []
    assert "Nothing to fit" in desk.ok("calibrate").out


def test_the_leaderboard_ranks_by_reliability_and_says_what_is_unknown(desk: Desk) -> None:
    ids = with_runs(desk, 4)
    desk.ok("calibrate", "--labels", "-", stdin=labels(ids))
    lines = desk.ok("leaderboard", "--consortium", "Default").out.splitlines()
    assert lines[0].split() == [
        *("consortium", "model", "compared", "agreed", "labelled", "right", "reliability", "95", "%", "weight"),
    ]
    assert [line.split()[1] for line in lines[1:]] == ["one", "two"]
    rows = desk.ok("leaderboard", "--json").json
    assert [(row["model"], row["correct"], row["labelled"]) for row in rows] == [("one", 4, 4), ("two", 0, 4)]
    assert rows[0]["interval"][0] < rows[0]["reliability"] < rows[0]["interval"][1]
    assert rows[0]["weight"] > rows[1]["weight"]


def test_labels_are_stored_and_the_table_is_fitted_and_put_into_force(desk: Desk) -> None:
    ids = with_runs(desk, 24)
    (desk.folder / "labels.jsonl").write_text(labels(ids))
    said = desk.ok("calibrate", "--labels", "labels.jsonl").out
    assert "Labels stored: 24." in said
    assert "1 of 2" in said
    assert "In force now." in said
    before, after = (float(word) for word in said.replace(",", "").split() if word.startswith("0."))
    assert after < before == 0.5
    again = desk.ok("calibrate", "--dry-run", "--json").json
    assert (again["labels"], again["labelled"], again["in_force"]) == (0, 24, False)
    assert again["error"]["before"] == pytest.approx(after, abs=0.001), (
        "what was put into force is what is compared with"
    )
    assert desk.ok("calibrate", "--reset").out == "The built-in calibration is in force.\n"
    assert desk.ok("calibrate", "--dry-run", "--json").json["error"]["before"] == 0.5


def test_too_few_labels_change_nothing_unless_forced(desk: Desk) -> None:
    ids = with_runs(desk, 3)
    assert "Too few to go by: at least 20" in desk.ok("calibrate", stdin=labels(ids)).out
    said = desk.ok("calibrate", "--json").json
    assert (said["labelled"], said["in_force"], said["error"]["before"]) == (3, False, 0.5)
    assert desk.ok("calibrate", "--force", "--json").json["in_force"] is True
    assert desk.ok("calibrate", "--json").json["error"]["before"] < 0.5


def test_a_dry_run_stores_nothing(desk: Desk) -> None:
    ids = with_runs(desk, 1)
    assert "Labels read, not stored (--dry-run): 1." in desk.ok("calibrate", "--dry-run", stdin=labels(ids)).out
    assert desk.ok("calibrate", "--json").json["labelled"] == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no json", 'is no JSON; write e.g. {"run"'),
        ('["run000"]', "names no run"),
        ('{"answer": "42"}', "names no run"),
        ('{"run": "run000"}', 'needs either "answer"'),
        ('{"run": "run000", "answer": "42", "good": true}', 'needs either "answer"'),
        ('{"run": "run000", "good": "yes"}', 'has a "good" that is neither true nor false'),
        ('{"run": "run000", "answer": " "}', 'has an "answer" that is no text or number'),
        ('{"run": "run000", "anwser": "42"}', "has unknown keys (anwser); there are run, answer and good"),
    ],
)
def test_a_bad_line_is_told_by_its_number_and_nothing_is_stored(desk: Desk, line: str, told: str) -> None:
    ids = with_runs(desk, 1)
    said = desk.refused("calibrate", stdin=labels(ids) + "\n" + line + "\n").splitlines()
    assert said[0].startswith(f"consortium: standard input, line 3: {told}")
    assert said[1:] == ["consortium: Nothing was stored."]
    assert desk.ok("calibrate", "--json").json["labelled"] == 0


def test_a_run_that_is_not_on_record_is_told_and_nothing_is_stored(desk: Desk) -> None:
    ids = with_runs(desk, 1)
    said = desk.refused("calibrate", stdin=labels([*ids, "gone"]))
    assert said.splitlines()[0] == "consortium: gone: no such run is on record; see consortium runs for their ids"
    assert desk.ok("calibrate", "--json").json["labelled"] == 0


def test_a_good_answer_and_one_of_another_kind_are_labels_too(desk: Desk) -> None:
    with_runs(desk, 2)
    lines = '{"run": "run000", "good": true}\n{"run": "run001", "answer": false}\n'
    assert desk.ok("calibrate", "--json", stdin=lines).json["labelled"] == 2


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--labels", "none.jsonl"), "--labels none.jsonl: cannot be read"),
        (("--reset", "--force"), "--reset: goes with none of the other options"),
    ],
)
def test_options_that_cannot_be_are_told(desk: Desk, args: tuple[str, ...], told: str) -> None:
    assert desk.refused("calibrate", *args).startswith(f"consortium: {told}")


def test_labels_must_be_text(desk: Desk) -> None:
    assert desk.refused("calibrate", stdin=b"\xff\xfe").startswith("consortium: standard input: is no text")


def test_the_built_in_table_is_what_is_compared_with_at_first() -> None:
    assert PRIOR.confidence(make_run("x").rounds[0].verdict.agreement) == 0.5  # type: ignore[union-attr, arg-type]
