"""Reads the bot's messages as people see them: who would be pinged, and does the formatting hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.emulators.discord.errors import Json
from tests.emulators.discord.limits import Flag, Permission
from tests.emulators.discord.world import Channel, Message, User, World


@dataclass(frozen=True)
class Pings:
    """Whom a message notifies; `blanket` are users that no list of ids names."""

    users: list[User]
    roles: list[int]
    everyone: bool
    blanket: list[User]


def pings(world: World, channel: Channel, message: Message, allowed: Json | None, webhook: bool) -> Pings:
    """Work out whom `message` of the bot notifies under `allowed_mentions`.

    Without `allowed_mentions` everything is let through, for webhooks and interactions only users.
    """
    if allowed is None:
        allowed = {"parse": ["users"]} if webhook else {"parse": ["users", "roles", "everyone"]}
    parse = allowed.get("parse") or []
    listed = {key: {int(i) for i in allowed.get(key) or ()} for key in ("users", "roles")}
    text = "\n".join([message.content, *(part["content"] for part in message.parts if part["type"] == 10)])
    users, roles, everyone = world.mentioned(text)
    mass = bool(world.permissions(world.bot, channel) & Permission.MENTION_EVERYONE)
    blanket = [user for user in users if "users" in parse]
    return Pings(
        users=[user for user in users if user in blanket or user.id in listed["users"]],
        roles=[
            role
            for role in roles
            if (mass or world.guild.roles[role].mentionable) and ("roles" in parse or role in listed["roles"])
        ],
        everyone=everyone and mass and "everyone" in parse,
        blanket=blanket,
    )


def complaints(message: Message, found: Pings) -> Iterator[tuple[str, str]]:
    """Give kind and detail of everything wrong with the text of a message of the bot.

    A user may be pinged when `allowed_mentions.users` names them; a blanket permission would let any text
    that a model wrote ping anybody.
    """
    if found.everyone:
        yield "mention", f"pings everyone: {message.content[:80]!r}"
    if found.roles:
        yield "mention", f"pings roles {found.roles}: {message.content[:80]!r}"
    if found.blanket:
        names = [user.name for user in found.blanket]
        yield "mention", f"pings {names}, whom allowed_mentions.users does not name: {message.content[:80]!r}"
    for text in _texts(message):
        if text.count("```") % 2:
            yield "formatting", f"code fence left open: {text[:60]!r} ... {text[-60:]!r}"


def unseen(message: Message, uploaded: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Complain of files sent just now that no component shows, where only components are shown."""
    hidden = [file.filename for file in message.attachments if file.filename in uploaded]
    if message.flags & Flag.COMPONENTS_V2 and hidden:
        yield "files", f"nobody sees {hidden}: no component shows them"


def _texts(message: Message) -> Iterator[str]:
    yield message.content
    yield from (part["content"] for part in message.parts if part["type"] == 10)
    for embed in message.embeds:
        yield embed.get("description", "")
        yield from (item["value"] for item in embed.get("fields", ()))
