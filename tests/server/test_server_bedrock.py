"""Bedrock's wires through the gateway, over real sockets: streams, endings, errors, failover."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock.config.values import Config, Provider, Route, Target
from penstock.framing.sse import SSEFramer
from penstock.testing import bedrock, messages
from penstock.testing.bedrock import START, answer, arguments, closed, exception, metadata, stop, text, thought, tool
from penstock.testing.client import CHAT, Answer
from penstock.testing.rig import MESSAGES as HELLO
from penstock.testing.rig import LiveGateway, Rig
from penstock.testing.steps import cut, done, eof, fin, hdr, pause, raw, split, st, tok, words
from penstock.testing.upstream import ScriptedUpstream, Step

KIND = "application/vnd.amazon.eventstream"
CONVERSE: dict[str, Any] = {"wire": "bedrock-converse", "region": "us-east-1"}
INVOKE: dict[str, Any] = {"wire": "bedrock-invoke", "region": "us-east-1"}
MESSAGES = "/v1/messages"
WRAPPED = b"".join(
    bedrock.chunk_frame(frame.split(b"\ndata: ")[1][:-2]) for frame in SSEFramer().feed(messages.answer("Hel", "lo"))
)


async def provider(rig: Rig, *scripts: list[Step]) -> ScriptedUpstream:
    """A provider whose scripts begin with the head of an event stream."""
    return await rig.upstream(*([hdr(content_type=KIND), *script] for script in scripts))


async def gateway_to(
    rig: Rig, *upstreams: ScriptedUpstream, wire: dict[str, Any] = CONVERSE, **more: Any
) -> LiveGateway:
    return await rig.gateway(*(upstream.base_url for upstream in upstreams), provider=wire, **more)


async def ask_messages(gateway: LiveGateway, stream: bool = True, headers: dict[str, str] | None = None) -> Answer:
    client = await gateway.connect()
    await client.post(MESSAGES, {"model": "m", "max_tokens": 9, "stream": stream, "messages": HELLO}, headers)
    try:
        return await client.answer()
    finally:
        client.close()


@pytest.mark.parametrize("piece", [0, 1, 7])
@pytest.mark.parametrize("stream", [True, False])
async def test_converse_to_a_chat_client(rig: Rig, stream: bool, piece: int) -> None:
    body = START + thought(text="hm") + thought(signature="s") + closed() + text("Hel", 1) + text("lo", 1) + closed(1)
    body += tool("f", 2, "t1") + arguments('{"a":1}', 2) + closed(2) + stop("tool_use") + metadata(5, 7)
    upstream = await provider(rig, [split(piece), raw(body), eof()] if piece else [raw(body), eof()])
    gateway = await gateway_to(rig, upstream)
    answer = await gateway.ask(stream)
    record = await gateway.record()
    assert (answer.status, answer.text, answer.ended, record["outcome"]) == (200, "Hello", "clean", "completed")
    assert record["finish"] == "tool_use" and record["usage"]["input"] == 5 and record["usage"]["output"] == 7
    seen = upstream.requests[0]
    assert seen.path.endswith("/model/model/converse-stream")
    assert seen.headers["authorization"] == "Bearer sk-scripted-secret" and seen.headers["accept"] == KIND
    assert seen.json == {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    if not stream:
        message = answer.json["choices"][0]["message"]
        assert message["reasoning_content"] == "hm" and message["tool_calls"][0]["function"]["arguments"] == '{"a":1}'


@pytest.mark.parametrize("stream", [True, False])
async def test_converse_to_an_anthropic_client(rig: Rig, stream: bool) -> None:
    upstream = await provider(rig, [raw(answer("Hel", "lo")), eof()])
    gateway = await gateway_to(rig, upstream)
    got = await ask_messages(gateway, stream)
    assert (await gateway.record())["outcome"] == "completed"
    if stream:
        assert b"".join(SSEFramer().feed(got.body)) == got.body and got.body.count(b"event: text_delta") == 0
        assert b'"stop_reason":"end_turn"' in got.body and b"event: message_stop" in got.body
    else:
        assert got.json["content"] == [{"type": "text", "text": "Hello"}] and got.json["usage"]["output_tokens"] == 2


async def test_invoke_hands_an_anthropic_client_anthropics_stream(rig: Rig) -> None:
    upstream = await provider(rig, [split(5), raw(WRAPPED), eof()])
    gateway = await gateway_to(rig, upstream, wire=INVOKE)
    got = await ask_messages(gateway, headers={"anthropic-beta": "context-1m-2025-08-07"})
    record = await gateway.record()
    assert got.body == messages.answer("Hel", "lo") and record["outcome"] == "completed"
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    seen = upstream.requests[0]
    assert seen.path.endswith("/model/model/invoke-with-response-stream") and "anthropic-beta" not in seen.headers
    assert seen.json == {
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["context-1m-2025-08-07"],
        "max_tokens": 9,
        "messages": HELLO,
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_invoke_to_a_chat_client(rig: Rig, stream: bool) -> None:
    upstream = await provider(rig, [raw(WRAPPED), eof()])
    gateway = await gateway_to(rig, upstream, wire=INVOKE)
    got = await gateway.ask(stream)
    assert (got.status, got.text) == (200, "Hello") and (await gateway.record())["outcome"] == "completed"


BEGUN = START + text("Hel")
ENDINGS: dict[str, tuple[Callable[[], list[Step]], str]] = {
    "no metadata": (lambda: [raw(BEGUN + stop()), eof()], "completed"),
    "no end": (lambda: [raw(BEGUN), eof()], "upstream_cut"),
    "cut": (lambda: [raw(BEGUN), cut()], "upstream_cut"),
    "cut behind the finish": (lambda: [raw(BEGUN + stop()), cut()], "upstream_cut"),
    "inside a frame": (lambda: [raw(BEGUN + text("lo")[:-3]), eof()], "upstream_cut"),
    "inside the metadata": (lambda: [raw(BEGUN + stop() + metadata()[:-3]), eof()], "upstream_cut"),
    "a wrong checksum": (lambda: [raw(BEGUN + text("lo")[:-1] + b"\0" + stop() + metadata()), eof()], "upstream_error"),
    "an exception": (lambda: [raw(BEGUN + exception("throttlingException")), eof()], "upstream_error"),
    "a malformed answer": (lambda: [raw(BEGUN + stop("malformed_tool_use") + metadata()), eof()], "upstream_error"),
    "silence": (lambda: [raw(BEGUN), pause(None)], "stalled"),
    "silence behind the finish": (lambda: [raw(BEGUN + stop()), pause(None)], "completed"),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_endings(rig: Rig, ending: str) -> None:
    make, outcome = ENDINGS[ending]
    upstream = await provider(rig, make())
    gateway = await gateway_to(rig, upstream, between_tokens=0.2)
    got = await gateway.ask()
    assert (await gateway.record())["outcome"] == outcome
    assert got.text == "Hel" and got.ended == "clean"
    assert (got.error is None) == (outcome == "completed") == (b"[DONE]" in got.body)
    if ending == "an exception":
        assert got.error is not None
        assert (got.error["code"], got.error["status"]) == ("throttlingException", 429)


@pytest.mark.parametrize(
    "first",
    [
        [hdr(content_type=KIND), raw(exception("serviceUnavailableException")), eof()],
        [hdr(content_type=KIND), raw(START + exception("throttlingException")), eof()],
        [hdr(content_type=KIND), raw(b"\0\0\0\x10" + bytes(12)), eof()],
        [hdr(content_type=KIND), raw(START), eof()],
        [st(429, {"message": "Too many requests"}, [("x-amzn-errortype", "ThrottlingException")])],
        [st(503, {"message": "no"})],
    ],
)
async def test_what_fails_before_a_token_goes_to_the_next_target(rig: Rig, first: list[Step]) -> None:
    broken = await rig.upstream(first)
    good = await provider(rig, [raw(answer("Hello")), eof()])
    gateway = await gateway_to(rig, broken, good)
    got = await gateway.ask()
    assert (got.status, got.text) == (200, "Hello") and got.headers["x-penstock-attempts"] == "2"


@pytest.mark.parametrize(("name", "status"), [("throttlingException", 429), ("modelStreamErrorException", 424)])
async def test_an_exception_alone_is_a_status(rig: Rig, name: str, status: int) -> None:
    upstream = await provider(rig, [raw(exception(name, "slow down")), eof()])
    gateway = await gateway_to(rig, upstream)
    got = await gateway.ask()
    assert got.status == status and got.error is not None
    assert (got.error["message"], got.error["type"], got.error["code"]) == ("slow down", name, name)
    told = await ask_messages(gateway)
    assert told.status == status and told.json["error"]["provider_type"] == name


async def test_an_error_body_is_told_in_the_clients_wire(rig: Rig) -> None:
    headers = [("x-amzn-errortype", "ValidationException:http://internal.amazon.com/coral/")]
    upstream = await rig.upstream([st(400, {"message": "Input is too long"}, headers)])
    for wire in (CONVERSE, INVOKE):
        gateway = await gateway_to(rig, upstream, wire=wire)
        got = await ask_messages(gateway)
        assert got.status == 400 and got.json["type"] == "error"
        assert got.json["error"]["message"] == "Input is too long"
        assert got.json["error"]["type"] == "invalid_request_error"
        chat = await gateway.ask()
        assert chat.status == 400 and chat.error is not None and chat.error["message"] == "Input is too long"
        assert chat.error["code"] == "ValidationException"


async def test_what_converse_has_no_place_for_never_leaves(rig: Rig) -> None:
    upstream = await provider(rig, [raw(answer("x")), eof()])
    gateway = await gateway_to(rig, upstream)
    client = await gateway.connect()
    await client.post(CHAT, {"model": "m", "messages": HELLO, "seed": 7})
    got = await client.answer()
    assert got.status == 400 and got.json["error"]["param"] == "seed" and not upstream.requests


async def test_a_chat_provider_may_stand_in_for_bedrock(rig: Rig) -> None:
    """Targets of one route may speak different wires: each gets the request in its own."""
    broken = await rig.upstream([st(503, {"message": "no"})])
    good = await rig.upstream([hdr(), tok(2), fin(), done(), eof()])
    settings = Config(
        providers=(
            Provider(name="aws", base_url=broken.base_url, api_key="k", wire="bedrock-converse"),
            Provider(name="chat", base_url=good.base_url, wire="openai-chat"),
        ),
        routes=(Route(name="m", targets=(Target("aws", "anthropic.claude-v1:0"), Target("chat", "gpt"))),),
    )
    gateway = await rig.gateway(settings=settings)
    got = await gateway.ask()
    assert got.text == words(2) and "anthropic.claude-v1%3A0" in broken.requests[0].path
    assert good.requests[0].json["model"] == "gpt"


async def test_a_client_that_leaves_stops_the_generation(rig: Rig) -> None:
    upstream = await provider(rig, [raw(BEGUN), pause(None)])
    gateway = await gateway_to(rig, upstream, between_tokens=5)
    client = await gateway.open()
    await client.events(2)
    client.close()
    await upstream.requests[0].closed(within=1.0)
    assert (await gateway.record())["outcome"] == "client_closed"
