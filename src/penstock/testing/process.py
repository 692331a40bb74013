"""A gateway in a process of its own: for its memory, its signals and its exit code.

async with ServeProcess(document([upstream.base_url]), tmp_path) as process:
    client = await process.open()
    process.terminate()
    assert await process.exit_code() == 0
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from penstock.testing.client import CHAT, Answer, RawClient
from penstock.testing.rig import descriptors, request
from penstock.wire import json


def document(urls: Sequence[str], *, server: dict[str, Any] | None = None, **policy: Any) -> dict[str, Any]:
    """A configuration as a user would write it: a route ``m`` over ``urls`` and a route ``*`` that passes model names
    on to the first. ``policy`` are the keys of ``defaults``."""
    names = [f"m{number}" for number in range(1, len(urls) + 1)]
    return {
        "server": {"drain": "2s", **(server or {})},
        "providers": {name: {"wire": "openai-chat", "base_url": url} for name, url in zip(names, urls, strict=True)},
        "defaults": policy,
        "routes": {"m": {"targets": [f"{name}/model" for name in names]}, "*": {"targets": ["m1/*"]}},
    }


class ServeProcess:
    """``penstock serve`` with a configuration; without ``port`` it listens on a free one."""

    def __init__(self, settings: dict[str, Any], folder: Path, *, port: int = 0):
        self._wanted = port
        self._file = folder / "penstock.yaml"
        # JSON is YAML.
        self._file.write_bytes(json.dumps(settings))
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._clients: list[RawClient] = []
        self._news = asyncio.Event()
        self.port = 0
        self.lines: list[str] = []

    @property
    def pid(self) -> int:
        """Of the gateway."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "penstock", "serve", "-c", str(self._file), "--port", str(self._wanted),
            stderr=asyncio.subprocess.PIPE, env=environment, cwd=self._file.parent,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(10):
            while not self.port:
                await self._next()
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        assert self._process is not None
        assert self._reading is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode().rstrip("\n")
            if text.startswith("penstock listens on http://"):
                self.port = int(text.rpartition(":")[2])
            self.lines.append(text)
            self._news.set()
        self._news.set()

    async def _next(self) -> None:
        self._news.clear()
        await self._news.wait()
        assert self._reading is None or not self._reading.done(), "the gateway is gone:\n" + "\n".join(self.lines)

    # -- asking ---------------------------------------------------------------------------------------------------

    async def connect(self, *, receive_buffer: int | None = None) -> RawClient:
        """A client that has said nothing yet."""
        client = await RawClient.connect("127.0.0.1", self.port, receive_buffer=receive_buffer)
        self._clients.append(client)
        return client

    async def open(
        self, stream: bool | None = True, *, model: str = "m", receive_buffer: int | None = None, **body: Any
    ) -> RawClient:
        """A client that has posted a chat request."""
        client = await self.connect(receive_buffer=receive_buffer)
        await client.post(CHAT, request(model, stream, **body))
        return client

    async def get(self, path: str) -> Answer:
        """GET a path, on a connection of its own."""
        client = await RawClient.connect("127.0.0.1", self.port)
        try:
            await client.request("GET", path)
            return await client.answer()
        finally:
            client.close()

    # -- what it says, and what it costs --------------------------------------------------------------------------

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of all streams that are over."""
        return [json.loads(line.encode()) for line in self.lines if '"event":"stream"' in line]

    async def record(self, number: int = 1, within: float = 10.0) -> dict[str, Any]:
        """Record number ``number`` (from 1), waited for."""
        async with asyncio.timeout(within):
            while len(self.records) < number:
                await self._next()
        return self.records[number - 1]

    @property
    def errors(self) -> list[str]:
        """Lines of level ERROR, and tracebacks."""
        return [line for line in self.lines if '"level":"error"' in line or "Traceback" in line]

    @property
    def memory(self) -> int:
        """Resident bytes."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise ValueError("no Rss")

    @property
    def descriptors(self) -> int:
        """Open file descriptors."""
        return descriptors(self.pid)

    # -- its end --------------------------------------------------------------------------------------------------

    def terminate(self) -> None:
        """SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    async def exit_code(self, within: float = 10.0) -> int:
        """Wait for its end."""
        assert self._process is not None
        assert self._reading is not None
        async with asyncio.timeout(within):
            code = await self._process.wait()
            await self._reading
        return code
