"""The pages of an installation, as plain HTML that needs nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from urllib.parse import urlencode

from aiohttp import web
from slack_sdk.oauth.installation_store import Installation

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1c1d; --soft: #55535a; --paper: #fff; --key: #611f69; --on: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f2f0f3; --soft: #bbb7bf; --paper: #1a1d21; --key: #d9b3de; --on: #1a1d21; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.55 system-ui, sans-serif; }
main { max-width: 34rem; margin: 0 auto; padding: clamp(1.5rem, 8vh, 6rem) 1.25rem 3rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .75rem; }
p, ul { margin: 0 0 1rem; }
.soft { color: var(--soft); font-size: .9375rem; }
.button { display: inline-block; padding: .7rem 1.2rem; border-radius: .5rem; background: var(--key); color: var(--on);
  font-weight: 600; text-decoration: none; }
.button:hover { text-decoration: underline; }
.button:focus-visible { outline: 3px solid var(--ink); outline-offset: 3px; }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def invitation(url: str) -> web.Response:
    """The page with the button, which leads to Slack."""
    return _page(
        200,
        "Add Consortium to Slack",
        "<p>Consortium asks a panel of language models one question, and answers in the thread: one answer, who "
        "disagrees, and how sure it is.</p>"
        f"{_button('Add to Slack', url)}"
        '<p class="soft">Slack shows what it may do and asks you to allow that. You have ten minutes, in this browser. '
        "Some workspaces let only their administrators install apps.</p>",
    )


def installed(name: str, installation: Installation) -> web.Response:
    """It worked."""
    if installation.is_enterprise_install:
        managed = f"https://app.slack.com/apps-manage/{installation.enterprise_id}/integrations/profile"
        url = f"{managed}/{installation.app_id}/workspaces/add"
        after = "<p>It is there for the whole organisation; choose its workspaces now.</p>"
        after += _button("Choose workspaces", url)
    else:
        url = "https://slack.com/app_redirect?"
        url += urlencode({"app": installation.app_id or "", "team": installation.team_id or ""})
        after = "<p>Invite it to a channel with <code>/invite</code> and mention it with a question, or write to it "
        after += f"directly.</p>{_button('Open Slack', url)}"
    return _page(200, f"Consortium is in {name}", after)


def problem(status: int, title: str, why: str, again: str) -> web.Response:
    """It did not, why, and what to do."""
    return _page(status, title, f"<p>{escape(why)}</p>{_button('Try again', again)}")


def _button(label: str, url: str) -> str:
    return f'<p><a class="button" href="{escape(url)}">{escape(label)}</a></p>'


def _page(status: int, title: str, body: str) -> web.Response:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=_HEADERS)
