"""What a gateway knows of its targets: their health and load, their providers' retry budgets and places, fed by all
attempts.

One `Targets` a gateway. A stream sees them through its `Watch`: it tells of every attempt when it begins, at its first
token and at its end, without waiting for the end of the stream.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from penstock.drive.loads import Loads, provider_of
from penstock.policy.deadlines import Deadlines
from penstock.policy.health import Evidence, Health, HealthRules, State, admission, evidence
from penstock.policy.retry_budget import RetryBudget, RetryLimits, must_pay
from penstock.stream.summary import AttemptSummary

logger = logging.getLogger("penstock.targets")


class Targets:
    """Health by target, as it is configured: all models of ``provider/*`` are one. Retry budgets by provider."""

    def __init__(
        self,
        rules: HealthRules = HealthRules(),  # noqa: B008 (a frozen value)
        limits: RetryLimits = RetryLimits(),  # noqa: B008 (a frozen value)
        loads: Loads | None = None,
    ):
        self.rules = rules
        self.limits = limits
        self.loads = loads or Loads()
        self._health: dict[str, Health] = {}
        self._budgets: dict[str, RetryBudget] = {}

    def health(self, target: str) -> Health:
        """That of one target; one that nobody has asked yet is healthy."""
        found = self._health.get(target)
        if found is None:
            found = self._health[target] = Health(self.rules)
        return found

    def budget(self, target: str) -> RetryBudget:
        """That of a target's provider."""
        provider = provider_of(target)
        found = self._budgets.get(provider)
        if found is None:
            found = self._budgets[provider] = RetryBudget(self.limits)
        return found

    def order(self, targets: Sequence[str], now: float, *, health: bool = True) -> tuple[int, ...]:
        """Which of a route's targets to try, and in which order: those whose provider has a place, and of these see
        `policy.health.admission`. Empty when all are full."""
        free = [place for place, target in enumerate(targets) if self.loads.room(target)]
        if len(free) < 2 or not health:
            return tuple(free)
        return tuple(free[place] for place in admission([self.health(targets[place]) for place in free], now).order)

    def out(self, now: float) -> dict[str, bool]:
        """For the metrics: whether a target is ejected, or half-open and not back yet."""
        return {target: health.state(now) is not State.CLOSED for target, health in self._health.items()}


class Watch:
    """Tells `Targets` of one stream's attempts (`ports.Witness`), and the stream of its targets (`plan.Asking`).

    ``targets`` are those of the stream, in its order. Without ``health`` all are always worth an attempt, and nothing
    is held against them; what retries cost is paid all the same.
    """

    __slots__ = ("_flying", "_hang", "_health", "_of", "_targets", "_tried")

    def __init__(self, known: Targets, deadlines: Deadlines, targets: Sequence[str], *, health: bool = True):
        self._targets = known
        self._of = targets
        self._health = health
        self._hang = hang(known.rules, deadlines)
        self._tried: set[str] = set()
        """Providers."""
        self._flying: list[AttemptSummary] = []
        """Attempts that hold a place."""

    def admitted(self, now: float) -> tuple[int, ...]:
        """The numbers of the targets that are worth an attempt, in order."""
        return self._targets.order(self._of, now, health=self._health)

    def may_try(self, target: int, now: float) -> bool:
        """Has a further attempt a place, and is it paid for? See `policy.retry_budget.must_pay`."""
        label = self._of[target]
        home = provider_of(label)
        # What has ended gives its place back before the next attempt begins.
        leaving = sum(one.ended is not None and provider_of(one.label) == home for one in self._flying)
        if not self._targets.loads.room(label, leaving):
            return False
        struggling = self._health and self._targets.health(label).struggling(now)
        if not must_pay(tried=home in self._tried, struggling=struggling):
            return True
        return self._targets.budget(label).withdraw(now)

    def dispatched(self, attempt: AttemptSummary, now: float) -> None:
        """It begins."""
        self._tried.add(provider_of(attempt.label))
        if self._targets.loads.begin(attempt.label):
            self._flying.append(attempt)
        if self._health:
            self._targets.health(attempt.label).dispatched(now)

    def answered(self, attempt: AttemptSummary, began: float, now: float) -> None:
        """Its first token event came."""
        if self._health and self._targets.health(attempt.label).answered(now, began):
            _back(attempt.label)

    def over(self, attempt: AttemptSummary, began: float, now: float) -> None:
        """It was closed."""
        self._give_back(attempt)
        served = attempt.outcome is None and not attempt.lost
        if served:
            self._targets.budget(attempt.label).deposit(now)
        if attempt.blameless or not self._health:
            return
        health = self._targets.health(attempt.label)
        if served:
            if health.succeeded(now, began):
                _back(attempt.label)
            return
        answered = attempt.first_token is not None
        said = evidence(
            outcome=attempt.outcome,
            status=attempt.status if attempt.status is not None and attempt.status >= 300 else None,
            waited=None if answered else now - began,
            retry_after=attempt.retry_after,
            hang=self._hang,
        )
        if said is Evidence.BUSY:
            health.rest(now, attempt.retry_after or 0.0)
        elif said is Evidence.FAULT and health.failed(now, began, attempt.reason, answered=answered):
            logger.warning("target %s is %s", attempt.label, health.explain(now))

    def done(self) -> None:
        """The stream is over. No place is left taken, whatever became of the attempts."""
        for attempt in self._flying[:]:
            self._give_back(attempt)

    def _give_back(self, attempt: AttemptSummary) -> None:
        held = len(self._flying)
        self._flying = [one for one in self._flying if one is not attempt]
        if len(self._flying) < held:
            self._targets.loads.end(attempt.label)


def hang(rules: HealthRules, deadlines: Deadlines) -> float:
    """A wait without a token from which on a client that leaves is evidence: two thirds of ``first_token``, and no
    more than ``rules.hang``. With the defaults that is 10 of 15 seconds."""
    limit = deadlines.first_token
    return rules.hang if limit is None else min(rules.hang, limit * 2 / 3)


def _back(target: str) -> None:
    logger.info("target %s answers again and is healthy", target)
