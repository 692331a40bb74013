"""The ASGI application: paths, keys and bodies; the streams themselves are the driver's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

import msgspec

from penstock import ids
from penstock.config.values import Config
from penstock.drive.driver import Driver
from penstock.drive.journal import Journal
from penstock.drive.reader import Reader
from penstock.drive.sliced import driver_of, in_slices
from penstock.drive.streams import Streams
from penstock.drive.targets import Targets, Watch
from penstock.errors import BadRequest
from penstock.ports import Recorder
from penstock.server import websocket
from penstock.server.answers import answer
from penstock.server.asgi_sink import AbortedBody, AsgiSink
from penstock.server.auth import Keyring
from penstock.server.body import ClientGone, read_body
from penstock.server.bookkeeping import Bookkeeper
from penstock.server.buffers import Bounds, Buffers
from penstock.server.copying import Copying
from penstock.server.hedging import Hedging
from penstock.server.held_responses import HeldResponses, Memory
from penstock.server.lane import Lane, lane_of
from penstock.server.limiting import Limiting
from penstock.server.listening import Silences
from penstock.server.merging import Merging, merges
from penstock.server.models import Models
from penstock.server.resume import Resuming, Taken
from penstock.server.routing import Router
from penstock.server.streams_api import StreamsApi
from penstock.server.usage import usage_page
from penstock.store.ledger import Ledger
from penstock.store.shared import Store
from penstock.stream.machine import Stream
from penstock.telemetry.metrics import Metrics
from penstock.upstream.pool import Pool
from penstock.wire.base import ClientWire
from penstock.wire.openai_errors import bad_request_body
from penstock.wire.registry import client_wire_at

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("penstock.server")
READER_BUFFER = 256 * 1024
"""Bytes that may wait for one who takes a stream up again."""


class Application:
    """The gateway as an ASGI application. ``pool`` is made on the loop that serves."""

    def __init__(
        self,
        config: Config,
        *,
        streams: Streams,
        targets: Targets,
        metrics: Metrics,
        recorder: Recorder,
        clock: Callable[[], float],
        make_pool: Callable[[], Pool],
        limiting: Limiting,
        copying: Copying,
        ledger: Ledger | None = None,
        bookkeeper: Bookkeeper | None = None,
        journal: Journal | None = None,
        store: Store | None = None,
        exposition: Callable[[], Awaitable[bytes]] | None = None,
        pages: Mapping[str, bytes] | None = None,
    ):
        self._recorder = recorder
        self._exposition = exposition
        self._retired: list[Router] = []
        """Of configurations that serve no new requests."""
        self._ledger = ledger
        self._limiting = limiting
        self._bookkeeper = bookkeeper
        self._streams = streams
        self._resuming = Resuming(journal, store)
        self._targets = targets
        self._metrics = metrics
        self._silences = Silences()
        self._copying = copying
        self._pages = dict(pages or {})
        """Whole HTML pages, by path."""
        self._clock = clock
        self._make_pool = make_pool
        self._pool: Pool | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hedging = Hedging((), recorder, clock)
        self._held = Memory()
        self.buffers = Buffers(config.server.max_buffered)
        """What waits for clients."""
        self._set_up(config, self._routed(config))

    def _routed(self, config: Config) -> Router:
        return Router(config, self._targets, meter=self._bookkeeper.meter if self._bookkeeper is not None else None)

    def _set_up(self, config: Config, router: Router) -> None:
        self._config = config
        self._router = router
        self.buffers.resize(config.server.max_buffered)
        self._keyring = Keyring(config.keys)
        held = HeldResponses(config, router.upstream, self._held, self._running_pool)
        self._api = StreamsApi(self._resuming, self._keyring, self._read, held)
        self._models = Models(router, self._keyring)
        self._hedging = Hedging(config.routes, self._recorder, self._clock, self._hedging)
        self._paths: dict[str, dict[str, Handler]] = {
            "/healthz": {"GET": self._healthz},
            "/readyz": {"GET": self._readyz},
        }
        if self._ledger is not None:
            self._paths["/v1/usage"] = {"GET": self._usage}
        self._paths.update({path: {"GET": self._page} for path in self._pages})
        if config.telemetry.prometheus:
            self._paths["/metrics"] = {"GET": self._prometheus}

    def reload(self, config: Config) -> None:
        """New requests are served by ``config`` from now on; streams under way have all that they need. Raises
        PenstockError where it cannot be served: nothing has changed then."""
        router = self._routed(config)
        self._retired.append(self._router)
        self._set_up(config, router)
        self._fetch_credentials()

    def _fetch_credentials(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
        self._preparing = asyncio.create_task(self._router.prepare())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await websocket.serve(scope, receive, send, self._http, keyless=not self._config.keys)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return
            self._start_store()
            if self._ledger is not None:
                self._ledger.start()
            if self._bookkeeper is not None:
                self._bookkeeper.prepare(self._config.routes)
            self._fetch_credentials()
            await send({"type": "lifespan.startup.complete"})

    async def close(self) -> None:
        """Give everything back: streams that are left end as ``shutdown``."""
        await self._streams.drain(0)
        if self._resuming.journal is not None:
            self._resuming.journal.close()
        if self._resuming.store is not None:
            await self._resuming.store.close()
        if self._preparing is not None:
            self._preparing.cancel()
        for router in (*self._retired, self._router):
            await router.close()
        await asyncio.to_thread(self._copying.close)
        if self._pool is not None:
            await self._pool.close()
        if self._bookkeeper is not None:
            await self._bookkeeper.close()
        await self._limiting.close()
        if self._ledger is not None:
            self._ledger.halt()
            await asyncio.to_thread(self._ledger.close)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A base URL that ends in a slash makes "//" of every path: that is no reason for a 404.
        path = "/" + "/".join(filter(None, scope["path"].removeprefix(scope.get("root_path", "")).split("/")))
        wire = client_wire_at(path)
        methods = {"POST": self._stream} if wire is not None else self._at(path)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        stream = ids.stream_id(os.urandom(13))
        scope["penstock.stream"], scope["penstock.wire"], scope["penstock.path"] = stream, wire, path
        try:
            if methods is None:
                raise BadRequest(f"there is nothing at {path}", status=404, code="not_found")
            handler = methods.get(method)
            if handler is None:
                allowed = ", ".join(methods)
                raise BadRequest(f"{path} takes {allowed}", status=405, code="method_not_allowed")
            await handler(scope, receive, send)
        except BadRequest as error:
            self._metrics.refused(error.code)
            wire = scope["penstock.wire"]
            extra = [(b"retry-after", b"1")] if error.status == 503 else list(error.headers)
            if error.status == 405 and methods:
                extra.append((b"allow", ", ".join(methods).encode()))
            extra.append((b"x-penstock-stream", stream.encode()))
            body = wire.refusal(error, stream) if wire is not None else bad_request_body(error, stream)
            if error.status == 413:
                extra.append((b"connection", b"close"))
                await answer(send, 413, body, extra=extra, linger=receive)
            else:
                await answer(send, error.status, body, extra=extra)
        except ClientGone:
            self._metrics.refused("client_closed")

    def _at(self, path: str) -> dict[str, Handler] | None:
        return self._paths.get(path) or self._api.at(path) or self._models.at(path)

    # -- streams --------------------------------------------------------------------------------------------------

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.draining:
            raise _shutting_down()
        key = self._keyring.who(scope["headers"], scope["query_string"])
        wire: ClientWire = scope["penstock.wire"]
        query = scope["query_string"].decode("latin-1")
        path, headers = scope["penstock.path"], tuple(scope["headers"])
        try:
            async with self._streams.arriving():
                body = await read_body(scope, receive, self._config.server.max_body)
        except TimeoutError:
            raise _shutting_down() from None
        taken = await self._resuming.taken_up(wire, headers, key)
        if taken is not None:
            await self._read(taken, scope, receive, send)
            return
        request = wire.read(path, query, body)
        request = msgspec.structs.replace(request, accepted=int(time.time()))
        await self._limiting.ready(key)
        route = self._router.route(request.model, key)
        at = scope["penstock.stream"], headers, self._running_pool(), self._clock()
        plan, dialer = await in_slices(partial(self._router.plan, route, wire, request, *at), self._clock)
        plan = msgspec.structs.replace(plan, resumable=self._resuming.asked(headers, route))
        taken = await self._resuming.claim(headers, path, body, key, plan.stream)
        if taken is not None:
            await self._read(taken, scope, receive, send)
            return
        if self._bookkeeper is not None and key is not None and key.limits.budgets:
            await self._bookkeeper.ready(plan)
        plan = self._silences.planned(self._hedging.planned(await self._limiting.admitted(key, plan)))
        plan = self._copying.planned(plan, route)
        assert self._loop is not None
        labels = [way.label for way in plan.ways]
        watch = Watch(self._targets, route.deadlines, labels, health=route.health)
        plan = msgspec.structs.replace(plan, asking=watch, chance=random.random())
        owner = None if key is None else key.name
        recorder: Recorder = self._hedging
        account = None
        if self._bookkeeper is not None:
            account = recorder = self._bookkeeper.account(recorder, plan.stream, wire, request, route, key)
            plan = msgspec.structs.replace(plan, cost=account.cost, prompt=account.prompt_about)
        log = self._resuming.begin(plan, owner)
        machine = Stream(plan, self._clock())
        if account is not None and self._ledger is not None:
            account.written_down(self._ledger, machine.account, self._limiting.released)
        recorder = self._copying.recorder(
            recorder,
            plan,
            scope["penstock.path"],
            key,
            lambda original: request if original else self._router.redacted(route, request),
        )
        checker = self._router.checker(route, self._running_pool())
        merging = Merging(plan, self.buffers, self._metrics.merged) if merges(plan) else None
        sink = self._sink(scope, send, route.delivery.slow_client.buffer, merging)
        way = sink if merging is None else merging.before(sink)
        hands = recorder, self._clock, self._loop, self._over, watch, log, checker
        driver = driver_of(plan)(machine, dialer, way, *hands)
        self._limiting.heard_by(plan.stream, driver.feed)
        self._streams.add(driver)
        self._resuming.add(driver, owner, log, request.accepted)
        self._held.begin(driver, request, owner)
        driver.start()
        if isinstance(sink, AsgiSink):
            try:
                await self._pump(sink, driver, receive)
            finally:
                scope["penstock.outcome"] = driver.outcome
        else:
            # Until the answer is over, or the client is gone: the lane tells the driver itself, at once.
            await _disconnected(receive)

    def _over(self, driver: Driver) -> None:
        self._streams.remove(driver)
        self._resuming.over(driver)
        self._held.over(driver)

    async def _read(self, taken: Taken, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on with a stream that is there."""
        sink = self._sink(scope, send, READER_BUFFER)
        reader = Reader(taken.source, sink, taken.after, taken.manner, asyncio.get_running_loop())
        reader.start()
        if isinstance(sink, AsgiSink):
            try:
                await self._pump(sink, reader, receive)
            finally:
                # What a store holds does not say it: there the frames do.
                scope["penstock.outcome"] = getattr(taken.source, "outcome", None)
        else:
            await _disconnected(receive)

    def _sink(self, scope: Scope, send: Send, buffer: int, bounds: Bounds | None = None) -> Lane | AsgiSink:
        """The way to a client, in which ``buffer`` bytes may wait."""
        open_lane, bounds = lane_of(scope, send), bounds or self.buffers
        return open_lane(buffer, bounds) if open_lane else AsgiSink(send, buffer, bounds)

    async def _pump(self, sink: AsgiSink, driver: Driver | Reader, receive: Receive) -> None:
        """Without a lane: send and watch, until either is over."""
        pump = asyncio.create_task(sink.pump())
        watch = asyncio.create_task(_disconnected(receive))
        cut = asyncio.create_task(sink.aborted.wait())
        try:
            await asyncio.wait({pump, watch, cut}, return_when=asyncio.FIRST_COMPLETED)
            if sink.aborted.is_set():
                raise AbortedBody
            elif pump.done():
                # ASGI 2.4: sending to a client that is gone raises OSError.
                with contextlib.suppress(OSError):
                    pump.result()
            elif sink.on_left is not None:
                sink.on_left()
        finally:
            for task in (pump, watch, cut):
                task.cancel()
            sink.leave()
            if driver.outcome is None and sink.on_left is not None and not sink.ended:
                sink.on_left()

    def _start_store(self) -> None:
        self._limiting.start()
        if self._resuming.store is not None:
            self._resuming.store.start()

    def _running_pool(self) -> Pool:
        if self._pool is None:
            self._loop = asyncio.get_running_loop()
            self._start_store()
            self._pool = self._make_pool()
            if self._bookkeeper is not None:
                self._bookkeeper.start()
            if self._ledger is not None:
                self._ledger.keep(self._loop)
        return self._pool

    # -- the rest -------------------------------------------------------------------------------------------------

    async def _healthz(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, b'{"status":"ok"}')

    async def _readyz(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.draining:
            await answer(send, 503, b'{"status":"draining"}', extra=[(b"retry-after", b"1")])
        else:
            await answer(send, 200, b'{"status":"ready"}')

    async def _usage(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._ledger is not None
        assert self._bookkeeper is not None
        key = self._keyring.who(scope["headers"])
        await self._bookkeeper.caught_up()
        await answer(send, 200, await usage_page(self._ledger, key, scope))

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, self._pages[scope["penstock.path"]], content_type=b"text/html; charset=utf-8")

    async def _prometheus(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = self._metrics.text() if self._exposition is None else await self._exposition()
        await answer(send, 200, text, content_type=b"text/plain; version=0.0.4; charset=utf-8")


def _shutting_down() -> BadRequest:
    return BadRequest("the gateway is shutting down; try again", status=503, code="shutdown")


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
