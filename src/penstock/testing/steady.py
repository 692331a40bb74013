"""Streams of an even pace beside something that may disturb them, for tools that print what it does to their gaps."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from itertools import pairwise

from penstock.testing.client import CHAT
from penstock.testing.process import ServeProcess
from penstock.testing.redis_server import free_port
from penstock.testing.rig import request

STREAMS = 10


@contextlib.asynccontextmanager
async def simulated() -> AsyncIterator[str]:
    """A simulated provider in a process of its own; its base URL."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "penstock", "sim", "--port", str(port), "--quiet", stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            while not await _listens(port):  # noqa: ASYNC110 - it says nothing when it is ready
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def gaps(process: ServeProcess, tokens: int = 500, **headers: str) -> list[float]:
    """The gaps of ten streams with a token each 10 ms, in seconds and in order of length."""

    async def one() -> list[float]:
        client = await process.connect()
        await client.post(CHAT, request(f"sim?tokens={tokens}&gap=10ms&first=0"), headers)
        answer = await client.answer(within=tokens / 100 + 30)
        client.close()
        assert answer.marks == 1, answer.body[-300:]
        times = [at for at, _ in answer.reads]
        return [after - before for before, after in pairwise(times)]

    found = await asyncio.gather(*(one() for _ in range(STREAMS)))
    return sorted(gap for some in found for gap in some)


def told(name: str, found: list[float]) -> str:
    """A line about them."""
    p50, p99 = (found[int(len(found) * part)] * 1e3 for part in (0.5, 0.99))
    return f"{name}: gaps p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {found[-1] * 1e3:.1f} ms"
