"""What the page sends: a text, a tap or a form that was filled in, with files beside a text."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any

from aiohttp import BodyPartReader, web
from pydantic import Field, ValidationError

from core.asks import Value
from core.attachments import MOST_BYTES, MOST_FILES, Upload
from core.errors import Refused

MAX_BODY = 64 * 1024
"""Bytes of a command."""

MAX_REQUEST = (MOST_FILES + 1) * MOST_BYTES
"""Bytes of a command with its files: somewhat more than may be, so that who sends too much is told so."""

_CHUNK = 2**16

Short = Annotated[str, Field(max_length=64)]


class Sent(Value):
    """``text`` as typed, or ``action`` of a button, or of a form with what was ``filled`` in by its inputs' names.

    ``thread`` is where it was written, ``id`` the sender's own of it, by which a repetition is known.
    """

    text: str | None = None
    action: str | None = None
    filled: dict[str, tuple[str, ...]] | None = None
    thread: Short | None = None
    id: Short | None = None
    files: tuple[Upload, ...] = ()


async def read_sent(request: web.Request) -> Sent:
    """Raises Refused for what cannot be read, and HTTPRequestEntityTooLarge."""
    if request.content_type == "multipart/form-data":
        return await _with_files(request)
    if request.content_type != "application/json":
        raise Refused("Send JSON.")
    return _sent(await request.clone(client_max_size=MAX_BODY).read())


def _sent(data: bytes) -> Sent:
    try:
        body = json.loads(data)
        # What is no text in UTF-8, half a pair of surrogates say, becomes a question mark.
        body = json.loads(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
        if not isinstance(body, dict) or "files" in body:
            raise TypeError
        sent = Sent.model_validate(body)
        if (sent.text is None) == (sent.action is None) or (sent.filled is not None and sent.action is None):
            raise TypeError
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused(_HOW if not isinstance(error, ValidationError) else _first(error)) from None
    return sent.model_copy(update={"text": sent.text.strip()}) if sent.text else sent


_HOW = (
    'Send {"text": "/consortium ask …"}, {"action": "…"} or {"action": "…", "filled": {…}}, with "thread" and "id" '
    "where they are known."
)


def _first(error: ValidationError) -> str:
    first: Any = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f'"{where[:60]}": {str(first["msg"]).lower()}. {_HOW}'


async def _with_files(request: web.Request) -> Sent:
    """A form with the command in its part "command", and each file in a part "file"."""
    if (request.content_length or 0) > MAX_REQUEST:
        raise web.HTTPRequestEntityTooLarge(MAX_REQUEST, request.content_length or 0)
    command, files, left = b"", list[Upload](), MAX_REQUEST
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or part.name not in ("command", "file"):
                raise Refused("A form has the parts command and file.")
            data, size = await _part(part, MAX_BODY if part.name == "command" else MOST_BYTES, left)
            left -= size
            if part.name == "file":
                kind = part.headers.get("Content-Type", "application/octet-stream")
                files.append(Upload(part.filename or "file", kind, size, partial(_given, data)))
            elif size > MAX_BODY:
                raise web.HTTPRequestEntityTooLarge(MAX_BODY, size)
            else:
                command = data
    except ValueError:
        raise Refused("The form cannot be read.") from None
    return _sent(command).model_copy(update={"files": tuple(files)})


async def _part(part: BodyPartReader, most: int, left: int) -> tuple[bytes, int]:
    """The contents, if they are not too many, and their size. What is too much is read and thrown away: a browser that
    still sends hears of nothing. ``left`` is what may come of the request at all."""
    data, size = bytearray(), 0
    while chunk := await part.read_chunk(_CHUNK):
        size += len(chunk)
        if size <= most:
            data += chunk
        if size > left:
            raise web.HTTPRequestEntityTooLarge(MAX_REQUEST, MAX_REQUEST - left + size)
    return bytes(data), size


async def _given(data: bytes) -> bytes:
    return data
