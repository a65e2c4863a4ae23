"""What people write stays out of the log, also where something breaks over it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Connection, text

from adapters.history.database import Database, parse
from adapters.history.store import SqlHistory
from adapters.state.state import State
from core.asks import Ask
from core.delivery import RunView, deliver
from core.errors import ConsortiumError
from core.events import RunEnded, RunStarted
from core.runner import Runner
from core.telemetry import Logs, configure, get_logger
from core.types import Chart, Run, RunStatus
from tests.core.fakes import Step, catalog, make_ask, make_engine, make_run, office, panel_models
from tests.logs import log_restored

CANARY = "canary-question"


@pytest.fixture
def restored() -> Iterator[None]:
    """The log is as it was afterwards."""
    with log_restored():
        yield


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("wanted", [True, False])
async def test_the_question_is_in_one_line_where_that_is_wanted(
    state: State, history: SqlHistory, capsys: pytest.CaptureFixture[str], wanted: bool
) -> None:
    configure(Logs("DEBUG", json=True, texts=wanted))
    shared = catalog()
    run = make_run(shared, make_ask(f"Is {CANARY} good?"))
    await history.open_run(run)
    await Runner(make_engine(shared, panel_models()), office(shared, state, history)).run(run.ask)
    told = records(capsys)
    assert {record["run"] for record in told} == {run.id}
    assert [record["event"] for record in told if CANARY in json.dumps(record)] == (["run begun"] if wanted else [])
    assert [record.get("question") for record in told if record["event"] == "run begun"] == (
        [f"Is {CANARY} good?"] if wanted else [None]
    )


class Clumsy:
    """Cannot show progress."""

    pace = 0.0
    tick: float | None = None

    async def progress(self, view: RunView) -> None:
        raise OSError("out of ink")

    async def answer(self, run: Run) -> None: ...

    async def charts(self, run: Run, charts: tuple[Chart, ...], note: str | None) -> None: ...

    async def failed(self, run: Run, text: str) -> None: ...


@pytest.mark.usefixtures("restored")
async def test_whoever_shows_a_run_logs_its_id_too(
    state: State, history: SqlHistory, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(Logs(json=True))
    shared = catalog()
    run = make_run(shared)
    await history.open_run(run)
    await state.events.publish(run.id, RunStarted(round=1, max_rounds=1, panel=run.panel))
    showing = asyncio.create_task(deliver(run, Clumsy(), state.events, history))
    told: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while not told:
            await asyncio.sleep(0.01)
            told = records(capsys)
    await state.events.publish(run.id, RunEnded(status=RunStatus.CANCELLED))
    await showing
    assert {(record["event"], record["run"]) for record in told} == {("progress not shown", run.id)}
    get_logger("core.x").info("afterwards")
    assert "run" not in records(capsys)[-1]


@pytest.mark.usefixtures("restored")
async def test_a_run_that_breaks_leaves_one_record_with_its_trace_and_no_question(
    state: State, history: SqlHistory, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(Logs("DEBUG", json=True))
    shared = catalog()
    run = make_run(shared, make_ask(f"Is {CANARY} good?"))
    await history.open_run(run)
    broken = panel_models(a=Step(RuntimeError("out of order")))
    await Runner(make_engine(shared, broken), office(shared, state, history)).run(run.ask)
    (record,) = [record for record in records(capsys) if record["event"] == "call broke"]
    assert "RuntimeError: out of order" in record["exception"]
    assert CANARY not in json.dumps(record)
    stored = await history.run(run.id)
    assert stored is not None
    assert stored.status is RunStatus.DONE


def test_a_value_that_is_wrong_is_not_quoted() -> None:
    with pytest.raises(ValidationError) as error:
        Ask.model_validate({"id": "r1", "text": CANARY, "asker": CANARY, "where": CANARY})
    assert CANARY not in str(error.value)


@pytest.mark.usefixtures("restored")
async def test_a_statement_that_fails_is_logged_without_what_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(Logs("DEBUG", json=True))
    database = Database(parse(f"sqlite:///{tmp_path / 'x.db'}"))

    def fail(connection: Connection) -> None:
        connection.execute(text("INSERT INTO nowhere VALUES (:question)"), {"question": CANARY})

    try:
        await database.read(fail)
    except ConsortiumError:
        get_logger("adapters.history").exception("not stored")
    finally:
        await database.close()
    (record,) = records(capsys)
    assert "no such table" in record["exception"]
    assert CANARY not in json.dumps(record)
