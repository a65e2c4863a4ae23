"""A run streamed into its message: cards, text as it grows, and every way in which a stream ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from random import Random

import aiohttp
import pytest
import pytest_asyncio
from slack_sdk.web.async_client import AsyncWebClient

from adapters.history.store import SqlHistory
from adapters.slack import limits
from adapters.slack.api import Api, Spot, retry_handlers
from adapters.slack.limits import Timing
from adapters.slack.presenter import ThreadPresenter
from adapters.slack.standing import Record, Standing
from adapters.slack.streaming import Streams, _ready
from core.asks import Ask, Person, Platform, ThreadRef
from core.cards import Card
from core.delivery import RunView
from core.types import Failure, FailureKind, Member, Outcome, Response, Round, Run, RunStatus, Verdict, VerdictSource
from tests.adapters.slack.test_blocks import some_text
from tests.emulators.slack import Message, SlackEmulator
from tests.emulators.slack.blocks import texts
from tests.emulators.slack.content import open_fence

A, B, JUDGE = (Member(id=name, model=name) for name in ("ada", "bert", "judge"))


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def slack() -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator(echo=False) as emulator:
        yield emulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def history(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SqlHistory]:
    async with SqlHistory(f"sqlite:///{tmp_path_factory.mktemp('history') / 'runs.db'}") as store:
        yield store


@pytest_asyncio.fixture(loop_scope="module")
async def streams(slack: SlackEmulator) -> AsyncIterator[Streams]:
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(slack.bot_token, slack.api_url, session=session, retry_handlers=retry_handlers())
        yield Streams(Api(client, session, slack.bot_id, (0.01, 0.02)))


async def presenter_in(
    slack: SlackEmulator, streams: Streams, history: SqlHistory, *, resumed: bool = False, told: bool = False
) -> ThreadPresenter:
    root = next((m.ts for m in slack.messages()), None) or await slack.say("Why?")

    async def tell(card: Card, active: bool) -> None:
        assert told, "nobody is told anything"

    now = slack.workspace.clock()
    spot = Spot("run1", slack.channel, root, now - 300, now)
    timing = Timing(pace=0.0, stream_pace=0.0)
    person = (slack.team_id, slack.user)
    record = Record(history, spot.run_id, asyncio.create_task)
    where = a_run().ask.where.model_copy(update={"thread": root})
    standing = Standing(streams.api, record, spot, where, streams.live, resumed=resumed)
    return ThreadPresenter(streams, standing, person, asyncio.create_task, tell, timing, resumed=resumed)


def view_of(**changes: object) -> RunView:
    view = RunView(run_id="run1", panel=(A, B))
    for name, value in changes.items():
        setattr(view, name, value)
    return view


def a_run() -> Run:
    """A run with an answer."""
    where = ThreadRef(platform=Platform.SLACK, workspace="T1", channel="C1")
    ask = Ask(id="run1", text="Why?", asked_at=datetime.now(UTC), asker=Person(id="U1"), where=where)
    verdict = Verdict(judge=JUDGE, source=VerdictSource.ARBITER, synthesis="Because.")
    return Run(
        id="run1",
        ask=ask,
        consortium="default",
        panel=(A, B),
        created_at=ask.asked_at,
        rounds=(Round(number=1, outcomes=tuple(DONE.values()), verdict=verdict),),
    )


def shown_text(message: Message) -> str:
    return "\n".join(text for _, text in texts(message.blocks))


def the_message(slack: SlackEmulator) -> Message:
    [message] = slack.messages(by_bot=True)
    return message


DONE: dict[str, Outcome] = {
    "ada": Response(member=A, text="yes", seconds=1.25),
    "bert": Failure(member=B, kind=FailureKind.TIMEOUT, detail="bert timed out"),
}


async def test_members_are_cards_and_the_answer_grows_by_words(
    slack: SlackEmulator, streams: Streams, history: SqlHistory
) -> None:
    shown = await presenter_in(slack, streams, history)
    view = view_of()
    await shown.progress(view)
    stream = the_message(slack).stream
    assert stream is not None
    assert [(t.title, t.status) for t in stream.tasks.values()] == [("ada", "in_progress"), ("bert", "in_progress")]
    assert stream.recipient == slack.user
    [row] = stream.blocks
    assert row["elements"][0]["value"] == "stop:run1"
    view.outcomes = dict(DONE)
    await shown.progress(view)
    assert [(t.title, t.status) for t in stream.tasks.values()] == [
        ("ada · 1.2 s", "complete"),
        ("bert · timed out", "error"),
    ]
    calls = len(slack.calls)
    await shown.progress(view)
    assert len(slack.calls) == calls, "nothing new, nothing sent"
    view.judge, view.text = JUDGE, "Yes, <@U1> and [a li"
    await shown.progress(view)
    assert the_message(slack).text == "Yes, &lt;@U1&gt; and "
    view.text += "nk](https://a.org) here"
    await shown.progress(view)
    assert the_message(slack).text == "Yes, &lt;@U1&gt; and [a link](https://a.org) (a.org) "
    slack.assert_clean()


@pytest.mark.parametrize("how", ["void", "dead", "stopped", "refused", "no chunks", "lost", "spent"])
async def test_whatever_ends_a_stream_the_run_goes_on_in_one_message(
    slack: SlackEmulator, streams: Streams, history: SqlHistory, how: str
) -> None:
    shown = await presenter_in(slack, streams, history)
    view = view_of(judge=JUDGE, text="One answer is this ")
    match how:
        case "refused":
            slack.fault("chat.startStream", error="channel_type_not_supported")
        case "no chunks":
            slack.fault("chat.startStream", error="invalid_chunks")
        case "lost":
            slack.fault("chat.startStream", drop=True, after=True)
        case "spent":
            for _ in range(limits.STREAMS):
                streams.api.streams.spend()
    await shown.progress(view)
    await shown.progress(view)
    message = the_message(slack)
    if how == "dead" and message.stream:
        message.stream.ends = 0.0
    elif how == "stopped":
        await slack.stop_stream(slack.channel, message.ts)
    view.text = "Another " if how == "void" else view.text + "and more "
    await shown.progress(view)
    message = the_message(slack)
    assert not message.streaming
    assert "Asking 2 members" in message.text
    assert view.text.strip() in message.text
    assert message.metadata == {"event_type": "consortium_run", "event_payload": {"run_id": "run1", "part": "0"}}
    assert streams.open(slack.channel) is (how not in ("refused", "spent"))
    assert streams.buttons is (how != "no chunks")
    slack.assert_clean(*["undelivered"] * len([v for v in slack.violations if v.kind == "undelivered"]))


async def test_a_stream_whose_message_was_deleted_does_not_cost_the_answer(
    slack: SlackEmulator, streams: Streams, history: SqlHistory
) -> None:
    shown = await presenter_in(slack, streams, history)
    await shown.progress(view_of())
    slack.workspace.messages.pop((slack.channel, the_message(slack).ts))
    await shown.answer(a_run())
    assert "Because." in shown_text(the_message(slack))
    slack.assert_clean()


async def test_a_further_round_leaves_no_card_turning(
    slack: SlackEmulator, streams: Streams, history: SqlHistory
) -> None:
    shown = await presenter_in(slack, streams, history)
    view = view_of(judge=JUDGE, text="One answer is ", outcomes=dict(DONE))
    await shown.progress(view)
    await shown.progress(view)
    stream = the_message(slack).stream
    assert stream is not None
    assert stream.plan_title == "Asking 2 members · 2 done"
    assert stream.tasks["arbiter"].status == "in_progress"
    view.judge, view.text, view.round, view.outcomes = None, "", 2, {}
    await shown.progress(view)
    assert stream.tasks["arbiter"].status == "complete"
    slack.assert_clean()


async def test_a_channel_without_streams_costs_others_nothing(
    slack: SlackEmulator, streams: Streams, history: SqlHistory
) -> None:
    slack.fault("chat.startStream", error="channel_type_not_supported")
    await (await presenter_in(slack, streams, history)).progress(view_of())
    assert not streams.open(slack.channel)
    assert streams.open(slack.dm)


async def test_a_stream_that_a_dead_process_left_is_ended_by_the_next(
    slack: SlackEmulator, streams: Streams, history: SqlHistory
) -> None:
    await (await presenter_in(slack, streams, history)).progress(view_of())
    left = the_message(slack)
    assert left.streaming
    after = await presenter_in(slack, Streams(streams.api), history, resumed=True)
    await after.progress(view_of(outcomes=dict(DONE)))
    message = the_message(slack)
    assert (message.ts, message.streaming) == (left.ts, False)
    assert "2 done" in message.text
    slack.assert_clean()


async def test_another_run_of_the_thread_keeps_its_stream(
    slack: SlackEmulator, streams: Streams, history: SqlHistory
) -> None:
    await (await presenter_in(slack, streams, history)).progress(view_of())
    theirs = the_message(slack)
    after = await presenter_in(slack, streams, history, resumed=True)
    await after.progress(view_of())
    assert theirs.streaming, "it is this process's own, and alive"
    assert len(slack.messages(by_bot=True)) == 2
    slack.assert_clean()


async def test_additions_stay_below_the_tier(slack: SlackEmulator, streams: Streams, history: SqlHistory) -> None:
    shown = await presenter_in(slack, streams, history)
    view = view_of(judge=JUDGE)
    for number in range(limits.APPENDS + 30):
        view.text += f"word{number} "
        await shown.progress(view)
    assert len(slack.calls_to("chat.appendStream")) == limits.APPENDS
    assert all(call.status == 200 for call in slack.calls)
    slack.assert_clean()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_written_is_streamed_harmlessly(
    slack: SlackEmulator, streams: Streams, history: SqlHistory, seed: int
) -> None:
    rng = Random(seed)
    shown, view = await presenter_in(slack, streams, history), view_of(judge=JUDGE)
    for _ in range(25):
        view.text += some_text(rng)
        await shown.progress(view)
    message = the_message(slack)
    assert "<@" not in message.text
    assert "<!" not in message.text
    assert not open_fence(message.text)
    slack.assert_clean()


async def test_a_long_piece_of_code_takes_no_time() -> None:
    code = "```py\n" + "value = value + 1\n" * 5_000
    assert _ready(code, 0) == 0
    assert _ready(code + "```\nand then ", 0) > len(code)


async def test_a_run_that_ends_before_it_began_leaves_nothing_to_stop(
    slack: SlackEmulator, streams: Streams, history: SqlHistory
) -> None:
    shown = await presenter_in(slack, streams, history, told=True)
    await shown.begin(a_run())
    assert the_message(slack).streaming
    await shown.failed(a_run().model_copy(update={"status": RunStatus.CANCELLED, "rounds": ()}), "Stopped by Ann.")
    left = the_message(slack)
    assert not left.streaming
    assert 'Stop"' not in str(left.blocks)
    assert not [block for block in left.blocks if block["type"] == "actions"]
    slack.assert_clean()
