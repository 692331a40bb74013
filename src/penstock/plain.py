"""Text and JSON for logs and books, whatever a provider has said."""

from __future__ import annotations

import json
from typing import Any

import msgspec


def mended(text: str) -> str:
    """``text`` as UTF-8 can hold it: two halves of a character that stand together become it, a lone one U+FFFD."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def encoded(value: Any) -> bytes:
    """JSON that is read back whatever stands in its texts."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        written = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":"))
        return mended(written).encode()
