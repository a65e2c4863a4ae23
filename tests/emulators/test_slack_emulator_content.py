"""What the Slack emulator refuses in a message, and what it lets pass and reports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.emulators.slack import SlackEmulator
from tests.emulators.slack.content import open_fence
from tests.emulators.slack_apps import client_of

JSON = dict[str, Any]


@pytest.fixture
async def slack() -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator() as emulator:
        yield emulator


@pytest.fixture
def client(slack: SlackEmulator) -> AsyncWebClient:
    return client_of(slack)


async def post(slack: SlackEmulator, **content: Any) -> JSON:
    """The stored message, or the body of the refusal."""
    try:
        reply = await client_of(slack).chat_postMessage(channel=slack.channel, **content)
    except SlackApiError as error:
        body: JSON = error.response.data
        return body
    message: JSON = reply["message"]
    return message


def plain(text: str) -> JSON:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> JSON:
    return {"type": "mrkdwn", "text": text}


def section(text: str) -> JSON:
    return {"type": "section", "text": mrkdwn(text)}


def button(**extra: Any) -> JSON:
    return {"type": "button", "text": plain("Go"), "action_id": "go"} | extra


def actions(*elements: JSON) -> JSON:
    return {"type": "actions", "elements": list(elements)}


def table(rows: int, cells: int, text: str = "x") -> JSON:
    return {"type": "table", "rows": [[{"type": "raw_text", "text": text}] * cells] * rows}


IMAGE = {"type": "image", "alt_text": "a", "image_url": "http://127.0.0.1/a.png"}

GOOD_BLOCKS = {
    "fifty blocks": [{"type": "divider"}] * 50,
    "section": [section("x" * 3000)],
    "fields": [{"type": "section", "fields": [mrkdwn("x" * 1000)] * 10}],
    "header": [{"type": "header", "text": plain("x" * 150)}],
    "context": [{"type": "context", "elements": [mrkdwn("x"), IMAGE] * 5}],
    "actions": [actions(*(button(action_id=f"go{i}") for i in range(25)))],
    "button": [actions(button(value="x" * 2000, style="danger", accessibility_label="x" * 75))],
    "menu": [actions({"type": "overflow", "action_id": "m", "options": [{"text": plain("A"), "value": "a"}]})],
    "image": [IMAGE | {"alt_text": "x" * 2000, "title": plain("t")}],
    "markdown": [{"type": "markdown", "text": "x" * 12_000}],
    "table": [table(100, 20, "x" * 5)],
    "feedback": [
        {
            "type": "context_actions",
            "elements": [
                {
                    "type": "feedback_buttons",
                    "action_id": "f",
                    "positive_button": {"text": plain("Good"), "value": "up"},
                    "negative_button": {"text": plain("Bad"), "value": "down"},
                }
            ],
        }
    ],
    "rich text": [
        {
            "type": "rich_text",
            "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "<!here>"}]}],
        }
    ],
}

BAD_BLOCKS = {
    "fifty-one blocks": ([{"type": "divider"}] * 51, "no more than 50 items"),
    "unknown type": ([{"type": "poem"}], "unsupported type: poem"),
    "unknown field": ([{"type": "divider", "text": "x"}], "unexpected field: text"),
    "block_id": ([{"type": "divider", "block_id": "x" * 256}], "less than 256"),
    "same block_id": ([{"type": "divider", "block_id": "a"}] * 2, "block_id is not unique"),
    "section text": ([section("x" * 3001)], "less than 3001 characters [json-pointer:/blocks/0/text/text]"),
    "empty text": ([section("")], "missing required field: text"),
    "empty section": ([{"type": "section"}], "must provide text or fields"),
    "fields": ([{"type": "section", "fields": [mrkdwn("x")] * 11}], "no more than 10"),
    "field text": ([{"type": "section", "fields": [mrkdwn("x" * 2001)]}], "less than 2001"),
    "text field": ([{"type": "section", "text": mrkdwn("x") | {"emoji": True}}], "unexpected field: emoji"),
    "header": ([{"type": "header", "text": plain("x" * 151)}], "less than 151"),
    "header type": ([{"type": "header", "text": mrkdwn("x")}], "must be a text object of type plain_text"),
    "context": ([{"type": "context", "elements": [mrkdwn("x")] * 11}], "no more than 10"),
    "no elements": ([{"type": "context", "elements": []}], "must provide elements"),
    "actions": ([actions(*(button(action_id=f"go{i}") for i in range(26)))], "no more than 25"),
    "same action_id": ([actions(button(), button())], "action_id is not unique"),
    "button text": ([actions(button(text=plain("x" * 76)))], "less than 76"),
    "button value": ([actions(button(value="x" * 2001))], "less than 2001"),
    "button style": ([actions(button(style="loud"))], "style must be"),
    "button action_id": ([actions(button(action_id="x" * 256))], "less than 256"),
    "button url": ([actions(button(url="x" * 3001))], "less than 3001"),
    "button field": ([actions(button(colour="red"))], "unexpected field: colour"),
    "image alt": ([IMAGE | {"alt_text": "x" * 2001}], "less than 2001"),
    "no alt": ([{"type": "image", "image_url": "x"}], "missing required field: alt_text"),
    "two sources": ([IMAGE | {"slack_file": {"id": "F1"}}], "exactly one of"),
    "table rows": ([table(101, 1)], "no more than 100"),
    "table cells": ([table(1, 21)], "no more than 20"),
    "table text": ([table(2, 1, "x" * 5001)], "no more than 10000 characters"),
    "table cell type": ([{"type": "table", "rows": [[mrkdwn("x")]]}], "cells must be"),
    "context actions": ([{"type": "context_actions", "elements": [button()]}], "unsupported type: button"),
}


@pytest.mark.parametrize("blocks", GOOD_BLOCKS.values(), ids=GOOD_BLOCKS.keys())
async def test_blocks_at_their_limits_are_taken(slack: SlackEmulator, blocks: list[JSON]) -> None:
    message = await post(slack, text="fallback", blocks=blocks)
    assert len(message["blocks"]) == len(blocks)
    slack.assert_clean()


@pytest.mark.parametrize(("blocks", "problem"), BAD_BLOCKS.values(), ids=BAD_BLOCKS.keys())
async def test_blocks_beyond_their_limits_are_refused(slack: SlackEmulator, blocks: list[JSON], problem: str) -> None:
    refusal = await post(slack, text="fallback", blocks=blocks)
    assert refusal["error"] == "invalid_blocks"
    assert any(problem in error for error in refusal["errors"]), refusal["errors"]
    assert refusal["response_metadata"]["messages"][0].startswith("[ERROR] ")
    assert slack.messages() == []
    slack.assert_clean("invalid_blocks")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"text": "x", "blocks": [section("x" * 2500)] * 5}, "msg_blocks_too_long"),
        ({"text": "x", "blocks": [{"type": "markdown", "text": "x" * 6001}] * 2}, "msg_blocks_too_long"),
        ({"text": "x", "blocks": [table(1, 1)] * 2}, "invalid_attachments"),
        ({"text": "x", "blocks": "not json"}, "invalid_blocks_format"),
        ({"text": "x", "blocks": ["not an object"]}, "invalid_blocks_format"),
        ({"text": "x", "markdown_text": "x"}, "markdown_text_conflict"),
        ({"markdown_text": "x" * 12_001}, "msg_too_long"),
        ({"text": "x", "metadata": {"event_type": "x"}}, "invalid_metadata_schema"),
        ({"text": "x", "metadata": {"event_type": "x", "event_payload": []}}, "invalid_metadata_schema"),
        ({"text": "x", "metadata": "x"}, "invalid_metadata_format"),
    ],
)
async def test_other_refusals(slack: SlackEmulator, content: JSON, error: str) -> None:
    assert (await post(slack, **content))["error"] == error
    slack.assert_clean(error)


async def test_nothing_to_say_is_refused(slack: SlackEmulator, client: AsyncWebClient) -> None:
    with pytest.raises(SlackApiError, match="no_text"):
        await client.api_call("chat.postMessage", json={"channel": slack.channel})


MENTION = "<!channel>"
TABLE = {"type": "table", "rows": [[{"type": "raw_text", "text": MENTION}]]}
BROADCAST = {
    "type": "rich_text",
    "elements": [{"type": "rich_text_section", "elements": [{"type": "broadcast", "range": "here"}]}],
}


@pytest.mark.parametrize(
    "content",
    [
        {"text": MENTION},
        {"text": "<!here|here>"},
        {"text": "`<!everyone>`"},
        {"text": "<!subteam^S0TEAM0001>"},
        {"markdown_text": MENTION},
        {"text": "x", "blocks": [section(MENTION)]},
        {"text": "x", "blocks": [{"type": "markdown", "text": MENTION}]},
        {"text": "x", "blocks": [{"type": "context", "elements": [mrkdwn(MENTION)]}]},
        {"text": "x", "blocks": [BROADCAST]},
        {"text": "@here", "link_names": True},
    ],
)
async def test_live_mass_mentions_are_reported(slack: SlackEmulator, content: JSON) -> None:
    await post(slack, **content)
    slack.assert_clean("mass_mention")


@pytest.mark.parametrize(
    "content",
    [
        {"text": "&lt;!channel&gt; @channel"},
        {"text": "x", "blocks": [{"type": "header", "text": plain(MENTION)}]},
        {"text": "x", "blocks": [TABLE]},
    ],
)
async def test_dead_mass_mentions_are_not(slack: SlackEmulator, content: JSON) -> None:
    await post(slack, **content)
    slack.assert_clean()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"text": "x" * 4001}, "text_too_long"),
        ({"text": "x" * 40_001}, "text_truncated"),
        ({"text": "```\ncode"}, "unbalanced_fence"),
        ({"markdown_text": "```py\ncode"}, "unbalanced_fence"),
        ({"text": "x", "blocks": [section("a ```b``` c ```")]}, "unbalanced_fence"),
        ({"text": "x", "blocks": [{"type": "markdown", "text": "````\n```\n"}]}, "unbalanced_fence"),
    ],
)
async def test_what_slack_lets_pass_is_reported(slack: SlackEmulator, content: JSON, kind: str) -> None:
    message = await post(slack, **content)
    assert len(message["text"]) <= 40_000
    slack.assert_clean(kind)


async def test_blocks_need_a_fallback(slack: SlackEmulator, client: AsyncWebClient) -> None:
    # The client itself only warns about it, hence the plain call.
    arguments = {"channel": slack.channel, "blocks": [section("x")]}
    await client.api_call("chat.postMessage", json=arguments)
    slack.assert_clean("missing_fallback_text")


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("no fence", False),
        ("```\ncode\n```", False),
        ("```\ncode\n````", False),
        ("````\ncode\n```", True),
        ("~~~\n```\n~~~", False),
        ("```\ncode\n``` not a close", True),
        ("inline ``` ticks", False),
        ("```inline``` ticks", False),
        ("    ```", False),
    ],
)
def test_fences_are_matched_as_in_commonmark(text: str, is_open: bool) -> None:
    assert open_fence(text) is is_open
