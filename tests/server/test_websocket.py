"""``WS /v1/stream``: every client wire, endings, stop, resume, pressure and leaving, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from penstock.config.values import Config, Key, Provider, Route, Target
from penstock.framing.jsonarray import JSONArrayFramer
from penstock.framing.ndjson import NDJSONFramer
from penstock.framing.sse import SSEFramer
from penstock.sim.provider import Sim
from penstock.testing import frames
from penstock.testing.client import CHAT
from penstock.testing.rig import LiveGateway, Rig, request, until
from penstock.testing.steps import accept, cut, done, fin, forever, hdr, raw, role, st, tok, until_closed, usage, words

HELLO = [{"role": "user", "content": "Hello"}]
TURNS = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
ASKED: dict[str, tuple[str, dict[str, Any], Any]] = {
    "openai-chat": (CHAT, {"model": "m", "messages": HELLO, "stream": True}, SSEFramer),
    "openai-responses": ("/v1/responses", {"model": "m", "input": "Hello", "stream": True}, SSEFramer),
    "anthropic-messages": (
        "/v1/messages",
        {"model": "m", "max_tokens": 9, "messages": HELLO, "stream": True},
        SSEFramer,
    ),
    "cohere-chat": ("/v2/chat", {"model": "m", "messages": HELLO, "stream": True}, SSEFramer),
    "gemini": ("/v1beta/models/m:streamGenerateContent?alt=sse", TURNS, SSEFramer),
    "gemini array": ("/v1beta/models/m:streamGenerateContent", TURNS, JSONArrayFramer),
    "ollama-chat": ("/api/chat", {"model": "m", "messages": HELLO}, NDJSONFramer),
}


@contextlib.asynccontextmanager
async def socket(gateway: LiveGateway, query: str = "", **options: Any) -> AsyncIterator[ClientConnection]:
    options = {"compression": None, "ping_interval": None, "proxy": None, **options}
    async with connect(f"ws://127.0.0.1:{gateway.port}/v1/stream{query}", **options) as ws:
        yield ws


async def rest(ws: ClientConnection) -> list[str]:
    """All messages up to the close."""
    found: list[str] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            found.append(str(await ws.recv()))
    return found


async def told(gateway: LiveGateway, message: Any, **options: Any) -> tuple[list[str], int | None, str | None]:
    """The messages and the close that a first message leads to."""
    async with socket(gateway, **options) as ws:
        await ws.send(message if isinstance(message, str) else json.dumps(message))
        found = await rest(ws)
        return found, ws.close_code, ws.close_reason


def chat(stream: bool | None = True, **more: Any) -> dict[str, Any]:
    return {"path": CHAT, "body": request(stream=stream), **more}


@pytest.mark.parametrize("asked", ASKED)
async def test_a_message_a_frame_on_every_wire(rig: Rig, asked: str) -> None:
    path, body, framer = ASKED[asked]
    wire = asked.partition(" ")[0]
    async with Sim() as sim:
        base = sim.base_url if wire.startswith("openai-") else sim.base_url.removesuffix("/v1")
        settings = Config(
            providers=(Provider(name="sim", wire=wire, base_url=base),),
            routes=(Route(name="m", targets=(Target("sim", "sim?tokens=12&gap=1ms&first=0&seed=3"),)),),
        )
        gateway = await rig.gateway(settings=settings)
        resumable = {"x-penstock-resume": "on"}
        whole, code, reason = await told(gateway, {"path": path, "body": body, "headers": resumable, "head": True})
        head = json.loads(whole.pop(0))
        assert (code, reason, head["status"]) == (1000, "completed", 200) or (code, reason) == (1000, "")
        stream = head["headers"]["x-penstock-stream"]
        over_http = await gateway.post(path, body, {"Last-Event-ID": f"{stream}.0"})
        assert "".join(whole).encode() == over_http.body
        assert [message.encode() for message in whole] == framer().feed(over_http.body) and len(whole) > 10
        for after in (0, 5, len(whole) - 1):
            again, code, _ = await told(
                gateway, {"path": path, "body": body, "headers": {"last-event-id": f"{stream}.{after}"}}
            )
            assert (again, code) == (whole[after:], 1000)
        followed, code, _ = await told(gateway, {"path": f"/v1/streams/{stream}/events", "after": 5})
        assert code == 1000 and len(followed) in (len(whole) - 5, len(whole) - 6)
        if framer is SSEFramer:
            assert followed == whole[5:]


async def test_an_answer_that_is_asked_for_whole_is_one_message(rig: Rig) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), role(), tok(3), fin(), usage(9, 3), done()]))
    (message,), code, _ = await told(gateway, chat(stream=False))
    assert json.loads(message)["choices"][0]["message"]["content"] == words(3) and code == 1000


@pytest.mark.parametrize(
    ("steps", "code", "reason"),
    [
        pytest.param([hdr(), role(), tok(2), cut()], 1011, "upstream_cut", id="cut"),
        pytest.param([hdr(), role(), tok(2), until_closed()], 1011, "stalled", id="stalled"),
        pytest.param([st(503)], 4503, "upstream_error", id="refused"),
        pytest.param([accept(), until_closed()], 4504, "first_token_timeout", id="silent"),
    ],
)
async def test_the_close_says_how_it_ended(rig: Rig, steps: list[Any], code: int, reason: str) -> None:
    gateway = await rig.gateway(await rig.upstream(steps), first_token=0.2, between_tokens=0.2)
    messages, *closed = await told(gateway, chat())
    assert closed == [code, reason]
    error = json.loads(messages[-1].removeprefix("data: "))["error"]
    assert error["code"] == (await gateway.record())["outcome"] == reason or reason == "upstream_error"


REFUSED: dict[str, tuple[Any, int]] = {
    "no JSON": ("hello", 4400),
    "no path": ({"body": {}}, 4400),
    "an unknown field": ({"path": CHAT, "body": {}, "mode": 1}, 4400),
    "a relative path": ({"path": "v1/chat", "body": {}}, 4400),
    "a header that is none": ({"path": CHAT, "body": {}, "headers": {"x": "\u2028"}}, 4400),
    "a header that would be two": ({"path": CHAT, "body": {}, "headers": {"x-request-id": "a\r\nb: c"}}, 4400),
    "a header's name that is none": ({"path": CHAT, "body": {}, "headers": {"x: y": "a"}}, 4400),
    "a path in two lines": ({"path": "/v1/chat/completions?a\r\n", "body": {}}, 4400),
    "no such path": ({"path": "/v1/nothing", "body": {"model": "m"}}, 4404),
    "no body": ({"path": CHAT}, 4405),
    "no such model": ({"path": CHAT, "body": {"model": "x", "messages": HELLO}}, 4404),
    "an expired stream": ({"path": "/v1/streams/st_x/events", "after": 3}, 4410),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_is_told_as_over_http(rig: Rig, case: str) -> None:
    message, expected = REFUSED[case]
    gateway = await rig.gateway(await rig.upstream([hdr(), tok(1), fin(), done()]))
    (said,), code, _ = await told(gateway, message)
    assert code == expected
    assert json.loads(said)["error"]["message"]


async def test_keys_come_with_the_handshake_or_with_the_first_message(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), fin(), done()])
    gateway = await rig.gateway(upstream, keys=(Key(name="a", key="sk-client"),))
    bearer = {"Authorization": "Bearer sk-client"}
    assert (await told(gateway, chat()))[1] == 4401
    assert (await told(gateway, chat(headers={"Authorization": "Bearer no"})))[1] == 4401
    assert (await told(gateway, chat(headers=bearer)))[1] == 1000
    assert (await told(gateway, chat(), additional_headers=bearer))[1] == 1000
    assert (await told(gateway, chat(), query="?key=sk-client"))[1] == 1000
    # A page of another site has no key of its own accord: with keys any origin may come.
    assert (await told(gateway, chat(headers=bearer), origin="https://else.example"))[1] == 1000


async def test_pages_of_other_sites_are_kept_out_of_an_open_gateway(rig: Rig) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), role(), tok(3), fin(), done()]))
    for origin in ("https://else.example", f"http://127.0.0.1.else.example:{gateway.port}", "null", "http://[x"):
        with pytest.raises(InvalidStatus) as refused:
            await told(gateway, chat(), origin=origin)
        assert refused.value.response.status_code == 403
    assert (await told(gateway, chat(), origin=f"http://127.0.0.1:{gateway.port}"))[1] == 1000


async def test_stop_ends_the_generation_and_the_answer_is_finished(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.02)])
    gateway = await rig.gateway(upstream)
    async with socket(gateway) as ws:
        await ws.send(json.dumps(chat()))
        for _ in range(3):
            await ws.recv()
        await ws.send('{"type": "stop"}')
        messages = await rest(ws)
        assert (ws.close_code, ws.close_reason) == (1000, "stopped")
    assert messages[-1] == "data: [DONE]\n\n" and any('"finish_reason":"stop"' in message for message in messages)
    assert (await gateway.record())["outcome"] == "stopped"
    await upstream.requests[0].closed(within=1.0)


async def test_another_message_ends_it(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.02)])
    gateway = await rig.gateway(upstream)
    async with socket(gateway) as ws:
        await ws.send(json.dumps(chat()))
        await ws.recv()
        await ws.send('{"type": "sotp"}')
        await rest(ws)
        assert ws.close_code == 4400 and "stop" in (ws.close_reason or "")
    await upstream.requests[0].closed(within=1.0)


LEAVING: dict[str, list[Any]] = {
    "no head": [accept(), until_closed()],
    "no token": [hdr(), role(), until_closed()],
    "streaming": [hdr(), role(), tok(1000, gap=0.02)],
}


@pytest.mark.parametrize("phase", LEAVING)
@pytest.mark.parametrize("manner", ["close", "abort"])
async def test_a_client_that_leaves_is_seen_in_every_phase(rig: Rig, phase: str, manner: str) -> None:
    upstream = await rig.upstream(LEAVING[phase])
    gateway = await rig.gateway(upstream, first_token=10, between_tokens=10, total=20)
    async with socket(gateway) as ws:
        await ws.send(json.dumps(chat()))
        seen = await upstream.asked()
        if phase == "streaming":
            await until(lambda: seen.tokens_written > 2)
        if manner == "abort":
            ws.transport.abort()
        else:
            await ws.close()
        await seen.closed(within=1.0)
    assert (await gateway.record())["outcome"] == "client_closed"


async def test_one_that_says_nothing_and_leaves(rig: Rig) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr()]))
    async with socket(gateway):
        pass
    assert gateway.accepted == []


async def test_a_client_that_reads_nothing_pauses_the_provider_and_is_cut_at_last(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), forever(raw(frames.chunk("x" * 8000)))])
    gateway = await rig.gateway(upstream, slow_timeout=0.3, between_tokens=10, total=20)
    async with socket(gateway, max_queue=1) as ws:
        ws.transport.pause_reading()
        await ws.send(json.dumps(chat()))
        record = await gateway.record()
        assert record["outcome"] == "slow_client" and record["bytes_out"] < 8 * 1024 * 1024
        await upstream.requests[0].closed(within=1.0)
        ws.transport.abort()


async def test_pings_are_answered(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(50, gap=0.02), fin(), done()])
    gateway = await rig.gateway(upstream)
    async with socket(gateway) as ws:
        await ws.send(json.dumps(chat()))
        await ws.recv()
        async with asyncio.timeout(2):
            await (await ws.ping())
        await rest(ws)
        assert ws.close_code == 1000


async def test_other_paths_take_no_websocket(rig: Rig) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr()]))
    with pytest.raises(InvalidStatus):
        async with connect(f"ws://127.0.0.1:{gateway.port}{CHAT}", proxy=None):
            pass
