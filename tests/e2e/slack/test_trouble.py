"""Walks through the Slack surface while something fails: Slack, the models, or the process itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.app import Core
from core.asks import Ask, Person, Platform, ThreadRef
from core.commands.values import AskCommand
from core.errors import ConfigError, Unavailable
from core.service import Inbound
from tests.e2e.slack.stage import (
    TIMING,
    Stage,
    catalog,
    on_stage,
    product,
    shown,
    surface_of,
)
from tests.emulators.provider import ProviderEmulator
from tests.emulators.slack import SlackEmulator

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(120)]

QUESTION = "Should remote work be the default?"


# --- Slack ------------------------------------------------------------------------------------------------


async def test_who_waits_for_a_thread_is_told_so_at_once(slack: SlackEmulator, core: Core) -> None:
    surface = surface_of(slack, core, timing=replace(TIMING, sign=0.05))
    await surface.start()
    try:
        await slack.connected()
        stage = Stage(slack, core, surface)
        slack.fault("chat.postMessage", delay=1.0)
        await slack.command(f"/consortium ask --no-charts {QUESTION}")
        assert "One moment" in await stage.told()
        assert slack.messages(slack.channel, by_bot=True) == []
        await stage.idle()
        assert len([m for m in slack.messages(slack.channel, by_bot=True) if not m.thread_ts]) == 1
    finally:
        await surface.close(2)


async def test_every_method_may_be_refused_for_its_rate(slack: SlackEmulator, core: Core) -> None:
    methods = ("auth.test", "apps.connections.open", "conversations.info", "users.info", "chat.postMessage")
    streams = ("chat.startStream", "chat.stopStream", "chat.update")
    for method in (*methods, *streams, "files.getUploadURLExternal", "files.completeUploadExternal"):
        slack.fault(method, status=429, retry_after=0, times=2)
    async with on_stage(slack, core) as stage:
        root = await stage.ask(QUESTION, options="")
        await stage.charts(root.ts, timeout=50)
        await stage.idle()
        assert len(stage.answers(root.ts)) == 1
        assert len(stage.replies(root.ts)) == 2


async def test_the_wait_that_slack_asks_for_is_kept(stage: Stage) -> None:
    stage.slack.fault("chat.postMessage", status=429, retry_after=1)
    await stage.ask(QUESTION)
    await stage.idle()
    refused, repeated, *_ = stage.slack.calls_to("chat.postMessage")
    assert refused.status == 429
    assert repeated.at - refused.at >= 1


@pytest.mark.parametrize(
    "method",
    ["chat.postMessage", "chat.startStream", "chat.stopStream", "chat.update", "files.completeUploadExternal"],
)
@pytest.mark.parametrize("after", [True, False], ids=["done", "not done"])
async def test_a_lost_reply_makes_no_second_message(stage: Stage, method: str, after: bool) -> None:
    stage.slack.fault(method, drop=True, after=after, times=1 if method.startswith("files") else 2)
    root = await stage.ask(QUESTION, options="")
    await stage.charts(root.ts, timeout=50)
    await stage.idle()
    assert len([m for m in stage.slack.messages(by_bot=True) if not m.thread_ts]) == 1
    assert len(stage.answers(root.ts)) == 1
    assert len(stage.replies(root.ts)) == 2
    undelivered = await stage.core.history.undelivered(Platform.SLACK, datetime.now(UTC) - timedelta(hours=1))
    assert undelivered == []


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
async def test_an_answer_waits_until_slack_is_well_again(stage: Stage, method: str) -> None:
    stage.slack.fault(method, status=503, times=6)
    root = await stage.ask(QUESTION, options="--no-charts --consortium slow")
    await stage.answer(root.ts)
    await stage.idle()
    assert len(stage.replies(root.ts)) == 1


async def test_refused_blocks_become_text(stage: Stage) -> None:
    stage.slack.fault("chat.postMessage", error="invalid_blocks", times=1)
    stage.slack.fault("chat.update", error="invalid_blocks", times=1)
    await stage.show("long")
    root = await stage.ask("What is there to say?", options="--no-charts --consortium long")
    assert root.blocks == []
    await stage.answer(root.ts)
    await stage.idle()
    await stage.show("charts")
    assert len(stage.answers(root.ts)) == 1
    texts = [message for message in stage.replies(root.ts) if not message.blocks]
    assert len(texts) > 1
    assert all(len(message.text) <= 3900 for message in texts)
    assert "bank.com (https://evil.net)" in texts[0].text
    whole = "\n".join(shown(message) for message in stage.replies(root.ts))
    assert all(f"value_{n} = {n}\n" in whole for n in range(899))


async def test_a_deleted_progress_message_does_not_cost_the_answer(stage: Stage) -> None:
    root = await stage.ask(QUESTION, options="--no-charts --consortium slow")
    progress = (await stage.slack.wait_for(lambda: stage.replies(root.ts)))[0]
    del stage.slack.workspace.messages[progress.channel, progress.ts]
    await stage.answer(root.ts)
    await stage.idle()
    assert len(stage.replies(root.ts)) == 1


async def test_wrong_tokens_are_named_with_the_remedy(slack: SlackEmulator, core: Core) -> None:
    with pytest.raises(ConfigError, match=r"SLACK_BOT_TOKEN.*invalid_auth.*xoxb-"):
        await surface_of(slack, core, bot_token="xoxb-wrong").start()
    with pytest.raises(ConfigError, match=r"SLACK_APP_TOKEN.*invalid_auth.*xapp-"):
        await surface_of(slack, core, app_token="xapp-wrong").start()


async def test_an_app_token_that_is_revoked_ends_the_surface(stage: Stage) -> None:
    stage.slack.fault("apps.connections.open", times=1000, error="token_revoked")
    await stage.slack.disconnect("link_disabled")
    with pytest.raises(ConfigError, match="SLACK_APP_TOKEN: Slack refuses it \\(token_revoked\\); write an app-level"):
        await asyncio.wait_for(stage.surface.wait(), 20)


async def test_a_bot_token_that_is_revoked_ends_the_surface(
    slack: SlackEmulator, provider: ProviderEmulator, tmp_path: Path
) -> None:
    async with product(slack, tmp_path, catalog(provider)) as stage:
        await stage.ask(QUESTION, options="--no-charts --consortium slow")
        slack.fault("*", times=1000, error="invalid_auth")
        with pytest.raises(ConfigError, match="SLACK_BOT_TOKEN: Slack refuses it"):
            await asyncio.wait_for(stage.surface.wait(), 20)


async def test_slack_may_be_down_for_a_moment_at_the_start(slack: SlackEmulator, core: Core) -> None:
    slack.fault("auth.test", status=503, times=2)
    async with on_stage(slack, core) as stage:
        await slack.command("/consortium help")
        assert "/consortium ask" in await stage.told()
    slack.fault("auth.test", status=503, times=4)
    with pytest.raises(Unavailable, match="Slack does not answer"):
        await surface_of(slack, core).start()


# --- models -----------------------------------------------------------------------------------------------


async def test_when_nobody_answers_the_asker_is_told(stage: Stage) -> None:
    root = await stage.ask(QUESTION, options="--consortium dead")
    told = await stage.told()
    assert "None of the 2 members answered" in told
    assert "gone" in told
    assert "lost" in told
    asked = await stage.slack.say(f"ask --consortium dead {QUESTION}", mention=True, user=stage.slack.other_user)
    assert "None of the 2 members answered" in await stage.told(2)
    assert stage.slack.ephemerals[-1].user == stage.slack.other_user
    direct = await stage.slack.say(f"ask --consortium dead {QUESTION}", channel_type="im")
    await stage.slack.wait_for(
        lambda: [m for m in stage.replies(direct, stage.slack.dm) if "None of the 2 members" in m.text]
    )
    await stage.idle()
    for ts in (root.ts, asked):
        assert stage.answers(ts) == []
        assert all("None of" not in message.text for message in stage.replies(ts)), "others are not bothered"


async def test_an_arbiter_that_talks_rubbish_is_replaced_and_that_is_said(stage: Stage) -> None:
    root = await stage.ask(QUESTION, options="--no-charts --consortium rubbish")
    answer = await stage.answer(root.ts, timeout=50)
    assert "no arbiter could decide, so the vote did, in the words of ada" in shown(answer)
    await stage.idle()


async def test_a_hanging_member_does_not_hold_up_the_answer(stage: Stage) -> None:
    root = await stage.ask(QUESTION, options="--no-charts --consortium stuck")
    answer = await stage.answer(root.ts)
    assert "2 of 2 agree" in shown(answer)
    assert "hanging was not waited for" in shown(answer)
    await stage.idle()


# --- the process itself -----------------------------------------------------------------------------------


async def test_a_restart_in_the_middle_gives_one_answer_and_keeps_history(
    slack: SlackEmulator, provider: ProviderEmulator, tmp_path: Path
) -> None:
    async with product(slack, tmp_path, catalog(provider)) as stage:
        root = await stage.ask(QUESTION, options="--no-charts --consortium slow")
        await slack.wait_for(lambda: stage.replies(root.ts))
        await stage.surface.close(0)
        assert stage.answers(root.ts) == []
    async with product(slack, tmp_path, catalog(provider)) as stage:
        await stage.surface.resume()
        await stage.answer(root.ts)
        await stage.idle()
        assert len(stage.replies(root.ts)) == 1
        await slack.command("/consortium history")
        assert QUESTION in await stage.told()
    async with product(slack, tmp_path, catalog(provider)) as stage:
        await stage.surface.resume()
        await stage.idle()
        assert len(stage.replies(root.ts)) == 1


async def test_a_process_that_ends_between_answer_and_charts_posts_each_once(slack: SlackEmulator, core: Core) -> None:
    async with on_stage(slack, core) as stage:
        slack.fault("files.getUploadURLExternal", times=1000, error="internal_error")
        await stage.show("charts", "long")
        root = await stage.ask(QUESTION, options="--consortium verbose")
        await slack.wait_for(lambda: slack.calls_to("files.getUploadURLExternal"), 50)
        await stage.surface.close(0)
        answer = [shown(m) for m in stage.replies(root.ts)]
        assert len(answer) > 1
    slack.clear_faults()
    for _ in range(2):
        async with on_stage(slack, core) as stage:
            await stage.surface.resume()
            charts = await stage.charts(root.ts)
            await stage.idle()
            assert [shown(m) for m in stage.replies(root.ts) if m.ts != charts.ts] == answer
    await stage.show("charts")


async def test_an_ask_whose_process_died_before_it_posted_gets_its_thread(stage: Stage) -> None:
    where = ThreadRef(platform=Platform.SLACK, workspace=stage.slack.team_id, channel=stage.slack.channel)
    inbound = Inbound(asker=Person(id=stage.slack.user), where=where)
    await stage.core.service.handle(AskCommand(text="Is anybody there?", charts=False), inbound)
    await stage.surface.resume()
    root = await stage.root("Is anybody there?")
    await stage.answer(root.ts)
    await stage.idle()


async def test_an_ask_whose_process_died_before_it_was_queued_is_answered(stage: Stage) -> None:
    where = ThreadRef(platform=Platform.SLACK, workspace=stage.slack.team_id, channel=stage.slack.channel)
    asker = Person(id=stage.slack.user)
    ask = Ask(
        id="a1b2c3d4e5f6", text="Was I heard?", asked_at=datetime.now(UTC), asker=asker, where=where, charts=False
    )
    await stage.core.history.open_run(stage.core.service.pending_run(ask))
    await stage.surface.resume()
    root = await stage.root("Was I heard?")
    await stage.answer(root.ts)
    await stage.idle()


async def test_a_thread_that_was_opened_when_the_process_died_is_found(slack: SlackEmulator, core: Core) -> None:
    async with on_stage(slack, core) as stage:
        slack.fault("chat.postMessage", drop=True, after=True)
        slack.fault("conversations.history", delay=5)
        asked = asyncio.create_task(stage.ask(QUESTION))
        root = await stage.root(QUESTION)
        await asked
        await stage.surface.close(0)
    slack.clear_faults()
    async with on_stage(slack, core) as stage:
        await stage.surface.resume()
        await stage.answer(root.ts)
        await stage.idle()
        assert len([m for m in slack.messages(by_bot=True) if not m.thread_ts]) == 1
        assert len(stage.replies(root.ts)) == 1


async def test_leaving_waits_for_the_answer(slack: SlackEmulator, core: Core) -> None:
    async with on_stage(slack, core) as stage:
        root = await stage.ask(QUESTION, options="--no-charts --consortium slow")
        await stage.surface.close(20)
        assert len(stage.answers(root.ts)) == 1
