"""The client's side of a stream whose text goes through stages.

Frames are edited as they come, in the client's own wire, and wait until output of theirs is released: that is the
commit then, and until then the stream may still fail over. Deadlines look at what the provider sends, not at what is
held here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from penstock.outcome import Outcome
from penstock.stages.contract import Block
from penstock.stages.guards import Halt
from penstock.stages.pipeline import StagesPlan
from penstock.stream import faults
from penstock.stream.attempt import Attempt
from penstock.stream.client import ClientSide, Timer
from penstock.stream.commands import Command
from penstock.stream.faults import Failure
from penstock.stream.plan import Plan
from penstock.stream.said import through
from penstock.stream.sent import Sent
from penstock.stream.states import Client
from penstock.stream.summary import Summary
from penstock.stream.telling import tell
from penstock.wire.edit_runs import ALONE

_UNFLUSHED = frozenset({Outcome.CLIENT_CLOSED, Outcome.SLOW_CLIENT, Outcome.BLOCKED})
"""Endings behind which nobody reads, or may."""


class Judge(Protocol):
    """The machine, as far as it is told of verdicts."""

    epoch: int

    @property
    def account(self) -> Summary:
        """What is known of the stream."""
        ...

    def end(self, failure: Failure, now: float) -> None:
        """The stream ends otherwise than complete."""

    def stopped(self, reason: str, now: float) -> None:
        """No more is wanted of the provider."""

    def settled(self, now: float, *, reuse: bool) -> None:
        """Nothing more is awaited."""


class StagedClient(ClientSide):
    """See `ClientSide`. ``now`` is set by the machine, before frames come."""

    passes = False

    def __init__(
        self, plan: Plan, stages: StagesPlan, account: Summary, out: list[Command], now: float, machine: Judge
    ):
        super().__init__(plan, account, out, now)
        self.now = now
        self._stages = stages
        self._machine = machine
        self._due: float | None = None
        self._begin()

    def _begin(self) -> None:
        """Another answer, from its beginning."""
        assert self._plan.editor is not None
        self._texts = self._stages.open(streamed=self._fold is None)
        self._editor = self._plan.editor(self._texts)
        self._ready: list[bytes] = []
        self._size = 0
        self._through = False
        """Frames go straight on: the commit has been."""
        self._attempt: Attempt | None = None
        self._sent: Sent | None = None
        self._sent_marked = False
        self.verdict: Block | None = None

    # -- the answer -----------------------------------------------------------------------------------------------

    def commit(self, attempt: Attempt) -> None:
        """The attempt has won. The commit itself is when output is released."""
        self._attempt = attempt
        if not self._through:
            self._account.first_token = None
        held, attempt.held = attempt.held, []
        for frame in held:
            self.put(frame)

    def put(self, frame: bytes) -> None:
        """A frame goes through the stages. Behind a verdict nothing does."""
        if self.verdict is not None:
            return
        self._texts.now = self.now
        out = self._editor.edit(frame)
        if self._texts.verdict is not None:
            out = self._last_words(self._texts.verdict)
        self._deliver(out)
        self._hurry()
        self._judge()

    def _last_words(self, verdict: Block) -> bytes:
        """What still goes out before it: the frame that broke a rule is not shown, but for the text before that."""
        self.verdict, last = verdict, self._texts.last
        if last is None or last[0][0] == "arguments" or last[0][2] >= ALONE:
            return b""
        return self._editor.piece(*last)

    def _deliver(self, out: bytes) -> None:
        if not out:
            return
        if self._through:
            self._send_on(out)
            return
        self._ready.append(out)
        self._size += len(out)
        if self._released and not self._stages.whole:
            self._commit()
        elif self._size > self._stages.max_held and self.verdict is None and not self._at_its_end:
            self.verdict = Block("the answer is longer than may be held back (delivery.max_held)")

    @property
    def _released(self) -> bool:
        """Output goes out."""
        return self._editor.released

    @property
    def _at_its_end(self) -> bool:
        """With its end marker the answer is whole: nothing is held back any longer."""
        return self._attempt is not None and self._attempt.decoder.marked

    def _commit(self) -> None:
        """Output is released: what waits goes out."""
        self._through = True
        ready, self._ready = self._ready, []
        if self._attempt is not None:
            self._count_from(self._attempt)
            if self._released:
                self._account.first_token = self.now - self._began
            super().commit(self._attempt)
        for frame in ready:
            self._send_on(frame)

    def _count_from(self, attempt: Attempt) -> None:
        wire, account = self._plan.read_as, attempt.account
        if attempt.tally is not None and account is not None and wire is not None:
            account.sent = self._sent = Sent(attempt.tally.meter, wire)

    def _send_on(self, frame: bytes) -> None:
        """Behind the stages: the client gets it."""
        if self._sent is not None:
            self._sent.send(frame)
        super().put(frame)

    def mark(self) -> None:
        """See `ClientSide`. The client has what came out of the stages."""
        if self._sent is None:
            super().mark()
        elif not self._sent_marked:
            self._sent_marked = True
            self._sent.mark()

    def _judge(self) -> None:
        """The verdict ends the stream at once: no further word of the provider counts."""
        verdict, machine, now = self.verdict, self._machine, self.now
        if isinstance(verdict, Halt):
            machine.account.reason = verdict.reason
            machine.stopped(verdict.reason, now)
            self._halt(verdict, now)
            machine.settled(now, reuse=False)
        elif verdict is not None:
            machine.end(faults.blocked(verdict.reason), now)

    def drained(self, now: float) -> bool:
        """See `ClientSide`."""
        self.now = now
        if self.verdict is None:
            self._drain()
            self._judge()
        return self.verdict is not None

    def _drain(self) -> None:
        """The answer is whole: what is held comes out, unless that breaks a rule."""
        if self.verdict is not None:
            return
        self._flush_texts()
        if self.verdict is None and not self._through:
            self._commit()

    def _flush_texts(self) -> None:
        self._texts.now = self.now
        out = self._editor.flush()
        if self._texts.verdict is not None:
            out = self._last_words(self._texts.verdict)
        self._deliver(out)

    def start_over(self) -> None:
        """See `ClientSide`."""
        super().start_over()
        self._begin()

    # -- endings --------------------------------------------------------------------------------------------------

    def stop(self, last: bytes, now: float, *, short: bool = False) -> None:
        """See `ClientSide`. What is held comes first."""
        self.now = now
        self._drain()
        super().stop(last, now, short=short)

    def _halt(self, verdict: Halt, now: float) -> None:
        """Finish the answer here as the verdict says."""
        if not self._through:
            self._commit()
        self._send_on(self._finish(verdict))
        self.end(now)

    def _finish(self, verdict: Halt) -> bytes:
        usage = tell(self._plan, self._account)
        return self._editor.finish(verdict.finish, usage, verdict.sequence) or b""

    def fail(self, failure: Failure, now: float) -> None:
        """See `ClientSide`. A client that has text gets the rest of it, and one that is blocked the wire's own finish
        for that."""
        self.now = now
        self._count()
        if self._through and failure.outcome not in _UNFLUSHED and self.verdict is None:
            rest = self._rest()
            if rest:
                self._send_on(rest)
        begun = self.state in (Client.STREAMING, Client.DETACHED) and self._fold is None
        blocked = failure.outcome is Outcome.BLOCKED and begun
        finish = self._filtered() if blocked else None
        if finish is None:
            super().fail(through(self._stages, failure), now)
            return
        if not self._through:
            self._commit()
        if finish:
            self._send_on(finish)
        super().end(now)

    def _rest(self) -> bytes:
        """What is held of an answer that fails."""
        out = self._editor.flush()
        return out if self._texts.verdict is None else b""

    def _filtered(self) -> bytes | None:
        """The wire's own finish for what was blocked."""
        return self._editor.finish("content_filter", tell(self._plan, self._account))

    def release(self) -> None:
        """See `ClientSide`."""
        del self._machine

    def close(self, now: float) -> None:
        """See `ClientSide`."""
        self._count()
        super().close(now)

    def _count(self) -> None:
        self._account.redactions = self._texts.findings()

    def _clean(self, data: bytes) -> bytes:
        """See `ClientSide`. An error frame may have copies of the answer in it."""
        return super()._clean(data if self.state is Client.WAITING else self._edited(data))

    def _edited(self, data: bytes) -> bytes:
        return self._editor.edit(data)

    # -- its clocks -----------------------------------------------------------------------------------------------

    def _hurry(self) -> None:
        due = self._texts.deadline
        if due is not None and (self._due is None or due < self._due):
            self._machine.epoch += 1
        self._due = due

    def timers(self, slow: Callable[[float], None]) -> list[Timer]:
        """See `ClientSide`."""
        timers = super().timers(slow)
        if self._due is not None and not self.ended and self.state is not Client.BLOCKED:
            timers.append((self._due, self._release_due))
        return timers

    def _release_due(self, now: float) -> None:
        self.now = self._texts.now = now
        if self.verdict is None:
            self._deliver(self._editor.due())
        self._due = self._texts.deadline
        self.flush(now)
