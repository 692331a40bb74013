"""A provider that is scripted socket by socket, and a listener that remembers."""

import asyncio
import dataclasses
import ssl
from collections.abc import Awaitable, Callable

from penstock.stream.inputs import Headers
from penstock.upstream.origin import Endpoint, endpoint
from penstock.upstream.pool import Pool, PooledExchange


@dataclasses.dataclass
class Request:
    """What arrived."""

    line: str
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection, seen from the provider."""

    def __init__(self, peer: "Peer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._peer = peer
        self.reader = reader
        self.writer = writer

    async def request(self) -> Request:
        """The next request. Raises IncompleteReadError when the connection ends instead."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(line, headers, body)
        self._peer.requests.append(request)
        return request

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the gateway has closed this connection."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass

    def cut(self) -> None:
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass


Script = Callable[[Wire], Awaitable[None]]


class Peer:
    """A server that plays ``script`` on each connection and closes it at the script's end."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None):
        self._script = script
        self._context = context
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Request] = []
        self.connections = 0
        self.open = 0

    async def __aenter__(self) -> "Peer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context, limit=1 << 24)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def at(self, host: str = "127.0.0.1", scheme: str = "http", ca: str | None = None) -> Endpoint:
        return endpoint(f"{scheme}://{host}:{self.port}/v1", "/chat/completions", ca)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        wire = Wire(self, reader, writer)
        try:
            await self._script(wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            wire.cut()
        finally:
            await wire.close()
            self.open -= 1
            self._tasks.discard(task)


class Ear:
    """A listener (see `ports.Listener`)."""

    def __init__(self) -> None:
        self.opened_count = 0
        self.status = 0
        self.headers: Headers = ()
        self.pieces: list[bytes] = []
        self.clean: bool | None = None
        self.reason = ""
        self.message: str | None = None
        self.stale = False
        self.on_piece: Callable[[bytes], None] | None = None
        self.over = asyncio.Event()
        self.heard = asyncio.Event()
        self.heads = asyncio.Event()

    def opened(self) -> None:
        self.opened_count += 1

    def head(self, status: int, headers: Headers) -> None:
        assert not self.status and not self.over.is_set()
        self.status = status
        self.headers = headers
        self.heads.set()

    def body(self, data: bytes, chunk: bytes | None = None) -> None:
        assert self.status and not self.over.is_set()
        self.pieces.append(data)
        self.heard.set()
        if self.on_piece is not None:
            self.on_piece(data)

    def ended(self, clean: bool, reason: str) -> None:
        assert not self.over.is_set()
        self.clean, self.reason = clean, reason
        self.over.set()

    def failed(self, message: str, stale: bool) -> None:
        assert not self.over.is_set()
        self.message, self.stale = message, stale
        self.over.set()

    @property
    def text(self) -> bytes:
        return b"".join(self.pieces)


async def ask(pool: Pool, at: Endpoint, *, fresh: bool = False, body: bytes = b"{}") -> tuple[Ear, PooledExchange]:
    """One exchange, listened to until its end."""
    ear = Ear()
    exchange = pool.open(at, [("content-type", "application/json")], body, ear, fresh=fresh)
    await asyncio.wait_for(ear.over.wait(), 5)
    return ear, exchange


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def answer(text: bytes = b"hello", status: str = "200 OK", *headers: str) -> bytes:
    """An answer with its length."""
    fields = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status}\r\n{fields}content-length: {len(text)}\r\n\r\n".encode() + text
