"""The emulated Slack's OAuth: strict about clients, codes, addresses and tokens that are used twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from aiohttp import encode_basic_auth
from slack_sdk.web.async_client import AsyncWebClient

from tests.emulators.slack import SlackEmulator
from tests.emulators.slack_apps import Clock, error_of

BACK = "https://bot.example/slack/oauth_redirect"
STATE = "a-state-that-nobody-guesses"


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def slack(clock: Clock) -> AsyncIterator[SlackEmulator]:
    async with SlackEmulator(oauth=True, rotation=True, scopes=(), clock=clock, rates=False) as slack:
        slack.oauth.redirect_urls.add(BACK)
        yield slack


def question(slack: SlackEmulator, **changed: str) -> str:
    query = {"client_id": slack.oauth.client_id, "scope": "chat:write,users:read", "redirect_uri": BACK, "state": STATE}
    return f"{slack.base_url}/oauth/v2/authorize?{urlencode(query | changed)}"


def code_of(url: str) -> str:
    query = parse_qs(urlsplit(url).query)
    assert query["state"] == [STATE]
    return query["code"][0]


def client(slack: SlackEmulator, token: str | None = None) -> AsyncWebClient:
    return AsyncWebClient(token=token, base_url=slack.api_url, retry_handlers=[])


async def access(slack: SlackEmulator, **given: Any) -> Any:
    who = [given.pop(name, getattr(slack.oauth, name)) for name in ("client_id", "client_secret")]
    header = {"Authorization": encode_basic_auth(*who)}
    return (await client(slack).api_call("oauth.v2.access", data=given, headers=header)).data


async def installed(slack: SlackEmulator, into: SlackEmulator) -> Any:
    return await access(slack, code=code_of(into.approve(question(slack))), redirect_uri=BACK)


async def test_a_code_is_exchanged_once_for_the_tokens_of_its_workspace(slack: SlackEmulator) -> None:
    code = code_of(slack.approve(question(slack)))
    given = await access(slack, code=code, redirect_uri=BACK)
    assert given["team"] == {"id": slack.team_id, "name": "Acme"}
    assert (given["bot_user_id"], given["expires_in"]) == (slack.bot_user_id, 43_200)
    assert given["access_token"].startswith("xoxe.xoxb-")
    assert (await client(slack, given["access_token"]).auth_test())["team_id"] == slack.team_id
    assert await error_of(access(slack, code=code, redirect_uri=BACK)) == "invalid_code"
    slack.assert_clean()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"client_secret": "wrong"}, "bad_client_secret"),
        ({"client_id": "wrong"}, "invalid_client_id"),
        ({"code": "guessed"}, "invalid_code"),
        ({"redirect_uri": "https://evil.example"}, "bad_redirect_uri"),
        ({"redirect_uri": None}, "bad_redirect_uri"),
    ],
)
async def test_what_does_not_fit_is_refused(slack: SlackEmulator, given: dict[str, str], error: str) -> None:
    code = code_of(slack.approve(question(slack)))
    assert await error_of(access(slack, **({"code": code, "redirect_uri": BACK} | given))) == error


async def test_a_code_lives_for_ten_minutes(slack: SlackEmulator, clock: Clock) -> None:
    code = code_of(slack.approve(question(slack)))
    clock.now += 601
    assert await error_of(access(slack, code=code, redirect_uri=BACK)) == "invalid_code"


@pytest.mark.parametrize("changed", [{"client_id": "x"}, {"redirect_uri": "https://evil.example"}, {"scope": "admin"}])
async def test_slack_does_not_ask_people_for_what_is_wrong(slack: SlackEmulator, changed: dict[str, str]) -> None:
    with pytest.raises(LookupError):
        slack.approve(question(slack, **changed))


async def test_a_state_that_can_be_guessed_is_a_violation(slack: SlackEmulator) -> None:
    slack.approve(question(slack, state="1"))
    slack.assert_clean("oauth_state")


async def test_a_refresh_token_is_good_once_and_tokens_expire(slack: SlackEmulator, clock: Clock) -> None:
    first = await installed(slack, slack)
    again: dict[str, Any] = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = await access(slack, **again)
    assert second["access_token"] != first["access_token"]
    assert await error_of(access(slack, **again)) == "invalid_refresh_token"
    clock.now += 43_201
    assert await error_of(client(slack, second["access_token"]).auth_test()) == "token_expired"
    third = await access(slack, grant_type="refresh_token", refresh_token=second["refresh_token"])
    await client(slack, third["access_token"]).auth_test()


async def test_each_workspace_has_its_own_people_channels_and_tokens(slack: SlackEmulator) -> None:
    async with SlackEmulator(beside=slack, name="Globex", scopes=()) as other:
        ours, theirs = await installed(slack, slack), await installed(slack, other)
        assert theirs["team"] == {"id": "T1ACME0001", "name": "Globex"}
        assert other.channel != slack.channel
        reached = client(slack, theirs["access_token"])
        await reached.chat_postMessage(channel=other.channel, text="there")
        assert await error_of(reached.chat_postMessage(channel=slack.channel, text="here")) == "channel_not_found"
        assert await error_of(reached.users_info(user=slack.user)) == "user_not_found"
        assert [message.text for message in other.messages(by_bot=True)] == ["there"]
        assert slack.messages() == []
        await client(slack, ours["access_token"]).auth_revoke()
        assert await error_of(client(slack, ours["access_token"]).auth_test()) == "token_revoked"
        await reached.auth_test()


async def test_an_organisation_is_installed_as_a_whole() -> None:
    async with SlackEmulator(oauth=True, enterprise="E0ACME0001", scopes=()) as slack:
        slack.oauth.redirect_urls.add(BACK)
        code = code_of(slack.approve(question(slack), org_wide=True))
        given = await access(slack, code=code, redirect_uri=BACK)
        assert (given["team"], given["is_enterprise_install"]) == (None, True)
        assert given["enterprise"]["id"] == "E0ACME0001"
        assert "refresh_token" not in given
        assert given["access_token"].startswith("xoxb-")
