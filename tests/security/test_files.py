"""Files that are made to do harm cost bounded time and memory, and nothing leads where it was not meant to."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
import zipfile
import zlib
from collections.abc import AsyncIterator
from functools import cache
from io import BytesIO

import aiohttp
import psutil
import pytest
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from adapters.discord.files import Files
from adapters.models.openai import Connections, OpenAIModel
from adapters.slack.api import Api
from core import attachments
from core.attachments import Upload, read
from core.catalog import ModelSpec, Provider
from core.errors import ModelError, Refused
from core.ports import Message, Prompt
from tests.emulators.serving import listening

MEGABYTE = 2**20


def pdf_of(content: bytes, filters: str, pages: int = 1) -> bytes:
    """A PDF whose pages all have the same content, packed as the filters say."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b"3 0 R " * pages, pages),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources "
        b"<< /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Courier >> >> >> >>",
        b"<< /Length %d /Filter [%s] >>\nstream\n%s\nendstream" % (len(content), filters.encode(), content),
    ]
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out) + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % start


def packed(megabyte: bytes, times: int) -> bytes:
    """A megabyte so many times over, packed without packing it that often: after a full flush nothing is remembered."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(megabyte) + packer.flush(zlib.Z_FULL_FLUSH)
    check = 1
    for _ in range(times):
        check = zlib.adler32(megabyte, check)
    return b"\x78\xda" + first * times + packer.flush() + check.to_bytes(4, "big")


def endless() -> bytes:
    """Some kilobytes that are an hour of work."""
    return pdf_of(packed(b"q Q BT () Tj ET " * (MEGABYTE // 16), 60), "/FlateDecode", attachments.MOST_PAGES)


def swelling() -> bytes:
    """Some kilobytes that are more than a gigabyte once they are unpacked twice."""
    return pdf_of(zlib.compress(packed(bytes(MEGABYTE), 1200), 9), "/FlateDecode /FlateDecode")


def test_the_bombs_are_what_they_look_like() -> None:
    assert zlib.decompress(packed(bytes(MEGABYTE), 3)) == bytes(3 * MEGABYTE)


def upload(data: bytes, name: str) -> Upload:
    async def fetch() -> bytes:
        return data

    return Upload(name=name, media_type="application/octet-stream", size=len(data), fetch=fetch)


@pytest.mark.parametrize("bomb", [endless, swelling])
async def test_a_pdf_that_would_take_hours_or_gigabytes_ends_with_its_process(
    bomb: type[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachments, "PDF_SECONDS", 1.5)
    data = bomb()
    assert len(data) < MEGABYTE
    before = psutil.Process().memory_info().rss
    with pytest.raises(Refused, match=r"“plan.pdf” (takes more than 1.5 s to read|cannot be read)"):
        await read(upload(data, "plan.pdf"))
    assert psutil.Process().memory_info().rss - before < 100 * MEGABYTE, "it is not unpacked in this process"
    assert not [child for child in psutil.Process().children() if "core.pdf" in child.cmdline()]


def test_a_pdf_whose_reader_nobody_waits_for_any_more_ends_too() -> None:
    """As after a crash of the process that began it."""
    reader = subprocess.run(
        [sys.executable, "-I", "-m", "core.pdf", "100", "40000", "1"], input=endless(), capture_output=True, timeout=60
    )
    assert reader.returncode in (-signal.SIGXCPU, -signal.SIGKILL)


@cache
def zipped() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", bytes(50 * MEGABYTE))
    return out.getvalue()


@cache
def gzipped() -> bytes:
    return gzip.compress(bytes(50 * MEGABYTE))


@pytest.mark.parametrize("name", ["notes.txt", "notes.zip", "notes.docx", "notes.pdf", "notes.png", "notes"])
@pytest.mark.parametrize("bomb", [zipped, gzipped])
async def test_archives_are_never_unpacked_whatever_they_are_called(bomb: type[bytes], name: str) -> None:
    with pytest.raises(Refused, match=f"“{name}” is"):
        await read(upload(bomb(), name))


def stepwise(scans: int, side: int = 800) -> bytes:
    """A grey JPEG that becomes clear in so many steps. Each is some bytes, says of all blocks that they stay as they
    are, and costs a decoder a walk over the whole picture."""
    head = b"\xff\xd8\xff\xdb\0\x43\0" + b"\x01" * 64
    head += b"\xff\xc2\0\x0b\x08" + side.to_bytes(2, "big") * 2 + b"\x01\x01\x11\0"
    codes = b"".join(
        b"\xff\xc4\0\x14" + kind + b"\x01" + bytes(15) + sign for kind, sign in ((b"\0", b"\0"), (b"\x10", b"\xe0"))
    )
    blocks = (side // 8) ** 2
    first = b"\xff\xda\0\x08\x01\x01\0\0\0\0" + bytes(-(-blocks // 8))
    step = b"\xff\xda\0\x08\x01\x01\0\x01\x3f\0" + b"\x7f\xff\0" * -(-blocks // 32_767)
    return head + codes + first + step * scans + b"\xff\xd9"


async def test_a_picture_that_would_be_decoded_for_hours_is_not() -> None:
    padding = bytes(attachments.HEAVY_IMAGE)  # only heavy ones are decoded
    with pytest.raises(Refused, match=r"“plan.jpg” is packed in far too many steps"):
        await read(upload(stepwise(attachments.MOST_SCANS) + padding, "plan.jpg"))
    shown = await read(upload(stepwise(attachments.MOST_SCANS - 1) + padding, "plan.jpg"))
    assert shown.attachment.media_type == "image/jpeg"


# --- where files are fetched from -----------------------------------------------------------------------


class Trap:
    """A server inside, which nobody from outside may make us ask."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.Response(text="secret")


@pytest.fixture
async def trap() -> AsyncIterator[tuple[Trap, str]]:
    inside = Trap()
    async with listening(web.get("/{path:.*}", inside.answer)) as url:
        yield inside, url.removeprefix("http://")


FORGED = (
    "http://{inside}/latest/meta-data",
    "https://{inside}/",
    "https://cdn.discordapp.com@{inside}/a.txt",
    "https://files.slack.com@{inside}/a.txt",
    "https://cdn.discordapp.com.{inside}/a.txt",
    "http://cdn.discordapp.com/a.txt",
    "http://files.slack.com/a.txt",
    "https://cdn.discordapp.com:8443/a.txt",
    "https://evilslack.com/a.txt",
    "https://slack.com.evil.example/a.txt",
    "https://[::1]/a.txt",
    "https://[not an address/a.txt",
    "file:///etc/passwd",
    "//{inside}/a.txt",
    "ftp://cdn.discordapp.com/a.txt",
    "",
)


@pytest.mark.parametrize("url", FORGED)
async def test_links_of_attachments_lead_to_the_platforms_alone(trap: tuple[Trap, str], url: str) -> None:
    inside, address = trap
    link = url.format(inside=address)
    discord = Files(None)
    option = {"filename": "a.txt", "content_type": "text/plain", "size": 6, "url": link}
    try:
        with pytest.raises(Refused, match="does not lie with Discord"):
            await discord.of_option(option).fetch()
    finally:
        await discord.close()
    async with aiohttp.ClientSession() as session:
        slack = Api(AsyncWebClient("xoxb-x", "https://slack.com/api/", session=session), session, "B1", ())
        assert not slack.owns(link), "neither the request nor the token goes there"
    assert inside.asked == []


async def test_a_redirect_of_the_platform_is_not_followed(trap: tuple[Trap, str]) -> None:
    inside, address = trap

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://{address}/secret")

    async with listening(web.get("/a.txt", away)) as base:
        files = Files(f"{base}/api")
        option = {"filename": "a.txt", "content_type": "text/plain", "size": 6, "url": f"{base}/a.txt"}
        try:
            with pytest.raises(Refused, match=r"does not give .a.txt. away"):
                await files.of_option(option).fetch()
        finally:
            await files.close()
    assert inside.asked == []


async def test_a_redirect_of_a_provider_is_not_followed(trap: tuple[Trap, str]) -> None:
    """It would take the question, and perhaps the key, to wherever it points."""
    inside, address = trap

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(f"http://{address}/v1/chat/completions")

    async with listening(web.post("/v1/chat/completions", away)) as base:
        provider = Provider(base_url=f"{base}/v1", api_key_env="KEY")
        connections = Connections()
        model = OpenAIModel("ada", ModelSpec(provider="p", name="ada"), provider, connections, secret="sk-hidden")
        try:
            with pytest.raises(ModelError, match="points to another address"):
                await model.complete(Prompt(messages=(Message(role="user", content="Why?"),)), timeout=5)
        finally:
            await connections.aclose()
    assert inside.asked == []
