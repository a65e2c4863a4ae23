"""The strategies there are: those built in, and those that installed packages bring."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from inspect import isabstract
from typing import Any

from pydantic import ValidationError

from core.asks import Value
from core.errors import BadInput
from core.strategies.base import Strategy
from core.strategies.council import Council
from core.strategies.debate import Debate
from core.strategies.default import Default
from core.strategies.elimination import Elimination
from core.strategies.role import Role
from core.strategies.semantic import Semantic
from core.strategies.voting import Voting
from core.telemetry import get_logger

log = get_logger(__name__)

GROUP = "consortium.strategies"
"""The entry point group by which a package makes a strategy known."""

BUILT_IN: tuple[type[Strategy], ...] = (Default, Voting, Elimination, Role, Semantic, Council, Debate)


class Parameter(Value):
    """One parameter of a strategy. ``default`` and ``kind`` as they are written."""

    name: str
    kind: str
    default: Any
    meaning: str


class Description(Value):
    """A strategy in words."""

    name: str
    summary: str
    use_when: str
    parameters: tuple[Parameter, ...]


@cache
def known() -> dict[str, type[Strategy]]:
    """All strategies by name. One that cannot be loaded is left out and logged; none replaces a built-in one."""
    found = {strategy.name: strategy for strategy in BUILT_IN}
    for point in entry_points(group=GROUP):
        try:
            strategy = point.load()
            if not (isinstance(strategy, type) and issubclass(strategy, Strategy)) or isabstract(strategy):
                raise TypeError("it is no subclass of core.strategies.base.Strategy with a deliberate of its own")
            _description(point.name, strategy)
        except Exception as error:  # noqa: BLE001 - a third party's fault must not end the start
            log.warning("strategy not loaded", name=point.name, error=str(error))
        else:
            found.setdefault(point.name, strategy)
    return found


def create(name: str, params: Mapping[str, Any] | None = None) -> Strategy:
    """A strategy with its parameters. Raises BadInput with a line for each thing that is wrong."""
    if found := problems(name, params or {}):
        raise BadInput("\n".join(found))
    return known()[name].model_validate(dict(params or {}))


def problems(name: str, params: Mapping[str, Any]) -> list[str]:
    """What is wrong with a strategy's name or parameters, each headed by its field; empty when nothing is."""
    if name not in known():
        return [f"strategy: no strategy {name!r}{_hint(name, list(known()))}"]
    try:
        known()[name].model_validate(dict(params))
    except ValidationError as error:
        return [_complaint(name, dict(e)) for e in error.errors()]
    return []


def describe() -> list[Description]:
    """All strategies with their parameters, the built-in ones first."""
    return [_description(name, strategy) for name, strategy in known().items()]


def _description(name: str, strategy: type[Strategy]) -> Description:
    parameters = tuple(_parameters(strategy))
    return Description(name=name, summary=strategy.summary, use_when=strategy.use_when, parameters=parameters)


def _parameters(strategy: type[Strategy]) -> list[Parameter]:
    properties = strategy.model_json_schema()["properties"] if strategy.model_fields else {}
    return [
        Parameter(
            name=name,
            kind=_kind(properties[name]),
            default=field.get_default(call_default_factory=True, validated_data={}),
            meaning=field.description or "",
        )
        for name, field in strategy.model_fields.items()
    ]


def _kind(schema: Mapping[str, Any]) -> str:
    """A parameter's type with its bounds, e.g. "integer, 1 to 10" or "one of dbscan, hdbscan"."""
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    bounds = f", {low} to {high}" if None not in (low, high) else f", at least {low}" if low is not None else ""
    names = {"array": "list", "boolean": "true or false", "string": "text"}
    return names.get(str(schema.get("type")), str(schema.get("type", "value"))) + bounds


def _complaint(name: str, error: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in error["loc"])
    fields = list(known()[name].model_fields)
    if error["type"] == "extra_forbidden":
        return f"params.{field}: strategy {name!r} has no such parameter{_hint(field, fields)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"params.{field}: {message[0].lower()}{message[1:]}, not {str(error['input'])[:40]!r}" if field else message


def _hint(word: str, names: list[str]) -> str:
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f" (there are: {', '.join(names)})" if names else " (it has none)"
