"""Runs one stream whose texts go through stages: see `Driver`.

What a provider sends at once may be long, and stages take their time over it. The machine works on it in slices (see
`penstock.slices`), with the event loop's other work between them. Meanwhile everything that happens to this stream
waits in order, its deadlines too, and nothing more is read of its provider. The machine knows nothing of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from penstock.drive.driver import Driver
from penstock.drive.driver import _Listener as AttemptListener
from penstock.ports import Listener
from penstock.slices import MORE, Slices, Work
from penstock.stream import commands, inputs
from penstock.stream.plan import Plan

BREATH = 0.0002
"""Seconds that a thread leaves to the event loop between two slices."""
_TOLD = frozenset({commands.Head, commands.Send, commands.End})
SHORT = 1024
"""Bytes of frames that are not worth slicing."""
T = TypeVar("T")


async def in_slices(work: Work[T], clock: Callable[[], float]) -> T:
    """Do work that may be long, with the event loop's other work between. Raises what it raises."""
    slices = Slices[T](clock)
    said = slices.run(work)
    while said is MORE:
        await asyncio.sleep(0)
        said = slices.run()
    return said


def with_breaths(work: Work[T]) -> T:
    """Do work that may be long in a thread, which leaves the event loop room between."""
    slices = Slices[T](time.monotonic)
    said = slices.run(work)
    while said is MORE:
        time.sleep(BREATH)
        said = slices.run()
    return said


class SlicedDriver(Driver):
    """See `Driver`."""

    __slots__ = ("_gone", "_paused", "_slices", "_stands")

    def __init__(self, *args: Any, **named: Any):
        super().__init__(*args, **named)
        self._slices = Slices[list[commands.Command]](self._now)
        self._gone = False
        """The client has left: what was meant for it before the machine hears of that is not carried out."""
        self._stands = False
        """It is in the middle of work."""
        self._paused: set[int] = set()
        """Attempts that the machine has paused."""

    def feed(self, happened: inputs.Input) -> None:
        """See `Driver`."""
        self._gone = self._gone or type(happened) is inputs.ClientLeft
        self._waiting.append(happened)
        if not self._busy:
            self._busy = True
            self._work(self._next())

    def _carry(self, todo: list[commands.Command]) -> None:
        super()._carry([command for command in todo if type(command) not in _TOLD] if self._gone else todo)

    def _next(self) -> Work[list[commands.Command]]:
        return partial(self._machine.receive, self._waiting.popleft(), self._now())

    def _release(self) -> None:
        if self._waiting:
            self._work(self._next())
        else:
            self._rest()

    def _tick(self) -> None:
        self._timer, self._timer_at, self._epoch = None, float("inf"), -1
        if not self._busy:
            self._busy = True
            self._work(partial(self._machine.expire, self._now()))

    def _work(self, work: Work[list[commands.Command]] | None = None) -> None:
        """Do it, or go on with it, and then what has come meanwhile."""
        try:
            while (todo := self._slices.run(work)) is not MORE:
                self._go_on_reading()
                self._carry(todo)
                if not self._waiting:
                    self._rest()
                    return
                work = self._next()
            self._stand()
        except Exception:
            self._crash()

    def _stand(self) -> None:
        self._loop.call_soon(self._work)
        if not self._stands:
            self._stands = True
            for number, exchange in self._exchanges.items():
                if number not in self._paused:
                    exchange.pause()

    def _go_on_reading(self) -> None:
        if self._stands:
            self._stands = False
            for number, exchange in self._exchanges.items():
                if number not in self._paused:
                    exchange.resume()

    def _pause(self, command: commands.Pause) -> None:
        self._paused.add(command.attempt)
        super()._pause(command)

    def _resume(self, command: commands.Resume) -> None:
        self._paused.discard(command.attempt)
        super()._resume(command)

    def _listener(self, attempt: int) -> Listener:
        return _Ears(self, attempt)


class _Ears(AttemptListener):
    __slots__ = ("_size",)

    def __init__(self, driver: Driver, attempt: int):
        super().__init__(driver, attempt)
        self._size = 0
        """Bytes since a frame has ended for certain."""

    def body(self, data: bytes, chunk: bytes | None = None) -> None:
        size = self._size + len(data)
        self._size = 0 if data.endswith(b"\n\n") else size
        if size <= SHORT:
            super().body(data, chunk)
        else:
            self._driver.feed(inputs.UpstreamBytes(self._attempt, data))


def driver_of(plan: Plan) -> type[Driver]:
    """The driver that a stream has."""
    return Driver if plan.stages is None else SlicedDriver
