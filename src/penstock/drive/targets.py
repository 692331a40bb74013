"""What a gateway knows of its targets: their health, and their providers' retry budgets, fed by all attempts.

One `Targets` a gateway. A stream sees them through its `Watch`: it tells of every attempt when it begins, at its first
token and at its end, without waiting for the end of the stream.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from penstock.policy.deadlines import Deadlines
from penstock.policy.health import Evidence, Health, HealthRules, State, admission, evidence
from penstock.policy.retry_budget import RetryBudget, RetryLimits, must_pay
from penstock.stream.summary import AttemptSummary

logger = logging.getLogger("penstock.targets")


class Targets:
    """Health by target, as it is configured: all models of ``provider/*`` are one. Retry budgets by provider."""

    def __init__(self, rules: HealthRules = HealthRules(), limits: RetryLimits = RetryLimits()):  # noqa: B008 (values)
        self.rules = rules
        self.limits = limits
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
        provider = target.partition("/")[0]
        found = self._budgets.get(provider)
        if found is None:
            found = self._budgets[provider] = RetryBudget(self.limits)
        return found

    def order(self, targets: Sequence[str], now: float) -> tuple[int, ...]:
        """Which of a route's targets to try, and in which order; see `policy.health.admission`."""
        if len(targets) < 2:
            return tuple(range(len(targets)))
        return admission([self.health(target) for target in targets], now).order

    def out(self, now: float) -> dict[str, bool]:
        """For the metrics: whether a target is ejected, or half-open and not back yet."""
        return {target: health.state(now) is not State.CLOSED for target, health in self._health.items()}


class Watch:
    """Tells `Targets` of one stream's attempts (`ports.Witness`), and the stream of its targets (`plan.Asking`).

    ``targets`` are those of the stream, in its order. Without ``health`` all are always worth an attempt, and nothing
    is held against them; what retries cost is paid all the same.
    """

    __slots__ = ("_hang", "_health", "_of", "_targets", "_tried")

    def __init__(self, known: Targets, deadlines: Deadlines, targets: Sequence[str], *, health: bool = True):
        self._targets = known
        self._of = targets
        self._health = health
        self._hang = hang(known.rules, deadlines)
        self._tried: set[str] = set()
        """Providers."""

    def admitted(self, now: float) -> tuple[int, ...]:
        """The numbers of the targets that are worth an attempt, in order."""
        return self._targets.order(self._of, now) if self._health else tuple(range(len(self._of)))

    def may_try(self, target: int, now: float) -> bool:
        """Is a further attempt paid for? See `policy.retry_budget.must_pay`."""
        label = self._of[target]
        struggling = self._health and self._targets.health(label).struggling(now)
        if not must_pay(tried=label.partition("/")[0] in self._tried, struggling=struggling):
            return True
        return self._targets.budget(label).withdraw(now)

    def dispatched(self, attempt: AttemptSummary, now: float) -> None:
        """It begins."""
        self._tried.add(attempt.label.partition("/")[0])
        if self._health:
            self._targets.health(attempt.label).dispatched(now)

    def answered(self, attempt: AttemptSummary, began: float, now: float) -> None:
        """Its first token event came."""
        if self._health and self._targets.health(attempt.label).answered(now, began):
            _back(attempt.label)

    def over(self, attempt: AttemptSummary, began: float, now: float) -> None:
        """It was closed."""
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


def hang(rules: HealthRules, deadlines: Deadlines) -> float:
    """A wait without a token from which on a client that leaves is evidence: two thirds of ``first_token``, and no
    more than ``rules.hang``. With the defaults that is 10 of 15 seconds."""
    limit = deadlines.first_token
    return rules.hang if limit is None else min(rules.hang, limit * 2 / 3)


def _back(target: str) -> None:
    logger.info("target %s answers again and is healthy", target)
