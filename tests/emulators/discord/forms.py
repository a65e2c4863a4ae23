"""Menus and modals: what Discord refuses in them, and what a person can enter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tests.emulators.discord import limits
from tests.emulators.discord.errors import FieldError, Json, NotOffered, Path, required

ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
USER_SELECT, ROLE_SELECT, MENTIONABLE_SELECT, CHANNEL_SELECT = 5, 6, 7, 8
SELECTS = frozenset({STRING_SELECT, USER_SELECT, ROLE_SELECT, MENTIONABLE_SELECT, CHANNEL_SELECT})
TEXT_DISPLAY, LABEL, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX = 10, 18, 19, 21, 22, 23
_SHORT = 1

Resolve = Callable[[int, Any], str]
"""Turns what a person picked in a component of some type (a user, a file) into the id that is sent."""


def select_problems(path: Path, select: Json) -> Iterator[FieldError]:
    """Name what the description of a menu, or a group of boxes, does not carry."""
    least, most = _range(select)
    if least > most:
        text = f"min_values ({least}) is more than max_values ({most})"
        yield FieldError((*path, "min_values"), "SELECT_COMPONENT_MIN_VALUES_ABOVE_MAX", text)
    if "options" not in select:
        return
    options = select["options"]
    if len(options) < most:
        text = f"Must be between {most} and 25 in length."
        yield FieldError((*path, "options"), "BASE_TYPE_BAD_LENGTH", text)
    if sum(bool(option.get("default")) for option in options) > most:
        text = "More options are chosen at first than may be chosen"
        yield FieldError((*path, "options"), "SELECT_COMPONENT_TOO_MANY_DEFAULT_VALUES", text)
    counted = Counter(option["value"] for option in options)
    for index, option in enumerate(options):
        if counted[option["value"]] > 1:
            text = "The specified option value is already used"
            yield FieldError((*path, "options", index, "value"), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", text)


def row_problems(path: Path, row: Json) -> Iterator[FieldError]:
    """Refuse a row that holds a menu beside anything else."""
    kinds = [part["type"] for part in row["components"]]
    if len(kinds) > 1 and SELECTS & set(kinds):
        yield FieldError(path, "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "Component layout exceeds max width")


def modal_problems(modal: Json) -> Iterator[FieldError]:
    """Name everything wrong with a modal that Discord's description does not carry."""
    parts = modal["components"]
    if len(parts) > limits.MODAL_PARTS_MAX:
        text = f"Must be between 1 and {limits.MODAL_PARTS_MAX} in length."
        yield FieldError(("components",), "BASE_TYPE_BAD_LENGTH", text)
    seen: set[str] = set()
    for index, holder in enumerate(parts):
        here: Path = ("components", index)
        if holder["type"] == ROW and len(holder["components"]) > 1:
            yield FieldError(here, "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "Component layout exceeds max width")
        for path, part in _inputs(here, holder):
            if part["custom_id"] in seen:
                text = "Component custom id cannot be duplicated"
                yield FieldError((*path, "custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED", text)
            seen.add(part["custom_id"])
            yield from _input_problems(path, part, labelled=holder["type"] == LABEL)


def _inputs(path: Path, holder: Json) -> Iterator[tuple[Path, Json]]:
    if holder["type"] == LABEL:
        yield (*path, "component"), holder["component"]
    for index, part in enumerate(holder.get("components", ())):
        yield (*path, "components", index), part


def _input_problems(path: Path, part: Json, *, labelled: bool) -> Iterator[FieldError]:
    if part["type"] == TEXT_INPUT:
        yield from _text_problems(path, part, labelled=labelled)
    elif part["type"] == RADIO_GROUP:
        yield from select_problems(path, {**part, "max_values": 1})
    elif part["type"] in SELECTS | {CHECKBOX_GROUP}:
        yield from select_problems(path, part)
    if part.get("disabled"):
        text = "Components in modals cannot be disabled"
        yield FieldError((*path, "disabled"), "COMPONENT_MODAL_DISABLED", text)


def _text_problems(path: Path, part: Json, *, labelled: bool) -> Iterator[FieldError]:
    if labelled and part.get("label"):
        text = "A text input in a label cannot have a label of its own"
        yield FieldError((*path, "label"), "TEXT_INPUT_LABEL_NOT_ALLOWED", text)
    if not labelled and not part.get("label"):
        yield required((*path, "label"))
    least, most = part.get("min_length") or 0, part.get("max_length") or limits.TEXT_INPUT_MAX
    if least > most:
        text = f"min_length ({least}) is more than max_length ({most})"
        yield FieldError((*path, "min_length"), "TEXT_INPUT_MIN_LENGTH_ABOVE_MAX", text)
    if len(part.get("value") or "") > most:
        yield FieldError((*path, "value"), "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")


def _range(part: Json) -> tuple[int, int]:
    """Give how many values may be chosen."""
    least, most = part.get("min_values"), part.get("max_values")
    whole = len(part["options"]) if part["type"] == CHECKBOX_GROUP else 1
    return 1 if least is None else least, most or whole


def choose(part: Json, picked: Sequence[Any], resolve: Resolve, *, optional: bool = False) -> list[str]:
    """Give the values sent for what a person picked in a menu; raises NotOffered for what it does not take."""
    name = part["custom_id"]
    least, most = _range(part)
    if not (least <= len(picked) <= most or (optional and not picked)):
        raise NotOffered(f"{name} takes {least} to {most} values, not {len(picked)}")
    if part["type"] in SELECTS - {STRING_SELECT} | {FILE_UPLOAD}:
        return [resolve(part["type"], item) for item in picked]
    values = [option["value"] for option in part["options"]]
    for item in picked:
        if item not in values:
            raise NotOffered(f"{name} offers {values}, not {item!r}")
    if len(set(picked)) < len(picked):
        raise NotOffered(f"a value of {name} is picked twice: {list(picked)}")
    return [value for value in values if value in picked]


class Form:
    """An open modal that a person fills in. Values go by custom id, or by the label above the field."""

    def __init__(self, modal: Json, values: Mapping[str, Any], resolve: Resolve) -> None:
        self._modal = modal
        self._left = dict(values)
        self._resolve = resolve
        self._number = 0
        self._taken = {part["id"] for part in _everything(modal["components"]) if part.get("id")}

    def submit(self) -> list[Json]:
        """Give the components as they are sent; raises NotOffered for what the form does not take."""
        sent = [self._holder(holder) for holder in self._modal["components"]]
        if self._left:
            raise NotOffered(f"the modal {self._modal['title']!r} has no field {sorted(self._left)}")
        return sent

    def _named(self, part: Json) -> Json:
        return {"type": part["type"], "id": part.get("id") or self._next_number()}

    def _next_number(self) -> int:
        self._number += 1
        while self._number in self._taken:
            self._number += 1
        return self._number

    def _holder(self, holder: Json) -> Json:
        sent = self._named(holder)
        if holder["type"] == LABEL:
            sent["component"] = self._entered(holder["component"], holder["label"])
        elif holder["type"] == ROW:
            sent["components"] = [self._entered(part, part["label"]) for part in holder["components"]]
        return sent

    def _entered(self, part: Json, label: str) -> Json:
        custom_id = part["custom_id"]
        key = custom_id if custom_id in self._left else label
        given = self._left.pop(key) if key in self._left else _preset(part)
        sent = self._named(part) | {"custom_id": custom_id}
        needed = part.get("required") is not False
        match part["type"]:
            case 4:
                return sent | {"value": _text(part, label, given, needed=needed)}
            case 21:
                return sent | {"value": self._radio(part, label, given, needed=needed)}
            case 23:
                return sent | {"value": bool(given)}
        if isinstance(given, str):
            raise NotOffered(f"{label} takes a list of values, not {given!r}")
        return sent | {"values": choose(part, given, self._resolve, optional=not needed)}

    def _radio(self, part: Json, label: str, given: Any, *, needed: bool) -> str | None:
        if given is None and needed:
            raise NotOffered(f"{label} is required")
        return None if given is None else choose(part, [given], self._resolve)[0]


def _everything(components: list[Json]) -> Iterator[Json]:
    for part in components:
        yield part
        yield from _everything(part.get("components", []))
        yield from _everything([part["component"]] if "component" in part else [])


def _preset(part: Json) -> Any:
    """Give what stands in a field before the person touches it."""
    match part["type"]:
        case 4:
            return part.get("value") or ""
        case 23:
            return bool(part.get("default"))
    chosen = [option["value"] for option in part.get("options", ()) if option.get("default")]
    if part["type"] == RADIO_GROUP:
        return chosen[0] if chosen else None
    return chosen + [entry["id"] for entry in part.get("default_values") or ()]


def _text(part: Json, label: str, given: Any, *, needed: bool) -> str:
    if not isinstance(given, str):
        raise NotOffered(f"{label} takes text, not {given!r}")
    if needed and not given.strip():
        raise NotOffered(f"{label} is required")
    least, most = part.get("min_length") or 0, part.get("max_length") or limits.TEXT_INPUT_MAX
    if given and not least <= len(given) <= most:
        raise NotOffered(f"{label} takes {least} to {most} characters, not {len(given)}")
    if part["style"] == _SHORT and "\n" in given:
        raise NotOffered(f"{label} is one line")
    return given
