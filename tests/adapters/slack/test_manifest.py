"""The manifest asks for what is used, within what Slack takes."""

from __future__ import annotations

import pytest

from adapters.slack.conversation import ASK_ABOUT
from adapters.slack.manifest import manifest

URL = "https://bot.example.com/slack/events"


@pytest.mark.parametrize("url", [None, URL])
def test_the_manifest_keeps_to_slacks_limits(url: str | None) -> None:
    made = manifest(url, examples=[f"Question {n}?" for n in range(9)])
    assert len(made["display_information"]["name"]) <= 35
    assert len(made["display_information"]["description"]) <= 140
    features = made["features"]
    [shortcut] = features["shortcuts"]
    assert len(shortcut["name"]) <= 24
    assert (shortcut["callback_id"], shortcut["type"]) == (ASK_ABOUT, "message")
    assert len(features["agent_view"]["agent_description"]) <= 300
    assert len(features["agent_view"]["suggested_prompts"]) == 4


def test_events_come_by_socket_unless_there_is_an_address() -> None:
    socket, http = manifest(), manifest(URL)
    assert socket["settings"]["socket_mode_enabled"]
    assert "request_url" not in socket["settings"]["event_subscriptions"]
    assert "url" not in socket["features"]["slash_commands"][0]
    assert not http["settings"]["socket_mode_enabled"]
    assert http["settings"]["event_subscriptions"]["request_url"] == URL
    assert http["settings"]["interactivity"] == {"is_enabled": True, "request_url": URL}
    assert http["features"]["slash_commands"][0]["url"] == URL


def test_what_is_listened_to_may_be_read() -> None:
    made = manifest()
    scopes = set(made["oauth_config"]["scopes"]["bot"])
    needed = {"message.channels": "channels:history", "message.groups": "groups:history", "message.im": "im:history"}
    needed |= {
        "message.mpim": "mpim:history",
        "app_mention": "app_mentions:read",
        "member_joined_channel": "groups:read",
    }
    listened = made["settings"]["event_subscriptions"]["bot_events"]
    assert {needed[event] for event in listened if event in needed} <= scopes
    assert {"users:read", "im:write", "files:read", "files:write", "assistant:write"} <= scopes
