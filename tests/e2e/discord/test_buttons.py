"""What people tap and fill in on Discord."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from adapters.discord.layout import COLOURS
from core.cards import Tone
from tests.e2e.discord.stage import TIMING, Stage, on_stage, provided, simulated
from tests.emulators.discord import DiscordEmulator, Interaction, Message, Permission
from tests.emulators.provider import ProviderEmulator

CALM = replace(TIMING, pace=0.3)
"""Fewer edits while long texts are written."""

pytestmark = pytest.mark.asyncio(loop_scope="package")

QUESTION = "Should remote work be the default?"


async def answer_of(stage: Stage, question: str = QUESTION, **options: object) -> Message:
    """An answer that stands in a thread."""
    thread = await stage.answered(question, **options)
    return stage.answers(thread.id)[-1]


async def tapped(stage: Stage, message: Message, label: str) -> Interaction:
    return await stage.emu.click(stage.emu.alice, message, label)


# --- an answer's buttons --------------------------------------------------------------------------------


async def test_answers_dissent_and_feedback_are_for_who_taps(stage: Stage) -> None:
    answer = await answer_of(stage)
    told = await stage.told(await tapped(stage, answer, "Answers"))
    assert "**What the members said**" in told
    assert "skeptic (simulated)" in told
    assert "disagrees" in await stage.told(await tapped(stage, answer, "Dissent"))
    assert "Thank you" in await stage.told(await tapped(stage, answer, "Good answer"))
    assert len(stage.emu.messages(answer.channel_id)) == 2, "nothing was posted for all"


async def test_a_bad_answer_is_asked_about(stage: Stage) -> None:
    answer = await answer_of(stage)
    asked = await tapped(stage, answer, "Bad answer")
    await asked.wait_acked(20)
    assert asked.modal is not None
    told = await stage.told(await stage.emu.submit_modal(asked, {"reason": "It is too short."}))
    assert told
    run = await stage.run_of(answer)
    [opinion] = await stage.core.office.lessons.opinions(run.id)
    assert (opinion.good, opinion.reason) == (False, "It is too short.")


async def test_charts_come_as_pictures_for_who_taps(stage: Stage) -> None:
    answer = await answer_of(stage, charts=True)
    await stage.emu.wait_for(lambda: stage.emu.files(answer.channel_id), 40)
    tap = await tapped(stage, answer, "Charts")
    shown = await tap.wait_response(40)
    assert shown.ephemeral
    names = [file.filename.rpartition("-")[2] for file in shown.files]
    assert names[:2] == ["heatmap.png", "emotions.png"]
    assert {"polarity.png", "radar.png"} <= set(names)
    assert all(file.description for file in shown.files)
    galleries = [part["items"] for part in shown.parts if part["type"] == 12]
    assert [len(items) for items in galleries] == [1] * len(names), "each has the whole width"


async def test_ask_again_is_a_form_whose_answer_stands_in_the_thread(stage: Stage) -> None:
    emu = stage.emu
    answer = await answer_of(stage)
    tap = await tapped(stage, answer, "Ask again")
    await tap.wait_acked(20)
    again = await emu.submit_modal(tap, {"consortium": ["deep"]})
    await stage.settled(answer.channel_id, 2)
    assert (await again.wait_response(20)).content == f"> {QUESTION}"
    assert "-# consortium deep" in stage.answers(answer.channel_id)[-1].text
    assert len(emu.threads) == 1


async def test_buttons_work_after_a_restart(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path) as stage:
        answer = await answer_of(stage)
        form = await tapped(stage, answer, "Ask again")
        await form.wait_acked(20)
    async with on_stage(emu, tmp_path) as stage:
        assert "**What the members said**" in await stage.told(await tapped(stage, answer, "Answers"))
        await emu.submit_modal(form)
        await stage.settled(answer.channel_id, 2)


async def test_a_button_that_means_nothing_is_told_of(stage: Stage) -> None:
    answer = await answer_of(stage)
    row = answer.components[0]["components"][-1]
    row["components"][0] |= {"custom_id": "invent:1", "label": "Invent"}
    assert "another version" in await stage.told(await tapped(stage, answer, "Invent"))


# --- whole and short ------------------------------------------------------------------------------------


def wordy(provider: ProviderEmulator, words: int) -> None:
    """An arbiter that cannot decide, so that the members' own words are the answer."""
    for name in ("ada", "bert", "cleo"):
        provider.model(name, text="Some more words to fill the line of it.\n\n" * words)
    provider.model("judge", reply="rubbish")


async def test_an_answer_is_drawn_whole_and_short_in_place(
    emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator
) -> None:
    wordy(provider, 40)
    async with on_stage(emu, tmp_path, provided(provider), timing=CALM) as stage:
        answer = await answer_of(stage)
        short = answer.text
        await tapped(stage, answer, "Longer")
        await emu.wait_for(lambda: len(answer.text) > len(short) + 500, 20)
        assert "Shorter" in str(answer.components)
        await tapped(stage, answer, "Shorter")
        await emu.wait_for(lambda: answer.text == short, 20)
        assert [m.id for m in emu.messages(answer.channel_id) if m.author == emu.bot][-1] == answer.id


async def test_an_answer_of_several_messages_comes_and_goes(
    emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator
) -> None:
    wordy(provider, 250)
    async with on_stage(emu, tmp_path, provided(provider), timing=CALM) as stage:
        answer = await answer_of(stage)
        place, short = answer.channel_id, answer.text
        for _ in range(2):
            await (await tapped(stage, stage.answers(place)[-1], "Longer")).wait_acked(20)
            await emu.wait_for(lambda: len(emu.messages(place)) == 4, 20)
            first, *_, last = emu.messages(place)[1:]
            assert first.id == answer.id
            assert first.custom_ids == []
            assert "feedback:" in str(last.custom_ids)
            await (await tapped(stage, last, "Shorter")).wait_acked(20)
            await emu.wait_for(lambda: [m.id for m in emu.messages(place)[1:]] == [answer.id], 20)
            assert answer.text == short


async def test_where_it_cannot_be_edited_the_whole_answer_is_for_who_taps(
    emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator
) -> None:
    wordy(provider, 250)
    async with on_stage(emu, tmp_path, provided(provider), timing=CALM) as stage:
        answer = await answer_of(stage)
        emu.faults.status(403, "PATCH", "/messages/", times=5)
        tap = await tapped(stage, answer, "Longer")
        await emu.wait_for(lambda: len(tap.followups) >= 2, 20)
        assert all(message.ephemeral for message in tap.followups)


# --- stopping -------------------------------------------------------------------------------------------


async def test_stop_ends_a_run_and_says_who_had_answered(
    emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator
) -> None:
    provider.model("bert", always="hang")
    provider.model("cleo", always="hang")
    async with on_stage(emu, tmp_path, provided(provider, quorum=1.0)) as stage:
        await stage.ask(QUESTION)
        thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
        [progress] = await emu.wait_for(lambda: [m for m in stage.progress(thread.id) if "✅" in m.text], 20)
        assert progress.components[0]["accent_color"] == COLOURS[Tone.RUNNING]
        assert await stage.told(await emu.click(emu.bob, progress, "Stop")), "others are told that they may not"
        assert stage.progress(thread.id)
        await stage.told(await tapped(stage, progress, "Stop"))
        [ended] = await emu.wait_for(lambda: [m for m in emu.messages(thread.id) if "**Stopped" in m.text], 20)
        await emu.wait_for(lambda: not stage.progress(thread.id), 20)
        assert "1 of 3 had answered" in ended.text
        assert ended.components[0]["accent_color"] == COLOURS[Tone.FAILED]
        assert "ada" in await stage.told(await tapped(stage, ended, "Answers"))


async def test_progress_counts_seconds_at_its_pace(
    emu: DiscordEmulator, tmp_path: Path, provider: ProviderEmulator
) -> None:
    provider.model("bert", latency=3.0)
    timing = replace(TIMING, pace=0.4, tick=0.5)
    async with on_stage(emu, tmp_path, provided(provider, quorum=1.0), timing=timing) as stage:
        await stage.ask(QUESTION)
        thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
        progress = (await emu.wait_for(lambda: stage.progress(thread.id), 20))[0]
        await emu.wait_for(lambda: any("bert: thinking, 2 s" in t for t in progress.revisions), 20)
        await stage.settled(thread.id)
        edits = [r.at for r in emu.requests if r.method == "PATCH" and r.path.endswith(str(progress.id))]
        assert len(edits) >= 3
        assert min(b - a for a, b in pairwise(edits)) >= timing.pace * 0.9


# --- forms ----------------------------------------------------------------------------------------------


async def test_settings_are_a_form_that_remembers(stage: Stage) -> None:
    emu = stage.emu
    opened = await emu.command(emu.alice, "consortium settings")
    await opened.wait_acked(20)
    told = await stage.told(await emu.submit_modal(opened, {"consortium": ["deep"], "domain": ["science"], "show": []}))
    assert "**deep**" in told
    opened = await emu.command(emu.alice, "consortium settings")
    await opened.wait_acked(20)
    assert "deep" in await stage.told(await emu.submit_modal(opened)), "what was set stands in the form"
    answer = await answer_of(stage)
    assert "-# consortium deep" in answer.text
    assert "domain science" in answer.text


async def test_a_consortium_is_saved_by_a_form_that_comes_back_when_it_is_wrong(stage: Stage) -> None:
    emu = stage.emu
    opened = await emu.command(emu.alice, "consortium save", name="mine")
    await opened.wait_acked(20)
    sent = await emu.submit_modal(opened, {"members": ["optimist", "skeptic"], "limits": "confidence lots"})
    told = await stage.told(sent)
    assert "confidence" in told
    assert sent.ephemeral or sent.followups[0].ephemeral
    reopened = await emu.click(emu.alice, sent.replies[-1], "Fill it in again")
    await reopened.wait_acked(20)
    assert "lots" in str(reopened.modal)
    assert "mine" in await stage.told(await emu.submit_modal(reopened, {"limits": "confidence 0.8"}))
    shown = await stage.told(await emu.command(emu.alice, "consortium show", what="mine"))
    assert "optimist (simulated), skeptic (simulated)" in shown
    assert "0.80" in shown


async def test_a_form_with_many_choices_is_typed(emu: DiscordEmulator, tmp_path: Path) -> None:
    models = {f"m{n:02}": {"provider": "simulated", "name": "optimist"} for n in range(40)}
    panel = {"members": ["m00", "m01"], "arbiter": "m02", "max_iterations": 1}
    catalog = simulated(models=models, consortia={"default": panel})
    async with on_stage(emu, tmp_path, catalog) as stage:
        opened = await emu.command(emu.alice, "consortium save", name="wide")
        await opened.wait_acked(20)
        await stage.told(await emu.submit_modal(opened, {"Members": "m05, m06"}))
        shown = await stage.told(await emu.command(emu.alice, "consortium show", what="wide"))
        assert "m05 (simulated), m06 (simulated)" in shown


async def test_a_form_that_takes_long_is_offered_by_a_button(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path, timing=replace(TIMING, form=0.0)) as stage:
        asked = await emu.command(emu.alice, "consortium settings")
        await stage.told(asked)
        assert asked.response is not None
        assert asked.ephemeral
        assert asked.response.custom_ids == ["settings"]


async def test_a_form_asked_for_in_words_is_offered_by_a_button(stage: Stage) -> None:
    emu = stage.emu
    await emu.say(emu.alice, emu.dm_channel_id, "settings")
    offered = await emu.wait_for(lambda: [m for m in emu.messages(emu.dm_channel_id) if "settings" in m.custom_ids], 20)
    opened = await emu.click(emu.alice, offered[-1], "settings")
    await opened.wait_acked(20)
    assert opened.modal is not None


# --- files, examples, the rest --------------------------------------------------------------------------


async def test_an_export_comes_as_a_direct_message(stage: Stage) -> None:
    emu = stage.emu
    await stage.answered(QUESTION)
    asked = await emu.command(emu.alice, "consortium export")
    await stage.told(asked)
    [file] = emu.files(emu.dm_channel_id)
    assert file.filename.startswith("consortium-export-")
    assert QUESTION.encode() in file.data
    assert asked.replies[0].files == []


async def test_an_export_comes_along_where_direct_messages_are_closed(stage: Stage) -> None:
    emu = stage.emu
    emu.refuse_direct(emu.alice)
    await stage.answered(QUESTION)
    asked = await emu.command(emu.alice, "consortium export")
    await stage.told(asked)
    files = await emu.wait_for(lambda: [f for m in asked.replies for f in m.files], 20)
    assert files[0].filename.startswith("consortium-export-")
    assert all(message.ephemeral for message in asked.replies)


async def test_deleting_asks_again(stage: Stage) -> None:
    emu = stage.emu
    run = await stage.run_of(await answer_of(stage))
    asked = await emu.command(emu.alice, "consortium delete", run=run.id)
    await stage.told(asked)
    assert asked.response is not None
    assert await stage.core.history.run(run.id)
    await stage.told(await emu.click(emu.alice, asked.response, "Delete it"))
    assert await stage.core.history.run(run.id) is None


async def test_an_example_is_asked_in_a_thread(stage: Stage) -> None:
    emu = stage.emu
    listed = await emu.command(emu.alice, "consortium examples", domain="science")
    await stage.told(listed)
    assert listed.response is not None
    example = next(i for i in listed.response.custom_ids if i.startswith("example:"))
    await emu.click(emu.alice, listed.response, example)
    thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
    [answer] = await stage.settled(thread.id)
    assert "domain science" in answer.text


async def test_administration(stage: Stage) -> None:
    emu = stage.emu
    role = emu.add_role("lead", permissions=Permission.MANAGE_GUILD)
    boss = emu.add_user("boss", roles=[role])
    refused = await emu.command(emu.alice, "consortium access block", right="ask", user=emu.bob)
    assert "administrator" in (await stage.told(refused)).lower()
    await stage.told(await emu.command(boss, "consortium access block", right="ask", user=emu.bob))
    assert "may not ask" in await stage.told(await stage.ask(QUESTION, user=emu.bob))
    listed = await stage.told(await emu.command(boss, "consortium access list"))
    assert str(emu.bob.id) in listed
    await stage.told(await emu.command(boss, "consortium access lift", number=1))
    await stage.answered(QUESTION, user=emu.bob)
    await stage.told(await emu.command(boss, "consortium budget set", scope="user", period="day", amount="off"))
    assert await stage.told(await emu.command(boss, "consortium retention", days="90"))
    audit = await stage.told(await emu.command(boss, "consortium access audit"))
    assert "boss" in audit.lower()


async def test_a_dear_question_is_confirmed_first(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path) as stage:
        role = emu.add_role("lead", permissions=Permission.MANAGE_GUILD)
        boss = emu.add_user("boss", roles=[role])
        await stage.told(await emu.command(boss, "consortium budget confirm", amount="10 tokens"))
        asked = await stage.ask(QUESTION)
        await emu.wait_for(lambda: asked.followups, 20)
        [question] = asked.followups
        assert question.ephemeral
        confirm = next(i for i in question.custom_ids if i.startswith("confirm:"))
        await emu.click(emu.alice, question, confirm)
        thread = (await emu.wait_for(lambda: emu.threads, 20))[0]
        await stage.settled(thread.id)


@pytest.mark.parametrize(
    "words",
    ["usage", "list", "leaderboard", "budget list", "models list", "roles list", "forget-me", "domain", "type", "use"],
)
async def test_every_plain_command_is_answered_to_its_asker_alone(stage: Stage, words: str) -> None:
    asked = await stage.emu.command(stage.emu.alice, f"consortium {words}")
    told = await stage.told(asked)
    assert told
    assert "went wrong" not in told
    assert stage.emu.messages(stage.emu.channel_id) == []


async def test_what_can_be_named_is_offered(stage: Stage) -> None:
    emu = stage.emu
    run = await stage.run_of(await answer_of(stage))

    async def offered(words: str, focused: str, typed: str = "") -> list[str]:
        choices = await emu.autocomplete(
            emu.alice, f"consortium {words}", {focused: typed}, focused=focused, timeout=20
        )
        return [choice["value"] for choice in choices]

    assert await offered("show", "what", "remote") == [run.id]
    assert run.id in await offered("show", "what")
    assert "deep" in await offered("show", "what")
    assert await offered("delete", "run") == [run.id]
    assert "voting" in await offered("strategy", "strategy", "vot")
    assert await offered("help", "command", "budg") == ["budget"]
    assert await offered("remove", "consortium") == []
