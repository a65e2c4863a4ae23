"""Installing from a page: who may end an installation, what goes wrong, and where tokens stand afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg  # type: ignore[import-untyped]
import pytest
from structlog.testing import capture_logs

from adapters.history import SqlHistory
from adapters.slack.install import BEGUN, COOKIE, INSTALL_PATH, REDIRECT_PATH
from adapters.slack.manifest import SCOPES
from tests.adapters.slack.tenancy import PUBLIC_URL, Front, front
from tests.emulators.slack import SlackEmulator


class Clock:
    """Puts the time forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def desk(slack: SlackEmulator, tmp_path: Path, clock: Clock) -> AsyncIterator[Front]:
    async with SqlHistory(f"sqlite:///{tmp_path}/history.db", clock=clock) as history, front(slack, history) as desk:
        yield desk


def no_code_was_exchanged(slack: SlackEmulator) -> bool:
    return not slack.calls_to("oauth.v2.access")


async def nothing_is_installed(desk: Front) -> bool:
    return not [one async for one in desk.store.all()]


# --- as it should go ------------------------------------------------------------------------------------


async def test_a_person_installs_the_app(slack: SlackEmulator, desk: Front) -> None:
    first = await desk.get(INSTALL_PATH)
    assert first.status == 200
    query = parse_qs(urlsplit(first.link).query)
    assert query["redirect_uri"] == [f"{PUBLIC_URL}{REDIRECT_PATH}"]
    assert query["state"] == [first.cookie]
    assert set(query["scope"][0].split(",")) == set(SCOPES)
    last = await desk.get(slack.approve(first.link), first.cookie)
    assert last.status == 200
    assert "<h1>Consortium is in Acme</h1>" in last.text
    assert last.link == f"https://slack.com/app_redirect?app={slack.app_id}&team={slack.team_id}"
    [found] = [one async for one in desk.store.all()]
    assert [found.bot_token] == slack.oauth.tokens_of(slack.workspace)
    assert (found.bot_id, found.bot_user_id, found.team_name) == (slack.bot_id, slack.bot_user_id, "Acme")
    assert found.get_custom_value("bot_name") == "consortium"
    slack.assert_clean()


async def test_the_state_is_kept_where_only_that_browser_has_it(desk: Front) -> None:
    pages = [await desk.get(INSTALL_PATH) for _ in range(2)]
    assert pages[0].cookie != pages[1].cookie
    assert len(pages[0].cookie) >= 40
    for flag in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600", "__Host-"):
        assert flag in pages[0].cookie_line
    assert "Domain" not in pages[0].cookie_line


async def test_pages_run_nothing_and_are_kept_nowhere(slack: SlackEmulator, desk: Front) -> None:
    first = await desk.get(INSTALL_PATH)
    for page in (first, await desk.get(slack.approve(first.link), first.cookie), await desk.get(REDIRECT_PATH)):
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "no-store"
        assert "<script" not in page.text
        assert 'lang="en"' in page.text


async def test_an_organisation_installs_it_for_all_its_workspaces(desk: Front) -> None:
    async with (
        SlackEmulator(oauth=True, enterprise="E0ACME0001", scopes=()) as slack,
        front(slack, desk.history) as org,
    ):
        page = await org.install(slack, org_wide=True)
        assert "<h1>Consortium is in E0ACME0001</h1>" in page.text
        assert page.link.startswith("https://app.slack.com/apps-manage/E0ACME0001/")
        found = await org.store.async_find_installation(enterprise_id="E0ACME0001", team_id=slack.team_id)
        assert found is not None
        assert found.is_enterprise_install
        # Not everything that Slack sends names the organisation: from now on the workspace alone is enough.
        again = await org.store.async_find_installation(enterprise_id=None, team_id=slack.team_id)
        assert again is not None
        assert again.bot_token == found.bot_token
        assert len([one async for one in org.store.all()]) == 1


async def test_installing_again_replaces_the_tokens(slack: SlackEmulator, desk: Front) -> None:
    await desk.install(slack)
    [before] = [one async for one in desk.store.all()]
    await desk.install(slack)
    [after] = [one async for one in desk.store.all()]
    assert after.bot_token != before.bot_token
    assert [after.bot_token] == slack.oauth.tokens_of(slack.workspace)


# --- who may not ----------------------------------------------------------------------------------------


async def test_another_browser_cannot_end_what_this_one_began(slack: SlackEmulator, desk: Front) -> None:
    first, other = await desk.get(INSTALL_PATH), await desk.get(INSTALL_PATH)
    back = slack.approve(first.link)
    for cookie in ("", other.cookie, "x"):
        page = await desk.get(back, cookie)
        assert page.status == 400
        assert "another browser" in page.text
        assert page.link == f"{PUBLIC_URL}{INSTALL_PATH}"
    assert no_code_was_exchanged(slack)
    assert await nothing_is_installed(desk)
    assert (await desk.get(back, first.cookie)).status == 200, "and the right one still can"


async def test_a_state_that_nobody_issued_counts_for_nothing(slack: SlackEmulator, desk: Front) -> None:
    page = await desk.get(f"{REDIRECT_PATH}?code=c&state=made-up", "made-up")
    assert page.status == 400
    assert no_code_was_exchanged(slack)


async def test_bytes_that_are_no_text_are_a_wrong_state_like_any_other(desk: Front) -> None:
    at = urlsplit(desk.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(
        b"GET %s?code=c&state=%%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: %s=\xff\r\n\r\n"
        % (REDIRECT_PATH.encode(), COOKIE.encode())
    )
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_a_state_counts_once(slack: SlackEmulator, desk: Front) -> None:
    first = await desk.get(INSTALL_PATH)
    back = slack.approve(first.link)
    pages = await asyncio.gather(*(desk.get(back, first.cookie) for _ in range(4)))
    assert sorted(page.status for page in pages) == [200, 400, 400, 400]
    assert len(slack.calls_to("oauth.v2.access")) == 1


async def test_a_state_is_good_for_ten_minutes(slack: SlackEmulator, desk: Front, clock: Clock) -> None:
    first = await desk.get(INSTALL_PATH)
    clock.ahead = timedelta(seconds=601)
    page = await desk.get(slack.approve(first.link), first.cookie)
    assert page.status == 400
    assert "more than ten minutes ago" in page.text
    assert no_code_was_exchanged(slack)


async def test_a_code_is_good_once(slack: SlackEmulator, desk: Front) -> None:
    first, second = await desk.get(INSTALL_PATH), await desk.get(INSTALL_PATH)
    back = slack.approve(first.link)
    assert (await desk.get(back, first.cookie)).status == 200
    [before] = [one async for one in desk.store.all()]
    replayed = await desk.get(back.replace(first.cookie, second.cookie), second.cookie)
    assert replayed.status == 400
    assert "used before" in replayed.text
    [after] = [one async for one in desk.store.all()]
    assert after.bot_token == before.bot_token


async def test_who_says_no_has_changed_nothing(slack: SlackEmulator, desk: Front) -> None:
    first = await desk.get(INSTALL_PATH)
    page = await desk.get(slack.oauth.deny(first.link), first.cookie)
    assert (page.status, "You said no" in page.text) == (200, True)
    assert await nothing_is_installed(desk)
    again = await desk.get(f"{REDIRECT_PATH}?code=c&state={first.cookie}", first.cookie)
    assert again.status == 400, "the state is used up"
    assert no_code_was_exchanged(slack)


async def test_nobody_fills_the_database_by_opening_the_page(slack: SlackEmulator, desk: Front) -> None:
    pages = [await desk.get(INSTALL_PATH) for _ in range(BEGUN + 5)]
    assert [page.status for page in pages] == [200] * BEGUN + [503] * 5
    assert not pages[-1].cookie
    assert (await desk.get(slack.approve(pages[0].link), pages[0].cookie)).status == 200, "what was begun goes on"


# --- what goes wrong ------------------------------------------------------------------------------------


async def test_what_others_write_is_shown_as_text(desk: Front) -> None:
    async with (
        SlackEmulator(oauth=True, name="<img src=x>", scopes=()) as slack,
        front(slack, desk.history) as there,
    ):
        assert "Consortium is in &lt;img src=x&gt;" in (await there.install(slack)).text
        first = await there.get(INSTALL_PATH)
        page = await there.get(f"{REDIRECT_PATH}?error=%3Cscript%3E&state={first.cookie}", first.cookie)
        assert page.status == 400
        assert "&lt;script&gt;" in page.text


async def test_a_wrong_secret_is_for_the_operator(slack: SlackEmulator, desk: Front) -> None:
    async with front(slack, desk.history, secret="not-the-secret") as wrong:
        with capture_logs() as logs:
            page = await wrong.install(slack)
    assert "SLACK_CLIENT_SECRET: Slack refuses it (bad_client_secret)" in repr(logs)
    assert page.status == 500
    assert "only its operator can mend" in page.text
    assert "not-the-secret" not in page.text + repr(logs)
    assert await nothing_is_installed(desk)


@pytest.mark.parametrize(
    ("trouble", "status", "says"),
    [
        ({"drop": True}, 502, "did not answer"),
        ({"status": 500}, 502, "did not answer"),
        ({"error": "bad_redirect_uri"}, 500, "only its operator can mend"),
        ({"error": "invalid_code"}, 400, "begin anew"),
    ],
)
async def test_slacks_troubles_are_told(
    slack: SlackEmulator, desk: Front, trouble: dict[str, object], status: int, says: str
) -> None:
    slack.fault("oauth.v2.access", **trouble)  # type: ignore[arg-type]
    page = await desk.install(slack)
    assert (page.status, says in page.text) == (status, True)
    assert "Traceback" not in page.text
    assert await nothing_is_installed(desk)
    assert (await desk.install(slack)).status == 200, "and the next attempt works"


async def test_a_database_that_is_away_is_told_without_its_name(slack: SlackEmulator, tmp_path: Path) -> None:
    async with SqlHistory(f"sqlite:///{tmp_path}/gone.db", reads=0.1, writes=0.1) as history:
        async with front(slack, history) as desk:
            await history.__aexit__(None, None, None)
            page = await desk.get(INSTALL_PATH)
        assert page.status in (500, 503)
        assert "gone.db" not in page.text
        assert "Traceback" not in page.text


# --- where tokens stand ---------------------------------------------------------------------------------


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_tokens_stand_nowhere_in_clear(
    rotating: SlackEmulator, shared_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with SqlHistory(shared_url) as history, front(rotating, history) as desk:
        rotating.oauth.life = 60
        with capture_logs() as logs:
            shown = await desk.install(rotating)
            [first] = [one async for one in desk.store.all()]
            await desk.rotation.look()
            [found] = [one async for one in desk.store.all()]
        assert rotating.oauth.refreshed == 1
        tokens = [token for one in (first, found) for token in (one.bot_token, one.bot_refresh_token)]
        secrets = [*map(str, tokens), rotating.oauth.client_secret]
        assert all(secrets)
        if shared_url.startswith("sqlite"):
            stored = everything_in(tmp_path)
        else:
            connection = await asyncpg.connect(shared_url)
            stored = repr(await connection.fetch("SELECT * FROM installations")).encode()
            await connection.close()
        assert rotating.team_id.encode() in stored, "it is the right place to look"
        repr_of = repr(await history.installations.all(desk.oauth.client_id)) + repr(desk.oauth)
        await desk.store.async_delete_installation(enterprise_id=None, team_id=rotating.team_id)
    for secret in secrets:
        assert secret.encode() not in stored
        assert secret[:24].encode() not in stored
        assert secret not in caplog.text + repr(logs) + shown.text + repr_of
