"""A gateway's inside in virtual time: drivers, machines and targets as they are; providers and clients are scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec

from penstock.config.values import Route
from penstock.drive.driver import Driver
from penstock.drive.targets import Targets, Watch
from penstock.errors import BadRequest
from penstock.ports import Listener
from penstock.server.balance import Balancer
from penstock.stream.inputs import Headers
from penstock.stream.machine import Stream
from penstock.stream.summary import Summary
from penstock.testing.clock import VirtualClock
from penstock.testing.frames import DONE, SSE, chunk, finish
from penstock.testing.playbook import plan
from penstock.wire.continued import Prefix

ANSWER = chunk("Hi") + finish() + DONE


class _Timer:
    def __init__(self, act: Callable[[], None]):
        self.act: Callable[[], None] | None = act

    def cancel(self) -> None:
        self.act = None


class World:
    """``targets`` serve. A provider in ``hanging`` accepts and says nothing; `behave` may say more."""

    def __init__(self, targets: Targets, chance: Callable[[], float] = lambda: 0.5):
        self.clock: VirtualClock[_Timer] = VirtualClock()
        self.targets = targets
        self.balancer = Balancer(targets, chance)
        self.hanging: set[str] = set()
        self.behave = lambda provider: "hangs" if provider in self.hanging else "answers"
        """What becomes of the next attempt: it answers, hangs, refuses, cuts, drips, is stale, raises, or breaks
        when it is closed."""
        self.summaries: list[tuple[float, Summary]] = []
        """With the instants of their acceptance."""
        self.refused = 0
        self.open: dict[str, int] = {}
        self.most: dict[str, int] = {}
        """The most connections to each provider at once."""

    # -- the loop -------------------------------------------------------------------------------------------------

    def call_later(self, seconds: float, act: Callable[[], None]) -> _Timer:
        """As an event loop does."""
        timer = _Timer(act)
        self.clock.put(self.clock.now + seconds, timer)
        return timer

    def at(self, instant: float, act: Callable[[], None]) -> None:
        """Something happens then."""
        self.clock.put(instant, _Timer(act))

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self.clock.due is not None:
            act = self.clock.take().act
            if act is not None:
                act()

    # -- streams --------------------------------------------------------------------------------------------------

    def ask(self, route: Route, leaves: float | None = None, **policies: Any) -> None:
        """A client asks for a model, and ``leaves`` after so many seconds."""
        now = self.clock.now
        try:
            order = self.balancer.order(route, route.targets, now)
        except BadRequest:
            self.refused += 1
            return
        names = [route.targets[place].name for place in order]
        asked = plan(targets=len(names), **policies)
        ways = [msgspec.structs.replace(asked.ways[0], name=name, label=name) for name in names]
        watch = Watch(self.targets, asked.deadlines, names)
        asked = msgspec.structs.replace(asked, route=route.name, ways=tuple(ways), asking=watch)
        stream = _Stream(self, names, now)
        if leaves is not None:
            self.call_later(leaves, lambda: stream.on_left() if stream.on_left is not None else None)
        loop = cast(asyncio.AbstractEventLoop, self)
        Driver(Stream(asked, now), stream, stream, stream, self.clock, loop, lambda driver: None, watch).start()


class _Stream:
    """One stream's dialer, client and recorder."""

    def __init__(self, world: World, names: list[str], began: float):
        self.world = world
        self.names = names
        self.began = began
        self.on_blocked: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        self.on_left: Callable[[], None] | None = None

    def open(
        self, target: int, listener: Listener, *, fresh: bool, ask_usage: bool, behind: Prefix | None = None
    ) -> _Exchange:
        provider = self.names[target].partition("/")[0]
        kind = self.world.behave(provider)
        if kind == "raises":
            raise RuntimeError("a fault of the dialer")
        return _Exchange(self.world, provider, listener, "refuses" if fresh and kind == "stale" else kind)

    def head(self, status: int, headers: Headers) -> None:
        """Nobody looks at it."""

    write_chunk = None

    def write(self, data: bytes) -> None:
        """Nor at this."""

    def end(self, *, abort: bool, cut: bool = False) -> None:
        """Nor at this."""

    def record(self, summary: Summary) -> None:
        self.world.summaries.append((self.began, summary))


class _Exchange:
    """It answers after a tenth of a second, or does otherwise."""

    def __init__(self, world: World, provider: str, listener: Listener, kind: str):
        self.world, self.provider, self.listener = world, provider, listener
        self.kind, self.closed = kind, False
        world.open[provider] = world.open.get(provider, 0) + 1
        world.most[provider] = max(world.most.get(provider, 0), world.open[provider])
        if kind in ("refuses", "stale"):
            world.call_later(0.005, self._when_open(lambda: listener.failed(kind, kind == "stale")))
            return
        world.call_later(0.01, self._when_open(listener.opened))
        if kind != "hangs":
            world.call_later(0.1, self._when_open(lambda: self._answer(kind)))

    def _when_open(self, act: Callable[[], None]) -> Callable[[], None]:
        return lambda: None if self.closed else act()

    def _answer(self, kind: str) -> None:
        self.listener.head(200, SSE)
        self.listener.body(ANSWER if kind == "answers" else chunk("Hi"))
        if kind != "drips":
            self.listener.ended(kind == "answers", "")

    def pause(self) -> None:
        """Clients read everything."""

    def resume(self) -> None:
        """Clients read everything."""

    def close(self, *, reuse: bool) -> None:
        assert not self.closed, "closed twice"
        self.closed = True
        self.world.open[self.provider] -= 1
        if self.kind == "breaks":
            raise RuntimeError("a fault of the exchange")
