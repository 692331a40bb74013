"""L10. Nothing that may block is on a stream's path: a log that nobody reads any more costs no stream, and no exit."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.testing.client import CHAT, RawClient
from penstock.testing.process import document
from penstock.testing.redis_server import free_port
from penstock.testing.rig import Rig, request
from penstock.testing.steps import done, fin, hdr, role, tok
from penstock.wire import json


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def fill(end: int) -> None:
    """Write until not a byte more fits."""
    flags = fcntl.fcntl(end, fcntl.F_GETFL)
    fcntl.fcntl(end, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        while True:
            os.write(end, b"\n")
    except BlockingIOError:
        pass
    finally:
        fcntl.fcntl(end, fcntl.F_SETFL, flags)


async def test_L10_a_log_that_blocks(rig: Rig, tmp_path: Path, pipe: tuple[int, int]) -> None:
    upstream = await rig.upstream(*[[hdr(), role(), tok(20, gap=0.002), fin(), done()]] * 20)
    file, port = tmp_path / "penstock.yaml", free_port()
    file.write_bytes(json.dumps(document([upstream.base_url])))
    command = (sys.executable, "-m", "penstock", "serve", "-c", str(file), "--port", str(port))
    # Buffered as usual: an interpreter that flushes at its end must not wait for this reader either.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    gateway = await asyncio.create_subprocess_exec(*command, stderr=pipe[1], cwd=tmp_path, env=env)
    try:
        assert b"listens" in await asyncio.to_thread(os.read, pipe[0], 65536)
        fill(pipe[1])
        for _ in range(20):
            client = await RawClient.connect("127.0.0.1", port)
            await client.post(CHAT, request("m"))
            assert (await client.answer(within=5)).marks == 1
            client.close()
        gateway.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await gateway.wait() == 0
    finally:
        if gateway.returncode is None:
            gateway.kill()
            await gateway.wait()
