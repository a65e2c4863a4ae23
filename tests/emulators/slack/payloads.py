"""The payloads of interactions: clicks, submissions, closings and shortcuts."""

from __future__ import annotations

import copy

from .elements import options_of
from .inputs import CHOICES, State, chosen, elements_of
from .journal import JSON
from .views import View
from .workspace import APP, TEAM, Channel, Ephemeral, Message, User, beside


def common(kind: str, user: User) -> JSON:
    """What every interaction says."""
    team = beside(user.id, TEAM)
    person = {"id": user.id, "username": user.name, "name": user.name, "team_id": team}
    return {
        "type": kind,
        "team": {"id": team, "domain": "acme"},
        "user": person,
        "api_app_id": APP,
        "token": "verification",
        "enterprise": None,
        "is_enterprise_install": False,
    }


def place_of(channel: Channel) -> JSON:
    """A channel as interactions name it."""
    return {"id": channel.id, "name": channel.name or "directmessage"}


def find_action(blocks: list[JSON], action_id: str, value: str | list[str] | None, user: str, ts: str) -> JSON:
    """The `actions` entry of a click.

    Raises:
        LookupError: nobody could click that, as no such element or value is shown.
    """
    for block, element in elements_of(blocks):
        if element.get("action_id") != action_id:
            continue
        if block["type"] == "input" and not block.get("dispatch_action"):
            raise LookupError(f"{action_id!r} is an input that tells nothing before the submission")
        if user not in element.get("visible_to_user_ids", [user]):
            raise LookupError(f"{action_id!r} is not shown to {user}")
        action = {"action_id": action_id, "block_id": block["block_id"], "type": element["type"], "action_ts": ts}
        return action | copy.deepcopy(_said(element, value))
    raise LookupError(f"no element {action_id!r} is shown in {ts}")


def _said(element: JSON, value: str | list[str] | None) -> JSON:
    """What a click on an element says; `value` picks among what it offers."""
    kind = element["type"]
    if kind in CHOICES:
        return chosen(element, value)
    if kind == "feedback_buttons":
        choices = [element["positive_button"], element["negative_button"]]
        said = next(({"value": value, "text": one["text"]} for one in choices if one["value"] == value), None)
    elif kind == "overflow":
        said = next(({"selected_option": one} for one in options_of(element) if one["value"] == value), None)
    else:
        said = {name: element[name] for name in ("text", "value") if name in element}
        if value is not None and value != element.get("value"):
            said = None
    if said is None:
        raise LookupError(f"{element['action_id']!r} has no value {value!r}")
    return said


def message_click(
    user: User, channel: Channel, message: Message | Ephemeral, body: JSON, state: State, action: JSON
) -> JSON:
    """block_actions of a message; trigger_id and response_url are still to be added."""
    ephemeral = isinstance(message, Ephemeral)
    container: JSON = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": channel.id,
        "is_ephemeral": ephemeral,
    }
    if message.thread_ts:
        container["thread_ts"] = message.thread_ts
    payload = common("block_actions", user) | {
        "container": container,
        "channel": place_of(channel),
        "state": {"values": state},
        "actions": [action],
    }
    return payload if ephemeral else payload | {"message": body}


def view_click(user: User, view: View, action: JSON) -> JSON:
    """block_actions of a modal or an App Home; trigger_id is still to be added."""
    container = {"type": "view", "view_id": view.id}
    return common("block_actions", user) | {"container": container, "view": view.to_json(), "actions": [action]}
