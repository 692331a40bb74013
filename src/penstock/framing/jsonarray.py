"""One JSON array that arrives in pieces: an incremental scanner on bytes (wire-formats.md §6.1).

A *frame* is the verbatim bytes of one element with what stands before it: the first has the opening bracket, later
ones the comma and its line end, the last is the closing bracket with the space before it. Joined with the rest, the
frames are the bytes. Nothing is decoded: only brackets outside strings are counted, so that a piece may end anywhere,
also inside a string, an escape or a number. Whether an element is JSON is for the reader to see.
"""

from __future__ import annotations

import re

from penstock.errors import FrameTooLarge

_BOM = b"\xef\xbb\xbf"
# Simple on purpose: before Python 3.11.5 possessive groups match wrongly.
_STRUCTURE = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'["\\]')


class JSONArrayFramer:
    """Splits an array into frames, one for each element that is an object or an array. ``limit`` bounds a frame in
    bytes. An element of another kind goes with the frame after it. What follows the closing bracket is held as the
    rest. A leading byte order mark is dropped.
    """

    idle = False

    __slots__ = ("_buffer", "_depth", "_in_string", "_limit", "_scanned", "_started", "closed")

    def __init__(self, limit: int = 32 * 1024 * 1024):
        self._buffer = bytearray()
        self._scanned = 0
        self._depth = 0
        self._in_string = False
        self._started = False
        self._limit = limit
        self.closed = False
        """The closing bracket came."""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes, in order. Raises FrameTooLarge; the framer is then of no more use."""
        buffer = self._buffer
        buffer += data
        if not self._started:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                return []
            self._started = True
            if buffer.startswith(_BOM):
                del buffer[: len(_BOM)]
        frames: list[bytes] = []
        begin, at = 0, self._scanned
        while not self.closed and (at := self._next(at)) >= 0:
            frames.append(bytes(buffer[begin:at]))
            begin = at
        del buffer[:begin]
        self._scanned = len(buffer) if self.closed else self._scanned - begin
        for place, frame in enumerate(frames):
            if len(frame) > self._limit:
                raise FrameTooLarge(self._limit, frames[:place])
        if len(buffer) > self._limit:
            raise FrameTooLarge(self._limit, frames)
        return frames

    @property
    def pending(self) -> int:
        """Bytes of the element that is not whole yet."""
        return len(self._buffer)

    def close(self) -> bytes:
        """What is left at the end: half an element, or what followed the array."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        return rest

    def _next(self, at: int) -> int:
        """Where the next element or the array ends, looked for from ``at``; -1 when that is not here yet."""
        buffer, depth, in_string = self._buffer, self._depth, self._in_string
        while match := (_IN_STRING if in_string else _STRUCTURE).search(buffer, at):
            at = match.end()
            byte = buffer[at - 1]
            if byte == 34:
                in_string = not in_string
            elif byte == 92:
                if at == len(buffer):
                    # What it escapes is not here yet.
                    self._scanned, self._depth, self._in_string = at - 1, depth, True
                    return -1
                at += 1
            elif byte == 123 or byte == 91:
                depth += 1
            else:
                depth -= 1
                if depth <= 1:
                    self._depth, self._in_string = depth, False
                    self.closed = depth <= 0
                    return at
        self._scanned, self._depth, self._in_string = len(buffer), depth, in_string
        return -1
