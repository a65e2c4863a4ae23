"""The long-running process: what ends it, and how it leaves."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from bot.app import open_core
from bot.processes import leave, working
from bot.records import utc_now
from core.asks import Ask, Person, Platform, ThreadRef
from core.commands.values import AskCommand
from core.service import Inbound
from core.types import Run, RunStatus
from tests.databases import new_database
from tests.e2e.slack.stage import catalog, settings_in, workspace
from tests.emulators.discord import DiscordEmulator
from tests.servers import REDIS_MISSING, own_redis


class Program:
    """``consortium serve`` as a program of its own. Use as an async context manager."""

    def __init__(self, folder: Path, *options: str, **env: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        here = {"PYTHONPATH": str(Path(__file__).parents[2]), "DATA_DIR": str(folder / "data")}
        self._options = options
        self._folder, self._env = folder, {**kept, **here, "PORT": "0", "SHUTDOWN_GRACE": "1", **env}

    async def __aenter__(self) -> Program:
        new_database(self._folder / "data" / "consortium.db")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from bot.cli import main; main()", "serve", *self._options),
            cwd=self._folder,
            env=self._env,
            stderr=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    def kill(self) -> None:
        """End it without a warning."""
        self._process.kill()

    def terminate(self) -> None:
        """Tell it to end."""
        self._process.terminate()

    async def said(self, words: str) -> None:
        """Wait for a line of its log."""
        assert self._process.stderr is not None
        async with asyncio.timeout(60):
            while line := await self._process.stderr.readline():
                if words in line.decode():
                    return
        raise AssertionError(f"it ended without saying {words!r}")

    async def ended(self) -> tuple[int | None, str]:
        """Wait for its end; gives the exit code and the last line of standard error."""
        _, err = await asyncio.wait_for(self._process.communicate(), 60)
        return self._process.returncode, err.decode().splitlines()[-1]


@pytest.mark.timeout(120)
async def test_a_discord_token_that_is_revoked_ends_the_process_with_a_line(tmp_path: Path) -> None:
    async with DiscordEmulator(rates=False, ack_deadline=20.0) as emu:
        settings = {"DISCORD_API_URL": emu.api_url, "DISCORD_GATEWAY_URL": emu.gateway_url}
        async with Program(tmp_path, DISCORD_BOT_TOKEN=emu.token, **settings) as program:
            await emu.wait_connected(30)
            emu.revoke_token()
            code, line = await program.ended()
        emu.take_violations()
    assert code == 2
    assert line.startswith("consortium: DISCORD_BOT_TOKEN: Discord does not accept this token; write")


@pytest.mark.timeout(120)
async def test_a_slack_token_that_is_revoked_ends_the_process_with_a_line(tmp_path: Path) -> None:
    async with workspace() as slack:
        tokens = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token}
        async with Program(tmp_path, SLACK_API_URL=slack.api_url, **tokens) as program:
            await slack.connected(timeout=30)
            slack.fault("apps.connections.open", times=1000, error="invalid_auth")
            await slack.disconnect("link_disabled")
            code, line = await program.ended()
    assert code == 2
    assert line.startswith("consortium: SLACK_APP_TOKEN: Slack refuses it (invalid_auth); write")


class Leaving:
    """A surface that is closed once others are being closed too, and a run has ended."""

    def __init__(self, others: asyncio.Barrier, over: asyncio.Event) -> None:
        self._others, self._over = others, over
        self.closed = False

    async def start(self) -> None:
        """Not called."""

    async def resume(self) -> None:
        """Not called."""

    async def ready(self) -> str | None:
        """Not called."""

    async def wait(self) -> None:
        """Not called."""

    async def close(self, grace: float) -> None:
        """Meet the others, then wait for the run."""
        await self._others.wait()
        await self._over.wait()
        self.closed = True


@pytest.mark.timeout(60)
async def test_runs_and_surfaces_share_one_grace_time(tmp_path: Path) -> None:
    where = ThreadRef(platform=Platform.CLI, workspace="local", channel="terminal", private=True)
    begun, over = asyncio.Event(), asyncio.Event()
    async with open_core(settings_in(tmp_path), catalog(), pace=0.02) as core:
        run = await core.service.handle(
            AskCommand(text="Is it late?", charts=False), Inbound(asker=Person(id="me"), where=where)
        )
        assert isinstance(run, Run)

        async def watch() -> None:
            async for _ in core.events.follow(run.id):
                begun.set()
            over.set()

        barrier = asyncio.Barrier(2)
        chats = [Leaving(barrier, over), Leaving(barrier, over)]
        watching = asyncio.create_task(watch())
        await begun.wait()
        await leave(core, chats)
        await watching
        assert [chat.closed for chat in chats] == [True, True]
        stored = await core.history.run(run.id)
        assert stored is not None
        assert stored.status is RunStatus.DONE


@pytest.mark.timeout(60)
async def test_who_carries_out_runs_deletes_those_that_are_kept_no_longer(tmp_path: Path) -> None:
    where = ThreadRef(platform=Platform.CLI, workspace="local", channel="terminal", private=True)
    person, now = Person(id="me"), utc_now()
    async with open_core(settings_in(tmp_path), catalog(), pace=0.02, work=False) as core:
        for name, days in (("old", 9), ("young", 1)):
            then = now - timedelta(days=days)
            ask = Ask(id=name, text="Is it old?", asked_at=then, asker=person, where=where)
            run = core.service.pending_run(ask)
            await core.history.open_run(run)
            await core.history.update_run(run.model_copy(update={"status": RunStatus.FAILED, "ended_at": then}))
        await core.office.governance.set_retention(where, person, 7)
        async with working(core), asyncio.timeout(30):
            while await core.history.run("old"):  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.02)
        assert await core.history.run("young")


async def test_a_process_that_starts_before_redis_waits_for_it(tmp_path: Path) -> None:
    server = own_redis()
    if server is None:
        pytest.skip(REDIS_MISSING)
    async with Program(tmp_path, REDIS_URL=server.url, START_PATIENCE="60") as program:
        await program.said("waiting for a server")
        with server:
            await program.said("ready")


async def test_a_process_that_waits_for_its_servers_can_be_told_to_end(tmp_path: Path) -> None:
    async with Program(tmp_path, REDIS_URL="redis://127.0.0.1:1/0", START_PATIENCE="600") as program:
        await program.said("waiting for a server")
        program.terminate()
        code, line = await program.ended()
    assert code == 0
    assert "stopping before the start was over" in line


async def test_a_process_waits_no_longer_than_it_is_to(tmp_path: Path) -> None:
    async with Program(tmp_path, REDIS_URL="redis://127.0.0.1:1/0", START_PATIENCE="0") as program:
        code, line = await program.ended()
    assert code == 2
    assert line.startswith("consortium: Redis at redis://127.0.0.1:1/0 (REDIS_URL) cannot be used")


async def test_what_ends_a_process_is_a_record_where_machines_read_its_log(tmp_path: Path) -> None:
    env = {"REDIS_URL": "redis://127.0.0.1:1/0", "START_PATIENCE": "0", "LOG_JSON": "true"}
    async with Program(tmp_path, **env) as program:
        code, line = await program.ended()
    assert code == 2
    told = json.loads(line)
    assert told["level"] == "error"
    assert told["error"].startswith("Redis at redis://127.0.0.1:1/0 (REDIS_URL) cannot be used")
