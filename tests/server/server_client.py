"""A client that writes any bytes and reads one response after another from the same connection."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

from penstock.testing.rig import request


@dataclasses.dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.body)["error"]  # type: ignore[no-any-return]


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *fields = head.rstrip("\r\n").split("\r\n")
        return int(first.split(" ")[1]), {name.lower(): value for name, value in (f.split(": ", 1) for f in fields)}

    async def response(self, method: str = "POST") -> Response:
        """The next response, up to its last byte and no further. Raises IncompleteReadError on a cut."""
        async with asyncio.timeout(10):
            while (head := await self.head())[0] < 200:
                pass
            status, headers = head
            if method == "HEAD":
                return Response(status, headers, b"")
            if "content-length" in headers:
                return Response(status, headers, await self.reader.readexactly(int(headers["content-length"])))
            if headers.get("transfer-encoding") != "chunked":
                return Response(status, headers, await self.reader.read())
            body = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
            return Response(status, headers, body)

    async def over(self) -> bool:
        """Nothing more comes, and the connection ends in good order."""
        async with asyncio.timeout(5):
            return await self.reader.read() == b""


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def post(body: dict[str, Any] | bytes | None = None, *fields: str, version: str = "1.1", **more: Any) -> bytes:
    """A chat request as bytes."""
    content = body if isinstance(body, bytes) else json.dumps(request(**more) if body is None else body).encode()
    lines = [f"POST /v1/chat/completions HTTP/{version}", "host: x", f"content-length: {len(content)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + content
