"""Is a stream fast enough to be committed to? Measured in a probe window that opens with its first token."""

from __future__ import annotations

from enum import Enum

import msgspec


class MinRate(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a stream before its commit."""

    tokens: float
    """Tokens (token events, where nothing finer is counted) per second."""
    window: float = 1.0
    """Seconds from the first token event; what arrives in them is held."""

    @property
    def quota(self) -> float:
        """Tokens that must have come when the window closes."""
        return self.tokens * self.window


class Pace(Enum):
    """What the probe says."""

    PROBING = "not known yet: hold what arrives"
    FAST = "commit"
    SLOW = "a failed attempt: the next target, or with none left, commit"


class Probe:
    """One attempt's probe window.

    =======================================  =======
    what happened                            `pace`
    =======================================  =======
    no token yet, or within the window       probing
    the quota came, or the answer ended      fast
    the window closed before either          slow
    =======================================  =======

    The first two are final, whichever comes first. A fast stream is held no longer than its quota takes; an answer
    that is whole is never too slow.
    """

    __slots__ = ("_counted", "_pace", "_rate", "_since")

    def __init__(self, rate: MinRate):
        self._rate = rate
        self._since: float | None = None
        self._counted = 0.0
        self._pace = Pace.PROBING

    def token(self, now: float, tokens: float = 1.0) -> Pace:
        """A token event with ``tokens`` tokens."""
        if self.pace(now) is Pace.PROBING:
            if self._since is None:
                self._since = now
            self._counted += tokens
            if self._counted >= self._rate.quota:
                self._pace = Pace.FAST
        return self._pace

    def ended(self, now: float) -> Pace:
        """The answer is whole."""
        if self.pace(now) is Pace.PROBING:
            self._pace = Pace.FAST
        return self._pace

    @property
    def began(self) -> bool:
        """The window was opened."""
        return self._since is not None

    def deadline(self) -> float | None:
        """The instant at which the window closes; None before it opens, and of a fast stream."""
        return None if self._since is None or self._pace is Pace.FAST else self._since + self._rate.window

    def resume(self, stopped: float, now: float) -> None:
        """Nobody read from ``stopped`` on: that time is not the provider's."""
        if self._since is not None:
            self._since += now - max(stopped, self._since)

    def pace(self, now: float) -> Pace:
        """What is known at ``now``."""
        closes = self.deadline()
        if self._pace is Pace.PROBING and closes is not None and now >= closes:
            self._pace = Pace.SLOW
        return self._pace

    def explain(self) -> str:
        """For the log."""
        rate = self._rate
        return f"{self._counted:g} tokens in {rate.window:g} s, {rate.quota:g} are asked for ({rate.tokens:g} tokens/s)"
