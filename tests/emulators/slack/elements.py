"""Block Kit elements: what people click on, choose from and fill in, and how large it may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import limits
from .journal import JSON

TEXT_FIELDS = {"mrkdwn": {"type", "text", "verbatim"}, "plain_text": {"type", "text", "emoji"}}
COMMON = {"type", "action_id", "confirm", "placeholder", "focus_on_load"}
CHOICE = COMMON | {"options", "option_groups"}

# Fields of each element; Slack refuses any other.
ELEMENT_FIELDS: dict[str, set[str]] = {
    "button": {"type", "text", "action_id", "value", "url", "style", "confirm", "accessibility_label"},
    "checkboxes": COMMON - {"placeholder"} | {"options", "initial_options"},
    "conversations_select": COMMON | {"initial_conversation", "default_to_current_conversation", "filter"},
    "feedback_buttons": {"type", "action_id", "positive_button", "negative_button"},
    "icon_button": {
        "type", "action_id", "icon", "text", "accessibility_label", "value", "visible_to_user_ids", "confirm",
    },
    "image": {"type", "alt_text", "image_url", "slack_file"},
    "multi_static_select": CHOICE | {"initial_options", "max_selected_items"},
    "number_input": COMMON - {"confirm"}
    | {"is_decimal_allowed", "initial_value", "min_value", "max_value", "dispatch_action_config"},
    "overflow": {"type", "action_id", "options", "confirm"},
    "plain_text_input": COMMON - {"confirm"}
    | {"initial_value", "multiline", "min_length", "max_length", "dispatch_action_config"},
    "radio_buttons": COMMON - {"placeholder"} | {"options", "initial_option"},
    "static_select": CHOICE | {"initial_option"},
    "users_select": COMMON | {"initial_user"},
}  # fmt: skip

MENUS = {"static_select", "users_select", "conversations_select"}
FEW = {"checkboxes", "radio_buttons"}
ACCESSORIES = {"button", "image", "overflow", "multi_static_select", *MENUS, *FEW}
ACTIONS = {"button", "overflow", *MENUS, *FEW}
INPUTS = {"plain_text_input", "number_input", "multi_static_select", *MENUS, *FEW}
CONTEXT_ACTIONS = {"feedback_buttons", "icon_button"}


def options_of(element: JSON) -> list[JSON]:
    """Every option of a menu, those of its groups included."""
    grouped = [option for group in element.get("option_groups") or [] for option in group["options"]]
    return [*(element.get("options") or []), *grouped]


class ElementChecker:
    """Collects every problem of some elements."""

    def __init__(self, usable_image: Callable[[str], bool]) -> None:
        self.problems: list[str] = []
        self.focused = 0
        self._usable_image = usable_image

    def problem(self, message: str, pointer: str) -> None:
        self.problems.append(f"{message} [json-pointer:{pointer}]")

    def only(self, holder: JSON, allowed: set[str], at: str) -> None:
        """No other fields than these."""
        for name in sorted(set(holder) - allowed):
            self.problem(f"unexpected field: {name}", at)

    def string(self, holder: JSON, name: str, most: int, at: str, *, optional: bool = False) -> None:
        value = holder.get(name)
        if value is None and optional:
            return
        if not isinstance(value, str) or not value:
            self.problem(f"missing required field: {name}", at)
        elif len(value) > most:
            self.problem(f"must be less than {most + 1} characters", f"{at}/{name}")

    def items(self, holder: JSON, name: str, most: int, at: str) -> list[tuple[JSON, str]]:
        """The objects of a list field with their pointers; too many or none is a problem."""
        value = holder.get(name)
        if not isinstance(value, list) or not value:
            self.problem(f"must provide {name}", at)
            return []
        if len(value) > most:
            self.problem(f"no more than {most} items allowed", f"{at}/{name}")
        return [(item, f"{at}/{name}/{i}") for i, item in enumerate(value) if self.is_object(item, at)]

    def is_object(self, item: object, at: str) -> bool:
        if not isinstance(item, dict):
            self.problem("must be an object", at)
        return isinstance(item, dict)

    def text(self, value: Any, most: int, at: str, *, plain: bool = False) -> None:
        allowed = {"plain_text"} if plain else {"plain_text", "mrkdwn"}
        if not isinstance(value, dict) or value.get("type") not in allowed:
            self.problem(f"must be a text object of type {' or '.join(sorted(allowed))}", at)
            return
        self.only(value, TEXT_FIELDS[value["type"]], at)
        self.string(value, "text", most, at)

    def element(self, element: JSON, at: str, allowed: set[str]) -> None:
        """One element in a place where only some kinds may be."""
        kind = element.get("type")
        if not isinstance(kind, str) or kind not in allowed:
            self.problem(f"unsupported type: {kind}", at)
            return
        self.only(element, ELEMENT_FIELDS[kind], at)
        if kind == "image":
            self.image(element, at)
            return
        self.string(element, "action_id", limits.ACTION_ID, at, optional=True)
        if "placeholder" in element:
            self.text(element["placeholder"], limits.PLACEHOLDER, f"{at}/placeholder", plain=True)
        if "confirm" in element and self.is_object(element["confirm"], f"{at}/confirm"):
            self._confirm(element["confirm"], f"{at}/confirm")
        self.focused += bool(element.get("focus_on_load"))
        special = {
            "button": self._button,
            "feedback_buttons": self._feedback,
            "icon_button": self._icon,
            "number_input": self._number,
            "plain_text_input": self._plain_input,
        }
        if kind in special:
            special[kind](element, at)
        elif "options" in ELEMENT_FIELDS[kind]:
            self._choice(kind, element, at)

    def _confirm(self, confirm: JSON, at: str) -> None:
        self.only(confirm, {"title", "text", "confirm", "deny", "style"}, at)
        self.text(confirm.get("title"), limits.CONFIRM_TITLE, f"{at}/title", plain=True)
        self.text(confirm.get("text"), limits.CONFIRM_TEXT, f"{at}/text")
        for name in ("confirm", "deny"):
            self.text(confirm.get(name), limits.CONFIRM_BUTTON, f"{at}/{name}", plain=True)
        self._style(confirm, at)

    def _style(self, holder: JSON, at: str) -> None:
        if holder.get("style") not in {None, "primary", "danger"}:
            self.problem("style must be primary or danger", at)

    def _button(self, button: JSON, at: str) -> None:
        self.text(button.get("text"), limits.BUTTON_TEXT, f"{at}/text", plain=True)
        self.string(button, "value", limits.BUTTON_VALUE, at, optional=True)
        self.string(button, "url", limits.URL, at, optional=True)
        self.string(button, "accessibility_label", limits.BUTTON_LABEL, at, optional=True)
        self._style(button, at)

    def _feedback(self, element: JSON, at: str) -> None:
        for name in ("positive_button", "negative_button"):
            if self.is_object(element.get(name), f"{at}/{name}"):
                button = element[name]
                self.only(button, {"text", "value", "accessibility_label"}, f"{at}/{name}")
                self.string(button, "value", limits.BUTTON_VALUE, f"{at}/{name}")
                self.text(button.get("text"), limits.FEEDBACK_TEXT, f"{at}/{name}/text", plain=True)
                self.string(button, "accessibility_label", limits.BUTTON_LABEL, f"{at}/{name}", optional=True)

    def _icon(self, element: JSON, at: str) -> None:
        if element.get("icon") != "trash":
            self.problem("icon must be trash", at)
        self.text(element.get("text"), limits.BUTTON_TEXT, f"{at}/text", plain=True)
        self.string(element, "value", limits.BUTTON_VALUE, at, optional=True)
        self.string(element, "accessibility_label", limits.BUTTON_LABEL, at, optional=True)
        if len(element.get("visible_to_user_ids") or []) > limits.ICON_VIEWERS:
            self.problem(f"no more than {limits.ICON_VIEWERS} items allowed", f"{at}/visible_to_user_ids")

    def _choice(self, kind: str, element: JSON, at: str) -> None:
        most = {"overflow": limits.OVERFLOW_OPTIONS}.get(kind, limits.FEW_OPTIONS if kind in FEW else limits.OPTIONS)
        if "option_groups" in element:
            if "options" in element:
                self.problem("must provide exactly one of options and option_groups", at)
            for group, where in self.items(element, "option_groups", limits.OPTIONS, at):
                self.text(group.get("label"), limits.OPTION_TEXT, f"{where}/label", plain=True)
                self._options(kind, group, limits.OPTIONS, where)
        else:
            self._options(kind, element, most, at)
        if self.problems:
            return
        chosen = [element["initial_option"]] if "initial_option" in element else element.get("initial_options", [])
        if any(option not in options_of(element) for option in chosen):
            self.problem("initial option is not one of the options", at)

    def _options(self, kind: str, holder: JSON, most: int, at: str) -> None:
        values = []
        for option, where in self.items(holder, "options", most, at):
            self.only(option, {"text", "value", "description"} | ({"url"} if kind == "overflow" else set()), where)
            self.text(option.get("text"), limits.OPTION_TEXT, f"{where}/text", plain=kind not in FEW)
            self.string(option, "value", limits.OPTION_VALUE, where)
            if "description" in option:
                self.text(option["description"], limits.OPTION_TEXT, f"{where}/description", plain=kind not in FEW)
            values.append(str(option.get("value")))
        if len(values) != len(set(values)):
            self.problem("option values are not unique", at)

    def _plain_input(self, element: JSON, at: str) -> None:
        least, most = element.get("min_length", 0), element.get("max_length", limits.INPUT_LENGTH)
        if not 0 <= least <= most <= limits.INPUT_LENGTH or most < 1:
            self.problem(f"min_length and max_length must be in order and at most {limits.INPUT_LENGTH}", at)
        elif len(str(element.get("initial_value") or "")) > most:
            self.problem(f"must be less than {most + 1} characters", f"{at}/initial_value")

    def _number(self, element: JSON, at: str) -> None:
        if not isinstance(element.get("is_decimal_allowed"), bool):
            self.problem("missing required field: is_decimal_allowed", at)
        for name in ("initial_value", "min_value", "max_value"):
            if name in element and not is_number(element[name], bool(element.get("is_decimal_allowed"))):
                self.problem("must be a number written as text", f"{at}/{name}")
                return
        if (
            "min_value" in element
            and "max_value" in element
            and float(element["min_value"]) > float(element["max_value"])
        ):
            self.problem("min_value must not be above max_value", at)

    def image(self, image: JSON, at: str) -> None:
        self.string(image, "alt_text", limits.IMAGE_ALT, at)
        if ("image_url" in image) == ("slack_file" in image):
            self.problem("must provide exactly one of image_url and slack_file", at)
        self.string(image, "image_url", limits.URL, at, optional=True)
        if "title" in image:
            self.text(image["title"], limits.IMAGE_TITLE, f"{at}/title", plain=True)
        file = image.get("slack_file")
        if file is not None and not (isinstance(file, dict) and self._usable_image(str(file.get("id")))):
            self.problem("invalid slack file", f"{at}/slack_file")


def is_number(value: object, decimal: bool) -> bool:
    """Whether Slack's client takes a text as a number."""
    try:
        return isinstance(value, str) and (float(value) == float(value) if decimal else str(int(value)) != "")
    except ValueError:
        return False
