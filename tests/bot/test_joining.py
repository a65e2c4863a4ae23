"""The manifest for Slack and the link for Discord, as they are printed."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.bot.conftest import Desk

ID = "123456789012345678"


def test_the_manifest_is_one_of_socket_mode(desk: Desk) -> None:
    made = json.loads(desk.ok("manifest", "slack").out)
    assert made["settings"]["socket_mode_enabled"] is True
    assert "request_url" not in json.dumps(made)


@pytest.mark.parametrize("address", ["https://bot.example", "https://bot.example/", "https://bot.example/slack/events"])
def test_over_http_everything_goes_to_one_address(desk: Desk, address: str) -> None:
    made = json.loads(desk.ok("manifest", "slack", "--http", address).out)
    url = "https://bot.example/slack/events"
    assert made["settings"]["socket_mode_enabled"] is False
    assert made["settings"]["event_subscriptions"]["request_url"] == url
    assert made["settings"]["interactivity"]["request_url"] == url
    assert [command["url"] for command in made["features"]["slash_commands"]] == [url]


@pytest.mark.parametrize(
    "address", ["bot.example", "http://bot.example", "https://", "https://bot.example/?a=b", "https://[bot"]
)
def test_an_address_that_slack_would_not_take_is_refused(desk: Desk, address: str) -> None:
    assert desk.refused("manifest", "slack", "--http", address).startswith(f"consortium: --http {address}: is no addr")


def test_for_many_workspaces_slack_sends_people_back_and_tokens_end(desk: Desk) -> None:
    made = json.loads(desk.ok("manifest", "--oauth", "https://bot.example/").out)
    assert made["oauth_config"]["redirect_urls"] == ["https://bot.example/slack/oauth_redirect"]
    assert made["settings"]["token_rotation_enabled"] is made["settings"]["org_deploy_enabled"] is True
    assert made["settings"]["socket_mode_enabled"] is True
    assert {"app_uninstalled", "tokens_revoked"} <= set(made["settings"]["event_subscriptions"]["bot_events"])
    one = json.loads(desk.ok("manifest").out)
    assert one["settings"]["token_rotation_enabled"] is one["settings"]["org_deploy_enabled"] is False
    assert "redirect_urls" not in one["oauth_config"]
    assert desk.refused("manifest", "--oauth", "bot.example").startswith("consortium: --oauth bot.example: is no addr")


def test_a_key_is_new_each_time(desk: Desk) -> None:
    keys = {desk.ok("key").out.strip() for _ in range(3)}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {44}


def test_the_link_asks_for_what_is_needed_and_no_more(desk: Desk) -> None:
    desk.monkeypatch.setenv(
        "DISCORD_BOT_TOKEN", f"{base64.b64encode(ID.encode()).decode().rstrip('=')}.abc.secret-part"
    )
    url = desk.ok("invite", "discord").out.strip()
    assert url.startswith("https://discord.com/oauth2/authorize?")
    assert parse_qs(urlsplit(url).query) == {
        "client_id": [ID],
        "scope": ["bot applications.commands"],
        "permissions": ["309237763072"],
    }
    assert "secret-part" not in url
    assert desk.ok("invite", "--client-id", ID).out.strip() == url
    assert desk.ok("invite", "--json").json["url"] == url


@pytest.mark.parametrize("token", ["", "MTIz.abc.def", "äöü.abc.def", "not base64!.x.y"])
def test_an_id_that_the_token_does_not_tell_is_asked_for(desk: Desk, token: str) -> None:
    desk.monkeypatch.setenv("DISCORD_BOT_TOKEN", token)
    said = desk.refused("invite", "discord")
    assert said.startswith("consortium: --client-id: missing, and DISCORD_BOT_TOKEN does not tell it")
    assert "abc" not in said


def test_an_id_that_is_none_is_refused(desk: Desk) -> None:
    assert desk.refused("invite", "--client-id", "consortium").startswith(
        "consortium: --client-id consortium: is no id"
    )
