"""Counts against reports: how far they drift apart, and the factor that is learnt from that for models whose
tokeniser is not public."""

from __future__ import annotations

import msgspec

from penstock.metering.encodings import seed_of
from penstock.metering.row import Tokens

TRUST = 2_000
"""Tokens for which the seed of a factor stands."""
MEMORY = 1_000_000
"""Tokens that are remembered: older ones fade, so that a changed tokeniser is noticed."""
LEAST = 20
"""Tokens under which an answer proves nothing."""


class Learnt(msgspec.Struct, frozen=True):
    """Tokens of the vocabulary, and what providers reported for the same text."""

    raw: float
    reported: float

    @property
    def factor(self) -> float:
        """Tokens of the model for one of the vocabulary's."""
        return self.reported / self.raw

    def with_one(self, raw: int, reported: int) -> Learnt:
        """One more answer."""
        fade = min(1.0, MEMORY / (self.raw + raw))
        return Learnt((self.raw + raw) * fade, (self.reported + reported) * fade)


def unlearnt(model: str) -> Learnt:
    """Where nothing was learnt yet."""
    return Learnt(TRUST, TRUST * seed_of(model))


class Drift(msgspec.Struct, frozen=True):
    """Counted and reported output of one model, over the answers that had both."""

    counted: int = 0
    reported: int = 0

    @property
    def ratio(self) -> float:
        """How much more was counted than reported; below 0: less."""
        return self.counted / self.reported - 1.0 if self.reported else 0.0

    def with_one(self, pair: tuple[int, int]) -> Drift:
        """One more answer, counted and reported."""
        return Drift(self.counted + pair[0], self.reported + pair[1])


def comparable(counted: Tokens, reported: Tokens) -> tuple[int, int] | None:
    """Counted and reported output that mean the same; None where there is no such pair. An answer with reasoning is
    none: it may be shown shortened, reported in steps, or within the output."""
    if reported.output is None or reported.output < LEAST or not counted.output:
        return None
    if counted.reasoning or reported.reasoning:
        return None
    return counted.output, reported.output


def warning(pair: tuple[int, int] | None, threshold: float) -> str | None:
    """What a row says of an answer whose count is further from the report than ``threshold`` (0.1: a tenth)."""
    if pair is None:
        return None
    ratio = Drift().with_one(pair).ratio
    return f"drift: counted {pair[0]} output tokens, reported {pair[1]}" if abs(ratio) > threshold else None
