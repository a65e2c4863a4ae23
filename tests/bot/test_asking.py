"""What can be said with a question, and what cannot; before anything is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.commands.asking import whole_question
from bot.commands.base import read_params, read_roles
from core.errors import BadInput
from tests.bot.conftest import Desk


@pytest.mark.parametrize(
    ("entries", "params"),
    [
        ([], {}),
        (["lead=2", "share=0.5", "prose=true", "eps=null"], {"lead": 2, "share": 0.5, "prose": True, "eps": None}),
        (["method=dbscan", "text= a=b "], {"method": "dbscan", "text": "a=b"}),
        (['roles=["a", "b"]'], {"roles": ["a", "b"]}),
        (["roles=a", "roles=b", "roles=c"], {"roles": ["a", "b", "c"]}),
        (["x=[1]", "x=[2]", "x=3"], {"x": [[1], [2], 3]}),
        (["x=NaN", "y=Infinity", "z="], {"x": "NaN", "y": "Infinity", "z": ""}),
    ],
)
def test_parameters_are_json_where_they_parse(entries: list[str], params: dict[str, object]) -> None:
    assert read_params(entries) == params


@pytest.mark.parametrize("entry", ["lead", "=2", " =2"])
def test_a_parameter_without_a_name_or_a_value_is_told(entry: str) -> None:
    with pytest.raises(BadInput, match=r"^--param .*: has no value; write e\.g\. --param lead=2$"):
        read_params([entry])


def test_roles_go_by_model() -> None:
    assert read_roles(["qwen=Fact Checker", "llama=a=b"]) == {"qwen": "Fact Checker", "llama": "a=b"}


def test_what_is_piped_in_alone_is_the_question() -> None:
    assert whole_question("", "Is it so?\n") == "Is it so?"
    assert whole_question("  ", " \n") == ""


def test_what_is_piped_in_beside_a_question_is_set_apart() -> None:
    assert whole_question("What?", "a\n```\nb\n") == "What?\n\n````\na\n```\nb\n````"


@pytest.mark.parametrize(
    ("args", "stdin", "told"),
    [
        (("--file", "none.txt", "Why?"), b"", "--file none.txt: cannot be read (No such file or directory); write"),
        (("--file", ".", "Why?"), b"", "--file .: cannot be read (Is a directory)"),
        (("--file", "binary", "Why?"), b"", "“binary” "),
        (("--file", "huge", "Why?"), b"", "“huge” has 12.0 MB; an attachment may have 10 MB"),
        (("--file", "deck.pptx", "Why?"), b"", "“deck.pptx” is a presentation, which cannot be read here"),
        (("--file", "small") * 6 + ("Why?",), b"", "A question may have 5 files; this one has 6"),
        (("--file", "small"), b"", "--file small: there is no question beside it"),
        (("Why?",), b"\xff\xfe", "standard input: is no text"),
        (("Why?",), b"x" * 12_000, "The question has 12,0"),
        (("-c", "--cid", "abc", "Why?"), b"", "--continue and --cid: both name a conversation"),
        (("--system", "x" * 8_001, "Why?"), b"", "--system: has 8,001 characters and may have 8,000"),
        (("--param", "lead", "Why?"), b"", "--param lead: has no value"),
        (("--role", "qwen", "Why?"), b"", "--role qwen: has no value"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_asked_is_told_at_once(desk: Desk, args: tuple[str, ...], stdin: bytes, told: str) -> None:
    for name, content in (
        ("binary", b"\x7fELF\0" * 20_000),
        ("huge", b"x" * 12 * 2**20),
        ("deck.pptx", b"x"),
        ("small", b"x"),
    ):
        Path(name).write_bytes(content)
    assert desk.refused("ask", *args, stdin=stdin).startswith(f"consortium: {told}")


def test_an_unknown_option_is_told_with_where_to_look(desk: Desk) -> None:
    said = desk.run("ask", "--modle", "x")
    assert (said.code, said.out) == (2, "")
    assert "--modle" in said.err
    assert "consortium ask --help" in said.err
