"""Markdown to HTML that is safe to put into the page, whoever wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from core.present.maths import readable

_SCHEMES = ("http://", "https://", "mailto:")
_WIDE = '<div class="wide" tabindex="0">'
"""Holds what may be wider than the page, so that it scrolls by itself, with the keyboard too."""


@lru_cache(maxsize=512)
def html(markdown: str) -> str:
    """Safe HTML: no raw HTML, no pictures, no inline styles, links only to the web and to mail, opened apart. Formulae
    become text.

    What was asked for lately is remembered: while a run goes on, the same answers are shown again and again.
    """
    return str(_parser().render(readable(markdown)))


@lru_cache(maxsize=512)
def inline_html(markdown: str) -> str:
    """As :func:`html` for a single line, without a paragraph around it."""
    return str(_parser().renderInline(" ".join(readable(markdown).split())))


@cache
def _parser() -> MarkdownIt:
    options = {"html": False, "breaks": True}
    parser = _Markdown("commonmark", options, renderer_cls=_Renderer)
    return parser.enable(["table", "strikethrough"])


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        return url.lower().startswith(_SCHEMES)


class _Renderer(RendererHTML):
    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A link that does not hide where it leads: unless its text is the address, the host stands behind it."""
        link = tokens[idx]
        address = str(link.attrs.get("href", ""))
        host = urlsplit(address).netloc or address.removeprefix("mailto:")
        if tokens[idx + 1].content.rstrip("/") not in (address.rstrip("/"), host):
            link.attrSet("data-host", host)
        link.attrSet("target", "_blank")
        link.attrSet("rel", "noopener noreferrer nofollow")
        return self.renderToken(tokens, idx, options, env)

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A picture's words: the picture itself would be fetched from elsewhere."""
        words = self.renderInlineAsText(tokens[idx].children or [], options, env)
        return escapeHtml(words or str(tokens[idx].attrs.get("src", "")))

    def th_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A cell whose alignment is a class: the page's policy forbids inline styles."""
        style = tokens[idx].attrs.pop("style", None)
        if style:
            tokens[idx].attrSet("class", str(style).replace("text-align:", "align-"))
        return self.renderToken(tokens, idx, options, env)

    td_open = th_open

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _WIDE + self.renderToken(tokens, idx, options, env)

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return self.renderToken(tokens, idx, options, env) + "</div>\n"

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> Any:
        return f"{_WIDE}{super().fence(tokens, idx, options, env)}</div>\n"

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> Any:
        return f"{_WIDE}{super().code_block(tokens, idx, options, env)}</div>\n"
