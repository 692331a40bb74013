"""What stands between a browser and a gateway: serves files of its own, relays the rest, and cuts a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Self


class Front:
    """On a free port of loopback. ``files`` by path; the first answer to a POST is cut after ``cut_after`` bytes."""

    def __init__(self, port: int, files: Mapping[str, tuple[str, bytes]], *, cut_after: int | None = None):
        self._to = port
        self._files = files
        self._cut_after = cut_after
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.url = ""
        self.cuts = 0
        self.reported: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """The body of a POST to /report."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path = head.split(b" ", 2)[:2]
            if path == b"/report":
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.reported.set_result((await reader.readexactly(length)).decode())
                writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            elif (file := self._files.get(path.decode())) is not None:
                kind, data = file
                fields = f"content-type: {kind}\r\ncontent-length: {len(data)}\r\nconnection: close"
                writer.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + data)
            else:
                await self._relay(method, head, reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def _relay(
        self, method: bytes, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._to)
        kept = [line for line in head.split(b"\r\n")[:-2] if not line.lower().startswith(b"connection:")]
        forth.write(b"\r\n".join([*kept, b"connection: close", b"", b""]))
        asking = asyncio.create_task(_copy(reader, forth))
        limit = self._cut_after if method == b"POST" else None
        try:
            if await _copy(back, writer, limit):
                self._cut_after = None
                self.cuts += 1
                writer.transport.abort()
        finally:
            asking.cancel()
            forth.close()


async def _copy(source: asyncio.StreamReader, to: asyncio.StreamWriter, limit: int | None = None) -> bool:
    """Until its end, or more than ``limit`` bytes: then True."""
    size = 0
    while data := await source.read(4096):
        to.write(data)
        await to.drain()
        size += len(data)
        if limit is not None and size > limit:
            return True
    return False
