"""Time that only moves when it is told to."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")


class VirtualClock(Generic[T]):
    """An instant, and an agenda of what is to happen at later ones; of equal instants the first put is the first."""

    def __init__(self, now: float = 0.0):
        self.now = now
        self._agenda: list[tuple[float, int, T]] = []
        self._count = 0

    def __call__(self) -> float:
        """The instant, for whatever takes a clock as a function."""
        return self.now

    def to(self, instant: float) -> float:
        """Go on to an instant. Time never goes back."""
        assert instant >= self.now, f"time cannot go back from {self.now:g} to {instant:g}"
        self.now = instant
        return instant

    def by(self, seconds: float) -> float:
        """Go on for a while."""
        return self.to(self.now + seconds)

    def put(self, instant: float, item: T) -> None:
        """Something is to happen at an instant; what was due already happens now."""
        self._count += 1
        heapq.heappush(self._agenda, (max(instant, self.now), self._count, item))

    @property
    def due(self) -> float | None:
        """The instant of the first thing on the agenda."""
        return self._agenda[0][0] if self._agenda else None

    def take(self) -> T:
        """Go to the first thing on the agenda and take it off."""
        instant, _, item = heapq.heappop(self._agenda)
        self.to(instant)
        return item
