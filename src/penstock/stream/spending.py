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

    settling: bool

    def finish(self, outcome: Outcome, reason: str, now: float) -> None:
        """End the generation."""

    def wait(self, now: float) -> None:
        """Read nothing more of the provider before it is known whether it may be paid."""


def within(allowance: Allowance, machine: Machine, flush: Callable[[float], None]) -> Callable[[float], None]:
    """``flush`` for a key with a budget: behind what was sent, it is asked whether there may be more."""

    def flush_within(now: float) -> None:
        flush(now)
        if machine.account.first_token is None:
            return
        lasts = allowance.lasts(machine.account)
        if lasts is False:
            machine.finish(Outcome.BUDGET_EXCEEDED, SPENT, now)
        elif lasts is None and not machine.settling:
            machine.wait(now)

    return flush_within
