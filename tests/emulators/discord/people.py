"""The hands of the people who use the bot: what they write, run, press and fill in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.emulators.discord.commands import CHAT_INPUT, MESSAGE, Commands
from tests.emulators.discord.errors import Json, NotOffered
from tests.emulators.discord.forms import BUTTON, SELECTS, Form, choose
from tests.emulators.discord.gateway import Gateway
from tests.emulators.discord.interactions import (
    AUTOCOMPLETE,
    COMMAND,
    COMPONENT,
    MODAL_SUBMIT,
    Interaction,
    Interactions,
)
from tests.emulators.discord.limits import NONE, Flag, Permission
from tests.emulators.discord.payloads import Payloads
from tests.emulators.discord.posting import Poster
from tests.emulators.discord.resolving import Resolved
from tests.emulators.discord.world import Channel, File, Guild, Message, Role, User, World

_LINK_STYLE = 5


class People:
    """Everything a person can do. What Discord would not let them do raises NotOffered.

    A `message` is a Message or its id; without `channel_id` things happen in the home guild's first channel.
    """

    channel_id: int

    def __init__(
        self,
        world: World,
        payloads: Payloads,
        gateway: Gateway,
        poster: Poster,
        commands: Commands,
        interactions: Interactions,
    ) -> None:
        self.world = world
        self.gateway = gateway
        self.commands = commands
        self._payloads = payloads
        self._poster = poster
        self._interactions = interactions

    def add_user(self, name: str, *, roles: Iterable[Role] = ()) -> User:
        """Make another member of the home guild."""
        return self.world.add_user(name, tuple(role.id for role in roles))

    def add_role(self, name: str, *, permissions: Permission = NONE, mentionable: bool = False) -> Role:
        """Make a role of the home guild."""
        return self.world.add_role(name, permissions=permissions, mentionable=mentionable)

    def add_channel(self, name: str, *, deny_bot: Permission = NONE) -> int:
        """Make another text channel of the home guild and give its id."""
        return self.world.add_channel(name, deny_bot=deny_bot).id

    def add_guild(self, name: str, *members: User) -> int:
        """Make a guild without the bot and give the id of its only channel."""
        guild = self.world.add_guild(name, with_bot=False)
        guild.members |= {user.id: (user, ()) for user in members}
        return self.world.add_channel("lobby", guild=guild).id

    def private_channel(self, *people: User) -> int:
        """Make a channel between people, without the bot (a group for more than two), and give its id."""
        return self.world.private_channel(people).id

    def install(self, user: User) -> None:
        """Let `user` add the application to their account, so that it goes with them everywhere."""
        self.world.installed.add(user.id)

    def refuse_direct(self, user: User) -> None:
        """Let `user` refuse direct messages: the bot gets 50007 for them."""
        self.world.unreachable.add(user.id)

    def join_guild(self, name: str, *members: User, system_channel: bool = True, deny_bot: Permission = NONE) -> Guild:
        """Let somebody add the bot to a new guild with the channels "rules" and "welcome".

        "welcome" is the system channel, unless there is none; the bot lacks `deny_bot` there.
        """
        guild = self.world.add_guild(name)
        guild.members |= {user.id: (user, ()) for user in members}
        self.world.add_channel("rules", guild=guild)
        welcome = self.world.add_channel("welcome", guild=guild, deny_bot=deny_bot)
        guild.system_channel_id = welcome.id if system_channel else None
        self.gateway.announce_guild(guild)
        return guild

    async def say(
        self,
        user: User,
        channel_id: int,
        text: str = "",
        *,
        files: Sequence[File] = (),
        mention: bool = False,
        reply_to: int | None = None,
        ping: bool = True,
        repeat: int = 1,
    ) -> Message:
        """Let `user` write a message; `mention` puts the bot's mention first.

        `reply_to` is a message id, `ping` whether that reply notifies, `repeat` how often the event arrives.
        """
        channel = self.world.channels[channel_id]
        target = channel.messages[reply_to] if reply_to is not None else None
        full = f"{self.world.bot.mention} {text}" if mention else text
        if not full.strip() and not files:
            raise NotOffered("an empty message cannot be sent")
        message = self._poster.say(channel, user, full, reply_to=target, ping=ping, files=files)
        for _ in range(repeat - 1):
            self._poster.announce_again(message)
        return message

    async def edit(self, message_id: int, text: str) -> None:
        """Let the author of a message change it."""
        self._poster.rewrite(self.world.find_message(message_id), text)

    async def delete(self, message_id: int) -> None:
        """Take a message away, by its author or a moderator."""
        self._poster.delete(self.world.find_message(message_id))

    async def command(
        self,
        user: User,
        words: str,
        options: Mapping[str, Any] | None = None,
        /,
        *,
        channel_id: int | None = None,
        **values: Any,
    ) -> Interaction:
        """Let `user` run a slash command, such as "consortium ask", with option values by name.

        Users, roles and channels go as themselves or as ids, attachments as File.
        """
        channel = self._place(channel_id)
        data, owners = self._invocation(user, words, channel, {**(options or {}), **values})
        return self._interactions.start(COMMAND, user, channel, data, owners)

    async def autocomplete(
        self,
        user: User,
        words: str,
        options: Mapping[str, Any] | None = None,
        *,
        focused: str,
        channel_id: int | None = None,
        timeout: float = 5.0,
    ) -> list[Json]:
        """Give the choices offered while `user` types the option `focused`; the other options may be partial.

        Raises TimeoutError without an answer.
        """
        channel = self._place(channel_id)
        data, owners = self._invocation(user, words, channel, options or {}, focused)
        interaction = self._interactions.start(AUTOCOMPLETE, user, channel, data, owners)
        await interaction.wait_acked(timeout)
        return interaction.choices or []

    async def context_menu(self, user: User, name: str, message: Message | int) -> Interaction:
        """Let `user` choose the command `name` from the menu of a message."""
        message = self._seen(user, message)
        channel = self.world.channels[message.channel_id]
        data, owners = self._invocation(user, name, channel, {}, kind=MESSAGE)
        shown = self._payloads.message(message)
        data = {**data, "target_id": str(message.id), "resolved": {"messages": {str(message.id): shown}}}
        del data["options"]
        return self._interactions.start(COMMAND, user, channel, data, owners, target=message.id)

    async def click(self, user: User, message: Message | int, button: str) -> Interaction:
        """Let `user` press the button with this custom id or label."""
        message = self._seen(user, message)
        part = _usable(message, button, frozenset({BUTTON}), "label")
        if part["style"] == _LINK_STYLE:
            raise NotOffered(f"{button!r} is a link, of which the bot never hears")
        return self._use(user, message, part, {})

    async def select(self, user: User, message: Message | int, menu: str, values: Sequence[Any]) -> Interaction:
        """Let `user` choose `values` in the menu with this custom id or placeholder.

        A menu of users, roles or channels takes these or their ids.
        """
        message = self._seen(user, message)
        part = _usable(message, menu, SELECTS, "placeholder")
        resolved = Resolved(self.world, self._payloads, self.world.channels[message.channel_id])
        chosen = choose(part, values, resolved.component)
        return self._use(user, message, part, {"values": chosen} | resolved.written())

    async def submit_modal(self, interaction: Interaction, values: Mapping[str, Any] | None = None) -> Interaction:
        """Let the person fill in and send the modal that `interaction` was answered with.

        `values` go by custom id or label: text and a radio group's choice as str, menus and box groups as list,
        one box as bool, uploads as list of File. What is left out stays as the modal shows it.
        """
        modal = interaction.modal
        if modal is None:
            raise NotOffered("that interaction opened no modal, or it is gone")
        resolved = Resolved(self.world, self._payloads, interaction.channel)
        components = Form(modal, values or {}, resolved.component).submit()
        data = {"custom_id": modal["custom_id"], "components": components} | resolved.written()
        interaction.modal = None
        return self._interactions.start(
            MODAL_SUBMIT,
            interaction.user,
            interaction.channel,
            data,
            interaction.owners,
            source=interaction.source,
            trigger=interaction,
        )

    def expire_links(self) -> None:
        """Let every CDN link handed out so far be past its time; a message fetched again has fresh ones."""
        self._payloads.expire_links()

    def _use(self, user: User, message: Message, part: Json, more: Json) -> Interaction:
        channel = self.world.channels[message.channel_id]
        owners = message.origin.owners if message.origin else {"0": str(channel.guild_id or 0)}
        data = {"component_type": part["type"], "id": part["id"], "custom_id": part["custom_id"], **more}
        return self._interactions.start(COMPONENT, user, channel, data, owners, source=message)

    def _place(self, channel_id: int | None) -> Channel:
        return self.world.channels[self.channel_id if channel_id is None else channel_id]

    def _seen(self, user: User, message: Message | int) -> Message:
        message_id = message if isinstance(message, int) else message.id
        try:
            found = self.world.find_message(message_id)
        except LookupError as missing:
            raise NotOffered(str(missing)) from None
        sees = self.world.permissions(user, self.world.channels[found.channel_id]) & Permission.VIEW_CHANNEL
        if not sees or found.viewer not in {None, user.id}:
            raise NotOffered(f"{user.name} does not see message {message_id}")
        return found

    def _invocation(
        self,
        user: User,
        words: str,
        channel: Channel,
        values: Mapping[str, Any],
        focused: str | None = None,
        kind: int = CHAT_INPUT,
    ) -> tuple[Json, dict[str, str]]:
        found = self.commands.find(words, kind, channel)
        owners = self.commands.owners(found.command, user, channel)
        if not owners:
            raise NotOffered(f"neither this place nor {user.name} has the application with {words!r} installed")
        managed = "0" in owners and channel.guild_id is not None
        needed = self.commands.needed_permissions(found.command) if managed else 0
        if needed & ~int(self.world.permissions(user, channel)) or not self._interactions.may_use(user, channel):
            raise NotOffered(f"{user.name} may not use {words!r} in #{channel.name}")
        resolved = Resolved(self.world, self._payloads, channel)
        data = found.data(values, resolved.option, focused)
        return data | resolved.written(), owners


def _usable(message: Message, name: str, kinds: frozenset[int], text: str) -> Json:
    """Find a button or menu by custom id or by what it reads."""
    if message.flags & Flag.LOADING:
        raise NotOffered(f"message {message.id} still reads that the bot is thinking")
    parts = [part for part in message.parts if part["type"] in kinds]
    named = [part for part in parts if part.get("custom_id") == name] or [p for p in parts if p.get(text) == name]
    if not named:
        offered = [part.get("custom_id") or part.get(text) for part in parts]
        raise NotOffered(f"message {message.id} offers {offered}, not {name!r}")
    if len(named) > 1:
        raise NotOffered(f"{len(named)} of message {message.id} read {name!r}; say which by custom id")
    if named[0].get("disabled"):
        raise NotOffered(f"{name!r} on message {message.id} is disabled")
    return named[0]
