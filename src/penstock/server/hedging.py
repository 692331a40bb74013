"""Hedging: when a route's streams ask a second target, learnt from how their first ones did."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import msgspec

from penstock.config.values import Route
from penstock.outcome import Outcome
from penstock.policy.hedge import Hedge
from penstock.policy.quantile import Quantiles
from penstock.ports import Recorder
from penstock.stream.plan import Plan
from penstock.stream.summary import AttemptSummary, Summary

logger = logging.getLogger("penstock.server")


class Hedging:
    """Each route's delay and budget, and what is known of its targets. A recorder: it learns from each stream's
    account, which it hands on to ``recorder`` first. ``before`` is that of an older configuration: what it has learnt
    is kept."""

    def __init__(
        self,
        routes: Iterable[Route],
        recorder: Recorder,
        clock: Callable[[], float],
        before: Hedging | None = None,
    ):
        known = {} if before is None else before._times
        self._recorder = recorder
        self._clock = clock
        self._hedges: dict[str, Hedge[Plan]] = {}
        self._times: dict[str, Quantiles] = {}
        """First-token times, of the targets that a delay is learnt for."""
        for route in routes:
            if route.hedge is not None:
                self._hedges[route.name] = Hedge(route.hedge)
                if route.hedge.quantile is not None:
                    for target in route.targets:
                        self._times[target.name] = known.get(target.name) or Quantiles()

    def planned(self, plan: Plan) -> Plan:
        """The plan with its hedging. To be asked once for a stream: it fills the budget."""
        hedge = self._hedges.get(plan.route)
        if hedge is None:
            return plan
        times = self._times.get(plan.ways[0].label)
        after = hedge.delay(plan, times, self._clock(), targets=len(plan.ways))
        return msgspec.structs.replace(plan, hedge_after=after, hedge_budget=hedge.budget)

    def record(self, summary: Summary) -> None:
        """A stream is over."""
        self._recorder.record(summary)
        try:
            for attempt in summary.attempts:
                times, waited = self._times.get(attempt.label), first_token_time(attempt)
                if times is not None and waited is not None:
                    times.add(waited, self._clock())
        except Exception:
            logger.exception("stream %s taught hedging nothing", summary.stream)


def first_token_time(attempt: AttemptSummary) -> float | None:
    """Seconds from an attempt's dispatch to its first token event. One that was broken off for being slow counts with
    the time that it had: without those a learnt delay would sink with every hedge. Other failures say nothing."""
    if attempt.first_token is not None:
        return attempt.first_token - attempt.started
    broken_off = attempt.lost or attempt.outcome is Outcome.FIRST_TOKEN_TIMEOUT
    return attempt.ended - attempt.started if broken_off and attempt.ended is not None else None
