"""What is on record."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from core.asks import Person, ThreadRef
from core.cards import Button, Redraw, Reply
from core.commands import actions
from core.commands.grammar import parse
from core.commands.values import (
    AuditCommand,
    DeleteRun,
    ExportCommand,
    Feedback,
    FeedbackReason,
    ForgetMe,
    HistoryCommand,
    Resize,
    SetDomain,
    ShowAnswers,
    ShowCharts,
    ShowCommand,
    ShowDissent,
    StopCommand,
)
from core.errors import BadInput, NotAllowed, NotFound
from core.service.records import PAGE
from core.stores import Session
from core.types import TITLES, Bill, Chart, Run, RunStatus
from tests.core.fakes import FakeAnalyst, Step, make_engine, panel_models, verdict
from tests.core.service.conftest import ANN, BOB, CHANNEL, DIRECT, Desk, inbound

ELSEWHERE = CHANNEL.model_copy(update={"channel": "C2"})
BOSS: dict[str, Any] = {"manages": True}


async def answered(desk: Desk, by: Person = ANN, where: ThreadRef = CHANNEL, **ask: Any) -> Run:
    """A run that was asked, run and recorded."""
    run = await desk.ask(by, where, **ask)
    engine = make_engine(desk.office.catalog, panel_models(j=Step(verdict("It is so."))))
    run = await engine.run(run, (), lambda _: None)
    for round_ in run.rounds:
        for outcome in round_.outcomes:
            await desk.history.record_outcome(run.id, round_.number, outcome)
        await desk.history.record_round(run.id, round_)
    run = run.model_copy(update={"status": RunStatus.DONE, "ended_at": desk.now, "answered_at": desk.now})
    await desk.history.update_run(run)
    return run


def button(reply: Reply, label: str) -> Button:
    return next(button for row in reply.buttons for button in row if button.label == label)


def labels(reply: Reply) -> list[list[str]]:
    return [[button.label for button in row] for row in reply.buttons]


# --- history --------------------------------------------------------------------------------------------


async def test_history_has_pages_and_is_ones_own(desk: Desk) -> None:
    assert "You have not asked anything yet. Write `/consortium ask`" in await desk.say(HistoryCommand())
    for n in range(PAGE + 1):
        await desk.ask(text=f"Question {n}?")
    first, second = await desk.say(HistoryCommand()), await desk.say(HistoryCommand(page=2))
    assert first.count("Question") == PAGE
    assert "Older ones: `/consortium history 2`" in first
    assert second.count("Question") == 1
    assert "Older" not in second
    assert await desk.say(HistoryCommand(page=3)) == "There is no page 3 in your history."
    assert "not asked anything" in await desk.say(HistoryCommand(), BOB)


async def test_what_was_asked_in_private_is_not_listed_in_public(desk: Desk) -> None:
    direct = CHANNEL.model_copy(update={"channel": "D1", "private": True})
    await desk.ask(where=direct, text="Secret?")
    assert "Secret" not in await desk.say(HistoryCommand())
    assert "Secret" in await desk.say(HistoryCommand(), ANN, direct)


async def test_history_opens_runs_and_turns_pages_by_buttons(desk: Desk) -> None:
    runs = [await desk.ask(text=f"Question {n}?") for n in range(PAGE + 2)]
    first = await desk.reply(HistoryCommand())
    assert labels(first) == [["1", "2", "3", "4", "5"], ["6", "7", "8", "9", "10"], ["Older"]]
    shown = actions.decode(button(first, "1").action)
    assert isinstance(shown, ShowCommand)
    assert shown.what in {run.id for run in runs}
    second = await desk.service.press(button(first, "Older").action, inbound())
    assert isinstance(second, Reply)
    assert labels(second) == [["11", "12"], ["Newer"]]
    assert "11. **Question" in second.text
    assert await desk.service.press(button(second, "Newer").action, inbound()) == first


async def test_history_is_searched(desk: Desk) -> None:
    for n in range(PAGE + 1):
        await desk.ask(text=f"Is tea {n} good?")
    await desk.ask(text="Is coffee good?")
    tea = await desk.reply(parse("history tea"))
    assert tea.text.startswith('**Your questions with "tea"**')
    assert "coffee" not in tea.text
    assert "Older ones: `/consortium history tea 2`" in tea.text
    assert actions.decode(button(tea, "Older").action) == HistoryCommand(page=2, search="tea")
    assert '"milk" in it' in await desk.say(HistoryCommand(search="milk"))


async def test_a_search_too_long_for_a_button_is_turned_by_what_is_written(desk: Desk) -> None:
    words = "much better than anything that anybody could ever have asked before in all these many years of asking it"
    for _ in range(PAGE + 1):
        await desk.ask(text=f"Is it {words}?")
    found = await desk.reply(HistoryCommand(search=words))
    assert len(labels(found)) == 2, "no button turns the page"
    assert f"Older ones: `/consortium history {words} 2`" in found.text


# --- one run --------------------------------------------------------------------------------------------


async def test_a_run_is_shown_as_it_was_answered(desk: Desk) -> None:
    run = await answered(desk)
    reply = await desk.reply(ShowCommand(what=run.id))
    assert reply.text.startswith("> Is it so?\n\n**")
    assert "It is so." in reply.text
    flat = [label for row in labels(reply) for label in row]
    assert {"Answers", "Dissent", "Ask again", "Good answer", "Bad answer", "Delete"} <= set(flat)
    assert not {"Longer", "Shorter"} & set(flat), "it is shown whole, and drawn anew nowhere"
    others = await desk.reply(ShowCommand(what=f"`{run.id}`"), BOB)
    assert "Delete" not in [label for row in labels(others) for label in row]


async def test_a_run_that_goes_on_can_be_stopped_and_one_that_failed_says_why(desk: Desk) -> None:
    run = await desk.ask()
    going = await desk.reply(ShowCommand(what=run.id))
    assert "still running" in going.text
    assert actions.decode(button(going, "Stop").action) == StopCommand(run=run.id)
    failed = {"status": RunStatus.FAILED, "error": "Nobody answered.", "ended_at": desk.now}
    await desk.history.update_run(run.model_copy(update=failed))
    assert "Nobody answered." in await desk.say(ShowCommand(what=run.id))


async def test_what_was_stopped_in_a_later_round_has_no_answer(desk: Desk) -> None:
    run = await answered(desk)
    stopped = {"status": RunStatus.CANCELLED, "answered_at": None, "error": "Stopped by Ann. 3 of 3 had answered."}
    await desk.history.update_run(run.model_copy(update=stopped))
    shown = await desk.reply(ShowCommand(what=run.id))
    assert "**Stopped · 4 of 4 had answered" in shown.text
    assert "It is so." not in shown.text
    assert "It is so." not in await desk.say(HistoryCommand())
    for command in (ShowDissent(run=run.id), Resize(run=run.id, long=True)):
        with pytest.raises(NotFound, match="has no answer"):
            await desk.do(command)
    with pytest.raises(BadInput, match="has no answer"):
        await desk.do(Feedback(run=run.id, good=True))
    going = {"status": RunStatus.RUNNING, "answered_at": None}
    await desk.history.update_run(run.model_copy(update=going))
    assert "still running" in await desk.say(ShowCommand(what=run.id))


async def test_what_somebody_may_not_see_is_not_there(desk: Desk) -> None:
    secret = await answered(desk, where=DIRECT, text="A secret?")
    public = await answered(desk, where=ELSEWHERE)
    assert "A secret?" in await desk.say(ShowCommand(what=secret.id), where=DIRECT)
    for run in (secret, public):
        with pytest.raises(NotFound, match="There is no run and no consortium"):
            await desk.say(ShowCommand(what=run.id), BOB)
    for command in (
        ShowAnswers(run=secret.id),
        ShowDissent(run=secret.id),
        ShowCharts(run=secret.id),
        Resize(run=secret.id, long=True),
        Feedback(run=secret.id, good=True),
        FeedbackReason(run=secret.id, reason="x"),
        DeleteRun(run=secret.id, confirmed=True),
    ):
        with pytest.raises(NotFound, match=f"There is no run `{secret.id}`"):
            await desk.do(command, BOB, DIRECT)
    assert await desk.history.lessons.opinions(secret.id) == ()
    assert "It is so." in await desk.say(ShowCommand(what=public.id), BOB, ELSEWHERE)


async def test_answers_and_dissent_are_shown_of_what_was_answered(desk: Desk) -> None:
    run = await answered(desk)
    text = await desk.say(ShowAnswers(run=run.id))
    for member in ("a 1", "a 2", "b", "c"):
        assert f"**{member}**" in text
        assert f"{member[0]} says yes." in text
    assert await desk.say(ShowDissent(run=run.id))
    pending = await desk.ask()
    for command in (ShowDissent(run=pending.id), ShowCharts(run=pending.id), Resize(run=pending.id, long=True)):
        with pytest.raises(NotFound, match=f"Run `{pending.id}` is still running"):
            await desk.do(command)


async def test_the_answer_is_drawn_anew_long_or_short(desk: Desk) -> None:
    run = await answered(desk)
    for long in (True, False):
        redraw = await desk.do(Resize(run=run.id, long=long), BOB)
        assert redraw == Redraw(run=await desk.history.run(run.id), long=long)  # type: ignore[arg-type]


async def test_every_kind_of_chart_is_shown_those_on_record_as_they_are(desk: Desk) -> None:
    run = await answered(desk)
    analyst = desk.office.analyst
    assert isinstance(analyst, FakeAnalyst)
    drawn = await desk.reply(ShowCharts(run=run.id))
    assert [chart.kind for chart in drawn.pictures] == list(TITLES)
    assert drawn.key == f"charts-{run.id}"
    study = await analyst.study(run.answers, run.panel, charts=True)
    await desk.history.record_study(run.id, study)
    pictures = (await desk.reply(ShowCharts(run=run.id), BOB)).pictures
    assert pictures[0] == study.charts[0] != drawn.pictures[0]
    assert [chart.kind for chart in pictures] == list(TITLES)
    assert all(isinstance(chart, Chart) for chart in pictures)


async def test_one_answer_has_nothing_to_be_compared_with(desk: Desk) -> None:
    run = await answered(desk, models=("b",))
    reply = await desk.reply(ShowCharts(run=run.id))
    assert "nothing to compare" in reply.text
    assert reply.pictures == ()


# --- feedback -------------------------------------------------------------------------------------------


async def test_a_good_answer_is_noted_with_how_many_think_so(desk: Desk) -> None:
    run = await answered(desk)
    assert await desk.say(Feedback(run=run.id, good=True)) == ("Thank you. So far you alone have said something: good.")
    assert await desk.say(Feedback(run=run.id, good=True), BOB) == (
        "Thank you. 2 of the 2 who said something found this answer good."
    )


async def test_a_bad_answer_is_noted_at_once_and_the_reason_asked(desk: Desk) -> None:
    run = await answered(desk)
    form = await desk.form(Feedback(run=run.id, good=False))
    (opinion,) = await desk.history.lessons.opinions(run.id)
    assert (opinion.person, opinion.good, opinion.reason) == (ANN.id, False, None)
    assert len(form.title) <= 24
    reply = await desk.service.submit(form.action, {"reason": ("  It is wrong.\n",)}, inbound())
    assert isinstance(reply, Reply)
    assert reply.text.startswith("Thank you, your reason is stored.")
    (opinion,) = await desk.history.lessons.opinions(run.id)
    assert (opinion.good, opinion.reason) == (False, "It is wrong.")
    await desk.do(Feedback(run=run.id, good=True))
    (opinion,) = await desk.history.lessons.opinions(run.id)
    assert (opinion.good, opinion.reason) == (True, None)


async def test_what_has_no_answer_is_neither_good_nor_bad(desk: Desk) -> None:
    run = await desk.ask()
    with pytest.raises(BadInput, match="is still running"):
        await desk.do(Feedback(run=run.id, good=True))
    assert await desk.history.lessons.opinions(run.id) == ()


# --- deleting -------------------------------------------------------------------------------------------


async def test_a_run_is_deleted_once_that_is_confirmed(desk: Desk) -> None:
    run = await answered(desk)
    asked = await desk.reply(DeleteRun(run=run.id))
    assert "“Is it so?”" in asked.text
    assert await desk.history.run(run.id)
    done = await desk.service.press(button(asked, "Delete it").action, inbound())
    assert isinstance(done, Reply)
    assert done.text.startswith(f"Run `{run.id}` is deleted.")
    assert await desk.history.run(run.id) is None
    with pytest.raises(NotFound, match=f"There is no run `{run.id}` of yours"):
        await desk.do(DeleteRun(run=run.id, confirmed=True))
    assert "Nothing has been changed" in await desk.say(AuditCommand(), **BOSS)


async def test_what_others_asked_is_deleted_by_administrators_alone_and_that_is_on_record(desk: Desk) -> None:
    run, secret = await answered(desk), await answered(desk, where=DIRECT, text="A secret?")
    with pytest.raises(NotAllowed, match="Only administrators"):
        await desk.do(DeleteRun(run=run.id, confirmed=True), BOB)
    other_workspace = CHANNEL.model_copy(update={"workspace": "T2"})
    with pytest.raises(NotFound):
        await desk.do(DeleteRun(run=run.id, confirmed=True), BOB, other_workspace, **BOSS)
    asked = await desk.say(DeleteRun(run=secret.id), BOB, **BOSS)
    assert "of Ann" in asked
    assert "A secret" not in asked
    for gone in (run, secret):
        await desk.do(DeleteRun(run=gone.id, confirmed=True), BOB, **BOSS)
        assert await desk.history.run(gone.id) is None
        assert f"delete: run {gone.id} of Ann" in await desk.say(AuditCommand(), **BOSS)


async def test_a_run_that_goes_on_is_stopped_before_it_is_deleted(desk: Desk) -> None:
    run = await desk.ask()
    reasons: list[str] = []

    async def work() -> None:
        reasons.append(await desk.office.stops.requested(run.id))
        assert await desk.history.run(run.id), "it is still there to be ended"
        ended = {"status": RunStatus.CANCELLED, "ended_at": desk.now}
        await desk.history.update_run(run.model_copy(update=ended))

    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        await desk.do(DeleteRun(run=run.id, confirmed=True))
    assert reasons == ["Deleted by Ann."]
    assert await desk.history.run(run.id) is None


async def test_a_run_that_nobody_works_on_is_deleted_all_the_same(desk: Desk) -> None:
    run = await desk.ask()
    await desk.do(DeleteRun(run=run.id, confirmed=True))
    assert await desk.history.run(run.id) is None
    assert await asyncio.wait_for(desk.office.stops.requested(run.id), 2) == "Deleted by Ann."


async def test_everything_of_ones_own_is_exported_readably(desk: Desk) -> None:
    assert (await desk.reply(ExportCommand())).download is None
    public, secret = await answered(desk, text="Ist Käse gut?"), await answered(desk, where=DIRECT, text="Secret?")
    failed = await desk.ask()
    gone = {"status": RunStatus.FAILED, "error": "Nobody answered.", "ended_at": desk.now}
    await desk.history.update_run(failed.model_copy(update=gone))
    await answered(desk, BOB, text="Of Bob?")
    await answered(desk, where=CHANNEL.model_copy(update={"workspace": "T2"}), text="Of another workspace?")
    reply = await desk.reply(ExportCommand())
    assert reply.text.startswith("Your 3 runs of this workspace, as JSON")
    assert reply.download
    assert (reply.download.filename, reply.download.media_type) == (
        "consortium-export-2026-03-01.json",
        "application/json",
    )
    text = reply.download.data.decode()
    assert "Ist Käse gut?" in text, "letters are written as they are"
    whole = json.loads(text)
    by_id = {run["id"]: run for run in whole["runs"]}
    assert list(by_id) == [public.id, secret.id, failed.id]
    run = by_id[public.id]
    assert (run["question"], run["answer"], run["status"]) == ("Ist Käse gut?", "It is so.", "done")
    assert [answer["text"] for answer in run["rounds"][0]["answers"]] == [
        "a says yes.",
        "a says yes.",
        "b says yes.",
        "c says yes.",
    ]
    assert run["verdict"]["judge"]["id"] == "j"
    assert run["bill"] == public.bill.model_dump()
    assert run["asked_at"] == public.created_at.isoformat()
    assert by_id[failed.id]["error"] == "Nobody answered."
    assert whole["person"] == {"id": ANN.id, "name": ANN.name}


async def test_everything_of_ones_own_is_deleted_once_that_is_confirmed(desk: Desk) -> None:
    mine = [await answered(desk), await answered(desk, where=DIRECT), await answered(desk, where=ELSEWHERE)]
    bobs = await answered(desk, BOB)
    other = await answered(desk, where=CHANNEL.model_copy(update={"workspace": "T2"}))
    await desk.governance.settle(mine[0].id, Bill(calls=1, prompt_tokens=70))
    spent = await desk.governance.spending(CHANNEL, ANN, desk.now)
    assert spent.at("user", "day").tokens
    await desk.do(Feedback(run=bobs.id, good=True))
    for where in (CHANNEL, ELSEWHERE):
        await desk.do(SetDomain(name="law"), where=where)
    await desk.do(SetDomain(name="law"), BOB)
    asked = await desk.reply(ForgetMe())
    assert "That is 3 runs" in asked.text
    assert labels(asked) == [["Delete it all", "Export it first"]]
    assert await desk.history.run(mine[0].id)
    done = await desk.service.press(button(asked, "Delete it all").action, inbound())
    assert isinstance(done, Reply)
    assert done.text.startswith("Everything of yours in this workspace is deleted: 3 runs, and your settings.")
    assert "What remains: how much was used" in done.text
    assert [await desk.history.run(run.id) for run in mine] == [None] * 3
    assert await desk.history.lessons.opinions(bobs.id) == ()
    assert [await desk.sessions.load(ANN, where) for where in (CHANNEL, ELSEWHERE)] == [Session(), Session()]
    assert (await desk.sessions.load(BOB, CHANNEL)).domain == "law"
    assert await desk.history.run(bobs.id)
    assert await desk.history.run(other.id)
    assert await desk.governance.spending(CHANNEL, ANN, desk.now) == spent, "budgets still hold"
    assert "That is 0 runs" in await desk.say(ForgetMe())
