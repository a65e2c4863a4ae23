"""What people do in the Slack emulator besides talking: click, run shortcuts, attach files, invite the bot."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from slack_bolt.async_app import AsyncAck, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from tests.emulators.slack import SlackEmulator
from tests.emulators.slack_apps import acknowledge_the_rest, bolt_app, client_of, error_of, over_socket

JSON = dict[str, Any]


@pytest.fixture
async def slack() -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator(speed=0.001) as emulator:
        yield emulator


@pytest.fixture
def client(slack: SlackEmulator) -> AsyncWebClient:
    return client_of(slack)


def plain(text: str) -> JSON:
    return {"type": "plain_text", "text": text}


def option(value: str) -> JSON:
    return {"text": plain(value.title()), "value": value}


CONFIRM = {"title": plain("Sure?"), "text": plain("It is gone then"), "confirm": plain("Yes"), "deny": plain("No")}
MENU = {"type": "static_select", "action_id": "menu", "options": [option("a"), option("b")]}
ELEMENTS: list[JSON] = [
    {"type": "button", "action_id": "go", "text": plain("Go"), "value": "7", "confirm": CONFIRM},
    MENU,
    {"type": "overflow", "action_id": "dots", "options": [option("c"), option("d")]},
]
FEEDBACK: list[JSON] = [
    {
        "type": "feedback_buttons",
        "action_id": "rate",
        "positive_button": {"text": plain("Good"), "value": "up"},
        "negative_button": {"text": plain("Bad"), "value": "down"},
    },
    {
        "type": "icon_button",
        "action_id": "drop",
        "icon": "trash",
        "text": plain("Delete"),
        "visible_to_user_ids": ["U0ALICE001"],
    },
]
BLOCKS: list[JSON] = [
    {"type": "actions", "block_id": "do", "elements": ELEMENTS},
    {"type": "context_actions", "block_id": "rating", "elements": FEEDBACK},
]


async def test_clicks_on_every_element(slack: SlackEmulator, client: AsyncWebClient) -> None:
    app, seen = bolt_app(slack), list[JSON]()

    @app.action({"type": "block_actions", "action_id": re.compile(".*")})
    async def clicked(ack: AsyncAck, body: JSON) -> None:
        seen.append(body)
        await ack()

    acknowledge_the_rest(app)
    async with over_socket(slack, app):
        root = await slack.say("question")
        sent = await client.chat_postMessage(channel=slack.channel, text="x", thread_ts=root, blocks=BLOCKS)
        for action_id, value in (("go", None), ("menu", "b"), ("dots", "d"), ("rate", "down"), ("drop", None)):
            await slack.click(slack.channel, sent["ts"], action_id, value=value)
        for action_id, value in (("menu", "z"), ("rate", "z"), ("dots", None), ("go", "8"), ("gone", None)):
            with pytest.raises(LookupError):
                await slack.click(slack.channel, sent["ts"], action_id, value=value)
        with pytest.raises(LookupError, match="not shown to"):
            await slack.click(slack.channel, sent["ts"], "drop", user=slack.other_user)
        await slack.click(slack.channel, sent["ts"], "go", user=slack.other_user)
    actions = [body["actions"][0] for body in seen]
    assert [action["type"] for action in actions[:5]] == [
        "button",
        "static_select",
        "overflow",
        "feedback_buttons",
        "icon_button",
    ]
    assert (actions[0]["value"], actions[1]["selected_option"]["value"], actions[2]["selected_option"]["value"]) == (
        "7",
        "b",
        "d",
    )
    assert (actions[3]["value"], actions[3]["block_id"]) == ("down", "rating")
    chosen = [body["state"]["values"]["do"]["menu"]["selected_option"] for body in seen]
    assert chosen == [None, *[option("b")] * 4, None]
    container = {"type": "message", "message_ts": sent["ts"], "channel_id": slack.channel, "is_ephemeral": False}
    assert seen[0]["container"] == container | {"thread_ts": root}
    assert seen[0]["message"]["ts"] == sent["ts"]
    assert len({body["trigger_id"] for body in seen} | {body["response_url"] for body in seen}) == 12
    slack.assert_clean()


async def test_ephemerals_are_clicked_replaced_and_deleted(slack: SlackEmulator, client: AsyncWebClient) -> None:
    app, seen = bolt_app(slack), list[JSON]()

    @app.action("go")
    async def go(ack: AsyncAck, body: JSON, respond: AsyncRespond) -> None:
        seen.append(body)
        await ack()
        if body["actions"][0]["value"] == "delete":
            await respond(delete_original=True)
        else:
            last = ELEMENTS[0] | {"value": "delete"}
            await respond("again", blocks=[{"type": "actions", "elements": [last]}], replace_original=True)
            await respond("beside", replace_original=False, thread_ts=body["container"]["thread_ts"])

    acknowledge_the_rest(app)
    async with over_socket(slack, app):
        root = await slack.say("question")
        sent = await client.chat_postEphemeral(
            channel=slack.channel, user=slack.user, thread_ts=root, text="psst", blocks=BLOCKS[:1]
        )
        ts = sent["message_ts"]
        with pytest.raises(LookupError, match="sees no message"):
            await slack.click(slack.channel, ts, "go", user=slack.other_user)
        await slack.click(slack.channel, ts, "go")
        await slack.wait_for(lambda: len(slack.ephemerals) == 2)
        assert [shown.text for shown in slack.ephemerals] == ["again", "beside"]
        assert {shown.thread_ts for shown in slack.ephemerals} == {root}
        await slack.click(slack.channel, ts, "go")
        await slack.wait_for(lambda: len(slack.ephemerals) == 1)
    assert seen[0]["container"]["is_ephemeral"] is True
    assert "message" not in seen[0]
    slack.assert_clean()


async def test_replies_say_only_what_slack_knows(slack: SlackEmulator) -> None:
    url = (await slack.shortcut("x")).payload.get("response_url")
    assert url is None
    url = (await slack.command("/consortium")).payload["response_url"]
    async with httpx.AsyncClient() as http:
        await http.post(url, json={"text": "x", "colour": "red"})
        await http.post(url, json={"text": "x", "response_type": "loud"})
    slack.assert_clean("undelivered", "undelivered", "unknown_reply_field", "unknown_reply_field")


async def test_shortcuts(slack: SlackEmulator) -> None:
    app, seen = bolt_app(slack), list[JSON]()

    @app.message_shortcut("check")
    async def check(ack: AsyncAck, shortcut: JSON, respond: AsyncRespond) -> None:
        seen.append(shortcut)
        await ack()
        await respond("looking", response_type="ephemeral")

    @app.global_shortcut("ask")
    async def ask(ack: AsyncAck, shortcut: JSON) -> None:
        seen.append(shortcut)
        await ack()

    acknowledge_the_rest(app)
    async with over_socket(slack, app):
        root = await slack.say("question")
        reply = await slack.say("answer", thread_ts=root, user=slack.other_user)
        await slack.message_shortcut("check", slack.channel, reply)
        await slack.wait_for(lambda: slack.ephemerals)
        await slack.shortcut("ask", user=slack.other_user)
        with pytest.raises(KeyError):
            await slack.message_shortcut("check", slack.channel, "1.000001")
    on_message, anywhere = seen
    assert (on_message["type"], on_message["channel"]["id"]) == ("message_action", slack.channel)
    message = on_message["message"]
    assert (message["text"], message["ts"], message["thread_ts"]) == ("answer", reply, root)
    assert slack.ephemerals[0].user == slack.user
    assert (anywhere["type"], anywhere["user"]["id"], "channel" in anywhere) == ("shortcut", slack.other_user, False)
    slack.assert_clean()


async def test_the_bot_is_invited(slack: SlackEmulator, client: AsyncWebClient) -> None:
    app, heard = bolt_app(slack), list[JSON]()

    @app.event("member_joined_channel")
    async def joined(event: JSON) -> None:
        heard.append(event)

    async with over_socket(slack, app):
        await slack.join(slack.outside_channel)
        (event,) = await slack.wait_for(lambda: heard)
        assert await slack.join(slack.hidden_channel, user=slack.user) is None
    assert (event["user"], event["channel"], event["inviter"]) == (
        slack.bot_user_id,
        slack.outside_channel,
        slack.user,
    )
    await client.chat_postMessage(channel=slack.outside_channel, text="hello")


async def test_files_of_people(slack: SlackEmulator, client: AsyncWebClient) -> None:
    app, heard = bolt_app(slack), list[JSON]()

    @app.event("message")
    @app.event("app_mention")
    async def hear(event: JSON) -> None:
        heard.append(event)

    async with over_socket(slack, app):
        await slack.say("look", mention=True, files=[("Notes 1.md", b"# Notes"), ("a.pdf", b"%PDF", "application/pdf")])
        await slack.wait_for(lambda: len(heard) == 2)
        await slack.settled()
    event = next(event for event in heard if event["type"] == "message")
    assert event["subtype"] == "file_share"
    notes, pdf = event["files"]
    assert (notes["name"], notes["size"], notes["mimetype"], pdf["mimetype"]) == (
        "Notes 1.md",
        7,
        "text/plain",
        "application/pdf",
    )
    assert (await client.files_info(file=pdf["id"]))["file"]["user"] == slack.user
    async with httpx.AsyncClient() as http:
        headers = {"Authorization": f"Bearer {slack.bot_token}"}
        reply = await http.get(notes["url_private_download"], headers=headers)
        assert (reply.content, reply.headers["Content-Type"].partition(";")[0]) == (b"# Notes", "text/plain")
        for wrong in ({}, {"Authorization": "Bearer xoxb-wrong"}):
            page = await http.get(notes["url_private_download"], headers=wrong)
            assert (page.status_code, page.headers["Content-Type"].partition(";")[0]) == (200, "text/html")
        slack.workspace.channels[slack.channel].members.discard(slack.bot_user_id)
        assert "Sign in" in (await http.get(notes["url_private_download"], headers=headers)).text
        slack.fault("file_download", status=503)
        assert (await http.get(notes["url_private_download"], headers=headers)).status_code == 503
    slack.assert_clean()


async def test_downloads_need_their_scope() -> None:
    async with SlackEmulator(socket_mode=False, scopes=("chat:write", "im:history")) as slack:
        await slack.say("look", channel_type="im", files=[("a.txt", b"hello")])
        url = slack.deliveries[0].payload["event"]["files"][0]["url_private"]
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {slack.bot_token}"}) as http:
            assert "Sign in" in (await http.get(url)).text


async def test_ranks(slack: SlackEmulator, client: AsyncWebClient) -> None:
    slack.workspace.users[slack.other_user].is_owner = True
    users = [(await client.users_info(user=user))["user"] for user in (slack.user, slack.other_user, slack.admin)]
    assert [(user["is_admin"], user["is_owner"]) for user in users] == [(False, False), (True, True), (True, False)]


async def test_confirmations_and_viewers_have_their_limits(slack: SlackEmulator, client: AsyncWebClient) -> None:
    for element in (
        ELEMENTS[0] | {"confirm": CONFIRM | {"title": plain("x" * 101)}},
        ELEMENTS[2] | {"options": [option(f"o{i}") for i in range(6)]},
        FEEDBACK[0],
        MENU | {"option_groups": [{"label": plain("x"), "options": [option("a")]}]},
    ):
        blocks = [{"type": "actions", "elements": [element]}]
        post = client.chat_postMessage(channel=slack.channel, text="x", blocks=blocks)
        assert await error_of(post) == "invalid_blocks"
    icon = FEEDBACK[1] | {"icon": "heart"}
    post = client.chat_postMessage(
        channel=slack.channel, text="x", blocks=[{"type": "context_actions", "elements": [icon]}]
    )
    assert await error_of(post) == "invalid_blocks"
    slack.assert_clean(*["invalid_blocks"] * 5)
