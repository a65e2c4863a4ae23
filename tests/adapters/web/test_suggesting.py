"""Which kind of name the grammar wants behind the caret."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.web.suggesting import gap, suggested
from core.cards import Option
from core.commands.grammar import COMMANDS, parse
from core.errors import BadInput


@pytest.mark.parametrize(
    ("text", "kinds", "typed"),
    [
        ("/", ("command",), ""),
        ("/cons", ("command",), ""),
        ("/hist", ("command",), "hist"),
        ("/consortium ", ("command",), ""),
        ("/Consortium hi", ("command",), "hi"),
        ("/consortium use et", ("consortium",), "et"),
        ("/consortium show ", ("run", "consortium"), ""),
        ("/consortium remove ", ("saved",), ""),
        ("/consortium save ethics ad", ("model",), "ad"),
        ("/consortium roles assign a", ("model",), "a"),
        ("/consortium roles assign ada Raw", ("role",), "Raw"),
        ("/consortium ask --consortium r", ("consortium",), "r"),
        ("/consortium ask --no-charts --models ada,be", ("model",), "be"),
        ("/consortium save x ada --strategy ", ("strategy",), ""),
    ],
)
def test_names_of_the_right_kind_are_wanted(text: str, kinds: tuple[str, ...], typed: str) -> None:
    found = gap(text)
    assert found is not None
    assert (found.kinds, found.typed) == (kinds, typed)
    assert text[found.start :].endswith(typed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/consortium roles ", ("assign", "clear", "shuffle")),
        ("/consortium type y", ("open", "yes-no", "choice", "number")),
        ("/consortium ask --type ", ("open", "yes-no", "choice", "number")),
        ("/consortium budget user d", ("day", "month")),
    ],
)
def test_words_of_the_grammar_are_wanted(text: str, words: tuple[str, ...]) -> None:
    found = gap(text)
    assert found is not None
    assert found.words == words


@pytest.mark.parametrize(
    "text",
    ["", "Is it so?", "use ", "/other thing", "/consortium ask Is it", "/consortium use ethics ", "/consortium x y"],
)
def test_anything_may_follow(text: str) -> None:
    assert gap(text) is None


async def nothing(kind: str, typed: str) -> list[Option]:
    return []


async def commands(kind: str, typed: str) -> list[Option]:
    assert kind == "command"
    return [Option(value=name, label=name) for name in COMMANDS if name.startswith(typed)]


async def test_what_is_suggested_for_a_command_can_be_sent() -> None:
    start, found = await suggested("/hist", commands)
    assert (start, [text for text, _ in found]) == (0, ["/consortium history "])
    start, found = await suggested("/consortium hist", commands)
    assert ["/consortium hist"[:start] + text for text, _ in found] == ["/consortium history "]


async def test_options_are_suggested_with_what_they_do() -> None:
    _, found = await suggested("/consortium ask --no", nothing)
    assert [(text, option.about) for text, option in found] == [("--no-charts ", "leave the charts out")]


@pytest.mark.parametrize("name", COMMANDS)
async def test_the_words_that_are_suggested_are_those_of_the_grammar(name: str) -> None:
    _, found = await suggested(f"/consortium {name} ", nothing)
    for text, _ in found:
        with suppress(BadInput):  # more words are to follow; that this one is unknown would be another text
            parse(f"{name} {text}")
            continue
        with pytest.raises(BadInput, match=r"^(?!.*is not a command)"):
            parse(f"{name} {text}")


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    for written in (text, f"/{text}", f"/consortium {text}"):
        found = gap(written)
        assert found is None or 0 <= found.start <= len(written)
