"""A front that is a process of its own is killed, and another one goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.app import open_core
from bot.config import load_catalog
from tests.bot.test_processes import Program
from tests.e2e.slack.fronts import parts, take_over
from tests.e2e.slack.stage import is_answer, on_stage, settings_in, workspace
from tests.emulators.slack import Message
from tests.servers import REDIS_MISSING, own_redis

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(120)]

QUESTION = "Should remote work be the default?"


async def test_a_process_that_is_killed_leaves_its_run_to_another(tmp_path: Path) -> None:
    server = own_redis()
    if server is None:
        pytest.skip(REDIS_MISSING)
    settings = settings_in(tmp_path / "data").model_copy(update={"redis_url": server.url})
    with server:
        async with workspace() as slack, open_core(settings, load_catalog(settings), pace=0.3) as core:

            def shown() -> list[Message]:
                return [message for message in slack.messages(by_bot=True) if message.thread_ts]

            tokens = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token}
            addresses = {"REDIS_URL": server.url, "SLACK_API_URL": slack.api_url}
            async with Program(tmp_path, "--no-work", **addresses, **tokens) as front:
                await slack.connected(1, 60)
                assert (await slack.command(f"/consortium ask --no-charts {QUESTION}")).acked
                await slack.wait_for(shown, 20)
                front.kill()
            async with on_stage(slack, core) as stage:
                looking = asyncio.create_task(take_over(stage.surface))
                await slack.wait_for(lambda: [message for message in shown() if is_answer(message)], 30)
                looking.cancel()
                await asyncio.wait([looking])
                await stage.idle()
            assert parts(slack) == {"root": 1, "0": 1}
            assert slack.violations == []
