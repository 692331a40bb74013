"""A provider's share of what the gateway can carry, so that one that hangs never starves the others."""

from __future__ import annotations


class Bulkhead:
    """At most ``limit`` attempts of one provider in flight; None = no limit.

    There is no queue: who would wait here can be served elsewhere at once. A refusal is a failed attempt that nobody
    is to blame for: the next target is tried, no health hears of it, and no retry budget pays for what was not sent.
    """

    __slots__ = ("in_flight", "limit", "most", "refused")

    def __init__(self, limit: int | None = None):
        if limit is not None and limit < 1:
            raise ValueError("a bulkhead that lets nothing through is a provider to be left out")
        self.limit = limit
        self.in_flight = 0
        self.most = 0
        """The most that ever were in flight at once."""
        self.refused = 0
        """Attempts that were not made for want of a place."""

    @property
    def full(self) -> bool:
        """Would `acquire` be refused?"""
        return not self.admits()

    def admits(self, leaving: int = 0) -> bool:
        """Is there a place, once ``leaving`` of those that are taken are given back?"""
        return self.limit is None or self.in_flight - leaving < self.limit

    def acquire(self) -> bool:
        """Take a place. What was granted must be released exactly once."""
        if self.full:
            self.refused += 1
            return False
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        return True

    def release(self) -> None:
        """Give a place back."""
        if not self.in_flight:
            raise RuntimeError("a place was released that was not taken")
        self.in_flight -= 1
