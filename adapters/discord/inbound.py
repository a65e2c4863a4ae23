"""From Discord's events to the core's values: who wrote, where, what; and what the bot may do there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from adapters.discord import limits
from adapters.discord.gateway import PAYLOAD
from adapters.discord.library import Interaction, discord
from core.asks import DIRECT, Person, Platform, ThreadRef, Value
from core.attachments import Upload
from core.commands.values import (
    AskCommand,
    Command,
    ExamplesCommand,
    HelpCommand,
    LeaderboardCommand,
    ListConsortia,
    ModelsCommand,
    StopCommand,
)
from core.errors import Refused
from core.service import Inbound

SLASH = "/consortium"

REPLAYED, TAPPED = "replayed", "tapped"
"""Mark an interaction that may have been carried out in part, and the tap of a button that may come twice, which is
said by what follows in :func:`taps`."""


class Attached(Value):
    """A file that came with a message, as Discord describes it."""

    filename: str
    content_type: str | None
    size: int
    url: str


class Heard(Value):
    """A message that is for us, with all that is needed to answer it in any process.

    ``may`` is what we may do there, as Discord's bits; None where it cannot be told. ``late``: it was written while
    nobody was connected.
    """

    id: int
    channel: int
    text: str
    inbound: Inbound
    mentioned: bool = False
    threaded: bool = False
    files: tuple[Attached, ...] = ()
    may: int | None = None
    late: bool = False

    @property
    def permissions(self) -> discord.Permissions | None:
        """What we may do there."""
        return None if self.may is None else discord.Permissions(self.may)


def place(channel: object, channel_id: int, guild_id: int | None) -> ThreadRef:
    """Where something happened. A direct channel is one private thread; a thread belongs to its parent channel."""
    if guild_id is None:
        here = str(channel_id)
        return ThreadRef(platform=Platform.DISCORD, workspace=DIRECT, channel=here, thread=here, private=True)
    if isinstance(channel, discord.Thread):
        return ThreadRef(
            platform=Platform.DISCORD,
            workspace=str(guild_id),
            channel=str(channel.parent_id),
            thread=str(channel.id),
            private=channel.is_private(),
        )
    return ThreadRef(platform=Platform.DISCORD, workspace=str(guild_id), channel=str(channel_id))


def from_interaction(interaction: Interaction, files: Sequence[Upload] = ()) -> Inbound:
    """Something used, tapped or filled in. Raises Refused where Discord does not say in which channel it was."""
    if interaction.channel_id is None:
        raise Refused("Discord does not say where this was written. Please try in a channel.")
    member = interaction.extras[PAYLOAD].get("member") if interaction.guild_id else None
    may = interaction.permissions
    return Inbound(
        asker=Person(id=str(interaction.user.id), name=interaction.user.display_name),
        where=place(interaction.channel, interaction.channel_id, interaction.guild_id),
        event_ids=(str(interaction.id), *interaction.extras.get(TAPPED, ())),
        prefix=SLASH,
        files=tuple(files),
        replayed=REPLAYED in interaction.extras,
        **(_standing([interaction.guild_id, *member["roles"]], may) if member else {}),
    )


def taps(interaction: Interaction, action: str) -> tuple[str, ...]:
    """Words that a tap has in common with another one of the same person on the same button just before or after it, in
    whichever process: time in halves of a second, from when it was to when another tap is meant."""
    message = interaction.message.id if interaction.message else 0
    at = int(interaction.created_at.timestamp() * 2)
    until = at + int(limits.DOUBLE_TAP.total_seconds() * 2)
    return tuple(f"tap {interaction.user.id} {message} {action} {half}" for half in range(at, until + 1))


def from_message(message: discord.Message, channel: object, author: discord.User | discord.Member) -> Inbound:
    """A message; ``channel`` and ``author`` are who and where as far as it could be found out."""
    may = discord.Permissions.none()
    if isinstance(channel, (discord.abc.GuildChannel, discord.Thread)) and isinstance(author, discord.Member):
        with suppress(discord.ClientException):  # the thread's channel is not known
            may = channel.permissions_for(author)
    return Inbound(
        asker=Person(id=str(author.id), name=author.display_name),
        where=place(channel, message.channel.id, message.guild.id if message.guild else None),
        event_ids=(str(message.id),),
        prefix=SLASH if message.guild else "",
        **(_standing([role.id for role in author.roles], may) if isinstance(author, discord.Member) else {}),
    )


def _standing(roles: Sequence[object], may: discord.Permissions) -> dict[str, Any]:
    """Somebody's roles in a server, that of everybody among them, and what they may do there; nobody manages direct
    messages."""
    return {
        "roles": tuple(str(role) for role in roles),
        "manages": may.manage_guild or may.administrator,
        "moderates": may.administrator or may.manage_channels or may.manage_messages or may.manage_threads,
    }


def is_for_us_to_read(message: discord.Message) -> bool:
    """Whether a person wrote it: no bot (we neither), no webhook, no system notice."""
    written = message.type in (discord.MessageType.default, discord.MessageType.reply)
    return written and not message.author.bot and message.webhook_id is None


def mentions(message: discord.Message, me: int) -> bool:
    """Whether the text itself names us, or the role that Discord gives every bot and offers under the same name; a mere
    reply notifies too, but says nothing to us."""
    return me in message.raw_mentions or _our_role(message) in message.raw_role_mentions


def _our_role(message: discord.Message) -> int | None:
    role = message.guild.self_role if message.guild else None
    return role.id if role else None


def words_of(message: discord.Message, me: int) -> str:
    """The text without our mention, and with the names of the others."""
    text = message.content
    for user in message.mentions:
        name = "" if user.id == me else f"@{user.display_name}"
        text = text.replace(f"<@{user.id}>", name).replace(f"<@!{user.id}>", name)
    for ours in (f"<@{me}>", f"<@!{me}>", f"<@&{_our_role(message)}>"):
        text = text.replace(ours, "")
    return text.strip()


def may_thread(permissions: discord.Permissions) -> bool:
    """Whether a thread can be opened and written in."""
    return permissions.create_public_threads and permissions.send_messages_in_threads


def check_may_answer(permissions: discord.Permissions, where: ThreadRef) -> None:
    """Make sure that an answer can be posted before anything is spent. Raises Refused, naming the permission."""
    if where.private and where.workspace == DIRECT:
        return
    missing = None
    if not permissions.view_channel:
        missing = "View Channel"
    elif where.thread is not None:
        missing = None if permissions.send_messages_in_threads else "Send Messages in Threads"
    elif not (permissions.send_messages or may_thread(permissions)):
        missing = "Send Messages"
    if missing:
        raise Refused(cannot_write(missing))


def permissions_at(message: discord.Message) -> discord.Permissions | None:
    """What we may do where a message stands; None where it cannot be told."""
    me = message.guild.me if message.guild else None
    if me is None or isinstance(message.channel, discord.PartialMessageable):
        return None
    with suppress(discord.ClientException):  # the thread's channel is not known
        return message.channel.permissions_for(me)
    return None


FOR_ALL = (
    *(AskCommand, StopCommand, HelpCommand, ExamplesCommand),
    *(ModelsCommand, ListConsortia, LeaderboardCommand),
)
"""Commands whose answer all may see."""


def check_not_personal(command: Command, inbound: Inbound) -> None:
    """A reply to a message is seen by the whole channel, so what is the asker's alone is refused there."""
    if inbound.where.workspace == DIRECT or isinstance(command, FOR_ALL):
        return
    raise Refused(f"That is for you alone: write it as a slash command, `{SLASH}`, and only you will see it.")


def cannot_write(permission: str) -> str:
    """What the asker is told when no answer can be posted."""
    return (
        f"The bot cannot answer here: it lacks the permission {permission} in this channel. "
        "Ask somebody who manages the server to give it, or ask in another channel."
    )
