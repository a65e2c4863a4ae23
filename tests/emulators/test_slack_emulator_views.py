"""Modals, the App Home and clicks of the Slack emulator, driven by Bolt over both transports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import pytest
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.emulators.slack import RefusedByClient, SlackEmulator
from tests.emulators.slack_apps import bolt_app, client_of, error_of, over_socket, served

JSON = dict[str, Any]
Connect = Callable[[AsyncApp], AbstractAsyncContextManager[None]]


def plain(text: str) -> JSON:
    return {"type": "plain_text", "text": text}


def option(value: str) -> JSON:
    return {"text": plain(value.title()), "value": value}


def field(block_id: str, kind: str, **extra: Any) -> JSON:
    optional = {"optional": True} if extra.pop("optional", False) else {}
    element = {"type": kind, "action_id": f"{block_id}_input", **extra}
    return {"type": "input", "block_id": block_id, "label": plain(block_id), "element": element, **optional}


OPTIONS = [option("a"), option("b"), option("c")]
FIELDS = [
    field("question", "plain_text_input", multiline=True, min_length=3, max_length=20, placeholder=plain("Ask")),
    field("panel", "static_select", options=OPTIONS, initial_option=OPTIONS[1]),
    field("members", "multi_static_select", options=OPTIONS, max_selected_items=2, optional=True),
    field("extras", "checkboxes", options=OPTIONS, optional=True),
    field("mode", "radio_buttons", options=OPTIONS, initial_option=OPTIONS[0]),
    field("rounds", "number_input", is_decimal_allowed=False, min_value="1", max_value="5", initial_value="2"),
]


def modal(*blocks: JSON, **extra: Any) -> JSON:
    return {"type": "modal", "title": plain("Ask"), "submit": plain("Go"), "blocks": list(blocks)} | extra


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


def opening(app: AsyncApp, view: JSON) -> None:
    """Let the global shortcut "ask" open this view."""

    @app.shortcut("ask")
    async def show(ack: AsyncAck, shortcut: JSON, client: AsyncWebClient) -> None:
        await client.views_open(trigger_id=shortcut["trigger_id"], view=view)
        await ack()


async def test_a_modal_is_filled_in_and_submitted(slack: SlackEmulator, connect: Connect) -> None:
    app, got = bolt_app(slack), list[JSON]()
    opening(app, modal(*FIELDS, callback_id="ask", private_metadata="C1", notify_on_close=True))

    @app.view("ask")
    async def submitted(ack: AsyncAck, body: JSON) -> None:
        got.append(body)
        if body["view"]["state"]["values"]["question"]["question_input"]["value"] == "what":
            await ack(response_action="errors", errors={"question": "Say more"})
        else:
            await ack()

    async with connect(app):
        assert (await slack.shortcut("ask")).acked
        (view,) = slack.modals()
        with pytest.raises(RefusedByClient) as refused:
            await slack.submit_view(view)
        assert refused.value.problems == {"question": "required"}
        for values, block in (
            ({"question": "x" * 21}, "question"),
            ({"question": "what", "rounds": "6"}, "rounds"),
            ({"question": "what", "rounds": "1.5"}, "rounds"),
            ({"question": "what", "rounds": "2", "members": ["a", "b", "c"]}, "members"),
        ):
            with pytest.raises(RefusedByClient) as refused:
                await slack.submit_view(view, values)
            assert set(refused.value.problems) == {block}
        with pytest.raises(LookupError, match="offers"):
            await slack.submit_view(view, {"panel": "z"})
        with pytest.raises(LookupError, match="0 elements are called"):
            await slack.submit_view(view, {"colour": "red"})
        with pytest.raises(LookupError, match="not on the screen"):
            await slack.submit_view(view, user=slack.other_user)
        await slack.submit_view(view, {"question": "what", "members": ["a", "c"], "extras": ["b"]})
        assert view.errors == {"question": "Say more"}
        assert slack.modals() == [view]
        await slack.submit_view(view, {"question_input": "why?"})
    assert slack.modals() == []
    body = got[1]
    assert (body["view"]["callback_id"], body["view"]["private_metadata"], body["user"]["id"]) == (
        "ask",
        "C1",
        slack.user,
    )
    assert body["view"]["state"]["values"] == {
        "question": {"question_input": {"type": "plain_text_input", "value": "why?"}},
        "panel": {"panel_input": {"type": "static_select", "selected_option": OPTIONS[1]}},
        "members": {"members_input": {"type": "multi_static_select", "selected_options": [OPTIONS[0], OPTIONS[2]]}},
        "extras": {"extras_input": {"type": "checkboxes", "selected_options": [OPTIONS[1]]}},
        "mode": {"mode_input": {"type": "radio_buttons", "selected_option": OPTIONS[0]}},
        "rounds": {"rounds_input": {"type": "number_input", "value": "2"}},
    }
    slack.assert_clean()


async def test_a_submission_may_push_update_and_clear(slack: SlackEmulator, connect: Connect) -> None:
    app, closed = bolt_app(slack), list[JSON]()
    opening(app, modal(callback_id="first"))
    answers: list[JSON] = [
        {"response_action": "push", "view": modal(callback_id="second", notify_on_close=True)},
        {"response_action": "update", "view": modal(callback_id="third", notify_on_close=True)},
        {"response_action": "errors", "errors": {"nowhere": "x"}},
        {"response_action": "clear"},
    ]

    @app.view("first")
    @app.view("third")
    async def submitted(ack: AsyncAck) -> None:
        await ack(**answers.pop(0))

    @app.view("second")
    async def second(ack: AsyncAck) -> None:
        await ack(**answers.pop(0))

    @app.view_closed("second")
    async def gone(ack: AsyncAck, body: JSON) -> None:
        closed.append(body)
        await ack()

    async with connect(app):
        await slack.shortcut("ask")
        (first,) = slack.modals()
        await slack.submit_view(first)
        _, second_view = slack.modals()
        assert (second_view.root_id, second_view.previous_id) == (first.id, first.id)
        with pytest.raises(LookupError, match="not the modal to submit"):
            await slack.submit_view(first)
        await slack.submit_view(second_view)
        assert second_view.body["callback_id"] == "third"
        await slack.submit_view(second_view)
        await slack.submit_view(second_view)
        assert slack.modals() == []
        answers.insert(0, {"response_action": "push", "view": modal(callback_id="second", notify_on_close=True)})
        await slack.shortcut("ask")
        await slack.submit_view(slack.modals()[0])
        (delivery,) = await slack.close_view(slack.modals()[1])
        assert delivery.acked
        assert (len(slack.modals()), closed[0]["is_cleared"]) == (1, False)
        assert await slack.close_view(slack.modals()[0]) == []
    slack.assert_clean("bad_view_errors")


async def test_a_modal_is_changed_while_it_is_open(slack: SlackEmulator, connect: Connect) -> None:
    app = bolt_app(slack)
    button = {"type": "button", "action_id": "more", "text": plain("More")}
    menu = {"type": "static_select", "action_id": "pick", "options": OPTIONS}
    blocks = [FIELDS[0], {"type": "actions", "block_id": "do", "elements": [button, menu]}]
    opening(app, modal(*blocks))
    seen = list[JSON]()

    @app.action("more")
    async def more(ack: AsyncAck, body: JSON, client: AsyncWebClient) -> None:
        seen.append(body)
        view = body["view"]
        await ack()
        await client.views_update(view_id=view["id"], hash=view["hash"], view=modal(*blocks, FIELDS[1]))
        conflict = client.views_update(view_id=view["id"], hash=view["hash"], view=modal())
        assert await error_of(conflict) == "hash_conflict"
        pushed = await client.views_push(trigger_id=body["trigger_id"], view=modal(callback_id="above"))
        seen.append(pushed["view"])

    @app.action("pick")
    async def pick(ack: AsyncAck, action: JSON) -> None:
        seen.append(action)
        await ack()

    async with connect(app):
        await slack.shortcut("ask")
        (view,) = slack.modals()
        await slack.click_view(view, "pick", value="c")
        with pytest.raises(LookupError, match="tells nothing before the submission"):
            await slack.click_view(view, "question_input", value="why?")
        await slack.click_view(view, "more")
        above = (await slack.wait_for(lambda: slack.modals()[1:]))[0]
        await slack.wait_for(lambda: len(seen) == 3)
        assert above.previous_id == view.id
        await client_of(slack).views_update(view_id=above.id, view=modal(*FIELDS))
        assert len(above.state) == len(FIELDS)
    picked, clicked, pushed = seen
    assert picked["selected_option"] == OPTIONS[2]
    assert clicked["container"] == {"type": "view", "view_id": view.id}
    assert "response_url" not in clicked
    assert clicked["view"]["state"]["values"]["do"]["pick"]["selected_option"] == OPTIONS[2]
    assert view.state["do"]["pick"]["selected_option"] == OPTIONS[2]
    assert pushed["previous_view_id"] == view.id
    gone = client_of(slack).views_update(view_id="V0NOWHERE1", view=modal())
    assert await error_of(gone) == "not_found"
    slack.assert_clean()


BAD_VIEWS = {
    "home": ({"type": "home", "blocks": []}, "type must be modal"),
    "no title": ({"type": "modal", "blocks": []}, "missing required field: title"),
    "unknown field": (modal(colour="red"), "unexpected field: colour"),
    "metadata": (modal(private_metadata="x" * 3001), "private_metadata of more than 3000"),
    "no submit": ({"type": "modal", "title": plain("Ask"), "blocks": [FIELDS[0]]}, "missing required field: submit"),
    "options": (modal(field("x", "static_select", options=[option(f"o{i}") for i in range(101)])), "no more than 100"),
    "few options": (modal(field("x", "checkboxes", options=[option(f"o{i}") for i in range(11)])), "no more than 10"),
    "same option": (modal(field("x", "static_select", options=[option("a")] * 2)), "not unique"),
    "option value": (modal(field("x", "static_select", options=[option("x" * 76)])), "less than 76"),
    "initial": (modal(field("x", "radio_buttons", options=OPTIONS, initial_option=option("z"))), "initial option"),
    "label": (modal(FIELDS[0] | {"label": plain("x" * 2001)}), "less than 2001"),
    "hint": (modal(FIELDS[0] | {"hint": plain("x" * 2001)}), "less than 2001"),
    "placeholder": (modal(field("x", "plain_text_input", placeholder=plain("x" * 151))), "less than 151"),
    "length": (modal(field("x", "plain_text_input", max_length=3001)), "at most 3000"),
    "initial text": (modal(field("x", "plain_text_input", max_length=2, initial_value="xxx")), "less than 3"),
    "number": (modal(field("x", "number_input")), "missing required field: is_decimal_allowed"),
    "bounds": (
        modal(field("x", "number_input", is_decimal_allowed=True, min_value="2", max_value="1")),
        "min_value must not be above",
    ),
    "button": (modal(field("x", "button", text=plain("x"))), "unsupported type: button"),
    "markdown": (modal({"type": "markdown", "text": "x"}), "for messages only"),
    "blocks": (modal(*[{"type": "divider"}] * 101), "no more than 100 items"),
    "focus": (
        modal(*(field(x, "plain_text_input", focus_on_load=True) for x in "ab")),
        "only one element may have the focus",
    ),
}


@pytest.mark.parametrize(("view", "problem"), BAD_VIEWS.values(), ids=BAD_VIEWS.keys())
async def test_views_that_slack_refuses(view: JSON, problem: str) -> None:
    async with SlackEmulator(socket_mode=False) as slack:
        trigger = (await slack.shortcut("ask")).payload["trigger_id"]
        call = client_of(slack).api_call("views.open", json={"trigger_id": trigger, "view": view})
        assert await error_of(call) in {"invalid_arguments", "invalid_blocks"}
        assert problem in slack.violations[-1].detail
        await client_of(slack).views_open(trigger_id=trigger, view=modal(*FIELDS))
        assert len(slack.modals()) == 1


async def test_three_modals_lie_on_each_other() -> None:
    async with SlackEmulator(socket_mode=False) as slack:
        client = client_of(slack)
        outside = (await slack.shortcut("ask")).payload["trigger_id"]
        assert await error_of(client.views_push(trigger_id=outside, view=modal())) == "invalid_trigger_id"
        button = {"type": "button", "action_id": "more", "text": plain("More")}
        view = modal({"type": "actions", "elements": [button]})
        await client.views_open(trigger_id=outside, view=view)
        for expected in ("", "", "push_limit_reached"):
            trigger = (await slack.click_view(slack.modals()[-1], "more")).payload["trigger_id"]
            push = client.views_push(trigger_id=trigger, view=view)
            if expected:
                assert await error_of(push) == expected
            else:
                await push
        assert len(slack.modals()) == 3


async def test_the_app_home(slack: SlackEmulator, connect: Connect) -> None:
    app, heard = bolt_app(slack), list[JSON]()
    button = {"type": "button", "action_id": "go", "text": plain("Go"), "value": "7"}

    @app.event("app_home_opened")
    async def opened(event: JSON, client: AsyncWebClient) -> None:
        heard.append(event)
        blocks = [{"type": "actions", "elements": [button]}]
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})

    @app.action("go")
    async def go(ack: AsyncAck, body: JSON) -> None:
        heard.append(body)
        await ack()

    async with connect(app):
        await slack.open_home()
        home = await slack.wait_for(slack.home)
        assert home
        await slack.click_view(home, "go")
        await slack.open_home(tab="messages")
        await slack.wait_for(lambda: len(heard) == 3)
        await slack.settled()
    first, click, messages = heard
    assert (first["tab"], first["channel"], "view" in first) == ("home", slack.dm, False)
    assert (click["view"]["type"], click["actions"][0]["value"]) == ("home", "7")
    assert messages["tab"] == "messages"
    client = client_of(slack)
    long: JSON = {"type": "home", "blocks": [{"type": "divider"}] * 101}
    assert await error_of(client.views_publish(user_id=slack.user, view=long)) == "invalid_blocks"
    assert await error_of(client.views_publish(user_id="U0NOBODY01", view=long)) == "user_not_found"
    slack.assert_clean("invalid_blocks")
