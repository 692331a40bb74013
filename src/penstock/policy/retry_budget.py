"""How many retries a provider is given: a share of its recent successes, so that retries never become the load.

The retry budget of Finagle (`RetryBudget`) and tower (`retry::budget::TpsBudget`). A limit of retries per request
multiplies the load of an outage by that limit; a budget adds a fixed share to it, however many requests there are.
"""

from __future__ import annotations

import msgspec

from penstock.policy.window import Window


class RetryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a retry budget."""

    ratio: float = 0.2
    """Retries per success of the last ``seconds``. 0.2: at most a fifth of the load is retries."""
    minimum: float = 10.0
    """Retries per second that need no success: for providers with few requests, and for the first seconds."""
    seconds: float = 10.0
    """How long a success counts, and a retry."""


class RetryBudget:
    """The budget of one provider. A retry withdraws 1 from the provider that *receives* it (see `must_pay`), a success
    deposits ``ratio``.

    Laws. The balance is never negative. Within the window, withdrawals are never more than
    ``minimum * seconds + ratio * deposits``. A deposit pays once: over any time the same holds with ``minimum *
    seconds`` for each window that has begun.
    """

    __slots__ = ("_deposits", "_withdrawals", "limits", "refused")

    def __init__(self, limits: RetryLimits = RetryLimits()):  # noqa: B008 (a frozen value)
        self.limits = limits
        self._deposits = Window(limits.seconds)
        self._withdrawals = Window(limits.seconds)
        self.refused = 0
        """Retries that it did not pay for."""

    def balance(self, now: float) -> float:
        """Retries that it would pay for now; the fraction is what the next one already has."""
        limits = self.limits
        income = limits.minimum * limits.seconds + limits.ratio * self._deposits.total(now)
        return max(0.0, income - self._withdrawals.total(now))

    def can_retry(self, now: float) -> bool:
        """Would `withdraw` be granted? Changes nothing."""
        return self.balance(now) >= 1.0

    def deposit(self, now: float) -> None:
        """An attempt succeeded."""
        self._deposits.add(now)

    def withdraw(self, now: float) -> bool:
        """Pay for one retry; False when there is not enough, and then it must not be made."""
        if not self.can_retry(now):
            self.refused += 1
            return False
        self._withdrawals.add(now)
        return True


def must_pay(*, tried: bool, struggling: bool) -> bool:
    """Does a stream's further attempt have to withdraw from the budget of the provider that would receive it?

    ====================================================  ==================  ===========
    the provider                                          in this stream      must pay
    ====================================================  ==================  ===========
    healthy                                               not tried yet       no
    healthy                                               tried               yes
    struggling (`Health.struggling`, of any target used)  either              yes
    ====================================================  ==================  ===========

    A budget is there for a provider that has trouble. Where every failover is charged, a primary that hangs takes the
    healthy second one's budget within a second, and users see errors that nobody had: all the streams that were
    waiting come over at once, and a fifth of its successes do not pay for them.
    """
    return tried or struggling
