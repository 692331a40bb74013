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
from collections.abc import Collection, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import uvicorn

from penstock.capture.keeper import Keeper
from penstock.config.renewal import renewed
from penstock.config.values import Config
from penstock.drive.loads import Loads
from penstock.drive.streams import Streams
from penstock.drive.targets import Targets
from penstock.errors import PenstockError
from penstock.ports import Recorder
from penstock.server import leaving
from penstock.server.asgi import Application
from penstock.server.bookkeeping import bookkeeper
from penstock.server.copying import Copying
from penstock.server.lane import LaneProtocol
from penstock.server.limiting import Limiting
from penstock.server.routing import Router
from penstock.server.sharing import Sharing
from penstock.server.siblings import Siblings
from penstock.server.socket_protocol import SocketProtocol
from penstock.stores import cipher_of, journal_of, ledger_at, shared_limits
from penstock.stream.settlement import Settled
from penstock.telemetry.log import LineHandler, LogWriter, row_line
from penstock.telemetry.metrics import Metrics
from penstock.telemetry.recorder import TelemetryRecorder
from penstock.upstream.pool import Pool

logger = logging.getLogger("penstock.app")
KEEP_ALIVE = 75
"""Seconds that an idle client connection is kept: over the 60 s of the usual balancers in front."""
PING_INTERVAL = 20.0
"""Seconds between pings on a WebSocket, and within which each must be answered."""
_PAUSE_INTERVAL = 0.1


class Worker(msgspec.Struct, frozen=True):
    """Which of several processes behind one port this is, from 1, and where they meet."""

    number: int
    count: int
    folder: Path


class Reloading(Protocol):
    """Where a configuration comes from anew, and who wants to know what came of it."""

    def begin(self) -> None:
        """The gateway hears SIGHUP from now on."""

    def read(self) -> Config:
        """The configuration as it stands now. Raises PenstockError."""
        ...

    def told(self, problems: list[str]) -> None:
        """What came of it; no problems: it serves."""

    def end(self) -> None:
        """The gateway is over."""


class Gateway:
    """A gateway's parts, wired."""

    def __init__(
        self,
        config: Config,
        writer: LogWriter | None = None,
        *,
        worker: Worker | None = None,
        pages: Mapping[str, bytes] | None = None,
    ):
        self.config = config
        self.keeper = Keeper(config.capture, worker.number if worker else None) if config.capture is not None else None
        self.streams = Streams()
        self.targets = Targets(loads=Loads(_places(config)))
        self.writer = writer or LogWriter()
        self.journal, self.store = journal_of(config.journal)
        self._pool: Pool | None = None
        self.metrics = Metrics(
            active=lambda: len(self.streams),
            idle_connections=lambda: self._pool.idle if self._pool else 0,
            log_lines_dropped=lambda: self.writer.dropped,
            journal_bytes=lambda: self.journal.size if self.journal else 0,
            journal_lost=lambda: self.store.lost if self.store else 0,
            journal_streams=lambda: len(self.journal) if self.journal else 0,
            buffered=lambda: self.application.buffers.held,
            ejected=lambda: self.targets.out(time.monotonic()),
            providers=lambda: self.targets.loads.providers,
            ledger=lambda: self.ledger.figures if self.ledger else {},
            keys=lambda: self.limiting.figures,
            shared=lambda: self.limiting.shared,
            captures=lambda: self.keeper.counts() if self.keeper else {},
            spooled=lambda: self.keeper.spooled() if self.keeper else 0,
        )
        recorder: Recorder = TelemetryRecorder(self.metrics, self.writer, config.telemetry.log)
        self.ledger = None if config.ledger is None else ledger_at(config.ledger)
        self.bookkeeper = bookkeeper(config, self._book)
        prices = self.bookkeeper.prices if self.bookkeeper is not None else None
        limits = shared_limits(config.limits)
        self.limiting = Limiting(
            config.keys,
            self.ledger,
            recorder,
            clock=time.monotonic,
            wall=time.time,
            prices=prices,
            sharing=None if limits is None else Sharing(limits, time.monotonic),
        )
        self.siblings = Siblings(worker.folder, worker.number, worker.count, self.metrics.text) if worker else None
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
            journal=self.journal,
            store=self.store,
            bookkeeper=self.bookkeeper,
            exposition=None if self.siblings is None else self.siblings.metrics,
            copying=Copying(self.keeper, time.monotonic),
            pages=pages,
        )

    def reload(self, config: Config) -> tuple[str, ...]:
        """Serve new requests by ``config``; the keys whose change waits for a restart. Raises PenstockError: nothing
        has changed then."""
        config, waiting = renewed(self.config, config)
        self.application.reload(config)
        self.limiting.renew(config.keys)
        self.targets.loads.resize(_places(config))
        self.config = config
        return waiting

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


def _places(config: Config) -> dict[str, int]:
    return {provider.name: provider.max_streams for provider in config.providers if provider.max_streams}


def check(config: Config) -> None:
    """Raises PenstockError where the configuration cannot be served here: more than its text can say."""
    Router(config, Targets())
    if config.journal is not None:
        cipher_of(config.journal)
        if config.journal.url.startswith("redis"):
            journal_of(config.journal)
    shared_limits(config.limits)


def application(config: Config) -> Application:
    """The gateway as an ASGI application, to run under any ASGI server or to mount in another application."""
    return Gateway(config).application


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: it would stop listening before the streams have ended."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    gateway: Gateway, sock: socket.socket, reloading: Reloading | None = None, *, lifeline: int | None = None
) -> None:
    """Serve on ``sock`` until SIGTERM or SIGINT, or until the other end of ``lifeline`` is gone, then drain; a second
    signal ends the draining. SIGHUP reloads."""
    loop = asyncio.get_running_loop()
    server = _Server(uvicorn_config(gateway))
    stopping = asyncio.Event()
    hurried = asyncio.Event()

    def stop() -> None:
        (hurried if stopping.is_set() else stopping).set()

    def cut_loose(end: int) -> None:
        loop.remove_reader(end)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if lifeline is not None:
        loop.add_reader(lifeline, cut_loose, lifeline)
    reloads = None if reloading is None else _hear_reloads(gateway, reloading, loop)
    if gateway.siblings is not None:
        await gateway.siblings.start()
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    gateway.watch_pauses(loop)
    quiet_collector()
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        await leaving.leave(server, sock, gateway.streams, gateway.config.server, hurried)
        server.should_exit = True
        await serving
    stopped.cancel()
    if reloads is not None and reloading is not None:
        reloads.cancel()
        reloading.end()
    if gateway.siblings is not None:
        await gateway.siblings.close()
    gateway.writer.close()


def _hear_reloads(gateway: Gateway, reloading: Reloading, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    """Reload at every SIGHUP, one after the other."""
    asked = asyncio.Event()

    async def hear() -> None:
        while True:
            await asked.wait()
            asked.clear()
            await _reload(gateway, reloading)

    loop.add_signal_handler(signal.SIGHUP, asked.set)
    reloading.begin()
    return loop.create_task(hear())


async def _reload(gateway: Gateway, reloading: Reloading) -> None:
    problems: list[str] = []
    try:
        config = await asyncio.to_thread(reloading.read)
        waiting = gateway.reload(config)
    except PenstockError as error:
        problems = str(error).splitlines()
        for problem in problems:
            logger.error("the old configuration goes on: %s", problem)
    except Exception as error:
        logger.exception("the old configuration goes on")
        problems = [f"reloading failed: {error!r}"]
    else:
        logger.info("a new configuration serves")
        for warning in (*config.warnings, *(f"{key} has changed: that waits for a restart" for key in waiting)):
            logger.warning("%s", warning)
    reloading.told(problems)


def uvicorn_config(gateway: Gateway) -> uvicorn.Config:
    """How uvicorn runs the gateway."""
    return uvicorn.Config(
        gateway.application,
        http=LaneProtocol,
        ws=SocketProtocol,
        ws_max_size=gateway.config.server.max_body,
        ws_ping_interval=PING_INTERVAL,
        ws_ping_timeout=PING_INTERVAL,
        # Small messages, each by itself: it would cost more than it saves.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=5,
    )


def quiet_collector() -> None:
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


def run(
    gateway: Gateway,
    sock: socket.socket,
    reloading: Reloading | None = None,
    *,
    lifeline: int | None = None,
    unblock: Collection[signal.Signals] = (),
) -> None:
    """Serve until a signal ends it. Signals to ``unblock`` were held back until somebody hears them."""
    set_up_logging(gateway)

    async def main() -> None:
        serving = asyncio.create_task(serve(gateway, sock, reloading, lifeline=lifeline))
        await asyncio.sleep(0)
        if unblock:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, unblock)
        await serving

    run_loop(main())


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run on a loop of its own, uvloop where there is one."""
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)
