"""How much may wait for each of many clients, so that no more than a limit waits for all of them together."""

from __future__ import annotations


class Shares:
    """Clients are free, and may each hold ``share`` bytes, or blocked, and hold what they hold. What the free ones may
    hold and the blocked ones do is never over ``limit``, except by what was held already when it came to that: then
    the share is 0, and whoever is not read at once is blocked.

    Shares are halved and doubled, not fitted: the caller tells each client its share, and is to do that rarely.
    """

    __slots__ = ("free", "held", "limit", "share")

    def __init__(self, limit: int):
        self.limit = limit
        self.free = 0
        """Clients that are not blocked."""
        self.held = 0
        """Bytes that wait for those that are."""
        self.share = limit // 2

    def renew(self) -> bool:
        """After any change. True: the share is another one."""
        left = max(0, self.limit - self.held)
        promised, before = self.share * self.free, self.share
        if promised > left or 4 * promised < left:
            self.share = left // (2 * max(1, self.free))
        return self.share != before
