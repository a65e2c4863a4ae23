"""Events come out the same however their bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.models.sse import EventDecoder

STREAM = (
    ": PROCESSING\n\n"
    'data: {"a": 1}\n\n'
    "event: message\nid: 7\ndata: first\ndata: second\n\n"
    ":\n: another comment\n"
    "data:no space\n\n"
    "retry: 10\n\n"
    "data: ünïcödé 🎉\n\n"
    "data: [DONE]\n\n"
).encode()
EVENTS = [b'{"a": 1}', b"first\nsecond", b"no space", "ünïcödé 🎉".encode(), b"[DONE]"]


def decode(pieces: list[bytes]) -> list[bytes]:
    decoder = EventDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.flush()


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@given(cuts=st.lists(st.integers(0, len(STREAM) + 20), max_size=12))
def test_cut_anywhere(newline: bytes, cuts: list[int]) -> None:
    stream = STREAM.replace(b"\n", newline)
    edges = [0, *sorted(cuts), len(stream)]
    assert decode([stream[a:b] for a, b in pairwise(edges)]) == EVENTS


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_byte_by_byte(newline: bytes) -> None:
    assert decode([bytes([byte]) for byte in STREAM.replace(b"\n", newline)]) == EVENTS


def test_last_event_without_its_blank_line() -> None:
    assert decode([b"data: one\n\ndata: tw", b"o"]) == [b"one", b"two"]
    assert decode([b"data: one\r\n\r\ndata: two\r"]) == [b"one", b"two"]


def test_events_are_given_as_soon_as_they_are_whole() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: one\n") == []
    assert decoder.pending == 3
    assert decoder.feed(b"\n") == [b"one"]
    assert decoder.pending == 0
