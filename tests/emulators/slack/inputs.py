"""What people fill in and choose: `state.values` of views and messages, and what Slack's client refuses to send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import limits
from .elements import is_number, options_of
from .journal import JSON

State = dict[str, dict[str, JSON]]

# How the choice of each kind of element is named, and how its first choice is given.
CHOICES = {
    "checkboxes": ("selected_options", "initial_options"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "multi_static_select": ("selected_options", "initial_options"),
    "number_input": ("value", "initial_value"),
    "plain_text_input": ("value", "initial_value"),
    "radio_buttons": ("selected_option", "initial_option"),
    "static_select": ("selected_option", "initial_option"),
    "users_select": ("selected_user", "initial_user"),
}
MANY = "selected_options"


class RefusedByClient(ValueError):
    """Slack's client would not have sent this: `problems` tells why, by block_id."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(str(problems))
        self.problems = problems


def elements_of(blocks: list[JSON]) -> Iterator[tuple[JSON, JSON]]:
    """Every element of some blocks with the block it is in."""
    for block in blocks:
        if block["type"] in {"actions", "context_actions"}:
            for element in block["elements"]:
                yield block, element
        elif "accessory" in block:
            yield block, block["accessory"]
        elif block["type"] == "input":
            yield block, block["element"]


def initial_state(blocks: list[JSON], before: State | None = None) -> State:
    """The values that are shown at first; those of `before` stay where ids and types are the same."""
    state: State = {}
    for block, element in elements_of(blocks):
        kind = element["type"]
        if kind not in CHOICES:
            continue
        name, initial = CHOICES[kind]
        entry = {"type": kind, name: element.get(initial, [] if name == MANY else None)}
        kept = (before or {}).get(block["block_id"], {}).get(element["action_id"])
        state.setdefault(block["block_id"], {})[element["action_id"]] = kept if kept and kept["type"] == kind else entry
    return state


def chosen(element: JSON, value: Any) -> JSON:
    """The state of an element once a person chose or wrote a value.

    Args:
        value: text, or the `value` of an option, or a list of those; None clears.

    Raises:
        LookupError: there is no such option.
    """
    kind = element["type"]
    name, _ = CHOICES[kind]
    if name in {"selected_option", MANY}:
        by_value = {option["value"]: option for option in options_of(element)}
        wanted = value if isinstance(value, list | tuple) else [] if value is None else [value]
        missing = [item for item in wanted if item not in by_value]
        if missing:
            raise LookupError(f"{element['action_id']} offers {sorted(by_value)}, not {missing}")
        picked = [option for key, option in by_value.items() if key in wanted]
        if name == MANY:
            return {"type": kind, name: picked}
        return {"type": kind, name: picked[0] if picked else None}
    return {"type": kind, name: str(value) if value not in (None, "") else None}


def fill(blocks: list[JSON], state: State, values: Mapping[str, Any]) -> State:
    """The state once a person gave these values, by block_id or action_id.

    Raises:
        LookupError: nothing by that name can be filled in, or an option is not there.
    """
    filled = {block_id: dict(entries) for block_id, entries in state.items()}
    for key, value in values.items():
        matches = [
            (block, element)
            for block, element in elements_of(blocks)
            if element["type"] in CHOICES and key in (block["block_id"], element["action_id"])
        ]
        if len(matches) != 1:
            raise LookupError(f"{len(matches)} elements are called {key!r}; there are {state}")
        block, element = matches[0]
        filled[block["block_id"]][element["action_id"]] = chosen(element, value)
    return filled


def check_inputs(blocks: list[JSON], state: State) -> None:
    """Refuse what Slack's client refuses to submit.

    Raises:
        RefusedByClient: a required input is empty or one breaks its own bounds.
    """
    problems = {}
    for block in blocks:
        if block["type"] == "input":
            element = block["element"]
            name, _ = CHOICES[element["type"]]
            value = state[block["block_id"]][element["action_id"]][name]
            problem = _problem(element, value) if value else None if block.get("optional") else "required"
            if problem:
                problems[block["block_id"]] = problem
    if problems:
        raise RefusedByClient(problems)


def _problem(element: JSON, value: Any) -> str | None:
    if element["type"] == "plain_text_input":
        least, most = element.get("min_length", 0), element.get("max_length", limits.INPUT_LENGTH)
        return None if least <= len(value) <= most else f"{len(value)} characters, not {least} to {most}"
    if element["type"] == "number_input":
        if not is_number(value, element["is_decimal_allowed"]):
            return f"{value!r} is not a number"
        least, most = float(element.get("min_value", "-inf")), float(element.get("max_value", "inf"))
        return None if least <= float(value) <= most else f"{value} is not within {least} and {most}"
    if len(value) > element.get("max_selected_items", limits.OPTIONS) and isinstance(value, list):
        return f"more than {element['max_selected_items']} options"
    return None
