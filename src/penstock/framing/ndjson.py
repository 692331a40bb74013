"""Lines of JSON on bytes, incremental, for every way of splitting.

A *frame* is the verbatim bytes of one line with its LF, so that the frames joined are the stream. Only LF ends a line:
U+2028 and its kin are ordinary data, and so is a CR, which JSON takes for a space.

What is written in the dress of server-sent events, one JSON object a ``data`` line, comes through as its lines:
`undressed` finds the object in it.
"""

from __future__ import annotations

import re

from penstock.errors import FrameTooLarge

_BOM = b"\xef\xbb\xbf"
_DRESS = re.compile(rb"(?:data|event|id|retry)?:")


class NDJSONFramer:
    """Splits a byte stream into lines. ``limit`` bounds a line in bytes. A leading byte order mark is dropped."""

    idle = False

    __slots__ = ("_buffer", "_limit", "_started", "pending")

    def __init__(self, limit: int = 32 * 1024 * 1024):
        self._buffer: list[bytes] = []
        self._limit = limit
        self._started = False
        self.pending = 0
        """Bytes of the line that is not whole yet."""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes, in order. Raises FrameTooLarge; the framer is then of no more use."""
        if not self._started:
            data = b"".join((*self._buffer, data))
            self._buffer, self.pending = [], 0
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._buffer, self.pending = [data], len(data)
                return []
            self._started = True
            data = data.removeprefix(_BOM)
        if not self._buffer and data.find(b"\n") == len(data) - 1 and 0 < len(data) <= self._limit:
            return [data]
        *lines, rest = data.split(b"\n")
        if lines and self._buffer:
            lines[0] = b"".join((*self._buffer, lines[0]))
            self._buffer = []
        if lines:
            self.pending = 0
        if rest:
            self._buffer.append(rest)
            self.pending += len(rest)
        frames = [line + b"\n" for line in lines]
        for place, frame in enumerate(frames):
            if len(frame) > self._limit:
                raise FrameTooLarge(self._limit, frames[:place])
        if self.pending > self._limit:
            raise FrameTooLarge(self._limit, frames)
        return frames

    def close(self) -> bytes:
        """The bytes of a line without its end; often empty."""
        rest = b"".join(self._buffer)
        self._buffer, self.pending = [], 0
        return rest


def undressed(line: bytes) -> bytes | None:
    """The JSON of a line of an event stream: what follows ``data:``. Empty for its other lines (``event:``, comments),
    None for a line that is in no such dress."""
    match = _DRESS.match(line)
    if match is None:
        return None
    return line[5:].strip() if match[0] == b"data:" else b""
