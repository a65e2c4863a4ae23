"""The doctor against emulated platforms and an emulated provider: all well, and everything that can be wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from slack_sdk.oauth.installation_store import Installation

from adapters.history import SqlHistory
from adapters.slack.installations import LOST, SlackInstallations
from adapters.slack.sealing import Seal
from bot.commands.probes import Finding, examine, guarded
from bot.settings import new_key
from core.setup import ConsortiumSpec
from tests.bot.conftest import Desk
from tests.emulators.discord import DiscordEmulator
from tests.emulators.provider import ProviderEmulator, status
from tests.emulators.slack import SlackEmulator

KEY = "sk-a-key-that-must-not-be-shown"


RANKING = json.dumps(
    {
        "ranking": [{"letter": letter, "stance": "agree", "point": "It is so."} for letter in "AB"],
        "synthesis": "4",
        "confidence": 95,
        "refine": [],
    }
)


class Patient:
    """An installation in a folder, whose environment a test changes."""

    def __init__(self, folder: Path, provider: ProviderEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.provider, self._monkeypatch = folder, provider, monkeypatch

    def set(self, **env: str) -> None:
        for name, value in env.items():
            self._monkeypatch.setenv(name, value)

    def write(self, extra: str = "", *, base_url: str | None = None, **timeouts: float) -> None:
        """The models file; seconds by model."""
        models = "".join(
            f'[models.{name}]\nprovider = "here"\nname = "{name}"\ntimeout = {timeouts.get(name, 5)}\n'
            for name in ("one", "two", "judge", "ranker")
        )
        (self.folder / "consortium.toml").write_text(
            f'[providers.here]\nbase_url = "{base_url or self.provider.base_url}"\napi_key_env = "HERE_KEY"\n{models}'
            '[consortia.default]\nmembers = ["one", "two"]\narbiter = "judge"\n'
            '[consortia.picky]\nmembers = ["one", "two"]\narbiter = "ranker"\njudging = "rank"\n' + extra
        )

    def database(self, content: bytes | None = None) -> Path:
        """The path of its database, with this content."""
        (self.folder / "data").mkdir(exist_ok=True)
        path = self.folder / "data" / "consortium.db"
        if content is not None:
            path.write_bytes(content)
        return path

    async def examined(self, *, calls: bool = True, draw: bool = False) -> dict[str, Finding]:
        found = await examine(calls=calls, skip=() if draw else ("embeddings",))
        for finding in found:
            assert finding.ok is not False or finding.fix, f"{finding.name} does not say what to do"
            assert self.provider.key not in f"{finding.says} {finding.fix}"
        names = [finding.name for finding in found]
        assert len(set(names)) == len(names)
        return {finding.name: finding for finding in found}


@pytest.fixture
async def patient(bare: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Patient]:
    async with ProviderEmulator() as provider:
        for name in ("one", "two", "judge"):
            provider.model(name)
        provider.model("ranker", text=RANKING)
        found = Patient(bare, provider, monkeypatch)
        found.write('[embeddings]\nbackend = "tfidf"\n')
        found.set(HERE_KEY=provider.key)
        yield found


def wrong(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if finding.ok is False]


# --- all well -------------------------------------------------------------------------------------------


async def test_all_is_well(patient: Patient) -> None:
    async with SlackEmulator() as slack, DiscordEmulator() as discord:
        patient.set(
            SLACK_BOT_TOKEN=slack.bot_token,
            SLACK_APP_TOKEN=slack.app_token,
            SLACK_API_URL=slack.api_url,
            DISCORD_BOT_TOKEN=discord.token,
            DISCORD_API_URL=discord.api_url,
        )
        found = await patient.examined(draw=True)
        assert wrong(found) == []
        assert not slack.violations
        assert not discord.violations
    assert list(found) == [
        *("settings", "models file", "database", "redis", "slack", "slack socket mode", "discord"),
        *("model one", "model two", "model judge", "model ranker", "arbiter of default", "arbiter of picky"),
        *("embeddings", "studio"),
    ]
    assert found["models file"].says == "consortium.toml: 4 models, 2 consortia"
    assert "logged in as consortium in Acme" in found["slack"].says
    assert found["embeddings"].says.startswith("TF-IDF")
    assert (found["model one"].seconds or 0) > 0
    asked = [request.body for request in patient.provider.requests]
    assert len(asked) == 6, "four models, and a verdict of each judge"
    assert not patient.provider.violations


async def test_nothing_that_costs_is_called_without_leave(patient: Patient) -> None:
    patient.write('[embeddings]\nbackend = "endpoint"\nprovider = "here"\nname = "vectors"\n')
    found = await patient.examined(calls=False, draw=True)
    assert wrong(found) == []
    assert patient.provider.requests == []
    assert {name for name, finding in found.items() if finding.ok is None} == {
        *("slack", "discord", "embeddings", "model one", "model two", "model judge", "model ranker"),
        *("arbiter of default", "arbiter of picky"),
    }


async def test_an_endpoint_for_embeddings_is_tried_and_charts_are_drawn_without_it(patient: Patient) -> None:
    patient.provider.model("vectors", always=status(401, message="Bad {key}"), dimensions=8)
    patient.write('[embeddings]\nbackend = "endpoint"\nprovider = "here"\nname = "vectors"\n')
    found = await patient.examined(draw=True)
    assert wrong(found) == ["embeddings"]
    assert "HERE_KEY" in f"{found['embeddings'].says} {found['embeddings'].fix}"
    assert found["studio"].ok is True


# --- what can be wrong ----------------------------------------------------------------------------------


async def test_wrong_settings_are_all_told(patient: Patient) -> None:
    patient.set(PORT="web", LOG_JSON="perhaps")
    found = await patient.examined()
    assert list(found) == wrong(found) == ["settings"]
    assert "PORT: " in found["settings"].says
    assert "write PORT=8080" in str(found["settings"].fix)
    assert "write LOG_JSON=true" in str(found["settings"].fix)


async def test_a_wrong_models_file_does_not_stop_the_rest(patient: Patient) -> None:
    patient.write("[models.none]\n")
    found = await patient.examined()
    assert wrong(found) == ["models file"]
    assert "models.none.provider: missing" in found["models file"].says
    assert found["database"].ok is found["redis"].ok is True


async def test_each_model_and_arbiter_that_fails_is_told_with_its_reason(patient: Patient) -> None:
    patient.provider.model("one", always=status(401, message="Bad {key}"))
    patient.provider.model("judge", reply="rubbish")
    found = await patient.examined()
    assert wrong(found) == ["model one", "arbiter of default"]
    assert found["model one"].says == "the key in HERE_KEY was not accepted"
    assert found["model one"].fix == "check it"
    assert "its verdict could not be read" in found["arbiter of default"].says
    assert "models.judge.structured" in str(found["arbiter of default"].fix)
    assert found["model two"].ok is True


async def test_a_server_that_is_not_there_is_told(patient: Patient) -> None:
    patient.write(base_url="http://127.0.0.1:1/v1")
    found = await patient.examined()
    assert [name.split()[0] for name in wrong(found)] == ["model"] * 4 + ["arbiter"] * 2
    assert found["model one"].says == "nothing answers at 127.0.0.1:1"
    assert found["model one"].fix == "check that the server is running"


async def test_a_model_that_hangs_stops_no_other_check(patient: Patient) -> None:
    patient.write(one=0.3)
    patient.provider.model("one", always="hang")
    async with asyncio.timeout(15):
        found = await patient.examined()
    assert wrong(found) == ["model one"]
    assert "0.3 s" in found["model one"].says
    assert "models.one.timeout" in str(found["model one"].fix)


async def test_a_saved_consortium_whose_models_are_gone_is_told(patient: Patient) -> None:
    async with SqlHistory(f"sqlite:///{patient.database()}") as history:
        await history.consortia.save("old", ConsortiumSpec(members=("gone",), arbiter="judge"), None)
    found = await patient.examined()
    assert wrong(found) == ["arbiter of old"]
    assert "no model 'gone'" in found["arbiter of old"].says
    assert "consortium update old" in str(found["arbiter of old"].fix)


async def test_a_database_and_a_redis_that_do_not_answer_are_told_without_their_passwords(patient: Patient) -> None:
    patient.set(
        DATABASE_URL="postgresql://me:hidden-word@127.0.0.1:1/x", REDIS_URL="redis://:hidden-word@127.0.0.1:1/0"
    )
    found = await patient.examined(calls=False)
    assert wrong(found) == ["database", "redis"]
    assert "hidden-word" not in "".join(f"{f.says} {f.fix}" for f in found.values())


async def test_a_file_that_is_no_database_is_told(patient: Patient) -> None:
    patient.database(b"This is no database at all, but a text of some length." * 20)
    assert wrong(await patient.examined(calls=False)) == ["database"]
    patient.database(b"")
    assert wrong(await patient.examined(calls=False)) == []


@pytest.mark.parametrize(
    ("method", "fault", "name", "says"),
    [
        ("auth.test", {"error": "invalid_auth"}, "slack", "SLACK_BOT_TOKEN: Slack refuses it (invalid_auth)"),
        ("auth.test", {"status": 429, "retry_after": 30}, "slack", "Slack's rate limit was reached"),
        ("auth.test", {"drop": True}, "slack", "nothing answers at 127.0.0.1"),
        ("apps.connections.open", {"error": "invalid_auth"}, "slack socket mode", "SLACK_APP_TOKEN: Slack refuses it"),
    ],
    ids=["bot token", "rate", "dropped", "app token"],
)
async def test_what_slack_refuses_is_told(
    patient: Patient, method: str, fault: dict[str, str | int | bool], name: str, says: str
) -> None:
    async with SlackEmulator() as slack:
        patient.set(SLACK_BOT_TOKEN=slack.bot_token, SLACK_APP_TOKEN=slack.app_token, SLACK_API_URL=slack.api_url)
        slack.fault(method, **fault)  # type: ignore[arg-type]
        found = await patient.examined(calls=False)
        assert wrong(found) == [name]
        assert found[name].says.startswith(says)
        assert slack.bot_token not in str(found)
        assert slack.app_token not in str(found)


async def test_a_revoked_discord_token_and_a_wrong_address_are_told(patient: Patient) -> None:
    async with DiscordEmulator() as discord:
        patient.set(DISCORD_BOT_TOKEN=discord.token, DISCORD_API_URL=discord.api_url)
        discord.revoke_token()
        found = await patient.examined(calls=False)
        assert found["discord"].says == "DISCORD_BOT_TOKEN: Discord does not accept this token"
        assert "applications" in str(found["discord"].fix)
        patient.set(DISCORD_API_URL=patient.provider.base_url)
        found = await patient.examined(calls=False)
        assert found["discord"].ok is False
        assert "write DISCORD_API_URL=" in str(found["discord"].fix)


async def test_a_check_that_breaks_hurts_no_other_and_shows_nothing() -> None:
    async def broken() -> list[Finding]:
        raise ZeroDivisionError(KEY)

    (finding,) = await guarded("odd", broken)
    assert (finding.name, finding.ok, finding.says) == ("odd", False, "the check broke (ZeroDivisionError)")
    assert finding.fix


# --- as a command ---------------------------------------------------------------------------------------


def test_the_command_has_a_line_each_and_ends_with_what_it_found(desk: Desk) -> None:
    said = desk.ok("doctor", "--skip", "embeddings")
    lines = said.out.splitlines()
    assert lines[-1] == "All is well."
    assert all(line[0] in "✓-" for line in lines[:-2])
    assert any(line.startswith("✓ model nomad") and "simulated" in line for line in lines)
    desk.monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    ill = desk.run("doctor", "--skip", "embeddings")
    assert (ill.code, ill.err) == (1, "")
    assert ill.out.splitlines()[-1] == "1 thing is wrong."
    assert "to do: " in ill.out
    as_json = desk.run("doctor", "--json", "--skip", "embeddings")
    assert as_json.code == 1
    assert [row["name"] for row in as_json.json if row["ok"] is False] == ["redis"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, "knows the app; workspaces install it at /slack/install"),
        ({"SLACK_CLIENT_SECRET": "not-this-one"}, "SLACK_CLIENT_SECRET: Slack refuses it (bad_client_secret)"),
        ({"SLACK_CLIENT_ID": "9.9"}, "SLACK_CLIENT_ID: Slack refuses it (invalid_client_id)"),
        ({"SLACK_API_URL": "http://127.0.0.1:9/api/"}, "nothing answers at 127.0.0.1 (ConnectError)"),
    ],
)
async def test_the_app_for_many_workspaces_is_asked_for(patient: Patient, changed: dict[str, str], says: str) -> None:
    async with SlackEmulator(oauth=True) as slack:
        patient.set(
            SLACK_CLIENT_ID=slack.oauth.client_id,
            SLACK_CLIENT_SECRET=slack.oauth.client_secret,
            SLACK_SIGNING_SECRET=slack.signing_secret,
            SLACK_API_URL=slack.api_url,
            ENCRYPTION_KEY=new_key(),
            PUBLIC_URL="https://bot.example",
        )
        patient.set(**changed)
        found = await patient.examined(calls=False)
    assert found["slack workspaces"].says == "installed in 0, and all tokens can be read"
    assert found["slack"].says == says
    assert found["slack"].ok is (not changed)
    assert slack.oauth.client_secret not in str(found)


async def test_a_workspace_that_has_to_install_again_and_a_wrong_key_are_told(patient: Patient) -> None:
    key = new_key()
    async with SlackEmulator(oauth=True) as slack:
        client_id = slack.oauth.client_id
        patient.set(
            SLACK_CLIENT_ID=client_id,
            SLACK_CLIENT_SECRET=slack.oauth.client_secret,
            SLACK_SIGNING_SECRET=slack.signing_secret,
            SLACK_API_URL=slack.api_url,
            ENCRYPTION_KEY=key,
            PUBLIC_URL="https://bot.example",
        )
        async with SqlHistory(f"sqlite:///{patient.database()}") as history:
            store = SlackInstallations(client_id, history.installations, Seal(SecretStr(key)))
            lost = Installation(user_id="U1", team_id="T1", team_name="Acme", bot_id="B1", bot_token="xoxe.xoxb-hidden")
            lost.set_custom_value(LOST, "refused")
            await store.async_save(lost)
        found = (await patient.examined(calls=False))["slack workspaces"]
        assert found.says == "tokens cannot be renewed in Acme"
        assert found.fix == "have somebody there install the app again at https://bot.example/slack/install"
        patient.set(ENCRYPTION_KEY=new_key())
        found = (await patient.examined(calls=False))["slack workspaces"]
        assert found.says == "ENCRYPTION_KEY: does not open the tokens that are stored"
        assert (found.fix or "").startswith("write the key that they were stored with")
