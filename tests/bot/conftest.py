"""The command line in this process: the real ``main`` with arguments, standard input and a folder of its own."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from adapters.history import SqlHistory
from bot import cli
from bot.settings import Settings
from tests.databases import new_database
from tests.logs import log_restored

T = TypeVar("T")


@dataclass
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """Commands in a folder and an environment of their own; there are no queue and no other process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self._capsys = folder, monkeypatch, capsys

    def run(self, *args: str, stdin: str | bytes = "") -> Said:
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        self.monkeypatch.setattr(sys, "argv", ["consortium", *args])
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        code: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        out, err = self._capsys.readouterr()
        return Said(code if isinstance(code, int) else 0, out, err)

    def ok(self, *args: str, stdin: str | bytes = "") -> Said:
        said = self.run(*args, stdin=stdin)
        assert (said.code, said.err) == (0, ""), said
        return said

    def refused(self, *args: str, stdin: str | bytes = "") -> str:
        """What it says on standard error when it ends with 2 and has printed nothing else."""
        said = self.run(*args, stdin=stdin)
        assert (said.code, said.out) == (2, ""), said
        assert all(line.startswith("consortium: ") for line in said.err.splitlines()), said.err
        return said.err

    def store(self, work: Callable[[SqlHistory], Awaitable[T]]) -> T:
        """Do something with the database that the commands use."""

        async def main() -> T:
            async with SqlHistory(new_database(self.folder / "data" / "consortium.db")) as history:
                return await work(history)

        return asyncio.run(main())


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty folder to work in, and no variable of ours."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    collections = gc.get_threshold()
    with log_restored():
        yield tmp_path
    gc.unfreeze()
    gc.set_threshold(*collections)


@pytest.fixture
def desk(bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(bare, monkeypatch, capsys)
