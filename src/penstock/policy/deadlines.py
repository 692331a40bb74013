"""How long each phase of a stream may last. All in seconds; ``None`` switches a deadline off."""

from __future__ import annotations

import msgspec


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """The deadlines of a route (interface.md §3)."""

    connect: float = 5.0
    """TCP and TLS of one attempt, from its dispatch."""
    first_token: float | None = 15.0
    """From the dispatch of an attempt to its first token event. Pings, role deltas and comments do not count."""
    between_tokens: float | None = 30.0
    """From one token event to the next; it does not run while the client is blocked."""
    total: float | None = 600.0
    """The whole stream with all its attempts, from the request's acceptance."""
