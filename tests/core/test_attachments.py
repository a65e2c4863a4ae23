"""What comes with a question: what is read of it, and what is said of what cannot be."""

from __future__ import annotations

import asyncio
import random
import struct
import zlib
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core import attachments
from core.attachments import HEAVY_IMAGE, MOST_BYTES, MOST_CHARACTERS, SIDE, Material, Upload, read
from core.errors import Refused, Unavailable
from tests.core.pdfs import encrypted, mapped, pdf


def upload(data: bytes, name: str = "notes.txt", media_type: str = "text/plain", size: int | None = None) -> Upload:
    async def fetch() -> bytes:
        return data

    return Upload(name=name, media_type=media_type, size=len(data) if size is None else size, fetch=fetch)


async def refusal(data: bytes, name: str = "notes.txt", size: int | None = None) -> str:
    with pytest.raises(Refused) as refused:
        await read(upload(data, name, size=size))
    assert name[:20] in str(refused.value)
    return str(refused.value)


def drawn(kind: str, size: tuple[int, int] = (40, 20), mode: str = "RGB", noise: bool = False) -> bytes:
    image = Image.new(mode, size, "red" if mode == "RGB" else 0)
    if noise:
        image = Image.frombytes(mode, size, random.Random(1).randbytes(size[0] * size[1] * len(image.getbands())))
    out = BytesIO()
    image.save(out, kind)
    return out.getvalue()


# --- texts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Zürich ✓\n".encode(), "Zürich ✓\n"),
        (b"\xef\xbb\xbfwith a mark", "with a mark"),
        ("Zürich ✓".encode("utf-16"), "Zürich ✓"),
        ("Zürich".encode("utf-16-be").join([b"\xfe\xff", b""]), "Zürich"),
        ("Zürich, “so”".encode("cp1252"), "Zürich, “so”"),
        (b"one\r\ntwo\rthree\tfour\x1b[0m", "one\ntwo\nthree\tfour\x1b[0m"),
    ],
)
async def test_texts_are_read_in_the_encodings_that_people_have(data: bytes, text: str) -> None:
    material = await read(upload(data))
    assert (material.text, material.image) == (text, None)
    about = material.attachment
    assert (about.name, about.media_type, about.size, about.kind) == ("notes.txt", "text/plain", len(data), "text")
    assert not about.shortened


@pytest.mark.parametrize("name", ["main.rs", "data.json", "Makefile", "query.sql", "odd.xyz"])
async def test_code_is_text_whatever_it_is_called(name: str) -> None:
    material = await read(upload(b"x = 1\n", name, "application/octet-stream"))
    assert (material.text, material.attachment.name) == ("x = 1\n", name)


async def test_a_long_text_is_cut_and_says_so() -> None:
    material = await read(upload(b"a" * (MOST_CHARACTERS + 1)))
    assert material.text == "a" * MOST_CHARACTERS
    assert material.attachment.shortened
    assert not (await read(upload(b"a" * MOST_CHARACTERS))).attachment.shortened


@pytest.mark.parametrize("data", [b"\x7fELF\x02\x01\x01\x00", b"text\x00text", b"\x81\x8d\x8f", bytes(range(256))])
async def test_what_is_no_text_is_refused_with_what_would_do(data: bytes) -> None:
    said = await refusal(data)
    assert "is no text" in said
    assert "PDF" in said


@pytest.mark.parametrize("data", [b"", b" \n ", "\u3000\n".encode()])
async def test_an_empty_file_is_refused(data: bytes) -> None:
    said = await refusal(data)
    assert "empty" in said or "nothing but space" in said


@settings(deadline=None)  # a PDF is read by a process of its own
@given(data=st.binary(max_size=300))
def test_whatever_the_bytes_there_is_a_text_or_a_reason(data: bytes) -> None:
    with suppress(Refused):
        material = asyncio.run(read(upload(data)))
        assert (material.text or "").strip()
        assert "\0" not in (material.text or "")


# --- limits ---------------------------------------------------------------------------------------------


async def test_a_file_that_is_too_large_is_not_downloaded() -> None:
    async def never() -> bytes:
        raise AssertionError

    with pytest.raises(Refused, match=r"“big\.txt” has 10\.0 MB; an attachment may have 10 MB"):
        await read(Upload(name="big.txt", media_type="text/plain", size=MOST_BYTES + 1, fetch=never))
    with pytest.raises(Refused, match=r"“book\.docx” is a word processor's document"):
        await read(Upload(name="book.docx", media_type="", size=1, fetch=never))


async def test_a_size_that_was_announced_is_not_believed() -> None:
    assert "may have 10 MB" in await refusal(b"a" * (MOST_BYTES + 1), size=5)


async def test_what_was_announced_of_a_file_is_not_believed() -> None:
    about = (await read(upload(b"plain words", "photo.png", "image/png", size=5))).attachment
    assert (about.kind, about.media_type, about.size) == ("text", "text/plain", 11)
    about = (await read(upload(b"{}", "a.json", "application/json; charset=utf-8"))).attachment
    assert about.media_type == "application/json"


async def test_what_the_download_says_is_passed_on() -> None:
    async def away() -> bytes:
        raise Unavailable("Slack does not answer.")

    with pytest.raises(Unavailable, match="Slack"):
        await read(Upload(name="a.txt", media_type="text/plain", size=1, fetch=away))


async def test_a_name_is_one_line_of_bounded_length() -> None:
    about = (await read(upload(b"x", "a\nb\u202e" + "c" * 200 + ".txt"))).attachment
    assert len(about.name) == 100
    assert about.name.startswith("a bccc")
    assert about.name.endswith(".txt")


# --- PDF ------------------------------------------------------------------------------------------------


async def test_a_pdf_is_read_as_its_text() -> None:
    material = await read(upload(pdf("First page.", "Second page."), "paper.pdf", "application/pdf"))
    assert material.text == "First page.\n\nSecond page."
    assert (material.attachment.media_type, material.attachment.shortened) == ("application/pdf", False)


async def test_a_pdf_is_one_whatever_it_is_called() -> None:
    assert (await read(upload(pdf("So."), "paper.txt"))).text == "So."


async def test_of_a_long_pdf_the_beginning_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MOST_PAGES", 2)
    material = await read(upload(pdf("One.", "Two.", "Three."), "long.pdf"))
    assert (material.text, material.attachment.shortened) == ("One.\n\nTwo.", True)
    monkeypatch.setattr(attachments, "MOST_CHARACTERS", 3)
    material = await read(upload(pdf("One.", "Two."), "long.pdf"))
    assert (material.text, material.attachment.shortened) == ("One", True)


async def test_what_a_pdf_says_can_be_encoded() -> None:
    text = (await read(upload(mapped("a", "d83d"), "odd.pdf"))).text
    assert text
    assert text.encode().decode() == text


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (encrypted(pdf("Secret.")), "protected by a password"),
        (pdf(""), "holds no text, only pictures"),
        (pdf("So.")[:200], "damaged"),
        (b"%PDF-1.7\n%%EOF", "damaged"),
    ],
)
async def test_a_pdf_that_cannot_be_read_says_why(data: bytes, why: str) -> None:
    assert why in await refusal(data, "paper.pdf")


async def test_reading_a_pdf_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "PDF_SECONDS", 0.01)
    assert "takes more than 0.01 s" in await refusal(pdf(*["Word. " * 50] * 100), "slow.pdf")


# --- pictures -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_pictures_go_through_as_they_are(kind: str) -> None:
    data = drawn(kind)
    material = await read(upload(data, "photo.bin", "application/octet-stream"))
    about = material.attachment
    assert (material.image, material.text) == (data, None)
    assert (about.media_type, about.kind, about.size) == (f"image/{kind.lower()}", "image", len(data))


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("GIF", "L"), ("JPEG", "RGB")])
async def test_a_heavy_picture_is_made_smaller(kind: str, mode: str) -> None:
    data = drawn(kind, (2600, 1300) if kind == "JPEG" else (2000, 1000), mode, noise=True)
    assert len(data) > HEAVY_IMAGE
    material = await read(upload(data, "photo.png", "image/png"))
    assert material.image
    assert len(material.image) <= HEAVY_IMAGE
    assert material.attachment.media_type == "image/jpeg"
    with Image.open(BytesIO(material.image)) as smaller:
        assert (smaller.format, smaller.size) == ("JPEG", (SIDE, SIDE // 2))


async def test_huge_pictures_are_looked_at_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "HEAVY_IMAGE", 10)
    at_work, most, smaller = 0, 0, attachments._smaller

    def counted(image: Image.Image) -> tuple[bytes, str]:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        made = smaller(image)
        at_work -= 1
        return made

    monkeypatch.setattr(attachments, "_smaller", counted)
    await asyncio.gather(*(read(upload(drawn("PNG", (2000, 2000)), "huge.png")) for _ in range(4)))
    assert most == 1


def bomb(width: int, height: int) -> bytes:
    """The head of a PNG that would be huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (bomb(8001, 10), "8,001 by 10 pixels; a picture may have 8,000 a side"),
        (bomb(60000, 60000), "too many pixels"),
        (bomb(11000, 11000), "pixels"),
        (drawn("PNG")[:20], "damaged"),
        (b"\xff\xd8\xff" + b"x" * 50, "damaged"),
        (drawn("PNG", (2000, 1000), noise=True)[:3_000_000], "damaged"),
    ],
)
async def test_a_picture_that_cannot_be_shown_says_why(data: bytes, why: str) -> None:
    assert why in await refusal(data, "photo.png")


def test_a_material_can_be_kept() -> None:
    material = asyncio.run(read(upload(b"x")))
    assert Material.model_validate(material.model_dump()) == material
