"""Whether Slack and Discord take the tokens that are set: one harmless call each."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, NamedTuple

import httpx
from pydantic import SecretStr

from bot.records import open_history
from bot.settings import WRITE, Settings
from core.errors import ConfigError

_SECONDS = 15.0
_PORTAL = "https://discord.com/developers/applications"


class Told(NamedTuple):
    """What a platform said: which part, whether it is well, in words, and what to do."""

    name: str
    ok: bool
    says: str
    fix: str | None = None


async def check_slack(settings: Settings) -> list[Told]:
    """``auth.test`` with the bot token, ``apps.connections.open`` with the app token where there is one."""
    bot, app = settings.slack_bot_token, settings.slack_app_token
    async with _client(settings.slack_api_url, "SLACK_API_URL") as client:
        found = [await _ask_slack(client, "auth.test", "SLACK_BOT_TOKEN", bot.get_secret_value() if bot else "")]
        if app:
            found.append(await _ask_slack(client, "apps.connections.open", "SLACK_APP_TOKEN", app.get_secret_value()))
    return found


async def check_slack_app(settings: Settings) -> list[Told]:
    """For many workspaces: whether Slack knows the app by its id and secret, and the app token where there is one."""
    secret, app = settings.slack_client_secret, settings.slack_app_token
    async with _client(settings.slack_api_url, "SLACK_API_URL") as client:
        given = httpx.BasicAuth(settings.slack_client_id, secret.get_secret_value() if secret else "")
        found = [await _ask_slack_app(client, given)]
        if app:
            found.append(await _ask_slack(client, "apps.connections.open", "SLACK_APP_TOKEN", app.get_secret_value()))
    return found


async def check_workspaces(settings: Settings) -> Told:
    """Who installed the Slack app, and whose token cannot be renewed. Raises ConfigError for a key that opens none."""
    from adapters.slack.installations import LOST, SlackInstallations
    from adapters.slack.sealing import Seal

    keys = settings.encryption_key or SecretStr("")
    async with open_history(settings) as history:
        store = SlackInstallations(settings.slack_client_id, history.installations, Seal(keys))
        found = [installation async for installation in store.all()]
    lost = [one.team_name or one.enterprise_name or "?" for one in found if one.get_custom_value(LOST)]
    if lost:
        fix = f"have somebody there install the app again at {settings.public_url}/slack/install"
        return Told("slack workspaces", False, f"tokens cannot be renewed in {', '.join(lost)}", fix)
    return Told("slack workspaces", True, f"installed in {len(found)}, and all tokens can be read")


async def _ask_slack_app(client: httpx.AsyncClient, given: httpx.BasicAuth) -> Told:
    """Slack looks at id and secret before it looks at the code, which is none."""
    try:
        reply = await client.post("oauth.v2.access", auth=given, data={"code": "none"})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _silent("slack", client, error, "SLACK_API_URL")
    said = _fields(reply).get("error")
    if said == "invalid_code":
        return Told("slack", True, "knows the app; workspaces install it at /slack/install")
    if said in ("bad_client_secret", "invalid_client_id"):
        setting = "SLACK_CLIENT_SECRET" if said == "bad_client_secret" else "SLACK_CLIENT_ID"
        return Told("slack", False, f"{setting}: Slack refuses it ({said})", f"write {WRITE[setting]}")
    if reply.status_code == httpx.codes.TOO_MANY_REQUESTS or said == "ratelimited":
        return Told("slack", False, "Slack's rate limit was reached", "wait a minute and try again")
    return _strange("slack", reply, "SLACK_API_URL")


async def _ask_slack(client: httpx.AsyncClient, method: str, setting: str, token: str) -> Told:
    name = "slack" if method == "auth.test" else "slack socket mode"
    try:
        reply = await client.post(method, headers={"Authorization": f"Bearer {token}"})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _silent(name, client, error, "SLACK_API_URL")
    said = _fields(reply)
    if said.get("ok") is True:
        who = f"logged in as {said.get('user')} in {said.get('team')}" if method == "auth.test" else "opens"
        return Told(name, True, who)
    if reply.status_code == httpx.codes.TOO_MANY_REQUESTS or said.get("error") == "ratelimited":
        return Told(name, False, "Slack's rate limit was reached", "wait a minute and try again")
    if isinstance(said.get("error"), str):
        return Told(name, False, f"{setting}: Slack refuses it ({said['error'][:60]})", f"write {WRITE[setting]}")
    return _strange(name, reply, "SLACK_API_URL")


async def check_discord(settings: Settings) -> list[Told]:
    """Who the bot is, by its token."""
    token = settings.discord_bot_token.get_secret_value() if settings.discord_bot_token else ""
    headers = {
        "Authorization": f"Bot {token}",
        "User-Agent": f"DiscordBot (consortium-bot, {version('consortium-bot')})",  # others are turned away
    }
    async with _client(settings.discord_api_url, "DISCORD_API_URL") as client:
        try:
            reply = await client.get("users/@me", headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return [_silent("discord", client, error, "DISCORD_API_URL")]
    if reply.status_code == httpx.codes.UNAUTHORIZED:
        fix = f"write the one from the Bot page of your application at {_PORTAL}"
        return [Told("discord", False, "DISCORD_BOT_TOKEN: Discord does not accept this token", fix)]
    if reply.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return [Told("discord", False, "Discord's rate limit was reached", "wait a minute and try again")]
    said = _fields(reply)
    if reply.is_success and "username" in said:
        return [Told("discord", True, f"logged in as {said['username']}")]
    return [_strange("discord", reply, "DISCORD_API_URL")]


def _client(url: str, setting: str) -> httpx.AsyncClient:
    try:
        return httpx.AsyncClient(base_url=url, timeout=_SECONDS)
    except (httpx.InvalidURL, ValueError):
        raise ConfigError(f"{setting}: is no address; write {WRITE[setting]}") from None


def _fields(reply: httpx.Response) -> dict[str, Any]:
    try:
        said = reply.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _silent(name: str, client: httpx.AsyncClient, error: Exception, setting: str) -> Told:
    says = f"nothing answers at {client.base_url.host} ({type(error).__name__})"
    return Told(name, False, says, f"check the network; write {WRITE[setting]}")


def _strange(name: str, reply: httpx.Response, setting: str) -> Told:
    says = f"{reply.url.host} answered with status {reply.status_code} and nothing that is known"
    return Told(name, False, says, f"write {WRITE[setting]}")
