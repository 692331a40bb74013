"""How long a client will wait, as its headers say."""

from __future__ import annotations

import re

from penstock.config.units import parse_duration
from penstock.errors import BadRequest
from penstock.stream.inputs import Headers

OWN = b"x-penstock-timeout"
SDKS = b"x-stainless-timeout"
_SECONDS = re.compile(rb"\d{1,9}(\.\d{1,9})?")


def patience(headers: Headers) -> tuple[float, str] | None:
    """Seconds from the request on, and the header that says so; None where none does. Raises BadRequest.

    ====================================  ==================================================
    header                                the client waits
    ====================================  ==================================================
    ``x-penstock-timeout: 30s``, ``30``   30 seconds; 400 for what is no duration, or is 0
    ``x-stainless-timeout: 600``          600 seconds (sent by the official SDKs)
    … ``0``, ``-1``, ``NaN``, a word      as if it were not there: nobody typed it
    both                                  the shorter
    ====================================  ==================================================
    """
    said = [(seconds, name.decode()) for name, value in headers if (seconds := _wait(name, value.strip())) is not None]
    return min(said, default=None)


def _wait(name: bytes, value: bytes) -> float | None:
    if name == SDKS:
        seconds = float(value) if _SECONDS.fullmatch(value) else 0.0
        return seconds if seconds > 0.0 else None
    if name != OWN:
        return None
    try:
        seconds = parse_duration(value.decode("latin-1"))
    except ValueError as error:
        why = f"is {error}" if str(error) == "not a duration" else f"is a duration {error}"
        raise _bad(value, why) from None
    if seconds <= 0.0:
        raise _bad(value, "leaves no time")
    return seconds


def _bad(value: bytes, why: str) -> BadRequest:
    said = value[:50].decode("latin-1")
    name = OWN.decode()
    return BadRequest(
        f"the header {name} {why}: {said!r}; send a duration such as 500ms, 30s or 2m, or a number of seconds",
        code="invalid_header",
    )
