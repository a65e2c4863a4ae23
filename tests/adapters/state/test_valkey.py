"""The embedded server: started, joined, kept, ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from adapters.state import valkey as module
from adapters.state.state import connect
from adapters.state.valkey import embedded_valkey, find_programs
from core.asks import Person, Platform, ThreadRef
from core.errors import ConfigError, Unavailable
from core.stores import Session
from tests.adapters.state.conftest import eventually

ANN = Person(id="U1")
HERE = ThreadRef(platform=Platform.SLACK, workspace="T1", channel="C1")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs unix sockets")


async def info(url: str) -> dict[str, object]:
    async with Redis.from_url(url) as client:
        return dict(await client.info("server"))


async def pid(url: str) -> int:
    return int(str((await info(url))["process_id"]))


def alive(process: int) -> bool:
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


@pytest.fixture(params=range(2), ids=["first", "second"])
def program(request: pytest.FixtureRequest) -> Path:
    programs, number = find_programs(), int(request.param)
    return programs[number] if number < len(programs) else pytest.skip("only one server program here")


async def test_a_restart_keeps_what_was_stored(tmp_path: Path, program: Path) -> None:
    session = Session(roles={"llama": "Rawlsian"})
    async with embedded_valkey(tmp_path, [program]) as url:
        first = await pid(url)
        assert (await info(url))["tcp_port"] == 0, "it must not listen on the network"
        async with connect(url) as state:
            await state.sessions.save(ANN, HERE, session)
    assert not alive(first)
    async with embedded_valkey(tmp_path, [program]) as url, connect(url) as state:
        assert await state.sessions.load(ANN, HERE) == session


async def test_many_at_once_share_one_server(tmp_path: Path) -> None:
    ready, leave = asyncio.Barrier(6), asyncio.Event()
    found: set[int] = set()

    async def user() -> None:
        async with embedded_valkey(tmp_path) as url:
            found.add(await pid(url))
            await ready.wait()
            await leave.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(user())
        await ready.wait()
        leave.set()
    assert len(found) == 1


async def test_who_joined_takes_over_when_the_starter_leaves(tmp_path: Path) -> None:
    starter = embedded_valkey(tmp_path)
    url = await starter.__aenter__()
    async with Redis.from_url(url) as client:
        await client.set("kept", "yes")
    async with embedded_valkey(tmp_path) as joined:
        assert joined == url
        await starter.__aexit__(None, None, None)

        async def back() -> bool:
            try:
                async with Redis.from_url(url) as client:
                    return bool(await client.get("kept") == b"yes")
            except RedisConnectionError:
                return False

        await eventually(back)


async def test_a_server_that_dies_is_started_anew(own_server: str) -> None:
    first = await pid(own_server)
    os.kill(first, signal.SIGKILL)

    async def back() -> bool:
        try:
            return await pid(own_server) != first
        except RedisConnectionError:
            return False

    await eventually(back)


async def test_a_server_that_does_not_answer_keeps_its_data(
    own_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.1)
    server = await pid(own_server)
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="does not answer"):
            async with embedded_valkey(tmp_path / "data"):
                pass
    finally:
        os.kill(server, signal.SIGCONT)
    assert await pid(own_server) == server


PARENT = """
import asyncio, pathlib, sys
from redis.asyncio import Redis
from adapters.state.valkey import embedded_valkey

async def main():
    async with embedded_valkey(pathlib.Path(sys.argv[1]), [pathlib.Path(sys.argv[2])]) as url:
        async with Redis.from_url(url) as client:
            await client.set("kept", "yes")
            print((await client.info("server"))["process_id"], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def parent(tmp_path: Path, program: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PARENT, str(tmp_path), str(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
async def test_it_dies_with_a_killed_parent(parent: subprocess.Popen[str], tmp_path: Path, program: Path) -> None:
    assert parent.stdout is not None
    server = int(await asyncio.to_thread(parent.stdout.readline))
    assert alive(server)
    parent.kill()

    async def gone() -> bool:
        return not alive(server)

    await eventually(gone)
    async with embedded_valkey(tmp_path, [program]) as url, Redis.from_url(url) as client:
        assert await client.get("kept") == b"yes"


async def test_a_long_folder_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    async with embedded_valkey(deep) as url:
        assert len(url) < 110
        assert await pid(url)
    assert any(deep.iterdir()), "the data stay in the folder"


async def test_a_folder_with_odd_characters(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path / "my data? #1 100%") as url:
        assert await pid(url)


async def test_data_of_a_newer_program_are_left_to_it(tmp_path: Path) -> None:
    programs = find_programs()
    if len(programs) < 2 or "redis" not in programs[0].name:
        pytest.skip("needs Redis beside a newer Valkey")
    async with embedded_valkey(tmp_path, programs[1:]) as url, Redis.from_url(url) as client:
        await client.set("kept", "yes")
        await client.bgrewriteaof()
    async with embedded_valkey(tmp_path, programs) as url, Redis.from_url(url) as client:
        assert await client.get("kept") == b"yes"
        assert "valkey" in str((await info(url))["executable"]), "Redis has refused the data"


async def test_a_program_that_does_not_start(tmp_path: Path) -> None:
    broken = shutil.which("false")
    assert broken
    with pytest.raises(Unavailable, match="REDIS_URL"):
        async with embedded_valkey(tmp_path, [Path(broken)]):
            pass
    async with embedded_valkey(tmp_path, [Path(broken), *find_programs()]) as url:
        assert await pid(url), "the next program is tried, and nothing is left locked"


async def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="data folder"):
        async with embedded_valkey(tmp_path / "file" / "data"):
            pass


def test_programs_on_the_path_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = find_programs()[-1]
    for name, version in (("valkey-server", "8.0.1"), ("redis-server", "6.0.16")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho Server v={version} sha=0\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_programs()[0] == tmp_path / "valkey-server"
    assert tmp_path / "redis-server" not in find_programs(), "too old"
    assert find_programs()[-1] == packaged
