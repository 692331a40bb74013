"""What becomes of a generation whose client has left."""

from __future__ import annotations

from typing import Literal

import msgspec

OnDisconnect = Literal["cancel", "drain", "detach", "auto"]


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of reading on for the account alone, when nobody will get the answer."""

    seconds: float = 30.0
    tokens: int = 4096
    """Token events, counted from the client's leaving."""
    streams: int = 32
    """Drains of the route at one time; a client that leaves beyond them is cancelled."""


class Drains:
    """Counts the drains of a route."""

    __slots__ = ("_limit", "active")

    def __init__(self, limit: int):
        self._limit = limit
        self.active = 0

    def take(self) -> bool:
        """One more, if there may be."""
        if self.active >= self._limit:
            return False
        self.active += 1
        return True

    def give(self) -> None:
        """One is over."""
        self.active -= 1


def drains(policy: OnDisconnect, stops_when_left: bool | None) -> bool:
    """Is a generation read on, when its client has left and cannot come back? With ``auto`` only where closing the
    connection saves nothing: the provider is known to generate, and to bill, to the end."""
    return policy == "drain" or (policy == "auto" and stops_when_left is False)
