"""A client on a raw socket: it reads only when told to, and knows what exactly came, when, and how it ended.

client = await RawClient.connect(host, port)
await client.post("/v1/chat/completions", {"model": "m", "stream": True, "messages": []})
await client.events(5)                   # read until the body holds five events
client.close()                           # or abort() for a reset, half_close() for a FIN that reads on

answer = await client.answer()           # or read everything: status, headers, body, how it ended
assert (answer.status, answer.text, answer.ended) == (200, "Hello", "clean")
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import Any, Self

import msgspec

from penstock.framing.sse import EventReader, Message
from penstock.wire import json

CHAT = "/v1/chat/completions"


class Answer(msgspec.Struct, frozen=True):
    """An answer as it came. ``ended``: ``clean`` (the transfer coding says it is whole), ``cut`` (a FIN before that)
    or ``reset``. ``reads`` are the pieces of the body, each with the instant (``time.monotonic()``) it was read at."""

    status: int
    headers: dict[str, str]
    body: bytes
    ended: str
    reads: list[tuple[float, bytes]]
    asked: float
    """When the request was written."""
    ended_at: float

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Message]:
        """The body's SSE events."""
        return EventReader().feed(self.body)

    @property
    def chunks(self) -> list[Any]:
        """The JSON of every event but ``[DONE]``."""
        return [json.loads(event.data.encode()) for event in self.events if event.data != "[DONE]"]

    @property
    def deltas(self) -> list[dict[str, Any]]:
        """The deltas of all choices, in order."""
        return [choice.get("delta") or {} for chunk in self.chunks for choice in chunk.get("choices", ())]

    @property
    def text(self) -> str:
        """The text: of the deltas, or of the first choice of a folded answer."""
        if self.body.startswith(b"{"):
            return str(self.json["choices"][0]["message"]["content"])
        return "".join(delta.get("content") or "" for delta in self.deltas)

    @property
    def finishes(self) -> list[str]:
        """Every finish reason that is not null."""
        choices = [choice for chunk in self.chunks for choice in chunk.get("choices", ())]
        return [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]

    @property
    def marks(self) -> int:
        """How often ``[DONE]`` came."""
        return sum(event.data == "[DONE]" for event in self.events)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error: of the JSON body, or of the stream's last frame."""
        if self.body.startswith(b"{"):
            found = self.json.get("error")
        else:
            found = self.chunks[-1].get("error") if self.chunks else None
        return found if isinstance(found, dict) else None


class RawClient:
    """One connection. Nothing is read in the background."""

    def __init__(self, sock: socket.socket):
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._raw = b""
        self._left: int | None = None
        """Bytes to come: of the body with a length, or of the chunk; None = until the end of the connection."""
        self._chunked = self._last = False
        self._body = bytearray()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.reads: list[tuple[float, bytes]] = []
        self.ended: str | None = None
        self.asked = self.ended_at = 0.0
        self.raw_bytes = 0
        """All that was read from the socket."""

    @classmethod
    async def connect(cls, host: str, port: int, *, receive_buffer: int | None = None) -> Self:
        """Connect; ``receive_buffer`` bounds what the kernel takes for a client that does not read."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock)

    @property
    def body(self) -> bytes:
        """What came of the body so far."""
        return bytes(self._body)

    # -- asking ---------------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """Any bytes."""
        await self._loop.sock_sendall(self._sock, data)

    async def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """A whole request; afterwards `head`, `events` and `answer` are about its answer."""
        lines = [f"{method} {path} HTTP/1.1", "host: penstock", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.status, self.headers, self.reads, self.ended, self._left = 0, {}, [], None, None
        self._body = bytearray()
        self.asked = time.monotonic()
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> None:
        """POST; anything but bytes as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body)
        await self.request("POST", path, content, {"content-type": "application/json", **(headers or {})})

    # -- reading --------------------------------------------------------------------------------------------------

    async def head(self, within: float = 10.0) -> int:
        """Read status and headers; interim answers are passed over."""
        async with asyncio.timeout(within):
            while not self.status and self.ended is None:
                await self._some()
        return self.status

    async def read(self, size: int = 65536, within: float = 10.0) -> bytes:
        """One read of at most ``size`` bytes from the socket: what it brought of the body, often nothing."""
        before = len(self._body)
        async with asyncio.timeout(within):
            if self.ended is None:
                await self._some(size)
        return bytes(self._body[before:])

    async def events(self, count: int, within: float = 10.0) -> list[Message]:
        """Read until the body holds ``count`` events or is over; the events so far."""
        async with asyncio.timeout(within):
            while len(events := EventReader().feed(self.body)) < count and self.ended is None:
                await self._some()
        return events

    async def until(self, text: bytes, within: float = 10.0) -> None:
        """Read until the body holds ``text``. Raises AssertionError when it ends without."""
        async with asyncio.timeout(within):
            while text not in self._body:
                assert self.ended is None, f"ended {self.ended} without {text!r}: {self.body!r}"
                await self._some()

    async def answer(self, within: float = 10.0) -> Answer:
        """Read to the end."""
        async with asyncio.timeout(within):
            while self.ended is None:
                await self._some()
        assert self.ended is not None
        return Answer(self.status, self.headers, self.body, self.ended, self.reads, self.asked, self.ended_at)

    async def gone(self, within: float = 5.0) -> str:
        """Wait for the other side to close the connection: ``cut`` or ``reset``."""
        async with asyncio.timeout(within):
            try:
                while await self._loop.sock_recv(self._sock, 65536):
                    pass
            except ConnectionError:
                return "reset"
        return "cut"

    async def _some(self, size: int = 65536) -> None:
        try:
            data = await self._loop.sock_recv(self._sock, size)
        except ConnectionError:
            self._over("reset")
            return
        if not data:
            self._over("clean" if self.status and not self._chunked and self._left is None else "cut")
            return
        self.raw_bytes += len(data)
        self._raw += data
        before = len(self._body)
        while self.ended is None and self._take():
            pass
        if len(self._body) > before:
            self.reads.append((time.monotonic(), bytes(self._body[before:])))

    def _over(self, how: str) -> None:
        self.ended = how
        self.ended_at = time.monotonic()

    def _take(self) -> bool:
        """Use what was read. False when more is needed."""
        if not self.status:
            return self._take_head()
        if self._chunked:
            return self._take_chunked()
        self._take_body()
        if self._left == 0:
            self._over("clean")
        return False

    def _take_head(self) -> bool:
        head, blank, rest = self._raw.partition(b"\r\n\r\n")
        if not blank:
            return False
        self._raw = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        if status < 200:
            return True
        self.status = status
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "")
        length = self.headers.get("content-length")
        self._left = int(length) if length is not None and not self._chunked else None
        if self._left == 0:
            self._over("clean")
        return True

    def _take_chunked(self) -> bool:
        if self._left is None:
            line, end, rest = self._raw.partition(b"\r\n")
            if not end:
                return False
            self._left, self._raw = int(line, 16), rest
            self._last = self._left == 0
        self._take_body()
        if self._left or len(self._raw) < 2:
            return False
        self._raw = self._raw[2:]
        self._left = None
        if self._last:
            self._over("clean")
        return not self._last

    def _take_body(self) -> None:
        taken = self._raw if self._left is None else self._raw[: self._left]
        self._body += taken
        self._raw = self._raw[len(taken) :]
        if self._left is not None:
            self._left -= len(taken)

    # -- leaving --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close; a FIN, or a reset where bytes were left unread, as any program's socket does."""
        self._sock.close()

    def abort(self) -> None:
        """Reset."""
        if self._sock.fileno() >= 0:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def half_close(self) -> None:
        """Say that nothing more will be sent, and read on."""
        self._sock.shutdown(socket.SHUT_WR)
