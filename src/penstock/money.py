"""Money as integers: nano-dollars. A price of $0.075 for a million tokens is 75 nano-dollars a token, exactly."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

NANO = 10**9
"""Nano-dollars in a US dollar."""
MILLION = 10**6
"""Prices are for so many tokens, as providers quote them."""
_AMOUNT = re.compile(r"(?=[.0-9])([0-9]{0,9})(?:\.([0-9]{1,9}))?", re.ASCII)


def parse(text: str) -> int:
    """Nano-dollars of a plain decimal amount in US dollars, under a billion and not finer than a nano-dollar. Raises
    ValueError for anything else."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"not an amount in US dollars: {text}")
    whole, rest = match.groups("")
    return int(whole or 0) * NANO + int(rest.ljust(9, "0"))


def of_dollars(amount: float) -> int:
    """Nano-dollars of a provider's own figure, rounded to the nearest."""
    return int((Decimal(repr(amount)) * NANO).to_integral_value(ROUND_HALF_UP))


def to_dollars(nanos: int) -> float:
    """US dollars, for JSON: exact in its nine decimals up to four million dollars."""
    return nanos / NANO


def text(nanos: int) -> str:
    """US dollars for people and files; `parse` reads it back."""
    whole, rest = divmod(nanos, NANO)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def per_million(price: int, tokens: int) -> int:
    """What ``tokens`` cost at ``price`` nano-dollars a million: rounded to the nearest, halves up."""
    return (price * tokens + MILLION // 2) // MILLION
