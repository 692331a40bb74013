"""A small HTTP client that shows chunk by chunk what the simulated provider wrote."""

import asyncio
import dataclasses
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any


@dataclasses.dataclass
class Reply:
    """A response. ``chunks`` are those of the chunked body; ``ended``: clean, cut or reset."""

    status: int
    headers: dict[str, str]
    chunks: list[bytes]
    body: bytes
    ended: str

    @property
    def events(self) -> list[Any]:
        """The payloads of the SSE data lines, JSON decoded, except [DONE]."""
        payloads = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [text if text == "[DONE]" else json.loads(text) for text in payloads]

    @property
    def deltas(self) -> list[dict[str, Any]]:
        return [choice["delta"] for event in self.events if event != "[DONE]" for choice in event.get("choices", ())]

    @property
    def text(self) -> str:
        return "".join(delta.get("content") or "" for delta in self.deltas)

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.body)["error"]


class Line:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader = reader
        self.writer = writer

    def send(self, path: str, body: bytes, method: str = "POST", headers: str = "") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: sim\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)

    def ask(self, model: str, **body: Any) -> None:
        self.send("/v1/chat/completions", json.dumps({"model": model, "stream": True} | body).encode())

    async def head(self) -> tuple[int, dict[str, str]]:
        first, *rest = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in rest if line)
        return int(first.split()[1]), headers

    async def chunk(self) -> bytes:
        """The next chunk; b"" at the end of the body."""
        size = int((await self.reader.readuntil(b"\r\n"))[:-2], 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def reply(self) -> Reply:
        reply = Reply(0, {}, [], b"", "clean")
        try:
            reply.status, reply.headers = await self.head()
            if "content-length" in reply.headers:
                reply.body = await self.reader.readexactly(int(reply.headers["content-length"]))
            else:
                while chunk := await self.chunk():
                    reply.chunks.append(chunk)
                    reply.body += chunk
        except asyncio.IncompleteReadError:
            reply.ended = "cut"
        except ConnectionResetError:
            reply.ended = "reset"
        return reply

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass


Connect = Callable[..., Awaitable[Line]]
Ask = Callable[..., Awaitable[Reply]]
Until = Callable[[Callable[[], object]], Awaitable[None]]
