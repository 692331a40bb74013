"""Quantiles of a stream of durations, of which the latest count most, in fixed memory.

Log-spaced buckets with a relative error, as in DDSketch (Masson et al., VLDB 2019), and forward decay (Cormode et
al., ICDE 2009): a later sample weighs more by 2 per half-life, so that nothing is ever touched again to age it.
"""

from __future__ import annotations

import math


class Quantiles:
    """Durations in seconds between ``lowest`` and ``highest``; what is outside counts as the nearest of the two.

    A quantile is within ``error`` (relative) of a sample that has that rank: its rank is exact among the samples
    weighed by age, 0.5 per ``half_life``. Feed waits that were broken off, too: they are lower bounds, and a p95
    learnt only from those who did not have to be broken off sinks with every hedge.
    """

    __slots__ = ("_counts", "_epoch", "_gamma", "_heaviest", "_known", "_log", "_sum", "half_life", "highest", "lowest")

    def __init__(
        self, *, half_life: float = 300.0, error: float = 0.05, lowest: float = 0.001, highest: float = 1000.0
    ):
        if not (0 < lowest < highest and 0 < error < 1 and half_life > 0):
            raise ValueError("0 < lowest < highest, 0 < error < 1 and half_life > 0 must hold")
        self.half_life = half_life
        self.lowest = lowest
        self.highest = highest
        self._gamma = (1 + error) / (1 - error)
        self._log = math.log(self._gamma)
        self._counts = [0.0] * (math.ceil(math.log(highest / lowest) / self._log) + 1)
        self._sum = 0.0
        self._epoch: float | None = None
        """The instant whose samples weigh 1."""
        self._heaviest = 1.0
        """The weight of the newest sample."""
        self._known: dict[float, float] = {}
        """Quantiles since the last sample: between samples only their common weight changes."""

    def add(self, value: float, now: float) -> None:
        """A sample."""
        weight = self._weight(now)
        bounded = min(max(value, self.lowest), self.highest)
        bucket = min(len(self._counts) - 1, max(0, math.ceil(math.log(bounded / self.lowest) / self._log)))
        self._counts[bucket] += weight
        self._sum += weight
        if self._known:
            self._known.clear()

    def count(self, now: float) -> float:
        """The samples, each weighed by its age: a fresh one is 1, one of a half-life ago 0.5."""
        if self._epoch is None:
            return 0.0
        newest = self._epoch + self.half_life * math.log2(self._heaviest)
        age: float = max(0.0, now - newest) / self.half_life
        return self._sum / self._heaviest * math.exp2(-age)

    def quantile(self, q: float, now: float, *, least: float = 1.0) -> float | None:
        """The ``q`` quantile (0.95: of 100 samples, the 95th), or None while `count` is below ``least``."""
        if not 0.0 <= q <= 1.0:
            raise ValueError("a quantile is between 0 and 1")
        if self._sum <= 0.0 or self.count(now) < least:
            return None
        if q not in self._known:
            self._known[q] = self._find(q)
        return self._known[q]

    def _find(self, q: float) -> float:
        rank = q * self._sum * (1 - 1e-12)
        seen, last = 0.0, 0
        for bucket, count in enumerate(self._counts):
            if count > 0.0:
                seen, last = seen + count, bucket
                if seen >= rank:
                    break
        # The middle of the bucket, by ratio: as far from its lower end as from its upper one.
        upper = self.lowest * self._gamma**last
        return float(min(self.highest, max(self.lowest, upper * 2 / (1 + self._gamma))))

    def _weight(self, now: float) -> float:
        if self._epoch is None:
            self._epoch = now
        age = (now - self._epoch) / self.half_life
        if age > 60.0:
            # Before weights lose their precision, the newest becomes 1 again.
            factor = math.exp2(-age)
            self._counts = [count * factor for count in self._counts]
            self._sum = sum(self._counts)
            self._epoch, self._heaviest, age = now, 1.0, 0.0
        weight = math.exp2(max(age, 0.0))
        self._heaviest = max(self._heaviest, weight)
        return weight
