"""The workers behind one port, as one of them sees the others: who is asked for metrics asks all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from penstock.telemetry.merged import merged

PATIENCE = 1.0
"""Seconds that another worker has to answer; one that is silent, or is being started again, is left out."""


class Siblings:
    """``number`` of ``count`` workers, from 1. They meet in ``folder``, by a socket each."""

    def __init__(self, folder: Path, number: int, count: int, metrics: Callable[[], bytes]):
        self._folder = folder
        self._number = number
        self._count = count
        self._metrics = metrics
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Answer the others from now on."""
        place = self._place(self._number)
        place.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._told, place)

    async def close(self) -> None:
        """No longer."""
        if self._server is not None:
            self._server.close()
            self._place(self._number).unlink(missing_ok=True)

    async def metrics(self) -> bytes:
        """Those of all workers."""
        others = [number for number in range(1, self._count + 1) if number != self._number]
        texts = dict(zip(others, await asyncio.gather(*map(self._ask, others)), strict=True))
        texts[self._number] = self._metrics()
        return merged({str(number): text for number, text in sorted(texts.items()) if text is not None})

    def _place(self, number: int) -> Path:
        return self._folder / f"worker-{number}"

    async def _ask(self, number: int) -> bytes | None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(self._place(number))
                try:
                    return await reader.read()
                finally:
                    writer.close()
        return None

    async def _told(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._metrics())
        writer.close()
