"""What a simulation of outages comes to: a series by second, the ejections, the sums. Times in seconds."""

from __future__ import annotations

import msgspec

from penstock.policy.bulkhead import Bulkhead
from penstock.policy.hedge import HedgeBudget
from penstock.policy.retry_budget import RetryBudget
from penstock.testing.outage_script import Outage, Scenario


class Second(msgspec.Struct, kw_only=True):
    """What happened in one second. ``attempts`` are all of them: first ones, retries and hedges."""

    at: int
    requests: int = 0
    attempts: int = 0
    retries: int = 0
    hedges: int = 0
    successes: int = 0
    failures: int = 0
    departures: int = 0
    unhelped: int = 0
    """Retries that were not made, for want of budget."""
    ejected: int = 0
    """Targets that are not healthy at its end."""
    by_target: dict[str, int]
    """Attempts."""
    paid: dict[str, int]
    """Retries that were paid for, by provider."""
    earned: dict[str, int]
    """Successes, by provider."""
    waits: list[float]
    """First-token times of the streams that were answered in it, from the request's arrival."""


class Change(msgspec.Struct, frozen=True):
    """A target's ejection, or its return."""

    at: float
    target: str
    closed: bool
    until: float | None
    """The end of the ejection."""
    why: str


class Provider(msgspec.Struct, kw_only=True):
    """A provider's policies, and what went through them."""

    budget: RetryBudget
    bulkhead: Bulkhead
    retries: int = 0
    paid: int = 0
    """Those of them that the budget paid for."""
    successes: int = 0


class Result(msgspec.Struct, kw_only=True):
    """What came of a scenario."""

    scenario: Scenario
    seconds: list[Second]
    changes: list[Change]
    providers: dict[str, Provider]
    hedge: HedgeBudget
    hedgeable: int
    """Requests that a hedge was possible for."""

    def total(self, name: str) -> int:
        """The sum of a column of `seconds`."""
        return sum(getattr(second, name) for second in self.seconds)

    def recovery(self, outage: Outage) -> float | None:
        """From an outage's end until its target was healthy again, None when it was not ejected at that end."""
        of_target = [change for change in self.changes if change.target == outage.target]
        before = [change for change in of_target if change.at <= outage.end]
        if not before or before[-1].closed:
            return None
        back = (change.at - outage.end for change in of_target if change.closed and change.at > outage.end)
        return next(back, float("inf"))
