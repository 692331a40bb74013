"""``server.max_buffered``: what waits for all clients of one gateway together.

There is nothing to be done for a chunk: a client has a mark, over which it counts as blocked, and only the marks move,
when clients come and go and when they block. Nobody is ended for the others' sake: what is new waits at its provider.
"""

from __future__ import annotations

from typing import Protocol

from penstock.policy.shares import Shares


class Buffer(Protocol):
    """What waits for one client."""

    @property
    def waiting(self) -> int:
        """Bytes."""
        ...

    def allow(self, size: int) -> None:
        """Over ``size`` bytes the client counts as blocked; if it is over them now, at once."""


class Bounds(Protocol):
    """What gives a buffer its mark. The buffer tells when it is blocked and when it has drained."""

    def enter(self, buffer: Buffer, own: int) -> None:
        """A client, which may hold ``own`` bytes at the most."""

    def leave(self, buffer: Buffer) -> None:
        """Nothing will wait for it any more."""

    def blocked(self, buffer: Buffer) -> None:
        """More waits for it than it was allowed."""

    def drained(self, buffer: Buffer) -> None:
        """It reads again."""


class Buffers:
    """Of all clients, ``limit`` bytes together. Each client tells when it is blocked and when it has drained."""

    def __init__(self, limit: int):
        self._shares = Shares(limit)
        self._own: dict[Buffer, int] = {}
        """What each may hold at the most, however few they are."""
        self._blocked: dict[Buffer, int] = {}
        """What those that are blocked held when that was seen."""
        self._levelling = False

    @property
    def held(self) -> int:
        """Bytes that wait for clients that are blocked, about."""
        return self._shares.held

    def resize(self, limit: int) -> None:
        """Another limit from now on."""
        self._shares.limit = limit
        self._level()

    def enter(self, buffer: Buffer, own: int) -> None:
        """A client, which may hold ``own`` bytes at the most."""
        self._own[buffer] = own
        self._shares.free += 1
        self._level()
        if buffer not in self._blocked:
            buffer.allow(min(own, self._shares.share))

    def leave(self, buffer: Buffer) -> None:
        """Nothing will wait for it any more."""
        if self._own.pop(buffer, None) is not None:
            if buffer in self._blocked:
                self._shares.held -= self._blocked.pop(buffer)
            else:
                self._shares.free -= 1
            self._level()

    def blocked(self, buffer: Buffer) -> None:
        """More waits for it than it was allowed."""
        if buffer in self._own and buffer not in self._blocked:
            self._blocked[buffer] = size = buffer.waiting
            self._shares.held += size
            self._shares.free -= 1
            self._level()

    def drained(self, buffer: Buffer) -> None:
        """It reads again."""
        if buffer in self._blocked:
            self._shares.held -= self._blocked.pop(buffer)
            self._shares.free += 1
            self._level()
            buffer.allow(min(self._own[buffer], self._shares.share))

    def _level(self) -> None:
        if self._levelling:
            # A client was found to be blocked by its new mark.
            return
        self._levelling = True
        try:
            before = self._shares.share
            while self._shares.renew():
                share = self._shares.share
                for buffer, own in list(self._own.items()):
                    if buffer not in self._blocked and min(own, share) != min(own, before):
                        buffer.allow(min(own, share))
                before = share
        finally:
            self._levelling = False
