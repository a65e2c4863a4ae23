"""Whatever people and models write becomes HTML that does nothing but show it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.web.markdown import html, inline_html

ALLOWED = {
    *("p", "br", "strong", "em", "s", "code", "pre", "a", "ul", "ol", "li", "blockquote", "hr", "div"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {
    "a": {"href", "target", "rel", "title", "data-host"},
    "div": {"class", "tabindex"},
    "code": {"class"},
    "th": {"class"},
    "td": {"class"},
    "ol": {"start"},
}


class Inventory(HTMLParser):
    """Notes the elements of a document and fails on what must not be there."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        assert {name for name, _ in attrs} <= ATTRIBUTES.get(tag, set()), (tag, attrs)
        for name, value in attrs:
            if name == "href":
                assert (value or "").lower().startswith(("http://", "https://", "mailto:")), value
                self.links.append(value or "")

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a <b onmouseover=alert(1)>b</b>",
    "<svg/onload=alert(1)>",
    "<!-- --><style>*{display:none}</style>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](&#x6A;avascript:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x) [y](file:///etc/passwd) [z](//evil.example) [w](/api/threads)",
    "<javascript:alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    "![x](https://evil.example/pixel.png)",
    '![x](x"onerror="alert(1))',
    '[x](https://good.example "title\\" onclick=alert(1)")',
    '[x](https://good.example"onclick=alert(1))',
    "```<img src=x onerror=alert(1)>\ncode\n```",
    '```js" onload="alert(1)\ncode\n```',
    "`<script>alert(1)</script>`",
    "| <script> | b |\n|---|:-:|\n| <img src=x onerror=y> | c |",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_attacks_stay_text(text: str) -> None:
    Inventory(html(text))
    Inventory(inline_html(text))


@given(
    st.lists(
        st.sampled_from([*ATTACKS, "\n\n", "> ", "- ", "`", "**", "](", "[", "<", ">", '"', "\n", "|"]), max_size=12
    )
)
def test_attacks_stay_text_however_they_are_joined(parts: list[str]) -> None:
    Inventory(html("".join(parts)))


def test_links_open_apart_and_tell_nothing() -> None:
    document = html("[here](https://good.example/a?b=1&c=2)")
    assert Inventory(document).links == ["https://good.example/a?b=1&c=2"]
    assert 'target="_blank" rel="noopener noreferrer nofollow"' in document


def test_a_link_does_not_hide_where_it_leads() -> None:
    assert 'data-host="evil.example"' in html("[https://bank.example](https://evil.example/login)")
    assert 'data-host="someone@evil.example"' in html("[the bank](mailto:someone@evil.example)")
    assert "data-host" not in html("<https://good.example/>")
    assert "data-host" not in html("[good.example](https://good.example)")


def test_usual_markdown_is_shown() -> None:
    assert html("**Yes.** It's *fine*\nnext") == "<p><strong>Yes.</strong> It's <em>fine</em><br />\nnext</p>\n"
    assert html("- a\n- b").startswith("<ul>\n<li>a</li>")
    assert "<s>old</s>" in html("~~old~~")


def test_wide_things_scroll_by_themselves_and_have_no_inline_style() -> None:
    table = html("| a | b |\n|:--|--:|\n| 1 | 2 |")
    assert table.startswith('<div class="wide" tabindex="0"><table>')
    assert '<td class="align-right">2</td>' in table
    assert "style" not in table
    assert table.count("<div") == table.count("</div>") == 1
    assert html("```py\nx\n```").startswith('<div class="wide" tabindex="0"><pre><code class="language-py">')
    assert html("    x").startswith('<div class="wide" tabindex="0"><pre>')


def test_of_a_picture_only_the_words_are_shown() -> None:
    assert html("![a *red* <b>](https://evil.example/p.png)") == "<p>a red &lt;b&gt;</p>\n"
    assert html("![](https://evil.example/p.png)") == "<p>https://evil.example/p.png</p>\n"


def test_a_line_stays_a_line() -> None:
    assert inline_html("a\n\n# b\nc **d**") == "a # b c <strong>d</strong>"
