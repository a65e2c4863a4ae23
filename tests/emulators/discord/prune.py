"""Cut Discord's OpenAPI file down to what the emulator serves.

    python -m tests.emulators.discord.prune path/to/discord/openapi.json

writes `openapi.json` beside this file: for every served route its JSON request schema and its success
replies, and all schemas these reach. Descriptions and Discord's own `x-` notes are left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.emulators.discord.errors import Json
from tests.emulators.discord.routes import TEMPLATES

_PREFIX = "#/components/schemas/"


def main(source: str) -> None:
    """Read the full document at `source` and write the excerpt."""
    document = json.loads(Path(source).read_text(encoding="utf-8"))
    routes = {f"{method} {path}": _operation(document["paths"][path][method.lower()]) for method, path in TEMPLATES}
    schemas: Json = {}
    _reach(routes, document["components"]["schemas"], schemas)
    excerpt = {
        "source": "https://github.com/discord/discord-api-spec, specs/openapi.json, excerpt made by prune.py",
        "license": document["info"]["license"],
        "routes": routes,
        "schemas": dict(sorted(schemas.items())),
    }
    target = Path(__file__).with_name("openapi.json")
    target.write_text(_lines(excerpt), encoding="utf-8")


def _operation(operation: Json) -> Json:
    request = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    replies = {
        status: reply.get("content", {}).get("application/json", {}).get("schema")
        for status, reply in operation["responses"].items()
        if status.startswith("2")
    }
    return {"request": _bare(request), "responses": _bare(replies)}


def _bare(node: Any, naming: bool = False) -> Any:
    """Copy `node` without prose; in a mapping of property names every key is kept."""
    if isinstance(node, dict):
        return {
            key: _bare(value, key in {"properties", "patternProperties"})
            for key, value in node.items()
            if naming or not (key == "description" or key.startswith("x-"))
        }
    return [_bare(value) for value in node] if isinstance(node, list) else node


def _reach(node: Any, schemas: Json, found: Json) -> None:
    for name in _references(node):
        if name not in found:
            found[name] = _bare(schemas[name])
            _reach(found[name], schemas, found)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_PREFIX)
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _lines(excerpt: Json) -> str:
    """Write one route or schema a line, so that a new version of the source shows as a readable diff."""
    parts = []
    for key, value in excerpt.items():
        if key in {"routes", "schemas"}:
            inner = ",\n".join(
                f"{json.dumps(name)}:{json.dumps(item, separators=(',', ':'))}" for name, item in value.items()
            )
            parts.append(f"{json.dumps(key)}:{{\n{inner}\n}}")
        else:
            parts.append(f"{json.dumps(key)}:{json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main(sys.argv[1])
