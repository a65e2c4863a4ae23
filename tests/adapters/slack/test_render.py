"""Nothing that a model or a person writes can notify anybody, lie about a link or swallow what follows."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.slack import limits
from adapters.slack.render import line, question, safe, to_mrkdwn
from adapters.slack.telling import cannot_post
from tests.emulators.slack.blocks import check_blocks
from tests.emulators.slack.content import Content, lint, open_fence
from tests.emulators.slack.journal import Journal

PIECES = st.sampled_from(
    [
        *("`", "``", "```", "````", "~~~", "```py\n", "\n", "\n\n", " ", "    ", "> ", "- ", "# ", "| a | b |\n"),
        *("<!channel>", "<!here|here>", "<@U0ALICE001>", "<#C0GENERAL1|general>", "<!subteam^S1>", "@everyone"),
        *("[", "]", "(", ")", "](", "!", "<", ">", "&", "&lt;", "|", "\\", "*", "**", "_", "a", "word ", "日本"),
        *("[good.com](https://evil.com)", "<https://evil.com|good.com>", "[x]: https://evil.com", "javascript:1"),
        *("[a](http://b.c/d_(e))", "[`c`](https://evil.com)", "[x](javascript:alert(1))", "\u202e", "\x00", "\u2028"),
    ]
)
MARKDOWN = st.lists(PIECES, max_size=60).map("".join) | st.text(max_size=300)
LIVE = re.compile(r"<(?:[@#!]|https?:)")


def lints(content: dict[str, object]) -> list[str]:
    """What the strict workspace would hold against a message."""
    journal = Journal(lambda: 0.0)
    blocks = content["blocks"]
    assert isinstance(blocks, list)
    check_blocks(blocks, lambda file: False)
    lint(Content(str(content["text"]), blocks or None), {}, journal, "test")
    return [f"{violation.kind}: {violation.detail}" for violation in journal.violations]


@given(MARKDOWN)
def test_safe_markdown_is_dead_and_closed(markdown: str) -> None:
    text = safe(markdown)
    assert "<" not in text
    assert not re.search(r"&(?!amp;|lt;|gt;)", text)
    assert not open_fence(text)


@given(MARKDOWN, st.integers(10, 200))
@example("`\ufeff``", 100)
def test_a_line_is_one_line_and_not_long(markdown: str, most: int) -> None:
    text = line(markdown, most)
    assert "\n" not in text
    assert "```" not in text
    assert len(text) <= 6 * most


@given(MARKDOWN)
def test_questions_are_quoted_literally(text: str) -> None:
    content = question("U0ALICE001", text or "?")
    assert lints(content) == []
    assert content["text"].startswith("<@U0ALICE001> asks:")
    assert not LIVE.search(content["text"].removeprefix("<@U0ALICE001>"))


@given(st.text(alphabet="ab [](){}<>:/.`\n", max_size=80))
def test_no_link_survives_that_was_not_understood(markdown: str) -> None:
    for label, target in re.findall(r"\[([^\[\]]*)\]\(([^()\s]*)\)", re.sub(r"`[^`]*`|```.*?```", "", safe(markdown))):
        assert re.match(r"https?://[^/]", target), (label, target)


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d"),
        ("<!channel> and <@U1>", "&lt;!channel&gt; and &lt;@U1&gt;"),
        ("`<!here>`", "`&lt;!here&gt;`"),
        ("hello @everyone, @here!", "hello @\u2060everyone, @\u2060here!"),
        ("`@channel` stays in code", "`@channel` stays in code"),
        ("> quoted\n>> twice", "> quoted\n>> twice"),
        ("[the docs](https://docs.example.org/x)", "[the docs](https://docs.example.org/x) (docs.example.org)"),
        ("[example.org](https://www.example.org/a)", "[example.org](https://www.example.org/a)"),
        ("[https://a.org/x](https://a.org/x/)", "https://a.org/x/"),
        ("[bank.com](https://evil.net/bank.com)", "bank.com (https://evil.net/bank.com)"),
        ("[https://bank.com/login](https://evil.net)", "https://bank.com/login (https://evil.net)"),
        ("[here](https://bank.com@evil.net/)", "[here](https://bank.com@evil.net/) (evil.net)"),
        ("[пример](https://b\u0430nk.com)", "[пример](https://b\u0430nk.com) (xn--bnk-6cd.com)"),
        ("[click](javascript:alert(1))", "click (javascript:alert(1))"),
        ("[click](data:text/html;base64,x)", "click (data:text/html;base64,x)"),
        ("[a](b)", "a (b)"),
        ("![chart](https://x.org/c.png)", "[chart](https://x.org/c.png) (x.org)"),
        ("<https://x.org/?a=1&b=2>", "https://x.org/?a=1&amp;b=2"),
        ("<https://evil.net|bank.com>", "&lt;https://evil.net|bank.com&gt;"),
        ("[bank][1]\n\n[1]: https://evil.net", "[bank][1]\n\n[1] https://evil.net"),
        ("[write](mailto:a@b.org)", "[write](mailto:a@b.org) (a@b.org)"),
        ("[`code`](https://evil.net)", "[`code`] (https://evil.net)"),
        ("`[a](b)` is kept", "`[a](b)` is kept"),
        ("```\n[a](b) <x>\n```", "```\n[a](b) &lt;x&gt;\n```"),
        ("```py\nleft open", "```py\nleft open\n```"),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("| a | b |\n|---|---|\n| 1 | <2 |", "| a | b |\n|---|---|\n| 1 | &lt;2 |"),
    ],
)
def test_safe(markdown: str, expected: str) -> None:
    assert safe(markdown) == expected


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("# Title\n**bold** and __too__ and ~~gone~~", "*Title*\n*bold* and *too* and ~gone~"),
        ("- one\n  * two", "• one\n  • two"),
        ("[docs](https://a.org/x?y=1&amp;z=2) (a.org)", "<https://a.org/x?y=1&amp;z=2|docs> (a.org)"),
        ("`**code**` stays", "`**code**` stays"),
        ("~~~py\nx = 1\n~~~\nend", "```\nx = 1\n```\nend"),
        ("````\n```\n````", "```\n'''\n```"),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\nend", "```\n| a | b |\n|---|---|\n| 1 | 2 |\n```\n\nend"),
    ],
)
def test_to_mrkdwn(markdown: str, expected: str) -> None:
    assert to_mrkdwn(markdown).rstrip("\n") == expected


def test_long_questions_are_cut_in_the_quote() -> None:
    content = question("U1", "word " * 2000)
    quoted = content["blocks"][0]["elements"][1]["elements"][0]["text"]
    assert len(quoted) == limits.QUOTE
    assert quoted.endswith("…")
    assert len(content["text"]) <= limits.TEXT


def test_refusals_name_the_remedy() -> None:
    assert "direct message to me" in cannot_post("channel_not_found", "D1", "consortium")
    assert "/invite @consortium" in cannot_post("not_in_channel", "C1", "consortium")
    assert "/invite" not in cannot_post("restricted_action", "C1", "consortium")
    assert "restricted_action" in cannot_post("restricted_action", "C1", "consortium")


@pytest.mark.parametrize("text", ["\\[" * 100_000, "[" * 100_000, "[a](" + " " * 100_000])
def test_brackets_that_nothing_closes_take_no_time(text: str) -> None:
    assert "](" not in safe(text)
