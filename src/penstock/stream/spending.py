"""The end of a stream whose key has spent its budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from penstock.outcome import Outcome
from penstock.stream.plan import Allowance
from penstock.stream.summary import Summary

SPENT = "the budget of the key is spent (keys: budget_usd); the answer is not complete"


class Machine(Protocol):
    """What of a stream's machine is needed here."""

    @property
    def account(self) -> Summary:
        """What is known of the stream."""
        ...

    def finish(self, outcome: Outcome, reason: str, now: float) -> None:
        """End the generation."""


def within(allowance: Allowance, machine: Machine, flush: Callable[[float], None]) -> Callable[[float], None]:
    """``flush`` for a key with a budget: behind what was sent, it is asked whether there may be more."""

    def flush_within(now: float) -> None:
        flush(now)
        if machine.account.first_token is not None and not allowance.lasts(machine.account):
            machine.finish(Outcome.BUDGET_EXCEEDED, SPENT, now)

    return flush_within
