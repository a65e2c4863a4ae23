"""The text of a PDF, read in a process of its own: a hostile file may take any time and memory, and both end with it.

Run as a program, this module is that process: it takes the file on its standard input and its limits as arguments, and
writes JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import suppress
from io import BytesIO
from math import ceil
from typing import Any
from weakref import WeakKeyDictionary

from core.errors import ConsortiumError

MEMORY = 2**30
"""Bytes of memory that reading a PDF may take, where the system bounds it."""

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")

_AT_ONCE = 4
_room: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class Locked(ConsortiumError):
    """It takes a password."""


class Damaged(ConsortiumError):
    """It is none, or broken."""


async def text_of(data: bytes, *, pages: int, characters: int, seconds: float) -> tuple[str, bool]:
    """The text of a PDF, and whether there is more of it than so many pages or characters.

    Raises Locked, Damaged, or TimeoutError after so many seconds.
    """
    async with _room.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE)):
        limits = (str(pages), str(characters), str(ceil(seconds) + 1))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "core.pdf", *limits),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},  # no key of ours is its business
        )
        try:
            async with asyncio.timeout(seconds):
                told, _ = await process.communicate(data)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
    match json.loads(told) if process.returncode == 0 else {}:
        case {"text": str(text), "more": bool(more)}:
            return text, more
        case {"locked": True}:
            raise Locked("It is protected by a password.")
        case _:  # it was too much for its process, too
            raise Damaged("It cannot be read.")


def _read(data: bytes, pages: int, characters: int) -> dict[str, Any]:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError

    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return {"locked": True}
        texts: list[str] = []
        more = False
        for number, page in enumerate(reader.pages):
            if more := number == pages or sum(map(len, texts)) > characters:
                break
            texts.append(_CONTROL.sub("", _whole(page.extract_text())).strip())
    except (DependencyError, FileNotDecryptedError):
        return {"locked": True}
    except Exception:  # noqa: BLE001 - a broken file may break its reader anywhere
        return {}
    return {"text": "\n\n".join(filter(None, texts))[: characters + 1], "more": more}


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs, which a PDF's fonts may name and nobody can encode."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _main() -> None:
    pages, characters, seconds = map(int, sys.argv[1:])
    with suppress(ImportError, ValueError, OSError):  # not everywhere
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))  # should nobody be there any more to end it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    json.dump(_read(sys.stdin.buffer.read(), pages, characters), sys.stdout)


if __name__ == "__main__":
    _main()
