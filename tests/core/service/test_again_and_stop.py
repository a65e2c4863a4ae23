"""Asking again, and ending what goes on."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from core.attachments import Upload
from core.commands.actions import decode, submitted
from core.commands.values import AskAgain, AskCommand, StopCommand
from core.errors import BadInput, NotAllowed, NotFound
from core.events import RunEnded
from core.governance import Rule, Subject
from core.setup import ConsortiumSpec
from core.types import Round, Run, RunStatus, Verdict, VerdictSource
from tests.core.fakes import catalog
from tests.core.service.conftest import ANN, BOB, CHANNEL, DIRECT, Desk

MINE = catalog(members=["b", "k"], strategy="voting").consortia["default"]
ELSEWHERE = CHANNEL.model_copy(update={"channel": "C2"})
THREAD = CHANNEL.model_copy(update={"thread": "1.2"})


async def again(desk: Desk, command: AskAgain, **fields: object) -> Run:
    run = await desk.do(command, **fields)  # type: ignore[arg-type]
    assert isinstance(run, Run)
    return run


def setup(run: Run) -> ConsortiumSpec:
    assert run.ask.setup
    return run.ask.setup


# --- again ----------------------------------------------------------------------------------------------


async def test_the_form_offers_what_there_is_and_begins_with_what_was(desk: Desk) -> None:
    await desk.history.consortia.save("mine", MINE, CHANNEL)
    asked = await desk.ask(arbiter="k", strategy="voting")
    form = await desk.form(AskAgain(run=asked.id))
    assert decode(form.action) == AskAgain(run=asked.id)
    assert len(form.title) <= 24
    options = {i.name: [o.value for o in i.options] for i in form.inputs}
    assert options["consortium"] == ["", "default", "mine"]
    assert options["arbiter"] == ["", "a", "b", "c", "j", "k"]
    assert options["strategy"][:4] == ["", "default", "voting", "elimination"]
    assert [(i.options[0].label, i.value) for i in form.inputs] == [
        ("As before (default)", ("",)), ("As before (k)", ("",)), ("As before (voting)", ("",))
    ]  # fmt: skip
    assert desk.queue.asks == [asked.ask]
    command = submitted(form.action, {"consortium": ("",), "arbiter": ("j",), "strategy": ("",)})
    assert command == AskAgain(run=asked.id, arbiter="j", chosen=True)


async def test_a_choice_has_no_more_options_than_platforms_take(desk: Desk) -> None:
    for n in range(120):
        await desk.history.consortia.save(f"saved{n}", MINE, CHANNEL)
    form = await desk.form(AskAgain(run=(await desk.ask()).id))
    assert max(len(i.options) for i in form.inputs) == 100


async def test_a_question_is_asked_anew_in_its_thread_with_what_was_changed(desk: Desk) -> None:
    await desk.history.consortia.save("mine", MINE, CHANNEL)
    asked = await desk.thread(domain="law", question_type="yes-no", system="Be brief.", models=("b", "c"))
    same = await again(desk, AskAgain(run=asked.id, chosen=True), by=BOB)
    assert (same.id != asked.id, same.ask.asker, same.ask.where) == (True, BOB, THREAD)
    kept = {"text", "domain", "question_type", "system", "setup", "consortium", "roles", "charts"}
    assert same.ask.model_dump(include=kept) == asked.ask.model_dump(include=kept)
    other = await again(desk, AskAgain(run=asked.id, chosen=True, arbiter="K", strategy="council"))
    assert (setup(other).arbiter, setup(other).strategy, setup(other).members) == ("k", "council", ("b", "c"))
    mine = await again(desk, AskAgain(run=asked.id, chosen=True, consortium="mine"))
    assert (mine.consortium, setup(mine)) == ("mine", MINE)
    for wrong in (AskAgain(run=asked.id, chosen=True, arbiter="x"), AskAgain(run=asked.id, chosen=True, strategy="x")):
        with pytest.raises((NotFound, BadInput)):
            await desk.do(wrong)
    assert len(desk.queue.asks) == 4


async def test_what_came_with_the_question_comes_along(desk: Desk) -> None:
    async def fetch() -> bytes:
        return b"Grass is green."

    file = Upload(name="a.txt", media_type="text/plain", size=15, fetch=fetch)
    asked = await desk.do(AskCommand(text="Is it so?"), files=(file,))
    assert isinstance(asked, Run)
    run = await again(desk, AskAgain(run=asked.id, chosen=True))
    assert run.ask.attachments == asked.ask.attachments
    assert await desk.history.materials(run.id) == await desk.history.materials(asked.id) != ()


async def test_a_member_alone_is_asked_again_alone_but_not_with_another_panel(desk: Desk) -> None:
    await desk.thread()
    alone = await desk.follow("b: why?", THREAD)
    run = await again(desk, AskAgain(run=alone.id, chosen=True))
    assert ([m.id for m in run.panel], run.ask.text) == (["b"], "why?")
    run = await again(desk, AskAgain(run=alone.id, chosen=True, consortium="default"))
    assert [m.id for m in run.panel] == ["a 1", "a 2", "b", "c"]


async def test_who_may_not_see_a_question_cannot_ask_it_again(desk: Desk) -> None:
    secret = await desk.ask(where=DIRECT)
    for command in (AskAgain(run=secret.id), AskAgain(run=secret.id, chosen=True), AskAgain(run="ghost")):
        with pytest.raises(NotFound, match="not for you to see here"):
            await desk.do(command, BOB)
    assert len(desk.queue.asks) == 1


async def test_a_question_of_another_channel_is_asked_where_it_is_asked_again(desk: Desk) -> None:
    asked = await desk.thread()
    assert (await again(desk, AskAgain(run=asked.id, chosen=True), where=DIRECT)).ask.where == DIRECT


# --- stop -----------------------------------------------------------------------------------------------


async def end(desk: Desk, run: Run, **fields: object) -> None:
    await desk.history.update_run(run.model_copy(update={"status": RunStatus.DONE, **fields}))


async def stopped(desk: Desk, run: Run) -> str:
    return await asyncio.wait_for(desk.stops.requested(run.id), timeout=5)


async def test_a_run_is_stopped_by_its_button_and_whoever_works_on_it_is_told(desk: Desk) -> None:
    run = await desk.ask()
    assert await desk.say(StopCommand(run=run.id)) == "Stopping “Is it so?” (`run0`)."
    assert await stopped(desk, run) == "Stopped by Ann."


async def test_a_run_whose_worker_is_gone_without_a_word_ends_all_the_same(desk: Desk) -> None:
    run = await desk.ask()
    await desk.history.update_run(run.model_copy(update={"status": RunStatus.RUNNING}))
    await desk.say(StopCommand(run=run.id))
    async with asyncio.timeout(5):
        told = [event async for event in desk.office.events.follow(run.id)]
    ended = await desk.history.run(run.id)
    assert ended
    assert (ended.status, ended.error) == (RunStatus.CANCELLED, f"Stopped by Ann. 0 of {len(run.panel)} had answered.")
    assert told == [RunEnded(status=RunStatus.CANCELLED, error=ended.error)]


async def test_who_is_at_work_on_a_run_ends_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.service.stopping.LOOKS", (0, 0.01, 10))
    run = await desk.ask()

    async def work() -> None:
        reason = await desk.stops.requested(run.id)
        await end(desk, run, status=RunStatus.CANCELLED, error=f"{reason} As the worker says.")

    working = asyncio.create_task(work())
    async with asyncio.timeout(15):
        await desk.say(StopCommand(run=run.id))
    await working
    ended = await desk.history.run(run.id)
    assert ended
    assert ended.error == "Stopped by Ann. As the worker says."


async def test_without_a_name_the_nearest_latest_run_is_stopped(desk: Desk) -> None:
    assert await desk.say(StopCommand()) == "Nothing of yours is running here."
    runs: dict[str, Run] = {}
    for name, where in [("thread", THREAD), ("channel", CHANNEL), ("elsewhere", ELSEWHERE)]:
        for nth in ("first", "second"):
            desk.now += timedelta(minutes=1)
            runs[f"{name} {nth}"] = await desk.ask(where=where)
    await desk.ask(BOB, THREAD)
    for where, expected in [(THREAD, "thread second"), (CHANNEL, "channel second"), (ELSEWHERE, "elsewhere second")]:
        assert f"`{runs[expected].id}`" in await desk.say(StopCommand(), where=where)
    for name in ("thread second", "channel second"):
        await end(desk, runs[name])
    assert f"`{runs['thread first'].id}`" in await desk.say(StopCommand(), where=THREAD)
    for name in ("thread first", "channel first"):
        await end(desk, runs[name])
    assert f"`{runs['elsewhere first'].id}`" in await desk.say(StopCommand(), where=THREAD)


async def test_of_a_place_what_has_its_answer_is_stopped_last(desk: Desk) -> None:
    thinking = await desk.ask()
    desk.now += timedelta(minutes=1)
    drawing = await desk.ask()
    verdict = Verdict(source=VerdictSource.ONLY, judge=drawing.panel[0], synthesis="Yes.")
    round_ = Round(number=1, outcomes=(), verdict=verdict)
    await desk.history.update_run(drawing.model_copy(update={"rounds": (round_,), "answered_at": desk.now}))
    assert f"`{thinking.id}`" in await desk.say(StopCommand())
    await end(desk, thinking)
    assert "has its answer already" in await desk.say(StopCommand())


async def test_what_is_over_is_not_stopped(desk: Desk) -> None:
    run = await desk.ask()
    drawing = run.model_copy(update={"status": RunStatus.RUNNING, "answered_at": desk.now})
    await desk.history.update_run(drawing)
    assert "has its answer already" in await desk.say(StopCommand(run=run.id))
    await end(desk, run)
    assert "is over already" in await desk.say(StopCommand(run=run.id))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(desk.stops.requested(run.id), timeout=0.05)


async def test_only_who_asked_or_an_administrator_stops_a_run(desk: Desk) -> None:
    run, secret = await desk.ask(), await desk.ask(where=DIRECT)
    with pytest.raises(NotAllowed, match="Only who asked"):
        await desk.do(StopCommand(run=run.id), BOB)
    for hidden in (secret.id, "ghost"):
        with pytest.raises(NotFound, match=f"no run `{hidden}` that you can see here"):
            await desk.do(StopCommand(run=hidden), BOB)
    assert "Stopping" in await desk.say(StopCommand(run=run.id), BOB, manages=True)
    assert await stopped(desk, run) == "Stopped by Bob."
    subject = Subject(kind="user", id=BOB.id)
    await desk.governance.add_rule(CHANNEL, Rule(effect="allow", right="admin", subject=subject), ANN)
    assert "Stopping" in await desk.say(StopCommand(run=secret.id), BOB)
    other = CHANNEL.model_copy(update={"workspace": "T2"})
    with pytest.raises(NotFound):
        await desk.do(StopCommand(run=run.id), BOB, other, manages=True)
