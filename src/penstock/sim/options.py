"""What a model's name can ask for: ``sim?tokens=200&gap=20ms`` as values, with errors that name the key."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from penstock.errors import PenstockError

_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FLAGS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}

Reader = Callable[[str], Any]
"""Text to value; raises ValueError whose text completes ``must be …``."""


class BadOption(PenstockError):
    """An option is unknown or its value unusable; the text names the key and what is allowed."""


def duration(text: str) -> float:
    """Seconds from ``500ms``, ``1s``, ``2m``, ``1h`` or a bare number of seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration: 500ms, 1s, 2m, 1h, or a number of seconds")
    return float(match[1]) * _UNITS[match[2] or "s"]


def some(text: str) -> float:
    """A duration above zero."""
    seconds = duration(text)
    if seconds < 0.001:
        raise ValueError("a duration of at least 1ms")
    return seconds


def whole(low: int, high: int) -> Reader:
    """A whole number between ``low`` and ``high``, both included."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def flag(text: str) -> bool:
    """``1``/``0``, ``yes``/``no``, ``true``/``false`` or ``on``/``off``."""
    if text.lower() not in _FLAGS:
        raise ValueError("1, yes, true, on, 0, no, false or off")
    return _FLAGS[text.lower()]


def choice(*words: str) -> Reader:
    """One of ``words``."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError("one of " + ", ".join(words))
        return text

    return read


def pattern(regex: str, meaning: str) -> Reader:
    """Text that matches ``regex`` as a whole."""

    def read(text: str) -> str:
        if not re.fullmatch(regex, text):
            raise ValueError(meaning)
        return text

    return read


def read_options(query: str, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The options of a query string (percent and plus decoded). Raises BadOption."""
    values: dict[str, Any] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict") if query else []
    except ValueError as error:
        raise BadOption(f'options must read "key=value&key=value", this is {query!r}') from error
    for key, text in pairs:
        if key not in readers:
            raise BadOption(f"{key} is not an option; allowed are {', '.join(sorted(readers))}")
        if key in values:
            raise BadOption(f"{key} is given twice")
        try:
            values[key] = readers[key](text)
        except ValueError as error:
            raise BadOption(f"{key} must be {error}; it is {text!r}") from error
    return values


MOST = 10_000_000
_COUNT = whole(0, MOST)
_HEADER = pattern(r"[\x20-\x7e]{1,200}", "printable ASCII, at most 200 characters")

SIM: dict[str, Reader] = {
    "accept": choice("yes", "never"),
    "content_type": _HEADER,
    "cr": flag,
    "crlf": flag,
    "cut_at": _COUNT,
    "done": flag,
    "drop_at": _COUNT,
    "empty": flag,
    "error_at": _COUNT,
    "finish": pattern(r"[a-z_]{1,64}", "no, or a finish reason like stop, length, content_filter"),
    "first": duration,
    "gap": duration,
    "headers": duration,
    "json": flag,
    "late_usage": duration,
    "linger": duration,
    "malformed_at": _COUNT,
    "n": whole(1, 128),
    "pad": whole(1, 1_000_000),
    "ping": some,
    "reasoning": _COUNT,
    "reset_at": _COUNT,
    "retry_after": _HEADER,
    "role": flag,
    "role_only": flag,
    "seed": whole(0, 999_999_999),
    "split": whole(1, 1_000_000),
    "stall_at": _COUNT,
    "status": whole(400, 599),
    "text": str,
    "tokens": _COUNT,
    "tool": whole(0, 128),
    "usage": choice("asked", "no", "always", "finish"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """The options of ``sim``. Durations are seconds, ``*_at`` count token frames already sent, None = never."""

    accept: str = "yes"
    content_type: str | None = None
    cr: bool = False
    crlf: bool = False
    cut_at: int | None = None
    done: bool = True
    drop_at: int | None = None
    empty: bool = False
    error_at: int | None = None
    finish: str | None = None
    first: float = 0.2
    gap: float = 0.02
    headers: float = 0.0
    json: bool = False
    late_usage: float | None = None
    linger: float = 0.0
    malformed_at: int | None = None
    n: int | None = None
    pad: int = 0
    ping: float | None = None
    reasoning: int = 0
    reset_at: int | None = None
    retry_after: str | None = None
    role: bool = True
    role_only: bool = False
    seed: int | None = None
    split: int | None = None
    stall_at: int | None = None
    status: int | None = None
    text: str | None = None
    tokens: int | None = None
    tool: int = 0
    usage: str = "asked"


def sim_options(query: str) -> Options:
    """The options behind ``sim?``. Raises BadOption."""
    options = Options(**read_options(query, SIM))
    if options.cr and options.crlf:
        raise BadOption("cr must not stand beside crlf: a stream has one kind of line end")
    if options.retry_after is not None and options.status is None:
        raise BadOption("retry_after must stand beside status: only an HTTP error carries it")
    return options
