"""The synced application commands: what may be synced, and which one a person's words mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.emulators.discord import limits
from tests.emulators.discord.errors import FieldError, Json, NotOffered, Path, invalid_form, known, required
from tests.emulators.discord.forms import Resolve
from tests.emulators.discord.world import Channel, User, World, snowflake

CHAT_INPUT, USER, MESSAGE = 1, 2, 3
SUBCOMMAND, GROUP = 1, 2
_STRING, _INTEGER, _BOOLEAN, _NUMBER = 3, 4, 5, 10
_RESOLVED = frozenset({6, 7, 8, 9, 11})
"""Users, channels, roles, either of users and roles, files: the value is an id that `resolved` explains."""
_CHAT_NAME = re.compile(r"[-_'\w]{1,32}")
_PYTHON_TYPES: Mapping[int, tuple[type, ...]] = {
    _STRING: (str,),
    _INTEGER: (int,),
    _BOOLEAN: (bool,),
    _NUMBER: (int, float),
}


@dataclass(frozen=True)
class Invocation:
    """A command a person chose, with the sub-command path and the options that may be given."""

    command: Json
    path: tuple[Json, ...]
    options: tuple[Json, ...]

    def data(self, values: Mapping[str, Any], resolve: Resolve, focused: str | None = None) -> Json:
        """Write the interaction's data; raises NotOffered for values the person could not enter."""
        given = self._given(values, resolve, focused)
        for step in reversed(self.path):
            given = [{"name": step["name"], "type": step["type"], "options": given}]
        written: Json = {key: self.command[key] for key in ("id", "name", "type")}
        if "guild_id" in self.command:
            written["guild_id"] = self.command["guild_id"]
        return written | {"options": given}

    def _given(self, values: Mapping[str, Any], resolve: Resolve, focused: str | None) -> list[Json]:
        known_names = {option["name"] for option in self.options}
        if unknown := values.keys() - known_names:
            raise NotOffered(f"no option {sorted(unknown)} here, only {sorted(known_names)}")
        given = []
        for option in self.options:
            name = option["name"]
            if name == focused:
                if not option.get("autocomplete"):
                    raise NotOffered(f"option {name} has no autocomplete")
                typed = {"name": name, "type": option["type"], "value": values.get(name, ""), "focused": True}
                given.append(typed)
            elif name in values:
                value = values[name]
                if option["type"] in _RESOLVED:
                    value = resolve(option["type"], value)
                elif focused is None:
                    _check_value(option, value)
                given.append({"name": name, "type": option["type"], "value": value})
            elif option.get("required") and focused is None:
                raise NotOffered(f"option {name} is required")
        if focused is not None and focused not in known_names:
            raise NotOffered(f"no option {focused} here, only {sorted(known_names)}")
        return given


class Commands:
    """The commands of the application, global and of each guild it is in."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._synced: dict[int | None, list[Json]] = {None: []}
        self._created: dict[int | None, list[float]] = {}

    def listed(self, guild_id: int | None) -> list[Json]:
        """Give the commands of a guild, or the global ones; raises Discord's 50001 for a foreign guild."""
        if guild_id is not None and guild_id not in [guild.id for guild in self._world.joined]:
            raise known(50001)
        return self._synced.get(guild_id, [])

    def replace(self, guild_id: int | None, sent: list[Json]) -> list[Json]:
        """Take `sent` as all commands there are; a command keeps its id as long as its name and type stay."""
        before = {(command["name"], command["type"]): command for command in self.listed(guild_id)}
        problems = [problem for index, command in enumerate(sent) for problem in _problems(command, (index,))]
        problems += _list_problems(sent)
        if problems:
            raise invalid_form(problems)
        now = self._world.clock.now()
        recent = [at for at in self._created.get(guild_id, []) if at > now - 86400]
        recent += [now for command in sent if (command["name"], command.get("type") or CHAT_INPUT) not in before]
        if len(recent) > limits.COMMAND_CREATES_PER_DAY:
            raise known(30034)
        self._created[guild_id] = recent
        self._synced[guild_id] = [self._stored(command, before, guild_id) for command in sent]
        return self._synced[guild_id]

    def _stored(self, sent: Json, before: Mapping[tuple[str, int], Json], guild_id: int | None) -> Json:
        kind = sent.get("type") or CHAT_INPUT
        old = before.get((sent["name"], kind))
        permissions = sent.get("default_member_permissions")
        stored = {
            "id": old["id"] if old else str(self._world.snowflake()),
            "application_id": str(self._world.app_id),
            "version": str(self._world.snowflake()),
            "default_member_permissions": None if permissions is None else str(permissions),
            "type": kind,
            "name": sent["name"],
            "name_localizations": sent.get("name_localizations"),
            "description": sent.get("description") or "",
            "description_localizations": sent.get("description_localizations"),
            "contexts": sent.get("contexts"),
            "integration_types": sent.get("integration_types") or [0],
            "nsfw": bool(sent.get("nsfw")),
            "options": [_bare(option) for option in sent.get("options") or ()],
        }
        return stored | ({} if guild_id is None else {"guild_id": str(guild_id)})

    def find(self, words: str, kind: int, channel: Channel) -> Invocation:
        """Find what a person chose, such as "consortium ask"; raises NotOffered when Discord shows no such thing."""
        name, *rest = words.split() if kind == CHAT_INPUT else [words]
        scopes = (None,) if channel.guild_id is None else (channel.guild_id, None)
        offered = [command for scope in scopes for command in self._synced.get(scope, ())]
        candidates = [command for command in offered if (command["name"], command["type"]) == (name, kind)]
        if not candidates:
            raise NotOffered(f"no command {name!r} of type {kind} is synced")
        command = candidates[0]
        if command["contexts"] is not None and channel.context not in command["contexts"]:
            raise NotOffered(f"{name!r} is not offered in context {channel.context}")
        path: list[Json] = []
        options = command["options"]
        for word in rest:
            step = next((o for o in options if o["name"] == word and o["type"] in {SUBCOMMAND, GROUP}), None)
            if step is None:
                raise NotOffered(f"{words!r}: no sub-command {word!r}")
            path.append(step)
            options = step.get("options", [])
        if any(option["type"] in {SUBCOMMAND, GROUP} for option in options):
            raise NotOffered(f"{words!r} needs a sub-command")
        return Invocation(command, tuple(path), tuple(options))

    def owners(self, command: Json, user: User, channel: Channel) -> dict[str, str]:
        """Give by whose installation `user` is offered `command`: "0" the guild's, "1" their own; none is {}."""
        owners = {}
        if 0 in command["integration_types"] and self._world.bot_in(channel):
            owners["0"] = str(channel.guild_id or 0)
        if 1 in command["integration_types"] and user.id in self._world.installed:
            owners["1"] = str(user.id)
        return owners

    def needed_permissions(self, command: Json) -> int:
        """Give the permission bits a member needs to be offered `command`."""
        return snowflake(command["default_member_permissions"] or 0)


def _bare(option: Json) -> Json:
    bare = {key: value for key, value in option.items() if value is not None}
    if "options" in bare:
        bare["options"] = [_bare(inner) for inner in bare["options"]]
    return bare


def _check_value(option: Json, value: Any) -> None:
    kind, name = option["type"], option["name"]
    expected: Any = _PYTHON_TYPES[kind]
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != _BOOLEAN):
        raise NotOffered(f"option {name} of type {kind} cannot be {value!r}")
    if option.get("choices") and value not in [choice["value"] for choice in option["choices"]]:
        raise NotOffered(f"{value!r} is not among the choices of {name}")
    if kind == _STRING and not option.get("min_length", 0) <= len(value) <= option.get("max_length", 6000):
        raise NotOffered(f"option {name} has {len(value)} characters")
    if kind in {_INTEGER, _NUMBER} and not option.get("min_value", value) <= value <= option.get("max_value", value):
        raise NotOffered(f"option {name} cannot be {value}")


def _list_problems(sent: list[Json]) -> Iterator[FieldError]:
    seen: set[tuple[str, int]] = set()
    for index, command in enumerate(sent):
        key = (command["name"], command.get("type") or CHAT_INPUT)
        if key in seen:
            text = "Application command names must be unique"
            yield FieldError((index, "name"), "APPLICATION_COMMANDS_DUPLICATE_NAME", text)
        seen.add(key)
    if sum(kind == CHAT_INPUT for _, kind in seen) > limits.CHAT_COMMANDS_MAX:
        yield FieldError((), "BASE_TYPE_MAX_LENGTH", f"Must be {limits.CHAT_COMMANDS_MAX} or fewer in length.")


def _problems(command: Json, path: Path) -> Iterator[FieldError]:
    chat = (command.get("type") or CHAT_INPUT) == CHAT_INPUT
    if chat:
        yield from _name_problems(command, path)
        if not command.get("description"):
            yield required((*path, "description"))
        yield from _option_problems(command, path)
    else:
        for key in ("description", "options"):
            if command.get(key):
                text = f"Context menu commands cannot have {key}"
                yield FieldError((*path, key), "APPLICATION_COMMAND_CONTEXT_MENU_FIELD", text)
    if _characters(command) > limits.COMMAND_CHARACTERS_MAX:
        text = f"Command exceeds maximum size ({limits.COMMAND_CHARACTERS_MAX})"
        yield FieldError(path, "APPLICATION_COMMAND_TOO_LARGE", text)


def _name_problems(named: Json, path: Path) -> Iterator[FieldError]:
    if not _CHAT_NAME.fullmatch(named["name"]) or named["name"] != named["name"].lower():
        text = "Command name is invalid"
        yield FieldError((*path, "name"), "APPLICATION_COMMAND_INVALID_NAME", text)


def _option_problems(holder: Json, path: Path) -> Iterator[FieldError]:
    optional, names = False, set()
    options = holder.get("options") or []
    steps = [option["type"] in {SUBCOMMAND, GROUP} for option in options]
    if any(steps) and not all(steps):
        text = "Sub-command and sub-command group option types are mutually exclusive to all other types"
        yield FieldError((*path, "options"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", text)
    for index, option in enumerate(options):
        here = (*path, "options", index)
        yield from _name_problems(option, here)
        if option["name"] in names:
            yield FieldError((*here, "name"), "APPLICATION_COMMAND_OPTIONS_NAME_INVALID", "Option names must be unique")
        names.add(option["name"])
        if option.get("required") and optional:
            text = "Required options must be placed before non-required options"
            yield FieldError(here, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", text)
        optional |= not option.get("required")
        if option.get("autocomplete") and option.get("choices"):
            text = "Autocomplete options cannot have choices"
            yield FieldError((*here, "choices"), "APPLICATION_COMMAND_OPTION_CHOICES_AUTOCOMPLETE", text)
        if option["type"] in {SUBCOMMAND, GROUP}:
            yield from _option_problems(option, here)


def _characters(named: Json) -> int:
    total = len(named["name"]) + len(named.get("description") or "")
    total += sum(len(choice["name"]) + len(str(choice["value"])) for choice in named.get("choices") or ())
    return total + sum(_characters(option) for option in named.get("options") or ())
