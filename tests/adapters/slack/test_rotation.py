"""Tokens that end: renewed once, whoever asks, and what is left when that goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from slack_sdk.oauth.installation_store import Installation
from structlog.testing import capture_logs

from adapters.history import SqlHistory
from adapters.slack.installations import LOST, SlackInstallations
from adapters.slack.sealing import Seal
from bot.settings import new_key
from core.errors import ConfigError, Unavailable
from core.installed import Installed
from tests.adapters.slack.tenancy import KEY, Front, front, fronts
from tests.emulators.slack import SlackEmulator

SOON, LATER = 60, 43_200  # seconds: within the time ahead of which tokens are renewed, and well outside of it


@pytest.fixture
async def desk(rotating: SlackEmulator, tmp_path: Path) -> AsyncIterator[Front]:
    """A process, with the app installed by a token that ends soon."""
    async with SqlHistory(f"sqlite:///{tmp_path}/history.db") as history, front(rotating, history) as desk:
        await installed(rotating, desk)
        yield desk


async def installed(slack: SlackEmulator, desk: Front) -> None:
    slack.oauth.life = SOON
    assert (await desk.install(slack)).status == 200
    slack.oauth.life = LATER


async def only(desk: Front) -> Installation:
    [found] = [one async for one in desk.store.all()]
    return found


async def works(slack: SlackEmulator, desk: Front) -> bool:
    """Whether the stored token is one that Slack takes."""
    return (await only(desk)).bot_token in slack.oauth.tokens_of(slack.workspace)[-1:]


# --- as it should go ------------------------------------------------------------------------------------


async def test_a_token_is_renewed_well_before_its_end(rotating: SlackEmulator, desk: Front) -> None:
    before = await only(desk)
    await desk.rotation.look()
    after = await only(desk)
    assert after.bot_token != before.bot_token
    assert after.bot_refresh_token != before.bot_refresh_token
    assert (after.bot_token_expires_at or 0) > (before.bot_token_expires_at or 0) + 40_000
    assert (after.team_name, after.bot_id, after.installed_at) == (before.team_name, before.bot_id, before.installed_at)
    assert await works(rotating, desk)
    await desk.rotation.look()
    assert (await only(desk)).bot_token == after.bot_token, "once is enough"
    assert rotating.oauth.refreshed == 1


async def test_three_processes_at_once_ask_slack_once(rotating: SlackEmulator, shared_url: str) -> None:
    async with fronts(rotating, shared_url, 3) as processes:
        await installed(rotating, processes[0])
        token = str((await only(processes[0])).bot_token)
        place = (None, rotating.team_id)
        asking = [process.rotation.renewed(place, token) for process in processes]
        found = (await asyncio.gather(processes[0].rotation.look(), *asking))[1:]
        assert rotating.oauth.refreshed == 1
        assert len(rotating.calls_to("oauth.v2.access")) == 2
        assert {one.bot_token for one in found if one} == {(await only(processes[0])).bot_token}
        assert len([one for one in found if one]) == 3, "each of them is given the new one"
        for process in processes:
            assert await works(rotating, process)
        await processes[0].store.async_delete_installation(enterprise_id=None, team_id=rotating.team_id)


async def test_it_is_looked_again_and_again(rotating: SlackEmulator, desk: Front) -> None:
    looking = asyncio.create_task(desk.rotation.run())
    await rotating.wait_for(lambda: rotating.oauth.refreshed == 1)
    await installed(rotating, desk)
    await rotating.wait_for(lambda: rotating.oauth.refreshed == 2)
    looking.cancel()
    await asyncio.wait([looking])
    await desk.rotation.close()
    assert await works(rotating, desk)


async def test_a_token_that_does_not_end_is_left_alone(slack: SlackEmulator, tmp_path: Path) -> None:
    async with SqlHistory(f"sqlite:///{tmp_path}/history.db") as history, front(slack, history) as desk:
        await desk.install(slack)
        await desk.rotation.look()
        token = str((await only(desk)).bot_token)
        assert await desk.rotation.renewed((None, slack.team_id), token) is None
        assert len(slack.calls_to("oauth.v2.access")) == 1


async def test_what_was_installed_anew_needs_no_renewal(rotating: SlackEmulator, desk: Front) -> None:
    refused = str((await only(desk)).bot_token)
    await installed(rotating, desk)
    found = await desk.rotation.renewed((None, rotating.team_id), refused)
    assert found is not None
    assert found.bot_token == (await only(desk)).bot_token
    assert rotating.oauth.refreshed == 0


# --- what goes wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [{"drop": True}, {"status": 503}, {"error": "ratelimited"}])
async def test_while_slack_is_not_well_the_token_is_kept(
    rotating: SlackEmulator, desk: Front, trouble: dict[str, object]
) -> None:
    before = await only(desk)
    rotating.fault("oauth.v2.access", **trouble)  # type: ignore[arg-type]
    await desk.rotation.look()
    assert (await only(desk)).bot_refresh_token == before.bot_refresh_token
    assert (await only(desk)).get_custom_value(LOST) is None
    await desk.rotation.look()
    assert rotating.oauth.refreshed == 1
    assert await works(rotating, desk)


async def test_a_renewal_whose_answer_is_lost_needs_a_person(rotating: SlackEmulator, desk: Front) -> None:
    """Slack has given a token that nobody has stored: what a process leaves that dies in between."""
    before = await only(desk)
    rotating.fault("oauth.v2.access", drop=True, after=True)
    await desk.rotation.look()
    assert rotating.oauth.refreshed == 1
    with capture_logs() as logs:
        await desk.rotation.look()
        await desk.rotation.look()
    lost = await only(desk)
    assert lost.get_custom_value(LOST) == "invalid_refresh_token"
    assert lost.bot_token == before.bot_token, "it lasts to its end"
    assert len(rotating.calls_to("oauth.v2.access")) == 3, "and Slack is not asked for ever"
    [said] = [line for line in logs if line["log_level"] == "error"]
    assert "install the app there again" in said["event"]
    assert (said["team"], said["install"]) == (rotating.team_id, desk.oauth.install_url)
    await installed(rotating, desk)
    assert (await only(desk)).get_custom_value(LOST) is None
    await desk.rotation.look()
    assert await works(rotating, desk)


async def test_a_wrong_secret_costs_no_workspace_its_token(rotating: SlackEmulator, desk: Front) -> None:
    async with front(rotating, desk.history, secret="not-the-secret") as wrong:
        with capture_logs() as logs:
            await wrong.rotation.look()
    assert [line["event"][:40] for line in logs] == ["SLACK_CLIENT_SECRET: Slack refuses it; n"]
    assert "not-the-secret" not in repr(logs)
    assert (await only(desk)).get_custom_value(LOST) is None
    await desk.rotation.look()
    assert await works(rotating, desk)


async def test_who_is_cancelled_leaves_no_token_behind(rotating: SlackEmulator, desk: Front) -> None:
    rotating.fault("oauth.v2.access", delay=0.1)
    looking = asyncio.create_task(desk.rotation.look())
    await rotating.wait_for(lambda: len(rotating.calls_to("oauth.v2.access")) == 2)
    looking.cancel()
    await asyncio.wait([looking])
    await desk.rotation.close()
    assert rotating.oauth.refreshed == 1
    assert await works(rotating, desk)


class Away:
    """A store that is away for its next ``times`` writes."""

    def __init__(self, inner: SqlHistory, times: int) -> None:
        self._inner, self.times = inner.installations, times

    async def save(self, installed: Installed) -> None:
        if self.times:
            self.times -= 1
            raise Unavailable("The database does not answer.")
        await self._inner.save(installed)

    def __getattr__(self, name: str) -> Callable[..., object]:
        found: Callable[..., object] = getattr(self._inner, name)
        return found


async def test_a_database_that_is_away_gets_the_new_token_later(rotating: SlackEmulator, desk: Front) -> None:
    away = Away(desk.history, times=1)
    desk.store._store = away  # type: ignore[assignment]
    await desk.rotation.look()
    assert away.times == 0
    assert rotating.oauth.refreshed == 1
    assert await works(rotating, desk)


# --- the key --------------------------------------------------------------------------------------------


def store_with(desk: Front, *keys: str) -> SlackInstallations:
    return SlackInstallations(desk.oauth.client_id, desk.history.installations, Seal(SecretStr(",".join(keys))))


async def test_a_key_is_changed_without_installing_again(desk: Front) -> None:
    newer, before = new_key(), await only(desk)
    with pytest.raises(ConfigError, match=r"^ENCRYPTION_KEY: does not open the tokens that are stored; write the key"):
        await store_with(desk, newer).check()
    await store_with(desk, newer, KEY).check()
    await store_with(desk, newer).check()
    [after] = [one async for one in store_with(desk, newer).all()]
    assert (after.bot_token, after.bot_refresh_token) == (before.bot_token, before.bot_refresh_token)
    with pytest.raises(ConfigError):
        await store_with(desk, KEY).check()


async def test_tokens_cannot_be_moved_to_another_place(desk: Front) -> None:
    [stored] = await desk.history.installations.all(desk.oauth.client_id)
    await desk.history.installations.save(stored.model_copy(update={"team_id": "T9EVIL0001"}))
    with pytest.raises(ConfigError, match="another place"):
        await desk.store.at((None, "T9EVIL0001"))


def test_what_is_no_key_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^ENCRYPTION_KEY: is no key; `consortium key` prints one"):
        Seal(SecretStr("not-a-key"))
