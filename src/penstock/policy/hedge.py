"""Hedging: when a second attempt starts beside the first, and how many may.

After Dean and Barroso, "The Tail at Scale" (CACM 2013): wait for the 95th percentile of the usual time, then ask
another, too. That costs a few per cent of load and cuts the tail; the budget sees to it that an outage, in which
everything is late, does not double the load instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from penstock.policy.quantile import Quantiles

Request = TypeVar("Request")


class HedgeAfter(msgspec.Struct, frozen=True, kw_only=True):
    """``hedge: 800ms`` is ``HedgeAfter(fixed=0.8)``, ``hedge: p95`` is ``HedgeAfter(quantile=0.95)``. Seconds."""

    fixed: float | None = None
    quantile: float | None = None
    """Of the first target's first-token times; used where ``fixed`` is None."""
    floor: float = 0.1
    """No learnt delay is shorter …"""
    ceiling: float = 10.0
    """… or longer."""
    least: float = 50.0
    """Samples (weighed by age) before anything is learnt; with fewer there is no hedge."""

    def delay(self, times: Quantiles | None, now: float) -> float | None:
        """From the first attempt's dispatch to the second's; None = no second."""
        if self.fixed is not None or self.quantile is None or times is None:
            return self.fixed
        learnt = times.quantile(self.quantile, now, least=self.least)
        return None if learnt is None else min(max(learnt, self.floor), self.ceiling)


class HedgeBudget:
    """A token bucket that requests fill and hedges empty.

    Law: hedges are never more than ``ratio`` of the requests, and ``burst`` besides. It is never negative.
    """

    __slots__ = ("balance", "burst", "ratio", "refused", "spent")

    def __init__(self, ratio: float = 0.05, burst: float = 10.0):
        if not (0.0 <= ratio <= 1.0 and burst >= 0.0):
            raise ValueError("0 <= ratio <= 1 and burst >= 0 must hold")
        self.ratio = ratio
        self.burst = burst
        self.balance = burst
        self.spent = 0
        self.refused = 0

    def deposit(self) -> None:
        """A request that a hedge was possible for."""
        self.balance = min(self.burst, self.balance + self.ratio)

    def withdraw(self) -> bool:
        """Pay for one hedge; False when there is not enough, and then it must not start."""
        if self.balance < 1.0:
            self.refused += 1
            return False
        self.balance -= 1.0
        self.spent += 1
        return True


class Hedge(Generic[Request]):
    """A route's hedging.

    =====================================  ==================================================
    at a request's first dispatch          `delay`
    =====================================  ==================================================
    no second target                       None
    ``never`` says so of the request       None, and the budget gets nothing
    not enough samples yet                 None
    else                                   ``fixed``, or the quantile between floor and ceiling
    =====================================  ==================================================

    When the delay has passed without a token event and the first attempt still runs, ask `start`. The first *token
    event* wins, never an error. A failure of the first attempt before then is a retry, not a hedge.
    """

    __slots__ = ("_never", "after", "budget")

    def __init__(
        self, after: HedgeAfter, budget: HedgeBudget | None = None, never: Callable[[Request], bool] | None = None
    ):
        self.after = after
        self.budget = HedgeBudget() if budget is None else budget
        self._never = never

    def delay(self, request: Request, times: Quantiles | None, now: float, *, targets: int) -> float | None:
        """How long the first attempt is alone, None = to its end. To be asked once for a request: it fills the budget.
        ``times``: first-token times of the first target; ``targets``: how many there are to try."""
        if targets < 2 or (self._never is not None and self._never(request)):
            return None
        self.budget.deposit()
        return self.after.delay(times, now)

    def start(self) -> bool:
        """The delay has passed: may the second attempt start?"""
        return self.budget.withdraw()
