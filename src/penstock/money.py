"""Money as integers: nano-dollars. A price of $0.075 for a million tokens is 75 nano-dollars a token, exactly."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

NANO = 10**9
"""Nano-dollars in a US dollar."""
MILLION = 10**6
"""Prices are for so many tokens, as providers quote them."""


def parse(text: str) -> int:
    """Nano-dollars of a plain decimal amount in US dollars. Raises ValueError for what is none, is below zero or is
    finer than a nano-dollar."""
    try:
        amount = Decimal(text) * NANO
    except InvalidOperation:
        raise ValueError(f"not an amount in US dollars: {text}") from None
    if not amount.is_finite() or amount < 0 or amount != amount.to_integral_value():
        raise ValueError(f"not an amount in US dollars: {text}")
    return int(amount)


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
