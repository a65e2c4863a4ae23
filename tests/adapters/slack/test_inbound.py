"""What Slack sends becomes what a person said, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.slack.inbound import (
    Identity,
    carried,
    home_of,
    plain,
    read_click,
    read_command,
    read_event,
    read_stop,
    read_submission,
)

ME = Identity(team="T1", user="U0BOT", bot="B0BOT", name="consortium")
MESSAGE: dict[str, Any] = {
    "type": "message",
    "channel": "C1",
    "channel_type": "channel",
    "user": "U1",
    "text": "hi",
    "ts": "2.000000",
}
REPLY = {**MESSAGE, "thread_ts": "1.000000"}
MENTION = {**{k: v for k, v in MESSAGE.items() if k != "channel_type"}, "type": "app_mention", "text": "<@U0BOT> why?"}
DIRECT = {**MESSAGE, "channel": "D1", "channel_type": "im"}


def envelope(event: dict[str, Any]) -> dict[str, Any]:
    return {"team_id": "T1", "event_id": "Ev1", "event": event}


@pytest.mark.parametrize(
    "event",
    [
        MESSAGE,
        {**MESSAGE, "text": "<@U0BOT> why?"},
        {**REPLY, "text": "and <@U0BOT|consortium>?"},
        {**REPLY, "thread_ts": "2.000000"},
        {**REPLY, "user": "U0BOT"},
        {**REPLY, "bot_id": "B9"},
        {**REPLY, "hidden": True},
        {**DIRECT, "user": "USLACKBOT"},
        {**DIRECT, "user": None},
        *({**DIRECT, "subtype": s} for s in ("message_changed", "message_deleted", "channel_join", "bot_message")),
        {"type": "reaction_added", "user": "U1"},
    ],
)
def test_not_for_us(event: dict[str, Any]) -> None:
    assert read_event(envelope(event), ME) is None


def test_a_mention_opens_a_thread_under_itself() -> None:
    said = read_event(envelope(MENTION), ME)
    assert said
    assert (said.text, said.addressed, said.thread, said.private) == ("why?", True, None, None)
    assert (said.where.workspace, said.where.channel, said.where.thread) == ("T1", "C1", "2.000000")
    assert said.where.private, "until Slack has been asked"
    assert said.prefix == "@consortium"


def test_message_and_mention_share_a_key_but_not_their_event_ids() -> None:
    keys = [
        read_event({**envelope({**event, "channel": "D1"}), "event_id": event_id}, ME)
        for event, event_id in ((MENTION, "Ev1"), (MESSAGE, "Ev2"), (MESSAGE, "Ev2"))
    ]
    ids = [set(said.event_ids) for said in keys if said]
    assert ids[0] & ids[1] == {"slack:message:T1:D1:2.000000"}
    assert ids[1] == ids[2]


@pytest.mark.parametrize("subtype", [None, "file_share", "thread_broadcast"])
def test_a_reply_is_a_follow_up(subtype: str | None) -> None:
    said = read_event(envelope({**REPLY, "subtype": subtype}), ME)
    assert said
    assert not said.addressed
    assert said.where.thread == "1.000000"


@pytest.mark.parametrize(
    ("kind", "private"), [("channel", False), ("group", True), ("mpim", True), ("im", True), (None, None)]
)
def test_only_public_channels_are_public(kind: str | None, private: bool | None) -> None:
    said = read_event(envelope({**REPLY, "channel_type": kind}), ME)
    assert said
    assert said.private is private


def test_direct_messages_are_addressed_and_private() -> None:
    said = read_event(envelope(DIRECT), ME)
    assert said
    assert (said.addressed, said.private, said.direct, said.prefix) == (True, True, True, "")


def test_an_organisation_wide_app_keeps_workspaces_apart() -> None:
    everywhere = Identity(team=None, user="U0BOT", bot="B0BOT", name="consortium")
    for body, workspace in (({"team_id": "T2"}, "T2"), ({"team_id": None, "enterprise_id": "E1"}, "E1")):
        said = read_event({"event_id": "Ev1", "event": DIRECT, **body}, everywhere)
        assert said
        assert said.workspace == workspace


def test_a_slash_command() -> None:
    body = {"team_id": "T1", "channel_id": "D1", "user_id": "U1", "user_name": "ada", "trigger_id": "1.2"}
    said = read_command({**body, "command": "/consortium", "text": "ask why &lt;b&gt;?"}, ME)
    assert (said.text, said.name, said.prefix, said.private) == ("ask why <b>?", "ada", "/consortium", True)
    assert said.where.thread is None


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("access block ask <@U2|ben>", "access block ask <@U2|ben>"),
        ("budget channel day $5 <#C2|lobby>", "budget channel day $5 <#C2|lobby>"),
        ("ask Is access for <@U2|ben> right?", "ask Is access for @ben right?"),
    ],
)
def test_whom_a_rule_is_about_keeps_their_id(written: str, text: str) -> None:
    body = {"channel_id": "D1", "user_id": "U1", "command": "/consortium", "text": written, "team_id": "T1"}
    assert read_command(body, ME).text == text
    said = read_event(envelope({**DIRECT, "text": written}), ME)
    assert said
    assert said.text == text


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("a &lt; b &amp;&amp; c", "a < b && c"),
        ("&amp;lt;", "&lt;"),
        ("<@U123|ada> and <@U124>", "@ada and @U124"),
        ("<#C1|general> <!here> <!subteam^S1|@team> <!subteam^S1>", "#general @here @team @subteam"),
        ("<https://a.org/x>", "https://a.org/x"),
        ("<https://a.org/x|a.org/x>", "a.org/x (https://a.org/x)"),
        ("<https://a.org|https://a.org>", "https://a.org"),
        ("<mailto:a@b.org|a@b.org>", "a@b.org"),
        ("vector<int> and x<y", "vector<int> and x<y"),
    ],
)
def test_plain(marked: str, expected: str) -> None:
    assert plain(marked) == expected


CLICK: dict[str, Any] = {
    "user": {"id": "U1", "name": "ada", "team_id": "T1"},
    "team": {"id": "T1"},
    "trigger_id": "1.2",
    "actions": [{"value": "answers:r1", "action_ts": "5.0"}],
}


def test_a_click_is_in_the_thread_of_its_message() -> None:
    in_thread = {"type": "message", "channel_id": "C1", "message_ts": "3.0", "thread_ts": "2.0", "is_ephemeral": False}
    said = read_click({**CLICK, "container": in_thread}, ME)
    assert (said.text, said.where.thread, said.user, said.trigger) == ("answers:r1", "2.0", "U1", "1.2")
    top = {name: value for name, value in in_thread.items() if name != "thread_ts"}
    assert read_click({**CLICK, "container": top}, ME).where.thread == "3.0"
    fleeting = read_click({**CLICK, "container": {**top, "is_ephemeral": True}}, ME)
    assert (fleeting.where.thread, fleeting.fleeting) == (None, True), "nothing can be opened under what one alone sees"
    home = read_click({**CLICK, "container": {"type": "view", "view_id": "V1"}}, ME)
    assert (home.channel, home.where.thread) == ("", None)


def test_a_form_finds_back_to_where_it_was_opened() -> None:
    in_thread = {"type": "message", "channel_id": "D1", "message_ts": "3.0", "thread_ts": "2.0"}
    said = read_click({**CLICK, "container": in_thread}, ME)
    view = {"id": "V1", "private_metadata": json.dumps({**carried(said), "action": "settings"})}
    back = read_submission({**CLICK, "view": view}, ME)
    assert (back.where, back.text, back.prefix) == (said.where, "settings", said.prefix)
    assert not set(back.event_ids) & set(said.event_ids)


def test_slacks_own_stop_counts_once_under_both_its_names() -> None:
    event = {"channel": "D1", "thread_ts": "2.0", "user": "U1", "streaming_message_ts": ["3.0"], "event_ts": "9.0"}
    ids = [set(read_stop({**envelope(event), "event_id": event_id}, ME).event_ids) for event_id in ("Ev1", "Ev2")]
    assert ids[0] & ids[1]


# --- where the app is installed -------------------------------------------------------------------------

GRANT = {"enterprise_id": None, "team_id": "T1", "user_id": "U0BOT", "is_bot": True, "is_enterprise_install": False}
OURS = {"app_id": "A1", "team": "T1"}


@pytest.mark.parametrize(
    ("body", "home"),
    [
        ({"team_id": "T1", "enterprise_id": "", "command": "/consortium"}, (None, "T1")),
        ({"team_id": "T1", "enterprise_id": "E1", "is_enterprise_install": "true"}, ("E1", "T1")),
        ({"team_id": "T2", "authorizations": [GRANT], "event": {"team": "T2"}}, (None, "T1")),
        ({"team_id": "T2", "authorizations": [GRANT | {"enterprise_id": "E1"}]}, ("E1", "T1")),
        ({"team_id": "T1", "enterprise_id": None, "event": {"type": "app_uninstalled"}}, (None, "T1")),
        ({"team": {"id": "T1", "domain": "acme"}, "enterprise": None, "user": {"team_id": "T2"}}, (None, "T1")),
        ({"team": {"id": "T1", "enterprise_id": "E1"}, "user": {}}, ("E1", "T1")),
        ({"team": None, "enterprise": {"id": "E1", "name": "Acme"}, "user": {"team_id": "T1"}}, ("E1", "T1")),
        ({"team": {"id": "T2"}, "view": {"app_installed_team_id": "T1"}}, (None, "T1")),
        ({"team": {"id": "T2"}, "api_app_id": "A1", "message": OURS}, (None, "T1")),
        ({"team": {"id": "T1"}, "api_app_id": "A1", "message": {"app_id": "A2", "team": "T2"}}, (None, "T1")),
        ({"team": {"id": "T1"}, "api_app_id": "A1", "message": {"team": "T2", "user": "U1"}}, (None, "T1")),
        ({}, (None, None)),
    ],
)
def test_it_is_told_where_the_app_is_installed(body: dict[str, object], home: tuple[str | None, str | None]) -> None:
    assert home_of(body) == home
