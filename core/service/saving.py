"""Saving a consortium: the form for it, and reading what was filled in or typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core import convening, strategies
from core.cards import Form, Input, Option
from core.catalog import Catalog
from core.commands.actions import encode
from core.commands.grammar import NO_NAMES
from core.commands.values import SaveConsortium
from core.commands.words import short
from core.errors import BadForm, BadInput, NotFound
from core.present.lists import model_options, option
from core.service.office import CUSTOM, required
from core.setup import ConsortiumSpec, Key, parse_seat

MOST_OPTIONS = 25
"""Up to so many models are chosen from a list; platforms take no more."""

_INPUTS = {
    "members": ("members", "a panel has"),
    "arbiter": ("arbiter", "arbiter_fallbacks"),
    "strategy": ("strategy", "params"),
    "limits": ("confidence_threshold", "min_iterations", "max_iterations", "deadline", "quorum"),
}
"""How complaints begin that belong to each input."""


def form_for(catalog: Catalog, command: SaveConsortium, base: ConsortiumSpec | None) -> Form:
    """The form with what the command says, and for the rest what ``base``, the consortium of that name, has."""
    members = command.members or (base.members if base else ())
    arbiter = command.arbiter or (base.arbiter if base else "")
    choosable = len(catalog.models) <= MOST_OPTIONS
    models = tuple(model_options(catalog))
    if choosable and set(members) <= set(catalog.models):
        seats = Input(name="members", label="Members", kind="choices", value=members, options=models, required=True)
    else:
        hint = "e.g. llama, qwen:2, mistral; :2 gives a model two seats"
        value = (", ".join(members),)
        seats = Input(name="members", label="Members", kind="line", value=value, required=True, hint=hint)
    if choosable and (arbiter in catalog.models or not arbiter):
        nobody = () if base else (Option(value="", label="one that is no member"),)
        judge = Input(name="arbiter", label="Arbiter", kind="choice", value=(arbiter,), options=(*nobody, *models))
    else:
        judge = Input(name="arbiter", label="Arbiter", kind="line", value=(arbiter,), hint="the model that judges")
    known = tuple(option(strategy.name, strategy.summary) for strategy in strategies.describe())
    chosen = command.strategy or (base.strategy if base else "default")
    return Form(
        action=encode(SaveConsortium(name=command.name if command.name and len(command.name) <= 40 else None)),
        title="Save a consortium",
        inputs=(
            Input(name="name", label="Name", kind="line", value=(command.name or "",), required=True, max_length=40),
            seats,
            judge,
            Input(name="strategy", label="Strategy", kind="choice", value=(chosen,), options=known),
            Input(
                name="limits",
                label="Limits",
                kind="line",
                value=(command.limits or limits_text(base or _FRESH),),
                hint="confidence 0 to 1, rounds, deadline in seconds, quorum 0 to 1",
            ),
        ),
    )


def setup_from(catalog: Catalog, command: SaveConsortium, base: ConsortiumSpec | None) -> tuple[str, ConsortiumSpec]:
    """Name and set-up of what is to be saved; what the command does not say stays as in ``base``. Raises BadForm."""
    problems: dict[str, str] = {}
    fields: dict[str, Any] = {}
    for name, read in (("name", _name), ("members", _members), ("arbiter", _arbiter), ("strategy", _strategy)):
        try:
            fields[name] = read(command, catalog)
        except (BadInput, NotFound) as error:
            problems[name] = str(error)
    try:
        fields |= limits_of(command.limits)
    except BadInput as error:
        problems["limits"] = str(error)
    if problems:
        raise BadForm(problems, form_for(catalog, command, base))
    name = fields.pop("name")
    changes = {field: value for field, value in fields.items() if value is not None}
    try:
        if base is None:
            fresh = {"arbiter": catalog.arbiter_for(changes["members"]), **changes}
            return name, convening.checked(catalog, fresh)
        return name, convening.changed(catalog, base, changes)
    except BadInput as error:
        raise BadForm(_by_input(str(error)), form_for(catalog, command, base)) from None


def limits_text(setup: ConsortiumSpec) -> str:
    """The limits of a set-up as the form takes them: "confidence 0.8, rounds 1-3, deadline 120, quorum 0.66"."""
    rounds = f"{setup.min_iterations}-{setup.max_iterations}"
    return (
        f"confidence {setup.confidence_threshold:g}, rounds {rounds}, deadline {setup.deadline:g}, "
        f"quorum {setup.quorum:g}"
    )


_LIMIT = re.compile(
    r"(?P<key>[A-Za-z]+)\s*[:=]?\s*(?P<value>\d+(?:[.,]\d+)?)(?:\s*(?:-|to|\u2013)\s*(?P<most>\d+))?\s*s?",
    re.IGNORECASE,
)
_FIELDS = {"confidence": "confidence_threshold", "deadline": "deadline", "quorum": "quorum"}
_EXAMPLE = "write e.g. `confidence 0.8, rounds 1-3, deadline 120, quorum 0.66`"


def limits_of(text: str) -> dict[str, Any]:
    """Fields of a set-up from limits as they are typed. Raises BadInput.

    A comma between digits is a decimal one.
    """
    fields: dict[str, Any] = {}
    for part in re.split(r"[;\n]|,(?!\d)", text):
        if not part.strip():
            continue
        found = _LIMIT.fullmatch(part.strip())
        key = found["key"].lower() if found else ""
        if found is None or (key not in _FIELDS and key != "rounds") or (found["most"] and key != "rounds"):
            raise BadInput(f"`{short(part.strip())}` is no limit; {_EXAMPLE}.")
        if key != "rounds":
            fields[_FIELDS[key]] = float(found["value"].replace(",", "."))
        elif not found["value"].isdecimal():
            raise BadInput(f"`{short(part.strip())}`: rounds are whole numbers; {_EXAMPLE}.")
        else:
            least, most = (found["value"], found["most"]) if found["most"] else ("1", found["value"])
            fields |= {"min_iterations": int(least), "max_iterations": int(most)}
    return fields


_FRESH = ConsortiumSpec(members=("any",), arbiter="any")
"""Has the limits that hold where none are given."""


def _name(command: SaveConsortium, _: Catalog) -> str:
    name = (command.name or "").strip("`")
    if not name:
        raise BadInput("Give it a name.")
    try:
        TypeAdapter(Key).validate_python(name)
    except ValidationError:
        raise BadInput(
            f"`{short(name)}` cannot be its name: a name has letters, digits, dots, dashes and underscores, begins "
            "with a letter or digit, and has at most 40 of them."
        ) from None
    if name.lower() in NO_NAMES:
        raise BadInput(f"`{name}` takes a choice back, as in `use {name.lower()}`; take another name.")
    if name.lower() == CUSTOM:
        raise BadInput(f"Panels that are put together for one ask are called `{CUSTOM}`; take another name.")
    return name


def _members(command: SaveConsortium, catalog: Catalog) -> tuple[str, ...]:
    if not command.members:
        raise BadInput("Name at least one member.")
    seats = []
    for entry in command.members:
        try:
            key, count = parse_seat(entry)
        except ValueError:
            raise BadInput(f"`{short(entry)}` is no member; write `model` or `model:count`, e.g. `qwen:2`.") from None
        model = required("model", key, catalog.models)
        seats.append(f"{model}:{count}" if count > 1 else model)
    return tuple(seats)


def _arbiter(command: SaveConsortium, catalog: Catalog) -> str | None:
    return required("model", command.arbiter, catalog.models) if command.arbiter else None


def _strategy(command: SaveConsortium, _: Catalog) -> str | None:
    return required("strategy", command.strategy, strategies.known()) if command.strategy else None


def _by_input(complaints: str) -> dict[str, str]:
    """Lines that begin with a field, by the input that they belong to."""
    found: dict[str, str] = {}
    for line in complaints.splitlines():
        name = next((name for name, starts in _INPUTS.items() if line.startswith(starts)), "members")
        field, colon, rest = line.partition(": ")
        text = f"{_WORDS[field]}: {rest}" if colon and field in _WORDS else rest or line
        found[name] = f"{found[name]}\n{text}" if name in found else text
    return found


_WORDS: Mapping[str, str] = {
    "confidence_threshold": "confidence",
    "min_iterations": "rounds at the least",
    "max_iterations": "rounds at the most",
    "deadline": "deadline",
    "quorum": "quorum",
}
"""What fields are called in the form."""
