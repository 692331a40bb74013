"""The client's side of a stream whose text a service is asked about.

Edited frames queue, each with how much text there is by its end, and go out when so much may be shown: see
`stages.moderate.checks`. A frame without text waits for the text before it, so that nobody is told that an answer is
finished, or how, before it was checked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from penstock.stages.contract import Block
from penstock.stages.guards import Halt
from penstock.stages.moderate.checks import Checks, Unchecked
from penstock.stages.moderate.policy import CheckPolicy
from penstock.stages.pipeline import StagesPlan
from penstock.stream import faults
from penstock.stream.client import Timer
from penstock.stream.commands import Ask, Command
from penstock.stream.inputs import CheckAnswered
from penstock.stream.plan import Plan
from penstock.stream.staged import Judge, StagedClient
from penstock.stream.states import Client
from penstock.stream.summary import Summary
from penstock.stream.telling import tell
from penstock.wire.edit_runs import Place


class _Shown:
    """The texts of frames that the client has; of those that it has not, nothing. ``sizes``: how much text of each
    choice it has."""

    def __init__(self) -> None:
        self.closed = False
        self.sizes: dict[int, int] = {}

    def feed(self, place: Place, text: str) -> str:
        if self.closed:
            return ""
        if place[0] == "text":
            self.sizes[place[1]] = self.sizes.get(place[1], 0) + len(text)
        return text

    def flush(self, place: Place) -> str:
        return ""

    def due(self, place: Place) -> str:
        return ""


class CheckedClient(StagedClient):
    """See `StagedClient`."""

    def __init__(
        self,
        plan: Plan,
        stages: StagesPlan,
        check: CheckPolicy,
        account: Summary,
        out: list[Command],
        now: float,
        machine: Judge,
    ):
        self._checks = Checks(check, stages.asked, patient=stages.whole or not plan.request.stream)
        self._check_at: float | None = None
        self._streams_on = check.mode == "audit" and not stages.whole
        super().__init__(plan, stages, account, out, now, machine)
        self._ask()

    def _begin(self) -> None:
        super()._begin()
        assert self._plan.editor is not None
        self._passed = self._texts.tap()
        self._checks.restart()
        self._queue: deque[tuple[int, bool, bytes]] = deque()
        self._waits = 0
        self._output = False
        self._complete = False
        """No more text will come."""
        self._awaiting = False
        """The answer is whole, and its end waits for checks."""
        self._told = False
        """All of it was sent by the time that it was blocked: nothing can follow its end marker."""
        self._shown = _Shown()
        self._seen = self._plan.editor(self._shown)
        """Reads what the client has read: another editor is ahead of it."""

    # -- the answer -----------------------------------------------------------------------------------------------

    @property
    def _released(self) -> bool:
        return self._output

    def _deliver(self, out: bytes) -> None:
        carries = bool(self._passed)
        for place, text in self._passed:
            self._checks.add(place, text, self.now)
        self._passed.clear()
        if out:
            self._queue.append((self._checks.total, carries, out))
            self._waits += len(out)
        self._ask()
        self._pass_on(carries=carries)
        if self._waits > self._stages.max_held and self.verdict is None:
            self.verdict = Block("more of the answer waits for checks than may be held back (delivery.max_held)")

    def _ask(self) -> None:
        if self.ended:
            return
        question = self._checks.question(self.now, last=self._complete)
        if question is not None:
            self._out.append(Ask(question.number, question.texts))
        due = self._checks.deadline
        if due is not None and (self._check_at is None or due < self._check_at):
            self._machine.epoch += 1
        self._check_at = due

    def _pass_on(self, *, carries: bool = False) -> None:
        """What may be shown goes out; a frame without text only where the text before it is right, or text follows."""
        checks = self._checks
        allowed, cleared, count = checks.allowed(self.now, last=self._complete), checks.cleared, 0
        if carries and (head := next((mark for mark, some, _ in self._queue if some), checks.total + 1)) <= checks.even:
            allowed = max(allowed, head)
        for place, (mark, some, _) in enumerate(self._queue, 1):
            if mark > allowed:
                break
            if some or mark <= cleared:
                count = place
        for _ in range(count):
            _, some, frame = self._queue.popleft()
            self._waits -= len(frame)
            self._output = self._output or some
            self._seen.edit(frame)
            super()._deliver(frame)

    def _drain(self) -> None:
        if self.verdict is not None:
            return
        self._complete = True
        self._flush_texts()
        self._await()

    def _await(self) -> None:
        """The answer is over: its end comes when all of it is checked."""
        self._awaiting = self._checks.pending
        if not self._awaiting and not self._through and (self.verdict is None or isinstance(self.verdict, Halt)):
            self._commit()

    @property
    def awaits_checks(self) -> bool:
        """See `ClientSide`."""
        return self._awaiting

    def end(self, now: float) -> None:
        """See `ClientSide`."""
        if self._awaiting:
            self.flush(now)
            self.owes_end = True
        else:
            super().end(now)

    def _halt(self, verdict: Halt, now: float) -> None:
        self._complete = True
        self._deliver(self._finish(verdict))
        self._await()
        self.end(now)

    def drain(self, now: float) -> bool:
        """See `ClientSide`. Checks are waited for all the same."""
        if self._awaiting:
            self.owes_end = False
        drained = super().drain(now)
        self.owes_end = self.owes_end or self._awaiting
        return drained

    # -- answers --------------------------------------------------------------------------------------------------

    def answered(self, happened: CheckAnswered, now: float) -> None:
        """See `ClientSide`."""
        self._judged(self._checks.answered(happened.check, happened.found, happened.failed), now)

    def _check_due(self, now: float) -> None:
        self._judged(self._checks.overdue(now), now)

    def _out_of_time(self, now: float) -> None:
        self._judged(self._checks.out_of_time(), now)

    def _judged(self, verdict: Block | None, now: float) -> None:
        self.now = now
        if verdict is not None:
            self.verdict = verdict
            failed = isinstance(verdict, Unchecked)
            self._machine.end(faults.unchecked(verdict.reason) if failed else faults.blocked(verdict.reason), now)
            return
        self._ask()
        self._pass_on()
        if not self._awaiting or self._checks.pending:
            self.flush(now)
            return
        self._awaiting = self.owes_end = False
        if not self._through:
            self._commit()
        self.end(now)
        if all(attempt.ended is not None for attempt in self._account.attempts):
            self._machine.settled(now, reuse=False)

    # -- endings --------------------------------------------------------------------------------------------------

    def fail(self, failure: faults.Failure, now: float) -> None:
        """See `ClientSide`. No check is waited for any more."""
        self._told = self._awaiting and not self._queue
        self._awaiting = False
        super().fail(failure, now)

    def _rest(self) -> bytes:
        """Of what is held, only text that would have been shown unchecked too may follow what was."""
        return super()._rest() if self._streams_on and self._checks.cleared >= 0 else b""

    def _filtered(self) -> bytes | None:
        if self._told:
            return b""
        # A finish that the client has may still wait in there for what follows it.
        self._seen.flush()
        self._shown.closed = True
        finish = self._seen.finish("content_filter", tell(self._plan, self._account))
        offence = self._checks.offence
        if finish is None or offence is None:
            return finish
        sizes = self._shown.sizes
        spans = [(choice, start, min(end, sizes.get(choice, 0))) for choice, (start, end) in offence.spans.items()]
        shown = [span for span in spans if span[1] < span[2]]
        return self._seen.retraction(shown, tuple(self._checks.findings)) + finish

    def _edited(self, data: bytes) -> bytes:
        self._shown.closed = True
        return self._seen.edit(data)

    def _count(self) -> None:
        super()._count()
        checks = self._checks
        found = self._account.redactions = dict(self._account.redactions)
        for category, count in checks.findings.items():
            found[category] = found.get(category, 0) + count
        self._account.checks = checks.counts
        self._account.warnings += checks.warnings
        checks.warnings = []

    # -- its clocks -----------------------------------------------------------------------------------------------

    def timers(self, slow: Callable[[float], None]) -> list[Timer]:
        """See `ClientSide`."""
        timers, due = super().timers(slow), self._checks.deadline
        if due is not None and not self.ended and self.state is not Client.CLOSED:
            timers.append((due, self._check_due))
        total = self._plan.deadlines.total
        if self._awaiting and total is not None:
            # The answer is whole, and the stream's own deadline does not end it any more.
            timers.append((self._began + total, self._out_of_time))
        return timers
