"""The statistics of the benchmark: quantiles within a round, medians over rounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """One number, measured once a round."""

    rounds: tuple[float, ...]
    median: float
    lowest: float
    highest: float


class Times(msgspec.Struct, frozen=True):
    """Many times of one round, in seconds. All 0 when ``count`` is 0."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0


def spread(values: Iterable[float]) -> Spread:
    """The spread of at least one value."""
    rounds = tuple(values)
    if not rounds:
        raise ValueError("no rounds")
    return Spread(rounds, statistics.median(rounds), min(rounds), max(rounds))


def times(values: Iterable[float]) -> Times:
    """Quantiles of ``values``."""
    ordered = sorted(values)
    if not ordered:
        return Times()
    return Times(len(ordered), quantile(ordered, 0.5), quantile(ordered, 0.99), ordered[-1])


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the ascending ``ordered`` lies, interpolated between neighbours."""
    if not ordered:
        raise ValueError("no values")
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
