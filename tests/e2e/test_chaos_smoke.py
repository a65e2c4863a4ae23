"""The tool that kills processes while people ask: it finds nothing to complain of, and it would find what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench.chaos import Options, chaos
from tests.bench.crowd import FINAL, errands
from tests.bench.verdicts import Judge, Judgement, Record
from tests.servers import own_servers

RUN = "0123456789ab"
MARK = "mark-0007x1"


@pytest.mark.timeout(120)
async def test_asks_are_answered_once_though_processes_are_killed(tmp_path: Path) -> None:
    if not own_servers():
        pytest.skip("redis-server and postgres are not both installed")
    options = Options(
        *(6, 2, 2),
        seconds=4.0,
        kill_every=1.5,
        kills=2,
        redis_restarts=0,
        drops=1,
        channels=3,
        model_seconds=0.3,
        settle=60.0,
        grace=1.0,
    )
    judgement, trouble = await chaos(options, tmp_path)
    assert trouble.kills == 2, trouble.notes
    assert judgement.figures["answered"] == 6
    assert judgement.violations == []


def test_a_seed_repeats_what_people_do() -> None:
    assert errands(200, 75, 20, 3) == errands(200, 75, 20, 3) != errands(200, 75, 20, 4)
    kinds = [errand.kind for errand in errands(200, 75, 20, 3)]
    assert len(kinds) == 200
    assert {kind: kinds.count(kind) for kind in ("command", "mention", "follow")} == {
        "command": 80,
        "mention": 60,
        "follow": 60,
    }


def _message(**told: Any) -> dict[str, Any]:
    usual = {"channel": "C1", "ts": "5.0", "thread": "1.0", "run": RUN, "part": "0", "files": []}
    return {**usual, "streaming": False, "final": True, "text": FINAL, **told}


def _file(name: str, ts: str) -> dict[str, Any]:
    return _message(run=None, part=None, final=False, text="", ts=ts, files=[f"{RUN}-{name}.png"])


ROOT = _message(ts="1.0", thread="1.0", part="root", final=False, text="asks")
CHARTS = [_file("heatmap", "6.0"), _file("emotions", "7.0")]
OUTCOMES = tuple((1, model, "response") for model in ("m1", "m2", "m3"))
CLEAN = [ROOT, _message(), *CHARTS]


def _judged(
    messages: list[dict[str, Any]], *runs: Record, calls: int = 1, left: int = 0, taken: bool = True
) -> Judgement:
    attempt = {"number": 7, "mark": MARK, "kind": "command", "user": "U1", "channel": "C1", "at": 0.0, "taken": taken}
    attempt |= {"thread": None, "answered": 3.0, "told": []}
    seen: dict[str, Any] = {"attempts": [attempt], "messages": messages, "planned": 1, "statuses": [], "given up": 0}
    seen |= {"violations": [], "calls": 9, "faults": 0, "refused": 0, "acks": [0.1], "repeated events": 0}
    begun = {f"{MARK} {model} 1": calls for model in ("m1", "m2", "m3")}
    return Judge(seen, runs, {"begun": begun, "left": {f"{MARK} m1 1": left}}, panel=3).judge()


def _run(**told: Any) -> Record:
    usual: dict[str, Any] = {"id": RUN, "question": f"Is it? ({MARK})", "status": "done", "error": None}
    return Record(**{**usual, "delivered": True, "charts": 2, "outcomes": OUTCOMES, **told})


def test_what_is_as_it_should_be_is_no_violation() -> None:
    judged = _judged(CLEAN, _run())
    assert judged.violations == []
    assert judged.figures["answered"] == 1


@pytest.mark.parametrize(
    ("messages", "run", "wrong"),
    [
        ([ROOT, *CHARTS], {}, "no answer stands"),
        ([*CLEAN, _message(ts="8.0")], {}, "2 answers"),
        ([*CLEAN, {**ROOT, "ts": "9.0"}], {}, "2 messages that open its thread"),
        ([*CLEAN, _message(ts="8.0", final=False, text="thinking")], {}, "left over: 'thinking'"),
        ([*CLEAN, _message(ts="8.0", run=None, part=None, streaming=True)], {}, "a stream that never ended"),
        ([*CLEAN, _message(ts="8.0", run="ba9876543210")], {}, "a message of run ba9876543210, which is not on record"),
        ([ROOT, _message(thread="2.0"), *CHARTS], {}, "shown outside its thread"),
        ([*CLEAN, CHARTS[0]], {}, "charts in the thread"),
        ([ROOT, _message(), CHARTS[0]], {}, "charts in the thread"),
        (CLEAN, {"delivered": False}, "not marked as delivered"),
        (CLEAN, {"charts": 1}, "1 charts on record"),
        (CLEAN, {"status": "running"}, "is still running"),
        (CLEAN, {"status": "failed", "error": "Nobody"}, "ended as failed (Nobody)"),
        (CLEAN, {"outcomes": OUTCOMES[:2]}, "outcomes by round: {1: 2}"),
        (CLEAN, {"outcomes": (*OUTCOMES[:2], (1, "m3", "timeout"))}, "members failed (m3: timeout)"),
    ],
)
def test_each_thing_that_is_wrong_is_told_with_its_run(
    messages: list[dict[str, Any]], run: dict[str, Any], wrong: str
) -> None:
    violations = _judged(messages, _run(**run)).violations
    assert violations
    assert violations[0].startswith(wrong)


def test_what_slack_took_and_nobody_ran_is_lost_and_what_it_refused_is_not() -> None:
    assert _judged([], taken=True).violations == [f"lost: Slack took it, and nobody ran it: command {MARK}"]
    assert _judged([], taken=False).violations == [f"never got through: command {MARK}"]


def test_a_question_that_ran_twice_is_told() -> None:
    other = _run(id="ba9876543210")
    assert f"ran 2 times: {RUN}, ba9876543210: command {MARK}" in _judged(CLEAN, _run(), other).violations


def test_calls_that_died_with_their_caller_are_no_waste_and_others_are() -> None:
    assert _judged(CLEAN, _run(), calls=2, left=3).violations == []
    (wasted,) = _judged(CLEAN, _run(), calls=2).violations
    assert wasted.startswith("members called 2.00 times what is needed")
