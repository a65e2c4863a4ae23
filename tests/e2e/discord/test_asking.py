"""Walks through the Discord surface as people use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.discord.layout import COLOURS
from core.cards import Tone
from tests.e2e.discord.stage import Stage, on_stage, simulated
from tests.emulators.discord import DiscordEmulator, User

pytestmark = pytest.mark.asyncio(loop_scope="package")

QUESTION = "Should remote work be the default?"


async def test_an_ask_becomes_a_thread_with_answer_and_charts(stage: Stage) -> None:
    emu = stage.emu
    asked = await stage.ask(QUESTION, charts=True)
    response = await asked.wait_response(20)
    assert response.content == f"> {QUESTION}"
    assert not response.ephemeral
    await emu.wait_for(lambda: emu.threads and emu.files(emu.threads[0].id), 40)
    [thread] = emu.threads
    assert (thread.id, thread.name, thread.parent_id) == (response.id, QUESTION, emu.channel_id)
    [answer] = await stage.settled(thread.id)
    assert "**2 of 3 agree; skeptic (simulated) disagrees · " in answer.text
    assert "-# Simulated members: pragmatist, optimist, skeptic." in answer.text
    [box] = answer.components
    assert box["accent_color"] == COLOURS[Tone.SPLIT]
    labels = [part["label"] for part in answer.parts if part["type"] == 2]
    assert labels[:4] == ["Answers", "Dissent", "Charts", "Ask again"]
    assert labels[-2:] == ["Good answer", "Bad answer"]
    files = emu.files(thread.id)
    run = await stage.run_of(answer)
    assert [file.filename for file in files] == [f"{run.id}-heatmap.png", f"{run.id}-emotions.png"]
    for file in files:
        assert file.content_type == "image/png"
        assert file.width
        assert file.description
        assert any(char.isdigit() for char in file.description), "the alt text carries the numbers"


async def test_progress_is_shown_while_members_think(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path, pace=0.3) as stage:
        await stage.ask(QUESTION)
        await emu.wait_for(lambda: emu.threads and stage.progress(emu.threads[0].id), 20)
        [thread] = emu.threads
        [progress] = stage.progress(thread.id)
        assert "**Asking 3 members · " in progress.text
        assert progress.components[0]["accent_color"] == COLOURS[Tone.RUNNING]
        await emu.wait_for(lambda: any("✅" in text for text in progress.revisions), 20)
        await stage.settled(thread.id)


async def test_progress_tells_of_reviews(emu: DiscordEmulator, tmp_path: Path) -> None:
    panel = {"members": ["pragmatist", "optimist", "skeptic"], "arbiter": "arbiter", "strategy": "council"}
    async with on_stage(emu, tmp_path, simulated(consortia={"default": panel}), pace=0.3) as stage:
        await stage.ask(QUESTION)
        await emu.wait_for(lambda: emu.threads and stage.progress(emu.threads[0].id), 20)
        [progress] = stage.progress(emu.threads[0].id)
        said = "3 members rank each other's answers"
        await emu.wait_for(lambda: any(said in text for text in [progress.text, *progress.revisions]), 20)
        [answer] = await stage.settled(emu.threads[0].id)
        assert "2 of 3 agree; skeptic (simulated) disagrees" in answer.text
        assert "strategy council" in answer.text


async def test_words_in_the_thread_continue_the_run(stage: Stage) -> None:
    emu = stage.emu
    thread = await stage.answered(QUESTION)
    await emu.say(emu.bob, thread.id, "And for nurses?")
    _, second = await stage.settled(thread.id, 2)
    assert second.reference is None
    run = await stage.run_of(second)
    said = " ".join(response.text for response in run.rounds[-1].responses)
    assert "goes on from what was said about" in said, "the members have seen the first question"
    assert len(emu.threads) == 1


async def test_a_follow_up_wakes_an_archived_thread_after_a_restart(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path) as stage:
        thread = await stage.answered(QUESTION)
    emu.archive(thread.id)
    async with on_stage(emu, tmp_path) as stage:
        await emu.say(emu.alice, thread.id, "And for nurses?")
        await stage.settled(thread.id, 2)


async def test_other_talk_is_left_alone(stage: Stage) -> None:
    emu = stage.emu
    await emu.say(emu.alice, emu.channel_id, "Lunch?")
    robot = User(emu.world.snowflake(), "robot", bot=True)
    await emu.say(robot, emu.channel_id, "What do you think?", mention=True)
    await stage.answered(QUESTION)
    assert [m.author.name for m in emu.messages(emu.channel_id)] == ["alice", "robot", "Consortium"]


async def test_a_mention_opens_a_thread_on_itself(stage: Stage) -> None:
    emu = stage.emu
    message = await emu.say(emu.alice, emu.channel_id, f"is {emu.bob.mention} right about tabs?", mention=True)
    thread = await emu.wait_for(lambda: emu.threads, 20)
    await stage.settled(thread[0].id)
    assert (thread[0].id, thread[0].name) == (message.id, "is @Bob right about tabs?")


async def test_a_mention_in_a_thread_is_answered_there(stage: Stage) -> None:
    emu = stage.emu
    thread = await stage.answered(QUESTION)
    await emu.say(emu.bob, thread.id, "and at night?", mention=True)
    await stage.settled(thread.id, 2)
    asked = await stage.ask("And by command?", channel_id=thread.id)
    await stage.settled(thread.id, 3)
    assert asked.response is not None
    assert asked.response.content == "> And by command?"
    assert len(emu.threads) == 1


async def test_commands_in_a_mention(stage: Stage) -> None:
    emu = stage.emu
    for words, answer in (("help", "asks a panel"), ("list", "**Consortia**"), ("history", "for you alone")):
        message = await emu.say(emu.alice, emu.channel_id, words, mention=True)
        reply = await emu.wait_for(lambda: emu.messages(emu.channel_id)[-1].author.bot, 20)
        assert reply
        last = emu.messages(emu.channel_id)[-1]
        assert answer in last.text
        assert last.reference == (emu.channel_id, message.id)
        assert last.mentions == []


async def test_direct_messages(stage: Stage) -> None:
    emu = stage.emu
    await emu.say(emu.alice, emu.dm_channel_id, QUESTION)
    await stage.settled(emu.dm_channel_id)
    await emu.say(emu.alice, emu.dm_channel_id, "And at night?")
    await stage.settled(emu.dm_channel_id, 2)
    await stage.ask("And by command?", channel_id=emu.dm_channel_id)
    await stage.settled(emu.dm_channel_id, 3)
    await emu.say(emu.alice, emu.dm_channel_id, "history")
    await emu.wait_for(lambda: "**Your questions**" in emu.messages(emu.dm_channel_id)[-1].text, 20)
    await emu.say(emu.alice, emu.dm_channel_id, "help all")
    await emu.wait_for(lambda: "- `roles assign model role`" in emu.messages(emu.dm_channel_id)[-1].text, 20)
    assert emu.threads == []
    elsewhere = await emu.command(emu.alice, "consortium history")
    assert "not asked anything" in await stage.told(elsewhere), "what is private stays in its channel"


async def test_history(stage: Stage) -> None:
    emu = stage.emu
    await stage.answered(QUESTION)
    mine = await stage.told(await emu.command(emu.alice, "consortium history"))
    assert QUESTION in mine
    assert "confidence" in mine
    assert "not asked anything" in await stage.told(await emu.command(emu.bob, "consortium history"))
    assert "no page 7" in await stage.told(await emu.command(emu.alice, "consortium history", page=7))


async def test_history_opens_what_it_lists(stage: Stage) -> None:
    emu = stage.emu
    for number in range(2):
        await stage.answered(f"{number}. {'Should remote work be the default? ' * 6}", user=emu.bob)
    listed = await emu.command(emu.bob, "consortium history")
    await stage.told(listed)
    assert listed.response is not None
    opened = await emu.click(emu.bob, listed.response, "2")
    assert "> 0. Should remote work" in await stage.told(opened)
    assert opened.ephemeral


async def test_roles(stage: Stage) -> None:
    emu = stage.emu
    listed = await stage.told(await emu.command(emu.alice, "consortium roles list"))
    assert "Utilitarian" in listed
    assert "optimist (simulated): no role" in listed
    assigned = await emu.command(emu.alice, "consortium roles assign", model="optimist", role="a patient nurse")
    assert "optimist (simulated): a patient nurse" in await stage.told(assigned)
    thread = await stage.answered(QUESTION)
    assert "optimist (simulated) as a patient nurse" in stage.answers(thread.id)[0].text
    dealt = await stage.told(await emu.command(emu.alice, "consortium roles shuffle", roles="Rawlsian, Libertarian"))
    assert ": Rawlsian" in dealt
    assert ": Libertarian" in dealt
    cleared = await stage.told(await emu.command(emu.alice, "consortium roles clear"))
    assert cleared.count("no role") == 3
    theirs = await stage.told(await emu.command(emu.bob, "consortium roles list"))
    assert theirs.count("no role") == 3


async def test_models_and_help(stage: Stage) -> None:
    emu = stage.emu
    models = await stage.told(await emu.command(emu.alice, "consortium models list"))
    assert "- **optimist** (simulated): ready" in models
    listed = await stage.told(await emu.command(emu.alice, "consortium list"))
    assert "- **deep**\n  pragmatist (simulated), optimist (simulated), skeptic (simulated); arbiter arbiter" in listed
    assert "`/consortium settings`" in await stage.told(await emu.command(emu.alice, "consortium help"))
    told = await stage.told(await emu.command(emu.alice, "consortium help", command="all"))
    assert "`/consortium ask question: … [consortium: …] [domain: …] [type: …] " in told
    assert "`/consortium roles list`" in told
    assert "--" not in told
    about = await stage.told(await emu.command(emu.alice, "consortium help", command="budget"))
    assert "- `/consortium budget confirm amount: …`" in about
    assert "roles" not in about
    unknown = await stage.told(await emu.command(emu.alice, "consortium help", command="bugdet"))
    assert "Did you mean `budget`?" in unknown
    assert emu.messages(emu.channel_id) == []


async def test_autocomplete(stage: Stage) -> None:
    emu = stage.emu

    async def offered(words: str, focused: str, typed: str) -> list[str]:
        choices = await emu.autocomplete(
            emu.alice, f"consortium {words}", {focused: typed}, focused=focused, timeout=20
        )
        return [choice["value"] for choice in choices]

    assert await offered("ask", "consortium", "") == ["default", "deep"]
    assert await offered("ask", "domain", "SCI") == ["science"]
    assert await offered("roles assign", "model", "tim") == ["optimist"]
    assert (await offered("roles assign", "role", "r"))[0] == "Rawlsian"
    assert await offered("roles assign", "role", "a patient nurse") == []
    assert await offered("roles clear", "model", "skep") == ["skeptic"]


async def test_mistyped_names_are_told_to_the_asker_alone(stage: Stage) -> None:
    emu = stage.emu
    wrong = await stage.ask(QUESTION, consortium="depe")
    assert "There is no consortium `depe`. Did you mean `deep`?" in await stage.told(wrong, 20)
    wrong = await emu.command(emu.alice, "consortium roles assign", model="optimst", role="Rawlsian")
    assert "Did you mean `optimist`?" in await stage.told(wrong, 20)
    assert emu.messages(emu.channel_id) == []


async def test_a_rate_limit_says_when_to_try_again(emu: DiscordEmulator, tmp_path: Path) -> None:
    async with on_stage(emu, tmp_path, simulated(limits={"user": "1/minute"})) as stage:
        thread = await stage.answered(QUESTION)
        refused = await stage.told(await stage.ask("Again?"), 20)
        assert "Try again in" in refused
        assert len(emu.messages(emu.channel_id)) == 1
        message = await emu.say(emu.alice, thread.id, "And at night?")
        reply = await emu.wait_for(lambda: [m for m in emu.messages(thread.id) if "Try again in" in m.text], 20)
        assert reply[0].id > message.id
        await stage.answered(QUESTION, user=emu.bob)


async def test_the_same_event_twice_is_one_answer(stage: Stage) -> None:
    emu = stage.emu
    emu.gateway.repeat("INTERACTION_CREATE", 2)
    thread = await stage.answered(QUESTION)
    await emu.say(emu.alice, thread.id, "And at night?", repeat=3)
    await stage.settled(thread.id, 2)
    await emu.say(emu.alice, emu.channel_id, "once more?", mention=True, repeat=2)
    other = (await emu.wait_for(lambda: emu.threads[1:], 20))[0]
    await stage.settled(other.id)
    dealt = await emu.command(emu.alice, "consortium roles shuffle", roles="Rawlsian, Libertarian")
    await stage.told(dealt)
    rows = await stage.told(await emu.command(emu.alice, "consortium history"))
    assert rows.count("confidence") == 3
    assert (len(stage.answers(thread.id)), len(stage.answers(other.id)), len(emu.threads)) == (2, 1, 2)


async def test_a_hostile_question_pings_nobody_and_forges_nothing(stage: Stage) -> None:
    emu = stage.emu
    question = f"@everyone {emu.bob.mention} [your bank](https://evil.example) discord.gg/abc ``` ||x|| `y"
    thread = await stage.answered(question)
    shown = [m for channel in (emu.channel_id, thread.id) for m in emu.messages(channel)]
    assert shown
    for message in shown:
        assert (message.mentions, message.mention_everyone) == ([], False)
        assert "](https" not in message.text
        assert "discord.gg/abc" not in message.text


async def test_commands_are_written_only_when_they_changed(emu: DiscordEmulator, tmp_path: Path) -> None:
    def writes() -> int:
        return sum(r.method == "PUT" and r.path.endswith("/commands") for r in emu.requests)

    async with on_stage(emu, tmp_path):
        assert writes() == 1
    async with on_stage(emu, tmp_path):
        assert writes() == 1
    assert {c["name"] for c in emu.commands.listed(None)} == {"consortium", "Ask the consortium"}
