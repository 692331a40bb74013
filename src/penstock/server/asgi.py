"""The ASGI application: paths, keys and bodies; the streams themselves are the driver's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

import msgspec

from penstock import ids
from penstock.config.values import Config
from penstock.drive.driver import Driver
from penstock.drive.streams import Streams
from penstock.drive.targets import Targets, Watch
from penstock.errors import BadRequest
from penstock.ports import Recorder
from penstock.server.asgi_sink import AbortedBody, AsgiSink
from penstock.server.auth import Keyring
from penstock.server.bookkeeping import Account, Bookkeeper
from penstock.server.hedging import Hedging
from penstock.server.lane import lane_of
from penstock.server.limiting import Limiting
from penstock.server.routing import Router
from penstock.server.usage import usage_page
from penstock.store.ledger import Ledger, LedgerUnavailable
from penstock.stream.machine import Stream
from penstock.stream.summary import Summary
from penstock.telemetry.metrics import Metrics
from penstock.upstream.pool import Pool
from penstock.wire import json
from penstock.wire.base import ClientWire
from penstock.wire.openai_errors import bad_request_body
from penstock.wire.registry import client_wire_at

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("penstock.server")
JSON = b"application/json"
LINGER = 5.0
"""Seconds for which a request that was refused for its size may go on."""


class ClientGone(Exception):
    """The client left before its request was whole."""


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
        ledger: Ledger | None = None,
        bookkeeper: Bookkeeper | None = None,
    ):
        self._config = config
        self._ledger = ledger
        self._limiting = limiting
        self._bookkeeper = bookkeeper
        self._router = Router(config, targets, bookkeeper.meter if bookkeeper is not None else None)
        self._keyring = Keyring(config.keys)
        self._streams = streams
        self._targets = targets
        self._metrics = metrics
        self._hedging = Hedging(config.routes, recorder, clock)
        self._clock = clock
        self._make_pool = make_pool
        self._pool: Pool | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._paths: dict[str, dict[str, Handler]] = {
            "/v1/models": {"GET": self._models},
            "/healthz": {"GET": self._healthz},
            "/readyz": {"GET": self._readyz},
        }
        if ledger is not None:
            self._paths["/v1/usage"] = {"GET": self._usage}
        if config.telemetry.prometheus:
            self._paths["/metrics"] = {"GET": self._prometheus}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1003})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return
            if self._ledger is not None:
                self._ledger.start()
            if self._bookkeeper is not None:
                self._bookkeeper.prepare(self._config.routes)
            self._preparing = asyncio.create_task(self._router.prepare())
            await send({"type": "lifespan.startup.complete"})

    async def close(self) -> None:
        """Give everything back: streams that are left end as ``shutdown``."""
        await self._streams.drain(0)
        if self._preparing is not None:
            self._preparing.cancel()
        await self._router.close()
        if self._pool is not None:
            await self._pool.close()
        if self._bookkeeper is not None:
            await self._bookkeeper.close()
        if self._ledger is not None:
            self._ledger.halt()
            await asyncio.to_thread(self._ledger.close)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A base URL that ends in a slash makes "//" of every path: that is no reason for a 404.
        path = "/" + "/".join(filter(None, scope["path"].removeprefix(scope.get("root_path", "")).split("/")))
        wire = client_wire_at(path)
        methods = {"POST": self._stream} if wire is not None else self._paths.get(path)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        stream = ids.stream_id(os.urandom(13))
        try:
            if methods is None:
                raise BadRequest(f"there is nothing at {path}", status=404, code="not_found")
            handler = methods.get(method)
            if handler is None:
                allowed = ", ".join(methods)
                raise BadRequest(f"{path} takes {allowed}", status=405, code="method_not_allowed")
            scope["penstock.stream"], scope["penstock.wire"], scope["penstock.path"] = stream, wire, path
            await handler(scope, receive, send)
        except BadRequest as error:
            self._metrics.refused(error.code)
            extra = [(b"retry-after", b"1")] if error.status == 503 else list(error.headers)
            if error.status == 405 and methods:
                extra.append((b"allow", ", ".join(methods).encode()))
            extra.append((b"x-penstock-stream", stream.encode()))
            body = wire.refusal(error, stream) if wire is not None else bad_request_body(error, stream)
            if error.status == 413:
                extra.append((b"connection", b"close"))
                await _answer(send, 413, body, extra=extra, linger=receive)
            else:
                await _answer(send, error.status, body, extra=extra)
        except ClientGone:
            self._metrics.refused("client_closed")

    # -- streams --------------------------------------------------------------------------------------------------

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.draining:
            raise BadRequest("the gateway is shutting down; try again", status=503, code="shutdown")
        key = self._keyring.who(scope["headers"], scope["query_string"])
        wire: ClientWire = scope["penstock.wire"]
        query = scope["query_string"].decode("latin-1")
        request = wire.read(scope["penstock.path"], query, await self._body(scope, receive))
        request = msgspec.structs.replace(request, accepted=int(time.time()))
        await self._limiting.ready(key)
        route = self._router.route(request.model, key)
        plan, dialer = self._router.plan(
            route, wire, request, scope["penstock.stream"], tuple(scope["headers"]), self._running_pool(), self._clock()
        )
        if self._bookkeeper is not None and key is not None and key.limits.budgets:
            await self._bookkeeper.ready(plan)
        plan = self._hedging.planned(self._limiting.admitted(key, plan))
        assert self._loop is not None
        labels = [way.label for way in plan.ways]
        watch = Watch(self._targets, route.deadlines, labels, health=route.health)
        plan = msgspec.structs.replace(plan, asking=watch, chance=random.random())
        machine = Stream(plan, self._clock())
        recorder: Recorder = self._hedging
        if self._bookkeeper is not None:
            recorder = self._bookkeeper.account(recorder, plan.stream, wire, request, route, key)
            self._written_down(recorder, machine.account)
        buffer = route.delivery.slow_client.buffer
        open_lane = lane_of(scope, send)
        sink = open_lane(buffer) if open_lane else AsgiSink(send, buffer)
        driver = Driver(machine, dialer, sink, recorder, self._clock, self._loop, self._streams.remove, watch)
        self._streams.add(driver)
        driver.start()
        if isinstance(sink, AsgiSink):
            await self._pump(sink, driver, receive)
        else:
            # Until the answer is over, or the client is gone: the lane tells the driver itself, at once.
            while (await receive())["type"] != "http.disconnect":
                pass

    def _written_down(self, account: Account, summary: Summary) -> None:
        """The stream's row is opened. Raises BadRequest (503): none is served that could not be billed."""
        if self._ledger is None:
            return
        try:
            self._ledger.open(account.row, summary, partial(account.so_far, summary))
        except LedgerUnavailable as error:
            self._limiting.released(summary.stream)
            raise BadRequest(str(error), status=503, code="ledger_unavailable") from None

    async def _pump(self, sink: AsgiSink, driver: Driver, receive: Receive) -> None:
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
            if driver.outcome is None and sink.on_left is not None and not sink.ended:
                sink.on_left()

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        limit = self._config.server.max_body
        too_large = BadRequest(
            f"the request body is over {limit} bytes (server.max_body)", status=413, code="request_too_large"
        )
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if length.isdigit() and int(length) > limit:
            raise too_large
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                raise too_large
            if not message.get("more_body", False):
                return b"".join(pieces)

    def _running_pool(self) -> Pool:
        if self._pool is None:
            self._loop = asyncio.get_running_loop()
            self._pool = self._make_pool()
            if self._bookkeeper is not None:
                self._bookkeeper.start()
            if self._ledger is not None:
                self._ledger.keep(self._loop)
        return self._pool

    # -- the rest -------------------------------------------------------------------------------------------------

    async def _models(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = self._keyring.who(scope["headers"])
        data = [
            {"id": route.name, "object": "model", "created": 0, "owned_by": route.targets[0].provider}
            for route in self._router.models
            if key is None or not key.models or route.name in key.models
        ]
        await _answer(send, 200, json.dumps({"object": "list", "data": data}))

    async def _healthz(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, 200, b'{"status":"ok"}')

    async def _readyz(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.draining:
            await _answer(send, 503, b'{"status":"draining"}', extra=[(b"retry-after", b"1")])
        else:
            await _answer(send, 200, b'{"status":"ready"}')

    async def _usage(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._ledger is not None
        assert self._bookkeeper is not None
        key = self._keyring.who(scope["headers"])
        await self._bookkeeper.caught_up()
        await _answer(send, 200, await usage_page(self._ledger, key, scope))

    async def _prometheus(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, 200, self._metrics.text(), content_type=b"text/plain; version=0.0.4; charset=utf-8")


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: bytes = JSON,
    extra: list[tuple[bytes, bytes]] | None = None,
    linger: Receive | None = None,
) -> None:
    """A whole answer. With ``linger``, where the request was not read to its end: the rest is taken for a while, or
    the connection's end would destroy the answer on its way to a client that is still sending."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": linger is not None})
    if linger is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await _taken(linger)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _taken(receive: Receive) -> None:
    while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
        pass
