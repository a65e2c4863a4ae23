"""Walks from a question to its answer, and what people do with that."""

from __future__ import annotations

from tests.core.pdfs import pdf
from tests.e2e.walks.catalogue import walk
from tests.e2e.walks.hand import Hand, run_id

QUESTION = "Should remote work be the default?"

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cf50000003860180ee1e7dd50000000049454e44ae426082"
)


@walk("/ask", "AskCommand", "ShowAnswers", "ShowDissent", "tap:answers", "tap:dissent")
async def ask_and_look_behind_the_answer(hand: Hand) -> None:
    place = await hand.ask(QUESTION)
    answer = await hand.answer(place)
    assert "2 of 3 agree" in answer.text
    behind = await (await hand.tap(answer, "answers", by=hand.ben)).told()
    assert "pragmatist" in behind.text
    assert "disagrees" in (await (await hand.tap(answer, "dissent")).told()).text
    assert len(hand.answers(place)) == 1


@walk("Resize", "tap:resize")
async def an_answer_is_made_longer_and_shorter(hand: Hand) -> None:
    place = await hand.ask(QUESTION, consortium="long")
    answer = await hand.answer(place)
    short = len(answer.text)
    await hand.tap(answer, "Longer", by=hand.ben)
    whole = await hand.wait(lambda: [shown for shown in hand.shown(place) if "Shorter" in shown.actions])
    assert sum(len(shown.text) for shown in hand.shown(place)) > short
    await hand.tap(whole[-1], "Shorter")
    await hand.wait(lambda: len(hand.shown(place)) == 1 and "Longer" in hand.shown(place)[0].actions)


@walk("ShowCharts", "tap:charts")
async def charts_come_with_the_answer_and_all_when_asked_for(hand: Hand) -> None:
    place = await hand.ask(QUESTION, charts=True)
    answer = await hand.answer(place)
    await hand.wait(lambda: [file for shown in hand.shown(place) for file in shown.files], 40)
    told = await (await hand.tap(answer, "charts")).told()
    assert "harts" in told.text
    files = {*told.files, *(file for shown in hand.shown(place) for file in shown.files)}
    assert len(files) > 2


@walk("by:mention", "by:follow-up")
async def a_mention_is_answered_and_gone_on_from(hand: Hand) -> None:
    place = await hand.mention("Should tabs be the default?")
    await hand.answer(place)
    await hand.say(place, "And for nurses?", by=hand.ben)
    second = await hand.answer(place, 2)
    everybody = await hand.core.history.run(run_id(second))
    assert everybody
    assert everybody.ask.asker.id == hand.id_of(hand.ben)
    assert {outcome.member.id for outcome in everybody.rounds[-1].outcomes} == {"pragmatist", "optimist", "skeptic"}
    await hand.say(place, "ask skeptic: why not?")
    one = await hand.core.history.run(run_id(await hand.answer(place, 3)))
    assert one
    assert [outcome.member.id for outcome in one.rounds[-1].outcomes] == ["skeptic"]
    assert one.ask.text == "why not?"


@walk("by:direct message")
async def direct_messages_are_for_their_writer_alone(hand: Hand) -> None:
    place = await hand.direct(QUESTION)
    await hand.answer(place)
    run = await hand.run_of(place)
    assert run.ask.where.private
    await hand.say(place, "And at night?")
    await hand.answer(place, 2)
    assert not [text for text in hand.told_all() if run.id in text]
    assert run.id not in await hand.said("history")


@walk("by:attachment")
async def files_come_along(hand: Hand) -> None:
    hand.did.add("by:attachment")
    files = (("notes.txt", b"Rent is 900."), ("plan.pdf", pdf("Profit was 7 last year.")), ("dot.png", PIXEL))
    place = await hand.mention("What do these say?", files=files)
    run = await hand.run_of(place)
    assert [(a.name, a.kind) for a in run.ask.attachments] == [
        ("notes.txt", "text"), ("plan.pdf", "text"), ("dot.png", "image")
    ]  # fmt: skip
    materials = await hand.core.history.materials(run.id)
    assert "Profit was 7" in str(materials[1])


@walk("StopCommand", "tap:stop")
async def a_run_is_stopped_by_its_button(hand: Hand) -> None:
    place = await hand.ask("Why wait?", consortium="held")
    [going] = await hand.wait(lambda: hand.running(place))
    run = going.actions["Stop"].partition(":")[2]
    refused = await (await hand.tap(going, "stop", by=hand.ben)).told()
    assert "Only who asked can stop" in refused.text
    assert "Stopping" in (await (await hand.tap(going, "stop")).told()).text
    await hand.wait(lambda: not hand.running(place))
    stored = await hand.core.history.run(run)
    assert stored
    assert stored.verdict is None


@walk("/stop", "StopCommand")
async def a_run_is_stopped_by_command(hand: Hand) -> None:
    place = await hand.ask("Why wait?", consortium="held")
    await hand.wait(lambda: hand.running(place))
    assert "Nothing of yours is running" in await hand.said("stop", by=hand.ben)
    assert "Stopping" in await hand.said("stop")
    await hand.wait(lambda: not hand.running(place) and "topped" in hand.shown(place)[-1].text)


@walk("Feedback", "FeedbackReason", "tap:feedback", "form:reason")
async def answers_are_rated(hand: Hand) -> None:
    answer = await hand.answer(await hand.asked(QUESTION))
    assert "Thank you" in (await (await hand.tap(answer, "Good answer")).told()).text
    form = await (await hand.tap(answer, "Bad answer", by=hand.ben)).form()
    thanks = await (await hand.fill(form, {"reason": "It forgets nurses."})).told()
    assert "your reason is stored" in thanks.text
    opinions = await hand.core.office.lessons.opinions(run_id(answer))
    assert {(opinion.good, opinion.reason) for opinion in opinions} == {(True, None), (False, "It forgets nurses.")}


@walk("AskAgain", "tap:again", "form:again")
async def a_question_is_asked_again_otherwise(hand: Hand) -> None:
    place = await hand.asked(QUESTION)
    form = await (await hand.tap(await hand.answer(place), "again", by=hand.ben)).form()
    await hand.fill(form, {"strategy": "council"})
    second = await hand.answer(place, 2)
    assert "strategy council" in second.text


@walk("/examples", "ExamplesCommand", "AskExample", "tap:example")
async def examples_are_asked_by_a_tap(hand: Hand) -> None:
    shown = await (await hand.use("examples", domain="science")).told()
    before = hand.places()
    await hand.tap(shown, "example")
    place = await hand.new_place(before)
    run = await hand.run_of(place)
    assert run.ask.domain == "science"


@walk("by:menu of a message")
async def a_message_is_asked_about(hand: Hand) -> None:
    form = await (await hand.ask_about("We ship on Friday, whatever happens.")).form()
    before = hand.places()
    await hand.fill(form, {"question" if hand.platform == "slack" else "text": "Is it wise that we ship on Friday?"})
    run = await hand.run_of(await hand.new_place(before))
    assert "Is it wise" in run.ask.text


@walk("/budget", "SetConfirmation", "Confirm", "Discard", "tap:confirm", "tap:discard")
async def what_may_be_dear_is_asked_for_twice(hand: Hand) -> None:
    assert "1 token" in await hand.said("budget confirm", by=hand.boss, amount="1 tokens")
    held = await (await hand.use("ask", question=QUESTION, consortium="rubbish")).told()
    assert "Please confirm" in held.text
    assert "not asked" in (await (await hand.tap(held, "discard")).told()).text
    gone = await (await hand.tap(held, "confirm")).told()
    assert "nothing to confirm" in gone.text
    held = await (await hand.use("ask", question=QUESTION, consortium="rubbish")).told()
    before = hand.places()
    await hand.tap(held, "confirm")
    await hand.answer(await hand.new_place(before))
    await hand.said("budget confirm", by=hand.boss, amount="off")


@walk("by:restart")
async def buttons_and_threads_outlive_the_process(hand: Hand) -> None:
    place = await hand.asked(QUESTION)
    listed = await (await hand.use("history")).told()
    form = await (await hand.use("settings")).form()
    await hand.restart()
    answer = await hand.answer(place)
    assert "pragmatist" in (await (await hand.tap(answer, "answers")).told()).text
    assert QUESTION in (await (await hand.tap(listed, "show")).told()).text
    assert "council" in (await (await hand.fill(form, {"consortium": "council"})).told()).text
    again = await (await hand.tap(answer, "again")).form()
    await hand.fill(again, {"strategy": "voting"})
    await hand.answer(place, 2)
    await hand.say(place, "And at night?")
    await hand.answer(place, 3)
