"""K. Pressure: clients that read nothing, all together."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from warmth import warm

from penstock.server.sockets import UNSENT, listen
from penstock.testing import frames
from penstock.testing.process import ServeProcess, document
from penstock.testing.rig import Rig
from penstock.testing.steps import done, fin, hdr, raw, role, tok

MIB = 1 << 20
FRAME = frames.chunk("x" * 60_000)
READERS = 30
LARGE = [hdr(), role(), *[raw(FRAME)] * 350, fin(), done()]
WHOLE = frames.role() + FRAME * 350 + frames.finish() + frames.DONE
A_READ = 256 * 1024
"""What one read of a provider's connection may bring on top."""


async def buffered(process: ServeProcess) -> float:
    """What waits for blocked clients, as the metrics tell."""
    lines = (await process.get("/metrics")).body.decode().splitlines()
    return float(next(line for line in lines if line.startswith("penstock_client_buffer_bytes ")).split()[1])


async def test_K1_what_waits_for_all_clients_is_bounded(rig: Rig, tmp_path: Path) -> None:
    short = [hdr(), role(), tok(5), fin(), done()]
    other = [hdr(), role(), tok(100, gap=0.01), fin(), done()]
    upstream = await rig.upstream(*[short] * 20, *[LARGE] * READERS, other, LARGE, short)
    # Alone each might have 2 MiB; together they have 4.
    policy = {"delivery": {"slow_client": {"buffer": "2MiB", "timeout": "30s"}}}
    settings = document([upstream.base_url], server={"max_buffered": "4MiB"}, **policy)
    async with ServeProcess(settings, tmp_path) as process:
        await warm(process)
        before = process.memory
        clients = [await process.open(receive_buffer=4096) for _ in range(READERS)]
        await upstream.asked(20 + READERS)
        written = -1
        while written != (now := sum(seen.bytes_written for seen in upstream.requests)):
            written = now
            await asyncio.sleep(0.3)
        # Nothing more is taken from the providers; those that read have all that there is, at once or at their pace.
        assert 2 * MIB < await buffered(process) < 4 * MIB + READERS * A_READ
        assert process.memory - before < 4 * MIB + READERS * (A_READ + 100_000)
        assert (await (await process.open()).answer()).marks == 1
        greedy = await process.open()
        assert (await greedy.answer(within=30)).body == WHOLE
        # Whoever reads after all has lost nothing.
        assert (await clients[0].answer(within=30)).body == WHOLE
        for client in clients:
            client.abort()
        while await buffered(process):
            await asyncio.sleep(0.05)
        assert (await (await process.open()).answer()).marks == 1
        assert process.errors == []


async def test_K1_the_kernel_holds_little_that_a_client_has_no_place_for() -> None:
    loop = asyncio.get_running_loop()
    sock = listen("127.0.0.1", 0)
    with sock, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(sock.getsockname())
        accepted, _ = await loop.sock_accept(sock)
        with accepted:
            # Inherited from the socket that listens.
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == UNSENT
            sent = 0
            try:
                while True:
                    sent += accepted.send(b"x" * 4096)
            except BlockingIOError:
                assert sent < 3 * UNSENT
