"""The part of the machine that knows what becomes of a stream whose client leaves, and of one that is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.outcome import Outcome
from penstock.policy.leaving import drains
from penstock.stream import faults, inputs
from penstock.stream.plan import Plan
from penstock.stream.states import Client, Upstream
from penstock.stream.summary import Summary
from penstock.stream.telling import tell

if TYPE_CHECKING:
    from penstock.stream.attempt import Attempt
    from penstock.stream.client import ClientSide
    from penstock.stream.upstream import UpstreamSide


class Departure:
    """Cancel, drain or detach. What it shares with the rest of the machine is declared here and made there."""

    _plan: Plan
    _client: ClientSide
    _upstream: UpstreamSide
    _outcome: Outcome | None
    _left: list[int]
    _account: Summary
    began: float
    epoch: int
    over: bool
    settling: bool
    flush: Callable[[float], None]

    draining = False
    """The client left for good; the provider is read on for the account."""
    alone_until: float | None = None
    """When a stream that nobody follows is given up."""
    waits_since: float | None = None
    """Since when nothing is read of the provider: whether it may be paid is not known."""
    _readers = 0

    if TYPE_CHECKING:

        def complete(self, attempt: Attempt, now: float) -> None: ...
        def settled(self, now: float, *, reuse: bool) -> None: ...
        def end(self, failure: faults.Failure, now: float) -> None: ...
        def _done(self, now: float) -> None: ...

    def _on_left(self, happened: inputs.ClientLeft, now: float) -> None:
        resumable = self._plan.resumable is not None
        if self._client.state is Client.DETACHED or self._client.ended:
            return
        if self.settling and self._client.owes_end and not resumable:
            self.end(faults.client_closed(), now)
            return
        attempt = self._upstream.attempt
        had_finish = attempt is not None and attempt.state is Upstream.STREAMING and attempt.decoder.finished
        if resumable and (not self.settling or self._client.awaits_checks):
            self._detach(now)
        elif had_finish and attempt is not None and self._account.streamed and not self.settling:
            # It left on the answer's own end: complete, and the provider's usage may still come.
            self._client.leave(now)
            self.complete(attempt, now)
        elif not self.settling:
            self._cancel_or_drain(attempt, now)
        else:
            self._client.leave(now)
            if attempt is None:
                self._done(now)

    def _on_followed(self, happened: inputs.Followed, now: float) -> None:
        self._readers = happened.readers
        if self._client.state is Client.DETACHED and not self.draining:
            self._count_alone(now)

    def _on_stop(self, happened: inputs.Stop, now: float) -> None:
        if self.draining and not self.settling:
            self.end(faults.client_closed(), now)
        else:
            self.finish(Outcome.STOPPED, "stopped on request", now)

    def finish(self, outcome: Outcome, reason: str, now: float) -> None:
        """End the generation; the client's answer gets its finish and its usage."""
        if self._outcome is not None or self.over:
            return
        attempt = self._upstream.attempt
        begun = attempt is not None and (attempt.state is Upstream.STREAMING or attempt.beginning is not None)
        self.stopped(reason, now, outcome)
        usage = tell(self._plan, self._account)
        said = attempt.decoder.stop(usage) if attempt is not None and begun else b""
        if short := outcome is Outcome.BUDGET_EXCEEDED:
            self.epoch += 1
            self._account.reason = reason
        shown = self._upstream.model if self._plan.delivery.served_model == "show" else ""
        last = said or self._plan.client.stop_frames(self._upstream.name, shown, usage)
        self._client.stop(last, now, short=short)
        self.settled(now, reuse=False)

    def stopped(self, reason: str, now: float, outcome: Outcome = Outcome.STOPPED) -> None:
        """No more is wanted of the provider; the client is to get its finish."""
        self._outcome, self.settling = outcome, True
        self._upstream.close(outcome, reason, now)

    # -- what the key may spend ------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """It is not known whether the provider may be paid for more."""
        return self.waits_since is not None

    def wait(self, now: float) -> None:
        """Read nothing more of the provider before it is known whether it may be paid."""
        if self.waits_since is None:
            self.epoch += 1
            self.waits_since = now
            self._upstream.pause()

    def _on_allowance(self, happened: inputs.AllowanceAnswered, now: float) -> None:
        since, self.waits_since = self.waits_since, None
        self.flush(now)
        if since is None or self.over:
            return
        if not self.waits:
            self._upstream.read_on(now)
        if self.waits:
            self.waits_since = since
        elif self._client.state is not Client.BLOCKED:
            self._upstream.resume(since, now)

    # -- going on without the client -------------------------------------------------------------------------------

    def _detach(self, now: float, *, drop: bool = False) -> None:
        self._go_on("detach", now, drop=drop)
        self._count_alone(now)

    def _count_alone(self, now: float) -> None:
        resumable = self._plan.resumable
        self.alone_until = None if self._readers or resumable is None else now + resumable.alone

    def _cancel_or_drain(self, attempt: Attempt | None, now: float) -> None:
        delivery = self._plan.delivery
        stops = None if attempt is None else self._plan.ways[attempt.target].stops_when_left
        slots = self._plan.drains
        if attempt is None or not drains(delivery.on_disconnect, stops) or not (slots is None or slots.take()):
            self._client.leave(now)
            self.end(faults.client_closed(), now)
            return
        failure = faults.client_closed()
        self._outcome, self._account.reason = failure.outcome, failure.fault.message
        self.draining = True
        # Nobody waits for the answer: no other target is asked for it.
        self._left.clear()
        self._go_on("drain", now)
        self.alone_until = now + delivery.drain.seconds
        limit = self._account.token_events + delivery.drain.tokens

        allowance = self._plan.allowance

        def enough(now: float) -> None:
            account = self._account
            spent = allowance is not None and not allowance.lasts(account)
            if (spent or account.token_events >= limit) and not self.settling:
                self.end(failure, now)

        self.flush = enough
        self._upstream.one_by_one()

    def _go_on(self, how: str, now: float, *, drop: bool = False) -> None:
        blocked = self._client.state is Client.BLOCKED
        self._client.detach(now, drop=drop)
        self._account.left, self._account.leaving = now - self.began, how
        if blocked and not self.waits:
            self._upstream.resume(self._client.blocked_since, now)

    def _abandoned(self, now: float) -> None:
        resumable = self._plan.resumable
        self.end(faults.client_closed() if resumable is None else faults.abandoned(resumable.alone), now)

    def _departed(self) -> None:
        """The stream is over."""
        if self.draining:
            if self._plan.drains is not None:
                self._plan.drains.give()
            self.flush = self._client.flush
