"""The stream machine: inputs with an instant go in, commands come out. It waits for nothing and reads no clock.

Laws. Each is a property test in tests/laws.

1.  Exactly one Done, last; exactly one Record; nothing is sent after either.
2.  Every Open(k) meets exactly one Close(k), on every path. At most two are open, and one once a token event came.
3.  What a resumable client was sent is in the journal first, numbered 1, 2, 3…; the journal's end comes once.
4.  The first token event released is the commit. Before it failure may become failover; after it never silently,
    and never anew: a further attempt may at most go on with what the client has (``mid_stream: continue``), once.
5.  Output depends on the bytes, never on how they were split.
6.  A word from an attempt that is no longer current changes nothing.
7.  The account counts what the provider sent, what it reported and what the client was sent, separately.
8.  Every ending flushes every stage, unless the client has left, or the text was blocked or could not be checked.
9.  Silence is blamed on a side: no upstream deadline runs while the client is blocked, or while it is not known
    whether its key may pay for more, and only token events push the between-tokens deadline on.
10. No stage and equal wires: output bytes equal input bytes, but for the mendings listed at the wire's decoder.
11. Carrying out a command never calls back into the machine: inputs raised meanwhile wait their turn.
12. Memory a stream is bounded by configuration.
13. A success terminal is sent only where the upstream sent one, or where a stop was asked for.

The transition tables are in `states`; the failover decision in `policy.failover`; deadlines in `timing`, leaving and
stopping in `departure`.
"""

from __future__ import annotations

from collections.abc import Callable

from penstock.outcome import Outcome
from penstock.policy import failover
from penstock.stream import faults, inputs, rounds
from penstock.stream.attempt import Attempt
from penstock.stream.commands import Append, Command, Done, Record, Send
from penstock.stream.continuing import Continuing
from penstock.stream.path import Path
from penstock.stream.paying import side_of
from penstock.stream.plan import Plan
from penstock.stream.sides import client_side
from penstock.stream.spending import within
from penstock.stream.states import Client, Upstream, UpstreamStep
from penstock.stream.summary import Summary
from penstock.stream.timing import Timing
from penstock.wire.continued import Beginning


class Stream(Timing):
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
        self._paid: int | None = None
        """The target that a further attempt is paid for already."""
        self._waits: list[float | None] = []
        """The seconds that the failures of this round asked for."""
        self._again_at: float | None = None
        """When the next round begins: nobody is asked until then."""
        self._settle_until: float | None = None
        self._account = plan.account()
        self.over = False
        """Done was said."""
        self.settling = False
        """The course is run; what is left is late usage, or a client that has not read its end yet."""
        self.epoch = 0
        """Grows whenever `deadline` may have come nearer; between two changes it only moves away."""
        self._continuing = Continuing(plan)
        self._client = client_side(plan, self._account, self._out, self, now)
        # The path of a chunk: straight from one side to the other.
        self.put = self._client.put
        self.flush = self._client.flush if plan.allowance is None else within(plan.allowance, self, self._client.flush)
        self._upstream = upstream = side_of(plan)(plan, self._account, self._out, self, now)
        self._path = Path(self._account, upstream, self._client)
        self.pass_on = self._path.pass_on
        self._handlers: dict[type[inputs.Input], Callable[..., None]] = {
            inputs.UpstreamOpened: upstream.on_opened,
            inputs.UpstreamHead: upstream.on_head,
            inputs.UpstreamEnded: upstream.on_ended,
            inputs.UpstreamFailed: upstream.on_failed,
            inputs.ClientBlocked: self._on_blocked,
            inputs.ClientDrained: self._on_drained,
            inputs.ClientLeft: self._on_left,
            inputs.Followed: self._on_followed,
            inputs.CheckAnswered: self._client.answered,
            inputs.AllowanceAnswered: self._on_allowance,
            inputs.Stop: self._on_stop,
            inputs.Shutdown: self._on_shutdown,
        }

    @property
    def name(self) -> str:
        """The answer's id, as the provider says."""
        return self._upstream.name

    # -- the calls ------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Command]:
        """Begin: the commands that open the first attempt."""
        self._upstream.open(self._left.pop(0), now)
        return self.taken()

    def receive(self, happened: inputs.Input, now: float) -> list[Command]:
        """Something happened at ``now``. Inputs after Done, or from an attempt that is not current, change nothing."""
        if type(happened) is inputs.UpstreamBytes:
            data = self.pass_on(happened.attempt, happened.data, now)
            if data is not None:
                return [Send(data)] if self._plan.resumable is None else [Append(data), Send(data)]
        elif not self.over:
            self._path.leave()
            self.epoch += 1
            self._client.now = now
            self._handlers[type(happened)](happened, now)
        return self.taken()

    @property
    def account(self) -> Summary:
        """What is known of the stream by now."""
        self._path.count()
        return self._account

    def taken(self) -> list[Command]:
        """The commands since they were taken last."""
        out = self._out[:]
        self._out.clear()
        return out

    def deadline(self) -> float | None:
        """The instant at which `expire` is to be called, if nothing happens before."""
        self._path.count()
        return min((instant for instant, _ in self._timers()), default=None)

    def expire(self, now: float) -> list[Command]:
        """Time has come to ``now``: act on every deadline that has passed, in the order in which they fell due."""
        self._path.leave()
        while timers := self._timers():
            instant, act = min(timers, key=lambda timer: timer[0])
            if instant > now:
                break
            self._client.now = now
            act(now)
        return self.taken()

    def crash(self, now: float) -> list[Command]:
        """Something of Penstock's own failed, here or where commands are carried out: end as well as can be. An
        answer that the client has whole stays what it was."""
        if self.over:
            return []
        self._path.leave()
        self.over = True
        try:
            if not self._client.ended:
                self._outcome = None
            self.end(faults.crashed(), now)
            return self.taken()
        finally:
            self._out.clear()

    def release(self) -> None:
        """Let go of everything that refers back to this machine: it is freed at once then, and not when the collector
        comes by. For after Done, when no call is under way."""
        self._handlers.clear()
        self.flush = self._client.flush
        self._upstream.release()
        self._client.release()

    # -- the course, as the provider's side reports it ------------------------------------------------------------

    def elsewhere(self) -> bool:
        """Could another target still answer: one that races, or one that was not tried?"""
        return self._upstream.rival is not None or (bool(self._left) and not self._final)

    def first_token(self, attempt: Attempt, now: float) -> None:
        """The commit: from here on nothing fails in silence."""
        self.epoch += 1
        self._won(attempt, now)
        if self._account.first_token is None:
            self._account.first_token = now - self.began
        if attempt.account is not None:
            attempt.account.first_token = now - self.began
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
        if not self.draining:
            self._outcome = Outcome.COMPLETED
        self.settling = True
        self.epoch += 1
        attempt.move(UpstreamStep.TERMINAL)
        self._settle_until = now + self._plan.delivery.settle
        self._client.end(now)

    def settled(self, now: float, *, reuse: bool) -> None:
        """Nothing more is awaited from the provider; be done as soon as the client has what it is owed."""
        if self.over:
            return
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
            released=self._client.released or self.draining,
            targets_left=len(self._left),
            retries_left=self._retries,
            continuable=not self.draining and self._continuing.possible(attempt, self._left),
        )
        goes_on = self._continuing.choose(attempt, self._left, now) if follows is failover.Step.CONTINUE else None
        speechless = attempt.state is not Upstream.STREAMING
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
        elif goes_on is not None:
            self._continue(*goes_on, failure, now)
        else:
            # What broke off the answer, where nothing came of going on with it.
            broken = self._continuing.broken if speechless else None
            self.end(broken or (failure if self._client.released else self._known), now)

    def _continue(self, target: int, beginning: Beginning, failure: faults.Failure, now: float) -> None:
        """A further attempt goes on with what the client has. There is one, and nobody races it."""
        self.epoch += 1
        self._continuing.broken = failure
        self._left, self._retries, self._hedged = [], 0, True
        self._account.warnings.append("continued")
        self._client.flush(now)
        self._client.mark()
        self._upstream.open(target, now, beginning=beginning)

    def _payable(self, now: float) -> int | None:
        """The next target whose provider's budget pays for the attempt."""
        asking = self._plan.asking
        while self._left:
            target = self._left.pop(0)
            if asking is None or target == self._paid or asking.may_try(target, now):
                self._paid = None
                return target
        return None

    def _pay(self, now: float) -> bool:
        """Is there a next target? What its attempt costs is paid then."""
        self._paid = None if self._final else self._payable(now)
        if self._paid is not None:
            self._left.insert(0, self._paid)
        return self._paid is not None

    def _wait(self, now: float) -> float | None:
        return rounds.wait(self._plan, self._retries, self._waits, now - self.began)

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
            self._account.reason = failure.fault.message
        self._upstream.close(failure.outcome, failure.fault.message, now)
        self._client.fail(failure, now)
        self._done(now)

    def _done(self, now: float) -> None:
        self.over = True
        self._departed()
        self._account.outcome = self._outcome
        self._account.duration = now - self.began
        self._client.close(now)
        self._out.append(Record(self._account))
        self._out.append(Done(self._outcome or Outcome.CRASHED))

    # -- the client (leaving and stopping: `departure`) ------------------------------------------------------------

    def _on_blocked(self, happened: inputs.ClientBlocked, now: float) -> None:
        if self._client.block(now):
            self._upstream.pause()

    def _on_drained(self, happened: inputs.ClientDrained, now: float) -> None:
        if self._client.drain(now):
            if not self.waits:
                self._upstream.resume(self._client.blocked_since, now)
            if self.settling and self._client.ended and self._upstream.attempt is None:
                self._done(now)

    def _on_shutdown(self, happened: inputs.Shutdown, now: float) -> None:
        self.end(faults.shutdown(), now)
