"""A Redis of the test's own, on a free port of loopback; it keeps nothing."""

from __future__ import annotations

import asyncio
import signal
import socket
import tempfile
from typing import Self


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class RedisServer:
    """``async with RedisServer() as redis``: its ``url``; it can be killed, stopped for a while, and started again.
    ``options`` are further ones of its command line."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """For clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> Self:
        """Start, empty."""
        # A replica writes what it is given to a file, which another would read at its start.
        self._folder = tempfile.TemporaryDirectory(prefix="penstock-redis-", ignore_cleanup_errors=True)
        options = (
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            self._folder.name,
            "--save",
            "",
            "--appendonly",
            "no",
        )
        self._process = await asyncio.create_subprocess_exec(
            "redis-server",
            *options,
            *self._options,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(10):
            while not await self._answers():  # noqa: ASYNC110 - it says nothing when it is ready
                await asyncio.sleep(0.01)
        return self

    async def _answers(self) -> bool:
        try:
            return await self.say("PING") == b"+PONG\r\n"
        except OSError:
            return False

    async def say(self, command: str) -> bytes:
        """Its answer to a command, in one line."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(command.encode() + b"\r\n")
        said = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return said

    async def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None
            self._folder.cleanup()

    def freeze(self) -> None:
        """It takes connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
