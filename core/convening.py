"""Whether a consortium can be convened: its set-up in view of the models and strategies that there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from core import strategies
from core.catalog import Catalog
from core.errors import BadInput
from core.setup import ConsortiumSpec


def problems(catalog: Catalog, setup: ConsortiumSpec) -> list[str]:
    """What is wrong with a set-up, each headed by its field; empty when nothing is."""
    return catalog.missing_models(setup) + strategies.problems(setup.strategy, setup.params)


def checked(catalog: Catalog, fields: Mapping[str, Any]) -> ConsortiumSpec:
    """A set-up from its fields. Raises BadInput with a line for each thing that is wrong."""
    try:
        setup = ConsortiumSpec.model_validate(fields)
    except ValidationError as error:
        raise BadInput("\n".join(_complaint(dict(e)) for e in error.errors())) from None
    if found := problems(catalog, setup):
        raise BadInput("\n".join(found))
    return setup


def changed(catalog: Catalog, setup: ConsortiumSpec, changes: Mapping[str, Any]) -> ConsortiumSpec:
    """The set-up with some fields changed. Raises BadInput with a line for each thing that is wrong.

    A panel that the arbiter now sits on gets another arbiter where there is one; ``params`` add to those there are,
    which go with their strategy.
    """
    fields = {**setup.model_dump(), **changes}
    members, params = changes.get("members"), changes.get("params", {})
    if isinstance(members, (list, tuple)) and "arbiter" not in changes:
        seated = {str(entry).partition(":")[0] for entry in members}
        fields["arbiter"] = catalog.arbiter_for(members) if setup.arbiter in seated else setup.arbiter
    if isinstance(params, Mapping) and fields["strategy"] == setup.strategy:
        params = {**setup.params, **params}
    return checked(catalog, {**fields, "params": params})


def _complaint(error: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "unknown key"
    return f"{field}: {message[0].lower()}{message[1:]}" if field else message
