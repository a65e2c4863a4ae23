"""Long texts are cut so that nothing is lost and no piece swallows what follows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.splitting import close_fence, split
from tests.emulators.slack.content import open_fence

LINES = st.sampled_from(
    ["", "a line of words", "x" * 700, "&amp;" * 60, "```", "```python", "~~~", "````", "- item", "``` not a fence` "]
)


@given(st.lists(LINES, max_size=60).map("\n".join), st.integers(200, 900))
def test_pieces_fit_and_are_closed(text: str, limit: int) -> None:
    pieces = split(text, limit)
    for piece in pieces:
        assert 0 < len(piece) <= limit
        assert not open_fence(piece)
    if "`" not in text and "~" not in text:
        assert "".join("".join(pieces).split()) == "".join(text.split())


@given(st.integers(200, 400), st.integers(0, 30))
def test_entities_stay_whole(limit: int, shift: int) -> None:
    pieces = split("x" * shift + "&amp;&lt;" * 300, limit)
    assert all(piece.count("&") == piece.count(";") for piece in pieces)


def test_a_fence_goes_on_in_the_next_piece() -> None:
    code = "\n".join(f"line_{n} = {n}" for n in range(200))
    pieces = split(f"Before.\n\n```python\n{code}\n```\n\nAfter.", 500)
    assert len(pieces) > 5
    assert all(piece.count("```") == 2 for piece in pieces[1:-1])
    assert pieces[1].startswith("```python\n")
    lines = [line for piece in pieces for line in piece.split("\n") if line.startswith("line_")]
    assert lines == code.split("\n")
    assert pieces[-1].endswith("After.")


def test_paragraphs_go_first_then_lines_then_words() -> None:
    paragraphs = split(f"{'a ' * 60}\n\n{'b ' * 60}", 200)
    assert [piece.strip()[0] for piece in paragraphs] == ["a", "b"]
    lines = split(f"{'a ' * 70}\n{'b ' * 70}", 200)
    assert [piece.strip()[0] for piece in lines] == ["a", "b"]
    words = split("word " * 100, 200)
    assert {word for piece in words for word in piece.split()} == {"word"}


@pytest.mark.parametrize("text", ["", "short", "```\ncode\n```"])
def test_short_texts_stay(text: str) -> None:
    assert split(text, 200) == ([text] if text else [])


def test_open_fences_are_closed_with_their_own_marks() -> None:
    assert close_fence("~~~~ js\ncode") == "~~~~ js\ncode\n~~~~"
    assert close_fence("```\ncode\n```") == "```\ncode\n```"
