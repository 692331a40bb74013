"""One HTTP/1.1 connection of the simulated provider: bytes in, requests out, answers played."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol, cast

import httptools

from penstock.sim.player import Player, Record
from penstock.sim.reply import error_body, whole_head
from penstock.sim.steps import Play
from penstock.sim.wheel import Wheel


class House(Protocol):
    """What a connection needs of its server."""

    wheel: Wheel
    loop: asyncio.AbstractEventLoop

    def joined(self, connection: Connection) -> None: ...
    def left(self, connection: Connection) -> None: ...
    def accept(self, record: Record) -> Play: ...
    def settled(self, record: Record) -> None: ...


class Connection(asyncio.Protocol):
    """Serves one request after the other; a second request before the first is answered ends the connection."""

    def __init__(self, house: House):
        self._house = house
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._coming = Record()
        self._url = b""
        self._body: list[bytes] = []
        self._record = self._coming
        self._player: Player | None = None
        self._paused = False
        self._last = False

    def abort(self) -> None:
        """Close without a farewell."""
        self._gone()
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._house.joined(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self._transport is not None and not self._transport.is_closing():
                body = error_body("this is not an HTTP/1.1 request", 400)
                self._transport.write(whole_head(400, len(body), [("connection", "close")]) + body)
                self._transport.close()

    def eof_received(self) -> bool | None:
        self._gone()
        if self._transport is not None:
            self._transport.abort()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        self._house.left(self)
        # The parser holds its callbacks: without this the pair would wait for the garbage collector.
        del self._parser

    def pause_writing(self) -> None:
        self._paused = True
        if self._player is not None:
            self._player.pause()

    def resume_writing(self) -> None:
        self._paused = False
        if self._player is not None:
            self._player.resume()

    # httptools

    def on_message_begin(self) -> None:
        self._coming = Record()
        self._url = b""
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._coming.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._coming.header("expect") == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._player is not None:
            self.abort()
            return
        record = self._record = self._coming
        record.method = self._parser.get_method().decode("ascii")
        record.path = self._url.decode("latin-1")
        record.body = b"".join(self._body)
        record.started = self._house.loop.time()
        self._last = not self._parser.should_keep_alive()
        play = self._house.accept(record)
        self._player = Player(self._transport, self._house.wheel, self._house.loop, record, play, self._over)
        self._player.start(paused=self._paused)

    # The answer's end

    def _over(self, reusable: bool) -> None:
        self._player = None
        self._house.settled(self._record)
        if reusable and self._last and self._transport is not None:
            self._transport.close()

    def _gone(self) -> None:
        if self._player is not None:
            self._player.stop()
            self._player = None
            self._record.peer_closed_at = self._house.loop.time()
            self._house.settled(self._record)
