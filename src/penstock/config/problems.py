"""What is wrong with a configuration, all of it at once."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence

import msgspec

from penstock.errors import PenstockError

_LONGEST = 80


def quoted(text: str) -> str:
    """``text`` in double quotes on one line, cut when long."""
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    return json.dumps(text, ensure_ascii=not text.isprintable())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion to append to a message; empty when nothing is close."""
    close = difflib.get_close_matches(word[:_LONGEST], sorted(known), n=1)
    return f"; did you mean {quoted(close[0])}?" if close else ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to put right. ``str()`` is one line.

    ``line`` counts from 1 (0 = no particular line); ``key`` is the dotted path, empty for the whole file; ``found`` is
    ready for display (quoted text, ``null``, ``a list``, ``***`` for a secret); ``allowed`` says what would be right.
    """

    file: str
    line: int
    key: str = ""
    found: str = ""
    message: str = ""
    allowed: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        parts = [self.message, f"found {self.found}" if self.found else "", self.allowed and f"allowed: {self.allowed}"]
        line = ": ".join(part for part in (place, self.key, "; ".join(filter(None, parts))) if part)
        # Names out of the file may hold anything, and a problem is one line.
        return " ".join(line.splitlines())


class ConfigError(PenstockError):
    """The configuration cannot be used. ``problems`` holds every one of them, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))
