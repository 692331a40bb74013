"""L. What goes wrong between Python's servers and their applications."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.asyncio.client import connect

from penstock import app
from penstock.testing.client import CHAT, RawClient
from penstock.testing.rig import LiveGateway, LogLines, Rig, config, descriptors, request, until
from penstock.testing.steps import cut, done, fin, forever, hdr, pause, role, tok, tool, usage, words
from penstock.testing.upstream import ScriptedUpstream, Step

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
PATIENT: dict[str, Any] = {"first_token": 8.0, "between_tokens": 8.0, "total": 20.0}


# -- L1: inside a user's middleware -------------------------------------------------------------------------------


def plain(inner: App) -> App:
    """A middleware that looks at the scope and lets everything through."""

    async def outer(scope: Message, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["seen"] = True
        await inner(scope, receive, send)

    return outer


def wrapping(inner: App) -> App:
    """One that puts a header on every answer and counts bytes, as such do."""

    async def outer(scope: Message, receive: Receive, send: Send) -> None:
        async def on_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-user", b"here")]
            await send(message)

        async def on_receive() -> Message:
            return await receive()

        await inner(scope, on_receive, on_send)

    return outer


def boxing(inner: App) -> App:
    """One in the manner of Starlette's BaseHTTPMiddleware: the application runs in a task of its own, its messages go
    through a queue, and what it receives is not what the server says but what the middleware lets it hear."""

    async def outer(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await inner(scope, receive, send)
            return
        queue: asyncio.Queue[Message | None] = asyncio.Queue(1)
        sent = asyncio.Event()

        async def on_receive() -> Message:
            if not sent.is_set():
                hearing, over = asyncio.ensure_future(receive()), asyncio.ensure_future(sent.wait())
                try:
                    await asyncio.wait({hearing, over}, return_when=asyncio.FIRST_COMPLETED)
                    if hearing.done():
                        return hearing.result()
                finally:
                    hearing.cancel()
                    over.cancel()
            return {"type": "http.disconnect"}

        async def run() -> None:
            try:
                await inner(scope, on_receive, queue.put)
            finally:
                await queue.put(None)

        running = asyncio.create_task(run())
        more = True
        while more and (message := await queue.get()) is not None:
            await send(message)
            more = message["type"] == "http.response.start" or message.get("more_body", False)
        sent.set()
        if more is False:
            await queue.get()
        await running

    return outer


WRAPS = {"none": lambda inner: inner, "plain": plain, "wrapping": wrapping, "boxing": boxing}
SERVERS = {"lane": None, "uvicorn": HttpToolsProtocol}


async def mounted(rig: Rig, wrap: str, server: str, *upstreams: ScriptedUpstream, **options: Any) -> LiveGateway:
    """A gateway inside a middleware, under uvicorn with the lane or without."""
    live = LiveGateway(config(upstreams, **options))
    live._server.config.app = WRAPS[wrap](live.gateway.application)  # type: ignore[no-untyped-call]
    if SERVERS[server] is not None:
        live._server.config.http = SERVERS[server]  # type: ignore[assignment]
    rig.gateways.append(await live.start())
    rig._tasks = asyncio.all_tasks()
    rig._descriptors = descriptors()
    return live


def every(test: Any) -> Any:
    """Under both of uvicorn's protocols, in every middleware."""
    return pytest.mark.parametrize("server", SERVERS)(pytest.mark.parametrize("wrap", WRAPS)(test))


@every
async def test_L1_answers_pass_through_middleware(rig: Rig, wrap: str, server: str) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(5, gap=0.01), fin(), usage(), done()])
    gateway = await mounted(rig, wrap, server, upstream)
    answer = await gateway.ask()
    assert (answer.status, answer.text, answer.ended, answer.marks) == (200, words(5), "clean", 1)
    assert len(answer.reads) >= 5
    # A middleware that wants to see the answer sees it, lane or no lane.
    assert answer.headers.get("x-user") == ("here" if wrap == "wrapping" else None)
    folded = await gateway.ask(stream=False)
    assert (folded.status, folded.text) == (200, words(5))
    assert (await gateway.ask(model="nobody")).status == 404


PHASES: dict[str, list[Step]] = {
    "no word yet": [forever()],
    "head, no token": [hdr(), role(), forever()],
    "mid-stream": [hdr(), role(), tok(1000, gap=0.01)],
}


@every
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("phase", PHASES)
async def test_L1_a_disconnect_is_seen_through_middleware(
    rig: Rig, wrap: str, server: str, phase: str, stream: bool
) -> None:
    upstream = await rig.upstream(PHASES[phase])
    gateway = await mounted(rig, wrap, server, upstream, **PATIENT)
    client = await gateway.open(stream)
    seen = await upstream.asked()
    if phase == "mid-stream" and stream:
        await client.events(3)
    client.close()
    await seen.closed(within=1.0)
    assert (await gateway.record())["outcome"] == "client_closed"


@every
async def test_L1_no_failover_after_a_disconnect_through_middleware(rig: Rig, wrap: str, server: str) -> None:
    first = await rig.upstream([pause(0.15), cut()])
    second = await rig.upstream([hdr(), tok(1), fin(), done()])
    gateway = await mounted(rig, wrap, server, first, second, **PATIENT)
    client = await gateway.open()
    seen = await first.asked()
    client.close()
    await seen.closed(within=1.0)
    assert (await gateway.record())["outcome"] == "client_closed" and second.requests == []


# -- L2: under another server -------------------------------------------------------------------------------------


class HypercornGateway:
    """The same application under hypercorn: no lane, another way to say that a client is gone."""

    def __init__(self, settings: Any):
        self.writer = LogLines()
        self.gateway = app.Gateway(settings, self.writer)
        self.port = 0
        self.clients: list[RawClient] = []

    async def open(self, stream: bool = True, *, receive_buffer: int | None = None, **body: Any) -> RawClient:
        client = await RawClient.connect("127.0.0.1", self.port, receive_buffer=receive_buffer)
        self.clients.append(client)
        await client.post(CHAT, request(stream=stream, **body))
        return client

    async def outcome(self) -> str:
        """Of the only stream."""
        await until(lambda: self.writer.lines, within=5, what="a record")
        (record,) = self.writer.parsed
        return str(record["outcome"])


@contextlib.asynccontextmanager
async def under_hypercorn(*upstreams: ScriptedUpstream, **options: Any) -> AsyncIterator[HypercornGateway]:
    live = HypercornGateway(config(upstreams, **options))
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(100)
        live.port = sock.getsockname()[1]
        settings = hypercorn.config.Config()
        settings.bind = [f"fd://{sock.detach()}"]
        settings.errorlog = logging.getLogger("hypercorn.test")
        settings.graceful_timeout = 0.1
        stop = asyncio.Event()
        application: Any = live.gateway.application
        serving = asyncio.create_task(hypercorn.asyncio.serve(application, settings, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
        try:
            yield live
            for client in live.clients:
                client.close()
            await until(lambda: not len(live.gateway.streams), what="no stream is left")
            pool = live.gateway._pool
            await until(lambda: pool is None or pool.busy == 0, what="no exchange is left")
        finally:
            stop.set()
            await serving


async def test_L2_hypercorn_streams(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(10, gap=0.01), fin(), usage(), done()])
    async with under_hypercorn(upstream) as gateway:
        answer = await (await gateway.open()).answer()
        assert (answer.status, answer.text, answer.ended, answer.marks) == (200, words(10), "clean", 1)
        assert len(answer.reads) >= 10 and answer.headers["x-penstock-target"] == "m1/model"
        answer = await (await gateway.open(stream=False)).answer()
        assert (answer.status, answer.text) == (200, words(10))
        answer = await (await gateway.open(model="nobody")).answer()
        assert answer.status == 404


async def test_L2_hypercorn_speaks_websocket(rig: Rig) -> None:
    upstream = await rig.upstream(
        [hdr(), role(), tok(10, gap=0.01), fin(), usage(), done()], [hdr(), role(), tok(1000, gap=0.02)]
    )
    async with under_hypercorn(upstream) as gateway:
        address = f"ws://127.0.0.1:{gateway.port}/v1/stream"
        async with connect(address, proxy=None) as ws:
            await ws.send(json.dumps({"path": CHAT, "body": request()}))
            messages = [message async for message in ws]
            assert messages[-1] == "data: [DONE]\n\n" and len(messages) == 13 and ws.close_code == 1000
        async with connect(address, proxy=None) as ws:
            await ws.send(json.dumps({"path": CHAT, "body": request()}))
            await ws.recv()
        await upstream.requests[1].closed(within=1.0)
        await until(lambda: len(gateway.writer.parsed) == 2, within=5)
        assert [record["outcome"] for record in gateway.writer.parsed] == ["completed", "client_closed"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("phase", PHASES)
async def test_L2_hypercorn_tells_that_a_client_is_gone(rig: Rig, phase: str, stream: bool) -> None:
    upstream = await rig.upstream(PHASES[phase])
    async with under_hypercorn(upstream, **PATIENT) as gateway:
        client = await gateway.open(stream)
        seen = await upstream.asked()
        if phase == "mid-stream" and stream:
            await client.events(3)
        client.close()
        await seen.closed(within=1.0)
        assert await gateway.outcome() == "client_closed"


async def test_L2_hypercorn_feels_a_slow_client(rig: Rig) -> None:
    """The provider is held back, then let go; the client's stream is seen as cut."""
    upstream = await rig.upstream([hdr(), forever(tok(50))])
    async with under_hypercorn(upstream, buffer=65536, slow_timeout=0.3, **PATIENT) as gateway:
        client = await gateway.open(receive_buffer=8192)
        await client.head()
        seen = await upstream.asked()
        await seen.closed(within=5.0)
        assert await gateway.outcome() == "slow_client"
        assert seen.bytes_written < 32 << 20
        answer = await client.answer()
        assert answer.ended in ("cut", "reset") and answer.marks == 0


async def test_L2_hypercorn_shows_a_failure_as_one(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), tok(2), cut()])
    async with under_hypercorn(upstream) as gateway:
        answer = await (await gateway.open()).answer()
        assert answer.error is not None and answer.error["code"] == "upstream_cut" and answer.marks == 0


# -- L3 to L7: leaving at any instant ------------------------------------------------------------------------------


async def test_L3_a_client_that_leaves_before_the_first_byte(rig: Rig) -> None:
    """300 of them, 0 to 5 ms after the request, by FIN and by reset."""
    upstream = await rig.upstream([hdr(0.002), role(), tok(100, gap=0.001), fin(), done()])
    gateway = await rig.gateway(upstream, **PATIENT)
    for number in range(300):
        client = await gateway.open(stream=number % 3 != 0)
        await asyncio.sleep(0.005 * number / 300)
        client.close() if number % 2 else client.abort()
    await rig.check()
    assert gateway.metric("penstock_streams_active") == 0 and gateway.pool_busy == 0
    outcomes = {record["outcome"] for record in gateway.records}
    assert outcomes == {"client_closed"} and len(gateway.records) >= 250
    assert (await gateway.ask()).marks == 1


@pytest.mark.parametrize("server", SERVERS)
async def test_L4_cancels_under_contention_leak_nothing(rig: Rig, server: str) -> None:
    """1,000 aborted streams, 50 at a time; then one goes through, and the connections are as few as before."""
    upstream = await rig.upstream([hdr(), role(), tok(100, gap=0.002), fin(), done()])
    gateway = await mounted(rig, "none", server, upstream, **PATIENT)

    async def abort(number: int) -> None:
        stream = number % 4 != 0
        client = await gateway.open(stream)
        if stream and number % 3:
            await client.read(within=5)
        client.close() if number % 2 else client.abort()

    for start in range(0, 1000, 50):
        await asyncio.gather(*(abort(number) for number in range(start, start + 50)))
    await rig.check()
    assert gateway.pool_busy == 0 and gateway.pool_idle == 0
    answer = await gateway.ask()
    assert (answer.status, answer.text, answer.ended) == (200, words(100), "clean")
    assert upstream.max_active <= 150


async def test_L5_aborts_are_quiet(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """One record for each stream and no other line: no scopes, no contexts, no tasks that nobody waited for."""
    upstream = await rig.upstream([hdr(0.01), role(), tok(50, gap=0.002), fin(), done()])
    gateway = await rig.gateway(upstream, keepalive=0.005, commit_after=0.005, **PATIENT)
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    caplog.set_level(logging.INFO)
    for number in range(60):
        stream = number % 3 != 0
        client = await gateway.open(stream)
        if stream and number % 4:
            await client.read(within=5)
        client.abort() if number % 2 else client.close()
    await rig.check()
    assert complaints == [] and caplog.records == []
    assert all(line.get("event") == "stream" for line in gateway.writer.parsed)
    asyncio.get_running_loop().set_exception_handler(None)


FLOOD = forever(tok(20))
MARKS: dict[str, tuple[list[Step], bytes]] = {
    "before the head": ([pause(0.02), hdr(), FLOOD], b""),
    "after the head": ([hdr(), role(), pause(0.02), FLOOD], b""),
    "at the first token": ([hdr(), role(), FLOOD], b"w0 "),
    "in the flood": ([hdr(), role(), FLOOD], b"w300 "),
    "in a tool call": ([hdr(), role(), forever(*[tool()] * 5)], b"weather"),
    "after the finish": ([hdr(), tok(1), fin(), FLOOD], b'"stop"'),
    "after the usage": ([hdr(), tok(1), fin(), usage(), FLOOD], b'"stop"'),
}


@pytest.mark.parametrize("how", ["close", "abort", "stop reading"])
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("mark", MARKS)
async def test_L7_aborts_against_a_provider_that_never_pauses(rig: Rig, mark: str, server: str, how: str) -> None:
    """The producer leaves no gap in which a cancellation would find its place; the client leaves in every phase."""
    steps, text = MARKS[mark]
    upstream = await rig.upstream(steps)
    gateway = await mounted(rig, "none", server, upstream, slow_timeout=0.2, **PATIENT)
    client = await gateway.open(receive_buffer=8192)
    seen = await upstream.asked()
    if text:
        await client.until(text)
    if how == "stop reading":
        if server == "uvicorn":
            gateway.errors_expected = 1  # the only way to cut a body there is to raise
        await seen.closed(within=3.0)
        outcomes = {"slow_client"}
    else:
        client.close() if how == "close" else client.abort()
        await seen.closed(within=1.5)
        outcomes = {"client_closed", "completed"} if "after the" in mark else {"client_closed"}
    assert (await gateway.record())["outcome"] in outcomes


@pytest.mark.parametrize("server", SERVERS)
async def test_L6_aborts_in_the_request_body(rig: Rig, server: str) -> None:
    upstream = await rig.upstream([hdr(), FLOOD])
    gateway = await mounted(rig, "none", server, upstream)
    for size in (0, 1, 40):
        client = await gateway.connect()
        await client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n" + b"x" * size)
        client.close()
    await until(lambda: gateway.metric("penstock_requests_refused_total", reason="client_closed") == 3)
    assert upstream.requests == [] and gateway.accepted == []
