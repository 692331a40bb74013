"""HTTP around the streams: routes, refusals, keep-alive, records."""

import asyncio
import gc
import json

import pytest
from sim_client import Ask, Connect, Until

from penstock.sim import Sim
from penstock.sim.connection import Connection

FAST = "first=0&gap=0"


@pytest.mark.parametrize(
    ("model", "status", "code", "says"),
    [
        ("sim?speed=9", 400, "bad_option", "speed is not an option; allowed are"),
        ("sim?gap=never", 400, "bad_option", "gap must be a duration"),
        ("gpt-5", 404, "model_not_found", "'gpt-5' does not exist here; there are sim, sim?OPTIONS"),
        ("simulator", 404, "model_not_found", "does not exist here"),
        ("tape:a.sse", 404, "model_not_found", "does not exist here"),
        (7, 400, "invalid_request", "model must be a string"),
        (None, 400, "invalid_request", "model must be a string"),
    ],
)
async def test_a_bad_model(ask: Ask, model: object, status: int, code: str, says: str) -> None:
    reply = await ask(model)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert says in reply.error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
async def test_a_bad_body(connect: Connect, sim: Sim, body: bytes) -> None:
    line = await connect(sim)
    line.send("/v1/chat/completions", body)
    assert (await line.reply()).status == 400


async def test_a_bad_n(ask: Ask) -> None:
    assert (await ask("sim", n=0)).error["message"] == "n must be a whole number from 1 to 128"


async def test_models(connect: Connect, sim: Sim) -> None:
    line = await connect(sim)
    line.send("/v1/models", b"", "GET")
    reply = await line.reply()
    assert [model["id"] for model in json.loads(reply.body)["data"]] == ["sim"]
    assert sim.max_streams == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
    ],
)
async def test_other_paths(connect: Connect, sim: Sim, method: str, path: str, status: int) -> None:
    line = await connect(sim)
    line.send(path, b"", method)
    reply = await line.reply()
    assert reply.status == status and reply.error["message"]


async def test_a_query_does_not_matter(connect: Connect, sim: Sim) -> None:
    line = await connect(sim)
    line.send("/v1/chat/completions?api-version=1", json.dumps({"model": f"sim?{FAST}"}).encode())
    assert (await line.reply()).status == 200


async def test_the_record(connect: Connect, sim: Sim) -> None:
    line = await connect(sim)
    body = json.dumps({"model": f"sim?tokens=2&{FAST}", "stream": True}).encode()
    line.send("/v1/chat/completions", body, headers="Authorization: Bearer k\r\nX-Two: a\r\nX-Two: b\r\n")
    await line.reply()
    record = sim.requests[-1]
    assert (record.method, record.path, record.body) == ("POST", "/v1/chat/completions", body)
    assert record.model == f"sim?tokens=2&{FAST}"
    assert (b"authorization", b"Bearer k") in record.headers and record.headers.count((b"x-two", b"b")) == 1
    assert record.header("x-two") == "a" and record.header("cookie") is None
    assert record.started > 0


async def test_a_connection_serves_many_requests(connect: Connect, sim: Sim) -> None:
    line = await connect(sim)
    for tokens in (1, 5, 2):
        line.ask(f"sim?tokens={tokens}&{FAST}")
        assert len((await line.reply()).chunks) == tokens + 3
        line.ask("sim?status=500")
        assert (await line.reply()).status == 500
    assert sim.open_connections == 1 and len(sim.requests) == 6


async def test_connection_close_is_heeded(connect: Connect, sim: Sim) -> None:
    line = await connect(sim)
    body = json.dumps({"model": f"sim?tokens=2&{FAST}", "stream": True}).encode()
    line.send("/v1/chat/completions", body, headers="Connection: close\r\n")
    assert (await line.reply()).ended == "clean"
    assert await line.reader.read() == b""


async def test_a_body_in_pieces_after_a_continue(connect: Connect, sim: Sim) -> None:
    line = await connect(sim)
    body = json.dumps({"model": f"sim?{FAST}"}).encode()
    line.writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nExpect: 100-continue\r\n")
    line.writer.write(b"Content-Length: %d\r\n\r\n" % len(body))
    assert (await line.head())[0] == 100
    for byte in body:
        line.writer.write(bytes([byte]))
        await line.writer.drain()
    assert (await line.reply()).status == 200


async def test_a_request_into_a_running_answer_ends_the_connection(connect: Connect, sim: Sim) -> None:
    line = await connect(sim)
    line.ask("sim?first=1h")
    line.ask("sim?first=1h")
    assert (await line.reply()).ended in ("cut", "reset")
    assert sim.streams == 0


async def test_not_http(connect: Connect, sim: Sim) -> None:
    line = await connect(sim)
    line.writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    assert (await line.reply()).status == 400
    assert await line.reader.read() == b""


async def test_close_cuts_streams_and_frees_the_port(connect: Connect) -> None:
    sim = Sim()
    await sim.start()
    line = await connect(sim)
    line.ask("sim?first=0&stall_at=1")
    await line.head()
    await sim.close()
    await sim.close()
    assert (await line.reply()).status == 0
    assert (sim.open_connections, sim.streams) == (0, 0)
    again = Sim(port=sim.port)
    await again.start()
    await again.close()


async def test_the_addresses(sim: Sim) -> None:
    assert sim.base_url == f"http://127.0.0.1:{sim.port}/v1"
    assert Sim("::1", 7).base_url == "http://[::1]:7/v1"


def connections() -> int:
    return sum(isinstance(thing, Connection) for thing in gc.get_objects())


async def test_nothing_is_left_of_a_connection(connect: Connect, sim: Sim, until: Until) -> None:
    gc.collect()
    gc.disable()
    try:
        before = connections()
        line = await connect(sim)
        line.ask(f"sim?tokens=2&{FAST}")
        await line.reply()
        await line.close()
        await until(lambda: sim.open_connections == 0)
        await asyncio.sleep(0)
        assert connections() <= before
    finally:
        gc.enable()
