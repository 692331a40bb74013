"""What a simulation of outages is about: targets, their troubles, and the policies of the route. Times in seconds."""

from __future__ import annotations

from enum import Enum

import msgspec

from penstock.policy.backoff import Backoff
from penstock.policy.health import HealthRules
from penstock.policy.hedge import HedgeAfter
from penstock.policy.retry_budget import RetryLimits


class Trouble(Enum):
    """What a target does during an outage, to attempts that begin in it."""

    REFUSES = "no connection, after 5 ms"
    HANGS = "a connection, and then nothing for ever"
    FAILS = "503 after 50 ms"
    LIMITS = "429 with retry-after: 2, after 50 ms"
    CUTS = "a cut in the middle of the answer"


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """One target's trouble; ``share`` of the attempts meet it."""

    target: str
    start: float
    end: float
    trouble: Trouble
    share: float = 1.0


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A target; its provider is what stands before the slash. Lower ranks are tried first."""

    name: str
    rank: int = 0
    weight: float = 1.0
    first_token: float = 0.4
    """The median; the distribution is log-normal …"""
    spread: float = 0.4
    """… with this sigma."""
    length: float = 3.0
    """The mean of an answer's length, exponential."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A route with its targets and their troubles."""

    targets: tuple[Target, ...]
    outages: tuple[Outage, ...] = ()
    streams: int = 20_000
    per_second: float = 50.0
    """Arrivals, Poisson."""
    departures: float = 0.05
    """The share of clients that leave, after a time that is exponential with a mean of 3 s."""
    first_token: float = 15.0
    total: float = 60.0
    rounds: int = 2
    """How often the targets are gone through."""
    health: HealthRules = HealthRules()
    retries: RetryLimits = RetryLimits()
    every_retry_pays: bool = False
    """Charge the retries at healthy providers, too (see `retry_budget.must_pay`)."""
    backoff: Backoff = Backoff()
    hedge: HedgeAfter | None = None
    hedge_ratio: float = 0.05
    hedge_burst: float = 10.0
    places: int | None = 2_000
    """Of a provider's bulkhead."""
    seed: int = 1
