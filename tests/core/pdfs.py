"""Small PDF files, a text a page."""

from __future__ import annotations

from io import BytesIO

from pypdf import PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

_FONT = DictionaryObject(
    {
        NameObject("/Type"): NameObject("/Font"),
        NameObject("/Subtype"): NameObject("/Type1"),
        NameObject("/BaseFont"): NameObject("/Helvetica"),
    }
)


def pdf(*pages: str) -> bytes:
    """A PDF with these pages; an empty text makes a page without any."""
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode() if text else b"")
        fonts = DictionaryObject({NameObject("/F1"): _FONT})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        page[NameObject("/Contents")] = writer._add_object(content)
    return _written(writer)


def mapped(text: str, meaning: str) -> bytes:
    """A PDF whose font says that the letter of ``text`` means this, in hexadecimal UTF-16."""
    writer = PdfWriter(clone_from=PdfReader(BytesIO(pdf(text))))
    font = writer.pages[0]["/Resources"]["/Font"]["/F1"].get_object()  # type: ignore[index]
    table = DecodedStreamObject()
    table.set_data(
        f"begincmap 1 begincodespacerange <00> <ff> endcodespacerange "
        f"1 beginbfchar <{ord(text):02x}> <{meaning}> endbfchar endcmap".encode()
    )
    font[NameObject("/ToUnicode")] = writer._add_object(table)
    return _written(writer)


def encrypted(data: bytes) -> bytes:
    """The same behind a password."""
    writer = PdfWriter(clone_from=PdfReader(BytesIO(data)))
    writer.encrypt("secret", algorithm="RC4-128")
    return _written(writer)


def _written(writer: PdfWriter) -> bytes:
    out = BytesIO()
    writer.write(out)
    return out.getvalue()
