"""Messages in a thread."""

from __future__ import annotations

from typing import Any

from core.service import Inbound
from core.types import RunStatus
from tests.core.fakes import catalog
from tests.core.service.conftest import ANN, BOB, CHANNEL, Desk

MINE = catalog(members=["b", "k"], strategy="voting").consortia["default"]


async def test_a_follow_up_keeps_the_panel_of_the_run_before(desk: Desk) -> None:
    await desk.history.consortia.save("mine", MINE)
    asks: list[dict[str, Any]] = [{"consortium": "mine"}, {"models": ("b", "c")}]
    for n, fields in enumerate(asks):
        asked = await desk.service.thread_opened(await desk.ask(**fields), f"1.{n}")
        follow = await desk.service.follow_up("And then?", Inbound(asker=BOB, where=asked.ask.where))
        assert follow
        assert (follow.consortium, follow.ask.setup) == (asked.consortium, asked.ask.setup)
    await desk.history.consortia.remove("mine")
    where = CHANNEL.model_copy(update={"thread": "1.0"})
    follow = await desk.service.follow_up("And then?", Inbound(asker=BOB, where=where))
    assert follow
    assert [m.id for m in follow.panel] == ["b", "k"], "as it was when it was asked"


async def test_a_message_in_a_threads_run_follows_it_up(desk: Desk) -> None:
    run = await desk.service.thread_opened(await desk.ask(), "1.2")
    assert run.ask.where.thread == "1.2"
    stored = await desk.history.run(run.id)
    assert stored
    assert stored.ask.where == run.ask.where
    await desk.history.update_run(stored.model_copy(update={"status": RunStatus.RUNNING}))
    follow = await desk.service.follow_up("And then?", Inbound(asker=BOB, where=run.ask.where))
    assert follow
    assert (follow.ask.text, follow.ask.where, follow.ask.asker) == ("And then?", run.ask.where, BOB)
    for other in (CHANNEL, CHANNEL.model_copy(update={"thread": "9.9"})):
        assert await desk.service.follow_up("Hello", Inbound(asker=ANN, where=other)) is None
