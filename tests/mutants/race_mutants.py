"""Lies where two attempts are in flight, and where attempts follow each other."""

from __future__ import annotations

from mutant import MACHINE, UPSTREAM, Mutant

RACES = [
    # Two attempts in flight.
    Mutant(
        "the loser of a race goes on",
        "2",
        MACHINE,
        "        self._won(attempt, now)\n        if self._account.first_token",
        "        if self._account.first_token",
    ),
    Mutant(
        "an ending closes one racer only",
        "2",
        "stream/attempts.py",
        "for attempt in reversed(self.racing):",
        "for attempt in self.racing[:1]:",
    ),
    Mutant(
        "the first to end wins, and be it by an error",
        "4",
        MACHINE,
        "        if self._upstream.attempt is not None:\n",
        "        if False:\n",
        "stream/test_plays_hedging.py",
    ),
    Mutant(
        "what the loser reported is in the account",
        "7",
        UPSTREAM,
        "        if attempt is self.attempt:\n            self._promote(attempt)\n",
        "        self._account.usage = attempt.usage\n",
        "stream/test_plays_hedging.py",
    ),
    Mutant(
        "one clock runs for both racers",
        "9",
        "stream/timing.py",
        "        for racer in self._upstream.racing:\n",
        "        for racer in (attempt,):\n",
    ),
    Mutant(
        "a hedge costs nothing",
        "hedge",
        "stream/timing.py",
        "if budget is None or budget.withdraw():",
        "if True:",
        "stream/test_plays_hedging.py",
    ),
    # The policy, and credentials.
    Mutant(
        "the caller's own fault is tried again",
        "failover",
        "policy/failover.py",
        " and not callers_fault",
        "",
        "policy/test_failover.py",
    ),
    Mutant(
        "a credential reaches the client",
        "secrets",
        "stream/head.py",
        'data = data.replace(secret, b"***")',
        "pass",
        "stream/test_head.py",
    ),
]
