"""The tables are what the migrations make."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, insert, inspect, text

from adapters.history import SqlHistory, migrations
from adapters.history.database import Database, parse
from adapters.history.schema import metadata
from core.asks import Person
from core.errors import ConfigError
from core.governance import Estimate
from core.setup import ConsortiumSpec
from core.types import RunStatus
from tests.adapters.history.samples import CHANNEL, new_run

T = TypeVar("T")
FOLDER = Path(migrations.__file__).parent


async def on(url: str, work: Callable[[Connection], T]) -> T:
    database = Database(parse(url))
    try:
        return await database.write(work)
    finally:
        await database.close()


def test_head_is_the_newest_revision() -> None:
    scripts = ScriptDirectory(str(FOLDER))
    assert scripts.get_heads() == [migrations.HEAD]


async def test_migrations_make_the_tables_of_the_schema(empty_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    assert await on(empty_url, differences) != []
    await on(empty_url, migrations.migrate)
    assert await on(empty_url, differences) == []


async def test_migrations_can_be_undone(empty_url: str) -> None:
    def undo(connection: Connection) -> list[str]:
        config = Config()
        config.set_main_option("script_location", str(FOLDER))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        return inspect(connection).get_table_names()

    await on(empty_url, migrations.migrate)
    assert await on(empty_url, undo) == ["alembic_version"]


async def test_going_back_keeps_what_was_saved_for_everybody(empty_url: str) -> None:
    def go_back(connection: Connection) -> list[str]:
        config = Config()
        config.set_main_option("script_location", str(FOLDER))
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
        return [row.name for row in connection.execute(text("SELECT name FROM consortia"))]

    setup = ConsortiumSpec(members=("a",), arbiter="b")
    async with SqlHistory(empty_url) as history:
        await history.consortia.save("Jury", setup, None)
        await history.consortia.save("Jury", setup, CHANNEL)
        await history.consortia.save("Panel", setup, CHANNEL)
    assert await on(empty_url, go_back) == ["Jury"]


ANN_0001 = '{"id":"U1","name":"Ann"}'
WHERE_0001 = '{"platform":"slack","workspace":"T1","channel":"C1","thread":"1.5","private":false}'
ASK_0001 = (
    '{"id":"old","text":"Why?","asked_at":"2026-01-02T03:04:05Z","asker":' + ANN_0001 + ',"where":' + WHERE_0001 + ","
    '"consortium":"default","domain":null,"roles":{"qwen":"Rawlsian"},"charts":true,"event_ids":["Ev1"]}'
)
QWEN_0001 = '{"id":"qwen","model":"qwen","role":null,"simulated":false}'
LLAMA_0001 = '{"id":"llama","model":"llama","role":null,"simulated":true}'
ANSWER_0001 = (
    '{"type":"response","member":%s,"text":"So.","seconds":0.5,"attempts":1,'
    '"usage":{"prompt_tokens":1,"completion_tokens":2,"cost":null},"failed_usage":[],"truncated":false}'
)
VERDICT_0001 = (
    '{"source":"arbiter","judge":' + QWEN_0001 + ',"synthesis":"So it is.","confidence":0.9,'
    '"positions":[{"member":' + QWEN_0001 + ',"stance":"agree","point":"so"}],'
    '"refine":[],"failures":[],"usage":[],"seconds":0.25}'
)
ANALYSIS_0001 = (
    '{"members":[' + QWEN_0001 + "," + LLAMA_0001 + '],"similarity":[[1.0,0.5],[0.5,1.0]],"mean_similarity":0.5,'
    '"central":0,"embedder":"wordllama","moods":[],"notes":[]}'
)
THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROWS_0001: dict[str, list[dict[str, object]]] = {
    "runs": [
        {
            "id": "old",
            "platform": "slack",
            "workspace": "T1",
            "channel": "C1",
            "thread": "1.5",
            "private": False,
            "asker": "U1",
            "question": "Why?",
            "answer": "So it is.",
            "confidence": 0.9,
            "consortium": "default",
            "status": "done",
            "simulated": True,
            "created_at": THEN,
            "answered_at": THEN,
            "ended_at": THEN,
            "ask": ASK_0001,
            "panel": f"[{QWEN_0001},{LLAMA_0001}]",
            "bill": '{"calls":3}',
            "notes": '["Hm."]',
        }
    ],
    "rounds": [
        {
            "run_id": "old",
            "number": 1,
            "judge": "qwen",
            "source": "arbiter",
            "confidence": 0.9,
            "seconds": 0.25,
            "recorded_at": THEN,
            "members": '["llama", "qwen"]',
            "verdict": VERDICT_0001,
        }
    ],
    "outcomes": [
        {
            "run_id": "old",
            "round": 1,
            "member": member,
            "model": member,
            "kind": "response",
            "seconds": 0.5,
            "attempts": 1,
            "recorded_at": THEN,
            "body": ANSWER_0001 % json,
        }
        for member, json in (("llama", LLAMA_0001), ("qwen", QWEN_0001))
    ],
    "analyses": [{"run_id": "old", "mean_similarity": 0.5, "embedder": "wordllama", "body": ANALYSIS_0001}],
    "charts": [
        {
            "run_id": "old",
            "kind": kind,
            "position": i,
            "png": b"\x89PNG",
            "size": 4,
            "alt": "a",
            "width": 8,
            "height": 6,
        }
        for i, kind in enumerate(("heatmap", "emotions"))
    ],
}


def fill_0001(connection: Connection) -> None:
    """A database as the first version left it, with rows as it wrote them."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")
    for name, rows in ROWS_0001.items():
        connection.execute(insert(Table(name, MetaData(), autoload_with=connection)), rows)


async def test_what_the_first_version_wrote_is_kept(empty_url: str) -> None:
    await on(empty_url, fill_0001)
    async with SqlHistory(empty_url) as history:
        run = await history.run("old")
        assert run is not None
        assert (run.ask.text, run.ask.setup, run.ask.roles) == ("Why?", None, {"qwen": "Rawlsian"})
        assert (run.status, run.created_at, run.bill.calls, run.notes) == (RunStatus.DONE, THEN, 3, ("Hm.",))
        (round_,) = run.rounds
        assert (round_.kind, [r.member.id for r in round_.responses]) == ("answers", ["qwen", "llama"])
        assert run.verdict is not None
        assert (run.verdict.synthesis, run.verdict.confidence) == ("So it is.", 0.9)
        assert (run.verdict.ballot, run.verdict.agreement, run.verdict.stated) == (None, None, None)
        assert run.analysis is not None
        assert run.analysis.similarity == ((1.0, 0.5), (0.5, 1.0))
        assert [chart.kind for chart in await history.charts("old")] == ["heatmap", "emotions"]
        assert await history.vectors("old") is None
        assert [line.id for line in await history.search(text="so it")] == ["old"]
        assert [exported async for exported in history.export()] == [run]
        assert await history.lessons.standings() == []
        await history.lessons.label("old", good=True)
        assert await history.lessons.samples() == []  # it has no agreement
        await history.record_round("old", round_.model_copy(update={"number": 2, "kind": "reviews"}))
        again = await history.run("old")
        assert again is not None
        assert again.rounds[1].kind == "reviews"


def fill_0002(connection: Connection) -> None:
    """A database as the second version left it: what it had added, beside a run of the first."""
    fill_0001(connection)
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "0002")
    vote = {"run_id": "old", "member": "qwen", "model": "qwen", "consortium": "default", "answer": "so", "agreed": True}
    setup = '{"members":["qwen:2"],"arbiter":"llama"}'
    rows: dict[str, dict[str, object]] = {
        "votes": vote | {"correct": True},
        "labels": {"run_id": "old", "answer": None, "good": True, "labelled_at": THEN},
        "consortia": {"key": "jury", "name": "Jury", "setup": setup, "saved_at": THEN},
        "settings": {"key": "default consortium", "value": '"Jury"'},
    }
    for name, row in rows.items():
        connection.execute(insert(Table(name, MetaData(), autoload_with=connection)), row)


async def test_what_the_second_version_wrote_is_kept_and_works_with_what_is_new(empty_url: str) -> None:
    await on(empty_url, fill_0002)
    async with SqlHistory(empty_url) as history:
        assert await history.consortia.default() == "Jury"
        assert [(one.name, one.own) for one in await history.consortia.all(CHANNEL)] == [("Jury", False)]
        assert [(one.name, one.saved_at) for one in await history.consortia.all(None)] == [("Jury", THEN)]
        (standing,) = await history.lessons.standings()
        assert (standing.model, standing.record.correct, standing.record.agreed) == ("qwen", 1, 1)
        person, where = Person(id="U1"), CHANNEL
        run = await history.visible("old", person, where)
        assert run is not None
        (turn,) = await history.conversation(where, THEN + timedelta(seconds=1), 5)
        assert (turn.question, turn.answer, turn.answers) == ("Why?", "So it is.", {"qwen": "So.", "llama": "So."})
        assert await history.expired(where.platform, where.workspace, THEN + timedelta(seconds=1), 5) == ["old"]
        assert (await history.lessons.latencies(THEN))["llama"].p50 == 0.5
        await history.lessons.feedback("old", person, False)
        assert await history.lessons.opinions_of() == {"default": (0, 1)}
        await history.governance.reserve(run, Estimate(calls=1, tokens=5))
        assert (await history.governance.spending(where, person, THEN)).at("user", "day").tokens == 5
        await history.delete("old")
        assert await history.lessons.standings() == []


async def test_a_filled_database_can_go_back_to_the_first_version(empty_url: str) -> None:
    def back(connection: Connection) -> list[object]:
        config = Config()
        config.set_main_option("script_location", str(FOLDER))
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        return list(connection.execute(text("SELECT verdict FROM rounds")).scalars())

    await on(empty_url, fill_0001)
    await on(empty_url, migrations.migrate)
    assert await on(empty_url, back) == [VERDICT_0001]


async def test_many_that_start_at_once(empty_url: str) -> None:
    async def start() -> None:
        async with SqlHistory(empty_url) as history:
            await history.open_run(new_run())

    await asyncio.gather(*(start() for _ in range(10)))


async def test_a_database_of_a_newer_version(empty_url: str) -> None:
    async with SqlHistory(empty_url):
        pass
    await on(empty_url, lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(ConfigError, match="newer version"):
        async with SqlHistory(empty_url):
            pass


async def test_alembic_is_not_imported_when_there_is_nothing_to_do(empty_url: str) -> None:
    program = (
        "import asyncio, sys; from adapters.history import SqlHistory\n"
        "async def main():\n"
        "    async with SqlHistory(sys.argv[1]): print('alembic' in sys.modules)\n"
        "asyncio.run(main())"
    )
    await on(empty_url, migrations.migrate)
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, empty_url], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
