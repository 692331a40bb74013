"""The stream machine: inputs with an instant go in, commands come out. It waits for nothing and reads no clock.

Laws. Each is a property test in tests/laws.

1.  Exactly one Done, last; exactly one Record; nothing is sent after either.
2.  Every Open(k) meets exactly one Close(k), on every path.
3.  (resume: with the journal)
4.  The first token event released is the commit. Before it failure may become failover; after it never silently.
5.  Output depends on the bytes, never on how they were split.
6.  A word from an attempt that is no longer current changes nothing.
7.  The account counts what the provider sent, what it reported and what the client was sent, separately.
8.  (stages: every ending flushes them)
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

from penstock.outcome import Outcome
from penstock.policy import failover
from penstock.stream import faults, inputs
from penstock.stream.attempt import Attempt
from penstock.stream.client import ClientSide
from penstock.stream.commands import Command, Done, Record
from penstock.stream.plan import Plan
from penstock.stream.states import Client, Upstream, UpstreamStep
from penstock.stream.summary import Summary
from penstock.stream.upstream import UpstreamSide

Timer = tuple[float, Callable[[float], None]]


class Stream:
    """One stream. Call `start`, then `receive` for everything that happens and `expire` when `deadline` has come."""

    def __init__(self, plan: Plan, now: float):
        self._plan = plan
        self._began = now
        self._out: list[Command] = []
        self._outcome: Outcome | None = None
        self._known: faults.Failure | None = None
        """The most useful failure of the attempts so far."""
        self._settle_until: float | None = None
        self.account = Summary(
            stream=plan.stream,
            route=plan.route,
            model=plan.request.model,
            client_wire=plan.client_wire,
            streamed=plan.request.stream,
            attempts=[],
            warnings=[],
        )
        self.over = False
        """Done was said."""
        self.settling = False
        """The course is run; what is left is late usage, or a client that has not read its end yet."""
        self.epoch = 0
        """Grows whenever `deadline` may have come nearer; between two changes it only moves away."""
        self._client = ClientSide(plan, self.account, self._out, now)
        # The path of a chunk: straight from one side to the other.
        self.put = self._client.put
        self.flush = self._client.flush
        self._upstream = upstream = UpstreamSide(plan, self.account, self._out, self, now)
        self._handlers: dict[type[inputs.Input], Callable[..., None]] = {
            inputs.UpstreamOpened: upstream.on_opened,
            inputs.UpstreamHead: upstream.on_head,
            inputs.UpstreamEnded: upstream.on_ended,
            inputs.UpstreamFailed: upstream.on_failed,
            inputs.ClientBlocked: self._on_blocked,
            inputs.ClientDrained: self._on_drained,
            inputs.ClientLeft: self._on_left,
            inputs.Stop: self._on_stop,
            inputs.Shutdown: self._on_shutdown,
        }

    # -- the calls ------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Command]:
        """Begin: the commands that open the first attempt."""
        self._upstream.open(0, now)
        return self._taken()

    def receive(self, happened: inputs.Input, now: float) -> list[Command]:
        """Something happened at ``now``. Inputs after Done, or from an attempt that is not current, change nothing."""
        if not self.over:
            if type(happened) is inputs.UpstreamBytes:
                self._upstream.on_bytes(happened, now)
            else:
                self.epoch += 1
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
            self._end(faults.crashed(), now)
            return self._taken()
        finally:
            self._out.clear()

    def release(self) -> None:
        """Let go of everything that refers back to this machine: it is freed at once then, and not when the collector
        comes by. For after Done, when no call is under way."""
        self._handlers.clear()
        self._upstream.release()

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
            timers.append((self._began + limits.total, self._too_long))
        if attempt is None or self._client.state is Client.BLOCKED:
            return timers
        if attempt.state is Upstream.OPENING:
            timers.append((attempt.dispatched + limits.connect, self._not_connected))
        if attempt.state is Upstream.STREAMING:
            if limits.between_tokens is not None:
                timers.append((attempt.last_token + limits.between_tokens, self._stalled))
        elif limits.first_token is not None:
            timers.append((attempt.dispatched + limits.first_token, self._no_token))
        return timers

    def _not_connected(self, now: float) -> None:
        self.failed(faults.connect_timeout(self._plan.deadlines.connect), now)

    def _no_token(self, now: float) -> None:
        self.failed(faults.first_token_timeout(self._plan.deadlines.first_token), now)

    def _stalled(self, now: float) -> None:
        attempt = self._upstream.attempt
        if attempt is not None and attempt.decoder.finished:
            # The answer has its finish; only the end marker is missing, and nothing says that it will come.
            self.account.warnings += attempt.decoder.oddities()
            self.complete(attempt, now)
            self.settled(now, reuse=False)
        else:
            self.failed(faults.stalled(self._plan.deadlines.between_tokens), now)

    def _too_long(self, now: float) -> None:
        self._end(faults.max_duration(self._plan.deadlines.total), now)

    def _slow(self, now: float) -> None:
        self._end(faults.slow_client(self._plan.delivery.slow_client.timeout), now)

    def _late(self, now: float) -> None:
        self.settled(now, reuse=False)

    # -- the course, as the provider's side reports it ------------------------------------------------------------

    def first_token(self, attempt: Attempt, now: float) -> None:
        """The commit: from here on nothing fails in silence."""
        self.epoch += 1
        self.account.first_token = now - self._began
        if attempt.account is not None:
            attempt.account.first_token = self.account.first_token
        self._client.commit(attempt)
        if self._client.state is Client.BLOCKED:
            self._upstream.pause()

    def complete(self, attempt: Attempt, now: float) -> None:
        """The answer is whole: end the client's side at once, and give the provider a moment for late usage."""
        self._outcome = Outcome.COMPLETED
        self.settling = True
        self.epoch += 1
        if attempt.state is Upstream.WAITING:
            self._client.commit(attempt)
        ending = attempt.decoder.ending()
        if ending:
            self.put(ending)
        attempt.move(UpstreamStep.TERMINAL)
        self._settle_until = now + self._plan.delivery.settle
        self._client.end(now)

    def settled(self, now: float, *, reuse: bool) -> None:
        """Nothing more is awaited from the provider; be done as soon as the client has what it is owed."""
        self._settle_until = None
        self._upstream.close(None, "", now, reuse=reuse)
        if self._client.ended:
            self._done(now)

    def failed(self, failure: faults.Failure, now: float, *, reuse: bool = False) -> None:
        """The current attempt has failed: the next target, or the end."""
        attempt = self._upstream.attempt
        if attempt is None or self.settling:
            return
        failure = faults.without(failure, self._plan.secrets)
        self._known = faults.more_useful(self._known, failure)
        follows = failover.decide(
            outcome=failure.outcome,
            status=failure.status,
            released=self._client.released,
            targets_left=len(self._plan.ways) - attempt.target - 1,
        )
        if follows is failover.Step.NEXT:
            self.epoch += 1
            self._upstream.close(failure.outcome, failure.fault.message, now, reuse=reuse)
            self._client.start_over()
            self._upstream.open(attempt.target + 1, now)
        else:
            self._upstream.close(failure.outcome, failure.fault.message, now, reuse=reuse)
            self._end(failure if follows is failover.Step.FRAME else self._known, now)

    def _end(self, failure: faults.Failure, now: float) -> None:
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
        self.account.duration = now - self._began
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
            self._end(faults.client_closed(), now)
            return
        attempt = self._upstream.attempt
        had_finish = attempt is not None and attempt.state is Upstream.STREAMING and attempt.decoder.finished
        self._client.leave(now)
        if had_finish and attempt is not None and self.account.streamed and not self.settling:
            # It left on the answer's own end: complete, and the provider's usage may still come.
            self.complete(attempt, now)
        elif not self.settling:
            self._end(faults.client_closed(), now)
        elif attempt is None:
            self._done(now)

    def _on_stop(self, happened: inputs.Stop, now: float) -> None:
        if self._outcome is None:
            self._outcome = Outcome.STOPPED
            self.settling = True
            attempt = self._upstream.attempt
            said = attempt.decoder.stop() if attempt is not None and attempt.state is Upstream.STREAMING else b""
            self._upstream.close(Outcome.STOPPED, "stopped on request", now)
            self._client.stop(said, self._upstream.name, self._upstream.model, now)
            self.settled(now, reuse=False)

    def _on_shutdown(self, happened: inputs.Shutdown, now: float) -> None:
        self._end(faults.shutdown(), now)
