"""Set-ups of consortia from options and from files, and back to files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.commands.base import listed, read_params, read_roles

if TYPE_CHECKING:
    from core.catalog import Catalog
    from core.setup import ConsortiumSpec

FIELDS = {
    "model": "members",
    "arbiter": "arbiter",
    "fallback": "arbiter_fallbacks",
    "strategy": "strategy",
    "param": "params",
    "judging": "judging",
    "both_orders": "both_orders",
    "threshold": "confidence_threshold",
    "min_iterations": "min_iterations",
    "max_iterations": "max_iterations",
    "deadline": "deadline",
    "quorum": "quorum",
    "role": "roles",
    "system": "system",
    "description": "description",
}
"""What each option of ``save`` and ``update`` sets."""

_OPTIONS = {field: f"--{option.replace('_', '-')}" for option, field in FIELDS.items()}


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that options set; those not given are left out. Raises BadInput.

    An empty word in a list says that there is none, empty instructions that there are none.
    """
    found = {FIELDS[name]: value for name, value in options.items() if name in FIELDS and value not in (None, [], ())}
    for field in ("members", "arbiter_fallbacks"):
        if field in found:
            found[field] = tuple(word for word in found[field] if word)
    if "system" in found:
        found["system"] = found["system"] or None
    readers = {"params": read_params, "roles": read_roles}
    return {field: readers[field](value) if field in readers else value for field, value in found.items()}


def new_setup(catalog: Catalog, fields: Mapping[str, Any]) -> ConsortiumSpec:
    """A set-up from given fields; an arbiter is found where none is named. Raises BadInput."""
    if not fields.get("arbiter"):
        fields = {**fields, "arbiter": _arbiter(catalog, fields["members"])}
    roles = {model: _proper(catalog, role) for model, role in fields.get("roles", {}).items()}
    return _checked(catalog, {**fields, "roles": roles})


def _arbiter(catalog: Catalog, members: tuple[str, ...]) -> str:
    """A judge for these members; where they are none, that is told of them."""
    try:
        return catalog.arbiter_for(members)
    except (ValueError, IndexError):
        return next(iter(catalog.models))


def _proper(catalog: Catalog, role: str) -> str:
    """A known role by its proper name, whatever its case; anything else stands as it is."""
    return next((known for known in catalog.all_roles if known.lower() == role.lower()), role)


def _checked(catalog: Catalog, fields: Mapping[str, Any], where: str = "") -> ConsortiumSpec:
    """A set-up from its fields; what is wrong is told by the options that set them. Raises BadInput."""
    from core import convening
    from core.errors import BadInput

    try:
        return convening.checked(catalog, fields)
    except BadInput as error:
        lines = str(error).splitlines()
        raise BadInput("\n".join(f"{where}{line}" if where else _by_option(line) for line in lines)) from None


def _by_option(line: str) -> str:
    field, mark, rest = line.partition(":")
    base, dot, part = field.partition(".")
    if not re.fullmatch(r"\w+", base) or not mark:
        return line
    option = _OPTIONS.get(base, f"--{base.replace('_', '-')}")
    return f"{option}{f' {part}' if dot and not part.isdecimal() else ''}:{rest}"


def checked_name(name: str) -> str:
    """A name that can be saved. Raises BadInput."""
    from pydantic import TypeAdapter, ValidationError

    from core.errors import BadInput
    from core.service.office import CUSTOM
    from core.setup import Key

    try:
        TypeAdapter(Key).validate_python(name)
    except ValidationError:
        raise BadInput(
            f"NAME {name[:60]!r}: a name has letters, digits, dots, dashes and underscores only, at most 40"
        ) from None
    if name.lower() == CUSTOM:
        raise BadInput(f"NAME {name!r}: panels that are put together for one ask are called that; take another name")
    return name


def from_file(path: Path, name: str | None, catalog: Catalog) -> dict[str, ConsortiumSpec]:
    """The consortia of a file, all or the named one. Raises BadInput."""
    from core.errors import BadInput

    try:
        sections = tomllib.loads(path.read_text("utf-8")).get("consortia")
    except OSError as error:
        raise BadInput(f"--from {path}: cannot be read ({error.strerror}); write the path of a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(
            f"--from {path}: is no TOML ({error}); see consortium show NAME --toml for how it looks"
        ) from None
    if not isinstance(sections, dict) or not sections:
        raise BadInput(f"--from {path}: has no [consortia.NAME] section; see consortium show NAME --toml for one")
    if name is not None and name not in sections:
        raise BadInput(f"--from {path}: has no consortium {name!r}; it has {listed([*sections])}")
    wanted = sections if name is None else {name: sections[name]}
    return {
        checked_name(key): _checked(catalog, section, f"{path}: consortia.{key}.") for key, section in wanted.items()
    }


def changed_setup(catalog: Catalog, setup: ConsortiumSpec, changes: Mapping[str, Any]) -> ConsortiumSpec:
    """The set-up with changes; parameters and roles change one by one, empty values take them away. Raises BadInput."""
    same = changes.get("strategy") in (None, setup.strategy)
    merged_params = {**(setup.params if same else {}), **changes.get("params", {})}
    merged_roles = {**setup.roles, **changes.get("roles", {})}
    fields = {
        **setup.model_dump(),
        **changes,
        "params": {key: value for key, value in merged_params.items() if value != ""},
        "roles": {key: _proper(catalog, value) for key, value in merged_roles.items() if value},
    }
    return _checked(catalog, fields)


def toml_of(name: str, setup: ConsortiumSpec) -> str:
    """A ``[consortia.NAME]`` section. What is as it is by default is left out."""
    import tomli_w

    return tomli_w.dumps({"consortia": {name: _without_none(setup.model_dump(mode="json", exclude_defaults=True))}})


def _without_none(value: Any) -> Any:
    """TOML has no null: what is None is left out."""
    if isinstance(value, dict):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_none(part) for part in value if part is not None]
    return value


def worded(value: Any) -> str | None:
    """A field's value for people; None where there is none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}={part}" for key, part in value.items()) or None
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or None
    return str(value) if value not in (None, "") else None
