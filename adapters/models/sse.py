"""Server-sent events, read from bytes as they come."""

from __future__ import annotations


class EventDecoder:
    """Collects the ``data`` of events from pieces of bytes that may be cut anywhere.

    Comments (lines that begin with a colon) and all other fields are skipped: the protocol needs none of them.
    """

    __slots__ = ("_data", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    @property
    def pending(self) -> int:
        """How many bytes wait for the rest of their event."""
        return len(self._rest) + sum(map(len, self._data))

    def feed(self, piece: bytes) -> list[bytes]:
        """Take in more bytes; returns the data of all events that are whole now."""
        text = self._rest + piece if self._rest else piece
        held = b""
        if b"\r" in text:
            if text.endswith(b"\r"):  # perhaps the first half of a CRLF: its line ends with the next piece
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = text.split(b"\n")
        self._rest = lines.pop() + held
        return self._events(lines)

    def flush(self) -> list[bytes]:
        """The data of an event that the end of the stream cut off before its blank line."""
        lines = [self._rest.rstrip(b"\r"), b""]
        self._rest = b""
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data = []
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        return events
