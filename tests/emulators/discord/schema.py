"""Checks requests and replies against Discord's own OpenAPI description (see OPENAPI-LICENSE)."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped] # ships no types
from jsonschema.exceptions import ValidationError  # type: ignore[import-untyped] # ships no types
from jsonschema.validators import extend  # type: ignore[import-untyped] # ships no types

from tests.emulators.discord.errors import FieldError, Json, Path, required, too_long
from tests.emulators.discord.limits import CONTENT_MAX

_KEPT_FILE = r"(data\.)?attachments\.\d+\.(url|proxy_url|size|width|height|content_type|spoiler)"
_ALLOWED = re.compile(rf"(data\.)?tts|\d+\.nsfw|(data\.)?embeds\.\d+\.flags|{_KEPT_FILE}")
"""Fields that discord.py sends on its own though Discord's description lacks them: `tts` on edits, all of a file that
an edit keeps, others always."""

_OWN = re.compile(
    r'"[1-9]\d{16,19}"'
    r'|"20\d\d-(0\d|1[0-2])-[0-2]\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}\+00:00"'
    r"|(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])"
)
"""What makes documents of one shape differ and no schema tells apart: ids of Discord, its times, ids of runs."""


def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:\S+$", value) is not None


def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


_FORMATS = FormatChecker(())
_FORMATS.checks("uri")(_is_uri)
_FORMATS.checks("date-time", raises=ValueError)(_is_date_time)


class _Side:
    """The schemas of requests, or those of replies; what one of them has found to be fine is not looked at again."""

    def __init__(self, components: Json) -> None:
        self._components = components
        self._fine: set[bytes] = set()
        self._look: Any = Draft202012Validator.VALIDATORS["$ref"]
        self._kind: Any = extend(Draft202012Validator, {"$ref": self._follow})

    def validator(self, schema: Json) -> Draft202012Validator:
        """A validator whose references lead to these schemas."""
        return self._kind({**schema, "components": self._components}, format_checker=_FORMATS)

    def _follow(self, validator: Any, ref: str, instance: Any, schema: Json) -> Iterator[ValidationError]:
        if not isinstance(instance, dict):
            yield from self._look(validator, ref, instance, schema)
        elif (shape := _shape(ref, "", instance)) not in self._fine:
            errors = list(self._look(validator, ref, instance, schema))
            if not errors:
                self._fine.add(shape)
            yield from errors


class Contract:
    """Discord's description of the served routes, with each schema compiled once."""

    def __init__(self) -> None:
        document = json.loads(FilePath(__file__).with_name("openapi.json").read_text(encoding="utf-8"))
        self._routes: dict[str, Json] = document["routes"]
        relaxed = _relaxed(document["schemas"])
        self._plain: Json = relaxed
        self._replies = _Side({"schemas": _switched(document["schemas"], document["schemas"])})
        self._requests = _Side({"schemas": _switched(relaxed, relaxed)})
        self._compiled: dict[tuple[str, str], Draft202012Validator | None] = {}
        self._fine: set[bytes] = set()

    def takes_body(self, route: str) -> bool:
        """Whether requests to `route` carry a JSON document."""
        return self._routes[route]["request"] is not None

    def request_errors(self, route: str, body: Any) -> list[FieldError]:
        """Give every field of `body` that the description of `route` refuses."""
        validator = self._validator(route, "request")
        if validator is None or (shape := _shape(route, "request", body)) in self._fine:
            return []
        found = (_field_error(leaf) for error in validator.iter_errors(body) for leaf in _leaves(error))
        errors = list(dict.fromkeys(found))
        if not errors:
            self._fine.add(shape)
        return errors

    def unknown_fields(self, route: str, body: Any) -> list[str]:
        """Give the dotted paths of fields in `body` that Discord would silently ignore."""
        schema = self._routes[route]["request"]
        names = [".".join(map(str, path)) for path in self._unknown(schema, body, ())] if schema else []
        return [name for name in names if not _ALLOWED.fullmatch(name)]

    def reply_problem(self, route: str, status: int, body: Any) -> str | None:
        """Say what in a successful reply does not fit the description, or None."""
        if str(status) not in self._routes[route]["responses"]:
            return f"status {status} is not described"
        validator = self._validator(route, str(status))
        if validator is None:
            return None if body is None else "a body where none is described"
        shape = _shape(route, str(status), body)
        if shape in self._fine:
            return None
        for error in validator.iter_errors(body):
            leaf = next(_leaves(error))
            return f"{leaf.json_path}: {leaf.message}"
        self._fine.add(shape)
        return None

    def _validator(self, route: str, part: str) -> Draft202012Validator | None:
        if (route, part) not in self._compiled:
            asked = part == "request"
            schema = self._routes[route]["request"] if asked else self._routes[route]["responses"][part]
            side = self._requests if asked else self._replies
            self._compiled[route, part] = side.validator(_switched(schema, self._plain)) if schema else None
        return self._compiled[route, part]

    def _unknown(self, schema: Json, value: Any, path: Path) -> Iterator[Path]:
        options = list(self._options(schema, value))
        if isinstance(value, list):
            items = [option["items"] for option in options if "items" in option]
            for index, item in enumerate(value if items else ()):
                yield from self._unknown({"anyOf": items}, item, (*path, index))
        if not isinstance(value, dict) or not options or any("properties" not in option for option in options):
            return
        for key, inner in value.items():
            fields = [option["properties"][key] for option in options if key in option["properties"]]
            if fields:
                yield from self._unknown({"anyOf": fields}, inner, (*path, key))
            else:
                yield (*path, key)

    def _options(self, schema: Json, value: Any) -> Iterator[Json]:
        """Resolve references and unions to the plain schemas that can describe `value`."""
        if "$ref" in schema:
            yield from self._options(self._plain[_name(schema)], value)
            return
        branches = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
        for branch in branches:
            yield from self._options(branch, value)
        if not branches and schema.get("type") != "null":
            kinds = schema.get("properties", {}).get("type", {}).get("enum")
            if kinds is None or not isinstance(value, dict) or value.get("type") in kinds:
                yield schema


def _shape(route: str, part: str, body: Any) -> bytes:
    """The same for documents that differ in their ids alone: what was found to be fine once is not checked again.

    Ids are numbered as they come, so that an id that is there twice stays so.
    """
    numbers: dict[str, str] = {}
    text = _OWN.sub(lambda own: numbers.setdefault(own[0], f"~{len(own[0])}.{len(numbers)}~"), json.dumps(body))
    return hashlib.blake2b(f"{route}\n{part}\n{text}".encode(), digest_size=16).digest()


@cache
def contract() -> Contract:
    """Give the one compiled contract of this process."""
    return Contract()


def _relaxed(schemas: Json) -> Json:
    """Copy the schemas with what Discord takes beyond, or refuses within, its own description."""
    schemas = copy.deepcopy(schemas)
    snowflake = schemas["SnowflakeType"]
    schemas["SnowflakeType"] = {"anyOf": [snowflake, {"type": "integer", "minimum": 0}]}
    for name in ("MessageCreateRequest", "MessageEditRequestPartial"):
        schemas[name]["properties"]["content"]["maxLength"] = CONTENT_MAX
    permissions = schemas["ApplicationCommandUpdateRequest"]["properties"]["default_member_permissions"]
    permissions.update(type=["integer", "string", "null"], pattern=r"^\d+$")
    return schemas


def _name(schema: Json) -> str:
    return str(schema["$ref"].rpartition("/")[2])


def _switched(node: Any, schemas: Json) -> Any:
    """Rewrite unions told apart by null or by `type` as conditions: the same meaning, checked ten times faster."""
    if isinstance(node, list):
        return [_switched(item, schemas) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _switched(value, schemas) for key, value in node.items()}
    for union in ("oneOf", "anyOf"):
        branches = node.get(union, [])
        others = [branch for branch in branches if branch.get("type") != "null"]
        kinds = [_kinds(branch, schemas) for branch in others]
        if not others or not all(kinds):
            if len(others) == 1 and len(branches) == 2:
                del node[union]
                node |= {"if": {"type": "null"}, "else": others[0]}
            continue
        del node[union]
        body = {
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"enum": sorted({kind for some in kinds for kind in some})}},
            "allOf": [
                {"if": {"properties": {"type": {"enum": some}}}, "then": branch}
                for some, branch in zip(kinds, others, strict=True)
            ],
        }
        node |= {"if": {"type": "null"}, "else": body} if len(others) < len(branches) else body
    return node


def _kinds(branch: Json, schemas: Json) -> list[int]:
    """Give the values of `type` that choose this branch; empty when it is not chosen by `type`."""
    while "$ref" in branch:
        branch = schemas[_name(branch)]
    kind = branch.get("properties", {}).get("type", {})
    return list(kind.get("enum", ())) if "type" in branch.get("required", ()) else []


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    """Replace a failed union by the errors of the branch the sender most likely meant."""
    if error.validator not in {"oneOf", "anyOf"} or not error.context:
        yield error
        return
    branches: dict[str | int, list[ValidationError]] = {}
    for inner in error.context:
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    for inner in min(branches.values(), key=_distance):
        yield from _leaves(inner)


def _distance(branch: list[ValidationError]) -> tuple[int, int]:
    """Rank a branch: one whose kind does not fit at all is further off than one with a wrong field."""
    kind = sum(
        (error.validator == "type" and not error.relative_path)
        or (error.validator in {"enum", "const"} and list(error.relative_path) in ([], ["type"]))
        for error in branch
    )
    return kind, len(branch)


def _field_error(error: ValidationError) -> FieldError:
    path: Path = tuple(error.absolute_path)
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    limit: Any = error.validator_value
    match error.validator:
        case "maxLength" | "maxItems":
            return too_long(path, limit)
        case "minLength" | "minItems":
            most = schema.get("maxLength", schema.get("maxItems"))
            if most is None:
                return FieldError(path, "BASE_TYPE_MIN_LENGTH", f"Must be {limit} or more in length.")
            return FieldError(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {limit} and {most} in length.")
        case "required":
            return required((*path, error.message.split("'")[1]))
        case "enum" | "const":
            return FieldError(path, "BASE_TYPE_CHOICES", f"Value must be one of {{{limit}}}.")
        case "maximum":
            return FieldError(path, "NUMBER_TYPE_MAX", f"Value should be less than or equal to {limit}.")
        case "minimum":
            return FieldError(path, "NUMBER_TYPE_MIN", f"Value should be greater than or equal to {limit}.")
        case "pattern" | "format":
            return FieldError(path, "STRING_TYPE_REGEX", "String value did not match validation regex.")
        case "uniqueItems":
            return FieldError(path, "SET_TYPE_ALREADY_CONTAINS_VALUE", "The set already contains this value")
        case _:
            return FieldError(path, "BASE_TYPE_BAD_TYPE", error.message[:200])
