"""The REST routes the emulator serves, named as Discord's description names them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMMANDS = "/applications/{application_id}/commands"
_GUILD_COMMANDS = "/applications/{application_id}/guilds/{guild_id}/commands"
_WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"
_MESSAGE = "/channels/{channel_id}/messages/{message_id}"

TEMPLATES: tuple[tuple[str, str], ...] = (
    ("GET", "/users/@me"),
    ("POST", "/users/@me/channels"),
    ("GET", "/oauth2/applications/@me"),
    ("GET", "/gateway"),
    ("GET", "/gateway/bot"),
    ("GET", _COMMANDS),
    ("PUT", _COMMANDS),
    ("GET", _GUILD_COMMANDS),
    ("PUT", _GUILD_COMMANDS),
    ("POST", "/interactions/{interaction_id}/{interaction_token}/callback"),
    ("POST", _WEBHOOK),
    ("GET", f"{_WEBHOOK}/messages/@original"),
    ("PATCH", f"{_WEBHOOK}/messages/@original"),
    ("DELETE", f"{_WEBHOOK}/messages/@original"),
    ("GET", f"{_WEBHOOK}/messages/{{message_id}}"),
    ("PATCH", f"{_WEBHOOK}/messages/{{message_id}}"),
    ("DELETE", f"{_WEBHOOK}/messages/{{message_id}}"),
    ("GET", "/channels/{channel_id}"),
    ("PATCH", "/channels/{channel_id}"),
    ("GET", "/channels/{channel_id}/messages"),
    ("POST", "/channels/{channel_id}/messages"),
    ("GET", _MESSAGE),
    ("PATCH", _MESSAGE),
    ("DELETE", _MESSAGE),
    ("POST", f"{_MESSAGE}/threads"),
    ("POST", "/channels/{channel_id}/typing"),
    ("POST", "/channels/{channel_id}/threads"),
    ("GET", "/channels/{channel_id}/threads/archived/public"),
    ("PUT", "/channels/{channel_id}/thread-members/@me"),
    ("DELETE", "/channels/{channel_id}/thread-members/@me"),
    ("GET", "/guilds/{guild_id}/threads/active"),
    ("GET", "/guilds/{guild_id}/members/{user_id}"),
)


@dataclass(frozen=True)
class Match:
    """A request path that fits a route, with its parameters and the resource its rate limit belongs to."""

    route: str
    params: dict[str, str]

    @property
    def major(self) -> str:
        """The top-level resource that has its own bucket: a channel, guild, or webhook with token."""
        keys = ("channel_id", "guild_id", "webhook_id", "webhook_token", "interaction_id")
        return ":".join(self.params[key] for key in keys if key in self.params)

    @property
    def by_token(self) -> bool:
        """Whether the path itself carries the credential, so that no bot token is asked for."""
        return "webhook_token" in self.params or "interaction_token" in self.params


_TOKENS = {"webhook_token", "interaction_token"}


def _pattern(template: str) -> re.Pattern[str]:
    def group(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>{'[^/]+' if match[1] in _TOKENS else '[0-9]+'})"

    return re.compile(re.sub(r"\{(\w+)\}", group, template))


_COMPILED = tuple((method, template, _pattern(template)) for method, template in TEMPLATES)


def match(method: str, path: str) -> Match | None:
    """Find the route of a request; `path` is what follows the API's version."""
    for verb, template, pattern in _COMPILED:
        if verb == method and (found := pattern.fullmatch(path)):
            return Match(f"{method} {template}", found.groupdict())
    return None
