"""Token usage as a provider reported it. Kinds are disjoint; totals are derived (wire-formats.md §9.3)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import astuple

_MOST = 10**12
"""More tokens than any stream has: a number over this counts nothing. Sums of them fit every database."""
_DEAREST = 10**6
"""US dollars, likewise."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens. ``None`` means: the provider did not say. ``cost`` is the provider's own figure in US dollars."""

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cost: float | None = None

    def overwritten_by(self, later: Usage) -> Usage:
        """Field by field the latest value that is known. Reports are cumulative: they replace, they never add."""
        if later is self:
            return self
        return Usage(
            input=self.input if later.input is None else later.input,
            output=self.output if later.output is None else later.output,
            reasoning=self.reasoning if later.reasoning is None else later.reasoning,
            cache_read=self.cache_read if later.cache_read is None else later.cache_read,
            cache_write=self.cache_write if later.cache_write is None else later.cache_write,
            cost=self.cost if later.cost is None else later.cost,
        )

    def plus(self, other: Usage) -> Usage:
        """Both together: those of two attempts. What neither has said is not known."""
        return Usage(*(_sum(*pair) for pair in zip(astuple(self), astuple(other), strict=True)))


def count(value: Any) -> int | None:
    """A number of JSON as a count of tokens, without its fraction. None for what can be none: other kinds of values,
    what is negative, endless or no number (NaN), and what is absurdly large."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        return None
    return int(value)


def cost(value: Any) -> float | None:
    """A number of JSON as US dollars, None for what can be none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _DEAREST:
        return None
    return value


def total(one: Usage | None, other: Usage | None) -> Usage | None:
    """That of two attempts, each as far as it was reported."""
    return one.plus(other) if one is not None and other is not None else other if one is None else one


def _sum(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return one + other
