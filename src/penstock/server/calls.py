"""Requests to a provider that are no streams of the gateway's own: asked, and answered as the provider answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from penstock.errors import PenstockError
from penstock.ports import Exchange, Listener
from penstock.stream.inputs import Headers

AHEAD = 1024 * 1024
"""Bytes that are read ahead of whoever takes them."""


class CallFailed(PenstockError):
    """There is no answer, or no whole one."""


class Head(msgspec.Struct, frozen=True):
    """How an answer begins; names of headers in lower case."""

    status: int
    headers: Headers


class Call:
    """One request under way, see `ports.Listener`. ``open`` sends it; the argument is whether on a fresh connection.
    To be closed."""

    def __init__(self, open: Callable[[Listener, bool], Exchange]):
        self._open = open
        self._head: Head | None = None
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._over = False
        self._why = ""
        """What broke it off."""
        self._exchange: Exchange | None = open(self, False)

    async def answered(self) -> Head:
        """How the answer begins. Raises CallFailed."""
        while self._head is None:
            if self._over:
                raise CallFailed(self._why)
            await self._more()
        return self._head

    async def read(self) -> bytes | None:
        """The next bytes of the body; None at its end. Raises CallFailed."""
        while not self._pieces and not self._over:
            await self._more()
        if not self._pieces:
            if self._why:
                raise CallFailed(self._why)
            return None
        data = self._pieces.popleft()
        self._size -= len(data)
        if self._exchange is not None and self._size <= AHEAD:
            self._exchange.resume()
        return data

    async def whole(self, most: int) -> bytes:
        """The body. Raises CallFailed."""
        pieces, size = [], 0
        while (data := await self.read()) is not None:
            pieces.append(data)
            size += len(data)
            if size > most:
                raise CallFailed(f"its answer is over {most} bytes")
        return b"".join(pieces)

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()

    def close(self) -> None:
        """No more is wanted. The connection is kept where the answer was whole."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close(reuse=self._over and not self._why)

    # -- ports.Listener -------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """See `ports.Listener`."""

    def head(self, status: int, headers: Headers) -> None:
        """See `ports.Listener`."""
        self._head = Head(status, headers)
        self._news.set()

    def body(self, data: bytes, chunk: bytes | None = None) -> None:
        """See `ports.Listener`."""
        self._pieces.append(data)
        self._size += len(data)
        if self._exchange is not None and self._size > AHEAD:
            self._exchange.pause()
        self._news.set()

    def ended(self, clean: bool, reason: str) -> None:
        """See `ports.Listener`."""
        self._over = True
        self._why = "" if clean else reason or "the connection was cut"
        self._news.set()

    def failed(self, message: str, stale: bool) -> None:
        """See `ports.Listener`."""
        if stale and self._exchange is not None:
            self._exchange.close(reuse=False)
            self._exchange = self._open(self, True)
            return
        self._over, self._why = True, message or "there was no answer"
        self._news.set()
