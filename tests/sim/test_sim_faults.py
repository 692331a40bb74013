"""Faults over a socket, and how the server sees its peer."""

import asyncio
import json
import socket
import ssl

import pytest
import trustme
from sim_client import Ask, Connect, Until

from penstock.sim import Sim

FAST = "first=0&gap=0"
PACES = ["first=0&gap=0", "first=1ms&gap=1ms", "first=0&gap=0&split=9"]


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("at", [0, 2, 5])
async def test_cut(ask: Ask, at: int, pace: str) -> None:
    reply = await ask(f"sim?tokens=5&cut_at={at}&{pace}")
    assert reply.ended == "clean"
    assert len(reply.events) == 1 + at and "[DONE]" not in reply.events
    assert all(event["choices"][0]["finish_reason"] is None for event in reply.events)


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("at", [0, 2, 5])
@pytest.mark.parametrize(("fault", "ended"), [("reset_at", "reset"), ("drop_at", "cut")])
async def test_the_connection_breaks(ask: Ask, sim: Sim, fault: str, ended: str, at: int, pace: str) -> None:
    reply = await ask(f"sim?tokens=5&{fault}={at}&{pace}")
    assert (reply.status, reply.ended) == (200, ended)
    assert len(reply.events) == 1 + at
    record = sim.requests[-1]
    assert record.finished and record.peer_closed_at is None and record.tokens_written == at
    assert sim.streams == 0


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("at", [0, 2, 5])
async def test_stall(connect: Connect, sim: Sim, until: Until, at: int, pace: str) -> None:
    line = await connect(sim)
    line.ask(f"sim?tokens=5&stall_at={at}&{pace}")
    await until(lambda: sim.requests and sim.requests[-1].tokens_written == at)
    reading = asyncio.ensure_future(line.reply())
    done, _ = await asyncio.wait([reading], timeout=0.05)
    assert not done
    record = sim.requests[-1]
    assert not record.finished and sim.streams == 1 and sim.open_connections == 1
    line.writer.transport.abort()
    await until(lambda: record.peer_closed_at)
    assert sim.streams == 0
    reply = await reading
    assert len(reply.events) == 1 + at and reply.ended == "cut"


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("at", [0, 2, 5])
async def test_an_error_in_the_stream(ask: Ask, at: int, pace: str) -> None:
    reply = await ask(f"sim?tokens=5&error_at={at}&{pace}")
    *before, error = reply.events
    assert len(before) == (at + 1 if at else 0) and reply.ended == "clean"
    assert set(error) == {"error"} and error["error"]["type"] == "server_error"
    assert set(error["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("at", [0, 2, 5])
async def test_a_malformed_frame(ask: Ask, at: int) -> None:
    reply = await ask(f"sim?tokens=5&malformed_at={at}&{FAST}")
    assert reply.chunks[1 + at] == b"data: {bad\n\n"
    assert len(reply.chunks) == 1 + 5 + 1 + 2


async def test_a_fault_past_the_end_does_not_happen(ask: Ask) -> None:
    assert (await ask(f"sim?tokens=5&reset_at=6&error_at=7&malformed_at=8&{FAST}")).events[-1] == "[DONE]"


async def test_faults_count_tokens_of_every_kind(ask: Ask) -> None:
    deltas = (await ask(f"sim?reasoning=2&tokens=2&tool=1&cut_at=6&{FAST}")).deltas
    parts = [delta["tool_calls"][0]["function"]["arguments"] for delta in deltas if "tool_calls" in delta]
    assert len(deltas) == 1 + 2 + 2 + 3 and [bool(part) for part in parts] == [False, True, True]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_http_error(ask: Ask, stream: bool) -> None:
    reply = await ask("sim?status=429&retry_after=7", stream=stream)
    assert (reply.status, reply.headers["retry-after"]) == (429, "7")
    assert reply.headers["content-type"] == "application/json"
    assert reply.error["type"] == "rate_limit_error" and reply.error["code"] == "rate_limit_exceeded"
    assert (await ask("sim?status=529", stream=stream)).error["type"] == "server_error"


@pytest.mark.parametrize(("option", "ended"), [("cut_at=1", "cut"), ("drop_at=1", "cut"), ("reset_at=1", "reset")])
async def test_a_whole_answer_breaks(ask: Ask, option: str, ended: str) -> None:
    assert (await ask(f"sim?{option}&{FAST}", stream=False)).ended == ended


async def test_a_whole_answer_fails(ask: Ask) -> None:
    assert (await ask(f"sim?error_at=1&{FAST}", stream=False)).status == 500
    with pytest.raises(json.JSONDecodeError):
        json.loads((await ask(f"sim?malformed_at=1&{FAST}", stream=False)).body)


@pytest.mark.parametrize("model", ["sim?accept=never", "sim?stall_at=0&json=1&first=0", "sim?headers=1h"])
async def test_no_answer(connect: Connect, sim: Sim, until: Until, model: str) -> None:
    line = await connect(sim)
    line.ask(model)
    await until(lambda: sim.streams == 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.reader.read(1), 0.05)


async def test_role_only(connect: Connect, sim: Sim) -> None:
    line = await connect(sim)
    line.ask("sim?role_only=1")
    await line.head()
    assert b'"role":"assistant"' in await line.chunk()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.reader.read(1), 0.05)


@pytest.mark.parametrize("model", ["first=1h", "first=0&stall_at=0", "role_only=1", "tokens=1&first=0&linger=1h"])
async def test_pings_go_on_in_silence(connect: Connect, sim: Sim, model: str) -> None:
    line = await connect(sim)
    line.ask(f"sim?{model}&ping=5ms&crlf=1")
    await line.head()
    pings = 0
    while pings < 3:
        chunk = await line.chunk()
        pings += chunk == b": ping\r\n\r\n"
        assert pings == 0 or chunk == b": ping\r\n\r\n"
    assert sim.requests[-1].chunks_written >= 4


async def test_pings_never_stand_inside_a_frame(ask: Ask) -> None:
    reply = await ask("sim?tokens=10&first=1ms&gap=3ms&ping=1ms&split=5")
    assert reply.body.count(b": ping\n\n") > 3
    frames = reply.body.split(b"\n\n")
    assert frames[-1] == b"" and all(frame == b": ping" or frame.startswith(b"data: ") for frame in frames[:-1])
    assert reply.events[-1] == "[DONE]"


async def test_no_ping_before_the_head(connect: Connect, sim: Sim) -> None:
    line = await connect(sim)
    line.ask("sim?headers=30ms&first=1h&ping=2ms")
    assert (await line.head())[0] == 200


async def test_linger_keeps_the_body_open(connect: Connect, sim: Sim, until: Until) -> None:
    line = await connect(sim)
    line.ask(f"sim?tokens=1&linger=1h&{FAST}")
    await line.head()
    while await line.chunk() != b"data: [DONE]\n\n":
        pass
    assert sim.streams == 1
    await line.close()
    await until(lambda: sim.requests[-1].peer_closed_at)
    assert not sim.requests[-1].finished


async def test_a_peer_that_does_not_read_stops_the_stream(connect: Connect, sim: Sim, until: Until) -> None:
    sock = socket.create_connection(("127.0.0.1", sim.port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    reader, writer = await asyncio.open_connection(sock=sock, limit=65536)
    body = json.dumps({"model": f"sim?tokens=100000&pad=300&{FAST}", "stream": True}).encode()
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await until(lambda: sim.requests)
    record = sim.requests[-1]
    before = -1
    while before != record.bytes_written:
        before = record.bytes_written
        await asyncio.sleep(0.05)
    assert record.bytes_written < 20_000_000 and sim.streams == 1
    total = 0
    while total < before:
        total += len(await reader.read(1 << 20))
    await until(lambda: record.bytes_written > before)
    writer.transport.abort()
    await until(lambda: record.peer_closed_at)
    after = record.bytes_written
    await asyncio.sleep(0.01)
    assert record.bytes_written == after and sim.streams == 0


@pytest.mark.parametrize("pace", ["first=0&gap=0", "first=0&gap=1ms", "first=0&gap=0&split=1", "first=1h"])
async def test_a_peer_that_leaves_ends_the_stream(connect: Connect, sim: Sim, until: Until, pace: str) -> None:
    line = await connect(sim)
    line.ask(f"sim?tokens=1000000&{pace}")
    await line.head()
    await line.chunk()
    record = sim.requests[-1]
    await line.close()
    await until(lambda: record.peer_closed_at)
    assert record.peer_closed_at is not None and record.peer_closed_at >= record.started
    assert sim.streams == 0 and not record.finished
    await until(lambda: sim.open_connections == 0)


async def test_many_streams_at_once(connect: Connect, sim: Sim) -> None:
    lines = [await connect(sim) for _ in range(50)]
    for line in lines:
        line.ask("sim?tokens=20&gap=2ms&first=100ms")
    replies = await asyncio.gather(*(line.reply() for line in lines))
    assert {reply.text for reply in replies} == {replies[0].text}
    assert all(len(reply.chunks) == 23 for reply in replies)
    assert (sim.streams, sim.max_streams, sim.open_connections) == (0, 50, 50)


async def test_over_tls(connect: Connect, until: Until) -> None:
    ca = trustme.CA()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(served)
    trusting = ssl.create_default_context()
    ca.configure_trust(trusting)
    async with Sim(ssl=served) as sim:
        assert sim.base_url == f"https://127.0.0.1:{sim.port}/v1"
        line = await connect(sim, trusting, server_hostname="localhost")
        line.ask(f"sim?tokens=200&{FAST}")
        assert (await line.reply()).events[-1] == "[DONE]"
        line.ask(f"sim?reset_at=2&{FAST}")
        assert (await line.reply()).ended in ("reset", "cut")
        await until(lambda: sim.open_connections == 0)
