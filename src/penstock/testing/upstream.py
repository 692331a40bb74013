"""A scripted provider on a real socket.

    async with ScriptedUpstream([hdr(), role(), tok(3, gap=0.05), fin(), usage(9, 3), done()]) as upstream:
        ...                                  # let a gateway ask upstream.base_url
        seen = upstream.requests[0]          # method, path, headers, body, bytes_written, writes, closed_at
        await seen.closed(within=1.0)        # the peer has closed the connection

The steps are in `penstock.testing.steps`. One script for each request, in order; the last one repeats. A script is a
sequence of steps, or a function from the request to one. Without `hdr` the head goes out with the first bytes; a
script that says nothing at all stays silent until its peer is gone, and one that says no ending ends its body
cleanly, as `eof` does: `fin` and `done` only write frames. The peer's leaving is seen at once, also in a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl as tls
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Self, cast

import msgspec

from penstock.sim.player import reset
from penstock.wire import json

SSE = "text/event-stream"
TASK = "scripted-upstream"
"""The name of the tasks that play scripts."""


class PeerClosed(Exception):
    """The peer left in the middle of a script."""


class Seen(msgspec.Struct, eq=False):
    """One request and what became of it. Instants are of ``time.monotonic()``; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    started: float
    bytes_written: int = 0
    """Bytes of the body, without HTTP's own framing, handed to the transport."""
    tokens_written: int = 0
    writes: list[tuple[float, int]] = []
    closed_at: float | None = None
    """When the peer closed before the answer had ended."""
    ended: str | None = None
    """How the script ended the answer: ``eof``, ``cut`` or ``rst``."""
    gone: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        """The request's body."""
        return json.loads(self.body)

    @property
    def over(self) -> bool:
        """The answer was played to its end or its peer is gone."""
        return self.ended is not None or self.closed_at is not None

    async def closed(self, within: float = 1.0) -> float:
        """Wait for the peer to close; when it did. Raises TimeoutError."""
        async with asyncio.timeout(within):
            await self.gone.wait()
        assert self.closed_at is not None, f"the answer had ended before: {self.ended}"
        return self.closed_at


Step = Callable[["Turn"], Awaitable[None]]
Script = Sequence[Step] | Callable[[Seen], Sequence[Step]]


class Turn:
    """An answer while it is played: what the steps act on."""

    def __init__(self, line: _Line, seen: Seen):
        self._line = line
        self.seen = seen
        self.piece: int | None = None
        self.headed = False

    async def head(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Status and headers."""
        self.headed = True
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers), "", ""]
        await self._line.write("\r\n".join(lines).encode("latin-1"))

    async def write(self, data: bytes) -> None:
        """A piece of the chunked body, or several, see `split`. Waits while the peer does not read."""
        if not self.headed:
            await self.head(200, [("content-type", SSE), ("transfer-encoding", "chunked")])
        size = self.piece or len(data)
        for start in range(0, len(data), size or 1):
            piece = data[start : start + size]
            self.seen.bytes_written += len(piece)
            self.seen.writes.append((time.monotonic(), len(piece)))
            await self._line.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if self.piece:
                await asyncio.sleep(0)

    async def whole(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """A whole answer with its length."""
        await self.head(status, [*headers, ("content-length", str(len(body)))])
        self.seen.bytes_written += len(body)
        self.end("eof")
        await self._line.write(body)

    async def finish(self) -> None:
        """The clean end of the chunked body."""
        self.end("eof")
        await self._line.write(b"0\r\n\r\n")

    async def wait(self, seconds: float | None) -> None:
        """A pause; None is forever. Raises PeerClosed as soon as the peer is gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._line.gone.wait()
        if self._line.gone.is_set():
            raise PeerClosed

    def end(self, how: str) -> None:
        """The answer has ended."""
        self.seen.ended = how

    async def hang_up(self, how: str, *, notify: bool = True) -> None:
        """End the connection: ``cut`` with a FIN, ``rst`` with a reset; what was written goes out before."""
        await self._line.flushed()
        self.end(how)
        self._line.hang_up(how, notify=notify)


class _Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: ScriptedUpstream):
        self._server = server
        self._buffer = bytearray()
        self._more = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None
        self._turn: Turn | None = None
        self.gone = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.lines.add(self)
        self.task = asyncio.get_running_loop().create_task(self._serve(), name=TASK)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._more.set()

    def eof_received(self) -> None:
        self._peer_left()

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer_left()
        self._server.lines.discard(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _peer_left(self) -> None:
        if self._turn is not None and not self._turn.seen.over:
            self._turn.seen.closed_at = time.monotonic()
            self._turn.seen.gone.set()
        self.gone.set()
        self._more.set()
        self._writable.set()

    async def write(self, data: bytes) -> None:
        """Write, and wait for room for more."""
        if self._transport is None or self.gone.is_set() or self._transport.is_closing():
            raise PeerClosed
        self._transport.write(data)
        await self._writable.wait()

    async def flushed(self) -> None:
        """Wait until the kernel has everything."""
        while self._transport is not None and self._transport.get_write_buffer_size():
            if self.gone.is_set():
                raise PeerClosed
            await asyncio.sleep(0.001)

    def hang_up(self, how: str, *, notify: bool) -> None:
        """Close from this side."""
        assert self._transport is not None
        if how == "rst":
            reset(self._transport)
        elif notify:
            self._transport.close()
        else:
            # A FIN under TLS without its goodbye: through a second name of the socket.
            copy = socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))
            copy.shutdown(socket.SHUT_WR)
            copy.close()

    def abort(self) -> None:
        """Cut, because the server stops."""
        if self._transport is not None:
            self._transport.abort()

    async def _serve(self) -> None:
        with contextlib.suppress(PeerClosed):
            while True:
                seen = await self._request()
                self._turn = turn = Turn(self, seen)
                try:
                    await self._server.play(turn)
                finally:
                    self._server.active -= 1
                if seen.ended != "eof":
                    return

    async def _request(self) -> Seen:
        head = await self._until(lambda: self._buffer.find(b"\r\n\r\n") + 1)
        first, *rest = bytes(self._buffer[: head - 1]).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        method, path, _ = first.split(" ")
        size = int(headers.get("content-length", "0"))
        del self._buffer[: head + 3]
        await self._until(lambda: len(self._buffer) >= size)
        body = bytes(self._buffer[:size])
        del self._buffer[:size]
        return self._server.accepted(Seen(method, path, headers, body, time.monotonic()))

    async def _until(self, ready: Callable[[], int]) -> int:
        while not (result := ready()):
            if self.gone.is_set():
                raise PeerClosed
            self._more.clear()
            await self._more.wait()
        return result


class ScriptedUpstream:
    """A provider that does what its scripts say. ``ssl`` makes it speak TLS."""

    def __init__(self, *scripts: Script, ssl: tls.SSLContext | None = None, host: str = "127.0.0.1"):
        self._scripts = list(scripts)
        self._ssl = ssl
        self._server: asyncio.Server | None = None
        self._news = asyncio.Event()
        self.host = host
        self.port = 0
        self.requests: list[Seen] = []
        self.lines: set[_Line] = set()
        """The connections that stand."""
        self.active = self.max_active = 0
        """Requests being answered: now, and the most there were at once."""

    @property
    def base_url(self) -> str:
        """What a provider's ``base_url`` is to be for the OpenAI wires."""
        return f"{'https' if self._ssl else 'http'}://{self.host}:{self.port}/v1"

    def script(self, *scripts: Script) -> None:
        """Scripts for the requests from now on."""
        self._scripts = list(scripts)

    async def start(self) -> Self:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Line(self), self.host, 0, ssl=self._ssl, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Stop listening and cut what stands."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        lines = list(self.lines)
        for line in lines:
            line.abort()
        await asyncio.gather(*(line.task for line in lines if line.task is not None), return_exceptions=True)
        await server.wait_closed()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def accepted(self, seen: Seen) -> Seen:
        """A request has come."""
        self.requests.append(seen)
        self._news.set()
        self.active += 1
        self.max_active = max(self.max_active, self.active)
        return seen

    async def asked(self, count: int = 1, within: float = 5.0) -> Seen:
        """Wait for request number ``count`` (from 1)."""
        async with asyncio.timeout(within):
            while len(self.requests) < count:
                self._news.clear()
                await self._news.wait()
        return self.requests[count - 1]

    async def play(self, turn: Turn) -> None:
        """Play the script that is next."""
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        for step in script(turn.seen) if callable(script) else script:
            await step(turn)
        if turn.seen.ended is None:
            await (turn.finish() if turn.headed else turn.wait(None))


class Blackhole:
    """An address that never answers: a listening socket whose backlog is full, so that connecting hangs."""

    def __init__(self) -> None:
        self._sockets = [socket.create_server(("127.0.0.1", 0), backlog=0)]
        address = self._sockets[0].getsockname()
        self.base_url = f"http://127.0.0.1:{address[1]}/v1"
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            self._sockets.append(filler)
            with contextlib.suppress(BlockingIOError):
                filler.connect(address)

    async def start(self) -> Self:
        """As the other upstreams have it."""
        return self

    async def stop(self) -> None:
        """Give the sockets back."""
        for sock in self._sockets:
            sock.close()
        self._sockets = []
