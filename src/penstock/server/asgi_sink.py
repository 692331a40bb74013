"""The same sink for any ASGI server: a pump that awaits ``send``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from penstock.server.buffers import Bounds
from penstock.stream.inputs import Headers

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_CUT = "penstock.cut"


class AsgiSink:
    """Holds what ``send`` has not taken yet. Over ``buffer`` bytes, or its share of ``buffers``, the client counts as
    blocked."""

    def __init__(self, send: Send, buffer: int, buffers: Bounds):
        self._send = send
        self._buffer = buffer
        self._buffers = buffers
        self._messages: deque[MutableMapping[str, Any]] = deque()
        self._size = 0
        self._blocked = False
        self._wake = asyncio.Event()
        self.aborted = asyncio.Event()
        """The body is to be cut."""
        self.ended = False
        """The body's end was said."""
        self.on_blocked: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        self.on_left: Callable[[], None] | None = None
        buffers.enter(self, buffer)

    @property
    def waiting(self) -> int:
        """Bytes that ``send`` has not taken."""
        return self._size

    def allow(self, size: int) -> None:
        """Over so many bytes the client counts as blocked."""
        self._buffer = size
        self._look()

    def leave(self) -> None:
        """Nothing will wait here any more."""
        self._buffers.leave(self)

    def head(self, status: int, headers: Headers) -> None:
        """Status and headers."""
        self._put({"type": "http.response.start", "status": status, "headers": list(headers)})

    def write(self, data: bytes) -> None:
        """Body bytes."""
        self._size += len(data)
        self._put({"type": "http.response.body", "body": data, "more_body": True})
        self._look()

    def _look(self) -> None:
        if self._size > self._buffer and not self._blocked:
            self._blocked = True
            self._buffers.blocked(self)
            if self.on_blocked is not None:
                self.on_blocked()

    @property
    def write_chunk(self) -> None:
        """The server does the coding."""
        return None

    def end(self, *, abort: bool, cut: bool = False) -> None:
        """The body is over."""
        self.ended = True
        if abort:
            # Without the last message, which would make the body look whole.
            self.aborted.set()
        elif cut:
            # Behind what was written: an error frame still goes out.
            self._put({"type": _CUT})
        else:
            self._put({"type": "http.response.body", "body": b"", "more_body": False})

    def _put(self, message: MutableMapping[str, Any]) -> None:
        self._messages.append(message)
        self._wake.set()

    async def pump(self) -> None:
        """Send until the end."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._messages:
                message = self._messages.popleft()
                if message["type"] == _CUT:
                    self.aborted.set()
                    return
                await self._send(message)
                self._size -= len(message.get("body", b""))
                if message["type"] == "http.response.body" and not message["more_body"]:
                    return
                if self._blocked and self._size <= self._buffer // 4:
                    self._blocked = False
                    self._buffers.drained(self)
                    if self.on_drained is not None:
                        self.on_drained()


class AbortedBody(RuntimeError):
    """The body must not look whole. The server cuts the connection when the application raises."""

    def __init__(self) -> None:
        super().__init__("the stream was cut on purpose: it is not whole")
