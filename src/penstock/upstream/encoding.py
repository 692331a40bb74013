"""Undoes a content coding, piece by piece, for providers that compress although identity was asked for."""

from __future__ import annotations

import zlib
from typing import Any

EXPANSION = 16 * 1024 * 1024
"""Bytes that one read of compressed ones may become: no text is like that, a bomb is."""


class CodingError(ValueError):
    """The coded bytes are not what the header says."""


class Decoding:
    """One body, ``gzip`` or ``deflate``."""

    def __init__(self, coding: str):
        self._coding = coding
        self._start = b""
        self._inflater: Any = zlib.decompressobj(zlib.MAX_WBITS | 16) if coding == "gzip" else None

    def feed(self, data: bytes) -> bytes:
        """What ``data`` holds, as far as it is complete. Raises CodingError."""
        if self._inflater is None:
            data = self._start = self._start + data
            if len(data) < 2:
                return b""
            self._inflater = zlib.decompressobj(_window(data))
        plain = b""
        try:
            while data:
                plain += self._inflater.decompress(data, EXPANSION - len(plain) + 1)
                if len(plain) > EXPANSION:
                    raise CodingError(f"its compressed body grows by more than {EXPANSION} bytes at once")
                data = self._inflater.unused_data
                if self._coding == "deflate":
                    break
                if data:
                    # gzip allows for several members, one after another.
                    self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        except zlib.error as error:
            raise CodingError("its body is not compressed the way its header says") from error
        return plain

    @property
    def complete(self) -> bool:
        """The coded body came to its own end."""
        return bool(self._inflater and self._inflater.eof)


def _window(start: bytes) -> int:
    """For "deflate" as the standard wants it, in a zlib wrapper, or bare as some servers send it."""
    wrapped = start[0] & 0x0F == 8 and int.from_bytes(start[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS


def decoding(headers: list[tuple[bytes, bytes]]) -> Decoding | None:
    """The decoding that ``headers`` ask for, and the header taken out; None for identity and for unknown codings,
    whose header stays."""
    for number, (name, value) in enumerate(headers):
        if name == b"content-encoding":
            coding = value.decode("latin-1").strip().lower().removeprefix("x-")
            if coding in ("gzip", "deflate"):
                del headers[number]
                return Decoding(coding)
    return None
