"""Finding what a person clicks on, and the block_actions payload of the click."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .journal import JSON
from .workspace import APP, TEAM, Channel, Ephemeral, Message, User


def _elements(blocks: list[JSON]) -> Iterator[tuple[str, JSON]]:
    for block in blocks:
        for element in [*(block.get("elements") or []), block.get("accessory") or {}]:
            yield str(block.get("block_id", "")), element


def find_action(blocks: list[JSON], action_id: str, value: str | None, ts: str) -> JSON:
    """The `actions` entry of a click.

    Raises:
        LookupError: nobody could click that, as no such element or value is shown.
    """
    for block_id, element in _elements(blocks):
        if element.get("action_id") != action_id:
            continue
        action = {"action_id": action_id, "block_id": block_id, "type": element["type"], "action_ts": ts}
        if element["type"] == "feedback_buttons":
            choices = [element["positive_button"], element["negative_button"]]
            chosen = next((choice for choice in choices if choice.get("value") == value), None)
            if chosen:
                return action | {"value": value, "text": chosen["text"]}
        elif "options" in element:
            chosen = next((option for option in element["options"] if option["value"] == value), None)
            if chosen:
                return action | {"selected_option": chosen}
        else:
            shown = {name: element[name] for name in ("text", "value") if name in element}
            return action | shown
    raise LookupError(f"no element {action_id!r} with value {value!r} is shown in message {ts}")


@dataclass(frozen=True)
class Click:
    """Who clicked on which message, with what Slack hands out for it."""

    user: User
    channel: Channel
    message: Message | Ephemeral
    body: JSON
    trigger_id: str
    response_url: str

    def payload(self, action: JSON) -> JSON:
        """The block_actions payload."""
        ephemeral = isinstance(self.message, Ephemeral)
        container: JSON = {
            "type": "message",
            "message_ts": self.message.ts,
            "channel_id": self.channel.id,
            "is_ephemeral": ephemeral,
        }
        if self.message.thread_ts:
            container["thread_ts"] = self.message.thread_ts
        user = {"id": self.user.id, "username": self.user.name, "name": self.user.name, "team_id": TEAM}
        payload: JSON = {
            "type": "block_actions",
            "team": {"id": TEAM, "domain": "acme"},
            "user": user,
            "api_app_id": APP,
            "token": "verification",
            "container": container,
            "trigger_id": self.trigger_id,
            "channel": {"id": self.channel.id, "name": self.channel.name or "directmessage"},
            "state": {"values": {}},
            "response_url": self.response_url,
            "actions": [action],
        }
        return payload if ephemeral else payload | {"message": self.body}
