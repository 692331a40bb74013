"""Kept-alive connections and the exchanges on them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from penstock.ports import Listener
from penstock.upstream.connection import Connection
from penstock.upstream.dial import DialError, dial
from penstock.upstream.origin import Endpoint, Origin, request_bytes

logger = logging.getLogger("penstock.upstream")

IDLE_LIMIT = 55.0
"""Seconds that a connection is kept: under the 60 s at which the usual servers and balancers close theirs."""


class Pool:
    """The connections of a gateway. ``max_idle`` bounds those kept for each origin."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_idle: int = 64):
        self._loop = loop
        self._max_idle = max_idle
        self._idle: dict[Origin, deque[Connection]] = {}
        self._open: set[PooledExchange] = set()

    def open(
        self, endpoint: Endpoint, headers: list[tuple[str, str]], body: bytes, listener: Listener, *, fresh: bool
    ) -> PooledExchange:
        """Send ``body``. ``fresh``: not on a kept-alive connection."""
        exchange = PooledExchange(self, endpoint, headers, body, listener)
        self._open.add(exchange)
        exchange.start(None if fresh else self._take(endpoint.origin))
        return exchange

    def _take(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        oldest = self._loop.time() - IDLE_LIMIT
        while idle:
            connection = idle.pop()
            if connection.usable and connection.idle_since >= oldest:
                connection.on_lost = None
                return connection
            connection.abort()
        return None

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Keep an idle connection, the newest last; the oldest makes room."""
        idle = self._idle.setdefault(origin, deque())
        connection.idle_since = self._loop.time()
        connection.on_lost = lambda lost: self._forget(origin, lost)
        idle.append(connection)
        while len(idle) > self._max_idle:
            old = idle.popleft()
            old.on_lost = None
            old.abort()

    def _forget(self, origin: Origin, connection: Connection) -> None:
        idle = self._idle.get(origin)
        if idle and connection in idle:
            idle.remove(connection)

    def forget_exchange(self, exchange: PooledExchange) -> None:
        """An exchange is over."""
        self._open.discard(exchange)

    @property
    def idle(self) -> int:
        """Kept-alive connections."""
        return sum(len(idle) for idle in self._idle.values())

    @property
    def busy(self) -> int:
        """Exchanges under way."""
        return len(self._open)

    async def close(self) -> None:
        """Cut everything."""
        for exchange in list(self._open):
            exchange.close(reuse=False)
        for idle in self._idle.values():
            for connection in idle:
                connection.on_lost = None
                connection.abort()
        self._idle.clear()


class PooledExchange:
    """One request and its answer."""

    __slots__ = ("_body", "_connection", "_endpoint", "_headers", "_listener", "_pool", "_task")

    def __init__(self, pool: Pool, endpoint: Endpoint, headers: list[tuple[str, str]], body: bytes, listener: Listener):
        self._pool = pool
        self._endpoint = endpoint
        self._headers = headers
        self._body = body
        self._listener: Listener | None = listener
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, connection: Connection | None) -> None:
        """Send on ``connection``, or on one that is made first."""
        if connection is not None:
            self._send(connection)
        else:
            self._task = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        try:
            connection = await dial(self._endpoint.origin)
            self._task = None
            if self._listener is None:
                connection.abort()
            else:
                self._send(connection)
        except Exception as error:
            self._task = None
            self._pool.forget_exchange(self)
            if not isinstance(error, DialError):
                logger.exception("an attempt could not be started")
            if self._listener is not None:
                self._listener.failed(str(error), False)

    def _send(self, connection: Connection) -> None:
        self._connection = connection
        listener, origin = self._listener, self._endpoint.origin
        assert listener is not None
        target, headers = self._endpoint.path, self._headers
        proxy = connection.proxy
        if proxy is not None:
            target = f"http://{origin.authority}{target}"
            if proxy.authorization:
                headers = [*headers, ("proxy-authorization", proxy.authorization)]
        connection.send(request_bytes(target, origin.authority, headers, self._body, self._endpoint.method), listener)
        self._body = b""
        listener.opened()

    def pause(self) -> None:
        """Stop reading."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        if self._connection is not None:
            self._connection.resume()

    def close(self, *, reuse: bool) -> None:
        """No more is wanted."""
        self._pool.forget_exchange(self)
        self._listener = None
        connection, self._connection = self._connection, None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if connection is None:
            return
        if not reuse:
            connection.abort()
        elif connection.release():
            self._pool.give_back(self._endpoint.origin, connection)
