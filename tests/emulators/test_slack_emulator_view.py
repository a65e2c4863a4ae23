"""The page that shows what people see in the emulated workspace."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from PIL import Image
from slack_sdk.models.messages.chunk import MarkdownTextChunk, TaskUpdateChunk

from tests.emulators.slack import SlackEmulator
from tests.emulators.slack.markup import markdown_html, mrkdwn_html
from tests.emulators.slack.view import render
from tests.emulators.slack_apps import client_of

JSON = dict[str, Any]

ANSWER = """## What it comes to

The panel says **42**, see `deep_thought()` and [the guide](https://example.org).

1. first
2. second

| Member | Says |
|---|---|
| Ada | 42 |

```python
print(6 * 7)
```
> quoted
"""


def plain(text: str) -> JSON:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> JSON:
    return {"type": "mrkdwn", "text": text}


def option(value: str) -> JSON:
    return {"text": plain(value.title()), "value": value}


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (240, 90), "#36c5f0").save(buffer, "PNG")
    return buffer.getvalue()


BUTTON = {"type": "button", "action_id": "go", "text": plain("Show dissent"), "style": "primary"}
MENU = {"type": "static_select", "action_id": "menu", "placeholder": plain("Pick a panel"), "options": [option("a")]}
FEEDBACK = {
    "type": "feedback_buttons",
    "action_id": "rate",
    "positive_button": {"text": plain("Good answer"), "value": "up"},
    "negative_button": {"text": plain("Bad answer"), "value": "down"},
}
CELLS = [[{"type": "raw_text", "text": text} for text in row] for row in (("Round", "Agreement"), ("1", "67 %"))]
BLOCKS: list[JSON] = [
    {"type": "header", "text": plain("The answer")},
    {"type": "section", "text": mrkdwn("*Bold* and _slanted_ for <@U0ALICE001>"), "accessory": BUTTON},
    {"type": "divider"},
    {"type": "markdown", "text": ANSWER},
    {"type": "table", "rows": CELLS},
    {"type": "actions", "elements": [BUTTON | {"action_id": "x"}, MENU]},
    {"type": "context", "elements": [mrkdwn("run abc · 3 members")]},
    {"type": "context_actions", "elements": [FEEDBACK]},
]
FORM: JSON = {
    "type": "modal",
    "title": plain("Ask the panel"),
    "submit": plain("Ask"),
    "blocks": [
        {
            "type": "input",
            "block_id": "question",
            "label": plain("Question"),
            "element": {"type": "plain_text_input", "action_id": "q", "multiline": True, "initial_value": "Why?"},
        },
        {
            "type": "input",
            "label": plain("Extras"),
            "optional": True,
            "element": {"type": "checkboxes", "action_id": "c", "options": [option("charts"), option("roles")]},
        },
    ],
}


async def fill(slack: SlackEmulator) -> str:
    """A thread with a bit of everything; returns its ts."""
    client = client_of(slack)
    root = await slack.say("What is the answer?", mention=True, files=[("notes.txt", b"hello")])
    at: JSON = {"channel": slack.channel, "thread_ts": root}
    stream = await client.chat_stream(
        **at, recipient_team_id=slack.team_id, recipient_user_id=slack.user, task_display_mode="plan"
    )
    tasks = [
        TaskUpdateChunk(id="1", title="Ask Ada", status="complete", details="claude", output="says 42"),
        TaskUpdateChunk(id="2", title="Ask Bert", status="in_progress"),
    ]
    await stream.append(chunks=[*tasks, MarkdownTextChunk(text="So far: **42**")])
    await client.chat_postMessage(**at, text="fallback", blocks=BLOCKS)
    await client.files_upload_v2(**at, filename="a.png", title="Agreement", alt_txt='a "chart"', content=png())
    await client.chat_postEphemeral(**at, user=slack.user, text="Only *you* know")
    trigger = (await slack.shortcut("ask")).payload["trigger_id"]
    await client.views_open(trigger_id=trigger, view=FORM)
    slack.views[0].errors = {"question": "Say more"}
    return root


@pytest.fixture
async def slack() -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator(socket_mode=False, speed=0.001) as emulator:
        yield emulator


async def test_a_thread_is_shown_with_all_that_is_in_it(slack: SlackEmulator) -> None:
    root = await fill(slack)
    async with httpx.AsyncClient(base_url=slack.base_url) as http:
        page = (await http.get("/_ctl/view", params={"channel": slack.channel, "thread_ts": root})).text
        assert (await http.get("/_ctl/view", params={"channel": "C0NOWHERE1"})).status_code == 400
    for expected in (
        *("<h2>What it comes to</h2>", "<strong>42</strong>", "<ol>", "<td>Ada</td>", "<th>Round</th>", "<pre>"),
        *("Ask Ada", "says 42", "still streaming", "notes.txt", "Show dissent", "Pick a panel", "</svg> Good answer"),
        *("Only visible to you", "Only <b>you</b> know", "@Alice Archer", "data:image/png;base64,", "Ask the panel"),
        *("Why?", "☐ Charts", "Say more", "(optional)", "a &quot;chart&quot;"),
    ):
        assert expected in page, expected
    elsewhere = render(slack, channel=slack.channel, user=slack.other_user)
    assert "Only visible to you" not in elsewhere
    assert "Ask the panel" not in elsewhere


async def test_the_home_and_every_channel_are_shown(slack: SlackEmulator) -> None:
    assert "published nothing" in render(slack, home=True)
    blocks = [{"type": "section", "text": plain("Your runs")}]
    await client_of(slack).views_publish(user_id=slack.user, view={"type": "home", "blocks": blocks})
    assert "Your runs" in render(slack, home=True, width=800)
    await slack.say("one")
    await slack.say("two", channel_type="im")
    page = render(slack)
    assert page.index("one") < page.index("two")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*b* _i_ ~s~ `c*d*`", "<b>b</b> <i>i</i> <s>s</s> <code>c*d*</code>"),
        ("2*3*4 snake_case_name", "2*3*4 snake_case_name"),
        ("&lt;b&gt; <https://x.y/?a=1&amp;b|z>", '&lt;b&gt; <a href="https://x.y/?a=1&amp;b">z</a>'),
        ("<!here> <#C1|general>", '<span class="mention">@here</span> <span class="mention">#general</span>'),
        ("&gt; quoted\nnot", "<blockquote>quoted</blockquote>not"),
        ("```a &lt; b```", "<pre>a &lt; b</pre>"),
    ],
)
def test_mrkdwn(text: str, html: str) -> None:
    assert mrkdwn_html(text, {}) == html


def test_markdown_is_never_live_html() -> None:
    html = markdown_html("<script>alert(1)</script> **b** <@U1>", {"U1": "<i>Al</i>"})
    assert "<script>" not in html
    assert "<i>" not in html
    assert "<strong>b</strong>" in html
