"""Walks through what people tap and fill in: buttons, forms, shortcuts, the home."""

from __future__ import annotations

import pytest

from core.commands import actions, values
from tests.e2e.slack.stage import (
    Stage,
    buttons,
    shown,
)
from tests.emulators.slack import Ephemeral, View

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(120)]

QUESTION = "Should remote work be the default?"


async def opened(stage: Stage, count: int = 1) -> View:
    """The latest modal, once there were so many."""
    await stage.slack.wait_for(lambda: len(stage.slack.views) >= count)
    return stage.slack.views[-1]


def last_told(stage: Stage) -> Ephemeral:
    return stage.slack.ephemerals[-1]


# --- below an answer --------------------------------------------------------------------------------------


async def test_what_stands_behind_an_answer_is_for_those_who_ask_for_it(either: Stage) -> None:
    slack = either.slack
    root = await either.ask(QUESTION)
    answer = await either.answer(root.ts)
    found = buttons(answer)
    await slack.click(slack.channel, answer.ts, found["Answers"], user=slack.other_user)
    assert "pragmatist" in await either.told()
    assert (last_told(either).user, last_told(either).thread_ts) == (slack.other_user, root.ts)
    await slack.click(slack.channel, answer.ts, found["Dissent"])
    assert "skeptic (simulated) disagrees with the answer" in await either.told(2)
    await either.idle()
    assert len(either.replies(root.ts)) == 1
    assert max(ack.latency for ack in slack.acks) < 1


async def test_all_charts_come_into_the_thread_once(stage: Stage) -> None:
    slack = stage.slack
    root = await stage.ask(QUESTION, options="")
    answer = await stage.answer(root.ts)
    await stage.charts(root.ts)
    await stage.idle()
    await slack.click(slack.channel, answer.ts, buttons(answer)["Charts"])
    await stage.told(timeout=50)
    await stage.idle()
    names = [file.name for message in stage.replies(root.ts) for file in message.files]
    assert len(names) == len(set(names)) > 2
    await slack.click(slack.channel, answer.ts, buttons(answer)["Charts"])
    assert "stand in this thread already" in await stage.told(2, timeout=50)
    await stage.idle()
    assert [file.name for message in stage.replies(root.ts) for file in message.files] == names


async def test_an_answer_is_rated_and_a_bad_one_asked_about(stage: Stage) -> None:
    slack = stage.slack
    root = await stage.ask(QUESTION)
    answer = await stage.answer(root.ts)
    [feedback] = [block["elements"][0] for block in answer.blocks if block["type"] == "context_actions"]
    await slack.click(slack.channel, answer.ts, "feedback", value=feedback["positive_button"]["value"])
    await stage.told()
    await slack.click(slack.channel, answer.ts, "feedback", value=feedback["negative_button"]["value"])
    form = await opened(stage)
    await slack.submit_view(form, {"reason": "It forgets those who cannot work from home."})
    await stage.told(2)
    await stage.idle()
    run_id = answer.metadata["event_payload"]["run_id"] if answer.metadata else ""
    [opinion] = await stage.core.history.lessons.opinions(run_id)  # type: ignore[attr-defined]
    assert (opinion.person, opinion.good) == (slack.user, False)
    assert "cannot work from home" in (opinion.reason or "")


async def test_the_question_is_asked_again_in_the_thread(stage: Stage) -> None:
    slack = stage.slack
    root = await stage.ask(QUESTION)
    answer = await stage.answer(root.ts)
    await slack.click(slack.channel, answer.ts, buttons(answer)["Ask again"])
    form = await opened(stage)
    await slack.submit_view(form, {"strategy": "council"}, user=slack.user)
    second = await stage.answer(root.ts, count=2)
    assert "strategy council" in shown(second)
    await stage.idle()
    quoted = [m for m in stage.replies(root.ts) if m.text.startswith(f"<@{slack.user}> asks:")]
    assert len(quoted) == 1, "who asks what once more is said in the thread"


async def test_a_run_can_be_stopped_while_it_goes_on(stage: Stage) -> None:
    slack = stage.slack
    root = await stage.ask(QUESTION, options="--no-charts --consortium slow")
    [progress] = await slack.wait_for(lambda: stage.replies(root.ts))
    run_id = root.metadata["event_payload"]["run_id"] if root.metadata else ""
    await slack.click(slack.channel, progress.ts, actions.encode(values.StopCommand(run=run_id)))
    await stage.told(2)
    await stage.idle()
    assert stage.answers(root.ts) == []
    [left] = stage.replies(root.ts)
    assert not left.streaming
    assert buttons(left) == {}


async def test_slacks_own_stop_ends_the_run_of_its_thread(stage: Stage) -> None:
    slack = stage.slack
    asked = await slack.say("ask --no-charts --consortium slow Why wait?", channel_type="im")
    [progress] = await slack.wait_for(lambda: stage.replies(asked, slack.dm))
    assert slack.status(slack.dm, asked) == "processing"
    await slack.stop_stream(slack.dm, progress.ts)
    await slack.wait_for(lambda: "Stopped" in shown(stage.replies(asked, slack.dm)[0]))
    await stage.idle()
    assert "Stopped" in shown(stage.replies(asked, slack.dm)[0])
    assert slack.status(slack.dm, asked) == "active"
    assert slack.titles[slack.dm, asked] == "Why wait?"


async def test_a_button_of_another_version_says_so(stage: Stage) -> None:
    slack = stage.slack
    button = {"type": "button", "action_id": "x", "value": "nosuch:1", "text": {"type": "plain_text", "text": "X"}}
    blocks = [{"type": "actions", "elements": [button]}]
    message = await stage.surface._app.client.chat_postMessage(  # type: ignore[union-attr]
        token=slack.bot_token, channel=slack.channel, text="old", blocks=blocks
    )
    await slack.click(slack.channel, message["ts"], "x")
    assert "another version" in await stage.told()
    await stage.idle()


# --- forms ------------------------------------------------------------------------------------------------


async def test_settings_are_a_form_that_holds(either: Stage) -> None:
    slack = either.slack
    await slack.command("/consortium settings", user=slack.other_user)
    form = await opened(either)
    assert len(form.body["title"]["text"]) <= 24
    await slack.submit_view(form, {"consortium": "council"})
    assert slack.modals(slack.other_user) == []
    assert "council" in await either.told()
    await slack.command("/consortium settings", user=slack.other_user)
    form = await opened(either, 2)
    chosen = form.state["consortium"]["consortium"]["selected_option"]
    assert chosen is not None
    assert chosen["value"] == "council"
    await either.idle()


async def test_a_form_says_what_is_wrong_by_its_input(stage: Stage) -> None:
    slack = stage.slack
    await slack.command("/consortium save")
    form = await opened(stage)
    options = form.body["blocks"]
    members = next(b for b in options if b["block_id"] == "members")["element"]
    picked = [option["value"] for option in members["options"][:2]] if "options" in members else "pragmatist"
    await slack.submit_view(form, {"name": "two words here", "members": picked})
    assert slack.modals() == [form]
    assert "name" in form.errors
    await slack.submit_view(form, {"name": "pair"})
    assert slack.modals() == []
    assert "pair" in await stage.told()
    await stage.idle()


async def test_where_there_is_no_trigger_a_button_opens_the_form(stage: Stage) -> None:
    slack = stage.slack
    await slack.say("settings", channel_type="im")
    [offer] = await slack.wait_for(lambda: [m for m in slack.messages(slack.dm, by_bot=True) if buttons(m)])
    await slack.click(slack.dm, offer.ts, buttons(offer)["Open the form"])
    await slack.submit_view(await opened(stage), {})
    theirs = await slack.say("settings", mention=True)
    await slack.wait_for(lambda: slack.ephemerals)
    shown_once = last_told(stage)
    await slack.click(slack.channel, shown_once.ts, buttons(shown_once)["Open the form"])
    await opened(stage, 2)
    await stage.idle()
    assert stage.replies(theirs) == []


async def test_a_slow_form_is_closed_and_can_be_opened_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    slack = stage.slack
    monkeypatch.setattr("adapters.slack.intake.VIEW_ANSWER", 0.0)
    await slack.command("/consortium save")
    form = await opened(stage)
    members = next(b for b in form.body["blocks"] if b["block_id"] == "members")["element"]
    picked = [option["value"] for option in members["options"][:2]] if "options" in members else "pragmatist"
    await slack.submit_view(form, {"name": "two words here", "members": picked})
    assert slack.modals() == []
    await stage.told()
    offer = last_told(stage)
    await slack.click(slack.channel, offer.ts, buttons(offer)["Open the form"])
    again = await opened(stage, 2)
    assert again.state["name"]["name"]["value"] == "two words here"
    await stage.idle()


# --- shortcuts, the home, first contact -------------------------------------------------------------------


async def test_a_message_can_be_asked_about(either: Stage) -> None:
    slack = either.slack
    theirs = await slack.say("We will ship on <!here> Friday, whatever happens.", user=slack.other_user)
    await slack.message_shortcut("ask_about_message", slack.channel, theirs)
    form = await opened(either)
    assert form.state["question"]["question"]["value"] == "What do you make of this?"
    await slack.submit_view(form, {"question": "Is that wise?"})
    await either.answer(theirs)
    asked = next(m for m in either.replies(theirs) if " asks:" in m.text)
    assert "Is that wise?" in asked.text
    assert "ship on" in asked.text
    await either.idle()


async def test_a_shortcut_where_the_bot_is_not_says_so(stage: Stage) -> None:
    slack = stage.slack
    theirs = await slack.say("Lunch?", channel=slack.outside_channel)
    await slack.message_shortcut("ask_about_message", slack.outside_channel, theirs)
    assert "/invite @consortium" in await stage.told()
    await stage.idle()
    assert slack.views == []


async def test_the_home_asks_examples_in_the_direct_messages(stage: Stage) -> None:
    slack = stage.slack
    await slack.open_home()
    home = await slack.wait_for(slack.home)
    assert home is not None
    assert "answered in our direct messages" in str(home.body["blocks"])
    rows = [block["elements"] for block in home.body["blocks"] if block["type"] == "actions"]
    example = next(e for row in rows for e in row if e["value"].startswith("example:"))
    await slack.click_view(home, example["action_id"])
    [root] = await slack.wait_for(lambda: [m for m in slack.messages(slack.dm, by_bot=True) if " asks:" in m.text])
    await stage.answer(root.ts, slack.dm, timeout=50)
    await stage.idle()


async def test_newcomers_are_welcomed_once(stage: Stage) -> None:
    slack = stage.slack
    for _ in range(2):
        await slack.open_home(tab="messages")
        await slack.settled()
        await stage.idle()
    welcomes = slack.messages(slack.dm, by_bot=True)
    assert len(welcomes) == 1
    assert "panel of language models" in shown(welcomes[0])
    assert 0 < len(slack.prompts[slack.dm, ""]) <= 4
    await slack.join(slack.outside_channel)
    [hello] = await slack.wait_for(lambda: slack.messages(slack.outside_channel, by_bot=True))
    example = next(action for action in buttons(hello).values() if action.startswith("example:"))
    await slack.click(slack.outside_channel, hello.ts, example)
    await stage.answer(hello.ts, slack.outside_channel, timeout=50)
    await slack.join(slack.outside_channel, user=slack.other_user)
    await stage.idle()
    assert len([m for m in slack.messages(slack.outside_channel, by_bot=True) if not m.thread_ts]) == 1


# --- files and rights -------------------------------------------------------------------------------------


async def test_an_export_comes_as_a_file_in_a_direct_message(stage: Stage) -> None:
    slack = stage.slack
    await stage.answer((await stage.ask(QUESTION)).ts)
    await slack.command("/consortium export")
    assert "direct messages" in await stage.told()
    [message] = [m for m in slack.messages(slack.dm, by_bot=True) if m.files]
    assert QUESTION.encode() in (message.files[0].content or b"")
    await stage.idle()


async def test_administrators_of_the_workspace_administer(stage: Stage) -> None:
    slack = stage.slack
    await slack.command("/consortium budget user day 1000000 tokens", user=slack.user)
    assert "administrators" in await stage.told()
    await slack.command("/consortium budget user day 1000000 tokens", user=slack.admin)
    assert "1,000,000" in await stage.told(2)
    await slack.command("/consortium budget user day off", user=slack.admin)
    await stage.told(3)
    assert len(slack.calls_to("users.info")) == 2, "asked once a person"
    await stage.idle()


async def test_rules_can_name_what_people_are_in_the_workspace(stage: Stage) -> None:
    slack = stage.slack
    slack.workspace.users[slack.other_user].is_guest = True
    await slack.command("/consortium access block ask role:guest", user=slack.admin)
    await stage.told()
    await slack.command(f"/consortium ask {QUESTION}", user=slack.other_user)
    assert "may not ask" in await stage.told(2)
    await stage.answer((await stage.ask(QUESTION, options="--no-charts")).ts)
    await stage.idle()


async def test_deleting_is_asked_twice(stage: Stage) -> None:
    slack = stage.slack
    root = await stage.ask(QUESTION, options="--no-charts")
    answer = await stage.answer(root.ts)
    run_id = answer.metadata["event_payload"]["run_id"] if answer.metadata else ""
    await slack.command(f"/consortium delete {run_id}")
    await stage.told()
    sure = last_told(stage)
    [deletes] = [
        e for b in sure.blocks if b["type"] == "actions" for e in b["elements"] if e["value"].startswith("delete:")
    ]
    assert "confirm" not in deletes, "the message itself asks already"
    await slack.click(slack.channel, sure.ts, deletes["action_id"])
    await stage.told(2)
    await slack.click(slack.channel, answer.ts, buttons(answer)["Answers"])
    assert run_id in await stage.told(3)
    assert await stage.core.history.run(run_id) is None
    await stage.idle()
