"""How long each phase of a stream may last. All in seconds; ``None`` switches a deadline off."""

from __future__ import annotations

import msgspec

from penstock.policy.rate import MinRate
from penstock.policy.silence import SilenceRules


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """The deadlines of a route (interface.md §3)."""

    connect: float = 5.0
    """TCP and TLS of one attempt, from its dispatch."""
    first_token: float | None = 15.0
    """From the dispatch of an attempt to its first token event. Pings, role deltas and comments do not count."""
    between_tokens: float | None = 30.0
    """From one token event to the next; it does not run while the client is blocked."""
    silence: SilenceRules | None = None
    """``between_tokens: auto``: the limit is learnt per target and phase. ``between_tokens`` is its ceiling then."""
    total: float | None = 600.0
    """The whole stream with all its attempts, from the request's acceptance."""
    min_rate: MinRate | None = None
    """How fast an attempt's output must begin, where another target could be asked."""

    def capped(self, seconds: float | None) -> Deadlines:
        """With a ``total`` that is no longer than what the client itself will wait."""
        if seconds is None or (self.total is not None and self.total <= seconds):
            return self
        return msgspec.structs.replace(self, total=seconds)


GRACE = 1.5
"""How much longer the last target may take to its first token."""


def first_token_limit(deadlines: Deadlines, *, targets_left: int) -> float | None:
    """The first-token deadline of an attempt, from its dispatch; None for no deadline.

    ============  ====================  ==========================================================
    first_token   targets left          deadline
    ============  ====================  ==========================================================
    None          any                   none; ``total`` bounds it
    15            one or more           15: somebody else may be quicker
    15            none                  22.5 (``GRACE``): cutting it off helps nobody
    any           any                   ``total`` has its own timer, and ends the stream before it
    ============  ====================  ==========================================================
    """
    limit = deadlines.first_token
    return limit if limit is None or targets_left > 0 else limit * GRACE
