"""Assembly: the one place that names concrete classes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from penstock.config.values import Config
from penstock.config.values import Ledger as LedgerAt
from penstock.drive.streams import Streams
from penstock.drive.targets import Targets
from penstock.ports import Recorder
from penstock.server.asgi import Application
from penstock.server.bookkeeping import bookkeeper
from penstock.server.lane import LaneProtocol
from penstock.server.limiting import Limiting
from penstock.store.ledger import Ledger
from penstock.stream.settlement import Settled
from penstock.telemetry.log import LineHandler, LogWriter, row_line
from penstock.telemetry.metrics import Metrics
from penstock.telemetry.recorder import TelemetryRecorder
from penstock.upstream.pool import Pool

SEND_BUFFER = 128 * 1024
"""Bytes that the kernel may hold for a client: part of what a client that reads nothing costs."""
BACKLOG = 2048
KEEP_ALIVE = 75
"""Seconds that an idle client connection is kept: over the 60 s of the usual balancers in front."""
_PAUSE_INTERVAL = 0.1


class Gateway:
    """A gateway's parts, wired."""

    def __init__(self, config: Config, writer: LogWriter | None = None):
        self.config = config
        self.streams = Streams()
        self.targets = Targets()
        self.writer = writer or LogWriter()
        self._pool: Pool | None = None
        self.metrics = Metrics(
            active=lambda: len(self.streams),
            idle_connections=lambda: self._pool.idle if self._pool else 0,
            log_lines_dropped=lambda: self.writer.dropped,
            ejected=lambda: self.targets.out(time.monotonic()),
            ledger=lambda: self.ledger.figures if self.ledger else {},
            keys=lambda: self.limiting.figures,
        )
        recorder: Recorder = TelemetryRecorder(self.metrics, self.writer, config.telemetry.log)
        self.ledger = None if config.ledger is None else ledger_at(config.ledger)
        self.bookkeeper = bookkeeper(config, self._book)
        prices = self.bookkeeper.prices if self.bookkeeper is not None else None
        self.limiting = Limiting(
            config.keys, self.ledger, recorder, clock=time.monotonic, wall=time.time, prices=prices
        )
        self.application = Application(
            config,
            streams=self.streams,
            targets=self.targets,
            metrics=self.metrics,
            recorder=self.limiting,
            limiting=self.limiting,
            ledger=self.ledger,
            clock=time.monotonic,
            make_pool=self._make_pool,
            bookkeeper=self.bookkeeper,
        )

    def _book(self, settled: Settled) -> None:
        self.metrics.spending.book(settled)
        self.limiting.settled(settled.row)
        if self.ledger is not None:
            self.ledger.settle(settled.row)
        else:
            self.writer.write(row_line(settled.row, self.config.telemetry.log))

    def _make_pool(self) -> Pool:
        idle = max((provider.max_idle for provider in self.config.providers), default=64)
        self._pool = Pool(asyncio.get_running_loop(), idle)
        return self._pool

    def watch_pauses(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure how late the event loop is, for the metrics."""

        def look(due: float) -> None:
            now = time.monotonic()
            self.metrics.longest_pause = max(self.metrics.longest_pause, now - due)
            loop.call_later(_PAUSE_INTERVAL, look, now + _PAUSE_INTERVAL)

        loop.call_soon(look, time.monotonic())


def ledger_at(kept: LedgerAt) -> Ledger:
    """The ledger of a configuration."""
    return Ledger(kept.url, Path(kept.spool), limit=kept.spool_size, abandoned=kept.abandoned)


def application(config: Config) -> Application:
    """The gateway as an ASGI application, to run under any ASGI server or to mount in another application."""
    return Gateway(config).application


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: it would stop listening before the streams have ended."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(gateway: Gateway, sock: socket.socket, ready: asyncio.Event | None = None) -> None:
    """Serve on ``sock`` until SIGTERM or SIGINT, then drain; a second signal ends the draining."""
    loop = asyncio.get_running_loop()
    server = _Server(uvicorn_config(gateway))
    stopping = asyncio.Event()
    drained = asyncio.Event()

    def stop() -> None:
        (drained if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    gateway.watch_pauses(loop)
    _quiet_collector()
    if ready is not None:
        ready.set()
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        draining = asyncio.create_task(gateway.streams.drain(gateway.config.server.drain))
        hurried = asyncio.create_task(drained.wait())
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not draining.done():
            draining.cancel()
            await gateway.streams.drain(0)
        server.should_exit = True
        await serving
    stopped.cancel()
    gateway.writer.close()


def uvicorn_config(gateway: Gateway) -> uvicorn.Config:
    """How uvicorn runs the gateway."""
    return uvicorn.Config(
        gateway.application,
        http=LaneProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=5,
    )


def _quiet_collector() -> None:
    """Streams are free of cycles: the collector has little to find, and a full run over 2,000 of them is a pause."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def set_up_logging(gateway: Gateway) -> None:
    """Send everything that is logged the way that stream lines go."""
    handler = LineHandler(gateway.writer, gateway.config.telemetry.log)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("penstock").setLevel(logging.INFO)


def run(gateway: Gateway, sock: socket.socket) -> None:
    """Serve until a signal ends it."""
    set_up_logging(gateway)
    run_loop(serve(gateway, sock))


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run on a loop of its own, uvloop where there is one."""
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)
