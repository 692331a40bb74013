"""``delivery.slow_client.merge``: what waits for a client that reads slowly waits here, and deltas are merged in it.

Without it all that waits lies in the connection's own buffer, as it was written. With it little does, and the rest
here; a client that keeps up gets its frames as they come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from penstock.ports import Sink
from penstock.server.buffers import Bounds, Buffer
from penstock.stream import numbering
from penstock.stream.inputs import Headers
from penstock.stream.plan import Plan
from penstock.wire.merge import Merger

AHEAD = 16 * 1024
"""Bytes that may wait in the connection's own buffer."""


class Way(Sink, Buffer, Protocol):
    """A sink with a buffer of its own."""


def merges(plan: Plan) -> bool:
    """Whether the client can do with merged frames: one that counts them, to take its stream up again or for a
    receipt, can not."""
    if not plan.delivery.slow_client.merge or not plan.request.stream or plan.metadata is not None:
        return False
    resumable = plan.resumable
    if resumable is None:
        return True
    return resumable.ids and numbering.form_of(plan.client.content_type) == numbering.EVENTS


class Merging:
    """A sink in front of another one, which it gives its marks. To ``bounds`` the two are one buffer."""

    write_chunk = None
    """What goes out next may have to wait."""

    def __init__(self, plan: Plan, bounds: Bounds, tell: Callable[[int], None]):
        events = numbering.form_of(plan.client.content_type) == numbering.EVENTS
        self._merger = Merger(plan.client_wire, events=events)
        self._bounds = bounds
        self._tell = tell
        self._way: Way | None = None
        self._under: Buffer | None = None
        self._limit = 0
        self._stopped = False
        """The connection's own buffer has enough."""
        self._blocked = False
        self.on_blocked: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None

    def before(self, way: Way) -> Merging:
        """In front of ``way``, whose bounds this is."""
        self._way = way
        return self

    # -- as a sink ------------------------------------------------------------------------------------------------

    @property
    def on_left(self) -> Callable[[], None] | None:
        """See `ports.Sink`."""
        return self._sink.on_left

    @on_left.setter
    def on_left(self, act: Callable[[], None] | None) -> None:
        self._sink.on_left = act

    @property
    def _sink(self) -> Way:
        assert self._way is not None
        return self._way

    def head(self, status: int, headers: Headers) -> None:
        """See `ports.Sink`."""
        self._sink.head(status, headers)

    def write(self, data: bytes) -> None:
        """See `ports.Sink`."""
        if self._stopped:
            self._merger.put(data)
            self._look()
        else:
            self._sink.write(data)

    def end(self, *, abort: bool, cut: bool = False) -> None:
        """See `ports.Sink`."""
        if not abort and self._merger.size:
            self._sink.write(self._merger.take(self._merger.size))
        self._tell(self._merger.merged)
        self._sink.end(abort=abort, cut=cut)

    # -- as a buffer ----------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Bytes in both."""
        return self._merger.size + (0 if self._under is None else self._under.waiting)

    def allow(self, size: int) -> None:
        """Over so many bytes the client counts as blocked."""
        self._limit = size
        if self._under is not None:
            self._under.allow(min(AHEAD, size // 4))
        self._look()

    def _look(self) -> None:
        if not self._blocked and self.waiting > self._limit:
            self._blocked = True
            self._bounds.blocked(self)
            if self.on_blocked is not None:
                self.on_blocked()

    # -- as the bounds of the sink behind it ----------------------------------------------------------------------

    def enter(self, buffer: Buffer, own: int) -> None:
        """See `buffers.Bounds`."""
        self._under = buffer
        self._bounds.enter(self, own)

    def leave(self, buffer: Buffer) -> None:
        """See `buffers.Bounds`."""
        self._bounds.leave(self)

    def blocked(self, buffer: Buffer) -> None:
        """See `buffers.Bounds`."""
        self._stopped = True

    def drained(self, buffer: Buffer) -> None:
        """See `buffers.Bounds`."""
        self._stopped = False
        while self._merger.size and not self._stopped:
            self._sink.write(self._merger.take(AHEAD))
        if self._blocked and self.waiting <= self._limit // 4:
            self._blocked = False
            self._bounds.drained(self)
            if self.on_drained is not None:
                self.on_drained()
