"""The streams that are under way, and how they are brought to an end when the gateway stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from penstock.drive.driver import Driver
from penstock.stream import inputs


class Streams:
    """Live drivers by stream id."""

    def __init__(self) -> None:
        self._live: dict[str, Driver] = {}
        self._nobody: asyncio.Event | None = None
        self._arriving: set[asyncio.Timeout] = set()
        self.draining = False
        """New requests are refused."""

    def __len__(self) -> int:
        return len(self._live)

    def add(self, driver: Driver) -> None:
        """A stream begins."""
        self._live[driver.stream] = driver

    def remove(self, driver: Driver) -> None:
        """A stream is over."""
        self._live.pop(driver.stream, None)
        if not self._live and self._nobody is not None:
            self._nobody.set()

    def get(self, stream: str) -> Driver | None:
        """A live stream."""
        return self._live.get(stream)

    @contextlib.asynccontextmanager
    async def arriving(self) -> AsyncIterator[None]:
        """A request is being read. Raises TimeoutError where the end of the draining comes first."""
        async with asyncio.timeout(None) as patience:
            self._arriving.add(patience)
            try:
                yield
            finally:
                self._arriving.discard(patience)

    async def drain(self, seconds: float) -> None:
        """Refuse what is new, wait for what is under way, and end what is left after ``seconds`` as ``shutdown``."""
        self.draining = True
        if self._live:
            self._nobody = asyncio.Event()
            try:
                await asyncio.wait_for(self._nobody.wait(), seconds)
            except TimeoutError:
                for driver in list(self._live.values()):
                    driver.feed(inputs.Shutdown())
        now = asyncio.get_running_loop().time()
        for patience in self._arriving:
            patience.reschedule(now)
