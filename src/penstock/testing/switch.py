"""An address behind which a server is replaced by another, as a failover does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self


class Switch:
    """``async with Switch(port) as switch``: what connects to ``switch.port`` of loopback reaches ``port``, until
    ``switch.to`` cuts it off and leads to another."""

    def __init__(self, port: int):
        self._target = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    def to(self, port: int) -> None:
        """Cut what stands; from now on the way leads there."""
        self._target = port
        for writer in self._open:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.to(0)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            back, there = await asyncio.open_connection("127.0.0.1", self._target)
            self._open |= {writer, there}
            try:
                await asyncio.gather(_pass(reader, there), _pass(back, writer))
            finally:
                self._open -= {writer, there}
                there.close()
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
