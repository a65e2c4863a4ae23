"""How the app gets into a workspace or a server: ``manifest`` for Slack, ``invite`` for Discord."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlencode, urlsplit

import typer

from bot.commands.base import Json, settings

if TYPE_CHECKING:
    from pydantic import SecretStr

EVENTS_PATH, REDIRECT_PATH = "/slack/events", "/slack/oauth_redirect"
"""Where the process takes what Slack sends over HTTP, and where Slack sends those back who install the app."""

PERMISSIONS = 309237763072
"""Discord's bits for: view channels, send messages, create and write in public threads, read history, attach files,
embed links. Nothing else is needed."""

SCOPES = "bot applications.commands"

_ID = re.compile(r"[0-9]{15,22}")


def manifest(
    platform: Annotated[Literal["slack"], typer.Argument(help="Whose manifest.")] = "slack",
    http: Annotated[
        str | None, typer.Option("--http", help="Events over HTTP to this address; over Socket Mode when left out.")
    ] = None,
    oauth: Annotated[
        str | None,
        typer.Option("--oauth", help="For many workspaces, which install the app at this address by themselves."),
    ] = None,
) -> None:
    """Print the manifest from which api.slack.com makes the app.

    Examples:

    \b
      consortium manifest slack > slack-manifest.json
      consortium manifest slack --http https://consortium.example
      consortium manifest slack --http https://consortium.example --oauth https://consortium.example
    """
    from adapters.slack.manifest import manifest as made

    events = _address("--http", http, EVENTS_PATH) if http else None
    redirect = _address("--oauth", oauth, REDIRECT_PATH) if oauth else None
    print(json.dumps(made(events, redirect_url=redirect), indent=2, ensure_ascii=False))


def key(as_json: Json = False) -> None:
    """Print a new key for ENCRYPTION_KEY.

    With it the tokens of workspaces that install the Slack app are stored. To change it, put the new one in front of
    the old one, parted by a comma; once every process has started with both, the old one can go.

    Examples:

    \b
      consortium key
      ENCRYPTION_KEY=$(consortium key)
    """
    from bot.settings import new_key

    made = new_key()
    print(json.dumps({"key": made}) if as_json else made)


def invite(
    platform: Annotated[Literal["discord"], typer.Argument(help="Where to.")] = "discord",
    client_id: Annotated[
        str | None, typer.Option(help="The application's id; read from DISCORD_BOT_TOKEN when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the link that invites the bot to a Discord server, with least permissions.

    With DISCORD_PUBLIC_KEY set, enter https://your.address/discord/interactions as Interactions Endpoint URL on the
    General Information page of your application.

    Examples:

    \b
      consortium invite discord
      consortium invite discord --client-id 1234567890123456789
    """
    from core.errors import BadInput

    if client_id is None:
        found = _client_id(settings().discord_bot_token)
        if found is None:
            raise BadInput(
                "--client-id: missing, and DISCORD_BOT_TOKEN does not tell it; copy the Application ID from the "
                "General Information page of your application, --client-id 1234567890123456789"
            )
        client_id = found
    if not _ID.fullmatch(client_id):
        raise BadInput(f"--client-id {client_id[:40]}: is no id; it has some 18 digits, e.g. 1234567890123456789")
    query = urlencode({"client_id": client_id, "scope": SCOPES, "permissions": PERMISSIONS})
    url = f"https://discord.com/oauth2/authorize?{query}"
    print(json.dumps({"url": url, "permissions": PERMISSIONS, "scopes": SCOPES.split()}) if as_json else url)


def _address(option: str, address: str, path: str) -> str:
    """Raises BadInput for what Slack would not take."""
    from core.errors import BadInput

    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise BadInput(
            f"{option} {address[:80]}: is no address that Slack sends to; write e.g. https://consortium.example"
        )
    return address.rstrip("/").removesuffix(path) + path


def _client_id(token: SecretStr | None) -> str | None:
    """A bot's token begins with its application's id in base64. None where it does not decode to one."""
    if token is None:
        return None
    coded = token.get_secret_value().partition(".")[0]
    try:
        found = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return found if _ID.fullmatch(found) else None
