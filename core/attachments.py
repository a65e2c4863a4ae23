"""What comes with a question: texts, code, PDF and images, read into what members can be shown.

A file is what its bytes are, whatever it is called. Limits are stated to whoever exceeds them; nothing is cut without
saying so.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

from core import pdf
from core.asks import Attachment, Value
from core.errors import Refused
from core.telemetry import get_logger

if TYPE_CHECKING:
    from PIL.Image import Image

log = get_logger(__name__)

MOST_FILES = 5
"""Attachments of one question."""

MOST_BYTES = 10 * 2**20
"""Bytes of one attachment."""

MOST_CHARACTERS = 40_000
"""Characters of text of one attachment that members are shown."""

MOST_PAGES = 100
"""Pages of a PDF that are read."""

PDF_SECONDS = 10.0
"""How long reading a PDF may take."""

MOST_PIXELS = 8000
"""Pixels of an image's longer side."""

HEAVY_IMAGE, SIDE = 1_500_000, 1568
"""From how many bytes on an image is made smaller, and the pixels of its longer side then: models look at no more."""

MOST_SCANS = 100
"""How often a JPEG may go over its picture. Those that become clear in steps do so some ten times; each time costs as
much as the whole picture, whatever it holds."""

READABLE = (
    "Texts and code, PDF with text, and pictures as PNG, JPEG, GIF or WebP are read, each of at most "
    f"{MOST_BYTES // 2**20} MB."
)


@dataclass(frozen=True)
class Upload:
    """A file as a platform announces it. ``fetch`` downloads it; it raises :class:`core.errors.Refused` or Unavailable
    with a sentence for people."""

    name: str
    media_type: str
    size: int
    fetch: Callable[[], Awaitable[bytes]]


class Material(Value):
    """An attachment with its contents: ``text``, or the bytes of an image. ``earlier`` tells that it came with an
    earlier question of the thread."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    attachment: Attachment
    text: str | None = None
    image: bytes | None = None
    earlier: bool = False


async def read(upload: Upload) -> Material:
    """Download a file and read what is in it.

    ``attachment.size`` is that of the file; its ``media_type`` is what the contents are: of a picture that was made
    smaller, that of the smaller one. Raises Refused, naming the file, what is wrong and what would do; Unavailable
    when it cannot be downloaded.
    """
    name = _shown(upload.name)
    if upload.size > MOST_BYTES:
        raise _too_large(name, upload.size)
    if refused := _UNREAD.get(_extension(name)):
        raise Refused(f"“{name}” is {refused}, which cannot be read here. {READABLE}")
    data = await upload.fetch()
    if len(data) > MOST_BYTES:
        raise _too_large(name, len(data))
    if not data.strip():
        raise Refused(f"“{name}” is empty. Attach it again, or leave it out.")
    size = len(data)  # what was announced is only believed where it is too much
    if kind := _image_type(data):
        data, media_type = await asyncio.get_running_loop().run_in_executor(_LIGHTBOX, _image, name, data, kind)
        return Material(attachment=_about(name, media_type, size, "image"), image=data)
    if b"%PDF-" in data[:1024]:
        text, more = await _pdf(name, data)
        media_type = "application/pdf"
    else:
        text, more = await asyncio.to_thread(_text, name, data), False
        claimed = upload.media_type.partition(";")[0].strip().lower()
        media_type = claimed if _OF_TEXTS.fullmatch(claimed) else "text/plain"
    shortened = more or len(text) > MOST_CHARACTERS
    about = _about(name, media_type, size, "text", shortened=shortened)
    return Material(attachment=about, text=text[:MOST_CHARACTERS])


def _about(name: str, media_type: str, size: int, kind: str, *, shortened: bool = False) -> Attachment:
    fields: dict[str, Any] = {"media_type": media_type, "kind": kind, "shortened": shortened}
    return Attachment(name=name, size=size, **fields)


def _shown(name: str) -> str:
    """A file's name as people and members see it: one line, of bounded length, its end kept."""
    name = " ".join("".join(c for c in name if c.isprintable() or c.isspace()).split()) or "file"
    return name if len(name) <= 100 else f"{name[:70]}…{name[-29:]}"


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _too_large(name: str, size: int) -> Refused:
    return Refused(
        f"“{name}” has {size / 2**20:,.1f} MB; an attachment may have {MOST_BYTES // 2**20} MB. Attach the part that "
        "matters."
    )


_UNREAD = {
    **dict.fromkeys(("doc", "docx", "odt", "pages", "rtf"), "a word processor's document"),
    **dict.fromkeys(("xls", "xlsx", "ods", "numbers"), "a spreadsheet"),
    **dict.fromkeys(("ppt", "pptx", "odp", "key"), "a presentation"),
    **dict.fromkeys(("zip", "gz", "tgz", "tar", "bz2", "xz", "7z", "rar", "zst"), "an archive"),
    **dict.fromkeys(("mp3", "wav", "ogg", "m4a", "flac", "opus"), "a sound"),
    **dict.fromkeys(("mp4", "mov", "avi", "mkv", "webm"), "a film"),
    **dict.fromkeys(("heic", "heif", "avif", "tif", "tiff", "bmp", "psd"), "a picture of another kind"),
    **dict.fromkeys(("exe", "dll", "so", "dmg", "iso", "apk"), "a program"),
}
"""What need not be downloaded to know that it cannot be read, by the end of its name."""


# --- text -----------------------------------------------------------------------------------------------

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
"""What no text holds; tabs, line and page breaks and the escapes of a terminal it may."""

_OF_TEXTS = re.compile(
    r"text/[\w.+-]{1,60}|application/([\w.-]{1,60}\+)?(json|xml|yaml|toml|javascript|sql|x-[\w.-]{1,60})"
)
"""What a text may claim to be."""


def _text(name: str, data: bytes) -> str:
    """Raises Refused for what is no text."""
    text = _decoded(data)
    if text is None or _CONTROL.search(text):
        raise Refused(f"“{name}” is no text: it holds bytes that no text has. {READABLE}")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise Refused(f"“{name}” holds nothing but space. Attach it again, or leave it out.")
    return text


def _decoded(data: bytes) -> str | None:
    """UTF-16 says what it is; all else is UTF-8 or, if it cannot be that, what Windows makes of Latin-1."""
    encodings = ["utf-16"] if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


# --- PDF ------------------------------------------------------------------------------------------------


async def _pdf(name: str, data: bytes) -> tuple[str, bool]:
    """The text of a PDF, and whether there is more of it than was read. Raises Refused."""
    try:
        text, more = await pdf.text_of(data, pages=MOST_PAGES, characters=MOST_CHARACTERS, seconds=PDF_SECONDS)
    except TimeoutError:
        raise Refused(
            f"“{name}” takes more than {PDF_SECONDS:g} s to read. Attach the pages that matter, or their text."
        ) from None
    except pdf.Locked:
        raise Refused(f"“{name}” is protected by a password. Attach a copy without one.") from None
    except pdf.Damaged:
        raise Refused(
            f"“{name}” cannot be read: as a PDF it is damaged. Attach a copy that opens, or its text."
        ) from None
    if not text.strip():
        raise Refused(f"“{name}” holds no text, only pictures of it. Attach its pages as PNG or JPEG.")
    return text, more


# --- images ---------------------------------------------------------------------------------------------


_LIGHTBOX = ThreadPoolExecutor(1, thread_name_prefix="pictures")
"""Where pictures are looked at, one at a time: decoded they take hundreds of megabytes, however small their files."""


_SCAN = b"\xff\xda"
"""What begins a scan of a JPEG."""


def _image_type(data: bytes) -> str | None:
    """What kind of picture this is, by its first bytes."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else None


def _image(name: str, data: bytes, media_type: str) -> tuple[bytes, str]:
    """The picture as models take it, with its media type. Only a heavy one is decoded. Raises Refused."""
    from PIL import Image

    try:
        with Image.open(BytesIO(data), formats=("PNG", "JPEG", "GIF", "WEBP")) as image:
            if max(image.size) > MOST_PIXELS:
                raise _too_many_pixels(name, f"{image.width:,} by {image.height:,} pixels")
            if media_type == "image/jpeg" and data.count(_SCAN) > MOST_SCANS:  # in what is packed, 0xff has 0 behind it
                raise Refused(
                    f"“{name}” is packed in far too many steps. Attach a copy that was saved anew, as PNG, say."
                )
            return (data, media_type) if len(data) <= HEAVY_IMAGE else _smaller(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(name, "far too many pixels") from None
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - a broken file may break its reader anywhere
        log.info("picture not readable", error=type(error).__name__, detail=str(error)[:200])
        raise Refused(f"“{name}” cannot be read: as a picture it is damaged. Attach a copy that opens.") from None


def _too_many_pixels(name: str, size: str) -> Refused:
    return Refused(f"“{name}” has {size}; a picture may have {MOST_PIXELS:,} a side. Attach a smaller copy.")


def _smaller(image: Image) -> tuple[bytes, str]:
    """A JPEG of bounded size, the right way up, transparent parts white; of a moving picture the first one."""
    from PIL import Image, ImageOps

    image.draft("RGB", (SIDE, SIDE))
    if image.mode not in ("L", "RGB", "RGBA"):  # those of a palette cannot be blended
        image = image.convert("RGBA")
    image.thumbnail((SIDE, SIDE))  # before all else: the whole of it is large
    upright = ImageOps.exif_transpose(image).convert("RGBA")
    flat = Image.new("RGB", upright.size, "white")
    flat.paste(upright, mask=upright)
    out = BytesIO()
    flat.save(out, "JPEG", quality=85)
    return out.getvalue(), "image/jpeg"
