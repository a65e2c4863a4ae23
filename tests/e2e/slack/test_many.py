"""One service for many workspaces: each has its own answers, tokens and end; all processes know of each change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from pydantic import SecretStr
from structlog.testing import capture_logs

from adapters.slack.install import COOKIE, INSTALL_PATH, OAuth
from adapters.slack.surface import SlackConfig, SlackSurface
from bot.app import Core, open_core
from bot.processes import surfaces
from bot.settings import new_key
from core.asks import Person, Platform, ThreadRef
from core.commands.values import AskCommand
from core.installed import Installations, Installed
from core.service import Inbound
from tests.e2e.slack.stage import TIMING, Stage, catalog, settings_in
from tests.emulators.provider import ProviderEmulator
from tests.emulators.serving import listening
from tests.emulators.slack import SlackEmulator

KEY = new_key()
ORGANISATION = "E0ACME0001"
QUICK = replace(TIMING, fresh=0.05, look=0.1)

pytestmark = pytest.mark.asyncio(loop_scope="package")


@dataclass
class Service:
    """A running front, with the pages and the endpoint that it serves."""

    core: Core
    surface: SlackSurface
    url: str
    session: aiohttp.ClientSession

    async def install(self, slack: SlackEmulator, *, org_wide: bool = False) -> None:
        """Install the app in a workspace, as a person with a browser does."""
        async with self.session.get(self.url + INSTALL_PATH) as page:
            link = unescape((await page.text()).partition('class="button" href="')[2].partition('"')[0])
            state = page.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        back = urlsplit(slack.approve(link, org_wide=org_wide))
        async with self.session.get(
            f"{self.url}{back.path}?{back.query}", headers={"Cookie": f"{COOKIE}={state}"}
        ) as page:
            assert page.status == 200, await page.text()

    def stage(self, slack: SlackEmulator) -> Stage:
        """What people see of it in one workspace."""
        return Stage(slack, self.core, self.surface)


@asynccontextmanager
async def front(
    core: Core, slack: SlackEmulator, *, http: bool = False, store: Installations | None = None
) -> AsyncIterator[Service]:
    """A front for many workspaces, on the core that all of them share."""
    secret = SecretStr(slack.oauth.client_secret)
    oauth = OAuth(slack.oauth.client_id, secret, SecretStr(KEY), "https://bot.example", store or core.installations)
    slack.oauth.redirect_urls.add(oauth.redirect_url)
    config = SlackConfig(
        app_token=None if http else SecretStr(slack.app_token),
        signing_secret=SecretStr(slack.signing_secret),
        api_url=slack.api_url,
        oauth=oauth,
    )
    surface = SlackSurface(config, core.service, core.events, core.history, QUICK)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(listening(*surface.routes()))
        session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        await stack.enter_async_context(session)
        await surface.start()
        stack.push_async_callback(surface.close, 2)
        if http:
            await slack.deliver_to(f"{url}/slack/events")
        else:
            await slack.connected()
        yield Service(core, surface, url, session)


@asynccontextmanager
async def two_workspaces(core: Core, *, http: bool = False) -> AsyncIterator[tuple[SlackEmulator, SlackEmulator]]:
    """Two workspaces that know the app and have not installed it."""
    common = {"scopes": (), "speed": 0.01}
    async with (
        SlackEmulator(oauth=True, rotation=True, socket_mode=not http, **common) as acme,  # type: ignore[arg-type]
        SlackEmulator(beside=acme, name="Globex", **common) as globex,  # type: ignore[arg-type]
    ):
        yield acme, globex
        for slack in (acme, globex):
            await core.installations.delete(slack.oauth.client_id, None, slack.team_id)
        acme.assert_clean()


@pytest_asyncio.fixture(loop_scope="package", params=["socket", "http"])
async def both(core: Core, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Service, Stage, Stage]]:
    """A front with the app installed in two workspaces, over either transport."""
    http = request.param == "http"
    async with two_workspaces(core, http=http) as (acme, globex), front(core, acme, http=http) as service:
        await service.install(acme)
        await service.install(globex)
        yield service, service.stage(acme), service.stage(globex)
        await service.surface.idle()


@pytest_asyncio.fixture(loop_scope="package")
async def pair(core: Core) -> AsyncIterator[tuple[SlackEmulator, SlackEmulator, Service]]:
    """The same over Socket Mode, with one workspace installed."""
    async with two_workspaces(core) as (acme, globex), front(core, acme) as service:
        await service.install(acme)
        yield acme, globex, service
        await service.surface.idle()


@pytest_asyncio.fixture(loop_scope="package")
async def slack_to_install() -> AsyncIterator[SlackEmulator]:
    """A workspace over HTTP that knows the app."""
    async with SlackEmulator(oauth=True, socket_mode=False, scopes=(), speed=0.01) as slack:
        yield slack
        slack.assert_clean()


async def asks_and_is_answered(stage: Stage, question: str, channel: str | None = None) -> None:
    root = await stage.ask(question, channel=channel)
    await stage.answer(root.ts, channel)


# --- each for itself ------------------------------------------------------------------------------------


async def test_each_workspace_is_answered_in_its_own_threads(both: tuple[Service, Stage, Stage]) -> None:
    _, acme, globex = both
    roots = await asyncio.gather(acme.ask("Whose is it?"), globex.ask("Whose is it?"))
    await asyncio.gather(*(stage.answer(root.ts) for stage, root in zip((acme, globex), roots, strict=True)))
    mention = await globex.slack.say("ask --no-charts And whose is that?", mention=True)
    await globex.answer(mention)
    for stage, root in zip((acme, globex), roots, strict=True):
        assert [m.ts for m in stage.slack.messages(by_bot=True) if not m.thread_ts] == [root.ts]
        assert len(stage.answers(root.ts)) == 1
        assert {m.user for m in stage.slack.messages(by_bot=True)} == {stage.slack.bot_user_id}
    stored = await asyncio.gather(
        *(
            stage.core.history.thread_runs(_where(stage.slack, root.ts), limit=5)
            for stage, root in zip((acme, globex), roots, strict=True)
        )
    )
    assert [[run.where.workspace for run in runs] for runs in stored] == [
        [acme.slack.team_id],
        [globex.slack.team_id],
    ]


def _where(slack: SlackEmulator, thread: str) -> ThreadRef:
    return ThreadRef(platform=Platform.SLACK, workspace=slack.team_id, channel=slack.channel, thread=thread)


async def test_taps_and_forms_come_from_their_workspace(pair: tuple[SlackEmulator, SlackEmulator, Service]) -> None:
    _, globex, service = pair
    await service.install(globex)
    delivery = await globex.command("/consortium settings")
    assert delivery.acked
    view = await globex.wait_for(lambda: globex.modals())
    assert view[0].to_json()["app_installed_team_id"] == globex.team_id
    assert (await globex.submit_view(view[0])).acked
    await service.surface.idle()


# --- those who have not, or not any more ----------------------------------------------------------------


async def test_who_has_not_installed_it_gets_nothing_but_a_line_in_the_log(
    pair: tuple[SlackEmulator, SlackEmulator, Service],
) -> None:
    acme, globex, service = pair
    before = len(acme.calls)
    with capture_logs() as logs:
        globex.workspace.scopes = acme.workspace.scopes
        delivery = await globex.command("/consortium ask Am I heard?")
        await globex.say("Am I heard?", mention=True)
        await globex.settled()
    assert delivery.acked
    assert delivery.response is None
    assert len(acme.calls) == before
    assert globex.messages(by_bot=True) == []
    lines = [line for line in logs if line["event"] == "not installed there"]
    assert {line["team"] for line in lines} == {globex.team_id}
    await asks_and_is_answered(service.stage(acme), "Am I still heard?")


async def test_a_workspace_takes_the_app_off_and_the_other_keeps_it(both: tuple[Service, Stage, Stage]) -> None:
    service, acme, globex = both
    await globex.slack.uninstall()
    await globex.slack.settled()
    store, client = service.core.installations, acme.slack.oauth.client_id
    assert await store.find(client, None, globex.slack.team_id) is None
    assert await store.find(client, None, acme.slack.team_id) is not None
    await globex.slack.command("/consortium ask Gone?")
    await asks_and_is_answered(acme, "Here?")
    assert globex.slack.messages(by_bot=True) == []


async def test_a_late_word_of_removal_leaves_a_new_installation_alone(
    pair: tuple[SlackEmulator, SlackEmulator, Service],
) -> None:
    acme, _, service = pair
    await service.install(acme)  # in place of what these events are about
    await acme.event({"type": "app_uninstalled", "event_ts": "1.0"})
    await acme.event({"type": "tokens_revoked", "tokens": {"bot": [acme.bot_user_id]}, "event_ts": "1.0"})
    await acme.event({"type": "tokens_revoked", "tokens": {"oauth": [acme.user]}, "event_ts": "1.0"})
    await acme.settled()
    await asks_and_is_answered(service.stage(acme), "Still here?")


async def test_a_revoked_token_turns_one_workspace_off_and_ends_nothing(
    pair: tuple[SlackEmulator, SlackEmulator, Service],
) -> None:
    acme, globex, service = pair
    await service.install(globex)
    await asks_and_is_answered(service.stage(globex), "Before?")
    globex.oauth.revoke_all(globex.workspace)
    with capture_logs() as logs:
        await globex.command("/consortium ask Revoked?")
        await service.surface.idle()
    [line] = [line for line in logs if line["log_level"] == "error" and "off in this workspace" in line["event"]]
    assert (line["team"], line["code"]) == (globex.team_id, "token_revoked")
    await asks_and_is_answered(service.stage(acme), "And here?")
    assert await service.surface.ready() is None
    await service.install(globex)
    await asks_and_is_answered(service.stage(globex), "Back again?")
    for run in await service.core.history.undelivered(Platform.SLACK, datetime.now(UTC) - timedelta(hours=1)):
        await service.core.history.mark_delivered(run)  # others have none of these channels


class Hanging:
    """The store of installations, which answers nothing while it is ``down``."""

    def __init__(self, inner: Installations) -> None:
        self._inner, self.down = inner, False

    async def find(
        self, client_id: str, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> Installed | None:
        if self.down:
            await asyncio.Event().wait()
        return await self._inner.find(client_id, enterprise_id, team_id, user_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def test_what_is_installed_is_remembered_while_the_store_hangs(core: Core) -> None:
    store = Hanging(core.installations)
    async with two_workspaces(core) as (acme, globex), front(core, acme, store=store) as service:
        await service.install(acme)
        await asks_and_is_answered(service.stage(acme), "While it answers?")
        store.down = True
        await asyncio.sleep(QUICK.fresh)
        await asks_and_is_answered(service.stage(acme), "While it does not?")
        globex.workspace.scopes = acme.workspace.scopes
        delivery = await globex.command("/consortium ask And who was never known?")
        assert "could not take that in" in str(delivery.response)
        store.down = False
        await service.surface.idle()


# --- tokens ---------------------------------------------------------------------------------------------


async def test_tokens_that_end_are_replaced_while_people_ask(
    pair: tuple[SlackEmulator, SlackEmulator, Service],
) -> None:
    acme, _, service = pair
    stage = service.stage(acme)
    await asks_and_is_answered(stage, "With the first token?")
    acme.oauth.expire(acme.workspace)
    roots = await asyncio.gather(*(stage.ask(f"Which token is number {n}?") for n in range(3)))
    await asyncio.gather(*(stage.answer(root.ts) for root in roots))
    assert acme.oauth.refreshed == 1
    assert any(call.error == "token_expired" for call in acme.calls)


async def test_all_processes_take_up_a_new_installation(pair: tuple[SlackEmulator, SlackEmulator, Service]) -> None:
    acme, _, service = pair
    async with front(service.core, acme) as other:
        await acme.connected(4)  # two of each process, in turns
        stage, rooms = service.stage(acme), (acme.channel, acme.private_channel) * 2
        await asyncio.gather(*(asks_and_is_answered(stage, f"Before {n}?", room) for n, room in enumerate(rooms)))
        await other.install(acme)  # which revokes the tokens that both processes have
        await asyncio.gather(*(asks_and_is_answered(stage, f"After {n}?", room) for n, room in enumerate(rooms)))
        await other.surface.idle()


async def test_what_a_process_left_is_posted_in_the_right_workspace(
    pair: tuple[SlackEmulator, SlackEmulator, Service],
) -> None:
    acme, globex, service = pair
    await service.install(globex)
    for slack in (acme, globex):
        where = ThreadRef(platform=Platform.SLACK, workspace=slack.team_id, channel=slack.channel)
        inbound = Inbound(asker=Person(id=slack.user), where=where)
        await service.core.service.handle(AskCommand(text=f"Is anybody at {slack.channel}?", charts=False), inbound)
    async with front(service.core, acme) as other:
        await other.surface.resume()
        for slack in (acme, globex):
            stage = other.stage(slack)
            root = await stage.root(f"Is anybody at {slack.channel}?")
            await stage.answer(root.ts)
            asked = [m for m in slack.messages(by_bot=True) if not m.thread_ts and "anybody at" in m.text]
            assert [m.ts for m in asked] == [root.ts]
        await other.surface.idle()


async def test_the_service_as_it_is_started_has_the_pages(
    slack_to_install: SlackEmulator, provider: ProviderEmulator, tmp_path: Path
) -> None:
    slack = slack_to_install
    settings = settings_in(tmp_path).model_copy(
        update={
            "port": 0,
            "slack_client_id": slack.oauth.client_id,
            "slack_client_secret": SecretStr(slack.oauth.client_secret),
            "slack_signing_secret": SecretStr(slack.signing_secret),
            "slack_api_url": slack.api_url,
            "encryption_key": SecretStr(KEY),
            "public_url": "https://bot.example",
        }
    )
    slack.oauth.redirect_urls.add("https://bot.example/slack/oauth_redirect")
    async with (
        open_core(settings, catalog(provider), pace=0) as core,
        surfaces(core) as running,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        surface = running.chats[0]
        assert isinstance(surface, SlackSurface)
        service = Service(core, surface, running.url.rstrip("/"), session)
        await slack.deliver_to(f"{service.url}/slack/events")
        await service.install(slack)
        await asks_and_is_answered(service.stage(slack), "Is it all there?")
        await surface.idle()


async def test_an_organisation_has_it_in_its_workspaces(core: Core) -> None:
    async with (
        SlackEmulator(oauth=True, enterprise=ORGANISATION, scopes=(), speed=0.01) as slack,
        front(core, slack) as service,
    ):
        await service.install(slack, org_wide=True)
        stage = service.stage(slack)
        await asks_and_is_answered(stage, "For all of us?")
        mention = await slack.say("ask --no-charts And so?", mention=True)
        await stage.answer(mention)
        await slack.uninstall()
        await slack.settled()
        assert await core.installations.find(slack.oauth.client_id, ORGANISATION, None) is None
        await service.surface.idle()
        slack.assert_clean()
