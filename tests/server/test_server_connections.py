"""HTTP at the door: connections."""

import asyncio
import json
from typing import Any

import pytest
from server_client import connected, post

from penstock.testing import frames
from penstock.testing.client import CHAT
from penstock.testing.rig import MESSAGES, LiveGateway, Rig
from penstock.testing.steps import done, fin, hdr, pause, role, tok, words

ANSWER = [hdr(), role(), tok(3), fin(), done()]
PATIENT: dict[str, Any] = {"first_token": 5.0, "between_tokens": 5.0, "total": 10.0}


async def gateway_with(rig: Rig, **options: Any) -> LiveGateway:
    return await rig.gateway(await rig.upstream(ANSWER), **options)


async def test_a_connection_serves_on_after_a_stream(rig: Rig) -> None:
    gateway = await gateway_with(rig)
    async with connected(gateway.port) as line:
        for stream in (True, False, True, True):
            await line.send(post(stream=stream))
            response = await line.response()
            assert response.status == 200 and "connection" not in response.headers
            assert (response.headers.get("transfer-encoding") == "chunked") is stream
        await line.send(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await line.response()).status == 200
    assert len(gateway._server.server_state.connections) <= 1


async def test_pipelined_requests_are_answered_in_their_order(rig: Rig) -> None:
    """All in one write: the second is read before the first has begun."""
    upstream = await rig.upstream([hdr(), tok(1), fin(), done()], [hdr(), tok(2), fin(), done()], ANSWER)
    gateway = await rig.gateway(upstream)
    async with connected(gateway.port) as line:
        await line.send(post() + post(stream=False) + post() + b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        bodies = [(await line.response()).body for _ in range(4)]
        assert bodies[0].endswith(frames.DONE) and bodies[0].count(b"content") == 1
        assert json.loads(bodies[1])["choices"][0]["message"]["content"] == words(2)
        assert bodies[2].endswith(frames.DONE) and b"w2" in bodies[2]
        assert bodies[3] == b'{"status":"ok"}'


async def test_a_request_that_comes_during_a_stream_waits_for_its_end(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), tok(5, gap=0.03), fin(), done()], ANSWER)
    gateway = await rig.gateway(upstream)
    async with connected(gateway.port) as line:
        await line.send(post())
        await line.reader.readuntil(b"w1 ")
        await line.send(post(stream=False))
        await line.reader.readuntil(b"[DONE]\n\n\r\n0\r\n\r\n")
        assert json.loads((await line.response()).body)["choices"][0]["message"]["content"] == words(3)


async def test_pipelining_and_a_half_close_disturb_no_stream(rig: Rig) -> None:
    """The probe for a client that is gone must not be written into another answer's body."""
    upstream = await rig.upstream([hdr(), tok(5, gap=0.03), fin(), done()], ANSWER)
    gateway = await rig.gateway(upstream)
    async with connected(gateway.port) as line:
        await line.send(post() + post(stream=False))
        line.writer.write_eof()
        first = await line.response()
        assert first.body == b"".join(frames.chunk(f"w{n} ") for n in range(5)) + frames.finish() + frames.DONE


async def test_an_http_1_0_client_gets_a_body_that_ends_with_the_connection(rig: Rig) -> None:
    gateway = await gateway_with(rig)
    async with connected(gateway.port) as line:
        await line.send(post(version="1.0"))
        response = await line.response()
        assert response.status == 200 and "transfer-encoding" not in response.headers
        assert response.body == b"".join([frames.role(), *(frames.chunk(f"w{n} ") for n in range(3))]) + (
            frames.finish() + frames.DONE
        )
    async with connected(gateway.port) as line:
        await line.send(post(version="1.0", stream=False))
        response = await line.response()
        assert json.loads(response.body)["choices"][0]["message"]["content"] == words(3) and await line.over()


async def test_a_client_that_wants_to_close_gets_the_whole_stream_and_no_connection_header(rig: Rig) -> None:
    """Node takes a cut body for a whole one where it reads ``connection: close``."""
    gateway = await gateway_with(rig)
    async with connected(gateway.port) as line:
        await line.send(post(None, "connection: close"))
        response = await line.response()
        assert response.body.endswith(frames.DONE) and "connection" not in response.headers
        assert await line.over()


async def test_expect_100_continue(rig: Rig) -> None:
    gateway = await gateway_with(rig)
    body = json.dumps({"model": "m", "messages": MESSAGES}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n"
    async with connected(gateway.port) as line:
        await line.send(head.encode())
        async with asyncio.timeout(5):
            assert await line.head() == (100, {})
        await line.send(body)
        assert (await line.response()).status == 200


async def test_expect_100_continue_of_what_is_refused_is_answered_at_once(rig: Rig) -> None:
    gateway = await gateway_with(rig, server={"max_body": 65536})
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9999999\r\n\r\n"
    async with connected(gateway.port) as line:
        await line.send(head.encode())
        assert (await line.response()).status == 413


async def test_what_is_no_http_is_400(rig: Rig) -> None:
    gateway = await gateway_with(rig)
    async with connected(gateway.port) as line:
        await line.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert (await line.response()).status == 400


@pytest.mark.parametrize("cut", [1, 40, 150, 10_000], ids=lambda size: f"in pieces of {size}")
async def test_an_offer_of_another_protocol_is_passed_over(rig: Rig, cut: int) -> None:
    """As Java's HTTP client makes it with its first request; the next on the same connection goes without."""
    gateway = await gateway_with(rig)
    offer = post(None, "connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAAAAIAAAAB")
    sent = offer + post(stream=False)
    async with connected(gateway.port) as line:
        for start in range(0, len(sent), cut):
            await line.send(sent[start : start + cut])
        assert (await line.response()).body.endswith(frames.DONE)
        assert json.loads((await line.response()).body)["choices"][0]["message"]["content"] == words(3)


@pytest.mark.parametrize("offer", [b"GET /healthz HTTP/1.1\r\nhost: x\r\n", b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n"])
async def test_offers_of_another_protocol_without_a_body(rig: Rig, offer: bytes) -> None:
    gateway = await gateway_with(rig)
    async with connected(gateway.port) as line:
        await line.send(offer + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n")
        assert (await line.response()).status == (200 if offer.startswith(b"GET") else 400)


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br", "identity"])
async def test_a_compressed_body_is_told_from_a_broken_one(rig: Rig, coding: str) -> None:
    gateway = await gateway_with(rig)
    answer = await gateway.ask(headers={"content-encoding": coding})
    if coding == "identity":
        assert answer.status == 200
    else:
        assert answer.status == 415 and answer.error is not None
        assert answer.error["code"] == "unsupported_encoding"
        assert coding in answer.error["message"]


@pytest.mark.parametrize("start", [b"GET /healthz HTTP/1.1\r\nx-a: ", b"GET /healthz?"])
async def test_a_head_without_end_is_refused(rig: Rig, start: bytes) -> None:
    gateway = await gateway_with(rig)
    async with connected(gateway.port) as line:
        await line.send(start + b"a" * 300_000)
        await line.send(b"a" * 10)
        assert (await line.response()).status == 431


async def test_a_body_in_broken_chunks_is_400(rig: Rig) -> None:
    gateway = await gateway_with(rig)
    async with connected(gateway.port) as line:
        await line.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
        assert (await line.response()).status == 400
        assert await line.over()


async def test_what_is_no_http_disturbs_no_stream_that_is_under_way(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), tok(5, gap=0.03), fin(), done()])
    gateway = await rig.gateway(upstream)
    async with connected(gateway.port) as line:
        await line.send(post())
        await upstream.asked()
        await line.send(b"\x16\x03 no request\r\n\r\n")
        body = (await line.response()).body
        assert body.endswith(frames.DONE) and b"Invalid" not in body
        assert await line.over()
    assert (await gateway.record())["outcome"] == "completed"


async def test_a_client_that_leaves_during_a_pipelined_stream_is_seen(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), tok(1000, gap=0.01), fin(), done()], ANSWER)
    gateway = await rig.gateway(upstream, **PATIENT)
    async with connected(gateway.port) as line:
        await line.send(post() + post())
        await line.reader.readuntil(b"w1 ")
    await upstream.requests[0].closed(within=1.0)
    assert (await gateway.record())["outcome"] == "client_closed"


async def test_the_next_request_is_not_held_up_by_late_usage(rig: Rig) -> None:
    """The answer is over for the client with its terminal frame, whatever the provider still does."""
    upstream = await rig.upstream([hdr(), tok(1), fin(), done(), pause(3)], ANSWER)
    gateway = await rig.gateway(upstream, settle=1.5)
    async with connected(gateway.port) as line:
        await line.send(post())
        assert (await line.response()).body.endswith(frames.DONE)
        await line.send(post())
        assert (await line.response()).body.endswith(frames.DONE)
        # The usage of the first is still awaited.
        assert len(gateway.gateway.streams) == 1
