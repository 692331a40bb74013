"""The provider's side for a key with a budget. While it is not known whether more may be paid nothing is read, and
what came all the same waits here. A class of its own, so that other streams pay nothing for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from penstock.stream import inputs
from penstock.stream.attempt import Attempt
from penstock.stream.commands import Command
from penstock.stream.course import Course
from penstock.stream.listening import ListeningSide
from penstock.stream.plan import Plan
from penstock.stream.states import Upstream
from penstock.stream.summary import Summary
from penstock.stream.upstream import UpstreamSide


class PayingSide(UpstreamSide):
    """See `UpstreamSide`."""

    def __init__(self, plan: Plan, account: Summary, out: list[Command], course: Course, began: float):
        super().__init__(plan, account, out, course, began)
        self._later: deque[Callable[[float], None]] = deque()
        self._careful = False
        """It had to wait once: the budget is nearly spent, and every frame is looked at by itself."""

    def read_on(self, now: float) -> None:
        """See `Attempts`."""
        while self._later and not self._course.waits:
            self._later.popleft()(now)

    def on_bytes(self, number: int, data: bytes, now: float) -> None:
        """See `UpstreamSide`."""
        if self._course.waits:
            self._later.append(partial(self.on_bytes, number, data))
        else:
            super().on_bytes(number, data, now)

    def on_ended(self, happened: inputs.UpstreamEnded, now: float) -> None:
        """See `UpstreamSide`."""
        if self._course.waits:
            self._later.append(partial(self.on_ended, happened))
        else:
            super().on_ended(happened, now)

    def _ended(self, attempt: Attempt, rest: bytes, happened: inputs.UpstreamEnded, now: float) -> None:
        if self._course.waits:
            self._later.append(partial(self._ended, attempt, rest, happened))
        else:
            super()._ended(attempt, rest, happened, now)

    def _frames(self, attempt: Attempt, frames: list[bytes], now: float) -> None:
        if not self._careful:
            super()._frames(attempt, frames, now)
            self._careful = self._course.waits
            return
        for place, frame in enumerate(frames):
            if self._course.waits:
                self._later.append(partial(self._frames, attempt, frames[place:]))
                return
            if attempt.state is not Upstream.CLOSED:
                super()._frames(attempt, [frame], now)


class PayingListeningSide(PayingSide, ListeningSide):
    """See `PayingSide` and `ListeningSide`."""


def side_of(plan: Plan) -> type[UpstreamSide]:
    """The provider's side that a stream has."""
    if plan.allowance is None:
        return UpstreamSide if plan.silences is None else ListeningSide
    return PayingSide if plan.silences is None else PayingListeningSide
