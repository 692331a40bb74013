"""JSON as providers really send it: strict and fast first, then lenient."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
BLANKS = b" \t\r\n"
"""What may stand around a value."""


def loads(data: bytes) -> Any:
    """Any JSON value. Lone surrogates, NaN, raw control characters and broken UTF-8 are let through, as the
    providers' own SDKs let them. Raises ValueError."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            return json.loads(data.decode("utf-8", "replace"), strict=False)
        except RecursionError as error:
            raise ValueError("nested too deep") from error


def dumps(value: Any) -> bytes:
    """Compact JSON in UTF-8; what UTF-8 cannot hold (a lone surrogate) is escaped."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError, TypeError):
        return json.dumps(value, separators=(",", ":")).encode()


def decode_as(decoder: msgspec.json.Decoder[T], kind: type[T], data: bytes) -> T:
    """``data`` as ``kind``. Raises ValueError where it is not JSON, msgspec.ValidationError where it does not fit."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.convert(loads(data), kind)


# What Python's `splitlines`, and so more than one official SDK, takes for the end of a line, raw inside a string.
_LINE_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def one_line(data: bytes) -> bytes:
    """JSON that no client takes for several lines: U+0085, U+2028 and U+2029 escaped. They stand only in strings, and
    their bytes are part of no other character."""
    if data.isascii():
        return data
    for raw, escape in _LINE_ENDS:
        # A single byte is found much faster.
        if raw[0] in data and raw in data:
            data = data.replace(raw, escape)
    return data
