"""How long to wait before the next round of attempts, and what a provider's ``retry-after`` says. Seconds.

Full jitter, after Brooker, "Exponential Backoff And Jitter" (AWS, 2015): uniform between 0 and the exponential
ceiling. Of the usual kinds of jitter it needs the fewest calls until all callers are through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import mktime_tz, parsedate_tz

import msgspec

_NUMBER = re.compile(rb"\d{1,15}(\.\d{1,15})?")


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential backoff with full jitter."""

    base: float = 0.25
    """The ceiling of the first wait."""
    cap: float = 8.0
    """The ceiling of every wait."""

    def ceiling(self, retry: int) -> float:
        """The longest wait before retry number ``retry`` (1, 2, 3…): it doubles up to ``cap``."""
        if retry < 1:
            raise ValueError("the first retry is number 1")
        return min(self.cap, self.base * 2.0 ** min(retry - 1, 64))

    def wait(self, retry: int, chance: float, *, retry_after: float | None, left: float | None) -> float | None:
        """The wait before retry number ``retry``, or None when it is not to be made.

        ================================  =========================================
        what is left of the deadline      the wait
        ================================  =========================================
        more than the wait, or no limit   the longer of ``retry_after`` and jitter
        no more than the wait             None: answer now, it would come too late
        ================================  =========================================

        ``chance`` is a random number in [0, 1). ``retry_after`` is the provider's, None where it named none;
        it is never shortened.
        """
        wait = max(retry_after or 0.0, chance * self.ceiling(retry))
        return wait if left is None or wait < left else None


def retry_after(headers: Iterable[tuple[bytes, bytes]], now: float) -> float | None:
    """The wait that a provider's headers ask for, None where they ask for none or none that can be read.

    ``now`` is wall-clock time, Unix seconds. Names in lower case. ``retry-after-ms`` is finer and goes first.

    ==============================================  ==========================================
    header                                          wait
    ==============================================  ==========================================
    ``retry-after-ms: 1500``                        1.5 (OpenAI, Azure)
    ``retry-after: 20``, ``retry-after: 0.5``       20, 0.5 (a fraction is no HTTP, but is sent)
    ``retry-after: Fri, 31 Dec 1999 23:59:59 GMT``  until then, 0 if past (RFC 9110 §5.6.7, all 3 forms)
    anything else                                   None
    ==============================================  ==========================================
    """
    fields = {name: value.strip() for name, value in reversed(list(headers))}
    finer = fields.get(b"retry-after-ms", b"")
    if _NUMBER.fullmatch(finer):
        return float(finer) / 1000.0
    value = fields.get(b"retry-after", b"")
    if _NUMBER.fullmatch(value):
        return float(value)
    until = _http_date(value)
    return None if until is None else max(0.0, until - now)


def _http_date(value: bytes) -> float | None:
    """Unix seconds."""
    try:
        parts = parsedate_tz(value.decode("ascii"))
        return None if parts is None else float(mktime_tz(parts))
    except (ValueError, OverflowError, IndexError, TypeError):  # email.utils raises them all on what is no date
        return None
