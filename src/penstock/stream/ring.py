"""The frames of one stream that can still be replayed, by their cursor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from penstock.errors import PenstockError

PIECE = 64 * 1024
"""Bytes that are read at once, about."""


class Overwritten(PenstockError):
    """The frames after a cursor are no longer there."""


class Ring:
    """Holds the latest frames, at most ``limit`` bytes of them, and always the last."""

    __slots__ = ("_frames", "_gone", "_skip", "limit", "size")

    def __init__(self, limit: int, *, first: int = 1):
        self.limit = limit
        self._frames: list[bytes] = []
        self._skip = 0
        """Frames at the start of the list that were let go."""
        self._gone = first - 1
        """Frames that were let go and are not even in the list."""
        self.size = 0
        """Bytes."""

    @property
    def last(self) -> int:
        """The cursor of the latest frame; 0 before there is one."""
        return self._gone + len(self._frames)

    @property
    def first(self) -> int:
        """The cursor of the oldest frame that is held."""
        return self._gone + self._skip + 1

    def append(self, frames: Sequence[bytes]) -> None:
        """Further frames."""
        self._frames += frames
        self.size += sum(map(len, frames))
        if self.size > self.limit:
            self.shrink(self.limit)

    def shrink(self, limit: int) -> None:
        """Let the oldest go until ``limit`` bytes are left, or the last frame."""
        frames = self._frames
        while self.size > limit and self._skip < len(frames) - 1:
            self.size -= len(frames[self._skip])
            frames[self._skip] = b""
            self._skip += 1
        if self._skip > 1024 and self._skip * 2 > len(frames):
            del frames[: self._skip]
            self._gone += self._skip
            self._skip = 0

    def after(self, cursor: int, most: int = PIECE) -> list[bytes]:
        """The next frames after ``cursor``, about ``most`` bytes, at least one if there is one. Raises Overwritten."""
        if cursor + 1 < self.first:
            raise Overwritten(f"frames {cursor + 1} to {self.first - 1} are not held any more")
        if most >= self.size:
            return self._frames[max(0, cursor - self._gone) :]
        found: list[bytes] = []
        for frame in islice(self._frames, cursor - self._gone, None):
            found.append(frame)
            most -= len(frame)
            if most <= 0:
                break
        return found
