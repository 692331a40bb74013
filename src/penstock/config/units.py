"""Durations and sizes as people write them: text to seconds and bytes, and back."""

from __future__ import annotations

import re
from decimal import Decimal

DURATION = "a duration such as 500ms, 15s, 10m"
SIZE = "a size such as 256KiB, 32MiB, or bytes"

_NUMBER = r"(\d{1,15}(?:\.\d{1,6})?)"
_SECONDS = re.compile(_NUMBER, re.ASCII)
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m(?!s))?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?", re.ASCII)
_MILLISECONDS = (3_600_000, 60_000, 1000, 1)
_YEAR = 366 * 24 * 3_600_000

_SIZE = re.compile(rf"{_NUMBER}([KMG]i?)?(B)?", re.ASCII | re.IGNORECASE)
_BYTES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1024, "mi": 1024**2, "gi": 1024**3}


def parse_duration(text: str) -> float:
    """Seconds of ``500ms``, ``1m30s``, ``2h`` or a bare number of seconds.

    Raises ValueError when it is no duration, finer than a millisecond or longer than a year.
    """
    if bare := _SECONDS.fullmatch(text):
        milliseconds = Decimal(bare[1]) * 1000
    elif text and (match := _DURATION.fullmatch(text)):
        milliseconds = sum(
            (Decimal(n) * unit for n, unit in zip(match.groups(), _MILLISECONDS, strict=True) if n), Decimal()
        )
    else:
        raise ValueError("not a duration")
    if milliseconds != int(milliseconds):
        raise ValueError("finer than 1ms")
    if milliseconds > _YEAR:
        raise ValueError("longer than a year")
    return int(milliseconds) / 1000


def format_duration(seconds: float) -> str:
    """The shortest text that ``parse_duration`` reads back as ``seconds``, rounded to milliseconds."""
    rest = round(seconds * 1000)
    text = ""
    for unit, size in zip(("h", "m", "s", "ms"), _MILLISECONDS, strict=True):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def parse_size(text: str) -> int:
    """Bytes of ``256KiB``, ``1MB`` or a bare number. Raises ValueError when it is no whole number of bytes."""
    match = _SIZE.fullmatch(text)
    if match is None or (match[2] and not match[3]):
        raise ValueError("not a size")
    size = Decimal(match[1]) * _BYTES[(match[2] or "").lower()]
    if size != int(size):
        raise ValueError("not a whole number of bytes")
    return int(size)


def format_size(size: int) -> str:
    """``size`` in the largest binary unit that holds it exactly; ``parse_size`` reads it back."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
