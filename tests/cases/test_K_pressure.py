"""K. Pressure: what a slow client and many streams cost, and what passing a stream through does not."""

import asyncio
import gc
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from warmth import warm

from penstock.config import demo_config
from penstock.drive import driver
from penstock.server.lane import Lane
from penstock.sim import Sim
from penstock.testing import frames
from penstock.testing.client import CHAT, RawClient
from penstock.testing.process import ServeProcess, document
from penstock.testing.rig import LiveGateway, Rig, request, until
from penstock.testing.steps import done, fin, forever, hdr, raw, role, split, tok, usage, words
from penstock.wire import json

MIB = 1 << 20
FRAME = frames.chunk("x" * 60_000)
FAST = [hdr(), role(), *[raw(FRAME)] * (200 * MIB // len(FRAME)), fin(), done()]
IN_FLIGHT = 16 * MIB
"""What the kernel's buffers on the way may hold at most, on any usual setting, and far under the 200 MB sent."""


# -- K1 -----------------------------------------------------------------------------------------------------------


SLOW_CLIENTS = 10


@pytest.mark.parametrize("rate", [0, 1024], ids=["reads nothing", "1 KB a second"])
async def test_K1_slow_client(rig: Rig, tmp_path: Path, rate: int) -> None:
    short = [hdr(), role(), *[raw(FRAME)] * 20, fin(), done()]
    upstream = await rig.upstream(*[short] * 20, FAST)
    policy = {"delivery": {"slow_client": {"timeout": "1s"}}}
    async with ServeProcess(document([upstream.base_url], **policy), tmp_path) as process:
        await warm(process)
        before = process.memory
        clients = [await process.open(receive_buffer=4096) for _ in range(SLOW_CLIENTS)]
        await upstream.asked(20 + SLOW_CLIENTS)
        began, samples = time.monotonic(), []
        while len(process.records) < 20 + SLOW_CLIENTS:
            for client in clients if rate else ():
                await client.read(rate // 10)
            samples.append(process.memory - before)
            assert time.monotonic() < began + 15, "the clients are not cut"
            await asyncio.sleep(0.1)
        assert {record["outcome"] for record in process.records[20:]} == {"slow_client"}
        assert max(samples) < SLOW_CLIENTS * MIB
        for seen in upstream.requests[20:]:
            await seen.closed(within=1.0)
            assert seen.bytes_written < IN_FLIGHT
        for client in clients:
            assert await client.gone() in ("cut", "reset")
        assert process.errors == []
        # The next client is served as if nothing had been.
        upstream.script(short)
        assert (await (await process.open()).answer()).marks == 1


async def test_K1_nothing_is_dropped_for_a_client_that_is_only_slow(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), *[raw(FRAME)] * 100, fin(), done()])
    gateway = await rig.gateway(upstream, slow_timeout=5, total=20)
    client = await gateway.open(receive_buffer=4096)
    seen = await upstream.asked()
    # Until nothing goes on: the gateway has stopped reading, and so the provider has stopped writing.
    written = -1
    while written != seen.bytes_written:
        written = seen.bytes_written
        await asyncio.sleep(0.2)
    assert written < 100 * len(FRAME)
    answer = await client.answer()
    assert answer.body == frames.role() + FRAME * 100 + frames.finish() + frames.DONE
    record = await gateway.record()
    assert record["outcome"] == "completed"
    assert record["blocked_ms"] >= 200


async def test_K1_a_blocked_client_is_not_the_provider_s_stall(rig: Rig) -> None:
    # The provider's clocks stand still while nobody takes what it has sent.
    upstream = await rig.upstream([hdr(), role(), *[raw(FRAME)] * 100, fin(), done()])
    gateway = await rig.gateway(upstream, slow_timeout=5, between_tokens=0.3, total=20)
    client = await gateway.open(receive_buffer=4096)
    await upstream.asked()
    await asyncio.sleep(0.8)
    answer = await client.answer()
    assert (answer.marks, answer.error) == (1, None)
    assert (await gateway.record())["outcome"] == "completed"


# -- K2 -----------------------------------------------------------------------------------------------------------

STREAMS, AT_ONCE = 10_000, 100
QUICK = "sim?tokens=5&gap=0&first=0"
SLOW = "sim?tokens=30&gap=5ms&first=10ms"
BODY = json.dumps(request(QUICK))
SLOW_BODY = json.dumps(request(SLOW))
HEAD = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n"


async def one(port: int, chance: random.Random) -> None:
    """One stream; three in ten are left, somewhere between the request's first byte and the answer's last."""
    client = await RawClient.connect("127.0.0.1", port)
    phase = chance.randrange(5) if chance.random() < 0.3 else -1
    try:
        if phase == 0:
            await client.send(HEAD.format(len(BODY)).encode() + BODY[:20])
        else:
            await client.send(HEAD.format(len(body := BODY if phase < 0 else SLOW_BODY)).encode() + body)
        if phase < 0:
            assert (await client.answer(60)).marks == 1
        elif phase == 2:
            await client.head(60)
        elif phase > 2:
            await client.events(chance.randrange(1, 25), 60)
    finally:
        (client.abort if chance.random() < 0.5 else client.close)()


async def many(port: int, count: int, seed: int) -> None:
    """So many streams, a hundred at once."""
    chance = random.Random(seed)
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await one(port, chance)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


async def settled(process: ServeProcess) -> None:
    """No stream is left and no client connection."""
    async with asyncio.timeout(10):
        while b"penstock_streams_active 0.0" not in (await process.get("/metrics")).body:
            await asyncio.sleep(0.05)


@pytest.mark.thorough
async def test_K2_ten_thousand_streams(tmp_path: Path) -> None:
    async with Sim() as sim, ServeProcess(document([sim.base_url]), tmp_path) as process:
        await many(process.port, STREAMS // 5, seed=1)
        await settled(process)
        memory, descriptors = process.memory, process.descriptors
        await many(process.port, STREAMS - STREAMS // 5, seed=2)
        await settled(process)
        # Half a kilobyte a stream: a thing that is forgotten is larger.
        assert process.memory - memory < 4 * MIB
        # Kept-alive connections to the provider apart, of which there may be no more than were used at once.
        metrics = (await process.get("/metrics")).body
        idle = int(metrics.split(b"\npenstock_upstream_idle_connections ")[1].split(b".")[0])
        assert process.descriptors <= descriptors + idle
        assert process.descriptors < 40 + idle
        assert sim.streams == 0
        outcomes = Counter(record["outcome"] for record in process.records)
        assert set(outcomes) == {"completed", "client_closed"}
        assert outcomes["completed"] >= 0.65 * STREAMS
        assert process.errors == []


async def test_K2_nothing_of_a_stream_outlives_it(rig: Rig) -> None:
    # Without the collector: a stream is free of cycles, so nothing of it waits for a collection that may be far off.
    async with Sim() as sim:
        gateway = await rig.gateway(settings=demo_config(sim.base_url))
        await many(gateway.port, 200, seed=3)
        await over(gateway)
        gc.collect()
        gc.disable()
        try:
            before = alive()
            await many(gateway.port, 500, seed=4)
            await over(gateway)
            # A client that has closed is looked at for a moment more.
            await until(lambda: not lingering(before), within=5, what="all that has gone is freed")
        finally:
            gc.enable()


OF_A_STREAM = ("Stream", "Driver", "Lane", "PooledExchange", "LaneProtocol", "Attempt", "RequestResponseCycle")
PER_CONNECTION = frozenset({"Connection", "TCPTransport", "PseudoSocket", "HttpRequestParser"})
"""What a kept-alive connection to the simulated provider has, on both its ends."""


def lingering(before: Counter[str]) -> dict[str, int]:
    """What is left of streams, and the classes of which there are more objects than before (a few are this test's)."""
    now = alive()
    grown = {name: count for name, count in now.items() if count > before[name] + 10 and name not in PER_CONNECTION}
    # Of other tests, in the same process, there may be some that never end.
    return grown | {name: now[name] for name in OF_A_STREAM if now[name] > before[name]}


async def over(gateway: LiveGateway) -> None:
    """All clients are gone."""
    state = gateway._server.server_state
    await until(lambda: not len(gateway.gateway.streams) and not state.connections and not state.tasks)
    await until(lambda: gateway.pool_busy == 0)


def alive() -> Counter[str]:
    """Objects of the gateway, of uvicorn and of the loop, by class."""
    modules = ((type(found).__name__, str(type(found).__module__)) for found in gc.get_objects())
    return Counter(
        name
        for name, module in modules
        if module.startswith(("penstock.", "uvicorn.", "uvloop.", "httptools.", "_asyncio", "asyncio."))
        and not module.startswith(("penstock.sim.", "penstock.testing."))
    )


# -- K3 -----------------------------------------------------------------------------------------------------------

ODD = [
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":""},"finish_reason":null}],"x_unknown":{"b":1.50,"a":[1,  2]}}\n\n',
    b'data:  {"choices" : [ {"delta":{"content":"caf\\u00e9\xe2\x80\xa8 \xf0\x9f\x98\x80"},"index":0} ], "n": 1e2}\n\n',
    b'event: chunk\ndata: {"choices":[{"index":0,"delta":{"content":"two",\ndata: "annotations":[]}}]}\n\n',
    b": a comment of the provider\n\n",
    b'data: {"choices":[{"index":0,"delta":{"content":"crlf"}}]}\r\n\r\n',
    b'data:{"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"token":"x"}]}}],"id":"other"}\n\n',
    frames.finish(),
    frames.usage(3, 4, x_more=True),
    frames.DONE,
]
USAGE = {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize("size", [None, 1, 7, 64], ids=["a write each", "1", "7", "64"])
async def test_K3_passthrough_is_byte_for_byte(rig: Rig, size: int | None) -> None:
    upstream = await rig.upstream([hdr(), split(size), *map(raw, ODD)])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(**USAGE)
    assert answer.body == b"".join(ODD)
    record = await gateway.record()
    assert record["bytes_in"] == record["bytes_out"] == len(answer.body)


async def test_K3_nothing_is_serialised_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(50, gap=0.001), fin(), usage(9, 50), done()])
    gateway = await rig.gateway(upstream)
    came: list[bytes] = []
    went: list[bytes] = []
    hear, write = driver._Listener.body, Lane.write

    def heard(self: Any, data: bytes, chunk: bytes | None = None) -> None:
        came.append(data)
        # From here to the client no JSON is written.
        with monkeypatch.context() as patch:
            patch.setattr(json, "dumps", None)
            hear(self, data)

    def written(self: Lane, data: bytes) -> None:
        went.append(data)
        write(self, data)

    monkeypatch.setattr(driver._Listener, "body", heard)
    monkeypatch.setattr(Lane, "write", written)
    answer = await gateway.ask(**USAGE)
    assert answer.text == words(50)
    assert b"".join(came) == b"".join(went) == answer.body
    # A read that is one frame goes on as the very object that it came as.
    passed = [data for data in went if any(data is other for other in came)]
    assert len(passed) > 25


async def test_K3_one_write_a_read(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Many frames in one read are one write, and one that is alone waits for no other.
    upstream = await rig.upstream([hdr(), role(), raw(b"".join(frames.chunk("x") for _ in range(100))), fin(), done()])
    gateway = await rig.gateway(upstream)
    writes = []
    write = Lane.write

    def written(self: Lane, data: bytes) -> None:
        writes.append(data)
        write(self, data)

    monkeypatch.setattr(Lane, "write", written)
    answer = await gateway.ask()
    assert answer.text == "x" * 100
    assert len(writes) <= 5


async def test_K6_no_stream_hears_another(rig: Rig) -> None:
    def script(seen: Any) -> list[Any]:
        name = seen.json["messages"][0]["content"]
        return [hdr(), role(), *[raw(frames.chunk(f"<{name}>"))] * 30, fin(), done()]

    upstream = await rig.upstream(script)
    gateway = await rig.gateway(upstream, total=20, first_token=10)

    async def ask(number: int) -> None:
        name = f"s{number}"
        client = await gateway.connect()
        await client.post(CHAT, request(messages=[{"role": "user", "content": name}]))
        if number % 3 == 0:
            await client.events(number % 20)
            client.abort()
            return
        answer = await client.answer()
        assert answer.text == f"<{name}>" * 30
        client.close()

    await asyncio.gather(*(ask(number) for number in range(200)))


async def test_K7_a_long_answer_is_not_kept(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream(*[[hdr(), raw(FRAME), fin(), done()]] * 20, [hdr(), forever(raw(FRAME))])
    async with ServeProcess(document([upstream.base_url]), tmp_path) as process:
        await warm(process)
        before, read = process.memory, 0
        client = await process.open()
        while read < 50 * MIB:
            read += len(await client.read(MIB))
        # No model writes so fast: it waits to be counted, and not all of it.
        assert process.memory - before < 16 * MIB
        client.close()
        assert (await process.record(21))["outcome"] == "client_closed"


async def test_K1_resumable_clients_that_read_nothing_cost_the_journal_and_no_more(rig: Rig, tmp_path: Path) -> None:
    long = [hdr(), role(), *[raw(FRAME)] * (20 * MIB // len(FRAME)), fin(), done()]
    upstream = await rig.upstream(*[[hdr(), role(), *[raw(FRAME)] * 20, fin(), done()]] * 20, *[long] * 5)
    policy = {"delivery": {"slow_client": {"timeout": "1s"}, "on_disconnect": "detach"}}
    journal = {"per_stream": "1MiB", "total": "2MiB"}
    # Without counting: the vocabulary is tens of MiB, and is loaded while the first streams are under way.
    uncounted = {"ledger": None, "metering": None}
    settings = {**document([upstream.base_url], **policy), **uncounted, "journal": journal}
    async with ServeProcess(settings, tmp_path) as process:
        await warm(process)
        before = process.memory
        clients = [await process.open(receive_buffer=4096) for _ in range(5)]
        samples = []
        async with asyncio.timeout(30):
            while len(process.records) < 25:
                samples.append(process.memory - before)
                await asyncio.sleep(0.05)
        # They were let go, the answers went on into the journal, and that kept their latest frames.
        assert {(record["outcome"], record["leaving"]) for record in process.records[20:]} == {("completed", "detach")}
        assert max(samples) < 5 * MIB + 2 * MIB + 4 * MIB
        for client in clients:
            assert await client.gone() in ("cut", "reset")
        assert process.errors == []
