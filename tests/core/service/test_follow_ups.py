"""Messages in a thread."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.cards import Reply
from core.commands.values import AskCommand
from core.service import Inbound
from core.types import Run, RunStatus
from tests.core.fakes import catalog
from tests.core.service.conftest import ANN, BOB, CHANNEL, Desk, inbound

MINE = catalog(members=["b", "k"], strategy="voting").consortia["default"]
THREAD = CHANNEL.model_copy(update={"thread": "1.2"})


@pytest.mark.parametrize("fields", [{"consortium": "mine"}, {"models": ("b", "c")}, {"arbiter": "k"}])
async def test_a_follow_up_keeps_the_panel_of_the_run_before(desk: Desk, fields: dict[str, Any]) -> None:
    await desk.history.consortia.save("mine", MINE, CHANNEL)
    asked = await desk.thread(**fields)
    await desk.history.consortia.remove("mine", CHANNEL)
    follow = await desk.follow("And then?", THREAD, BOB)
    assert (follow.consortium, follow.ask.setup, follow.panel) == (asked.consortium, asked.ask.setup, asked.panel)


async def test_a_message_in_a_threads_run_follows_it_up(desk: Desk) -> None:
    run = await desk.service.thread_opened(await desk.ask(), "1.2")
    assert run.ask.where.thread == "1.2"
    stored = await desk.history.run(run.id)
    assert stored
    assert stored.ask.where == run.ask.where
    await desk.history.update_run(stored.model_copy(update={"status": RunStatus.RUNNING}))
    follow = await desk.follow("And then?", run.ask.where, BOB)
    assert (follow.ask.text, follow.ask.where, follow.ask.asker) == ("And then?", run.ask.where, BOB)
    for other in (CHANNEL, CHANNEL.model_copy(update={"thread": "9.9"})):
        assert await desk.service.follow_up("Hello", Inbound(asker=ANN, where=other)) is None


@pytest.mark.parametrize(
    ("text", "member", "rest"),
    [
        ("ask b: why?", "b", "why?"),
        ("B, why\nso?", "b", "why\nso?"),
        ("@c: why?", "c", "why?"),
        ("a 1: why?", "a 1", "why?"),
        ("a 2: why?", "a 2", "why?"),
        ("a, why?", "a 1", "why?"),
    ],
)
async def test_a_follow_up_may_be_to_one_member(desk: Desk, text: str, member: str, rest: str) -> None:
    asked = await desk.thread(strategy="council")
    follow = await desk.follow(text, THREAD)
    assert (follow.ask.addressed, follow.ask.text, [m.id for m in follow.panel]) == (member, rest, [member])
    assert follow.panel[0] in asked.panel, "the same seat"
    assert asked.ask.setup
    alone = {"strategy": "default", "params": {}, "min_iterations": 1}
    assert follow.ask.setup == asked.ask.setup.model_copy(update=alone)
    desk.now += timedelta(minutes=1)
    assert (await desk.follow("And all of you?", THREAD)).ask.setup == asked.ask.setup


@pytest.mark.parametrize("text", ["k, why?", "Well, why?", "ask j: why?", "b why?", "What about b: is it so?"])
async def test_who_is_no_member_is_not_asked(desk: Desk, text: str) -> None:
    asked = await desk.thread()
    follow = await desk.follow(text, THREAD)
    assert (follow.ask.addressed, follow.ask.text, follow.panel) == (None, text, asked.panel)


async def test_a_mention_in_a_thread_goes_on_with_its_panel_unless_it_names_another(desk: Desk) -> None:
    await desk.thread(models=("b", "c"), strategy="voting")
    for command, members in [
        (AskCommand(text="And then?"), ["b", "c"]),
        (AskCommand(text="c: and then?"), ["c"]),
        (AskCommand(text="And then?", models=("k",)), ["k"]),
        (AskCommand(text="And then?", consortium="default"), ["a 1", "a 2", "b", "c"]),
    ]:
        run = await desk.do(command, BOB, THREAD)
        assert isinstance(run, Run)
        assert [m.id for m in run.panel] == members


async def test_what_a_mention_changes_holds_for_the_threads_panel(desk: Desk) -> None:
    await desk.thread(models=("b", "c"))
    run = await desk.do(AskCommand(text="And then?", strategy="voting"), ANN, THREAD)
    assert isinstance(run, Run)
    assert run.ask.setup
    assert (run.ask.setup.members, run.ask.setup.strategy) == (("b", "c"), "voting")


async def test_stop_in_a_thread_is_no_question(desk: Desk) -> None:
    texts = ("stop", "Stop!", "stop it.")
    for text in texts:
        run = await desk.thread()
        reply = await desk.service.follow_up(text, inbound(where=THREAD))
        assert isinstance(reply, Reply)
        assert f"`{run.id}`" in reply.text
    assert len(desk.queue.asks) == len(texts)
    assert (await desk.follow("stop words in NLP?", THREAD)).ask.text == "stop words in NLP?"
