"""JSON as providers really send it: strict and fast first, then lenient."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


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
