"""Resuming as a model: two gateways that share a journal, one stream of the first, and readers at both. Whatever is
delivered, dropped, taken up again at any cursor, stopped, expires, whoever dies: what a reader gets is the stream's
frames, or a part of them and a truthful ending.

Machine, driver, journals, readers and the store (a file of SQLite) are the product's own; time is virtual.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from leaping_loop import LeapingLoop

from penstock.drive.driver import Driver
from penstock.drive.journal import Journal, Log
from penstock.drive.reader import Reader
from penstock.errors import BadRequest
from penstock.framing.sse import SSEFramer
from penstock.server.resume import Resuming
from penstock.store import sqlite_journal
from penstock.store.batches import Failed
from penstock.store.sqlite_journal import Answer, SqliteJournal
from penstock.stream.commands import Seal
from penstock.stream.inputs import Headers
from penstock.stream.machine import Stream
from penstock.stream.plan import Resumable
from penstock.testing import frames
from penstock.testing.playbook import plan

STREAM, TTL = "st_play", 5.0
SETTLED = 4.5
"""Seconds after which everybody has heard of everything: a lease, a look at it, a batch."""
ONE, OTHER = 0, 1


class File(SqliteJournal):
    """The store without its threads: each statement takes no time. It can be away."""

    away = False

    async def _in(self, thread: ThreadPoolExecutor, act: Callable[[], Answer]) -> Answer:
        if self.away:
            raise Failed("it was told to be away")
        return act()


class Tap:
    """The journal of the stream, and all that ever went into it."""

    def __init__(self, log: Log, clock: Callable[[], float]):
        self.log, self.clock = log, clock
        self.data, self.seal = b"", None
        self.renewed, self.lapsed = clock(), False

    def append(self, data: bytes) -> None:
        self.look()
        self.renewed = self.clock()
        self.data += data
        self.log.append(data)

    def close(self, seal: Seal) -> None:
        self.look()
        self.renewed = self.clock()
        self.seal = seal
        self.log.close(seal)

    def look(self) -> None:
        """Whether nothing was written for so long that the store may have let it go."""
        self.lapsed = self.lapsed or self.clock() >= self.renewed + TTL

    @property
    def frames(self) -> list[bytes]:
        return [frame for frame in SSEFramer().feed(self.data) if not frame.startswith(b":")]


class Client:
    """A client's socket: takes so many writes before it blocks."""

    write_chunk = None

    def __init__(self, room: int):
        self.on_blocked = self.on_drained = self.on_left = None
        self.room = room
        self.body = b""
        self.ended = self.gone = False

    def head(self, status: int, headers: Headers) -> None:
        assert status == 200

    def write(self, data: bytes) -> None:
        assert not self.ended
        self.body += data
        self.room -= 1
        if self.room <= 0 and self.on_blocked is not None:
            self.on_blocked()

    def end(self, *, abort: bool, cut: bool = False) -> None:
        assert not self.ended
        self.ended = True
        self.gone = self.gone or abort

    @property
    def got(self) -> list[bytes]:
        return [frame for frame in SSEFramer().feed(self.body) if not frame.startswith(b":")]


class Provider:
    """Says what the model tells it to."""

    def __init__(self) -> None:
        self.closed = False

    def open(self, target: int, listener: Any, **how: Any) -> Provider:
        self.listener = listener
        return self

    def close(self, *, reuse: bool) -> None:
        self.closed = True

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def record(self, summary: object) -> None: ...


class ResumeModel(RuleBasedStateMachine):
    """See above."""

    @initialize(per_stream=st.sampled_from([800, 10**6]))
    def begin(self, per_stream: int) -> None:
        self.loop = LeapingLoop()
        self.folder = Path(tempfile.mkdtemp())
        sqlite_journal.time = SimpleNamespace(time=lambda: 1e9 + self.loop.time())  # type: ignore[assignment]
        self.hurt = self.away = False
        self.alive = True
        self.readers: list[tuple[int, int, Client]] = []
        self.said = 0
        self.run(lambda: self._begin(per_stream), 0.2)

    def _begin(self, per_stream: int) -> None:
        self.gateways: list[Resuming] = []
        for name in ("one", "other"):
            store = File(str(self.folder / "journal.db"), gateway=name, ttl=TTL, per_stream=per_stream)
            journal = Journal(ttl=TTL, per_stream=per_stream, limit=10**6, clock=self.loop.time, backing=store)
            self.gateways.append(Resuming(journal, store))
            store.start()
        one, self.provider, self.client = self.gateways[ONE], Provider(), Client(1 << 30)
        planned = msgspec.structs.replace(plan(between_tokens=None), resumable=Resumable(alone=TTL))
        log = one.begin(planned, None)
        assert log is not None
        self.tap = Tap(log, self.loop.time)
        machine = Stream(planned, self.loop.time())
        self.driver = Driver(
            machine, self.provider, self.client, self.provider, self.loop.time, self.loop, one.over, None, self.tap
        )
        one.add(self.driver, None, log, 0)
        self.driver.start()
        self.provider.listener.opened()
        self.provider.listener.head(200, frames.SSE)
        self.provider.listener.body(frames.role() + frames.chunk("0"))

    def run(self, act: Callable[[], Any], seconds: float = 0.0) -> Any:
        async def inside() -> Any:
            said = act()
            if asyncio.iscoroutine(said):
                said = await said
            await asyncio.sleep(seconds)
            return said

        return self.loop.run_until_complete(inside())

    def teardown(self) -> None:
        if hasattr(self, "gateways"):
            self.run(self._close)
            self.loop.close()
            shutil.rmtree(self.folder)
        sqlite_journal.time = time

    async def _close(self) -> None:
        for _, _, client in self.readers:
            if client.on_left is not None:
                client.on_left()
        for gateway in self.gateways:
            assert gateway.journal is not None and gateway.store is not None
            gateway.journal.close()
            await gateway.store.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    # -- what happens ---------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """The provider may say more."""
        return self.alive and not self.provider.closed

    @precondition(lambda self: self.live)
    @rule(count=st.integers(1, 4), size=st.sampled_from([0, 100]), soon=st.booleans())
    def deliver(self, count: int, size: int, soon: bool) -> None:
        self.said += count
        new = b"".join(frames.chunk(f"{self.said - n}{'x' * size}") for n in range(count))
        self.run(lambda: self.provider.listener.body(new), 0.0 if soon else 0.03)

    @precondition(lambda self: self.live)
    @rule(whole=st.booleans())
    def ends(self, whole: bool) -> None:
        if whole:
            self.run(lambda: self.provider.listener.body(frames.finish() + frames.DONE))
        if self.live:
            self.run(lambda: self.provider.listener.ended(True, ""))
        assert self.tap.seal is not None

    @rule()
    def client_drops(self) -> None:
        self.client.gone = True
        if self.client.on_left is not None:
            self.run(self.client.on_left)

    @precondition(lambda self: len(self.readers) < 4)
    @rule(data=st.data(), where=st.sampled_from([ONE, OTHER]), room=st.integers(1, 3))
    def reads(self, data: st.DataObject, where: int, room: int) -> None:
        """A reconnect, or a second reader: at any cursor."""
        if where == ONE and not self.alive:
            return
        self._read(where, data.draw(st.integers(0, len(self.tap.frames))), room)

    def _read(self, where: int, after: int, room: int) -> None:
        log = self.tap.log
        may_be_gone = self.expired(where) or after + 1 < log.ring.first
        try:
            taken = self.run(lambda: self.gateways[where].events(STREAM, (), b"after=%d" % after, None))
        except BadRequest as error:
            if (error.code, may_be_gone) != ("not_resumable", True):
                raise
            return
        client = Client(room)
        self.readers.append((where, after, client))
        self.run(Reader(taken.source, client, taken.after, taken.manner, self.loop).start)

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), room=st.integers(1, 30))
    def reader_goes_on(self, data: st.DataObject, room: int) -> None:
        _, _, client = data.draw(st.sampled_from(self.readers))
        client.room = room
        if client.on_drained is not None:
            self.run(client.on_drained)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def reader_drops(self, data: st.DataObject) -> None:
        where, after, client = data.draw(st.sampled_from(self.readers))
        if client.on_left is not None:
            self.run(client.on_left)
        self.readers.remove((where, after, client))

    @rule(where=st.sampled_from([ONE, OTHER]))
    def stop(self, where: int) -> None:
        if where == ONE and not self.alive:
            return
        try:
            said = self.run(lambda: self.gateways[where].stop(STREAM, None), 1.1)
        except BadRequest:
            if not self.expired(where):
                raise
            return
        if said["state"] == "stopping" or where == ONE:
            assert not self.alive or self.provider.closed, "it was to stop"
            assert not self.alive or self.tap.seal is not None

    @rule(seconds=st.sampled_from([0.05, 1.0, SETTLED, TTL + 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(lambda: None, seconds)
        if seconds >= SETTLED:
            self._all_is_told()

    @precondition(lambda self: self.alive)
    @rule(really=st.integers(0, 1), soon=st.sampled_from([0.0, SETTLED]))
    def owner_dies(self, really: int, soon: float) -> None:
        """Without a word: its tasks and its connections are gone."""
        if really:
            return
        self.alive = False
        for where, _, client in self.readers:
            client.gone = client.gone or where == ONE
        self.readers = [reader for reader in self.readers if reader[0] == OTHER]
        store: Any = self.gateways[ONE].store
        for task in store._tasks:
            task.cancel()
        store.away = True
        self.driver._waiting.clear()
        if self.driver._timer is not None:
            self.driver._timer.cancel()
        self.run(lambda: None, soon)

    @rule()
    def store_goes_away(self) -> None:
        self.hurt = self.away = True
        for gateway in self.gateways:
            gateway.store.away = True  # type: ignore[union-attr]

    @precondition(lambda self: self.away)
    @rule()
    def store_is_back(self) -> None:
        self.away = False
        for gateway in self.gateways[0 if self.alive else 1 :]:
            gateway.store.away = False  # type: ignore[union-attr]

    @precondition(lambda self: not self.away)
    @rule(really=st.integers(0, 3))
    def store_loses_its_data(self, really: int) -> None:
        if not really:
            self.hurt = True
            with sqlite3.connect(self.folder / "journal.db") as file:
                file.executescript("delete from frames; delete from streams;")

    # -- what holds -----------------------------------------------------------------------------------------------

    def expired(self, where: int) -> bool:
        """What is asked there needs not be held any more."""
        self.tap.look()
        return self.loop.time() >= self.tap.log.expires if where == ONE else self.hurt or self.tap.lapsed

    @invariant()
    def every_reader_has_the_stream_or_the_truth(self) -> None:
        log = getattr(getattr(self, "tap", None), "log", None)
        if log is None:
            return
        facts, whole = log.facts, self.tap.frames
        assert self.client.got == whole[: len(self.client.got)]
        for where, after, client in self.readers:
            got, rest = client.got, whole[after:]
            told = got[-1:] if got[-1:] in ([facts.lost], [facts.orphaned]) else []
            if told:
                assert client.ended or client.room <= 0
                assert got[:-1] == rest[: len(got) - 1]
                assert told == [facts.lost] or (where == OTHER and not self.alive), "its gateway lives"
                assert told == [facts.orphaned] or self.expired(where) or log.ring.first > 1, "nothing was lost"
            elif client.ended:
                assert got == rest
                assert self.tap.seal is not None, "an end that there was not"
            else:
                assert got == rest[: len(got)]

    def _all_is_told(self) -> None:
        """Whoever reads has all that there is, and the end if there is one."""
        for where, after, client in self.readers:
            blocked = client.on_blocked is not None and client.room <= 0
            if client.ended or blocked or (where == OTHER and self.away):
                continue
            assert client.got == self.tap.frames[after:], "a reader was left behind"
            assert self.tap.seal is None, "a reader waits for an end that it is never told"
            assert self.alive or where == ONE, "a reader waits for a gateway that is dead"


ResumeModel.TestCase.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)
"""Without shrinking: what is found is short, and each step costs a file."""
TestResumeModel = ResumeModel.TestCase


def test_who_follows_a_gateway_that_dies_is_told_so() -> None:
    model = ResumeModel()
    model.begin(10**6)
    try:
        model.deliver(3, 0, False)
        model._read(OTHER, 1, 100)
        model.owner_dies(0, SETTLED)
        model.every_reader_has_the_stream_or_the_truth()
        model._all_is_told()
        assert model.readers[0][2].got == [*model.tap.frames[1:], model.tap.log.facts.orphaned]
    finally:
        model.teardown()
