"""The journal as a model: whatever is delivered, dropped, read, stopped or let go, a reader's whole is the stream's
frames, or a part of them and a truthful ending."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.drive.journal import STEP, Facts, Journal, Log
from penstock.drive.reader import Manner, Reader
from penstock.stream.commands import Seal

LOST = b"data: lost\n\n"
FACTS: dict[str, Any] = {
    "owner": None, "route": "r", "model": "m", "client_wire": "openai-chat", "form": "events", "ids": False,
    "content_type": "text/event-stream", "began": 0, "lost": LOST, "orphaned": LOST,
}  # fmt: skip


class Sink:
    """A client's socket: takes so many writes before it blocks."""

    def __init__(self, room: int):
        self.on_blocked = self.on_drained = self.on_left = None
        self.room = room
        self.body = b""
        self.ended: bool | None = None

    def head(self, status: int, headers: object) -> None:
        assert not self.body

    def write(self, data: bytes) -> None:
        assert self.ended is None
        self.body += data
        self.room -= 1
        if self.room <= 0 and self.on_blocked is not None:
            self.on_blocked()

    def end(self, *, abort: bool, cut: bool = False) -> None:
        assert self.ended is None
        self.ended = cut


class JournalModel(RuleBasedStateMachine):
    """One stream, any number of readers."""

    @initialize(per_stream=st.sampled_from([60, 400, 10**6]), total=st.sampled_from([100, 10**6]))
    def begin(self, per_stream: int, total: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.journal = Journal(ttl=10.0, per_stream=per_stream, limit=total, clock=lambda: self.now)
        self.log: Log = self.journal.begin(Facts(stream="st_a", **FACTS))
        self.frames: list[bytes] = []
        self.readers: list[tuple[Reader, Sink, int]] = []

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            for reader, _, _ in self.readers:
                reader._over()
            self.journal.close()
            self.loop.close()

    def call(self, act: Any) -> None:
        async def inside() -> None:
            act()
            await asyncio.sleep(0)

        self.loop.run_until_complete(inside())

    @precondition(lambda self: self.log.seal is None)
    @rule(count=st.integers(1, 4), size=st.sampled_from([0, 10, 70]))
    def deliver(self, count: int, size: int) -> None:
        new = [b"data: %d%b\n\n" % (len(self.frames) + n, b"x" * size) for n in range(count)]
        self.frames += new
        self.call(lambda: self.log.append(b"".join(new)))

    @precondition(lambda self: self.log.seal is None)
    @rule(cut=st.booleans())
    def end(self, cut: bool) -> None:
        self.call(lambda: self.log.close(Seal(cut=cut)))

    @rule(data=st.data(), room=st.integers(1, 3))
    def read(self, data: st.DataObject, room: int) -> None:
        after = data.draw(st.integers(0, len(self.frames)))
        sink = Sink(room)
        kind = {"form": "events", "content_type": b"text/event-stream", "silence": None, "patience": 0.0}
        manner = Manner(stream="st_a", overwritten=LOST, **kind)
        reader = Reader(self.log, sink, after, manner, self.loop)
        self.readers.append((reader, sink, after))
        self.call(reader.start)

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), room=st.integers(1, 3))
    def drain(self, data: st.DataObject, room: int) -> None:
        _, sink, _ = data.draw(st.sampled_from(self.readers))
        sink.room = room
        if sink.on_drained is not None:
            self.call(sink.on_drained)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        reader, sink, _ = data.draw(st.sampled_from(self.readers))
        if sink.on_left is not None:
            self.call(sink.on_left)
            assert reader not in self.log.followers

    @rule(seconds=st.sampled_from([1.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        held = self.journal.get("st_a")
        if self.log.seal is None:
            assert held is self.log, "a live stream expires never"
        elif self.now >= self.log.expires:
            assert held is None

    @invariant()
    def every_reader_has_the_stream_or_the_truth(self) -> None:
        for _, sink, after in getattr(self, "readers", ()):
            rest = b"".join(self.frames[after:])
            if sink.ended is None:
                assert rest.startswith(sink.body)
            elif sink.body.endswith(LOST):
                assert sink.ended
                assert rest.startswith(sink.body.removesuffix(LOST))
            else:
                assert sink.body == rest
                assert self.log.seal is not None
                assert sink.ended == self.log.seal.cut

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "log"):
            largest = max(map(len, self.frames), default=0)
            assert self.log.ring.size <= max(self.log.ring.limit, largest)
            assert abs(self.journal.size - sum(log.size for log in self.journal)) <= STEP

    @invariant()
    def nobody_who_reads_is_left_behind(self) -> None:
        for reader, sink, after in getattr(self, "readers", ()):
            if reader.outcome is None and not reader._blocked:
                assert sink.body == b"".join(self.frames[after:])


JournalModel.TestCase.settings = settings(stateful_step_count=30, deadline=None)
TestJournalModel = JournalModel.TestCase
