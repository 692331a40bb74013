"""``application/vnd.amazon.eventstream`` on bytes, incremental, for every way of splitting (wire-formats.md §7.1).

A *frame* is the verbatim bytes of one message with its two checksums; all integers are big-endian::

    u32 total length | u32 headers length | u32 CRC32 of these | headers | payload | u32 CRC32 of all before

A frame whose lengths or checksums are wrong ends the reading: nothing says where the next one would begin.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache

import msgspec

from penstock.errors import CorruptFrame, FrameTooLarge

MAX_HEADERS = 128 * 1024
"""Bytes of a frame's headers."""
MAX_PAYLOAD = 24 * 1024 * 1024
"""Bytes of a frame's payload."""
_PRELUDE = struct.Struct(">III")
_LENGTHS = struct.Struct(">II")
_CRC = struct.Struct(">I")
_OVERHEAD = _PRELUDE.size + _CRC.size
_CACHED = 1024
"""Headers up to this many bytes are read once: nearly all frames of a stream have one of a handful."""


class Kind(IntEnum):
    """The ten types of header values."""

    TRUE = 0
    FALSE = 1
    BYTE = 2
    SHORT = 3
    INTEGER = 4
    LONG = 5
    BYTES = 6
    STRING = 7
    TIMESTAMP = 8
    UUID = 9


_NUMBERS = {
    Kind.BYTE: struct.Struct(">b"),
    Kind.SHORT: struct.Struct(">h"),
    Kind.INTEGER: struct.Struct(">i"),
    Kind.LONG: struct.Struct(">q"),
    Kind.TIMESTAMP: struct.Struct(">q"),
}


class Header(msgspec.Struct, frozen=True, gc=False):
    """A header's value: a bool, an int (of a timestamp: milliseconds since 1970), text, or bytes (of a UUID: 16)."""

    kind: Kind
    value: bool | int | str | bytes


Headers = Mapping[str, Header]
"""Headers by name, in order. Not to be changed: frames share them."""


class EventStreamFramer:
    """Splits a byte stream into frames. ``limit`` bounds a frame in bytes."""

    idle = False

    __slots__ = ("_buffer", "_limit", "_need")

    def __init__(self, limit: int = 32 * 1024 * 1024):
        self._buffer = bytearray()
        self._need = _PRELUDE.size
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes, in order. Raises FrameTooLarge, or CorruptFrame (a ValueError) for
        bytes that are no frame; the framer is then of no more use."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        frames: list[bytes] = []
        position, end = 0, len(data)
        self._need = _PRELUDE.size
        while end - position >= _PRELUDE.size:
            total = self._length(data, position, frames)
            if end - position < total:
                self._need = total
                break
            frame = data[position : position + total]
            if zlib.crc32(memoryview(frame)[:-4]) != _CRC.unpack_from(frame, total - 4)[0]:
                raise CorruptFrame("its checksum does not match", frames)
            frames.append(frame)
            position += total
        if position < end:
            self._buffer += data[position:] if position else data
        return frames

    def _length(self, data: bytes, position: int, frames: list[bytes]) -> int:
        total, headers, crc = _PRELUDE.unpack_from(data, position)
        if zlib.crc32(data[position : position + 8]) != crc:
            raise CorruptFrame("the checksum of its lengths does not match", frames)
        if total < _OVERHEAD + headers:
            raise CorruptFrame("its lengths contradict each other", frames)
        if headers > MAX_HEADERS:
            raise CorruptFrame(f"its headers are over {MAX_HEADERS} bytes", frames)
        if total - _OVERHEAD - headers > MAX_PAYLOAD:
            raise CorruptFrame(f"its payload is over {MAX_PAYLOAD} bytes", frames)
        if total > self._limit:
            raise FrameTooLarge(self._limit, frames)
        return int(total)

    @property
    def pending(self) -> int:
        """Bytes of the frame that is not whole yet."""
        return len(self._buffer)

    def close(self) -> bytes:
        """The bytes of a frame that was not finished."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._need = _PRELUDE.size
        return rest


def open_frame(frame: bytes) -> tuple[Headers, bytes]:
    """The headers and the payload of a whole frame. Raises ValueError for headers that cannot be read."""
    end = _PRELUDE.size + _LENGTHS.unpack_from(frame)[1]
    headers = frame[_PRELUDE.size : end]
    return _known(headers) if len(headers) <= _CACHED else read_headers(headers), frame[end:-4]


def read_headers(data: bytes) -> dict[str, Header]:
    """Headers in wire form. Raises ValueError, also for a name that comes twice."""
    headers: dict[str, Header] = {}
    position = 0
    try:
        while position < len(data):
            length = data[position]
            name = data[position + 1 : position + 1 + length].decode()
            kind = Kind(data[position + 1 + length])
            value, position = _value(kind, data, position + 2 + length)
            if name in headers:
                raise ValueError(f"its header {name[:40]!r} comes twice")
            headers[name] = Header(kind, value)
    except (IndexError, struct.error):
        raise ValueError("its headers end inside one") from None
    except UnicodeDecodeError:
        raise ValueError("its headers hold what is not UTF-8") from None
    return headers


def _value(kind: Kind, data: bytes, position: int) -> tuple[bool | int | str | bytes, int]:
    """The value at ``position`` and the position behind it."""
    if kind is Kind.TRUE or kind is Kind.FALSE:
        return kind is Kind.TRUE, position
    number = _NUMBERS.get(kind)
    if number is not None:
        return int(number.unpack_from(data, position)[0]), position + number.size
    length = 16
    if kind is not Kind.UUID:
        length, position = int.from_bytes(data[position : position + 2], "big"), position + 2
    end = position + length
    if end > len(data):
        raise IndexError
    value = data[position:end]
    return value.decode() if kind is Kind.STRING else value, end


_known = lru_cache(maxsize=64)(read_headers)


def text(headers: Headers, name: str) -> str | None:
    """A header of text, or None."""
    header = headers.get(name)
    return header.value if header is not None and isinstance(header.value, str) else None


def encode(headers: Mapping[str, Header | str], payload: bytes) -> bytes:
    """A frame. A header that is given as text is of type string. Raises ValueError for what has no place in one."""
    written = b"".join(_header(name, value) for name, value in headers.items())
    if len(written) > MAX_HEADERS or len(payload) > MAX_PAYLOAD:
        raise ValueError("too large for a frame")
    lengths = _LENGTHS.pack(_OVERHEAD + len(written) + len(payload), len(written))
    body = lengths + _CRC.pack(zlib.crc32(lengths)) + written + payload
    return body + _CRC.pack(zlib.crc32(body))


def _header(name: str, header: Header | str) -> bytes:
    if isinstance(header, str):
        header = Header(Kind.STRING, header)
    kind, value = header.kind, header.value
    label = name.encode()
    if len(label) > 255:
        raise ValueError("a header's name is too long")
    start = bytes((len(label),)) + label + bytes((kind,))
    try:
        if kind in _NUMBERS:
            return start + _NUMBERS[kind].pack(value)
    except struct.error as error:
        raise ValueError(f"{name}: {error}") from None
    if kind in (Kind.TRUE, Kind.FALSE):
        return start
    raw = value.encode() if isinstance(value, str) else value
    if not isinstance(raw, bytes) or len(raw) > 0xFFFF or (kind is Kind.UUID and len(raw) != 16):
        raise ValueError(f"{name} is no value for a header of this type")
    return start + raw if kind is Kind.UUID else start + len(raw).to_bytes(2, "big") + raw
