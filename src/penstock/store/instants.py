"""Instants as people and programs write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
INSTANT = (
    "Unix seconds, a date such as 2026-11-24 or 2026-11-24T12:00:00Z (UTC unless it says otherwise), or 24h, 7d ago"
)


def parse_instant(text: str, now: float) -> float:
    """Unix seconds. Raises ValueError that says what is taken."""
    if ago := _AGO.fullmatch(text):
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII):
            return float(text)
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(INSTANT) from None


def day(number: int) -> str:
    """The date of a day, counted from 1970-01-01."""
    return datetime.fromtimestamp(number * 86400, UTC).date().isoformat()
