"""Whose runs are whose: who sees them, what came with them, how they go, and what a thread has said so far."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from adapters.history import SqlHistory
from core.asks import Attachment, Person, Platform, ThreadRef, Turn
from core.attachments import Material
from core.errors import NotFound
from core.ports import History
from core.types import Run, RunStatus, Study, Vectors
from tests.adapters.history.samples import ANALYSIS, ANN, BEN, CHANNEL, CHARTS, START, finished, new_run
from tests.adapters.history.test_store import store

PUBLIC = CHANNEL.model_copy(update={"thread": None})
DIRECT = PUBLIC.model_copy(update={"channel": "D1", "private": True})
OTHER = PUBLIC.model_copy(update={"channel": "C2"})
FOREIGN = PUBLIC.model_copy(update={"workspace": "T2"})
MATERIALS = (
    Material(
        attachment=Attachment(name="notes.md", media_type="text/markdown", size=9, kind="text", shortened=True),
        text="so\0 it is — naïve",
    ),
    Material(attachment=Attachment(name="cat.png", media_type="image/png", size=4, kind="image"), image=b"\x89P\x00G"),
)


async def test_who_may_see_a_run_where(history: SqlHistory) -> None:
    public, direct = new_run(where=PUBLIC), new_run(where=DIRECT)
    await asyncio.gather(*(history.open_run(run) for run in (public, direct)))

    async def seen(run: Run, asker: Person, where: ThreadRef) -> bool:
        return await history.visible(run.id, asker, where) == run

    assert [await seen(public, ANN, where) for where in (PUBLIC, OTHER, DIRECT)] == [True] * 3
    assert await seen(public, BEN, PUBLIC.model_copy(update={"thread": "7.7"}))
    assert not await seen(public, BEN, OTHER)
    assert not await seen(public, ANN, FOREIGN)
    assert not await seen(public, BEN, PUBLIC.model_copy(update={"platform": Platform.DISCORD}))
    assert await seen(direct, ANN, DIRECT)
    assert not await seen(direct, ANN, PUBLIC)
    assert not await seen(direct, ANN, DIRECT.model_copy(update={"channel": "D2"}))
    assert not await seen(direct, BEN, DIRECT)
    assert await history.visible("nobody's", ANN, PUBLIC) is None


async def test_all_of_a_persons_own_runs(history: SqlHistory) -> None:
    mine = [finished(new_run(where=where)) for where in (PUBLIC, DIRECT, OTHER)]
    for run in mine:
        await store(history, run)
    for run in (new_run(asker=BEN, where=PUBLIC), new_run(where=FOREIGN)):
        await history.open_run(run)
    assert await history.own(ANN, OTHER) == mine


async def test_a_page_is_searched_as_all_runs_are(history: SqlHistory) -> None:
    asked = [new_run(where=PUBLIC, text=text) for text in ("Cats?", "Dogs?", "100% of CATS?", "1000 cats?")]
    hidden = new_run(where=DIRECT, text="cats in secret")
    others = new_run(where=PUBLIC, asker=BEN, text="cats")
    await asyncio.gather(*(history.open_run(run) for run in (*asked, hidden, others)))

    async def found(text: str, where: ThreadRef = PUBLIC) -> list[str]:
        return [line.question for line in await history.page(ANN, where, 10, 0, text)]

    assert await found("cAts") == ["1000 cats?", "100% of CATS?", "Cats?"]
    assert await found("100% ") == ["100% of CATS?"], "a percent sign is no wildcard"
    assert await found("cats", DIRECT) == ["cats in secret", "1000 cats?", "100% of CATS?", "Cats?"]
    assert await found(asked[1].id.upper()) == ["Dogs?"]
    assert [line.question for line in await history.page(ANN, PUBLIC, 1, 1, "cats")] == ["100% of CATS?"]


async def test_what_a_thread_has_said_so_far(history: SqlHistory) -> None:
    first, second, third = (finished(new_run(text=f"Question {i}?")) for i in range(3))
    waiting = new_run(text="Unanswered?")
    elsewhere = finished(new_run(where=CHANNEL.model_copy(update={"thread": "2.5"})))
    for run in (first, second, third, elsewhere):
        await store(history, run)
    await history.open_run(waiting)
    said = {"qwen": "still yes, *they* should 🐈 — naïve?", "llama": "```\nno\n```"}
    turns = [Turn(question=f"Question {i}?", answer="Yes.", answers=said) for i in range(3)]
    later = START + timedelta(days=9)
    assert await history.conversation(CHANNEL, later, 10) == turns
    assert await history.conversation(CHANNEL, later, 2) == turns[1:]
    assert await history.conversation(CHANNEL, third.created_at, 10) == turns[:2]
    assert await history.conversation(CHANNEL, later, 0) == []
    assert await history.conversation(PUBLIC, later, 10) == []


async def test_what_came_with_a_question(history: SqlHistory) -> None:
    run = new_run()
    with pytest.raises(NotFound):
        await history.keep_materials(run.id, MATERIALS)
    await history.open_run(run)
    assert await history.materials(run.id) == ()
    await history.keep_materials(run.id, ())
    for _ in range(2):
        await history.keep_materials(run.id, MATERIALS)
    text, image = await history.materials(run.id)
    assert (text.attachment, text.text, text.image) == (MATERIALS[0].attachment, "so\ufffd it is — naïve", None)
    assert image == MATERIALS[1]


async def whole(history: History) -> Run:
    """A stored run with everything that can belong to one."""
    run = finished(new_run())
    await store(history, run)
    await history.keep_materials(run.id, MATERIALS)
    vectors = Vectors(embedder="wordllama", dimensions=1, data=b"\0" * 8)
    await history.record_study(run.id, Study(analysis=ANALYSIS, charts=CHARTS, vectors=vectors))
    return run


async def test_to_delete_a_run_takes_all_that_belongs_to_it(history: SqlHistory) -> None:
    gone, stays = await whole(history), await whole(history)
    for run in (gone, stays):
        await history.lessons.feedback(run.id, BEN, True)
    await history.delete(gone.id, "nobody's")
    assert await history.run(gone.id) is None
    assert (await history.charts(gone.id), await history.vectors(gone.id)) == ((), None)
    assert (await history.materials(gone.id), await history.lessons.opinions(gone.id)) == ((), ())
    assert await history.run(stays.id) == stays
    assert len(await history.charts(stays.id)) == len(await history.materials(stays.id)) == 2
    assert len(await history.lessons.opinions(stays.id)) == 1
    await history.delete(stays.id)
    assert await history.search() == []
    await history.delete()


async def test_a_run_that_is_deleted_while_it_goes_on_stays_deleted(history: SqlHistory) -> None:
    run = new_run()
    await history.open_run(run)
    await history.delete(run.id)
    await history.update_run(finished(run))
    with pytest.raises(NotFound):
        await history.record_outcome(run.id, 1, finished(run).rounds[0].outcomes[0])
    assert await history.run(run.id) is None


async def test_which_runs_have_expired(history: SqlHistory) -> None:
    def ran(hours: float, **more: object) -> Run:
        run = new_run(at=START - timedelta(hours=hours))
        done = {"status": RunStatus.DONE, "ended_at": run.created_at + timedelta(hours=1)}
        return run.model_copy(update=done | more)

    newest, middle, oldest = ran(1), ran(2), ran(3)
    lost, going_on = ran(25, ended_at=None), ran(23, ended_at=None)
    foreign = ran(9, ask=new_run(where=FOREIGN).ask)
    for run in (newest, middle, oldest, lost, going_on, foreign):
        await history.open_run(run)

    async def expired(limit: int = 10) -> list[str]:
        return await history.expired(Platform.SLACK, "T1", START - timedelta(minutes=30), limit)

    assert await expired() == [lost.id, oldest.id, middle.id]
    assert await expired(1) == [lost.id]
    await history.delete(*await expired())
    assert await expired() == []
    assert await history.expired(Platform.SLACK, "T2", START, 10) == [foreign.id]
