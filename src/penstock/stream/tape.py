"""The copy of one answer: its frames in the client's wire, as they come."""

from __future__ import annotations


class Tape:
    """Keeps frames up to ``limit`` bytes; what comes after is only counted. ``original``: what the provider sent, not
    what the stages made of it."""

    __slots__ = ("_frames", "_instants", "limit", "original", "size")

    def __init__(self, *, limit: int, original: bool = False):
        self._frames: list[bytes] = []
        self._instants: list[float] = []
        self.limit = limit
        self.original = original
        self.size = 0
        """Bytes of all frames."""

    def add(self, frame: bytes) -> None:
        """The next frame; `stamp` says when."""
        self.size += len(frame)
        if self.size <= self.limit:
            self._frames.append(frame)

    def stamp(self, now: float) -> None:
        """The frames since the last stamp came at ``now``."""
        missing = len(self._frames) - len(self._instants)
        if missing:
            self._instants += [now] * missing

    def clear(self) -> None:
        """Another answer begins in place of this one."""
        self._frames, self._instants, self.size = [], [], 0

    @property
    def whole(self) -> bool:
        """No frame is missing."""
        return self.size <= self.limit

    @property
    def kept(self) -> int:
        """Bytes that are held here."""
        return min(self.size, self.limit)

    @property
    def frames(self) -> list[tuple[float, bytes]]:
        """With their instants."""
        self.stamp(self._instants[-1] if self._instants else 0.0)
        return list(zip(self._instants, self._frames, strict=True))
