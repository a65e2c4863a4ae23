"""Response URLs, modals and agent threads of the Slack emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from tests.emulators.slack import SlackEmulator
from tests.emulators.slack_apps import Clock, client_of, error_of

JSON = dict[str, Any]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def slack(clock: Clock) -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator(clock=clock) as emulator:
        yield emulator


@pytest.fixture
def client(slack: SlackEmulator) -> AsyncWebClient:
    return client_of(slack)


async def response_url(slack: SlackEmulator) -> tuple[str, str]:
    """The response_url and trigger_id of a command that no app was there to take."""
    delivery = await slack.command("/consortium ask")
    return str(delivery.payload["response_url"]), str(delivery.payload["trigger_id"])


async def test_a_response_url_has_five_uses_and_half_an_hour(slack: SlackEmulator, clock: Clock) -> None:
    url, _ = await response_url(slack)
    async with httpx.AsyncClient() as http:
        for _ in range(5):
            assert (await http.post(url, json={"text": "psst"})).status_code == 200
        assert (await http.post(url, json={"text": "psst"})).text == "used_url"
        late, _ = await response_url(slack)
        clock.now += 1801
        assert (await http.post(late, json={"text": "psst"})).status_code == 404
        bad, _ = await response_url(slack)
        slack.fault("response_url", status=500)
        assert (await http.post(bad, json={"text": "psst"})).status_code == 500
        assert (await http.post(bad, content=b"{")).text == "invalid_payload"
        assert (await http.post(bad, json={})).text == "no_text"
    assert len(slack.ephemerals) == 5
    slack.assert_clean("undelivered", "undelivered", "undelivered", "no_text")


async def test_a_click_may_delete_its_message_through_the_response_url(slack: SlackEmulator) -> None:
    client = client_of(slack)
    button = {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}}
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "Ready?"}, "accessory": button}]
    sent = await client.chat_postMessage(channel=slack.channel, text="Ready?", blocks=blocks)
    delivery = await slack.click(slack.channel, sent["ts"], "go")
    async with httpx.AsyncClient() as http:
        await http.post(delivery.payload["response_url"], json={"delete_original": True})
    assert slack.messages() == []


async def test_triggers_open_one_modal_in_time(slack: SlackEmulator, client: AsyncWebClient, clock: Clock) -> None:
    view = {"type": "modal", "title": {"type": "plain_text", "text": "Ask"}, "blocks": []}
    _, trigger = await response_url(slack)
    long = view | {"title": {"type": "plain_text", "text": "x" * 25}}
    assert await error_of(client.views_open(trigger_id=trigger, view=long)) == "invalid_arguments"
    await client.views_open(trigger_id=trigger, view=view)
    assert [opened.body for opened in slack.views] == [view]
    assert await error_of(client.views_open(trigger_id=trigger, view=view)) == "exchanged_trigger_id"
    assert await error_of(client.views_open(trigger_id="1.2.3", view=view)) == "invalid_trigger_id"
    _, old = await response_url(slack)
    clock.now += 3.5
    assert await error_of(client.views_open(trigger_id=old, view=view)) == "expired_trigger_id"
    slack.assert_clean("undelivered", "undelivered", "invalid_arguments")


async def test_agent_methods_need_a_thread_and_keep_to_their_limits(
    slack: SlackEmulator, client: AsyncWebClient
) -> None:
    root = await slack.say("hello", channel_type="im")
    thread: JSON = {"channel_id": slack.dm, "thread_ts": root}
    await client.agents_sessions_setStatus(**thread, status="active", title="A question")
    assert slack.statuses[slack.dm, root] == "active"
    await client.assistant_threads_setStatus(**thread, status="is thinking", loading_messages=["soon"])
    assert slack.statuses[slack.dm, root] == "is thinking"
    await client.assistant_threads_setSuggestedPrompts(**thread, prompts=[{"title": "a", "message": "b"}])
    nowhere = client.assistant_threads_setStatus(channel_id=slack.dm, thread_ts="1.000001", status="x")
    assert await error_of(nowhere) == "thread_not_found"
    assert await error_of(client.agents_sessions_setStatus(**thread, status="bored")) == "invalid_arguments"
    assert await error_of(client.agents_sessions_rename(**thread, title="x" * 201)) == "invalid_arguments"
    five = [{"title": "a", "message": "b"}] * 5
    too_many = client.assistant_threads_setSuggestedPrompts(**thread, prompts=five)
    assert await error_of(too_many) == "invalid_arguments"
    slack.assert_clean(*["invalid_arguments"] * 3)
