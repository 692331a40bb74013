"""What providers put around a delta's text that is another in every frame, and means nothing or is a count."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.events import Event
from penstock.usage import Usage

_COUNT = re.compile(rb"(: ?)(?:0|[1-9][0-9]{0,14})(?=[,}])")


class Filling(msgspec.Struct, frozen=True):
    """It stands behind ``mark`` and has the ``form``; ``right`` says of bytes whether they are one. Where ``usage``
    reads usage from it, only those are right that differ from the one before in their counts."""

    mark: bytes
    form: re.Pattern[bytes]
    right: Callable[[bytes], object] = bytes.isalnum
    usage: Callable[[bytes], Usage | None] | None = None


class Likeness(msgspec.Struct, frozen=True):
    """How the deltas of a wire may be told from the one before, unread. ``fillings`` stand behind a text. Behind
    ``number``, in front of the text, stands a number that goes up by one; empty: there is none."""

    fillings: tuple[Filling, ...] = ()
    number: bytes = b""

    def decode(self, decoder: Any, frame: bytes) -> tuple[bytes | None, tuple[Event, ...]]:
        """What the decoder would say of a frame that never comes: asked, as a delta leaves it as it was."""
        decoded: tuple[bytes | None, tuple[Event, ...]] = decoder.decode(frame)
        return decoded

    def passed(self, decoder: Any, text: str, frames: int) -> None:
        """So many deltas like the last one were handed on unread, with this text altogether."""


def counts_like(filling: bytes) -> Callable[[bytes], object]:
    """Says of bytes whether they are ``filling`` but for its counts."""
    parts, at = [], 0
    for count in _COUNT.finditer(filling):
        parts.append(re.escape(filling[at : count.end(1)]))
        at = count.end()
    pattern = rb"(?:0|[1-9][0-9]{0,14})".join([*parts, re.escape(filling[at:])])
    return re.compile(pattern).fullmatch


def _blank(data: bytes) -> bool:
    return not data.strip(b" ")


LETTERS = Filling(b'"obfuscation":"', re.compile(rb"[0-9A-Za-z]+"))
"""OpenAI hides the length of a text (wire-formats.md §2)."""
BLANKS = Filling(b"", re.compile(rb" {2,}"), _blank)
"""So does Anthropic, outside of the JSON's strings (§4)."""
