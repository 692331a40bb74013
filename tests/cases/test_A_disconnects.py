"""A. The client leaves: the provider is left within a second, in every phase, and nobody else is blamed."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from penstock.testing.client import CHAT, RawClient
from penstock.testing.rig import LiveGateway, Rig, request, until
from penstock.testing.steps import (
    accept,
    cut,
    done,
    err,
    fin,
    forever,
    hdr,
    pause,
    ping,
    raw,
    role,
    st,
    tok,
    tool,
    until_closed,
    usage,
    words,
)
from penstock.testing.upstream import Script, Step

Leave = Callable[[RawClient], None]
LEAVE = pytest.mark.parametrize("leave", [RawClient.close, RawClient.abort], ids=["fin", "rst"])
STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
ANSWER: Script = [hdr(), role(), tok(3), fin(), usage(9, 3), done()]


async def left(gateway: LiveGateway) -> None:
    """The record of a stream whose client left, and left alone."""
    record = await gateway.record(within=1.0)
    assert record["outcome"] == "client_closed"
    assert gateway.metric("penstock_streams_total", outcome="client_closed") == len(gateway.records)


# -- A1 -----------------------------------------------------------------------------------------------------------


@LEAVE
async def test_A1_ghost_generation(rig: Rig, leave: Leave) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.05)])
    gateway = await rig.gateway(upstream)
    client = await gateway.open()
    await client.events(5)
    leave(client)
    await upstream.requests[0].closed(within=1.0)
    assert upstream.requests[0].tokens_written < 30
    await left(gateway)


async def test_A1_tool_call(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tool(), forever(raw(b": alive\n\n"), pause(0.02))])
    gateway = await rig.gateway(upstream)
    client = await gateway.open()
    await client.events(4)
    client.close()
    await upstream.requests[0].closed(within=1.0)
    await left(gateway)


async def test_A1_back_to_back(rig: Rig) -> None:
    # Nothing between the tokens: no gap in which the leaving would be seen by chance.
    upstream = await rig.upstream([hdr(), forever(tok(10))])
    gateway = await rig.gateway(upstream, slow_timeout=5)
    client = await gateway.open()
    await client.events(20)
    client.close()
    await upstream.requests[0].closed(within=1.0)
    await left(gateway)


async def test_A1_over_tls(rig: Rig, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.05)], ssl=context)
    gateway = await rig.gateway(upstream, provider={"ca": str(tmp_path / "ca.pem")})
    client = await gateway.open()
    await client.events(5)
    client.close()
    await upstream.requests[0].closed(within=1.0)
    await left(gateway)


@LEAVE
async def test_A1_on_a_connection_that_served_before(rig: Rig, leave: Leave) -> None:
    upstream = await rig.upstream(ANSWER, [hdr(), tok(1000, gap=0.05)])
    gateway = await rig.gateway(upstream)
    client = await gateway.open()
    assert (await client.answer()).marks == 1
    await client.post(CHAT, request())
    await client.events(3)
    leave(client)
    await upstream.requests[1].closed(within=1.0)
    outcomes = [(await gateway.record())["outcome"] for _ in range(2)]
    assert outcomes == ["completed", "client_closed"]


# -- A2 -----------------------------------------------------------------------------------------------------------


@LEAVE
async def test_A2_while_its_body_arrives(rig: Rig, leave: Leave) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    client = await gateway.connect()
    await client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
    await until(lambda: gateway._server.server_state.tasks, what="the request is being read")
    leave(client)
    await until(lambda: gateway.metric("penstock_requests_refused_total", reason="client_closed") == 1, within=1.0)
    assert upstream.requests == []


@LEAVE
@STREAM
async def test_A2_while_connecting(rig: Rig, leave: Leave, stream: bool) -> None:
    second = await rig.upstream(ANSWER)
    gateway = await rig.gateway(rig.blackhole(), second, connect=10, first_token=10, total=20)
    client = await gateway.open(stream)
    await until(lambda: gateway.pool_busy == 1, what="the gateway connects")
    leave(client)
    await left(gateway)
    assert second.requests == []


PHASES: dict[str, list[Step]] = {
    "no headers": [accept(), until_closed()],
    "no token": [hdr(), until_closed()],
    "role, no token": [hdr(), role(), until_closed()],
    "pings, no token": [hdr(), role(), forever(ping(), pause(0.05))],
    "error body": [hdr(status=503, content_type="application/json"), raw(b'{"error":'), until_closed()],
}


@LEAVE
@STREAM
@pytest.mark.parametrize("script", PHASES.values(), ids=PHASES)
async def test_A2_before_the_first_token(rig: Rig, leave: Leave, stream: bool, script: list[Step]) -> None:
    upstream, second = await rig.upstream(script), await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream, second, first_token=10, total=20)
    client = await gateway.open(stream)
    seen = await upstream.asked()
    if len(script) > 2:
        await until(lambda: seen.bytes_written > 0)
    leave(client)
    await seen.closed(within=1.0)
    await left(gateway)
    assert second.requests == []


@LEAVE
@STREAM
async def test_A2_between_attempts(rig: Rig, leave: Leave, stream: bool) -> None:
    first = await rig.upstream([st(503, {"error": {"message": "later"}})])
    second, third = await rig.upstream([accept(), until_closed()]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(first, second, third, first_token=10, total=20)
    client = await gateway.open(stream)
    seen = await second.asked()
    leave(client)
    await seen.closed(within=1.0)
    await left(gateway)
    assert third.requests == []


async def test_A2_after_an_early_head(rig: Rig) -> None:
    # The 200 and keep-alives are out already, and still no token.
    upstream = await rig.upstream([accept(), until_closed()])
    gateway = await rig.gateway(upstream, first_token=10, total=20, commit_after=0.05, keepalive=0.05)
    client = await gateway.open()
    await client.until(b": keep-alive\n\n: keep-alive\n\n")
    client.close()
    await upstream.requests[0].closed(within=1.0)
    await left(gateway)


async def test_A2_sweep_from_accept_to_first_byte(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(delay=0.002), role(), tok(200, gap=0.01)])
    gateway = await rig.gateway(upstream)
    for number in range(50):
        client = await gateway.open(stream=number % 3 != 0)
        began = time.monotonic()
        await until(lambda at=began + number * 0.0001: time.monotonic() >= at)
        (client.close if number % 2 else client.abort)()
    # A reset that overtakes the request leaves nothing to be begun.
    await until(lambda: not len(gateway.gateway.streams) and not gateway._server.server_state.connections)
    assert {record["outcome"] for record in gateway.records} == {"client_closed"}


# -- A3 -----------------------------------------------------------------------------------------------------------


@LEAVE
@pytest.mark.parametrize("stream", [False, None], ids=["false", "absent"])
@pytest.mark.parametrize(
    ("script", "tokens"),
    [([accept(), pause(20)], 0), ([hdr(), role(), tok(1000, gap=0.02)], 5)],
    ids=["silent", "generating"],
)
async def test_A3_not_streamed(rig: Rig, leave: Leave, stream: bool | None, script: Script, tokens: int) -> None:
    upstream = await rig.upstream(script)
    gateway = await rig.gateway(upstream, first_token=10, total=20)
    client = await gateway.open(stream)
    seen = await upstream.asked()
    await until(lambda: seen.tokens_written >= tokens)
    leave(client)
    await seen.closed(within=1.0)
    await left(gateway)


# -- A4 -----------------------------------------------------------------------------------------------------------


async def test_A4_nothing_leaks_on_abort(rig: Rig) -> None:
    scripts: list[Script] = [*PHASES.values(), [hdr(), tok(1000, gap=0.01)], ANSWER]
    upstream = await rig.upstream(*(scripts[number % len(scripts)] for number in range(50)), ANSWER)
    gateway = await rig.gateway(upstream, first_token=10, total=20)
    for number in range(50):
        client = await gateway.open(stream=number % 2 == 0)
        await upstream.asked(number + 1)
        (client.close if number % 3 else client.abort)()
    await until(lambda: not len(gateway.gateway.streams), what="all are over")
    assert (await gateway.ask()).text == words(3)
    assert gateway.metric("penstock_streams_active") == 0


# -- A6 -----------------------------------------------------------------------------------------------------------


@STREAM
async def test_A6_no_failover_for_nobody(rig: Rig, stream: bool) -> None:
    first, second = await rig.upstream([pause(0.5), st(503)]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(first, second, first_token=10, total=20)
    client = await gateway.open(stream)
    seen = await first.asked()
    client.close()
    await seen.closed(within=0.45)
    await left(gateway)
    assert second.requests == []


# -- A7 -----------------------------------------------------------------------------------------------------------

BROKEN = {"message": "broken"}
CAUSES: dict[str, tuple[Script, str]] = {
    "cut": ([hdr(), tok(3), cut()], "upstream_cut"),
    "no first token": ([hdr(), role(), until_closed()], "first_token_timeout"),
    "stall": ([hdr(), tok(3), until_closed()], "stalled"),
    "in-band error": ([hdr(), tok(3), err()], "upstream_error"),
    "status": ([st(500, {"error": BROKEN})], "upstream_error"),
    "too long": ([hdr(), forever(tok(1, gap=0.05))], "max_duration"),
    "empty": ([hdr(), role(), fin(), done()], "empty"),
    "complete": (ANSWER, "completed"),
}


@STREAM
@pytest.mark.parametrize(("script", "outcome"), CAUSES.values(), ids=CAUSES)
async def test_A7_the_blame_is_the_same_everywhere(rig: Rig, stream: bool, script: Script, outcome: str) -> None:
    upstream = await rig.upstream(script)
    gateway = await rig.gateway(upstream, first_token=0.3, between_tokens=0.3, total=0.7)
    answer = await gateway.ask(stream)
    record = await gateway.record()
    assert record["outcome"] == outcome
    assert gateway.metric("penstock_streams_total") == gateway.metric("penstock_streams_total", outcome=outcome) == 1
    assert gateway.metric("penstock_attempts_total", outcome=outcome) == 1
    if outcome == "completed":
        assert answer.error is None
    else:
        # A provider's own words go on as they are.
        assert answer.error is not None
        assert outcome in (answer.error.get("code"), answer.error.get("outcome")) or answer.error == BROKEN


@LEAVE
async def test_A7_leaving_on_the_end_marker_is_success(rig: Rig, leave: Leave) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), fin(), usage(9, 3), done(), pause(0.1)])
    gateway = await rig.gateway(upstream)
    client = await gateway.open()
    await client.until(b"[DONE]")
    leave(client)
    record = await gateway.record()
    assert (record["outcome"], record["usage"]["input"], record["usage"]["output"]) == ("completed", 9, 3)


@LEAVE
async def test_A7_leaving_on_the_finish_is_success_with_its_bill(rig: Rig, leave: Leave) -> None:
    # As some clients do: they hang up on the finish, before usage and end marker have come.
    upstream = await rig.upstream([hdr(), role(), tok(3), fin(), pause(0.05), usage(9, 3), done()])
    gateway = await rig.gateway(upstream, settle=1.0)
    client = await gateway.open()
    await client.until(b'"finish_reason":"stop"')
    leave(client)
    record = await gateway.record()
    assert (record["outcome"], record["usage"]["output"]) == ("completed", 3)


async def test_A7_leaving_before_the_finish_is_not(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), until_closed()])
    gateway = await rig.gateway(upstream)
    client = await gateway.open()
    await client.events(4)
    client.close()
    await left(gateway)


# -- A9 -----------------------------------------------------------------------------------------------------------


@STREAM
async def test_A9_half_close_is_no_goodbye(rig: Rig, stream: bool) -> None:
    upstream = await rig.upstream([hdr(delay=0.2), role(), tok(10, gap=0.05), fin(), done()])
    gateway = await rig.gateway(upstream)
    client = await gateway.open(stream)
    client.half_close()
    answer = await client.answer()
    assert (answer.status, answer.text, answer.ended) == (200, words(10), "clean")
    assert (await gateway.record())["outcome"] == "completed"


async def test_A9_half_close_in_mid_stream(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(20, gap=0.05), fin(), done()])
    gateway = await rig.gateway(upstream)
    client = await gateway.open()
    await client.events(5)
    client.half_close()
    answer = await client.answer()
    assert (answer.text, answer.marks, answer.ended) == (words(20), 1, "clean")
    assert (await gateway.record())["outcome"] == "completed"


async def test_A9_half_close_then_gone(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.05)])
    gateway = await rig.gateway(upstream, total=10)
    client = await gateway.open()
    client.half_close()
    await client.events(5)
    client.close()
    await upstream.requests[0].closed(within=1.0)
    await left(gateway)


SILENCES: dict[str, Script] = {
    "before the head": [accept(), until_closed()],
    "before the first token": [hdr(), role(), until_closed()],
    "mid-stream": [hdr(), role(), tok(3), until_closed()],
}


@LEAVE
@STREAM
@pytest.mark.parametrize("script", SILENCES.values(), ids=SILENCES)
async def test_A9_gone_in_silence(rig: Rig, leave: Leave, stream: bool, script: Script) -> None:
    # A full close looks like a half-close at first, and no byte is due that would tell.
    upstream = await rig.upstream(script)
    gateway = await rig.gateway(upstream, first_token=10, between_tokens=10, total=20)
    client = await gateway.open(stream)
    seen = await upstream.asked()
    if stream and seen.tokens_written:
        await client.events(4)
    leave(client)
    await seen.closed(within=1.0)
    await left(gateway)
