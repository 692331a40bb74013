"""A stream against a scripted provider and a scripted client, in virtual time.

A script is a list of ``(delay, step)`` for one attempt: the delay counts from the step before, the first from the
opening. A script that ends without an ending is a provider that says nothing more. The provider obeys Pause as a
socket does: what it sends meanwhile arrives when reading goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from penstock.stream.commands import Ask, Close, Command, Open, Pause, Resume
from penstock.stream.inputs import (
    AllowanceAnswered,
    CheckAnswered,
    Headers,
    Input,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamHead,
    UpstreamOpened,
)
from penstock.stream.plan import Plan
from penstock.testing.clock import VirtualClock
from penstock.testing.frames import SSE
from penstock.testing.transcript import Transcript

HORIZON = 3600.0
"""A run ends here at the latest: a stream without deadlines may never end by itself."""


class Opens(NamedTuple):
    """The connection stands."""


class Responds(NamedTuple):
    """Status and headers arrive."""

    status: int = 200
    headers: Headers = SSE


class Sends(NamedTuple):
    """Bytes of the body arrive."""

    data: bytes


class Ends(NamedTuple):
    """The body is over; not ``clean``: the connection broke."""

    clean: bool = True
    reason: str = ""


class Fails(NamedTuple):
    """The attempt fails before an answer."""

    message: str = "connection refused"
    stale: bool = False


class Stalls(NamedTuple):
    """Nothing. It is there to be read."""


class Meanwhile(NamedTuple):
    """Something happens that is none of the provider's doing."""

    happened: Input


Step = Opens | Responds | Sends | Ends | Fails | Stalls | Meanwhile
Script = Sequence[tuple[float, Step]]
Happenings = Iterable[tuple[float, Input]]


def script(*pieces: bytes, gap: float = 0.1, clean: bool = True) -> Script:
    """The usual answer: opened, 200, these pieces of the body, the end."""
    steps: list[tuple[float, Step]] = [(gap, Opens()), (gap, Responds())]
    steps += [(gap, Sends(piece)) for piece in pieces]
    return [*steps, (0.0, Ends(clean))]


class _Line:
    """One attempt's connection."""

    def __init__(self, attempt: int, steps: Script):
        self.attempt = attempt
        self.steps = deque(steps)
        self.paused = False
        self.waiting = False
        """A step came while paused: it arrives when reading goes on."""


PAID_WITHIN = 0.05
"""Seconds after which a stream that waits to hear whether it may be paid is answered."""

Service = Callable[[Ask], tuple[float, CheckAnswered] | None]
"""A moderation service: its answer to a question, after so many seconds; None: it never answers."""


def run(
    plan: Plan,
    upstream: Sequence[Script],
    client: Happenings = (),
    *,
    now: float = 0.0,
    horizon: float = HORIZON,
    service: Service | None = None,
) -> Transcript:
    """Play a stream to its end. ``upstream`` has a script for each attempt (attempts beyond it meet silence),
    ``client`` what happens at which instant after the start. A deadline comes before whatever has its instant."""
    return _Run(plan, upstream, now, service).go(client, horizon)


class _Run:
    def __init__(self, plan: Plan, upstream: Sequence[Script], now: float, service: Service | None):
        self.upstream = upstream
        self.service = service
        self.transcript = Transcript(plan, now)
        self.clock: VirtualClock[Input | _Line] = VirtualClock(now)
        self.lines: dict[int, _Line] = {}
        self.asked = False
        """An answer is on its way."""

    def go(self, client: Happenings, horizon: float) -> Transcript:
        clock, transcript = self.clock, self.transcript
        began = clock.now
        for instant, happened in client:
            clock.put(began + instant, happened)
        self.carry_out(transcript.start(began))
        while not transcript.over:
            deadline = transcript.deadline()
            known = [instant for instant in (clock.due, deadline) if instant is not None]
            if not known or min(known) > began + horizon:
                break
            if deadline is not None and deadline <= min(known):
                self.carry_out(transcript.expire(clock.to(max(deadline, clock.now))))
                continue
            item = clock.take()
            if isinstance(item, _Line):
                self.step(item)
            else:
                self.asked = self.asked and type(item) is not AllowanceAnswered
                self.carry_out(transcript.give(item, clock.now))
        return transcript

    def step(self, line: _Line) -> None:
        if line.attempt not in self.lines:
            return
        if line.paused and not isinstance(line.steps[0][1], Meanwhile):
            line.waiting = True
            return
        _, step = line.steps.popleft()
        self.plan_next(line)
        happened = said(step, line.attempt)
        if happened is not None:
            self.carry_out(self.transcript.give(happened, self.clock.now))

    def plan_next(self, line: _Line) -> None:
        if line.steps:
            self.clock.put(self.clock.now + line.steps[0][0], line)

    def carry_out(self, commands: Iterable[Command]) -> None:
        if self.transcript.waits and not self.asked:
            self.asked = True
            self.clock.put(self.clock.now + PAID_WITHIN, AllowanceAnswered())
        for command in commands:
            if isinstance(command, Open):
                steps = self.upstream[command.attempt] if command.attempt < len(self.upstream) else ()
                line = self.lines[command.attempt] = _Line(command.attempt, steps)
                self.plan_next(line)
            elif isinstance(command, Ask):
                answer = self.service(command) if self.service is not None else None
                if answer is not None:
                    self.clock.put(self.clock.now + answer[0], answer[1])
            elif isinstance(command, Close):
                self.lines.pop(command.attempt)
            elif isinstance(command, Pause):
                self.lines[command.attempt].paused = True
            elif isinstance(command, Resume):
                line = self.lines[command.attempt]
                line.paused = False
                if line.waiting:
                    line.waiting = False
                    self.clock.put(self.clock.now, line)


def said(step: Step, attempt: int) -> Input | None:
    """A step as the machine hears of it."""
    if isinstance(step, Opens):
        return UpstreamOpened(attempt)
    if isinstance(step, Responds):
        return UpstreamHead(attempt, step.status, step.headers)
    if isinstance(step, Sends):
        return UpstreamBytes(attempt, step.data)
    if isinstance(step, Ends):
        return UpstreamEnded(attempt, step.clean, step.reason)
    if isinstance(step, Fails):
        return UpstreamFailed(attempt, step.message, step.stale)
    return step.happened if isinstance(step, Meanwhile) else None
