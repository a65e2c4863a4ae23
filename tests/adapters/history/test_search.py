"""The operator's view: search and export."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from adapters.history import SqlHistory
from core.types import Run, RunStatus, Study
from tests.adapters.history.samples import BEN, CHANNEL, START, finished, new_run


async def _found(history: SqlHistory, text: str) -> list[str]:
    return [line.question for line in await history.search(text=text)]


async def test_text_is_sought_in_question_answer_and_id(history: SqlHistory) -> None:
    asked = new_run(text="Should Cats vote?")
    answered = finished(new_run(text="And dogs?"))  # "Yes."
    named = new_run(text="Fish?", asker=BEN, where=CHANNEL.model_copy(update={"private": True}))
    named = named.model_copy(update={"id": "01ABC"})
    for run in (asked, answered, named):
        await history.open_run(run)
    assert await _found(history, "cATS") == ["Should Cats vote?"]
    assert await _found(history, "yes.") == ["And dogs?"]
    assert await _found(history, "1ab") == ["Fish?"]
    assert await _found(history, "birds") == []
    assert await _found(history, "?") == ["Fish?", "And dogs?", "Should Cats vote?"] == await _found(history, "")


@pytest.mark.parametrize("text", ["100%", "a_b", "c\\d", "/e", "it's", 'say "x"', "%_", "ÄÖ naïve", "a\0b"])
async def test_nothing_in_a_text_has_a_meaning_of_its_own(history: SqlHistory, text: str) -> None:
    await history.open_run(new_run(text="100 aXb cd e its say x äÖ naive"))
    assert await _found(history, text) == []
    await history.open_run(new_run(text=f"<{text}>"))
    assert len(await _found(history, text)) == 1
    assert len(await _found(history, text.upper())) == 1


async def test_letters_beyond_ascii_have_a_case_too(history: SqlHistory) -> None:
    await history.open_run(new_run(text="Was sagt ÉMILE über Ωmega?"))
    assert len(await _found(history, "émile ÜBER ωMEGA")) == 1


async def test_an_answer_is_found_as_it_reads_now_and_letters_of_one_case_are_equal(history: SqlHistory) -> None:
    run = new_run(text="Wie lang ist die Straße?")
    await history.open_run(run)
    assert await _found(history, "yes.") == []
    await history.update_run(finished(run))
    for text in ("yes.", "STRASSE", "straße"):
        assert await _found(history, text) == ["Wie lang ist die Straße?"]


async def test_a_search_has_a_start_and_an_end(history: SqlHistory) -> None:
    runs = [new_run(at=START + timedelta(minutes=i)) for i in range(5)]
    for run in runs:
        await history.open_run(run)
    newest_first = [run.id for run in reversed(runs)]
    assert [line.id for line in await history.search(limit=2)] == newest_first[:2]
    assert [line.id for line in await history.search(since=START + timedelta(minutes=3))] == newest_first[:2]
    assert [line.id for line in await history.search(text="cats", since=runs[1].created_at, limit=3)] == newest_first[
        :3
    ]


async def test_an_export_has_every_run_once_and_whole(history: SqlHistory) -> None:
    """More runs than one portion has, of which portions end among runs of the same moment."""
    runs = [new_run(at=START + timedelta(minutes=i // 40)) for i in range(230)]
    runs[100:103] = [finished(run) for run in runs[100:103]]
    await asyncio.gather(*(history.open_run(run) for run in reversed(runs)))
    for run in runs[100:103]:
        assert run.analysis
        await history.record_study(run.id, Study(analysis=run.analysis))
        for round_ in run.rounds:
            for outcome in round_.outcomes:
                await history.record_outcome(run.id, round_.number, outcome)
            await history.record_round(run.id, round_)
    exported = [run async for run in history.export()]
    assert sorted(exported, key=lambda run: run.id) == sorted(runs, key=lambda run: run.id)
    assert [run.created_at for run in exported] == [run.created_at for run in runs]
    late = START + timedelta(minutes=2)
    assert [run async for run in history.export(late)] == [run for run in exported if run.created_at >= late]


async def test_an_export_takes_along_what_comes_in_meanwhile(history: SqlHistory) -> None:
    runs = [new_run() for _ in range(110)]
    await asyncio.gather(*(history.open_run(run) for run in runs[:-1]))
    seen: list[Run] = []
    async for run in history.export():
        if not seen:
            await history.open_run(runs[-1])
            await history.update_run(runs[-2].model_copy(update={"status": RunStatus.FAILED}))
        seen.append(run)
    assert [run.id for run in seen] == [run.id for run in runs]
    assert seen[-2].status is RunStatus.FAILED


async def test_an_empty_history(history: SqlHistory) -> None:
    assert await history.search() == []
    assert [run async for run in history.export()] == []
