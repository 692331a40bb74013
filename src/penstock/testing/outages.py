"""Outages in virtual time: many streams over scripted targets, with the policies of `penstock.policy` and no socket.

    result = simulate(Scenario(
        streams=20_000,
        targets=(Target(name="a/m"), Target(name="b/m", rank=1)),
        outages=(Outage(target="a/m", start=30, end=90, trouble=Trouble.HANGS),),
    ))
    [second.ejected for second in result.seconds]

Equal scenarios have equal results. What is simulated is the course of attempts, not bytes: that of the machine, as the
policies decide it. All times in seconds.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from penstock.outcome import Outcome
from penstock.policy.bulkhead import Bulkhead
from penstock.policy.choice import Candidate, by_rank
from penstock.policy.health import Evidence, Health, State, admission, evidence
from penstock.policy.hedge import Hedge, HedgeBudget
from penstock.policy.quantile import Quantiles
from penstock.policy.retry_budget import RetryBudget, must_pay
from penstock.testing.outage_result import Change, Provider, Result, Second
from penstock.testing.outage_script import Outage, Scenario, Target, Trouble

__all__ = ["Change", "Outage", "Provider", "Result", "Scenario", "Second", "Target", "Trouble", "simulate"]


def simulate(scenario: Scenario) -> Result:
    """Play it."""
    return _Simulation(scenario).run()


class _Attempt:
    __slots__ = ("began", "closed", "stream", "target")

    def __init__(self, stream: _Stream, target: int, began: float):
        self.stream = stream
        self.target = target
        self.began = began
        self.closed = False


class _Stream:
    __slots__ = ("answered", "began", "left", "live", "over", "retry_after", "round", "tried")

    def __init__(self, began: float, order: list[int]):
        self.began = began
        self.left = order
        """Targets of this round that were not tried yet."""
        self.live: list[_Attempt] = []
        self.tried: set[str] = set()
        """Providers."""
        self.answered = False
        self.over = False
        self.round = 1
        self.retry_after: float | None = None


class _Simulation:
    def __init__(self, scenario: Scenario):
        self.scenario = scenario
        self.random = random.Random(scenario.seed)
        self.queue: list[tuple[float, int, Callable[[float], None]]] = []
        self.number = 0
        self.to_come = scenario.streams
        self.under_way = 0
        self.targets = scenario.targets
        self.names = [target.name for target in self.targets]
        self.health = [Health(scenario.health) for _ in self.targets]
        self.times = [Quantiles(half_life=60.0) for _ in self.targets]
        self.in_flight = [0] * len(self.targets)
        self.outages = [[each for each in scenario.outages if each.target == name] for name in self.names]
        self.homes = [name.partition("/")[0] for name in self.names]
        self.providers = {
            home: Provider(budget=RetryBudget(scenario.retries), bulkhead=Bulkhead(scenario.places))
            for home in dict.fromkeys(self.homes)
        }
        budget = HedgeBudget(scenario.hedge_ratio, scenario.hedge_burst)
        self.hedge: Hedge[_Stream] | None = None if scenario.hedge is None else Hedge(scenario.hedge, budget)
        self.result = Result(
            scenario=scenario, seconds=[], changes=[], providers=self.providers, hedge=budget, hedgeable=0
        )  # fmt: skip

    # -- time -----------------------------------------------------------------------------------------------------

    def run(self) -> Result:
        self.at(0.0, self.tick)
        self.at(self.random.expovariate(self.scenario.per_second), self.arrive)
        while self.queue:
            now, _, happen = heapq.heappop(self.queue)
            happen(now)
        return self.result

    def at(self, when: float, happen: Callable[[float], None]) -> None:
        self.number += 1
        heapq.heappush(self.queue, (when, self.number, happen))

    @property
    def second(self) -> Second:
        return self.result.seconds[-1]

    def tick(self, now: float) -> None:
        seconds = self.result.seconds
        if seconds:
            seconds[-1].ejected = sum(health.state(now) is not State.CLOSED for health in self.health)
        if self.to_come or self.under_way or not seconds:
            homes = dict.fromkeys(self.homes, 0)
            by_target = dict.fromkeys(self.names, 0)
            seconds.append(Second(at=len(seconds), by_target=by_target, paid=homes, earned=homes.copy(), waits=[]))
            self.at(float(len(seconds)), self.tick)

    # -- streams --------------------------------------------------------------------------------------------------

    def arrive(self, now: float) -> None:
        self.to_come -= 1
        if self.to_come:
            self.at(now + self.random.expovariate(self.scenario.per_second), self.arrive)
        stream = _Stream(now, self.order(now))
        self.under_way += 1
        self.second.requests += 1
        if self.random.random() < self.scenario.departures:
            self.at(now + self.random.expovariate(1 / 3.0), lambda at: self.leave(stream, at))
        delay = None
        if self.hedge is not None:
            self.result.hedgeable += len(stream.left) > 1
            delay = self.hedge.delay(stream, self.times[stream.left[0]], now, targets=len(stream.left))
        if self.dispatch(stream, now, retry=False) and delay is not None:
            self.at(now + delay, lambda at: self.second_attempt(stream, at))

    def order(self, now: float) -> list[int]:
        """The targets to try: by rank, the least loaded first, without those that are ejected."""
        ranked = sorted(range(len(self.targets)), key=lambda index: self.targets[index].rank)
        candidates = [
            Candidate(self.targets[index].weight, self.in_flight[index], self.targets[index].rank) for index in ranked
        ]
        ordered = [ranked[place] for place in by_rank(candidates, self.random.random(), "least_loaded")]
        admitted = admission([self.health[index] for index in ordered], now)
        return [ordered[place] for place in admitted.order]

    def dispatch(self, stream: _Stream, now: float, *, retry: bool, hedge: bool = False) -> bool:
        """An attempt at the next target that can be had. False, and the stream's end, when there is none."""
        while stream.left:
            target = stream.left.pop(0)
            provider = self.providers[self.homes[target]]
            if not provider.bulkhead.acquire():
                continue
            if retry and not self.pays(stream, target, now):
                provider.bulkhead.release()
                self.second.unhelped += 1
                continue
            provider.retries += retry
            self.second.retries += retry
            self.open(stream, target, now)
            return True
        if not hedge:
            self.again(stream, now)
        return False

    def pays(self, stream: _Stream, target: int, now: float) -> bool:
        """A retry is paid for, or need not be."""
        home = self.homes[target]
        struggling = any(
            health.struggling(now) for health, of in zip(self.health, self.homes, strict=True) if of == home
        )
        if not (self.scenario.every_retry_pays or must_pay(tried=home in stream.tried, struggling=struggling)):
            return True
        provider = self.providers[home]
        if not provider.budget.withdraw(now):
            return False
        provider.paid += 1
        self.second.paid[home] += 1
        return True

    def again(self, stream: _Stream, now: float) -> None:
        """Another round, after a wait, or the end."""
        scenario = self.scenario
        left = stream.began + scenario.total - now
        chance = self.random.random()
        wait = scenario.backoff.wait(stream.round, chance, retry_after=stream.retry_after, left=left)
        if stream.round >= scenario.rounds or wait is None:
            self.finish(stream)
            self.second.failures += 1
            return
        stream.round += 1
        self.at(now + wait, lambda at: self.next_round(stream, at))

    def next_round(self, stream: _Stream, now: float) -> None:
        if not stream.over:
            stream.left = self.order(now)
            stream.retry_after = None
            self.dispatch(stream, now, retry=True)

    def second_attempt(self, stream: _Stream, now: float) -> None:
        # Its first attempt must still be waiting: a failed one was followed by a retry.
        alone = len(stream.live) == 1 and stream.live[0].began == stream.began
        if self.hedge is None or stream.over or stream.answered or not alone:
            return
        if stream.left and self.hedge.start():
            self.second.hedges += self.dispatch(stream, now, retry=False, hedge=True)

    def leave(self, stream: _Stream, now: float) -> None:
        if not stream.over:
            for attempt in list(stream.live):
                self.break_off(attempt, Outcome.CLIENT_CLOSED, now)
            self.finish(stream)
            self.second.departures += 1

    def finish(self, stream: _Stream) -> None:
        stream.over = True
        self.under_way -= 1

    # -- attempts -------------------------------------------------------------------------------------------------

    def open(self, stream: _Stream, target: int, now: float) -> None:
        self.second.attempts += 1
        self.second.by_target[self.names[target]] += 1
        self.in_flight[target] += 1
        self.health[target].dispatched(now)
        stream.tried.add(self.homes[target])
        attempt = _Attempt(stream, target, now)
        stream.live.append(attempt)
        trouble = self.trouble(target, now)
        latest = now + self.scenario.first_token
        if trouble is Trouble.REFUSES:
            self.at(now + 0.005, lambda at: self.fail(attempt, Outcome.CONNECT_FAILED, at))
        elif trouble is Trouble.FAILS:
            self.at(now + 0.05, lambda at: self.fail(attempt, Outcome.UPSTREAM_ERROR, at, status=503))
        elif trouble is Trouble.LIMITS:
            self.at(now + 0.05, lambda at: self.fail(attempt, Outcome.UPSTREAM_ERROR, at, status=429, retry_after=2.0))
        else:
            kind = self.targets[target]
            token = now + kind.first_token * self.random.lognormvariate(0.0, kind.spread)
            if trouble is Trouble.HANGS or token > latest:
                self.at(latest, lambda at: self.fail(attempt, Outcome.FIRST_TOKEN_TIMEOUT, at))
                return
            self.at(token, lambda at: self.token(attempt, at))
            end = token + self.random.expovariate(1 / kind.length)
            if trouble is Trouble.CUTS:
                self.at((token + end) / 2, lambda at: self.fail(attempt, Outcome.UPSTREAM_CUT, at))
            else:
                self.at(end, lambda at: self.complete(attempt, at))

    def trouble(self, target: int, now: float) -> Trouble | None:
        for outage in self.outages[target]:
            if outage.start <= now < outage.end and self.random.random() < outage.share:
                return outage.trouble
        return None

    def token(self, attempt: _Attempt, now: float) -> None:
        if attempt.closed:
            return
        stream = attempt.stream
        stream.answered = True
        self.second.waits.append(now - stream.began)
        self.times[attempt.target].add(now - attempt.began, now)
        for loser in [other for other in stream.live if other is not attempt]:
            self.break_off(loser, None, now)
        if self.health[attempt.target].answered(now, attempt.began):
            self.changed(attempt.target, now)

    def complete(self, attempt: _Attempt, now: float) -> None:
        if attempt.closed:
            return
        self.close(attempt)
        self.finish(attempt.stream)
        self.second.successes += 1
        if self.health[attempt.target].succeeded(now, attempt.began):
            self.changed(attempt.target, now)
        home = self.homes[attempt.target]
        self.second.earned[home] += 1
        self.providers[home].successes += 1
        self.providers[home].budget.deposit(now)

    def fail(
        self,
        attempt: _Attempt,
        outcome: Outcome,
        now: float,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        if attempt.closed:
            return
        stream = attempt.stream
        waited = None if stream.answered else now - attempt.began
        self.judge(attempt, outcome, waited, now, status, retry_after)
        self.close(attempt)
        if retry_after is not None:
            stream.retry_after = min(retry_after, stream.retry_after or retry_after)
        if stream.answered:
            self.finish(stream)
            self.second.failures += 1
        elif not stream.live:
            self.dispatch(stream, now, retry=True)

    def break_off(self, attempt: _Attempt, outcome: Outcome | None, now: float) -> None:
        """The client left, or another attempt won."""
        waited = None
        if outcome is None or not attempt.stream.answered:
            waited = now - attempt.began
            self.times[attempt.target].add(waited, now)
        self.judge(attempt, outcome, waited, now)
        self.close(attempt)

    def judge(
        self,
        attempt: _Attempt,
        outcome: Outcome | None,
        waited: float | None,
        now: float,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        hang = self.scenario.health.hang
        said = evidence(outcome=outcome, status=status, waited=waited, retry_after=retry_after, hang=hang)
        health = self.health[attempt.target]
        if said is Evidence.BUSY and retry_after is not None:
            health.rest(now, retry_after)
        elif said is Evidence.FAULT:
            why = outcome.value if outcome else "too late"
            if health.failed(now, attempt.began, why, answered=waited is None):
                self.changed(attempt.target, now)

    def changed(self, target: int, now: float) -> None:
        health = self.health[target]
        closed = health.state(now) is State.CLOSED
        self.result.changes.append(
            Change(now, self.names[target], closed, health.ejected_until, health.explain(now))
        )  # fmt: skip

    def close(self, attempt: _Attempt) -> None:
        attempt.closed = True
        attempt.stream.live.remove(attempt)
        self.in_flight[attempt.target] -= 1
        self.providers[self.homes[attempt.target]].bulkhead.release()
