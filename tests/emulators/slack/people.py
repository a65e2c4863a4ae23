"""What people and Slack do in an emulated workspace: talk, click, fill in, look, invite."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from . import payloads
from .delivery import COMMANDS, EVENTS, INTERACTIVE, Dispatcher
from .files import FileMethods
from .inputs import CHOICES, State, check_inputs, fill, initial_state
from .journal import JSON, Delivery, Journal
from .response_urls import ResponseUrls
from .views import View, ViewMethods
from .workspace import ALICE, APP, BOT_USER, Channel, Ephemeral, Message, Workspace

PersonFile = tuple[str, bytes] | tuple[str, bytes, str]
"""Name, bytes and, where the name and the bytes do not tell, the mimetype."""


class People:
    """The injectors of the emulator.

    Those that deliver an event return at once, and `settled` waits for it. Those that deliver a command or an
    interaction return when it was acknowledged or lost, and show what the acknowledgement carried.
    """

    channel, private_channel, dm = "C0GENERAL1", "C0PRIVATE1", "D0ALICE001"

    def __init__(
        self,
        journal: Journal,
        workspace: Workspace,
        dispatcher: Dispatcher,
        files: FileMethods,
        responses: ResponseUrls,
        views: ViewMethods,
    ) -> None:
        self.journal = journal
        self.workspace = workspace
        self._dispatcher = dispatcher
        self._files = files
        self._responses = responses
        self._views = views
        # What each person chose in a message, by (channel, ts, user).
        self._choices: dict[tuple[str, str, str], State] = {}
        own = workspace.own
        self.channel, self.private_channel, self.dm = own(self.channel), own(self.private_channel), own(self.dm)

    # Events.

    async def say(
        self,
        text: str,
        *,
        channel: str | None = None,
        user: str = ALICE,
        thread_ts: str | None = None,
        mention: bool = False,
        repeat: int = 1,
        channel_type: str = "channel",
        files: Sequence[PersonFile] = (),
    ) -> str:
        """A person says something; returns the message's ts at once, events are delivered meanwhile.

        A mention in a channel yields a message event and an app_mention event. Nothing is delivered from a
        channel the bot is not in.

        Args:
            mention: put a mention of the bot in front.
            repeat: deliver each event so many times under one event_id.
            channel_type: channel, group or im: picks the channel where none is named.
            files: what the person attaches; the message then has the subtype file_share.
        """
        user = self.workspace.own(user)
        defaults = {"channel": self.channel, "group": self.private_channel, "im": self.dm}
        place = self.workspace.channels[channel or defaults[channel_type]]
        if thread_ts and (place.id, thread_ts) not in self.workspace.messages:
            raise LookupError(f"no message {thread_ts} to reply to")
        address = f"<@{self.workspace.bot_user}>"
        said = f"{address} {text}" if mention and address not in text else text
        message = Message(place.id, self.workspace.next_ts(), user, said, thread_ts=thread_ts)
        for name, content, *kind in files:
            file = self._files.shared_by(user, name, content, kind[0] if kind else "")
            file.shares[place.id] = message.ts
            message.files.append(file)
        self.workspace.store(message)
        if self.workspace.bot_user not in place.members:
            return message.ts
        event = self.workspace.message_event(message) | {"client_msg_id": str(uuid.uuid4())}
        scopes = self.workspace.scopes
        if f"{place.scope_family}:history" in scopes:
            shared = {"subtype": "file_share", "upload": False} if files else {}
            await self.event(event | shared, repeat=repeat)
        if address in said and place.type != "im" and "app_mentions:read" in scopes:
            mentioned = {name: value for name, value in event.items() if name != "channel_type"}
            await self.event(mentioned | {"type": "app_mention"}, repeat=repeat)
        return message.ts

    async def event(self, event: JSON, *, repeat: int = 1) -> str:
        """Deliver any event, given its inner object; returns its event_id at once."""
        payload = self._envelop(event)
        for _ in range(repeat):
            self._dispatcher.start(EVENTS, payload)
        return str(payload["event_id"])

    def _envelop(self, event: JSON) -> JSON:
        team, organisation = self.workspace.team, self.workspace.enterprise
        bot = {"enterprise_id": organisation, "team_id": team, "user_id": self.workspace.bot_user, "is_bot": True}
        return {
            "token": "verification",
            "team_id": team,
            "api_app_id": APP,
            "type": "event_callback",
            "event_id": f"Ev{uuid.uuid4().hex[:10].upper()}",
            "event_time": int(self.journal.clock()),
            "event_context": f"4-{uuid.uuid4().hex}",
            "is_ext_shared_channel": False,
            "context_team_id": team,
            "context_enterprise_id": organisation,
            "authorizations": [bot | {"is_enterprise_install": self.workspace.org_wide}],
            "event": event,
        }

    def _echo(self, event: JSON) -> None:
        """Tell the app of a message of its own."""
        channel = self.workspace.channels[event["channel"]]
        heard = (
            f"{channel.scope_family}:history" in self.workspace.scopes and self.workspace.bot_user in channel.members
        )
        if heard and self._dispatcher.transport.reachable():
            self._dispatcher.start(EVENTS, self._envelop(event))

    async def stop_stream(self, channel: str, ts: str, *, user: str = ALICE) -> str:
        """A person presses stop on a streamed message; see `stop_session`.

        Raises:
            LookupError: nothing is being streamed there.
        """
        message = self.workspace.messages[channel, ts]
        if not self.workspace.live(message):
            raise LookupError(f"{ts} is not being streamed")
        return await self.stop_session(channel, message.thread_ts or ts, user=user)

    async def stop_session(self, channel: str, thread_ts: str, *, user: str = ALICE) -> str:
        """A person presses stop in the agent view: every stream of the thread ends, later appends are refused as
        stopped_by_user, and the app gets agent_session_stopped; returns the event_id at once.

        Raises:
            LookupError: the thread is at rest, so there is no such button.
        """
        streams = [message for message in self.workspace.thread(channel, thread_ts) if self.workspace.live(message)]
        if not streams and self.workspace.status((channel, thread_ts)) != "processing":
            raise LookupError(f"nothing is under way in {thread_ts}")
        for message in streams:
            message.streaming, message.stopped_by_user = False, True
        where = {"channel": channel, "thread_ts": thread_ts, "user": self.workspace.own(user)}
        stopped = {"streaming_message_ts": [message.ts for message in streams]}
        return await self.event(
            {"type": "agent_session_stopped", "event_ts": self.workspace.next_ts(), **where, **stopped}
        )

    async def open_home(self, user: str = ALICE, *, tab: str = "home") -> str:
        """A person opens the app, on its home or its messages tab; returns the event_id at once."""
        if tab not in {"home", "messages"}:
            raise ValueError(f"no tab {tab}")
        user = self.workspace.own(user)
        channel, _ = self.workspace.open_dm(user)
        event: JSON = {"type": "app_home_opened", "user": user, "channel": channel.id, "tab": tab}
        home = self._views.homes.get(user)
        if tab == "home" and home is not None:
            event["view"] = home.to_json()
        return await self.event(event | {"event_ts": self.workspace.next_ts()})

    async def join(self, channel: str, *, user: str = BOT_USER, inviter: str | None = ALICE) -> str | None:
        """Somebody, by default the bot, is invited to a channel or joins it by themselves (`inviter` None).

        Returns the event_id at once, or None where the app does not hear of it.
        """
        user = self.workspace.own(user)
        inviter = self.workspace.own(inviter) if inviter else None
        place = self.workspace.channels[channel]
        place.members.add(user)
        if self.workspace.bot_user not in place.members or f"{place.scope_family}:read" not in self.workspace.scopes:
            return None
        event: JSON = {
            "type": "member_joined_channel",
            "user": user,
            "channel": place.id,
            "channel_type": "C" if place.type == "channel" else "G",
            "team": self.workspace.team,
            "event_ts": self.workspace.next_ts(),
        }
        return await self.event(event | ({"inviter": inviter} if inviter else {}))

    # Commands and shortcuts.

    async def command(self, line: str, *, channel: str | None = None, user: str = ALICE) -> Delivery:
        """A person runs a slash command, as typed; returns when it was acknowledged or lost."""
        user = self.workspace.own(user)
        place = self.workspace.channels[channel or self.channel]
        name, _, text = line.partition(" ")
        response_url = self._responses.issue(place.id, user)
        payload = {
            "token": "verification",
            "team_id": self.workspace.team,
            "team_domain": self.workspace.name.lower(),
            "channel_id": place.id,
            "channel_name": place.name or "directmessage",
            "user_id": user,
            "user_name": self.workspace.users[user].name,
            "command": name,
            "text": text,
            "response_url": response_url,
            "trigger_id": self._views.issue_trigger(user),
            "api_app_id": APP,
            "is_enterprise_install": str(self.workspace.org_wide).lower(),
        }
        if self.workspace.enterprise:
            payload |= {"enterprise_id": self.workspace.enterprise, "enterprise_name": self.workspace.enterprise}
        delivery = await self._dispatcher.start(COMMANDS, payload)
        if delivery.response:
            self._responses.acknowledge(response_url, delivery.response)
        return delivery

    async def shortcut(self, callback_id: str, *, user: str = ALICE) -> Delivery:
        """A person runs a global shortcut."""
        return await self._interact("shortcut", user, {"callback_id": callback_id})

    async def message_shortcut(self, callback_id: str, channel: str, ts: str, *, user: str = ALICE) -> Delivery:
        """A person runs a shortcut on a message.

        Raises:
            KeyError: there is no such message.
        """
        user = self.workspace.own(user)
        message, place = self.workspace.messages[channel, ts], self.workspace.channels[channel]
        body: JSON = {
            "callback_id": callback_id,
            "channel": payloads.place_of(place),
            "message_ts": ts,
            "message": message.to_json(self.workspace.channels),
            "response_url": self._responses.issue(channel, user),
        }
        return await self._interact("message_action", user, body)

    async def _interact(self, kind: str, user: str, body: JSON, view: View | None = None) -> Delivery:
        user = self.workspace.own(user)
        trigger = self._views.issue_trigger(user, view.id if view else None)
        extra = {"trigger_id": trigger, "action_ts": self.workspace.next_ts()}
        return await self.interact(payloads.common(kind, self.workspace.users[user]) | body | extra)

    async def interact(self, payload: JSON) -> Delivery:
        """Deliver any interaction payload; returns when it was acknowledged or lost."""
        organisation = self.workspace.enterprise
        if organisation:
            payload = payload | {"enterprise": {"id": organisation, "name": organisation}}
        payload = payload | {"is_enterprise_install": self.workspace.org_wide}
        delivery = await self._dispatcher.start(INTERACTIVE, payload)
        if delivery.response and payload["type"] != "view_submission":
            self.journal.violation("unexpected_payload", f"ack of {payload['type']}: {str(delivery.response)[:200]}")
        return delivery

    # Clicks.

    async def click(
        self, channel: str, ts: str, action_id: str, *, user: str = ALICE, value: str | list[str] | None = None
    ) -> Delivery:
        """A person clicks on an element of a message, or chooses in it, and confirms where asked to.

        Args:
            value: which option of a menu (several of one that takes several), which feedback button, or what is
                written into an input that tells at once; of a button it may be left out.

        Raises:
            LookupError: the message, the element or the value is not there for that person.
        """
        user = self.workspace.own(user)
        message, place = self._shown(channel, ts, user), self.workspace.channels[channel]
        streamed = message.stream.blocks if isinstance(message, Message) and message.stream else []
        blocks = [*streamed, *message.blocks]
        action = payloads.find_action(blocks, action_id, value, user, self.workspace.next_ts())
        key = (channel, ts, user)
        self._choices[key] = state = initial_state(blocks, self._choices.get(key))
        if action["type"] in CHOICES:
            name, _ = CHOICES[action["type"]]
            state[action["block_id"]][action_id] = {"type": action["type"], name: action[name]}
        person = self.workspace.users[user]
        body = message.to_json(self.workspace.channels) if isinstance(message, Message) else {}
        payload = payloads.message_click(person, place, message, body, state, action)
        given = {
            "trigger_id": self._views.issue_trigger(user),
            "response_url": self._responses.issue(channel, user, ts),
        }
        return await self.interact(payload | given)

    def _shown(self, channel: str, ts: str, user: str) -> Message | Ephemeral:
        """The message, if that person sees it."""
        message = self.workspace.messages.get((channel, ts))
        if message is not None:
            self._check_member(self.workspace.channels[channel], user)
            return message
        for shown in self.workspace.ephemerals:
            if (shown.channel, shown.ts, shown.user) == (channel, ts, user):
                return shown
        raise LookupError(f"{user} sees no message {ts} in {channel}")

    @staticmethod
    def _check_member(place: Channel, user: str) -> None:
        if place.type != "channel" and user not in place.members:
            raise LookupError(f"{user} is not in {place.id}")

    async def click_view(
        self, view: View, action_id: str, *, user: str | None = None, value: str | list[str] | None = None
    ) -> Delivery:
        """A person clicks or chooses in a modal or in the App Home.

        Raises:
            LookupError: the view is not on that person's screen, or shows no such element or value.
        """
        self._check_on_screen(view, user)
        action = payloads.find_action(view.body["blocks"], action_id, value, view.user, self.workspace.next_ts())
        if action["type"] in CHOICES:
            view.state = fill(view.body["blocks"], view.state, {action_id: value})
        payload = payloads.view_click(self.workspace.users[view.user], view, action)
        return await self.interact(payload | {"trigger_id": self._views.issue_trigger(view.user, view.id)})

    # Modals.

    async def submit_view(
        self, view: View, values: Mapping[str, Any] | None = None, *, user: str | None = None
    ) -> Delivery:
        """A person fills in the topmost modal and submits it; then the modal does what the app answered.

        Errors that the app answers with stand in `view.errors`; a modal nobody acknowledged stays open.

        Args:
            values: by block_id or action_id: text, or the `value` of an option, or a list of those.

        Raises:
            LookupError: the modal is not the topmost one of that person, or a value cannot be given.
            RefusedByClient: Slack's client would not send it, as a required input is empty or out of bounds.
        """
        self._check_on_screen(view, user)
        if self._views.stacks.get(view.user, [])[-1:] != [view] or "submit" not in view.body:
            raise LookupError(f"{view.id} is not the modal to submit")
        blocks = view.body["blocks"]
        view.state = fill(blocks, view.state, values or {})
        check_inputs(blocks, view.state)
        delivery = await self._interact(
            "view_submission", view.user, {"view": view.to_json(), "response_urls": []}, view
        )
        if delivery.acked:
            self._views.answer(view, delivery.response)
        return delivery

    async def close_view(self, view: View, *, user: str | None = None, everything: bool = False) -> list[Delivery]:
        """A person closes a modal, or with `everything` the whole stack; view_closed goes out where asked for.

        Raises:
            LookupError: the modal is not on that person's screen.
        """
        self._check_on_screen(view, user)
        everything = everything or bool(view.body.get("clear_on_close"))
        leaving = list(self._views.stacks[view.user]) if everything else [view]
        self._views.close(leaving[0])
        told = [gone for gone in reversed(leaving) if gone.body.get("notify_on_close")]
        return [
            await self.interact(
                payloads.common("view_closed", self.workspace.users[gone.user])
                | {"view": gone.to_json(), "is_cleared": everything}
            )
            for gone in told
        ]

    def _check_on_screen(self, view: View, user: str | None) -> None:
        shown = [*self._views.stacks.get(view.user, []), *self._views.homes.values()]
        if not any(view is one for one in shown) or user not in (None, view.user):
            raise LookupError(f"{view.id} is not on the screen of {user or view.user}")
