"""A sink of copies: lines that wait in memory, within bounds, until its files take them."""

from __future__ import annotations

import logging
from collections import Counter, deque

from penstock.capture.segments import Segments

logger = logging.getLogger("penstock.capture")


class Sink:
    """Files that take lines, up to ``most`` bytes of them. ``counts`` are by what became of a copy: ``kept`` is on the
    disk, ``dropped`` is lost; behind a spool also ``delivered``, and ``refused``: they will
    never be taken."""

    def __init__(self, name: str, segments: Segments, *, memory: int, most: int | None = None):
        self.name = name
        self.segments = segments
        self.counts: Counter[str] = Counter(kept=0, dropped=0)
        self._memory = memory
        self._most = most
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._failing = False

    @property
    def waiting(self) -> int:
        """Lines that are not on the disk."""
        return len(self._waiting)

    def take(self, line: bytes) -> None:
        """A line for this sink. One that does not fit is dropped."""
        if self._size + len(line) > self._memory:
            self.counts["dropped"] += 1
            return
        self._waiting.append(line)
        self._size += len(line)

    def write(self, now: float) -> None:
        """Bring what waits to the disk, as far as that takes it."""
        written = 0
        size = 0 if self._most is None else self.segments.size
        try:
            while self._waiting:
                line = self._waiting[0]
                if self._most is not None and size + len(line) > self._most:
                    self.counts["dropped"] += 1
                else:
                    self.segments.append(line, now)
                    written += 1
                    size += len(line)
                self._waiting.popleft()
                self._size -= len(line)
            self.segments.sync()
        except OSError as error:
            if not self._failing:
                logger.warning("copies for %s cannot be written: %s; they wait", self.name, error.strerror or error)
            self._failing = True
        else:
            if self._failing:
                logger.info("copies for %s are written again", self.name)
            self._failing = False
        self.counts["kept"] += written

    def give_up(self) -> None:
        """The gateway ends: what the disk has not taken is lost."""
        self.counts["dropped"] += len(self._waiting)
        self._waiting.clear()
        self.segments.close()
