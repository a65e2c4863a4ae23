"""Calls to Slack: what is repeated, what is not, and how a socket comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack import limits
from adapters.slack.api import Api, Spot, Upload, error_code, retry_handlers
from adapters.slack.pacing import Allowance, Turns
from adapters.slack.render import in_text
from adapters.slack.responses import Responder
from adapters.slack.socketmode import SocketMode
from core.cards import Card
from tests.emulators.slack import Message, SlackEmulator

REPEATS = (0.01, 0.02, 0.03)


@pytest.fixture
async def slack() -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator(rates=False) as emulator:
        yield emulator


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as open_session:
        yield open_session


@pytest.fixture
def web(slack: SlackEmulator, session: aiohttp.ClientSession) -> AsyncWebClient:
    return AsyncWebClient(slack.bot_token, slack.api_url, session=session, retry_handlers=retry_handlers())


@pytest.fixture
def api(slack: SlackEmulator, session: aiohttp.ClientSession, web: AsyncWebClient) -> Api:
    return Api(web, session, slack.bot_id, REPEATS)


def spot(slack: SlackEmulator, run_id: str = "run1", thread: str | None = None) -> Spot:
    return Spot(run_id, slack.channel, thread, since=0.0)


@pytest.mark.parametrize("after", [True, False])
async def test_a_lost_reply_is_made_good_by_looking(slack: SlackEmulator, api: Api, after: bool) -> None:
    slack.fault("chat.postMessage", drop=True, after=after)
    ts = await api.post_once(spot(slack), "root", in_text("hello"))
    assert [message.ts for message in slack.messages(by_bot=True)] == [ts]
    slack.fault("chat.postMessage", drop=True, after=after)
    reply = await api.post_once(spot(slack, thread=ts), "0", in_text("answer"))
    assert [message.ts for message in slack.thread(slack.channel, ts)] == [ts, reply]
    slack.assert_clean()


async def test_another_run_and_another_author_do_not_count(slack: SlackEmulator, api: Api) -> None:
    await api.post_once(spot(slack, "other"), "root", in_text("other"))
    forged = {"event_type": "consortium_run", "event_payload": {"run_id": "run1", "part": "root"}}
    slack.workspace.messages[slack.channel, await slack.say("forged")].metadata = forged
    assert (await api.seen(spot(slack))).parts == {}


async def test_long_threads_are_searched_to_their_end(slack: SlackEmulator, api: Api) -> None:
    root = await api.post_once(spot(slack), "root", in_text("root"))
    for _ in range(limits.PAGE):
        slack.workspace.store(Message(slack.channel, slack.workspace.next_ts(), slack.user, "chat", thread_ts=root))
    last = await api.post_once(spot(slack, thread=root), "0", in_text("answer"))
    assert (await api.seen(spot(slack, thread=root))).parts == {"root": [root], "0": [last]}


async def test_what_is_refused_is_not_repeated(slack: SlackEmulator, api: Api) -> None:
    with pytest.raises(SlackApiError) as caught:
        await api.post_once(Spot("run1", slack.outside_channel, None, 0.0), "root", in_text("x"))
    assert error_code(caught.value) == "not_in_channel"
    assert len(slack.calls_to("chat.postMessage")) == 1


async def test_progress_leaves_edits_for_answers(slack: SlackEmulator, api: Api) -> None:
    ts = await api.post_once(spot(slack), "0", in_text("progress"))
    for number in range(limits.UPDATES):
        assert api.updates.left()
        await api.update(spot(slack), "0", ts, in_text(f"progress {number}"))
    assert not api.updates.left()


async def test_an_allowance_is_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    allowance = Allowance(1)
    now = asyncio.get_running_loop().time()
    allowance.spend()
    assert not allowance.left()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now + 61)
    assert allowance.left()


async def test_a_channel_takes_so_many_and_then_one_waits_for_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, clock = Turns(2, 5.5), [100.0]

    async def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock[0])
    monkeypatch.setattr(asyncio, "sleep", sleep)
    for _ in range(2):
        assert turns.free("C1")
        await turns.take("C1")
    assert clock == [100.0]
    assert not turns.free("C1")
    assert turns.free("C2")
    await turns.take("C1")
    assert clock == [105.5]


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("https://files.slack.com/files-pri/T1-F1/a.txt", True),
        ("https://slack.com/files/a.txt", True),
        ("http://files.slack.com/files-pri/T1-F1/a.txt", False),
        ("https://files.slack.com.evil.net/a.txt", False),
        ("https://evilslack.com/a.txt", False),
        ("https://slack.com@evil.net/a.txt", False),
        ("https://[broken", False),
        ("", False),
    ],
)
async def test_the_token_is_shown_to_slack_alone(session: aiohttp.ClientSession, url: str, ours: bool) -> None:
    api = Api(AsyncWebClient("xoxb-x", "https://slack.com/api/", session=session), session, "B1", ())
    assert api.owns(url) is ours


async def test_what_is_streamed_is_found_by_having_no_mark(slack: SlackEmulator, api: Api) -> None:
    root = await api.post_once(spot(slack), "root", in_text("root"))
    in_thread = spot(slack, thread=root)
    await api.say(slack.channel, root, Card(body="A remark of no run."))
    ts = await api.start_stream(in_thread, (slack.team_id, slack.user), [])
    assert (await api.seen(in_thread)).unmarked == [ts]
    for _ in range(2):
        await api.stop_stream(in_thread, "0", ts, [])
    seen = await api.seen(in_thread)
    assert (seen.unmarked, seen.parts) == ([], {"root": [root], "0": [ts]})
    slack.assert_clean()


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"])
async def test_files_are_shared_once_whatever_gets_lost(slack: SlackEmulator, api: Api, method: str) -> None:
    root = await api.post_once(spot(slack), "root", in_text("root"))
    slack.fault(method, drop=True, after=True)
    uploads = [Upload(f"{n}.png", f"Title {n}", "numbers " * 200, b"\x89PNG" + bytes([n])) for n in (1, 2)]
    await api.upload_once(spot(slack, thread=root), uploads, "A remark.")
    [message] = [m for m in slack.messages(by_bot=True) if m.files]
    assert (message.thread_ts, message.text) == (root, "A remark.")
    assert [(file.name, file.title, len(file.alt_text)) for file in message.files] == [
        ("1.png", "Title 1", limits.ALT_TEXT),
        ("2.png", "Title 2", limits.ALT_TEXT),
    ]
    slack.assert_clean()


async def test_files_are_found_without_a_bots_id(slack: SlackEmulator, api: Api) -> None:
    root = await api.post_once(spot(slack), "root", in_text("root"))
    ids = await api.upload_once(
        spot(slack, thread=root), [Upload("run1-heatmap.png", "Title", "numbers", b"png")], None
    )
    [message] = [m for m in slack.messages(by_bot=True) if m.files]
    message.bot_id = None
    assert (await api.seen(spot(slack, thread=root))).files == ids == {"run1-heatmap.png": message.files[0].id}


async def test_a_response_url_is_not_overused(slack: SlackEmulator, session: aiohttp.ClientSession) -> None:
    command = await slack.command("/consortium help")
    responder = Responder(command.payload["response_url"], session)
    sent = [await responder.send(Card(body="text")) for _ in range(limits.RESPONSES + 2)]
    assert sent == [True] * limits.RESPONSES + [False] * 2
    assert len(slack.calls_to("response_url")) == limits.RESPONSES


async def test_a_dead_ticket_is_replaced(slack: SlackEmulator, web: AsyncWebClient) -> None:
    app = AsyncApp(client=web, signing_secret="")
    refused: list[str] = []
    socket = SocketMode(app, web, slack.app_token, ping_interval=0.1, refused=refused.append)
    try:
        await socket.open(slack.base_url.replace("http", "ws", 1) + "/link/?ticket=dead", timeout=10)
        await slack.connected()
    finally:
        await socket.close()
    assert refused == []
