"""What a client got of an answer that went through stages, counted from the frames that it was sent.

They are read as their wire's own client would read them, but later: on the path of a chunk a frame is appended to a
list, nothing else.
"""

from __future__ import annotations

from collections import deque

from penstock.errors import CorruptFrame, FrameTooLarge
from penstock.metering.tally import BATCH, Meter, Tally
from penstock.wire.base import UpstreamWire, View

SLICE = 64 * 1024
"""Bytes of frames that are read at a time."""
_WHOLE = 1 << 62


class Sent(Tally):
    """A tally of frames. `mark` is as that of `Tally`: what is sent behind it nobody got."""

    __slots__ = ("_decoder", "_framer", "_frames")

    def __init__(self, meter: Meter, wire: UpstreamWire):
        super().__init__(meter)
        self._framer = wire.framer(_WHOLE)
        self._decoder = wire.decoder(View(), None)
        self._frames: deque[bytes | None] = deque()

    def send(self, frame: bytes) -> None:
        """The client gets this."""
        self._frames.append(frame)
        if len(self._frames) % BATCH == 0:
            self.fold()

    def mark(self) -> None:
        """See `Tally`."""
        self._frames.append(None)

    def fold(self) -> bool:
        """See `Tally`."""
        if self.meter.vocabulary() is None:
            return False
        left = SLICE
        while self._frames and left > 0:
            data = self._frames.popleft()
            if data is None:
                super().mark()
            else:
                left -= len(data)
                self._hear(data)
        return super().fold() or bool(self._frames)

    def _hear(self, data: bytes) -> None:
        try:
            frames = self._framer.feed(data)
        except (CorruptFrame, FrameTooLarge) as error:
            frames = error.frames
        for frame in frames:
            self.heard += [event for event in self._decoder.decode(frame)[1] if event.token]
