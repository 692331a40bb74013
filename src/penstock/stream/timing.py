"""The part of the machine that knows what falls due, and what follows then."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from penstock.stream import faults, rounds
from penstock.stream.attempt import Attempt
from penstock.stream.departure import Departure
from penstock.stream.states import Client, Upstream

if TYPE_CHECKING:
    from penstock.stream.continuing import Continuing

Timer = tuple[float, Callable[[float], None]]


class Timing(Departure):
    """Its deadlines. What it shares with the rest of the machine is declared here and made there."""

    _continuing: Continuing
    _retries: int
    _hedged: bool
    _again_at: float | None
    _settle_until: float | None

    if TYPE_CHECKING:

        def failed(self, attempt: Attempt, failure: faults.Failure, now: float, *, reuse: bool = False) -> None: ...
        def _again(self, now: float) -> None: ...
        def _pay(self, now: float) -> bool: ...

    def _timers(self) -> list[Timer]:
        if self.over:
            return []
        timers: list[Timer] = self._client.timers(self._slow)
        if self.settling:
            return (
                timers
                if self._settle_until is None
                else [(self._settle_until, partial(self.settled, reuse=False)), *timers]
            )
        limits, attempt = self._plan.deadlines, self._upstream.attempt
        if self.alone_until is not None:
            timers.append((self.alone_until, self._abandoned))
        if limits.total is not None:
            timers.append((self.began + limits.total, self._too_long))
        if self._again_at is not None:
            timers.append((self._again_at, self._again))
        if attempt is None or self._client.state is Client.BLOCKED or self.waits:
            return timers
        for racer in self._upstream.racing:
            if racer.state is Upstream.OPENING:
                timers.append((racer.dispatched + limits.connect, partial(self._not_connected, racer)))
            if racer.state is Upstream.STREAMING:
                between = limits.between_tokens if racer.silence is None else racer.silence.seconds
                if between is not None:
                    timers.append((racer.last_token + between, self._stalled))
            elif (ends := racer.window_ends(limits.between_tokens)) is not None:
                timers.append((ends, partial(self._window_over, racer)))
            elif (limit := self._first_token_limit(racer)) is not None:
                timers.append((racer.dispatched + limit, partial(self._no_token, racer)))
        after = self._plan.hedge_after
        silent = attempt.state is not Upstream.STREAMING and not attempt.probing
        if after is not None and self._left and not self._hedged and silent:
            timers.append((attempt.dispatched + after, self._hedge))
        return timers

    def _not_connected(self, attempt: Attempt, now: float) -> None:
        self.failed(attempt, faults.connect_timeout(self._plan.deadlines.connect), now)

    def _first_token_limit(self, attempt: Attempt) -> float | None:
        # Behind an answer that has begun nobody else is asked.
        rounds_left = self._retries if self._continuing.broken is None else None
        return rounds.patience(self._plan, attempt.target, rounds_left)

    def _no_token(self, attempt: Attempt, now: float) -> None:
        self.failed(attempt, faults.first_token_timeout(self._first_token_limit(attempt)), now)

    def _window_over(self, attempt: Attempt, now: float) -> None:
        """Too few tokens came in the probe window: the next target; without one, better slow than nothing."""
        probe = attempt.probe
        if probe is not None and not attempt.decoder.finished and (self._upstream.rival is not None or self._pay(now)):
            self.failed(attempt, faults.too_slow(probe.explain()), now)
        else:
            self._upstream.commit(attempt, now)
            self.flush(now)

    def _hedge(self, now: float) -> None:
        """The current attempt has no token event yet: the next target beside it, if the budget pays for that."""
        self._hedged = True
        budget, asking = self._plan.hedge_budget, self._plan.asking
        if budget is None or budget.withdraw():
            if asking is not None and not asking.may_try(self._left[0], now):
                return
            self.epoch += 1
            self._upstream.open(self._left.pop(0), now, hedge=True)

    def _stalled(self, now: float) -> None:
        attempt = self._upstream.attempt
        if attempt is not None and attempt.decoder.finished:
            # The answer has its finish; only the end marker is missing, and nothing says that it will come.
            self._account.warnings += attempt.decoder.oddities()
            self.complete(attempt, now)
            self.settled(now, reuse=False)
        elif attempt is not None:
            self._upstream.stalled(attempt, now)
            self.failed(attempt, faults.stalled(self._plan.deadlines.between_tokens, attempt.silence), now)

    def _too_long(self, now: float) -> None:
        self.end(faults.max_duration(self._plan.deadlines.total, self._plan.total_from), now)

    def _slow(self, now: float) -> None:
        if self._plan.resumable is not None and not self.settling:
            self._detach(now, drop=True)
            return
        self.end(faults.slow_client(self._plan.delivery.slow_client.timeout), now)
