"""Forms of the core as Discord's modals, and what was filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adapters.discord import limits
from adapters.discord.library import discord
from adapters.discord.render import cut, split
from core.cards import Form, Input, Option
from core.commands.actions import Values

NOTHING = "(nothing)"
"""What stands for an option without value: Discord takes none that are empty."""

LISTED = "listed"
"""What begins the name of a text that stands for several options, with commas between them."""

Label = discord.ui.Label[discord.ui.Modal]
Field = discord.ui.TextInput[discord.ui.Modal] | discord.ui.Select[discord.ui.Modal]


def modal(form: Form) -> discord.ui.Modal:
    """The modal of a form. It is ended at once: what is filled in is heard without it, so that it works after a
    restart and nothing is kept in memory."""
    made = discord.ui.Modal(title=cut(form.title, limits.FORM_TITLE), timeout=None, custom_id=form.action)
    intro = form.intro
    if intro and len(form.inputs) < limits.FORM_INPUTS:
        [shown, *_] = split(intro, limits.FORM_TEXT) or ["…"]
        made.add_item(discord.ui.TextDisplay(shown))
        intro = ""
    for field in form.inputs[: limits.FORM_INPUTS]:
        made.add_item(_label(field, intro))
        intro = ""
    made.stop()
    return made


def filled(components: Iterable[Mapping[str, Any]]) -> Values:
    """What was filled in, by the inputs' names, as Discord sends it."""
    values: dict[str, tuple[str, ...]] = {}
    for part in _parts(components):
        name = part["custom_id"]
        if "values" in part:
            values[name] = tuple("" if value == NOTHING else value for value in part["values"])
        elif name.startswith(f"{LISTED}:"):
            given = [word.strip() for word in str(part.get("value") or "").split(",")]
            values[name.partition(":")[2]] = tuple(filter(None, given))
        else:
            values[name] = (str(part.get("value") or ""),)
    return values


def _parts(components: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for component in components:
        inner = [component["component"]] if "component" in component else component.get("components", ())
        for part in inner:
            if "custom_id" in part:
                yield part


def _label(field: Input, intro: str) -> Label:
    listed = 1 <= len(field.options) <= limits.OPTIONS
    about = " ".join(filter(None, [intro, field.hint]))
    if len(field.options) > limits.OPTIONS:
        names = ", ".join(option.value for option in field.options if option.value)
        about = f"{about} One of: {names}" if field.kind == "choice" else f"{about} Any, with commas: {names}"
    made: Field = _select(field) if listed else _text(field)
    label = cut(field.label, limits.FORM_LABEL)
    return discord.ui.Label(text=label, description=cut(about.strip(), limits.FORM_HINT) or None, component=made)


def _text(field: Input) -> discord.ui.TextInput[discord.ui.Modal]:
    most = min(field.max_length, limits.FORM_TEXT)
    long = field.kind == "lines"
    several = field.kind == "choices"
    names = [option.value for option in field.options if option.value]
    return discord.ui.TextInput(
        custom_id=f"{LISTED}:{field.name}" if several else field.name,
        style=discord.TextStyle.paragraph if long else discord.TextStyle.short,
        required=field.required,
        default=cut(", ".join(filter(None, field.value)), most) or None,
        max_length=most,
        placeholder=cut(", ".join(names), limits.OPTION) or None,
    )


def _select(field: Input) -> discord.ui.Select[discord.ui.Modal]:
    several = field.kind == "choices"
    return discord.ui.Select(
        custom_id=field.name,
        options=[_option(option, chosen=option.value in field.value) for option in field.options],
        min_values=1 if field.required else 0,
        max_values=max(1, len(field.options)) if several else 1,
        required=field.required,
    )


def _option(option: Option, *, chosen: bool) -> discord.SelectOption:
    return discord.SelectOption(
        label=cut(option.label, limits.OPTION) or option.value,
        value=option.value or NOTHING,
        description=cut(option.about, limits.OPTION) or None,
        default=chosen,
    )
