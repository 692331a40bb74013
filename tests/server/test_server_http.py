"""HTTP at the door: paths, methods, bodies and connections."""

import asyncio
import json
from typing import Any

import openai
import pytest
from server_client import connected, post

from penstock.testing import frames
from penstock.testing.client import CHAT
from penstock.testing.rig import MESSAGES, LiveGateway, Rig, until
from penstock.testing.steps import done, fin, hdr, pause, role, tok, words

ANSWER = [hdr(), role(), tok(3), fin(), done()]
PATIENT: dict[str, Any] = {"first_token": 5.0, "between_tokens": 5.0, "total": 10.0}


async def gateway_with(rig: Rig, **options: Any) -> LiveGateway:
    return await rig.gateway(await rig.upstream(ANSWER), **options)


# -- paths and methods --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/nothing", "/v2/chat/completions", "/V1/chat/completions", "/metricsx"]
)
async def test_an_unknown_path_is_404_in_json(rig: Rig, path: str) -> None:
    gateway = await gateway_with(rig)
    answer = await gateway.get(path)
    assert answer.status == 404 and answer.error is not None
    assert (answer.error["code"], answer.error["type"]) == ("not_found", "invalid_request_error")
    assert answer.headers["x-penstock-stream"] == answer.error["stream"]


async def test_an_unknown_model_is_404_with_its_name(rig: Rig) -> None:
    gateway = await gateway_with(rig)
    answer = await gateway.ask(model="gpt-9")
    assert answer.status == 404 and answer.error is not None
    assert (answer.error["code"], answer.error["param"]) == ("model_not_found", "model")
    assert "gpt-9" in answer.error["message"] and "routes: m" in answer.error["message"]
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="any", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="gpt-9", messages=MESSAGES)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("HEAD", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/chat/completions", "POST"),
        ("OPTIONS", "/v1/chat/completions", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/metrics", "GET"),
    ],
)
async def test_another_method_is_405_and_names_the_right_one(rig: Rig, method: str, path: str, allowed: str) -> None:
    gateway = await gateway_with(rig)
    async with connected(gateway.port) as line:
        await line.send(f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode())
        response = await line.response(method)
        assert response.status == 405 and allowed in response.headers["allow"]
        if method != "HEAD":
            assert response.error["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models", "/metrics"])
async def test_head_is_get_without_the_body(rig: Rig, path: str) -> None:
    gateway = await gateway_with(rig)
    got = await gateway.get(path)
    async with connected(gateway.port) as line:
        for _ in range(2):
            await line.send(f"HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            response = await line.response("HEAD")
            assert response.status == got.status == 200
            assert response.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize(
    "path", ["//v1/chat/completions", "/v1//chat/completions", "/v1/chat//completions//", "/v1/chat/completions/"]
)
async def test_slashes_too_many_are_no_mistake(rig: Rig, path: str) -> None:
    """What a base URL that ends in a slash makes of every path."""
    gateway = await gateway_with(rig)
    client = await gateway.connect()
    await client.post(path, {"model": "m", "messages": MESSAGES})
    assert (await client.answer()).text == words(3)


async def test_a_query_changes_nothing(rig: Rig) -> None:
    gateway = await gateway_with(rig)
    client = await gateway.connect()
    await client.post(CHAT + "?api-version=2024-10-21&x=//", {"model": "m", "messages": MESSAGES})
    assert (await client.answer()).status == 200


async def test_a_draining_gateway_refuses_with_503(rig: Rig) -> None:
    gateway = await gateway_with(rig)
    gateway.gateway.streams.draining = True
    for answer in (await gateway.ask(), await gateway.get("/readyz")):
        assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1
    assert (await gateway.get("/healthz")).status == 200


async def test_a_body_that_does_not_come_holds_no_end_up(rig: Rig) -> None:
    gateway = await gateway_with(rig)
    async with connected(gateway.port) as line:
        await line.send(post()[:-10])
        await until(lambda: gateway.gateway.streams._arriving)
        await gateway.gateway.streams.drain(0)
        response = await line.response()
    assert (response.status, response.error["code"]) == (503, "shutdown")
    assert int(response.headers["retry-after"]) >= 1
    assert gateway.accepted == []


# -- bodies -------------------------------------------------------------------------------------------------------

BAD: list[tuple[bytes, str, str | None]] = [
    (b"", "invalid_json", None),
    (b"not json", "invalid_json", None),
    (b'{"model": "m"', "invalid_json", None),
    (b"[]", "invalid_json", None),
    (b'"m"', "invalid_json", None),
    (b"null", "invalid_json", None),
    (b'{"model": "m"} {}', "invalid_json", None),
    (b"{}", "invalid_request", "model"),
    (b'{"model": null}', "invalid_request", "model"),
    (b'{"model": ""}', "invalid_request", "model"),
    (b'{"model": 5}', "invalid_request", "model"),
    (b'{"model": ["m"]}', "invalid_request", "model"),
    (b'{"model": "m", "stream": "yes"}', "invalid_request", "stream"),
    (b'{"model": "m", "stream": true, "stream_options": 1}', "invalid_request", "stream_options"),
    (b'{"model": "m", "stream": true, "stream_options": []}', "invalid_request", "stream_options"),
    (b'{"model": "m", "stream_options": {"include_usage": true}}', "invalid_request", "stream_options"),
    (b"[" * 100_000, "invalid_json", None),
    (b'{"model": "m", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json", None),
]


@pytest.mark.parametrize(("body", "code", "param"), BAD, ids=[body[:40].decode("latin-1") for body, _, _ in BAD])
async def test_a_bad_body_is_400_and_names_the_field(rig: Rig, body: bytes, code: str, param: str | None) -> None:
    gateway = await gateway_with(rig)
    async with connected(gateway.port) as line:
        await line.send(post(body))
        response = await line.response()
        assert response.status == 400
        assert response.error["type"] == "invalid_request_error"
        assert (response.error["code"], response.error["param"]) == (code, param)
        assert len(response.error["message"]) < 300 and "\n" not in response.error["message"]
        # The connection serves on.
        await line.send(post())
        assert (await line.response()).status == 200
    assert len(gateway.accepted) == 1


@pytest.mark.parametrize("early", [True, False], ids=["only the head", "the whole body"])
async def test_a_body_over_the_limit_is_413_by_its_length(rig: Rig, early: bool) -> None:
    """Also to a client that only reads the answer when it has sent everything."""
    gateway = await gateway_with(rig, server={"max_body": 65536})
    async with connected(gateway.port) as line:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 8388608\r\n\r\n"
        await line.send(head if early else head + b"x" * 8388608)
        response = await line.response()
        assert response.status == 413 and response.headers["connection"] == "close"
        assert response.error["code"] == "request_too_large" and "server.max_body" in response.error["message"]


@pytest.mark.parametrize("early", [True, False], ids=["to the limit", "all of it"])
async def test_a_body_over_the_limit_is_413_when_it_gets_there(rig: Rig, early: bool) -> None:
    gateway = await gateway_with(rig, server={"max_body": 65536})
    async with connected(gateway.port) as line:
        await line.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(5 if early else 512):
            await line.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        if not early:
            await line.send(b"0\r\n\r\n")
        response = await line.response()
        assert response.status == 413 and response.error["code"] == "request_too_large"


async def test_a_body_of_the_limit_is_taken(rig: Rig) -> None:
    gateway = await gateway_with(rig, server={"max_body": 65536})
    body = json.dumps({"model": "m", "messages": MESSAGES, "x": ""}).encode()
    body = body.replace(b'"x": ""', b'"x": "' + b"y" * (65536 - len(body)) + b'"')
    assert len(body) == 65536
    async with connected(gateway.port) as line:
        await line.send(post(body))
        assert (await line.response()).status == 200
        await line.send(post(body + b" "))
        assert (await line.response()).status == 413


async def test_a_chunked_request_body_is_taken(rig: Rig) -> None:
    gateway = await gateway_with(rig)
    body = json.dumps({"model": "m", "messages": MESSAGES}).encode()
    async with connected(gateway.port) as line:
        await line.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 5):
            piece = body[start : start + 5]
            await line.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await line.send(b"0\r\n\r\n")
        assert (await line.response()).status == 200


async def test_a_client_that_leaves_in_the_middle_of_its_body_starts_nothing(rig: Rig) -> None:
    gateway = await gateway_with(rig)
    async with connected(gateway.port) as line:
        await line.send(post()[:-10])
    await until(lambda: gateway.metric("penstock_requests_refused_total", reason="client_closed") == 1)
    assert gateway.accepted == []


# -- connections --------------------------------------------------------------------------------------------------


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
    gateway = await rig.gateway(upstream, settle=1.0)
    async with connected(gateway.port) as line:
        began = asyncio.get_running_loop().time()
        await line.send(post())
        assert (await line.response()).body.endswith(frames.DONE)
        await line.send(post())
        assert (await line.response()).body.endswith(frames.DONE)
        assert asyncio.get_running_loop().time() - began < 0.9
