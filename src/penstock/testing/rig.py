"""The rig: a gateway between scripted providers and raw clients, over real sockets, on the test's own loop.

    async def test_A1_ghost_generation(rig):                       # `rig`: see tests/cases/conftest.py
        upstream = await rig.upstream([hdr(), tok(1000, gap=0.05)])
        gateway = await rig.gateway(upstream, between_tokens=0.5)  # a route "m" over targets m1/model, m2/model, …
        client = await gateway.open()                              # POST model "m", stream: true; a RawClient
        await client.events(5)
        client.close()
        await upstream.requests[0].closed(within=1.0)
        assert (await gateway.record())["outcome"] == "client_closed"

    answer = await gateway.ask(stream=False, n=2)                  # the whole answer; more body fields by name
    await rig.check()                                              # what must hold after every case; the fixture does

The steps come from `penstock.testing.steps`. Upstreams go before the gateway that is to use them. `config` has the
keys of a route's ``deadlines`` and ``delivery`` by name, scaled for tests; `LiveGateway.metric` reads /metrics. For a
gateway in a process of its own see `penstock.testing.process`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Self

import uvicorn

from penstock import app
from penstock.config.values import Config
from penstock.drive.driver import Driver
from penstock.server.sockets import listen
from penstock.store.database import StoreError
from penstock.store.query import Query
from penstock.telemetry.log import LineHandler, LogWriter
from penstock.testing.client import CHAT, Answer, RawClient
from penstock.testing.settings import MODEL as MODEL
from penstock.testing.settings import Upstream as Upstream
from penstock.testing.settings import config as config
from penstock.testing.upstream import TASK, Blackhole, Script, ScriptedUpstream
from penstock.wire import json

MESSAGES = [{"role": "user", "content": "Hello"}]


async def until(condition: Callable[[], object], within: float = 2.0, what: str = "") -> None:
    """Wait until a condition holds. Raises AssertionError that says ``what`` did not come true."""
    try:
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110 - conditions of anybody's, sockets and descriptors among them
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {what or condition}") from None


def request(model: str = MODEL, stream: bool | None = True, **body: Any) -> dict[str, Any]:
    """The body of a chat request; ``stream=None`` leaves the field out."""
    asked = {"model": model, "messages": MESSAGES, **body}
    return asked if stream is None else {**asked, "stream": stream}


class LogLines(LogWriter):
    """Takes log lines at once, without a thread."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.dropped = 0
        self.news = asyncio.Event()

    def write(self, line: str) -> None:
        self.lines.append(line)
        self.news.set()

    def close(self) -> None:
        """Nothing to be written."""

    @property
    def parsed(self) -> list[dict[str, Any]]:
        """The lines, read."""
        return [json.loads(line.encode()) for line in self.lines]


class _Server(uvicorn.Server):
    """uvicorn without signals, without ticks and without patience."""

    def __init__(self, settings: uvicorn.Config):
        super().__init__(settings)
        self.stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await self.lifespan.shutdown()
        for server in self.servers:
            await server.wait_closed()


class LiveGateway:
    """A gateway that serves, with everything it says about itself."""

    def __init__(self, settings: Config):
        self.writer = LogLines()
        self.gateway = app.Gateway(settings, self.writer)
        self.port = 0
        self.accepted: list[str] = []
        """The ids of all streams that were ever begun."""
        self.errors_expected = 0
        """How many lines of level ERROR the case provokes."""
        self.clients: list[RawClient] = []
        self._given = 0
        self._server = _Server(app.uvicorn_config(self.gateway))
        self._serving: asyncio.Task[None] | None = None
        self._handler = LineHandler(self.writer, "json")

    async def start(self) -> Self:
        """Serve on a free port."""
        add = self.gateway.streams.add

        def count(driver: Driver) -> None:
            self.accepted.append(driver.stream)
            add(driver)

        self.gateway.streams.add = count  # type: ignore[method-assign]
        logging.getLogger().addHandler(self._handler)
        sock = listen("127.0.0.1", 0)
        self.port = sock.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve([sock]), name=TASK)
        await until(lambda: self._server.started, what="the gateway serves")
        return self

    async def stop(self) -> None:
        """Stop serving, at once."""
        for client in self.clients:
            client.close()
        if self._serving is not None:
            self._server.stopping.set()
            await self._serving
            self._serving = None
        logging.getLogger().removeHandler(self._handler)

    @property
    def base_url(self) -> str:
        """For SDKs."""
        return f"http://127.0.0.1:{self.port}/v1"

    # -- asking ---------------------------------------------------------------------------------------------------

    async def connect(self, *, receive_buffer: int | None = None) -> RawClient:
        """A client that has said nothing yet."""
        client = await RawClient.connect("127.0.0.1", self.port, receive_buffer=receive_buffer)
        self.clients.append(client)
        return client

    async def open(
        self,
        stream: bool | None = True,
        *,
        headers: dict[str, str] | None = None,
        receive_buffer: int | None = None,
        **body: Any,
    ) -> RawClient:
        """A client that has posted a chat request; further fields of its body by name."""
        client = await self.connect(receive_buffer=receive_buffer)
        await client.post(CHAT, request(stream=stream, **body), headers)
        return client

    async def ask(self, stream: bool | None = True, *, headers: dict[str, str] | None = None, **body: Any) -> Answer:
        """Post a chat request and read everything; the client is closed then."""
        client = await self.open(stream, headers=headers, **body)
        try:
            return await client.answer()
        finally:
            client.close()

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        """POST anything anywhere and read everything."""
        client = await self.connect()
        await client.post(path, body, headers)
        try:
            return await client.answer()
        finally:
            client.close()

    async def get(self, path: str) -> Answer:
        """GET a path."""
        client = await self.connect()
        await client.request("GET", path)
        try:
            return await client.answer()
        finally:
            client.close()

    # -- what it says ---------------------------------------------------------------------------------------------

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of all streams that are over, in the order of their ends."""
        return [line for line in self.writer.parsed if line.get("event") == "stream"]

    async def record(self, within: float = 5.0) -> dict[str, Any]:
        """The next stream's record, waited for; each is given once."""
        async with asyncio.timeout(within):
            while len(self.records) <= self._given:
                self.writer.news.clear()
                await self.writer.news.wait()
        self._given += 1
        return self.records[self._given - 1]

    @property
    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics: its name with its labels, as it is written there, and its value."""
        lines = self.gateway.metrics.text().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name[:1] != "#"}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name that carry these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            value
            for sample, value in self.metrics.items()
            if sample.partition("{")[0] == name and all(label in sample for label in wanted)
        )

    # -- what must hold -------------------------------------------------------------------------------------------

    @property
    def pool_busy(self) -> int:
        """Exchanges with providers that are under way."""
        pool = self.gateway._pool
        return pool.busy if pool is not None else 0

    @property
    def pool_idle(self) -> int:
        """Kept-alive connections to providers."""
        pool = self.gateway._pool
        return pool.idle if pool is not None else 0

    async def check(self) -> None:
        """The invariants of the gateway's own books, once its streams are over."""
        state = self._server.server_state
        for client in self.clients:
            client.close()
        await until(lambda: not len(self.gateway.streams), what="no stream is left")
        await until(lambda: self.pool_busy == 0, what="no exchange with a provider is left")
        await until(lambda: not state.connections, what="no client connection is left")
        await until(lambda: not state.tasks, what="no request is left")
        recorded = [record["stream"] for record in self.records]
        assert sorted(recorded) == sorted(self.accepted), "exactly one record for each accepted request"
        outcomes = Counter(record["outcome"] for record in self.records)
        counted = {outcome: self.metric("penstock_streams_total", outcome=outcome) for outcome in outcomes}
        assert counted == outcomes, "each outcome is counted once"
        assert self.metric("penstock_streams_total") == len(recorded)
        assert self.metric("penstock_streams_active") == 0
        bad = [line for line in self.writer.parsed if line.get("level") in ("error", "critical")]
        assert len(bad) == self.errors_expected, f"errors were logged: {bad}"
        assert self.writer.dropped == 0


class Rig:
    """Everything that one case needs; `check` says whether it left anything behind."""

    def __init__(self) -> None:
        self.upstreams: list[Upstream] = []
        self.gateways: list[LiveGateway] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._descriptors = 0

    async def upstream(self, *scripts: Script, **options: Any) -> ScriptedUpstream:
        """A scripted provider that listens."""
        upstream = await ScriptedUpstream(*scripts, **options).start()
        self.upstreams.append(upstream)
        return upstream

    def blackhole(self) -> Blackhole:
        """A provider to which no connection is ever made."""
        hole = Blackhole()
        self.upstreams.append(hole)
        return hole

    async def gateway(self, *upstreams: Upstream | str, settings: Config | None = None, **options: Any) -> LiveGateway:
        """A gateway over ``upstreams``; ``options`` are those of `config`."""
        gateway = LiveGateway(settings or config(upstreams, **options))
        self.gateways.append(await gateway.start())
        if gateway.gateway.ledger is not None:
            # Its files are open from the first write on, one more of SQLite's from the first question.
            with contextlib.suppress(StoreError):
                await asyncio.to_thread(gateway.gateway.ledger.page, Query())
        self._tasks = asyncio.all_tasks()
        self._descriptors = descriptors()
        return gateway

    async def check(self) -> None:
        """What must hold after every case: one record a request, one outcome counted, nothing left open or running."""
        for gateway in self.gateways:
            await gateway.check()
        scripted = [upstream for upstream in self.upstreams if isinstance(upstream, ScriptedUpstream)]
        seen = [request for upstream in scripted for request in upstream.requests]
        await until(lambda: all(request.over for request in seen), what="every provider was read or left")
        idle = sum(gateway.pool_idle for gateway in self.gateways)
        await until(lambda: sum(len(up.lines) for up in scripted) == idle, what="only idle connections stand")
        await until(lambda: not self._strangers(), what=f"no task is left: {self._strangers()}")
        if self.gateways:
            allowed = self._descriptors + 2 * idle
            await until(lambda: descriptors() <= allowed, what=f"no descriptor is left: {descriptors()} > {allowed}")

    def _strangers(self) -> list[asyncio.Task[Any]]:
        known = {*self._tasks, asyncio.current_task()}
        return [task for task in asyncio.all_tasks() if task not in known and task.get_name() != TASK]

    async def stop(self) -> None:
        """Give everything back."""
        for gateway in self.gateways:
            await gateway.stop()
        for upstream in self.upstreams:
            await upstream.stop()


def descriptors(pid: int | str = "self") -> int:
    """Open file descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))
