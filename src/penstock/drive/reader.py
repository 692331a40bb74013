"""A reader of a journal: replays what is there and goes on with what comes, at its own speed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from penstock.drive.journal import Follower
from penstock.outcome import Outcome
from penstock.ports import Sink
from penstock.stream import head
from penstock.stream.commands import Seal
from penstock.stream.inputs import Headers
from penstock.stream.numbering import EVENTS, WHOLE, event, named
from penstock.stream.ring import Overwritten, Ring


class Source(Protocol):
    """What is read: a `drive.journal.Log`, or one that a store holds."""

    @property
    def ring(self) -> Ring:
        """The frames."""
        ...

    @property
    def seal(self) -> Seal | None:
        """The end, if it has one."""
        ...

    def follow(self, follower: Follower) -> None:
        """Tell of news."""

    def leave(self, follower: Follower) -> None:
        """No longer."""


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How a reader gets a stream. ``form``: that of its frames. ``events``: as server-sent events whatever its form.
    ``ids``: with ``id`` lines. ``keepalive`` is written after ``silence`` seconds (None: never), and the head after
    ``patience`` seconds (None: with the first frame) when nothing was sent by then."""

    stream: str
    form: str
    content_type: bytes
    events: bool = False
    ids: bool = False
    keepalive: bytes = b""
    silence: float | None = 15.0
    patience: float | None = 10.0
    overwritten: bytes = b""
    """Told to a reader whose next frame is not held any more."""
    served: Callable[[], tuple[str | None, int]] = lambda: (None, 0)
    """The target that serves the stream and the number of attempts, as far as they are known by now."""


class Reader:
    """Reads ``source`` from after the cursor ``after`` into ``sink``."""

    def __init__(
        self,
        source: Source,
        sink: Sink,
        after: int,
        manner: Manner,
        loop: asyncio.AbstractEventLoop,
        *,
        status: int = 200,
    ):
        self._source = source
        self._sink = sink
        self._cursor = after
        self._manner = manner
        self._loop = loop
        self._headed = self._blocked = False
        self._last_write = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.outcome: Outcome | None = None
        """Set when it has been served, or has left."""
        sink.on_blocked = self._on_blocked
        sink.on_drained = self._on_drained
        sink.on_left = self._over

    def start(self) -> None:
        """Begin."""
        self._source.follow(self)
        if self._manner.patience == 0:
            self._head()
        self.news()
        if self.outcome is None:
            self._wait()

    @property
    def behind(self) -> int:
        """The bytes of the source that were not written yet, about."""
        ring = self._source.ring
        held = ring.last - ring.first + 1
        return ring.size * (ring.last - self._cursor) // held if held > 0 else 0

    def news(self) -> None:
        """Write what is there and not written yet, as far as the client takes it."""
        if self._blocked or self.outcome is not None:
            return
        seal = self._source.seal
        if seal is not None and seal.body is not None and not self._manner.events and not self._headed:
            self._document(seal)
            return
        if seal is None and self._manner.form == WHOLE and not self._manner.events:
            return
        try:
            while not self._blocked and (frames := self._source.ring.after(self._cursor)):
                self._write(frames)
        except Overwritten:
            self._head()
            if self._manner.overwritten:
                self._sink.write(self._manner.overwritten)
            self._end(cut=True)
            return
        if not self._blocked and self._source.seal is not None:
            self._head()
            self._end(cut=self._source.seal.cut)

    def _write(self, frames: list[bytes]) -> None:
        manner, number = self._manner, self._cursor
        self._cursor += len(frames)
        seal = self._source.seal
        if seal is not None and seal.body is not None:
            # In place of a stream that was begun already.
            frames = [event(frame, WHOLE) if manner.events or manner.form == EVENTS else frame for frame in frames]
        elif manner.events and manner.form != EVENTS:
            frames = [event(frame, manner.form) for frame in frames]
        if manner.ids:
            frames = [
                named(frame, manner.stream, place) if frame else b"" for place, frame in enumerate(frames, number + 1)
            ]
        data = b"".join(frames)
        if data:
            self._head()
            self._last_write = self._loop.time()
            self._sink.write(data)

    def _document(self, seal: Seal) -> None:
        """The whole answer of a folded stream, or of one that failed before it began."""
        body = seal.body or b""
        fields = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
        self._headed = True
        self._sink.head(seal.status, fields + self._own())
        self._sink.write(body)
        self._end(cut=False)

    def _head(self) -> None:
        if not self._headed:
            self._headed = True
            fields = head.event_stream(self._manner.content_type)
            self._sink.head(200, fields + self._own())

    def _own(self) -> Headers:
        target, attempts = self._manner.served()
        return head.own(self._manner.stream, target=target, attempts=attempts)

    def _end(self, *, cut: bool) -> None:
        self._over()
        self._sink.end(abort=False, cut=cut)

    def _over(self) -> None:
        if self.outcome is None:
            self.outcome = Outcome.COMPLETED
            self._source.leave(self)
            self._sink.on_blocked = self._sink.on_drained = self._sink.on_left = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    # -- pressure and silence --------------------------------------------------------------------------------------

    def _on_blocked(self) -> None:
        self._blocked = True

    def _on_drained(self) -> None:
        self._blocked = False
        # Not from within the socket's callback: what is written here may block it again.
        self._loop.call_soon(self.news)

    def _wait(self) -> None:
        """One lazy timer: it is set again when something was written since."""
        wait = self._manner.silence if self._headed else self._manner.patience
        if wait is not None:
            self._timer = self._loop.call_at(self._last_write + wait, self._silent)

    def _silent(self) -> None:
        self._timer = None
        manner, now = self._manner, self._loop.time()
        wait = manner.silence if self._headed else manner.patience
        if wait is not None and now >= self._last_write + wait - 0.001 and not self._blocked:
            self._head()
            self._last_write = now
            if manner.keepalive:
                self._sink.write(manner.keepalive)
        self._wait()
