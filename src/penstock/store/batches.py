"""What the stores have in common: frames are gathered for a moment and written together, and nobody waits for it.

What was not written yet is not held here: it is read from the journal when its turn comes. So a store that is slow
costs no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

import msgspec

from penstock.drive.journal import Facts, Log
from penstock.store.shared import Ended
from penstock.stream.ring import Overwritten

logger = logging.getLogger("penstock.journal")
INTERVAL = 0.02
"""Seconds for which frames are gathered."""
_ALL = 1 << 62
Owned = tuple[str | None, str]
"""An idempotency key, behind the name of the key whose it is."""


class Failed(Exception):
    """The store did not do what it was asked."""


class Batch(msgspec.Struct, kw_only=True):
    """What is new of one stream."""

    facts: Facts
    name: str
    """The answer's id on the wire of OpenAI's Responses, where it is known."""
    first: int
    """The cursor of the oldest frame that is held."""
    last: int
    """The cursor of the latest of ``frames``."""
    frames: list[bytes]
    new: bool
    ended: Ended | None


class _Writing:
    """A stream of this gateway, and how far the store has it."""

    __slots__ = ("begun", "log", "written")

    def __init__(self, log: Log):
        self.log = log
        self.begun = False
        self.written = 0

    def batch(self) -> Batch:
        log, seal = self.log, self.log.seal
        log.taken()
        ring = log.ring
        try:
            frames = ring.after(self.written, _ALL)
        except Overwritten:
            frames = ring.after(ring.first - 1, _ALL)
        ended = None
        if seal is not None:
            ended = Ended(seal.status, seal.body, seal.cut, log.outcome or "")
            if seal.body is not None:
                frames = []
        new, self.begun, self.written = not self.begun, True, ring.last
        return Batch(
            facts=log.facts, name=log.name, first=ring.first, last=ring.last, frames=frames, new=new, ended=ended
        )


class BatchWriter:
    """The writing side of a store. ``write`` takes batches and the idempotency keys that are free again, and raises
    Failed."""

    def __init__(self) -> None:
        self._live: dict[str, _Writing] = {}
        """What this gateway owns and the store has all of, or will."""
        self._changed: dict[str, _Writing] = {}
        self._wake = asyncio.Event()
        self._free: list[Owned] = []
        self._gone: list[str] = []
        """Streams that the store is to forget when it is back."""
        self._down = False
        self.lost = 0
        """Streams of which the store did not take all."""
        self.on_stop: Callable[[str], None] = lambda stream: None

    async def write(self, batches: Sequence[Batch], gone: Sequence[str], free: Sequence[Owned]) -> None:
        """Put them into the store, and take out the streams ``gone`` and the keys ``free``. Raises Failed."""
        raise NotImplementedError

    # -- from the live path: nothing waits ------------------------------------------------------------------------

    def began(self, log: Log) -> None:
        """A stream begins."""
        self._live[log.facts.stream] = _Writing(log)
        self.appended(log)

    def appended(self, log: Log) -> None:
        """It has more."""
        stream = log.facts.stream
        if (writing := self._live.get(stream)) is not None:
            self._changed[stream] = writing
            self._wake.set()

    def sealed(self, log: Log) -> None:
        """The end."""
        self.appended(log)

    def released(self, owner: str | None, name: str) -> None:
        """An idempotency key whose stream came to nothing."""
        self._free.append((owner, name))
        self._wake.set()

    # -- the writer -----------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Write what comes, for ever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(INTERVAL)
            try:
                await self.flush()
                if self._down:
                    self._down = False
                    logger.info("the journal's store is back")
            except Failed as error:
                self._give_up(str(error))
                await asyncio.sleep(1)
                if self._free or self._gone:
                    self._wake.set()

    async def flush(self) -> None:
        """Write what there is. Raises Failed."""
        self._wake.clear()
        changed, self._changed = list(self._changed.values()), {}
        batches = [writing.batch() for writing in changed]
        gone, free = list(self._gone), list(self._free)
        if batches or gone or free:
            await self.write(batches, gone, free)
        del self._gone[: len(gone)], self._free[: len(free)]
        for batch in batches:
            if batch.ended is not None:
                self._live.pop(batch.facts.stream, None)

    async def put_down(self, tasks: list[asyncio.Task[None]]) -> None:
        """End the store's tasks, and write what is left if that takes no more than a second."""
        for task in tasks:
            task.cancel()
        if tasks:
            # Bounded: a client library may keep a cancellation to itself.
            await asyncio.wait(tasks, timeout=1)
        tasks.clear()
        if not self._down:
            with contextlib.suppress(Failed, TimeoutError):
                async with asyncio.timeout(1):
                    await self.flush()

    def _give_up(self, why: str) -> None:
        """The store has gaps now, or will: the streams that live are no longer resumable elsewhere."""
        lost, self._live, self._changed = list(self._live), {}, {}
        self.lost += len(lost)
        self._gone += lost
        if lost or not self._down:
            logger.warning(
                "the journal's store fails (%s): %d live streams can be resumed at this gateway alone", why, len(lost)
            )
        self._down = True
