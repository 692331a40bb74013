"""The stream machine: inputs with an instant go in, commands come out. It waits for nothing and reads no clock.

Laws. Each is a property test in tests/laws.

1.  Exactly one Done, last; exactly one Record; nothing is sent after either.
2.  Every Open(k) meets exactly one Close(k), on every path. At most two are open, and one once a token event came.
3.  (resume: with the journal)
4.  The first token event released is the commit. Before it failure may become failover; after it never silently.
5.  Output depends on the bytes, never on how they were split.
6.  A word from an attempt that is no longer current changes nothing.
7.  The account counts what the provider sent, what it reported and what the client was sent, separately.
8.  Every ending flushes every stage, unless the client has left, or the text was blocked or could not be checked.
9.  Silence is blamed on a side: no upstream deadline runs while the client is blocked, and only token events push
    the between-tokens deadline on.
10. No stage and equal wires: output bytes equal input bytes, but for the mendings listed at the wire's decoder.
11. Carrying out a command never calls back into the machine: inputs raised meanwhile wait their turn.
12. Memory a stream is bounded by configuration.
13. A success terminal is sent only where the upstream sent one, or where a stop was asked for.

The transition tables are in `states`; the failover decision in `policy.failover`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from penstock.outcome import Outcome
from penstock.policy import failover
from penstock.policy.backoff import Backoff
from penstock.policy.deadlines import first_token_limit
from penstock.stream import faults, inputs
from penstock.stream.attempt import Attempt
from penstock.stream.commands import Command, Done, Record
from penstock.stream.plan import Plan
from penstock.stream.sides import client_side
from penstock.stream.states import Client, Upstream, UpstreamStep
from penstock.stream.summary import Summary
from penstock.stream.upstream import UpstreamSide

Timer = tuple[float, Callable[[float], None]]


class Stream:
    """One stream. Call `start`, then `receive` for everything that happens and `expire` when `deadline` has come."""

    def __init__(self, plan: Plan, now: float):
        self._plan = plan
        self.began = now
        """The request's acceptance."""
        self._out: list[Command] = []
        self._outcome: Outcome | None = None
        self._known: faults.Failure | None = None
        """The most useful failure of the attempts so far."""
        self._left = list(range(len(plan.ways)))
        """Targets that were not tried, or only in a race that they lost."""
        self._hedged = False
        """The second attempt was had, or refused: there is one in a stream."""
        self._final = False
        """A racer failed in a way that no further target mends."""
        self._retries = plan.retries
        """Rounds that are left."""
        self._waits: list[float | None] = []
        """The seconds that the failures of this round asked for."""
        self._again_at: float | None = None
        """When the next round begins: nobody is asked until then."""
        self._settle_until: float | None = None
        self.account = Summary(
            stream=plan.stream,
            route=plan.route,
            model=plan.request.model,
            client_wire=plan.client_wire,
            streamed=plan.request.stream,
            attempts=[],
            warnings=[],
            tags=dict(plan.tags),
        )
        self.over = False
        """Done was said."""
        self.settling = False
        """The course is run; what is left is late usage, or a client that has not read its end yet."""
        self.epoch = 0
        """Grows whenever `deadline` may have come nearer; between two changes it only moves away."""
        self._client = client_side(plan, self.account, self._out, self, now)
        # The path of a chunk: straight from one side to the other.
        self.put = self._client.put
        self.flush = self._client.flush
        self._upstream = upstream = UpstreamSide(plan, self.account, self._out, self, now)
        self._on_bytes = self._client.listening(upstream.on_bytes)
        self._handlers: dict[type[inputs.Input], Callable[..., None]] = {
            inputs.UpstreamOpened: upstream.on_opened,
            inputs.UpstreamHead: upstream.on_head,
            inputs.UpstreamEnded: upstream.on_ended,
            inputs.UpstreamFailed: upstream.on_failed,
            inputs.ClientBlocked: self._on_blocked,
            inputs.ClientDrained: self._on_drained,
            inputs.ClientLeft: self._on_left,
            inputs.CheckAnswered: self._client.answered,
            inputs.Stop: self._on_stop,
            inputs.Shutdown: self._on_shutdown,
        }

    # -- the calls ------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Command]:
        """Begin: the commands that open the first attempt."""
        self._upstream.open(self._left.pop(0), now)
        return self._taken()

    def receive(self, happened: inputs.Input, now: float) -> list[Command]:
        """Something happened at ``now``. Inputs after Done, or from an attempt that is not current, change nothing."""
        if not self.over:
            if type(happened) is inputs.UpstreamBytes:
                self._on_bytes(happened, now)
            else:
                self.epoch += 1
                self._client.now = now
                self._handlers[type(happened)](happened, now)
        return self._taken()

    def deadline(self) -> float | None:
        """The instant at which `expire` is to be called, if nothing happens before."""
        return min((instant for instant, _ in self._timers()), default=None)

    def expire(self, now: float) -> list[Command]:
        """Time has come to ``now``: act on every deadline that has passed, in the order in which they fell due."""
        while timers := self._timers():
            instant, act = min(timers, key=lambda timer: timer[0])
            if instant > now:
                break
            self._client.now = now
            act(now)
        return self._taken()

    def crash(self, now: float) -> list[Command]:
        """Something of Penstock's own failed, here or where commands are carried out: end as well as can be. An
        answer that the client has whole stays what it was."""
        if self.over:
            return []
        self.over = True
        try:
            if not self._client.ended:
                self._outcome = None
            self.end(faults.crashed(), now)
            return self._taken()
        finally:
            self._out.clear()

    def release(self) -> None:
        """Let go of everything that refers back to this machine: it is freed at once then, and not when the collector
        comes by. For after Done, when no call is under way."""
        self._handlers.clear()
        self._upstream.release()
        self._client.release()
        del self._on_bytes

    def _taken(self) -> list[Command]:
        out = self._out[:]
        self._out.clear()
        return out

    # -- time -----------------------------------------------------------------------------------------------------

    def _timers(self) -> list[Timer]:
        if self.over:
            return []
        timers: list[Timer] = self._client.timers(self._slow)
        if self.settling:
            return timers if self._settle_until is None else [(self._settle_until, self._late), *timers]
        limits, attempt = self._plan.deadlines, self._upstream.attempt
        if limits.total is not None:
            timers.append((self.began + limits.total, self._too_long))
        if self._again_at is not None:
            timers.append((self._again_at, self._again))
        if attempt is None or self._client.state is Client.BLOCKED:
            return timers
        for racer in self._upstream.racing:
            if racer.state is Upstream.OPENING:
                timers.append((racer.dispatched + limits.connect, partial(self._not_connected, racer)))
            if racer.state is Upstream.STREAMING:
                if limits.between_tokens is not None:
                    timers.append((racer.last_token + limits.between_tokens, self._stalled))
            elif (limit := self._first_token_limit(racer)) is not None:
                timers.append((racer.dispatched + limit, partial(self._no_token, racer)))
        after = self._plan.hedge_after
        if after is not None and self._left and not self._hedged and attempt.state is not Upstream.STREAMING:
            timers.append((attempt.dispatched + after, self._hedge))
        return timers

    def _not_connected(self, attempt: Attempt, now: float) -> None:
        self.failed(attempt, faults.connect_timeout(self._plan.deadlines.connect), now)

    def _first_token_limit(self, attempt: Attempt) -> float | None:
        return first_token_limit(self._plan.deadlines, targets_left=self._others(attempt))

    def _others(self, attempt: Attempt) -> int:
        """How many more could be asked after this attempt: targets, or rounds."""
        return len(self._plan.ways) - attempt.target - 1 + self._retries

    def _no_token(self, attempt: Attempt, now: float) -> None:
        self.failed(attempt, faults.first_token_timeout(self._first_token_limit(attempt)), now)

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
            self.account.warnings += attempt.decoder.oddities()
            self.complete(attempt, now)
            self.settled(now, reuse=False)
        elif attempt is not None:
            self.failed(attempt, faults.stalled(self._plan.deadlines.between_tokens), now)

    def _too_long(self, now: float) -> None:
        self.end(faults.max_duration(self._plan.deadlines.total, self._plan.total_from), now)

    def _slow(self, now: float) -> None:
        self.end(faults.slow_client(self._plan.delivery.slow_client.timeout), now)

    def _late(self, now: float) -> None:
        self.settled(now, reuse=False)

    # -- the course, as the provider's side reports it ------------------------------------------------------------

    def first_token(self, attempt: Attempt, now: float) -> None:
        """The commit: from here on nothing fails in silence."""
        self.epoch += 1
        self._won(attempt, now)
        self.account.first_token = now - self.began
        if attempt.account is not None:
            attempt.account.first_token = self.account.first_token
        self._client.commit(attempt)
        if self._client.state is Client.BLOCKED:
            self._upstream.pause()

    def complete(self, attempt: Attempt, now: float) -> None:
        """The answer is whole: end the client's side at once, and give the provider a moment for late usage."""
        if attempt.state is Upstream.WAITING:
            self._won(attempt, now)
            self._client.commit(attempt)
        ending = attempt.decoder.ending()
        if ending:
            self.put(ending)
        if self._client.drained(now):
            return
        self._outcome = Outcome.COMPLETED
        self.settling = True
        self.epoch += 1
        attempt.move(UpstreamStep.TERMINAL)
        self._settle_until = now + self._plan.delivery.settle
        self._client.end(now)

    def settled(self, now: float, *, reuse: bool) -> None:
        """Nothing more is awaited from the provider; be done as soon as the client has what it is owed."""
        self._settle_until = None
        self._upstream.close(None, "", now, reuse=reuse)
        if self._client.ended:
            self._done(now)

    def _won(self, attempt: Attempt, now: float) -> None:
        """The race is over, if there was one. Whoever lost it did not fail: its target may be asked again."""
        loser = self._upstream.win(attempt, now)
        if loser is not None:
            self._left.insert(0, loser.target)

    def failed(self, attempt: Attempt, failure: faults.Failure, now: float, *, reuse: bool = False) -> None:
        """An attempt has failed: the one that races it goes on alone; without one, the next target, or the end."""
        if attempt.state is Upstream.CLOSED or self.settling:
            return
        failure = faults.without(failure, self._plan.secrets)
        self._known = faults.more_useful(self._known, failure)
        follows = failover.decide(
            outcome=failure.outcome,
            status=failure.status,
            released=self._client.released,
            targets_left=len(self._left),
            retries_left=self._retries,
        )
        self._waits.append(faults.retry_after(failure))
        if attempt.account is not None:
            attempt.account.retry_after = self._waits[-1]
        self._upstream.close_one(attempt, failure.outcome, failure.fault.message, now, reuse=reuse)
        if self._upstream.attempt is not None:
            self._final = self._final or follows is failover.Step.ANSWER
        elif follows is failover.Step.NEXT and not self._final and (target := self._payable(now)) is not None:
            self.epoch += 1
            self._client.start_over()
            self._upstream.open(target, now)
        elif follows is failover.Step.RETRY and not self._final and (wait := self._wait(now)) is not None:
            self.epoch += 1
            self._client.start_over()
            self._again_at = now + wait
        else:
            self.end(failure if follows is failover.Step.FRAME else self._known, now)

    def _payable(self, now: float) -> int | None:
        """The next target whose provider's budget pays for the attempt."""
        asking = self._plan.asking
        while self._left:
            target = self._left.pop(0)
            if asking is None or asking.may_try(target, now):
                return target
        return None

    def _wait(self, now: float) -> float | None:
        """Seconds until the next round; None when it would come too late. Who asked to be left alone is, unless
        another target did not."""
        waits = [wait for wait in self._waits if wait is not None]
        total = self._plan.deadlines.total
        return Backoff().wait(
            self._plan.retries - self._retries + 1,
            self._plan.chance,
            retry_after=min(waits) if waits and len(waits) == len(self._waits) else None,
            left=None if total is None else self.began + total - now,
        )

    def _again(self, now: float) -> None:
        """The next round: from the first target that is worth an attempt now."""
        plan = self._plan
        self._again_at, self._waits = None, []
        self._retries -= 1
        self._upstream.round += 1
        self.epoch += 1
        self._left = list(plan.asking.admitted(now) if plan.asking is not None else range(len(plan.ways)))
        target = self._payable(now)
        if target is not None:
            self._upstream.open(target, now)
        elif self._known is not None:
            self.end(self._known, now)

    def end(self, failure: faults.Failure, now: float) -> None:
        """The stream ends otherwise than complete. The first cause wins; but an answer of which the client never
        read the end was not delivered, whatever the provider did."""
        if self._outcome is None or self._client.owes_end:
            self._outcome = failure.outcome
            self.account.reason = failure.fault.message
        self._upstream.close(failure.outcome, failure.fault.message, now)
        self._client.fail(failure, now)
        self._done(now)

    def _done(self, now: float) -> None:
        self.over = True
        self.account.outcome = self._outcome
        self.account.duration = now - self.began
        self._client.close(now)
        self._out.append(Record(self.account))
        self._out.append(Done(self._outcome or Outcome.CRASHED))

    # -- the client -----------------------------------------------------------------------------------------------

    def _on_blocked(self, happened: inputs.ClientBlocked, now: float) -> None:
        if self._client.block(now):
            self._upstream.pause()

    def _on_drained(self, happened: inputs.ClientDrained, now: float) -> None:
        if self._client.drain(now):
            self._upstream.resume(self._client.blocked_since, now)
            if self.settling and self._client.ended and self._upstream.attempt is None:
                self._done(now)

    def _on_left(self, happened: inputs.ClientLeft, now: float) -> None:
        if self.settling and self._client.owes_end:
            self.end(faults.client_closed(), now)
            return
        attempt = self._upstream.attempt
        had_finish = attempt is not None and attempt.state is Upstream.STREAMING and attempt.decoder.finished
        self._client.leave(now)
        if had_finish and attempt is not None and self.account.streamed and not self.settling:
            # It left on the answer's own end: complete, and the provider's usage may still come.
            self.complete(attempt, now)
        elif not self.settling:
            self.end(faults.client_closed(), now)
        elif attempt is None:
            self._done(now)

    def _on_stop(self, happened: inputs.Stop, now: float) -> None:
        if self._outcome is None:
            attempt = self._upstream.attempt
            said = attempt.decoder.stop() if attempt is not None and attempt.state is Upstream.STREAMING else b""
            self.stopped("stopped on request", now)
            self._client.stop(said, self._upstream.name, self._upstream.model, now)
            self.settled(now, reuse=False)

    def stopped(self, reason: str, now: float) -> None:
        """No more is wanted of the provider; the client is to get its finish."""
        self._outcome, self.settling = Outcome.STOPPED, True
        self._upstream.close(Outcome.STOPPED, reason, now)

    def _on_shutdown(self, happened: inputs.Shutdown, now: float) -> None:
        self.end(faults.shutdown(), now)
