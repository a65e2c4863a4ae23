"""views.*: modals and the App Home."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from . import limits
from .blocks import check_blocks, name_blocks, parse_blocks
from .inputs import State, initial_state
from .journal import JSON, ApiError, Malformed
from .web_api import Handler
from .workspace import APP, BOT, TEAM, Workspace, beside

VIEW_FIELDS = {
    "modal": {
        "type", "title", "blocks", "close", "submit", "private_metadata", "callback_id", "clear_on_close",
        "notify_on_close", "external_id", "submit_disabled",
    },
    "home": {"type", "blocks", "private_metadata", "callback_id", "external_id"},
}  # fmt: skip


@dataclass
class Trigger:
    """A trigger_id: good for one view, for as long as the acknowledgement may take."""

    user: str
    issued: float
    view_id: str | None = None
    used: bool = False


@dataclass
class View:
    """A modal or a person's App Home.

    Attributes:
        body: the view as the app last gave it, its blocks and elements named.
        state: what is filled in, as in `view.state.values`.
        errors: what the app's answer to the last submission says, by block_id.
        open: whether the modal is still on the person's screen, perhaps below another.
    """

    id: str
    user: str
    body: JSON
    hash: str
    root_id: str = ""
    previous_id: str | None = None
    state: State = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    open: bool = True

    def to_json(self) -> JSON:
        """The view as Slack hands it out."""
        defaults: JSON = {"private_metadata": "", "callback_id": "", "external_id": ""}
        if self.body["type"] == "modal":
            flags = {"clear_on_close": False, "notify_on_close": False}
            defaults |= flags | {"title": None, "submit": None, "close": None}
        team = beside(self.user, TEAM)
        ids: JSON = {"id": self.id, "team_id": team, "app_id": APP, "bot_id": beside(team, BOT), "hash": self.hash}
        stack: JSON = {"root_view_id": self.root_id or self.id, "previous_view_id": self.previous_id}
        owner = {"app_installed_team_id": team, "state": {"values": self.state}}
        return defaults | self.body | ids | stack | owner


class ViewMethods:
    """The views of one workspace and the trigger_ids that open them.

    Attributes:
        opened: every modal there ever was, oldest first.
        stacks: the modals on each person's screen, the topmost last.
        homes: each person's App Home.
    """

    def __init__(self, space: Workspace, trigger_life: float) -> None:
        self._space = space
        self._trigger_life = trigger_life
        self._triggers: dict[str, Trigger] = {}
        self.opened: list[View] = []
        self.stacks: dict[str, list[View]] = {}
        self.homes: dict[str, View] = {}

    def table(self) -> dict[str, Handler]:
        """Method names and what serves them."""
        return {
            "views.open": self.open,
            "views.push": self.push,
            "views.update": self.update,
            "views.publish": self.publish,
        }

    def issue_trigger(self, user: str, view_id: str | None = None) -> str:
        """A fresh trigger_id for something a person did, in a view or elsewhere."""
        trigger = f"{uuid.uuid4().int % 10**13}.{uuid.uuid4().int % 10**12}.{uuid.uuid4().hex}"
        self._triggers[trigger] = Trigger(user, self._space.clock(), view_id)
        return trigger

    def _trigger(self, args: JSON) -> Trigger:
        trigger = self._triggers.get(str(args["trigger_id"]))
        if trigger is None:
            raise ApiError("invalid_trigger_id")
        if trigger.used:
            raise ApiError("exchanged_trigger_id")
        if self._space.clock() - trigger.issued > self._trigger_life:
            raise ApiError("expired_trigger_id")
        return trigger

    def open(self, args: JSON) -> JSON:
        trigger = self._trigger(args)
        body = self._read(args["view"], "modal")
        trigger.used = True
        self.clear(trigger.user)
        return {"view": self._put_on_top(trigger.user, body).to_json()}

    def push(self, args: JSON) -> JSON:
        trigger = self._trigger(args)
        stack = self.stacks.get(trigger.user, [])
        if trigger.view_id not in {view.id for view in stack}:
            raise Malformed("invalid_trigger_id", "views.push needs a trigger_id from an open modal")
        body = self._read(args["view"], "modal")
        if len(stack) >= limits.VIEW_STACK:
            raise Malformed("push_limit_reached", f"{len(stack)} modals are open")
        trigger.used = True
        return {"view": self._put_on_top(trigger.user, body).to_json()}

    def _put_on_top(self, user: str, body: JSON) -> View:
        view = self._new(user, body)
        stack = self.stacks.setdefault(user, [])
        view.root_id = stack[0].id if stack else view.id
        view.previous_id = stack[-1].id if stack else None
        stack.append(view)
        self.opened.append(view)
        return view

    def _new(self, user: str, body: JSON) -> View:
        view = View(f"V{uuid.uuid4().hex[:10].upper()}", user, body, self._hash())
        view.state = initial_state(body["blocks"])
        return view

    def _hash(self) -> str:
        return f"{int(self._space.clock())}.{uuid.uuid4().hex[:8]}"

    def update(self, args: JSON) -> JSON:
        everything = [*self.opened, *self.homes.values()]
        wanted, external = args.get("view_id"), args.get("external_id")
        if wanted is None and external is None:
            raise Malformed("invalid_arguments", "missing required field: view_id or external_id")
        found = [
            view
            for view in everything
            if view.open and (view.id == wanted or (external and view.body.get("external_id") == external))
        ]
        if not found:
            raise ApiError("not_found")
        self._check_hash(found[0], args)
        return {"view": self.replace(found[0], args["view"]).to_json()}

    def publish(self, args: JSON) -> JSON:
        user = str(args["user_id"])
        if user not in self._space.users or user == self._space.bot_user:
            raise ApiError("user_not_found")
        if user in self.homes:
            self._check_hash(self.homes[user], args)
        view = self._new(user, self._read(args["view"], "home"))
        self.homes[user] = view
        return {"view": view.to_json()}

    @staticmethod
    def _check_hash(view: View, args: JSON) -> None:
        if args.get("hash") not in {None, view.hash}:
            raise ApiError("hash_conflict")

    def replace(self, view: View, value: Any) -> View:
        """Give a view another body; what was filled in stays where the ids are the same.

        Raises:
            Malformed: Slack would refuse the body.
        """
        view.body = self._read(value, view.body["type"])
        view.state, view.hash = initial_state(view.body["blocks"], view.state), self._hash()
        view.errors = {}
        return view

    # What happens on the person's screen.

    def close(self, view: View) -> None:
        """Take a modal and those above it off the screen."""
        stack = self.stacks.get(view.user, [])
        while view.open:
            stack.pop().open = False

    def clear(self, user: str) -> None:
        """Take every modal off a person's screen."""
        for view in self.stacks.pop(user, []):
            view.open = False

    def answer(self, view: View, response: JSON | None) -> None:
        """Do what the acknowledgement of a submission says."""
        action = (response or {}).get("response_action")
        try:
            if not response:
                self.close(view)
            elif action == "errors":
                self._show_errors(view, response)
            elif action == "clear":
                self.clear(view.user)
            elif action == "update":
                self.replace(view, response.get("view"))
            elif action == "push":
                body = self._read(response.get("view"), "modal")
                if len(self.stacks[view.user]) >= limits.VIEW_STACK:
                    raise Malformed("push_limit_reached", "response_action push")
                self._put_on_top(view.user, body)
            else:
                raise Malformed("bad_response_action", str(response)[:200])
        except Malformed as error:
            self._space.journal.violation(error.error, f"answer to a submission: {'; '.join(error.details)}")

    @staticmethod
    def _show_errors(view: View, response: JSON) -> None:
        errors = response.get("errors")
        inputs = {block["block_id"] for block in view.body["blocks"] if block["type"] == "input"}
        if not isinstance(errors, dict) or not errors or set(errors) - inputs:
            raise Malformed("bad_view_errors", f"errors {errors} must speak of the inputs {sorted(inputs)}")
        view.errors = {block_id: str(text) for block_id, text in errors.items()}

    # What a view may be.

    def _read(self, value: Any, kind: str) -> JSON:
        """A view as the app gives it, checked, with every block and element named."""
        try:
            view = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            view = None
        if not isinstance(view, dict):
            raise Malformed("invalid_arguments", "view is no JSON object")
        if len(json.dumps(view).encode()) > limits.VIEW_BYTES:
            raise Malformed("view_too_large", "view of more than 250 kB")
        problems = [] if view.get("type") == kind else [f"type must be {kind}"]
        problems += [f"unexpected field: {name}" for name in sorted(set(view) - VIEW_FIELDS[kind])]
        problems += self._problems(view, kind)
        if problems:
            raise Malformed("invalid_arguments", *problems)
        blocks = parse_blocks(view.get("blocks", []))
        check_blocks(blocks, self._space.usable_image, limits.VIEW_BLOCKS, message=False)
        if kind == "modal" and "submit" not in view and any(block["type"] == "input" for block in blocks):
            raise Malformed("invalid_arguments", "missing required field: submit")
        return {**view, "blocks": name_blocks(blocks)}

    @staticmethod
    def _problems(view: JSON, kind: str) -> list[str]:
        problems = ["missing required field: title"] if kind == "modal" and "title" not in view else []
        for name in {"title", "submit", "close"} & set(view):
            label = view[name] if isinstance(view[name], dict) else {}
            if label.get("type") != "plain_text" or not 0 < len(label.get("text", "")) <= limits.VIEW_TITLE:
                problems.append(f"{name} must be plain text of at most {limits.VIEW_TITLE} characters")
        for name, most in (
            ("private_metadata", limits.VIEW_PRIVATE_METADATA),
            ("callback_id", limits.VIEW_CALLBACK_ID),
            ("external_id", limits.VIEW_CALLBACK_ID),
        ):
            if len(view.get(name) or "") > most:
                problems.append(f"{name} of more than {most} characters")
        return problems
