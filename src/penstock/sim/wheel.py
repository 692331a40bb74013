"""One timer for all streams: whoever waits sits in a slot of one millisecond, and a tick serves whole slots."""

from __future__ import annotations

import asyncio
import heapq
import math
from typing import Protocol

_NEVER = 1 << 62


class Beating(Protocol):
    """What can sit in the wheel: once at a time, in ``slot`` (0 = in none)."""

    slot: int

    def beat(self, now: float) -> None:
        """Called when the slot is due; ``now`` is the loop's time in seconds."""


class Wheel:
    """Waits for any number of streams with at most one timer of the loop. Not before :meth:`add`'s instant, and late
    by up to a millisecond."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._slots: dict[int, list[Beating]] = {}
        self._heap: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed = _NEVER

    def add(self, who: Beating, when: float) -> None:
        """Have ``who`` beat at ``when`` (the loop's time, in seconds)."""
        slot = math.ceil(when * 1000 - 1e-3)
        who.slot = slot
        bucket = self._slots.get(slot)
        if bucket is not None:
            bucket.append(who)
            return
        self._slots[slot] = [who]
        heapq.heappush(self._heap, slot)
        if slot < self._armed:
            self._arm(slot)

    def remove(self, who: Beating) -> None:
        """Take ``who`` out; nothing happens when it is not in."""
        slot, who.slot = who.slot, 0
        bucket = self._slots.get(slot)
        if bucket is not None and who in bucket:
            bucket.remove(who)

    def stop(self) -> None:
        """Forget everybody."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed = _NEVER
        self._slots.clear()
        self._heap.clear()

    def _arm(self, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = slot
        self._timer = self._loop.call_at(slot / 1000, self._tick)

    def _tick(self) -> None:
        self._timer = None
        # A slot that is added while the tick runs arms no timer of its own: the end of the tick arms the earliest.
        self._armed = 0
        now = self._loop.time()
        due = int(now * 1000 + 0.5)
        heap = self._heap
        try:
            while heap and heap[0] <= due:
                slot = heapq.heappop(heap)
                for who in self._slots.pop(slot, ()):
                    # A beat may have taken its neighbour out in the meantime.
                    if who.slot == slot:
                        who.slot = 0
                        who.beat(now)
        finally:
            self._armed = _NEVER
            if heap:
                self._arm(heap[0])
