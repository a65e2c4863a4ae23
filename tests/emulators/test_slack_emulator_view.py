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
    async with SlackEmulator(socket_mode=False, speed=0.001, stream_life=300) as emulator:
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


async def test_the_control_plane_knows_views_by_their_id(slack: SlackEmulator) -> None:
    await fill(slack)
    async with httpx.AsyncClient(base_url=slack.base_url) as http:
        (shown,) = (await http.get("/_ctl/state")).json()["views"]
        assert shown["state"]["values"]["question"]["q"]["value"] == "Why?"
        submission: JSON = {"view": shown["id"], "values": {"question": "Who?"}}
        sent = (await http.post("/_ctl/submit_view", json=submission)).json()["result"]
        assert sent["payload"]["view"]["state"]["values"]["question"]["q"]["value"] == "Who?"
        assert sent["failed"]
        empty = await http.post("/_ctl/submit_view", json=submission | {"values": {"question": ""}})
        assert (empty.status_code, empty.json()["error"]) == (400, "{'question': 'required'}")
        assert (await http.post("/_ctl/submit_view", json={"view": "V0NOWHERE1"})).status_code == 400
    assert len(slack.modals()) == 1


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


def rich(*elements: JSON) -> JSON:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


def field(kind: str, **extra: Any) -> JSON:
    return {"type": "input", "label": plain(kind), "element": {"type": kind, "action_id": "x", **extra}}


OPTIONS = [option("ada"), option("bert") | {"description": plain("the second")}]
TASK = {"type": "task_card", "task_id": "1", "title": "Ask", "status": "error", "output": rich()}
ALL_BLOCKS: dict[str, tuple[JSON, str]] = {
    "rich text": (rich({"type": "text", "text": "a < b", "style": {"bold": True}}), "<b>a &lt; b</b>"),
    "rich mention": (rich({"type": "user", "user_id": "U0ALICE001"}), "@Alice Archer"),
    "rich link": (rich({"type": "link", "url": "https://example.org", "text": "here"}), ">here</a>"),
    "rich list": (
        {
            "type": "rich_text",
            "elements": [{"type": "rich_text_list", "style": "ordered", "elements": rich()["elements"]}],
        },
        "<ol><li>",
    ),
    "fields": ({"type": "section", "fields": [mrkdwn("*a*"), plain("*b*")]}, "<b>a</b></div><div>*b*"),
    "image": ({"type": "image", "alt_text": "A cat", "image_url": "https://example.org/a.png"}, "A cat"),
    "context image": (
        {
            "type": "context",
            "elements": [{"type": "image", "alt_text": "A dog", "image_url": "https://example.org/a.png"}],
        },
        "A dog",
    ),
    "overflow": (
        {"type": "actions", "elements": [{"type": "overflow", "action_id": "x", "options": OPTIONS}]},
        "Ada, Bert",
    ),
    "icon": (
        {
            "type": "context_actions",
            "elements": [{"type": "icon_button", "action_id": "x", "icon": "trash", "text": plain("Delete")}],
        },
        "Delete</span>",
    ),
    "radio": (field("radio_buttons", options=OPTIONS, initial_option=OPTIONS[1]), "◉ Bert"),
    "many": (field("multi_static_select", options=OPTIONS, initial_options=OPTIONS[:1]), 'class="chip">Ada'),
    "number": (field("number_input", is_decimal_allowed=False, initial_value="5"), ">5<"),
    "people": (field("users_select", initial_user="U0BOBBY001"), "Bob Baker"),
    "task": (TASK, "✕"),
    "plan": ({"type": "plan", "title": "The plan", "tasks": [TASK]}, "<b>The plan</b>"),
    "table": ({"type": "table", "rows": [[rich({"type": "text", "text": "deep"})]]}, "<th><div>deep</div></th>"),
}


@pytest.mark.parametrize(("block", "html"), ALL_BLOCKS.values(), ids=ALL_BLOCKS.keys())
async def test_every_block_is_shown(slack: SlackEmulator, block: JSON, html: str) -> None:
    await client_of(slack).chat_postMessage(channel=slack.channel, text="fallback", blocks=[block])
    assert html in render(slack, channel=slack.channel)
    slack.assert_clean()
