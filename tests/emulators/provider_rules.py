"""What the model provider takes and what it refuses: each check returns (status, kind of violation, detail)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

JSON = dict[str, Any]
Refusal = tuple[int, str, str]


def check_headers(headers: Mapping[str, str], key: str) -> Refusal | None:
    """Key, content type, and no attribution to a server that did not ask for it."""
    if headers.get("Authorization") != f"Bearer {key}":
        return 401, "bad_key", "No auth credentials found"
    if headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        return 415, "bad_content_type", f"Content-Type is {headers.get('Content-Type')!r}"
    stray = [name for name in headers if name.lower() in {"http-referer", "x-openrouter-title", "x-title", "cookie"}]
    if stray:
        return 400, "stray_header", f"{', '.join(stray)} is not for this server"
    return None


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_message, value)) and value[-1]["role"] == "user"


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"role", "content"}
        and value["role"] in {"system", "user", "assistant"}
        and (_is_text(value["content"]) or (value["role"] == "user" and _is_parts(value["content"])))
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_parts(value: Any) -> bool:
    """Texts and pictures, at least one of each: a text alone is sent as such, which every server takes."""
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        return False
    kinds = [part.get("type") for part in value]
    return {"text", "image_url"} == set(kinds) and all(map(_is_part, value))


def _is_part(part: JSON) -> bool:
    if part["type"] == "text":
        return set(part) == {"type", "text"} and _is_text(part["text"])
    return set(part) == {"type", "image_url"} and _is_picture(part["image_url"])


_MAGIC = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8", "image/webp": b"RIFF"}


def _is_picture(value: Any) -> bool:
    """A data URI whose bytes are what it says they are."""
    if not isinstance(value, dict) or set(value) != {"url"} or not isinstance(value["url"], str):
        return False
    head, _, data = value["url"].partition(";base64,")
    magic = _MAGIC.get(head.removeprefix("data:")) if head.startswith("data:") else None
    try:
        return magic is not None and base64.b64decode(data, validate=True).startswith(magic)
    except ValueError:
        return False


def text_of(message: JSON) -> str:
    """What a message says, without its pictures."""
    content = message["content"]
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def pictures_in(body: JSON) -> int:
    """How many pictures a request shows."""
    contents = (message["content"] for message in body["messages"])
    return sum(part["type"] == "image_url" for content in contents if isinstance(content, list) for part in content)


def _is_format(value: Any) -> bool:
    if value == {"type": "json_object"}:
        return True
    if not isinstance(value, dict) or set(value) != {"type", "json_schema"} or value["type"] != "json_schema":
        return False
    inner = value["json_schema"]
    return (
        isinstance(inner, dict)
        and set(inner) == {"name", "strict", "schema"}
        and isinstance(inner["name"], str)
        and inner["strict"] is True
        and isinstance(inner["schema"], dict)
        and inner["schema"].get("type") == "object"
    )


def _is_input(value: Any) -> bool:
    """What every server takes: a list of texts, none of them blank, at most as many as OpenAI allows."""
    return (
        isinstance(value, list)
        and 0 < len(value) <= 2048
        and all(isinstance(text, str) and text.strip() for text in value)
    )


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "model": lambda v: isinstance(v, str) and bool(v),
    "messages": _is_messages,
    "temperature": lambda v: isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v <= 2,
    "max_tokens": lambda v: _is_int(v) and v >= 1,
    "seed": _is_int,
    "stream": lambda v: isinstance(v, bool),
    "stream_options": lambda v: isinstance(v, dict) and set(v) == {"include_usage"} and v["include_usage"] is True,
    "response_format": _is_format,
}


_EMBEDDING_FIELDS: dict[str, Callable[[Any], bool]] = {
    "model": _FIELDS["model"],
    "input": _is_input,
    "encoding_format": lambda v: v == "float",  # which all servers know; base64 is for some
}


def check_body(body: Any) -> Refusal | None:
    """The request's fields: none unknown, each of its shape, and those that need one another together."""
    if refusal := _check_fields(body, _FIELDS, ("model", "messages")):
        return refusal
    if "stream_options" in body and not body.get("stream"):
        return 400, "bad_stream_options", "stream_options without stream"
    if body.get("response_format") and "max_tokens" not in body:
        return 400, "unbounded_json", "response_format without max_tokens may never end"
    return None


def check_embedding(body: Any) -> Refusal | None:
    """The fields of a request for vectors. The format must be named: without it some servers send base64."""
    return _check_fields(body, _EMBEDDING_FIELDS, tuple(_EMBEDDING_FIELDS))


def _check_fields(body: Any, known: dict[str, Callable[[Any], bool]], needed: tuple[str, ...]) -> Refusal | None:
    if not isinstance(body, dict):
        return 400, "bad_json", "the body is not an object"
    if unknown := sorted(set(body) - set(known)):
        return 400, "unknown_field", ", ".join(unknown)
    for name in needed:
        if name not in body:
            return 400, "missing_field", name
    for name, value in body.items():
        if not known[name](value):
            return 400, f"bad_{name}", repr(value)[:200]
    return None
