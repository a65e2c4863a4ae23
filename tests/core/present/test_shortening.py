from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.present.shortening import MOST, WHOLE, blocks, closed, shortened

SENTENCE = "This is one of many sentences that say something. "
CODE = "```python\n" + "print('a line of code')\n" * 10 + "```"
TABLE = "| a | b |\n|---|---|\n" + "| one | two |\n" * 12
FORMULA = "$$\n" + "x = y + z \\\\\n" * 8 + "$$"


def test_what_is_short_is_whole() -> None:
    text = (SENTENCE * 13).strip()
    assert len(text) <= MOST
    assert shortened(f"\n{text}\n") == (text, False)


def test_a_long_paragraph_ends_at_a_sentence() -> None:
    text, cut = shortened(SENTENCE * 40)
    assert cut
    assert text == (SENTENCE * 14).strip() + " …"


def test_paragraphs_stay_whole_while_they_fit() -> None:
    first, second = (SENTENCE * 6).strip(), (SENTENCE * 6).strip()
    assert shortened(f"{first}\n\n{second}\n\n{CODE}") == (f"{first}\n\n{second} …", True)


def test_a_text_without_sentences_is_cut_between_words() -> None:
    text, cut = shortened("word " * 400)
    assert cut
    assert text.endswith("word …")
    assert MOST - 20 < len(text) <= MOST + 2
    assert len(shortened("字" * 2000)[0]) <= MOST + 2


@pytest.mark.parametrize("solid", [CODE, TABLE, FORMULA], ids=["code", "table", "formula"])
def test_what_cannot_be_cut_is_shown_whole_or_not_at_all(solid: str) -> None:
    head = (SENTENCE * 13).strip()
    assert shortened(f"{head}\n\n{solid}\n\nThe end.") == (f"{head} …", True)
    longer = solid + "\n\n" + SENTENCE * 20
    text, _ = shortened(longer)
    assert text.startswith(solid.strip())


def test_a_block_at_the_head_is_shown_even_when_it_is_long() -> None:
    code = "```\n" + "x = 1\n" * 200 + "```"
    assert MOST < len(code) < WHOLE
    assert shortened(f"{code}\n\nThat is it.") == (f"{code}\n\n…", True)
    assert shortened("```\n" + "x = 1\n" * 2000 + "```") == ("…", True)


def test_items_of_a_list_stay_whole() -> None:
    items = [f"- **Point {n}**: {SENTENCE * 3}".strip() for n in range(8)]
    text, cut = shortened("Reasons:\n\n" + "\n".join(items))
    assert cut
    assert text == "Reasons:\n\n" + "\n".join(items[:4]) + "\n\n…"


def test_an_item_takes_along_what_belongs_to_it() -> None:
    text = "1. One:\n\n   ```\n   code\n\n   more\n   ```\n   - deeper\n2. Two\n\nThe end."
    assert [(b.kind, b.text) for b in blocks(text)] == [
        ("item", "1. One:\n\n   ```\n   code\n\n   more\n   ```\n   - deeper"),
        ("item", "2. Two"),
        ("text", "The end."),
    ]


def test_a_heading_does_not_stand_alone_at_the_end() -> None:
    first = (SENTENCE * 13).strip()
    assert shortened(f"{first}\n\n## Next\n\n{CODE * 3}") == (f"{first} …", True)


@pytest.mark.parametrize(
    "held", ["`a. b. c. d`", "$a. b. c$", "\\(a. b. c\\)", "**one. two. three**", "[one. two](https://a.example/x.y)"]
)
def test_nothing_is_cut_in_two_within_a_line(held: str) -> None:
    for before in range(MOST - 30, MOST + 1):
        text, _ = shortened("x" * 20 + " " + "y" * (before - 25) + f". {held} and on it goes. " + SENTENCE * 5)
        assert held in text or held[:3] not in text


PIECES = st.sampled_from(
    [
        "```",
        "~~~",
        "$$",
        "\\[",
        "- a",
        "1. b",
        "  - c",
        "# d",
        "| a | b |",
        "|---|---|",
        "",
        "x. y",
        "`",
        "**",
        SENTENCE * 5,
    ]
)


@given(st.lists(PIECES, max_size=60), st.integers(10, 300))
def test_any_document_is_its_blocks_and_is_shortened(lines: list[str], most: int) -> None:
    document = "\n".join(lines).strip()
    assert "".join(b.gap + b.text for b in blocks(document)) == document
    text, cut = shortened(document, most)
    if not cut:
        assert text == document
        return
    kept = text.removesuffix("…").rstrip()
    assert document.startswith(kept)
    assert len(kept) < len(document)
    place = 0
    for block in blocks(document):
        start, place = place + len(block.gap), place + len(block.gap) + len(block.text)
        assert block.kind == "text" or not start < len(kept) < start + len(block.text.rstrip()), "cut in two"


@pytest.mark.parametrize("piece", ["$$\nx\n", "- a\n", "`", "[", "```\n", "**", "a. ", "\n\n", "| a |\n", "\\[\n"])
def test_a_long_text_costs_little(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    begun = time.process_time()
    shortened(text)
    assert time.process_time() - begun < 0.2


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("No code.", "No code."),
        (CODE, CODE),
        ("So:\n```python\nprint(1", "So:\n```python\nprint(1\n```"),
        ("1. So:\n   ```\n   x", "1. So:\n   ```\n   x\n   ```"),
        ("~~~~\n~~~\n```", "~~~~\n~~~\n```\n~~~~"),
        ("````\n```\n````", "````\n```\n````"),
        ("```so``` it is", "```so``` it is"),
        ("```\na\n``` no end", "```\na\n``` no end\n```"),
    ],
)
def test_code_that_was_cut_off_is_closed(text: str, whole: str) -> None:
    assert closed(text) == whole
    assert closed(whole) == whole
