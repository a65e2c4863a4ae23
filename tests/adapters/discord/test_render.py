"""Markdown for Discord: what is shown, what is defused, and how it is cut into messages."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.discord import limits
from adapters.discord.limits import size, weight
from adapters.discord.render import GAP, cut, pages, quote, split, thread_name

PIECES = st.sampled_from(
    [
        *(
            "`",
            "``",
            "```",
            "````",
            "~~~",
            "```py\n",
            "\n```\n",
            "\n",
            "\n\n",
            " ",
            "word ",
            "Ein längerer Satz. ",
            "🎉",
        ),
        *(
            "@everyone",
            "@here",
            "<@123>",
            "<@&9>",
            "<#7>",
            "</ask:5>",
            "discord.gg/abc",
            "https://discord.com/invite/x",
        ),
        *(
            "[text](https://evil.example)",
            "](https://evil.example)",
            "[",
            "](",
            "https://a.example/b_c",
            "<https://x.example>",
        ),
        *(
            "\\",
            "|",
            "||",
            "| a | b |\n|---|---|\n| c | d |\n",
            "# ",
            "#### ",
            "> ",
            ">>> ",
            "- ",
            "* ",
            "-# ",
            "---\n",
        ),
        *("<br>", "**", "_", "x" * 700, "y " * 500, "\r\n", "\t"),
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=30).map("".join)

_DISCORD = re.compile(
    r"\\[^0-9A-Za-z\s]|```(?:[a-zA-Z0-9_+\-.#]+\n)?\n*[^\n][\s\S]*?\n*```|(?<!`)(`+)(?!`)([\s\S]*?[^`])\1(?!`)"
)


def outside_code(message: str) -> str:
    """What Discord reads as text: its escapes, code blocks and code spans, taken away in the order it finds them."""
    return _DISCORD.sub("\x00", message)


def dangers(message: str) -> Iterator[str]:
    """What a message could do that it must not."""
    yield from re.findall(r"@(?:everyone|here)\b", message)
    yield from re.findall(r"<@[!&]?\d+>|<#\d+>|</[-\w ]+:\d+>", message)
    yield from re.findall(r"discord(?:app)?\.(?:gg|com/invite)/\S+", message)
    yield from re.findall(r"\]\(\s*<?https?://", outside_code(message))
    yield from re.findall(r"^>>>", outside_code(message), re.MULTILINE)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.sampled_from([200, limits.TEXT]))
def test_no_text_makes_a_message_that_is_too_long_or_does_harm(text: str, limit: int) -> None:
    for texts in [*pages([text], limit=limit), *pages([text, "more", text], ["run 1", text], limit=limit)]:
        assert texts
        assert sum(map(weight, texts)) <= limit
        for shown in texts:
            assert shown.strip()
            assert shown.count("```") % 2 == 0
            assert list(dangers(shown)) == []


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_what_must_fit_one_message_does(text: str) -> None:
    message = quote(text)
    assert size(message) <= limits.MESSAGE
    assert message.count("```") % 2 == 0
    assert list(dangers(message)) == []
    name = thread_name(text)
    assert 0 < size(name) <= limits.THREAD_NAME
    assert "\n" not in name
    assert size(cut(text, 50)) <= 50


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=1, max_size=900), st.data())
def test_no_word_is_lost(words: list[str], data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.sampled_from([" ", " ", " ", "\n", "\n\n", ". "]), min_size=1, max_size=9))
    text = "".join(word + gaps[i % len(gaps)] for i, word in enumerate(words))
    assert re.findall("[a-h]+", "\n".join(split(text))) == words


@given(st.lists(st.text("abc`@ ", max_size=40), max_size=120))
def test_code_stays_as_it_is(lines: list[str]) -> None:
    lines = ["first", *lines, "last"]
    messages = split("~~~\n" + "\n".join(lines) + "\n~~~")
    code = [line for message in messages for line in message.removeprefix("```\n").removesuffix("\n```").split("\n")]
    assert [line.replace(GAP, "") for line in code] == lines


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("plain *text* with **marks**", "plain *text* with **marks**"),
        ("[docs](https://a.example/x_(y))", "docs (<https://a.example/x_(y)>)"),
        ("[https://bank.example](https://evil.example)", "<https://bank.example> (<https://evil.example>)"),
        ("[https://a.example/](https://a.example)", "<https://a.example>"),
        ('![chart](https://a.example/c.png "title")', "chart (<https://a.example/c.png>)"),
        ("see https://a.example/b_c.", "see <https://a.example/b_c>."),
        ("(https://a.example/b)", "(<https://a.example/b>)"),
        ("**https://a.example**", "**<https://a.example>**"),
        ("`a[0](https://x.example)` stays", "`a[0](https://x.example)` stays"),
        ("f[0](x)", f"f[0]{GAP}(x)"),
        ("hi @everyone", f"hi @{GAP}everyone"),
        ("see https://medium.example/@hereandnow", "see <https://medium.example/@hereandnow>"),
        ("#### Deep ##", "**Deep**"),
        ("### Third", "### Third"),
        ("+ item", "- item"),
        ("> > nested", "> nested"),
        (">>> print(1)", "> print(1)"),
        ("* * *", "─" * 12),
        ("-# tiny", "\\-# tiny"),
        ("a || b || c", "a \\|\\| b \\|\\| c"),
        ("it's a ` lone tick", "it's a \\` lone tick"),
        ("````x````", "`x`"),
        ("a<br>b", "a b"),
        ("1. one\n2. two", "1. one\n2. two"),
        ("```js\nlet a;\n```", "```js\nlet a;\n```"),
        ("```\ncut off", "```\ncut off\n```"),
        ("- item\n  ```py\n  x = 1\n    y\n  ```", "- item\n```py\nx = 1\n  y\n```"),
        ("> ```\n> quoted\n> ```", "```\nquoted\n```"),
        ("~~~\na ``` b\n~~~", f"```\na `{GAP}`` b\n```"),
        ("```html\n</div>\n```", "```html\n</div>\n```"),
    ],
)
def test_markdown_as_discord_shows_it(markdown: str, shown: str) -> None:
    assert split(markdown) == [shown]


def test_a_narrow_table_is_set_in_columns() -> None:
    table = "Before\n\n| Model | Vote |\n|:--|--:|\n| **llama** | `yes` |\n| 日本 | a \\| b |\n\nafter"
    assert split(table) == ["Before\n```\nModel  Vote\n─────  ─────\nllama  yes\n日本   a | b\n```\n\nafter"]


def test_a_wide_table_becomes_a_list() -> None:
    reason = "because it is so and has been so for a very long time"
    table = f"| Model | Vote | Why |\n|---|---|---|\n| **llama** | yes | {reason} |\n| qwen | | |"
    assert split(table) == [f"- **llama**\n  - Vote: yes\n  - Why: {reason}\n- **qwen**"]


def test_code_over_two_messages_is_closed_and_opened_again() -> None:
    code = [f"line {n} of the code" for n in range(300)]
    first, second = split("Intro\n```python\n" + "\n".join(code) + "\n```\nEnd")
    assert first.startswith("Intro\n```python\nline 0 ")
    assert first.endswith("\n```")
    assert second.startswith("```python\nline ")
    assert second.endswith("line 299 of the code\n```\n\nEnd")


def test_a_heading_goes_with_its_text() -> None:
    first, second = split("a" * 3900 + "\n## Why\n" + "b" * 300)
    assert (first, second) == ("a" * 3900, "## Why\n" + "b" * 300)


def test_paragraphs_are_kept_whole_where_they_can_be() -> None:
    first, second = split("a " * 1200 + "\n\n" + "b " * 1200)
    assert set(first) == {"a", " "}
    assert set(second) == {"b", " "}


def test_parts_stand_apart_and_the_last_is_small_print() -> None:
    found = pages(["Answer", "", "Dissent"], ["consortium default", "", "run 1"])
    assert found == [["Answer", "Dissent", "-# consortium default\n-# run 1"]]
    *_, last = pages(["x" * 5000], ["run 1"])
    assert last[-1] == "-# run 1"


def test_text_of_many_bytes_takes_more_messages() -> None:
    messages = split("日本語" * 3000)
    assert all(len(message) <= 3400 for message in messages), "Discord fails on some 10,000 bytes"
    assert sum(message.count("日") for message in messages) == 3000


def test_a_line_of_signs_in_code_is_cut_between_them() -> None:
    messages = split("```\n" + "🎉" * 5000 + "\n```")
    assert sum(message.count("🎉") for message in messages) == 5000


def test_a_question_is_quoted() -> None:
    assert quote("Why?\n@here") == f"> Why?\n> @{GAP}here"
    assert quote("long " * 1000).endswith("\n> …")


def test_the_name_of_a_thread() -> None:
    assert thread_name("**Why**\n is `it` so?\u202e") == "Why is it so?"
    assert thread_name("```") == "Consortium"
    assert size(thread_name("🎉" * 200)) <= limits.THREAD_NAME
