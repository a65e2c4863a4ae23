"""Lists: history, settings, roles, models, consortia, and who has done how well."""

from __future__ import annotations

from typing import Any

import pytest

from core.catalog import Catalog
from core.ports import BreakerState, Latency, RunSummary, Standing
from core.present.lists import (
    MOST_RANKED,
    breaker_text,
    consortia_text,
    consortium_options,
    consortium_text,
    history_text,
    latency_text,
    leaderboard_text,
    model_options,
    models_text,
    option,
    roles_text,
    settings_text,
)
from core.setup import ConsortiumSpec
from core.stores import Session
from core.types import Member, RunStatus
from core.votes.ranking import ranked
from core.votes.trust import Record
from tests.core.fakes import START, catalog, make_ask


def some_simulated() -> Catalog:
    """A model of a server, and a simulated one that judges."""
    return Catalog.model_validate(
        {
            "providers": {"here": {"base_url": "http://127.0.0.1:9/v1"}},
            "models": {"real": {"provider": "here", "name": "big-1"}, "sim": {"provider": "simulated", "name": "owl"}},
            "consortia": {
                "default": {"members": ["real"], "arbiter": "sim"},
                "toy": {"members": ["sim:2"], "arbiter": "sim"},
            },
        }
    )


# --- history --------------------------------------------------------------------------------------------


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
        ({}, "Because. (confidence 0.85)"),
        ({"simulated": True}, "Because. (confidence 0.85, simulated)"),
        ({"confidence": None}, "Because. (confidence unknown)"),
        ({"answer": None, "status": RunStatus.RUNNING}, "still running"),
        ({"answer": None, "status": RunStatus.FAILED}, "no answer"),
        ({"answer": None, "status": RunStatus.CANCELLED}, "stopped"),
        ({"answer": "Of a round before.", "status": RunStatus.CANCELLED}, "stopped"),
        ({"answer": "Of a round before.", "status": RunStatus.FAILED}, "no answer"),
        ({"answer": "x" * 500}, f"{'x' * 199}… (confidence 0.85)"),
    ],
)
def test_a_line_of_history(fields: dict[str, Any], line: str) -> None:
    lines = history_text([summary(**fields)], 1, more=False, prefix="").splitlines()
    assert lines == ["**Your questions**", "1. **Why? Now?**", f"   {line}", "   2026-03-01 12:00 UTC · default · `r1`"]


def test_pages_of_history_count_on_and_say_what_they_were_searched_for() -> None:
    text = history_text([summary(), summary()], 3, more=True, prefix="/panel", search="tea", first=21)
    assert text.startswith('**Your questions with "tea"**, page 3\n21. ')
    assert "\n22. " in text
    assert text.endswith("Older ones: `/panel history tea 4`")


@pytest.mark.parametrize(
    ("page", "search", "text"),
    [
        (1, "", "You have not asked anything yet. Write `/panel ask` and a question."),
        (2, "", "There is no page 2 in your history."),
        (2, "tea", 'There is no page 2 in your history with "tea".'),
        (1, "tea", 'None of your questions that can be shown here has "tea" in it or in its answer.'),
    ],
)
def test_an_empty_page_says_why(page: int, search: str, text: str) -> None:
    assert history_text([], page, more=False, prefix="/panel", search=search) == text


# --- roles and settings ---------------------------------------------------------------------------------


def test_roles_in_force_and_those_there_are() -> None:
    panel = [Member(id="a", model="a"), Member(id="o", model="o", simulated=True)]
    text = roles_text({"Rawlsian": "Judge fairly."}, {"a": "a tired\nnurse", "gone": "x"}, panel, "A note.")
    for line in ("- a: a tired nurse", "- o (simulated): no role", "- gone: x", "A note.", "- Rawlsian: Judge fairly."):
        assert line in text.splitlines()


def test_what_is_set_in_words() -> None:
    text = settings_text(Session(), "default", own=False)
    assert text.splitlines() == [
        "**Set for you in this channel**",
        "- Consortium: default (the default here)",
        "- Domain: none in particular",
        "- Strategy: that of the consortium",
        "- Type of question: any",
        "- Show: short answers, with a button for more, with charts",
    ]
    session = Session(strategy="voting", domain="law", question_type="number", long=True, charts=False)
    lines = settings_text(session, "big", own=True, notes=["A note."]).splitlines()
    assert lines[1:6] == [
        "- Consortium: big",
        "- Domain: law",
        "- Strategy: voting",
        "- Type of question: number",
        "- Show: the whole answer at once, without charts",
    ]
    assert lines[-1] == "A note."


# --- models ---------------------------------------------------------------------------------------------


def test_models_with_their_breakers_and_times() -> None:
    states = {key: BreakerState(state="closed", failure_rate=0.25, calls=4) for key in ("real", "sim")}
    times = {"real": Latency(p50=1.24, p95=4.06, calls=40, failures=3)}
    assert models_text(some_simulated(), states, times).splitlines() == [
        "**Models**",
        "- **real** (big-1 at here): ready (25% of the last 4 calls failed)",
        "  half of the answers within 1.2 s, 19 of 20 within 4.1 s; 3 of 40 calls failed",
        "- **sim** (simulated): ready (25% of the last 4 calls failed)",
        "  time unknown: no calls on record",
        "",
        "How long answers took, and how many calls failed, is of the last 7 days.",
    ]


def test_times_that_are_not_known_are_not_made_up() -> None:
    assert latency_text(Latency(calls=2, failures=2)) == "time unknown: no answers on record; 2 of 2 calls failed"
    assert latency_text(Latency(p50=0.1, calls=1)) == "half of the answers within 0.1 s; 1 call"
    assert latency_text(Latency()) == latency_text(None) == "time unknown: no calls on record"


def test_a_breaker_in_words() -> None:
    assert breaker_text(BreakerState(state="open", failure_rate=1, calls=3, retry_in=7.6)) == (
        "resting after failures, tried again in 8 s"
    )
    assert breaker_text(BreakerState(state="half_open", failure_rate=1, calls=3)) == "being tried again"
    assert breaker_text(BreakerState(state="closed", failure_rate=0, calls=0)) == "ready (not called lately)"


# --- consortia ------------------------------------------------------------------------------------------


def test_consortia_in_a_few_lines_each() -> None:
    cat = some_simulated()
    saved = cat.consortia["toy"].model_copy(update={"strategy": "voting", "description": "For fun."})
    lines = consortia_text({**cat.consortia, "toy": saved}, {"toy"}, "toy", cat).splitlines()
    assert lines == [
        "**Consortia**",
        "- **default**",
        "  real; arbiter sim (simulated)",
        "- **toy** (in use here, saved)",
        "  sim:2 (simulated); arbiter sim (simulated); strategy voting",
        "  For fun.",
    ]


def test_one_consortium_with_all_that_is_set_of_it() -> None:
    setup = ConsortiumSpec(members=("real",), arbiter="sim", judging="pick-one", min_iterations=2, max_iterations=2)
    lines = consortium_text("x", setup, some_simulated(), saved_at=START, notes=["A note."]).splitlines()
    assert lines[0] == "**x** (saved 2026-03-01 12:00 UTC)"
    assert "- Arbiter: sim (simulated); it picks one of the answers" in lines
    assert "- Rounds: 2; another one while confidence is below 0.80" in lines
    assert lines[-1] == "A note."


def test_what_can_be_chosen_is_short_and_marked_where_simulated() -> None:
    cat = some_simulated()
    assert [o.label for o in model_options(cat)] == ["real", "sim (simulated)"]
    assert [o.label for o in consortium_options(cat.consortia, cat)] == ["default", "toy (simulated)"]
    long = option("x", "y" * 200, label="z" * 200, simulated=True)
    assert len(long.label) == 75
    assert long.label.endswith("… (simulated)")
    assert len(long.about) == 100


# --- who has done how well ------------------------------------------------------------------------------


def standings(consortium: str, **records: tuple[int, int]) -> list[Standing]:
    return [
        Standing(consortium=consortium, model=model, record=Record(agreed=agreed, compared=compared))
        for model, (agreed, compared) in records.items()
    ]


def test_the_most_reliable_come_first_with_the_weight_of_their_votes() -> None:
    ranks = ranked([*standings("x", a=(1, 9), b=(9, 9), c=(5, 9)), *standings("y", a=(3, 3))])
    assert [(rank.standing.consortium, rank.standing.model) for rank in ranks] == [
        ("x", "b"),
        ("x", "c"),
        ("x", "a"),
        ("y", "a"),
    ]
    weights = [rank.weight for rank in ranks]
    assert weights[0] > weights[1] == 1.0 > weights[2]


def test_a_leaderboard_of_all_shows_the_first_of_each_and_one_alone_all() -> None:
    ranks = ranked([*standings("x", a=(1, 9), b=(9, 9), c=(5, 9), d=(4, 9)), *standings("y", a=(0, 0))])
    both = leaderboard_text(ranks, {"x": (3, 1), "z": (1, 0)}, catalog(), None)
    assert both.count("reliability") == MOST_RANKED
    for line in ("- and 1 more", "- Answers found good: 3 of 4", "1. a: no record, weight 1.00", "**z**"):
        assert line in both.splitlines()
    alone = leaderboard_text(ranks, {"x": (3, 1)}, catalog(), "x")
    assert alone.count("reliability 0") == 4
    assert "**y**" not in alone
    assert "1. b: reliability 0.91 (0.62 to 0.98), weight 3.15" in alone.splitlines()
    assert "   agreed in 9 of 9 votes" in alone.splitlines()


def test_a_simulated_model_is_marked_in_the_leaderboard() -> None:
    assert "1. sim (simulated): " in leaderboard_text(ranked(standings("x", sim=(1, 1))), {}, some_simulated(), "x")


def test_an_empty_leaderboard_says_what_would_fill_it() -> None:
    assert leaderboard_text([], {}, catalog(), "x").startswith("Nothing yet of x: models are compared where")
