"""The writing side of a store as a model: whatever is delivered, written, refused, lost, whoever dies, a reader at
another gateway has the stream's frames, or a part of them and a truthful ending."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.drive.journal import Facts, Journal
from penstock.store.batches import Batch, BatchWriter, Failed, Owned
from penstock.store.shared import Ended, RemoteLog
from penstock.stream.commands import Seal

LOST, ORPHANED = b"data: lost\n\n", b"data: orphaned\n\n"
FACTS = Facts(
    stream="st_a", owner=None, route="r", model="m", client_wire="openai-chat", form="events", ids=False,
    content_type="text/event-stream", began=0, lost=LOST, orphaned=ORPHANED,
)  # fmt: skip


class Shelf(BatchWriter):
    """A store in a dictionary, of one stream."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = self.held = False
        self.entries: dict[int, list[bytes]] = {}
        self.ended: Ended | None = None

    async def write(self, batches: Sequence[Batch], gone: Sequence[str], free: Sequence[Owned]) -> None:
        if self.fails:
            raise Failed("it was told to")
        for batch in batches:
            self.held = self.held or batch.new
            if batch.frames:
                assert batch.last not in self.entries
                self.entries[batch.last] = batch.frames
            self.entries = {last: frames for last, frames in self.entries.items() if last >= batch.first}
            self.ended = batch.ended or self.ended
        if gone:
            self.lose()

    def lose(self) -> None:
        self.held, self.entries, self.ended = False, {}, None


async def nobody(log: RemoteLog) -> None:
    """Follows nothing: the model gives a reader what there is."""


class StoreModel(RuleBasedStateMachine):
    """One stream, its gateway, the store, and readers elsewhere."""

    @initialize(per_stream=st.sampled_from([60, 400, 10**6]))
    def begin(self, per_stream: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.per_stream = per_stream
        self.frames: list[bytes] = []
        self.alive, self.hurt = True, False

        async def inside() -> None:
            self.store = Shelf()
            self.journal = Journal(ttl=10, per_stream=per_stream, limit=10**6, clock=lambda: 0.0, backing=self.store)
            self.log = self.journal.begin(FACTS)

        self.loop.run_until_complete(inside())

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            self.loop.close()

    @precondition(lambda self: self.alive and self.log.seal is None)
    @rule(count=st.integers(1, 4), size=st.sampled_from([0, 10, 70]), comment=st.booleans())
    def deliver(self, count: int, size: int, comment: bool) -> None:
        new = [b"data: %d%b\n\n" % (len(self.frames) + n, b"x" * size) for n in range(count)]
        self.frames += new
        self.log.append(b": comment\n\n" * comment + b"".join(new))

    @precondition(lambda self: self.alive and self.log.seal is None)
    @rule(cut=st.booleans())
    def end(self, cut: bool) -> None:
        async def inside() -> None:
            self.log.close(Seal(cut=cut))

        self.loop.run_until_complete(inside())

    @precondition(lambda self: self.alive)
    @rule()
    def write(self) -> None:
        async def inside() -> None:
            try:
                await self.store.flush()
            except Failed as error:
                self.store._give_up(str(error))

        self.loop.run_until_complete(inside())

    @precondition(lambda self: self.alive and self.log.seal is None)
    @rule()
    def the_store_refuses(self) -> None:
        self.hurt = self.store.fails = True
        self.deliver(1, 0, False)
        self.write()
        self.store.fails = False

    @rule(really=st.integers(0, 4))
    def the_store_loses_its_data(self, really: int) -> None:
        if not really:
            self.hurt = True
            self.store.lose()

    @rule(really=st.integers(0, 4))
    def owner_dies(self, really: int) -> None:
        self.alive = self.alive and really > 0

    @invariant()
    def a_reader_elsewhere_has_the_stream_or_the_truth(self) -> None:
        for after in range(len(getattr(self, "frames", ())) + 1):
            self._read(after)

    def _read(self, after: int) -> RemoteLog:
        store = self.store
        remote = RemoteLog(FACTS, after, 10**6, nobody)
        for last in sorted(store.entries):
            if last > remote.ring.last and remote.seal is None and not remote.extend(last, store.entries[last]):
                remote.give_up(LOST)
        if not store.held:
            remote.give_up(LOST)
        elif store.ended is not None and remote.seal is None:
            remote.close(store.ended)
        elif not self.alive:
            remote.give_up(ORPHANED)
        got: list[bytes] = remote.ring.after(after, 1 << 40)
        told = [frame for frame in got if frame in (LOST, ORPHANED)]
        rest = self.frames[after:]
        if told:
            assert got[-1:] == told
            assert told == [ORPHANED] or self.hurt or not store.held or after + 1 < self.log.ring.first
            assert rest[: len(got) - 1] == got[:-1]
            assert remote.seal == Seal(cut=True)
        elif remote.seal is None:
            assert rest[: len(got)] == got
        else:
            assert got == rest
            assert self.log.seal == remote.seal
        return remote

    @invariant()
    def what_waits_is_held_once(self) -> None:
        if hasattr(self, "log"):
            largest = max(map(len, self.frames), default=0)
            assert self.log.ring.size <= max(self.per_stream, largest)

    @precondition(lambda self: self.alive)
    @rule()
    def what_is_written_is_whole(self) -> None:
        self.write()
        remote = self._read(0)
        if self.log.seal is not None:
            assert remote.seal is not None, "a reader waits for an end that never comes"
        elif remote.seal is None:
            assert remote.ring.last == len(self.frames)


StoreModel.TestCase.settings = settings(stateful_step_count=30, deadline=None)
TestStoreModel = StoreModel.TestCase


def test_whoever_follows_is_told_when_the_store_had_refused() -> None:
    model = StoreModel()
    model.begin(10**6)
    try:
        model.deliver(1, 0, False)
        model.write()
        model.the_store_refuses()
        model.end(False)
        model.what_is_written_is_whole()
        assert model._read(0).seal == Seal(cut=True)
    finally:
        model.teardown()
