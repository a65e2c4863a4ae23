"""Creates, edits and deletes messages and threads, and tells the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tests.emulators.discord import lint
from tests.emulators.discord.errors import FieldError, Json, invalid_form, known
from tests.emulators.discord.limits import ChannelType, Flag, MessageType, Permission
from tests.emulators.discord.payloads import Payloads
from tests.emulators.discord.record import Recorder
from tests.emulators.discord.rendering import Renderer, attach, gather_files, sanitised, split_media
from tests.emulators.discord.validation import Submission, check_message
from tests.emulators.discord.world import Channel, File, Message, Origin, Thread, User, World, snowflake

_SENT_FLAGS = Flag.SUPPRESS_EMBEDS | Flag.SUPPRESS_NOTIFICATIONS | Flag.COMPONENTS_V2


class Publish(Protocol):
    """Sends one event to the gateway sessions that may see it."""

    def __call__(
        self,
        event: str,
        data: Json,
        channel: Channel | None = None,
        readable: bool = True,
        guild_id: int | None = None,
    ) -> None:
        """Send `event`; `readable` is whether the bot sees content without the content intent.

        Without a channel, `guild_id` says whose shard gets it.
        """


class Poster:
    """The only writer of messages and threads."""

    def __init__(self, world: World, payloads: Payloads, recorder: Recorder, publish: Publish, nonce_window: float):
        self._world = world
        self._payloads = payloads
        self._recorder = recorder
        self._publish = publish
        self._nonce_window = nonce_window
        self._nonces: dict[str, tuple[float, Message]] = {}

    def send(self, channel: Channel, sent: Submission) -> Message:
        """Post the bot's message to `channel`, with every check of POST /channels/{id}/messages."""
        self._check_may_send(channel, sent)
        nonce = sent.body.get("nonce")
        key = str(nonce)
        now = self._world.clock.now()
        if nonce is not None and sent.body.get("enforce_nonce") and key in self._nonces:
            at, first = self._nonces[key]
            if now < at + self._nonce_window:
                return first
        message = self._new(channel, self._world.bot)
        message.nonce = nonce
        self._reply_to(message, channel, sent)
        self._fill(message, channel, sent, webhook=False)
        if nonce is not None:
            self._nonces[key] = (now, message)
        return self._store(message, channel)

    def answer(
        self, channel: Channel, sent: Submission | None, origin: Origin, *, ephemeral: bool, type: int
    ) -> Message:
        """Post an interaction's response or followup; without `sent` it is the "thinking" message."""
        message = self._new(channel, self._world.bot)
        message.origin = origin
        message.type = type
        message.viewer = origin.user.id if ephemeral else None
        if sent is None:
            message.flags |= Flag.LOADING
        else:
            self._fill(message, channel, sent, webhook=True)
        message.flags |= Flag.EPHEMERAL if ephemeral else 0
        return self._store(message, channel)

    def edit(self, message: Message, sent: Submission) -> Message:
        """Change a message of the bot."""
        if message.author != self._world.bot:
            raise known(50005)
        if message.type in {MessageType.THREAD_CREATED, MessageType.THREAD_STARTER}:
            raise known(50021)
        channel = self._world.channels[message.channel_id]
        before = message.text
        self._fill(message, channel, sent, webhook=message.origin is not None)
        message.revisions.append(before)
        message.flags &= ~Flag.LOADING
        message.edited_at = self._world.clock.wall()
        self._announce("MESSAGE_UPDATE", message)
        return message

    def delete(self, message: Message) -> None:
        """Take a message away."""
        channel = self._world.channels[message.channel_id]
        del channel.messages[message.id]
        if not message.ephemeral:
            gone = {"id": str(message.id), "channel_id": str(channel.id)}
            if channel.guild_id is not None:
                gone["guild_id"] = str(channel.guild_id)
            self._publish("MESSAGE_DELETE", gone, channel)
        self._recorder.changed()

    def say(
        self,
        channel: Channel,
        author: User,
        text: str,
        *,
        reply_to: Message | None,
        ping: bool,
        files: Sequence[File] = (),
    ) -> Message:
        """Post a person's message."""
        if isinstance(channel, Thread):
            channel.members.setdefault(author.id, self._world.clock.wall())
            self._wake(channel)
        message = self._new(channel, author)
        message.content = text
        message.attachments = [attach(f.name, f.data, f.description, self._world.snowflake()) for f in files]
        users, roles, everyone = self._world.mentioned(text)
        message.mentions, message.mention_roles, message.mention_everyone = users, roles, everyone
        message.readable = channel.guild_id is None or self._world.bot in users
        if reply_to is not None:
            message.type = MessageType.REPLY
            message.reference = (channel.id, reply_to.id)
            if ping and reply_to.author not in users:
                message.mentions.append(reply_to.author)
                message.readable |= reply_to.author == self._world.bot and reply_to.origin is None
        return self._store(message, channel)

    def rewrite(self, message: Message, text: str) -> None:
        """Let a person edit their own message."""
        message.revisions.append(message.content)
        message.content = text
        message.edited_at = self._world.clock.wall()
        self._announce("MESSAGE_UPDATE", message)

    def announce_again(self, message: Message) -> None:
        """Dispatch the creation of a message once more."""
        self._announce("MESSAGE_CREATE", message)

    def _new(self, channel: Channel, author: User) -> Message:
        message_id = self._world.snowflake()
        return Message(message_id, channel.id, author, self._world.clock.wall(), readable=author == self._world.bot)

    def _store(self, message: Message, channel: Channel) -> Message:
        channel.messages[message.id] = message
        if isinstance(channel, Thread):
            channel.total += 1
        self._announce("MESSAGE_CREATE", message)
        return message

    def _announce(self, event: str, message: Message) -> None:
        channel = self._world.channels[message.channel_id]
        if not message.ephemeral:
            data = self._payloads.message(message)
            if channel.guild_id is not None:
                data["guild_id"] = str(channel.guild_id)
                guild = self._world.guilds[channel.guild_id]
                if message.author.id in guild.members:
                    data["member"] = self._payloads.member(message.author, guild, with_user=False)
            self._publish(event, data, channel, message.readable)
        self._recorder.changed()

    def _check_may_send(self, channel: Channel, sent: Submission) -> None:
        threaded = isinstance(channel, Thread)
        need = Permission.SEND_MESSAGES_IN_THREADS if threaded else Permission.SEND_MESSAGES
        if sent.uploads:
            need |= Permission.ATTACH_FILES
        if sent.body.get("embeds"):
            need |= Permission.EMBED_LINKS
        self._world.need(channel, need)
        if any(user.id in self._world.unreachable for user in channel.recipients):
            raise known(50007)
        if isinstance(channel, Thread):
            self._wake(channel)

    def _wake(self, thread: Thread) -> None:
        """Unarchive a thread that is written to; raises 50083 when it is locked."""
        if thread.archived:
            if thread.locked:
                raise known(50083)
            thread.archived = False
            self._publish("THREAD_UPDATE", self._payloads.channel(thread), thread)

    def _reply_to(self, message: Message, channel: Channel, sent: Submission) -> None:
        reference = sent.body.get("message_reference")
        if reference is None:
            return
        if not self._world.permissions(self._world.bot, channel) & Permission.READ_MESSAGE_HISTORY:
            raise known(160002)
        target = channel.messages.get(snowflake(reference["message_id"]))
        if target is None or target.ephemeral:
            if reference.get("fail_if_not_exists", True) is not False:
                problem = FieldError(("message_reference",), "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
                raise invalid_form([problem], sent.prefix)
            return
        message.type = MessageType.REPLY
        message.reference = (channel.id, target.id)
        allowed = sent.body.get("allowed_mentions")
        if target.author != self._world.bot and (allowed is None or allowed.get("replied_user")):
            message.mentions.append(target.author)

    def _fill(self, message: Message, channel: Channel, sent: Submission, *, webhook: bool) -> None:
        """Check and take over what was sent; on any refusal the message stays as it was."""
        existing = message if message.id in channel.messages else None
        check_message(sent, existing)
        body = sent.body
        files = gather_files(sent, existing, self._world.snowflake)
        renderer = Renderer(sent, files, lambda file: self._payloads.link(channel.id, file), self._world.snowflake)
        embeds = renderer.embeds(body["embeds"] or []) if "embeds" in body else message.embeds
        components = renderer.components(body["components"] or []) if "components" in body else message.components
        content = (body["content"] or "") if "content" in body else message.content
        if not (content.strip() or embeds or components or files):
            raise known(50006)
        message.content, message.embeds, message.components = content.strip(), embeds, components
        message.attachments, message.media = split_media(files, embeds, components)
        kept = message.flags & Flag.COMPONENTS_V2
        if "flags" in body or existing is None:
            message.flags = (message.flags & ~_SENT_FLAGS) | (sent.flags & _SENT_FLAGS) | kept
        message.tts = bool(body.get("tts"))
        found = lint.pings(self._world, channel, message, body.get("allowed_mentions"), webhook)
        message.mentions = [*message.mentions, *(user for user in found.users if user not in message.mentions)]
        message.mention_roles, message.mention_everyone = found.roles, found.everyone
        unseen = lint.unseen(message, [sanitised(upload.filename) for upload in sent.uploads])
        for kind, detail in [*lint.complaints(message, found), *unseen]:
            self._recorder.violation(kind, detail, f"message {message.id} in #{channel.name}")

    def open_thread(self, parent: Channel, body: Json, *, start: Message | None, type: int) -> Thread:
        """Open a thread below `parent`, from the message `start` or on its own; raises Discord's errors."""
        private = type == ChannelType.PRIVATE_THREAD
        self._world.need(parent, Permission.CREATE_PRIVATE_THREADS if private else Permission.CREATE_PUBLIC_THREADS)
        if parent.type not in {ChannelType.TEXT, ChannelType.ANNOUNCEMENT}:
            raise known(50024)
        if start is not None and start.id in self._world.channels:
            raise known(160004)
        now = self._world.clock.wall()
        thread = Thread(
            id=start.id if start else self._world.snowflake(),
            type=type,
            name=body["name"],
            guild_id=parent.guild_id,
            parent_id=parent.id,
            owner_id=self._world.bot.id,
            auto_archive=body.get("auto_archive_duration") or 1440,
            slowmode=body.get("rate_limit_per_user") or 0,
            created_at=now,
            archived_at=now,
            members={self._world.bot.id: now},
        )
        self._world.channels[thread.id] = thread
        self._publish("THREAD_CREATE", self._payloads.channel(thread) | {"newly_created": True}, thread)
        if start is not None:
            self._attach(thread, start)
        elif not private:
            self._note_thread(thread, parent)
        self._recorder.changed()
        return thread

    def _attach(self, thread: Thread, start: Message) -> None:
        start.flags |= Flag.HAS_THREAD
        start.thread_id = thread.id
        self._announce("MESSAGE_UPDATE", start)
        starter = self._new(thread, self._world.bot)
        starter.type = MessageType.THREAD_STARTER
        starter.reference = (start.channel_id, start.id)
        self._store(starter, thread)

    def _note_thread(self, thread: Thread, parent: Channel) -> None:
        note = self._new(parent, self._world.bot)
        note.type, note.content = MessageType.THREAD_CREATED, thread.name
        note.thread_id = thread.id
        self._store(note, parent)

    def change_thread(self, thread: Thread, body: Json) -> None:
        """Rename, archive, unarchive or lock a thread."""
        thread.name = body.get("name") or thread.name
        thread.auto_archive = body.get("auto_archive_duration") or thread.auto_archive
        if body.get("rate_limit_per_user") is not None:
            thread.slowmode = body["rate_limit_per_user"]
        if body.get("locked") is not None:
            thread.locked = body["locked"]
        if body.get("archived") is not None and body["archived"] != thread.archived:
            thread.archived = body["archived"]
            thread.archived_at = self._world.clock.wall()
        self._publish("THREAD_UPDATE", self._payloads.channel(thread), thread)
        self._recorder.changed()

    def change_membership(self, thread: Thread, *, joined: bool) -> None:
        """Let the bot join or leave a thread."""
        if joined:
            thread.members.setdefault(self._world.bot.id, self._world.clock.wall())
        else:
            thread.members.pop(self._world.bot.id, None)
        self._recorder.changed()
