"""Interactions: what a person starts, and the one acknowledgement and the replies it may get."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field

from tests.emulators.discord import limits
from tests.emulators.discord.endpoint import Endpoint
from tests.emulators.discord.errors import FieldError, Json, invalid_form, known
from tests.emulators.discord.forms import modal_problems
from tests.emulators.discord.limits import PRIVATE, Flag, MessageType, Permission
from tests.emulators.discord.payloads import Payloads, permission_text
from tests.emulators.discord.posting import Poster, Publish
from tests.emulators.discord.record import Recorder
from tests.emulators.discord.validation import Submission, Upload
from tests.emulators.discord.world import Channel, Message, Origin, User, World

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5
_REPLY, _DEFER, _DEFER_UPDATE, _UPDATE, _CHOICES, _MODAL = 4, 5, 6, 7, 8, 9
_FITTING = {
    COMMAND: {_REPLY, _DEFER, _MODAL},
    COMPONENT: {_REPLY, _DEFER, _DEFER_UPDATE, _UPDATE, _MODAL},
    AUTOCOMPLETE: {_CHOICES},
    MODAL_SUBMIT: {_REPLY, _DEFER, _DEFER_UPDATE, _UPDATE},
}


@dataclass
class Interaction:
    """An interaction as the person who started it sees it.

    `response` is the first reply (None when there is none, or it was deleted), `followups` the later ones,
    `callback` the type of the acknowledgement.
    """

    id: int
    type: int
    token: str
    user: User
    channel: Channel
    data: Json
    created: float
    owners: dict[str, str]
    recorder: Recorder = field(repr=False)
    source: Message | None = None
    target: int | None = None
    trigger: Interaction | None = None
    callback: int | None = None
    response: Message | None = None
    followups: list[Message] = field(default_factory=list)
    choices: list[Json] | None = None
    modal: Json | None = None
    first_followup_is_response: bool = False

    @property
    def acked(self) -> bool:
        """Whether the bot acknowledged it."""
        return self.callback is not None

    @property
    def ephemeral(self) -> bool:
        """Whether the response is for the person's eyes only."""
        return self.response is not None and self.response.ephemeral

    @property
    def origin(self) -> Origin:
        """What its replies say of where they come from."""
        target = self.source.id if self.source else self.target
        trigger = self.trigger.origin if self.trigger else None
        return Origin(self.id, self.type, self.user, self.data.get("name", ""), self.owners, target, trigger)

    @property
    def replies(self) -> list[Message]:
        """Every reply that still stands, the first one first."""
        return [*([] if self.response is None else [self.response]), *self.followups]

    async def wait_acked(self, timeout: float = 5.0) -> Interaction:
        """Wait for the acknowledgement; raises TimeoutError after `timeout` seconds."""
        await self.recorder.wait_for(lambda: self.acked, timeout)
        return self

    async def wait_response(self, timeout: float = 5.0) -> Message:
        """Wait until the response shows something; raises TimeoutError after `timeout` seconds."""
        return await self.recorder.wait_for(
            lambda: self.response if self.response and not self.response.loading else None, timeout
        )


class Interactions:
    """Starts interactions and takes the bot's answers. Deadlines are seconds."""

    def __init__(
        self,
        world: World,
        payloads: Payloads,
        recorder: Recorder,
        poster: Poster,
        publish: Publish,
        *,
        ack_deadline: float,
        token_ttl: float,
    ) -> None:
        self._world = world
        self._payloads = payloads
        self._recorder = recorder
        self._poster = poster
        self._publish = publish
        self._ack_deadline = ack_deadline
        self._token_ttl = token_ttl
        self.endpoint = Endpoint(recorder, world.app_id, ack_deadline)
        self._by_token: dict[str, Interaction] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def start(
        self,
        type: int,
        user: User,
        channel: Channel,
        data: Json,
        owners: dict[str, str],
        *,
        source: Message | None = None,
        target: int | None = None,
        trigger: Interaction | None = None,
    ) -> Interaction:
        """Send the bot a new interaction of `user` in `channel`; `owners` says by whose installation it runs."""
        interaction = Interaction(
            self._world.snowflake(),
            type,
            secrets.token_urlsafe(48),
            user,
            channel,
            data,
            self._world.clock.now(),
            owners,
            self._recorder,
            source,
            target,
            trigger,
        )
        self._by_token[interaction.token] = interaction
        loop = asyncio.get_running_loop()
        self._timers[interaction.id] = loop.call_later(self._ack_deadline, self._note_late, interaction)
        home = channel.guild_id if self._world.bot_in(channel) else None
        payload = self._payload(interaction)
        if self.endpoint.url is None:
            self._publish("INTERACTION_CREATE", payload, guild_id=home)
        else:
            self.endpoint.send(payload, lambda body: self._respond(interaction, body))
        return interaction

    def _respond(self, interaction: Interaction, body: Json) -> None:
        self.acknowledge(interaction.id, interaction.token, body, ())

    def _note_late(self, interaction: Interaction) -> None:
        if not interaction.acked:
            detail = f"interaction of type {interaction.type} not acknowledged within {self._ack_deadline} s"
            self._recorder.violation("interaction", detail, interaction.data.get("name", ""))

    def stop(self) -> None:
        """Stop watching for late acknowledgements."""
        for timer in self._timers.values():
            timer.cancel()

    def _payload(self, interaction: Interaction) -> Json:
        world, channel, user = self._world, interaction.channel, interaction.user
        payload: Json = {
            "id": str(interaction.id),
            "application_id": str(world.app_id),
            "type": interaction.type,
            "token": interaction.token,
            "version": 1,
            "channel_id": str(channel.id),
            "channel": self._payloads.channel(channel),
            "app_permissions": permission_text(self._app_permissions(interaction)),
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": interaction.owners,
            "context": channel.context,
            "attachment_size_limit": limits.FILE_BYTES_MAX,
            "data": interaction.data,
        }
        if interaction.source is not None:
            payload["message"] = self._payloads.message(interaction.source)
        guild = world.guild_of(channel)
        if guild is None:
            return payload | {"user": self._payloads.user(user)}
        permissions = permission_text(world.permissions(user, channel))
        return payload | {
            "guild_id": str(guild.id),
            "guild": {"id": str(guild.id), "locale": "en-US", "features": []},
            "guild_locale": "en-US",
            "member": self._payloads.member(user, guild) | {"permissions": permissions},
        }

    def _app_permissions(self, interaction: Interaction) -> Permission:
        channel = interaction.channel
        if channel.guild_id is not None and self._world.bot_in(channel):
            return self._world.permissions(self._world.bot, channel)
        return PRIVATE

    def _hushed(self, interaction: Interaction) -> bool:
        """Whether only the asker sees replies, because they may not use their own applications in public here."""
        if interaction.owners.keys() != {"1"} or interaction.channel.guild_id is None:
            return False
        return not self._world.permissions(interaction.user, interaction.channel) & Permission.USE_EXTERNAL_APPS

    def acknowledge(self, interaction_id: int, token: str, body: Json, uploads: tuple[Upload, ...]) -> Interaction:
        """Take the callback; raises Discord's 10062 when late or unknown, 40060 when it is the second."""
        interaction = self._by_token.get(token)
        now = self._world.clock.now()
        if interaction is None or interaction.id != interaction_id:
            raise known(10062)
        if interaction.acked:
            raise known(40060)
        if now > interaction.created + self._ack_deadline:
            raise known(10062)
        callback = body["type"]
        fitting = set(_FITTING[interaction.type])
        if interaction.type == MODAL_SUBMIT and interaction.source is None:
            fitting -= {_DEFER_UPDATE, _UPDATE}
        if callback not in fitting:
            problem = FieldError(("type",), "BASE_TYPE_CHOICES", f"Value must be one of {sorted(fitting)}.")
            raise invalid_form([problem])
        self._carry_out(interaction, callback, body.get("data") or {}, uploads)
        interaction.callback = callback
        self._timers.pop(interaction.id).cancel()
        self._recorder.changed()
        return interaction

    def _carry_out(self, interaction: Interaction, callback: int, data: Json, uploads: tuple[Upload, ...]) -> None:
        sent = Submission(data, uploads, ("data",))
        if callback == _CHOICES:
            interaction.choices = [choice for choice in data.get("choices") or () if choice is not None]
        elif callback == _MODAL:
            if problems := list(modal_problems(data)):
                raise invalid_form(problems, ("data",))
            interaction.modal = data
        elif callback == _DEFER_UPDATE:
            interaction.response = interaction.source
        elif callback == _UPDATE:
            assert interaction.source is not None
            interaction.response = self._poster.edit(interaction.source, sent)
        else:
            ephemeral = bool(sent.flags & Flag.EPHEMERAL)
            content = sent if callback == _REPLY else None
            interaction.response = self._post(interaction, content, ephemeral=ephemeral, first=True)
            interaction.first_followup_is_response = callback == _DEFER

    def _post(self, interaction: Interaction, sent: Submission | None, *, ephemeral: bool, first: bool) -> Message:
        kind = MessageType.DEFAULT
        if first and interaction.type == COMMAND:
            chat = interaction.data.get("type", 1) == 1
            kind = MessageType.CHAT_INPUT_COMMAND if chat else MessageType.CONTEXT_MENU_COMMAND
        ephemeral |= self._hushed(interaction)
        return self._poster.answer(interaction.channel, sent, interaction.origin, ephemeral=ephemeral, type=kind)

    def result(self, interaction: Interaction) -> Json:
        """Write the reply to a callback that asked for one."""
        written: Json = {"interaction": {"id": str(interaction.id), "type": interaction.type}}
        message = interaction.response
        if message is not None:
            written["interaction"] |= {
                "response_message_id": str(message.id),
                "response_message_loading": message.loading,
                "response_message_ephemeral": message.ephemeral,
            }
            if interaction.callback in {_REPLY, _UPDATE}:
                written["resource"] = {"type": interaction.callback, "message": self._payloads.message(message)}
        return written

    def _answerable(self, webhook_id: int, token: str) -> Interaction:
        interaction = self._by_token.get(token)
        if interaction is None or webhook_id != self._world.app_id or not interaction.acked:
            raise known(10015)
        if self._world.clock.now() > interaction.created + self._token_ttl:
            raise known(50027)
        return interaction

    def find_reply(self, webhook_id: int, token: str, message_id: int | None) -> Message:
        """Find a reply of an interaction, None for the first; raises Discord's 10015, 50027 or 10008."""
        interaction = self._answerable(webhook_id, token)
        replies = [interaction.response] if message_id is None else [interaction.response, *interaction.followups]
        for message in replies:
            if message is not None and message_id in {None, message.id}:
                return message
        raise known(10008)

    def edit_reply(self, webhook_id: int, token: str, message_id: int | None, sent: Submission) -> Message:
        """Edit a reply; editing the first fills the "thinking" message."""
        message = self._poster.edit(self.find_reply(webhook_id, token, message_id), sent)
        self._by_token[token].first_followup_is_response = False
        self._recorder.changed()
        return message

    def delete_reply(self, webhook_id: int, token: str, message_id: int | None) -> None:
        """Delete a reply."""
        message = self.find_reply(webhook_id, token, message_id)
        self._poster.delete(message)
        interaction = self._by_token[token]
        if interaction.response is message:
            interaction.response = None
            interaction.first_followup_is_response = False
        else:
            interaction.followups.remove(message)

    def follow_up(self, webhook_id: int, token: str, sent: Submission) -> Message:
        """Post another reply; the first one after a deferral fills the "thinking" message instead."""
        interaction = self._answerable(webhook_id, token)
        if interaction.first_followup_is_response and interaction.response is not None:
            interaction.first_followup_is_response = False
            return self._poster.edit(interaction.response, sent)
        alone = interaction.owners.keys() == {"1"}
        if alone and len(interaction.followups) >= limits.USER_INSTALL_FOLLOWUPS:
            raise known(40094)
        ephemeral = bool(sent.flags & Flag.EPHEMERAL)
        message = self._post(interaction, sent, ephemeral=ephemeral, first=False)
        interaction.followups.append(message)
        self._recorder.changed()
        return message

    def may_use(self, user: User, channel: Channel) -> bool:
        """Whether Discord offers `user` commands in `channel`."""
        if channel.guild_id is None:
            return user in channel.recipients
        need = Permission.VIEW_CHANNEL | Permission.USE_APPLICATION_COMMANDS
        return not need & ~self._world.permissions(user, channel)
