"""How a stream ended: one word for every way, the same in log, metric, ledger, error frame and docs."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """Exactly one for each stream; the first cause wins (interface.md §5)."""

    COMPLETED = "completed"
    CLIENT_CLOSED = "client_closed"
    STOPPED = "stopped"
    CONNECT_FAILED = "connect_failed"
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"
    TOO_SLOW = "too_slow"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_CUT = "upstream_cut"
    EMPTY = "empty"
    STALLED = "stalled"
    MAX_DURATION = "max_duration"
    BLOCKED = "blocked"
    BUDGET_EXCEEDED = "budget_exceeded"
    SLOW_CLIENT = "slow_client"
    SHUTDOWN = "shutdown"
    CRASHED = "crashed"


ATTEMPT_FAILURES = frozenset(
    {
        Outcome.CONNECT_FAILED,
        Outcome.FIRST_TOKEN_TIMEOUT,
        Outcome.TOO_SLOW,
        Outcome.UPSTREAM_ERROR,
        Outcome.UPSTREAM_CUT,
        Outcome.EMPTY,
    }
)
"""The ways an attempt can fail that may become failover while nothing was committed."""
