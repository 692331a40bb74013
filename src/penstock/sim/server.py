"""The server under the simulated provider and the replayer: sockets, records, counts.

What it answers, its subclasses say.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections import deque
from typing import Self

from penstock.sim.connection import Connection
from penstock.sim.player import Record
from penstock.sim.steps import Play
from penstock.sim.wheel import Wheel

KEPT_REQUESTS = 10_000


class Server:
    """An HTTP/1.1 server that plays scripts.

    ``requests``: the last 10,000, oldest first. ``streams``: POSTs being answered now; ``max_streams``: the most there
    ever were at once. ``open_connections``: now.
    """

    wheel: Wheel
    loop: asyncio.AbstractEventLoop

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, ssl: tls.SSLContext | None = None):
        self.host = host
        self.port = port
        self.requests: deque[Record] = deque(maxlen=KEPT_REQUESTS)
        self.streams = 0
        self.max_streams = 0
        self._ssl = ssl
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._empty: asyncio.Future[None] | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._ssl else 'http'}://{host}:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    async def start(self) -> None:
        """Listen; afterwards ``port`` is the real one. Raises OSError when the address cannot be had."""
        self.loop = asyncio.get_running_loop()
        self.wheel = Wheel(self.loop)
        self._server = await self.loop.create_server(
            lambda: Connection(self), self.host, self.port, ssl=self._ssl, backlog=4096
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and cut every connection. May be called twice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in list(self._connections):
            connection.abort()
        if self._connections:
            self._empty = self.loop.create_future()
            await self._empty
        self.wheel.stop()
        await server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def answer(self, record: Record) -> Play:
        """How to answer this request; sets ``record.model``."""
        raise NotImplementedError

    # What the connections call

    def joined(self, connection: Connection) -> None:
        self._connections.add(connection)

    def left(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._empty is not None and not self._connections and not self._empty.done():
            self._empty.set_result(None)

    def accept(self, record: Record) -> Play:
        self.requests.append(record)
        if record.method == "POST":
            self.streams += 1
            self.max_streams = max(self.max_streams, self.streams)
        return self.answer(record)

    def settled(self, record: Record) -> None:
        if record.method == "POST":
            self.streams -= 1
