"""A sum over the last seconds, in fixed memory."""

from __future__ import annotations


class Window:
    """What was added during the last ``seconds``, kept in ``slots`` that expire one by one.

    It looks back at least ``seconds * (1 - 1 / slots)`` and at most ``seconds``. An instant before the newest one
    counts as the newest.
    """

    __slots__ = ("_counts", "_newest", "_slot", "seconds")

    def __init__(self, seconds: float, slots: int = 10):
        if seconds <= 0 or slots < 1:
            raise ValueError("a window needs a length and at least one slot")
        self.seconds = seconds
        self._slot = seconds / slots
        self._counts = [0.0] * slots
        self._newest: int | None = None

    def add(self, now: float, amount: float = 1.0) -> None:
        """Count ``amount`` at ``now``."""
        self._advance(now)
        self._counts[(self._newest or 0) % len(self._counts)] += amount

    def total(self, now: float) -> float:
        """The sum at ``now``."""
        self._advance(now)
        return sum(self._counts)

    def clear(self) -> None:
        """Forget everything."""
        self._counts = [0.0] * len(self._counts)

    def _advance(self, now: float) -> None:
        at = int(now // self._slot)
        if self._newest is None:
            self._newest = at
        for slot in range(max(self._newest + 1, at - len(self._counts) + 1), at + 1):
            self._counts[slot % len(self._counts)] = 0.0
        self._newest = max(self._newest, at)
