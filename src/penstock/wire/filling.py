"""What providers put behind a delta's text that is another in every frame, and means nothing or is a count."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from penstock.usage import Usage


class Filling(msgspec.Struct, frozen=True):
    """It stands behind ``mark`` and has the ``form``; ``read`` says of bytes whether they are one, or what they count.
    It may raise msgspec.DecodeError."""

    mark: bytes
    form: re.Pattern[bytes]
    read: Callable[[bytes], bool | Usage | None]


def _blank(data: bytes) -> bool:
    return not data.strip(b" ")


LETTERS = Filling(b'"obfuscation":"', re.compile(rb"[0-9A-Za-z]+"), bytes.isalnum)
"""OpenAI hides the length of a text (wire-formats.md §2)."""
BLANKS = Filling(b"", re.compile(rb" {2,}"), _blank)
"""So does Anthropic, outside of the JSON's strings (§4)."""
