"""The Slack emulator's deliveries, driven by Bolt over Socket Mode and over signed HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond, AsyncSay
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from tests.emulators.serving import listening
from tests.emulators.slack import SlackEmulator
from tests.emulators.slack_apps import acknowledge_the_rest, bolt_app, client_of, over_socket, served

JSON = dict[str, Any]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
Connect = Callable[[AsyncApp], AbstractAsyncContextManager[None]]


@pytest.fixture(params=["socket", "http"])
async def slack(request: pytest.FixtureRequest) -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator(speed=0.001, socket_mode=request.param == "socket") as emulator:
        yield emulator


@asynccontextmanager
async def attached(slack: SlackEmulator, app: AsyncApp) -> AsyncIterator[None]:
    """The app on whatever transport the emulator delivers by."""
    if slack.sockets.enabled:
        async with over_socket(slack, app):
            yield
    else:
        async with served(app) as url:
            await slack.deliver_to(url)
            yield


@pytest.fixture
def connect(slack: SlackEmulator) -> Connect:
    return partial(attached, slack)


async def test_a_command_is_answered_in_a_thread_with_a_picture(slack: SlackEmulator, connect: Connect) -> None:
    app = bolt_app(slack)

    @app.command("/consortium")
    async def ask(ack: AsyncAck, command: JSON, client: AsyncWebClient) -> None:
        await ack()
        root = await client.chat_postMessage(channel=command["channel_id"], text=command["text"])
        await client.chat_postMessage(channel=command["channel_id"], text="42", thread_ts=root["ts"])
        await client.files_upload_v2(
            channel=command["channel_id"], thread_ts=root["ts"], filename="a.png", content=PNG, alt_txt="a chart"
        )

    acknowledge_the_rest(app)
    async with connect(app):
        delivery = await slack.command("/consortium ask & <why>?")
        assert delivery.acked
        assert delivery.latency < 1
        await slack.wait_for(lambda: slack.calls_to("files.completeUploadExternal"))
        await slack.settled()
    root, answer, picture = slack.messages(slack.channel, by_bot=True)
    assert root.text == "ask & <why>?"
    assert slack.thread(slack.channel, root.ts) == [root, answer, picture]
    assert [(file.content, file.alt_text) for file in picture.files] == [(PNG, "a chart")]
    slack.assert_clean()


async def test_what_the_acknowledgement_says_is_shown_to_the_asker(slack: SlackEmulator, connect: Connect) -> None:
    app = bolt_app(slack)

    @app.command("/consortium")
    async def ask(ack: AsyncAck, respond: AsyncRespond) -> None:
        await ack("one moment")
        await respond("done")
        await respond("for all", response_type="in_channel")

    acknowledge_the_rest(app)
    async with connect(app):
        await slack.command("/consortium help", user=slack.other_user)
        await slack.wait_for(lambda: len(slack.calls_to("response_url")) == 2)
        await slack.wait_for(lambda: len(slack.ephemerals) == 2)
    assert sorted(shown.text for shown in slack.ephemerals) == ["done", "one moment"]
    assert {shown.user for shown in slack.ephemerals} == {slack.other_user}
    assert [message.text for message in slack.messages(by_bot=True)] == ["for all"]
    slack.assert_clean()


async def test_a_mention_in_a_channel_arrives_as_two_events_of_one_ts(slack: SlackEmulator, connect: Connect) -> None:
    app, heard = bolt_app(slack), list[JSON]()

    @app.event("app_mention")
    @app.event("message")
    async def hear(body: JSON) -> None:
        heard.append(body)

    async with connect(app):
        ts = await slack.say("hello", mention=True, repeat=3)
        await slack.settled()
        await slack.wait_for(lambda: len(heard) == 6)
    assert {body["event"]["ts"] for body in heard} == {ts}
    assert {body["event"]["type"] for body in heard} == {"message", "app_mention"}
    assert len({body["event_id"] for body in heard}) == 2
    slack.assert_clean()


async def test_direct_messages_and_replies_carry_their_place(slack: SlackEmulator, connect: Connect) -> None:
    app, heard = bolt_app(slack), list[JSON]()

    @app.event("message")
    async def hear(event: JSON, say: AsyncSay) -> None:
        heard.append(event)
        await say("yes", thread_ts=event.get("thread_ts") or event["ts"])

    async with connect(app):
        first = await slack.say("hello", channel_type="im", mention=True)
        await slack.wait_for(lambda: len(slack.thread(slack.dm, first)) == 2)
        await slack.say("and more", channel=slack.dm, thread_ts=first)
        await slack.wait_for(lambda: len(slack.thread(slack.dm, first)) == 4)
        await slack.say("unheard", channel=slack.outside_channel)
        await slack.settled()
    assert [(event["channel_type"], event.get("thread_ts")) for event in heard] == [("im", None), ("im", first)]
    slack.assert_clean()


async def test_a_click_reaches_its_listener_and_may_change_the_message(slack: SlackEmulator, connect: Connect) -> None:
    app = bolt_app(slack)

    @app.action("stop")
    async def stop(ack: AsyncAck, body: JSON, action: JSON, respond: AsyncRespond) -> None:
        await ack()
        await respond(f"{action['value']} by {body['user']['id']}", replace_original=True)

    acknowledge_the_rest(app)
    button = {"type": "button", "action_id": "stop", "value": "7", "text": {"type": "plain_text", "text": "Stop"}}
    async with connect(app):
        blocks = [{"type": "actions", "elements": [button]}]
        sent = await client_of(slack).chat_postMessage(channel=slack.channel, text="Working", blocks=blocks)
        delivery = await slack.click(slack.channel, sent["ts"], "stop")
        assert delivery.acked
        (message,) = slack.messages(by_bot=True)
        await slack.wait_for(lambda: message.edits == ["Working"])
        assert message.text == f"7 by {slack.user}"
        with pytest.raises(LookupError, match="no element 'stop'"):
            await slack.click(slack.channel, sent["ts"], "stop")
    slack.assert_clean()


@pytest.mark.parametrize(("socket_mode", "reason"), [(True, "timeout"), (False, "http_error")])
async def test_an_event_is_retried_until_it_is_acknowledged(socket_mode: bool, reason: str) -> None:
    async with SlackEmulator(speed=0.001, ack_deadline=0.4, socket_mode=socket_mode) as slack:
        app, seen = bolt_app(slack), list[str]()

        @app.middleware
        async def database_down_at_first(body: JSON, next: Callable[[], Any]) -> BoltResponse | None:
            if body["type"] == "event_callback":
                seen.append(body["event_id"])
            if 0 < len(seen) < 3:
                return BoltResponse(status=500, body="no database")
            await next()
            return None

        acknowledge_the_rest(app)
        async with attached(slack, app):
            await slack.say("hello")
            await slack.settled()
        (delivery,) = slack.deliveries
        assert seen == [delivery.payload["event_id"]] * 3
        assert delivery.acked
        assert [attempt.reason for attempt in delivery.attempts] == [reason, reason, ""]
        slack.assert_clean()


async def test_an_event_nobody_takes_is_undelivered_after_four_attempts() -> None:
    async with SlackEmulator(speed=0.001, ack_deadline=0.1) as slack:
        async with over_socket(slack, bolt_app(slack)):
            await slack.say("hello")
            await slack.settled()
        (delivery,) = slack.deliveries
        assert delivery.failed
        assert [attempt.number for attempt in delivery.attempts] == [0, 1, 2, 3]
        slack.assert_clean("undelivered")


async def test_a_command_is_never_retried() -> None:
    async with SlackEmulator(speed=0.001) as slack:
        delivery = await slack.command("/consortium ask")
        assert not delivery.acked
        assert [attempt.reason for attempt in delivery.attempts] == ["connection_failed"]
        slack.assert_clean("undelivered")


async def test_a_late_acknowledgement_is_a_violation() -> None:
    async with SlackEmulator(speed=0.001, ack_deadline=0.05) as slack:
        app = bolt_app(slack)

        @app.command("/consortium")
        async def slow(ack: AsyncAck) -> None:
            await asyncio.sleep(0.3)
            await ack()

        async with over_socket(slack, app):
            await slack.command("/consortium ask")
            await slack.wait_for(lambda: len(slack.violations) == 2)
        slack.assert_clean("undelivered", "late_ack")
        assert slack.acks[0].latency >= 0.3


@asynccontextmanager
async def raw_server(answer: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """An app that is nothing but one handler, past the challenge."""

    async def endpoint(request: web.Request) -> web.Response:
        if request.content_type == "application/json":
            body = await request.json()
            if body["type"] == "url_verification":
                return web.json_response({"challenge": body["challenge"]})
        response: web.Response = await answer(request)
        return response

    async with listening(web.post("/", endpoint)) as url:
        yield f"{url}/"


async def test_http_retries_say_which_and_why_until_told_not_to() -> None:
    headers = list[tuple[str | None, str | None]]()

    async def refuse(request: web.Request) -> web.Response:
        headers.append(tuple(request.headers.get(f"X-Slack-Retry-{name}") for name in ("Num", "Reason")))  # type: ignore[arg-type]
        stop = {"X-Slack-No-Retry": "1"} if len(headers) == 3 else {}
        return web.Response(status=503, headers=stop)

    async with SlackEmulator(speed=0.001, socket_mode=False) as slack, raw_server(refuse) as url:
        await slack.deliver_to(url)
        await slack.say("hello")
        await slack.settled()
        assert headers == [(None, None), ("1", "http_error"), ("2", "http_error")]
        slack.assert_clean()


async def test_a_late_http_reply_is_a_violation() -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response()

    async with SlackEmulator(ack_deadline=0.05, socket_mode=False) as slack, raw_server(slow) as url:
        await slack.deliver_to(url)
        await slack.command("/consortium ask")
        await slack.wait_for(lambda: len(slack.violations) == 2)
        slack.assert_clean("undelivered", "late_ack")


async def test_http_needs_a_url_that_answers_the_challenge() -> None:
    async with SlackEmulator(socket_mode=False) as slack:
        app = AsyncApp(client=client_of(slack), signing_secret="another secret")
        async with served(app) as url:
            with pytest.raises(ConnectionError, match="401"):
                await slack.deliver_to(url)
    async with SlackEmulator() as slack:
        with pytest.raises(ValueError, match="Socket Mode"):
            await slack.deliver_to("http://127.0.0.1:9/")


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "too_many_websockets", None])
async def test_the_app_comes_back_after_a_disconnect(reason: str | None) -> None:
    async with SlackEmulator(speed=0.001) as slack:
        app = bolt_app(slack)
        acknowledge_the_rest(app)
        async with over_socket(slack, app):
            await slack.disconnect(reason)
            await slack.connected()
            assert len(slack.calls_to("apps.connections.open")) >= 2
            await slack.say("still there?")
            await slack.settled()
        slack.assert_clean()


async def test_a_disabled_link_stays_down_until_enabled() -> None:
    async with SlackEmulator() as slack:
        app = bolt_app(slack)
        async with over_socket(slack, app):
            await slack.disconnect("link_disabled")
            await slack.wait_for(lambda: slack.calls[-1].error == "socket_mode_disabled")
            slack.sockets.enabled = True
            await slack.connected()


async def test_a_frozen_connection_swallows_what_it_is_given() -> None:
    async with SlackEmulator(speed=0.001, ack_deadline=0.1) as slack:
        app = bolt_app(slack)
        acknowledge_the_rest(app)
        async with over_socket(slack, app):
            slack.freeze()
            delivery = await slack.command("/consortium ask")
            assert [attempt.reason for attempt in delivery.attempts] == ["timeout"]
            # The app finds out by its pings and connects again.
            await slack.wait_for(lambda: len(slack.calls_to("apps.connections.open")) == 2)
        slack.assert_clean("undelivered")


async def open_socket(slack: SlackEmulator, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    opened = await client_of(slack).apps_connections_open(app_token=slack.app_token)
    return await session.ws_connect(opened["url"])


async def test_acknowledgements_are_checked_frame_by_frame() -> None:
    async with SlackEmulator() as slack, aiohttp.ClientSession() as session:
        socket = await open_socket(slack, session)
        hello = await socket.receive_json()
        assert (hello["type"], hello["num_connections"]) == ("hello", 1)
        await slack.connected()
        await slack.say("hello")
        frame = await socket.receive_json()
        assert frame["type"] == "events_api"
        assert frame["accepts_response_payload"] is False
        assert (frame["retry_attempt"], frame["retry_reason"]) == (0, "")
        await socket.send_json({"envelope_id": frame["envelope_id"], "payload": {"text": "no"}})
        await socket.send_json({"envelope_id": frame["envelope_id"]})
        await socket.send_json({"envelope_id": "unknown"})
        await socket.send_str("nonsense")
        await slack.wait_for(lambda: len(slack.violations) == 4)
        slack.assert_clean("unexpected_payload", "second_ack", "unknown_ack", "bad_frame")
        await socket.close()


async def test_tickets_open_one_socket_and_there_are_only_so_many() -> None:
    async with SlackEmulator(max_sockets=2) as slack, aiohttp.ClientSession() as session:
        opened = await client_of(slack).apps_connections_open(app_token=slack.app_token)
        first = await session.ws_connect(opened["url"])
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(opened["url"])
        second = await open_socket(slack, session)
        third = await open_socket(slack, session)
        assert (await third.receive_json())["reason"] == "too_many_websockets"
        assert (await third.receive()).type is aiohttp.WSMsgType.CLOSE
        # Payloads go to one socket each, in turn.
        for socket in (first, second):
            await socket.receive_json()
        for _ in range(4):
            await slack.say("hello")
        for socket in (first, second):
            for _ in range(2):
                await socket.send_json({"envelope_id": (await socket.receive_json())["envelope_id"]})
        await slack.settled()
        for socket in (first, second, third):
            await socket.close()
        slack.assert_clean()


async def test_the_app_hears_of_its_own_messages_unless_the_echo_is_off() -> None:
    for echo, expected in ((True, ["message", "message_changed", "message_deleted"]), (False, [])):
        async with SlackEmulator(echo=echo) as slack:
            async with over_socket(slack, bolt_app(slack)):
                client = client_of(slack)
                sent = await client.chat_postMessage(channel=slack.channel, text="one")
                await client.chat_update(channel=slack.channel, ts=sent["ts"], text="two")
                await client.chat_delete(channel=slack.channel, ts=sent["ts"])
                events = [delivery.payload["event"] for delivery in slack.deliveries]
            assert [event.get("subtype", "message") for event in events] == expected


async def test_the_control_plane_injects_and_tells() -> None:
    async with SlackEmulator(speed=0.001) as slack, httpx.AsyncClient(base_url=slack.base_url) as control:
        said = (await control.post("/_ctl/say", json={"text": "hello", "mention": True})).json()
        lost = (await control.post("/_ctl/command", json={"line": "/consortium ask"})).json()
        assert lost["result"]["failed"]
        await control.post("/_ctl/fault", json={"method": "auth.test", "error": "fatal_error"})
        assert (await control.post("/_ctl/dance", json={})).status_code == 404
        assert (await control.post("/_ctl/say", json={"loud": True})).status_code == 400
        assert not (await client_of_raw(slack, control)).json()["ok"]
        state = (await control.get("/_ctl/state")).json()
    assert state["messages"][0]["ts"] == said["result"]
    assert state["calls"][-1]["error"] == "fatal_error"
    assert "undelivered" in [violation["kind"] for violation in state["violations"]]


async def client_of_raw(slack: SlackEmulator, http: httpx.AsyncClient) -> httpx.Response:
    return await http.post(f"{slack.api_url}auth.test", headers={"Authorization": f"Bearer {slack.bot_token}"})
