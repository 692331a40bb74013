"""Server-sent events on bytes: WHATWG HTML §9.2, incremental, for every way of splitting.

A *frame* is the verbatim bytes of one block with its blank line, so that the frames joined are the stream. Only LF,
CRLF and CR end a line; U+2028 and its kin are ordinary data because nothing is decoded here.

A blank line is waited for to its last byte: LF CR and CRLF CR may be half of a CRLF, whose LF belongs to the frame.
Only after CR CR nothing is waited for, since a stream of lone CRs never sends more. Should an LF follow after all it
comes as a frame of its own, a lone ``\\n``, which means nothing but must not be lost from the bytes.
"""

from __future__ import annotations

import re

import msgspec

from penstock.errors import FrameTooLarge

BOM = b"\xef\xbb\xbf"
# The end of a line, then at once another one. The order of alternatives makes CRLF one line end.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n)(?:\r\n|\n|\r(?=[^\n]))|\r(?!\n)(?:\r\n|\n|\r)")

_LARGE = 64 * 1024
"""From this size on a pending block is not joined anew with every piece, which would take quadratic time."""
_TAIL = 4
"""Bytes in which a blank line may have begun."""


class SSEFramer:
    """Splits a byte stream into frames. ``limit`` bounds a frame in bytes.

    A leading byte order mark is dropped: it belongs to the encoding, and clients lose the first event over it.
    """

    __slots__ = ("_after_cr", "_buffer", "_later", "_later_size", "_limit", "_scanned", "_started", "_tail", "idle")

    def __init__(self, limit: int = 32 * 1024 * 1024):
        self._buffer = b""
        self._scanned = 0
        self._later: list[bytes] = []
        """Pieces of a large block, known not to end in them: joined when it does."""
        self._later_size = 0
        self._tail = b""
        self._limit = limit
        self._after_cr = False
        self._started = False
        self.idle = False
        """Nothing is pending: no block begun, no CR whose LF may come."""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes, in order. Raises FrameTooLarge; the framer is then of no more use."""
        if self.idle and b"\r" not in data:
            if 0 <= data.find(b"\n\n") == len(data) - 2 < self._limit - 1:
                return [data]
            parts = data.split(b"\n\n")
            self._buffer = rest = parts.pop()
            self._scanned = len(rest)
            self.idle = not rest
            frames = [part + b"\n\n" for part in parts]
            self._check(frames)
            return frames
        if self.idle and self._one_line_in_crlf(data):
            return [data]
        frames = self._feed_slowly(data)
        self.idle = self._started and not self._buffer and not self._after_cr
        return frames

    def close(self) -> bytes:
        """What is left at the end of the stream: the bytes of an unterminated block, often empty."""
        rest = b"".join((self._buffer, *self._later))
        self._buffer, self._later, self._later_size, self._scanned = b"", [], 0, 0
        return rest

    @property
    def pending(self) -> int:
        """Bytes of the block that is not whole yet."""
        return len(self._buffer) + self._later_size

    def _one_line_in_crlf(self, data: bytes) -> bool:
        """One line and the blank one, as providers that end their lines with CRLF send nearly always."""
        size = len(data)
        return (
            data.find(b"\n") == size - 3
            and data.find(b"\r") == size - 4
            and data.endswith(b"\r\n")
            and size <= self._limit
        )

    def _feed_slowly(self, data: bytes) -> list[bytes]:
        if not self._started:
            head = self._buffer + data
            if len(head) < len(BOM) and BOM.startswith(head):
                self._buffer = head
                return []
            self._started = True
            self._buffer = b""
            data = head.removeprefix(BOM)
        if len(self._buffer) > _LARGE:
            if not self._ends_in(data):
                return []
            data = b"".join((*self._later, data))
            self._later, self._later_size = [], 0
        frames: list[bytes] = []
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == 10:
                frames.append(b"\n")
                data = data[1:]
        buffer = self._buffer + data if self._buffer else data
        position = 0
        # A line end may have begun up to two bytes before what was already looked at.
        search_from = max(0, self._scanned - 2)
        if b"\r" in buffer:
            for match in _BLANK_LINE.finditer(buffer, search_from):
                frames.append(buffer[position : match.end()])
                position = match.end()
            self._after_cr = position == len(buffer) and position > 0 and buffer[-1] == 13
        else:
            while (found := buffer.find(b"\n\n", search_from)) >= 0:
                frames.append(buffer[position : found + 2])
                position = search_from = found + 2
        self._buffer = buffer[position:]
        self._scanned = len(self._buffer)
        self._check(frames)
        return frames

    def _ends_in(self, data: bytes) -> bool:
        """Whether the large block that is pending may end within ``data``; if not, ``data`` is put by."""
        probe = (self._tail or self._buffer[-_TAIL:]) + data
        if _BLANK_LINE.search(probe):
            self._tail = b""
            return True
        self._later.append(data)
        self._later_size += len(data)
        self._tail = probe[-_TAIL:]
        if self.pending > self._limit:
            raise FrameTooLarge(self._limit, [])
        return False

    def _check(self, frames: list[bytes]) -> None:
        for place, frame in enumerate(frames):
            if len(frame) > self._limit:
                raise FrameTooLarge(self._limit, frames[:place])
        if len(self._buffer) > self._limit:
            raise FrameTooLarge(self._limit, frames)


class Block(msgspec.Struct, gc=False):
    """The fields of one frame. ``data`` is None when the block has no data field and so is no event."""

    data: bytes | None = None
    event: bytes | None = None
    id: bytes | None = None
    retry: int | None = None
    comment: bool = False
    unknown: tuple[tuple[bytes, bytes], ...] = ()
    """Fields that the standard does not know and every client ignores: some servers put errors there."""


def parse(frame: bytes) -> Block:
    """The fields of a frame, per WHATWG §9.2.6. Blank lines are passed over."""
    block = Block()
    data: list[bytes] = []
    for line in frame.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        if not line:
            continue
        name, _, value = line.partition(b":")
        if not name:
            block.comment = True
            continue
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            data.append(value)
        elif name == b"event":
            block.event = value
        elif name == b"id":
            if b"\0" not in value:
                block.id = value
        elif name == b"retry":
            if value.isdigit():
                block.retry = int(value)
        else:
            block.unknown += ((name, value),)
    if data:
        block.data = b"\n".join(data)
    return block


def payload(frame: bytes) -> bytes | None:
    """What is very likely the data of a frame of the usual form ``data: …\\n\\n``, at low cost; else None.

    A CR is not looked for: where the result is not what it should be (JSON), `parse` has the last word.
    """
    if frame[:6] == b"data: " and frame.find(b"\n") == len(frame) - 2:
        return frame[6:-2]
    return None


class Message(msgspec.Struct, frozen=True, gc=False):
    """An event as a browser's EventSource dispatches it."""

    type: str
    data: str
    last_event_id: str


class EventReader:
    """Reads a stream as EventSource does, with the memory of ids and of the reconnection time."""

    def __init__(self, limit: int = 32 * 1024 * 1024):
        self._framer = SSEFramer(limit)
        self.last_event_id = ""
        self.reconnection_time: int | None = None
        """Milliseconds, from the last valid ``retry``."""

    def feed(self, data: bytes) -> list[Message]:
        """The events that ``data`` completes. A block left open at the end of the stream is no event."""
        messages = []
        for frame in self._framer.feed(data):
            block = parse(frame)
            if block.id is not None:
                self.last_event_id = block.id.decode("utf-8", "replace")
            if block.retry is not None:
                self.reconnection_time = block.retry
            if block.data is not None:
                kind = (block.event or b"message").decode("utf-8", "replace")
                messages.append(Message(kind, block.data.decode("utf-8", "replace"), self.last_event_id))
        return messages
