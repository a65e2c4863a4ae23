from __future__ import annotations

import io
import json
import os
import sys

import pytest

from bot.tables import Table, plain, print_json, print_table, printable, short
from core.types import Usage

TABLE = Table(("name", "n"), [("alpha", "1"), ("日本", "22"), ("e\u0301", None)], right=frozenset({"n"}))


def test_columns_stand_below_each_other_whatever_their_letters() -> None:
    assert plain(TABLE) == ["name    n", "alpha   1", "日本   22", "e\u0301       -"]


def test_a_cell_is_one_line_and_moves_no_cursor() -> None:
    assert plain(Table(("a",), [("one\ntwo\x1b[31m\u202e",)]))[1] == "one two[31m"


def test_text_from_outside_cannot_steer_a_terminal() -> None:
    assert printable("a\x1b]0;title\x07b\x9bc\r\nd\te") == "a]0;titlebc\nd\te"
    assert short("one  two\nthree", 9) == "one two…"


def test_a_pipe_gets_neither_colours_nor_frames(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(TABLE)
    assert capsys.readouterr().out.splitlines() == plain(TABLE)


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(os, "environ", {**os.environ, "TERM": "xterm", "COLUMNS": "60"})
    print_table(TABLE)
    assert "─" in screen.getvalue()
    assert "日本" in screen.getvalue()


def test_values_become_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"usage": Usage(cost=0.5), "names": frozenset({"a"}), "word": "naïve"})
    out = capsys.readouterr().out
    assert "naïve" in out
    expected = {"prompt_tokens": None, "completion_tokens": None, "cost": 0.5}
    assert json.loads(out) == {"usage": expected, "names": ["a"], "word": "naïve"}
