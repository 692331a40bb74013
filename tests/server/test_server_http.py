"""HTTP at the door: paths, methods and bodies."""

import json
from typing import Any

import openai
import pytest
from server_client import connected, post

from penstock.testing.client import CHAT
from penstock.testing.rig import MESSAGES, LiveGateway, Rig, until
from penstock.testing.steps import done, fin, hdr, role, tok, words

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
