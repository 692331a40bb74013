"""N. Observability and operations: every ending is counted once, and a deploy cuts nothing it need not cut."""

import json
from collections import Counter
from pathlib import Path

import pytest

from penstock.testing import frames
from penstock.testing.client import CHAT
from penstock.testing.process import ServeProcess, document
from penstock.testing.rig import Rig, request, until
from penstock.testing.steps import (
    accept,
    cut,
    done,
    eof,
    err,
    fin,
    forever,
    hdr,
    pause,
    ping,
    raw,
    role,
    rst,
    st,
    tok,
    until_closed,
    usage,
    words,
)
from penstock.testing.upstream import Script, Step

STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
ANSWER: Script = [hdr(), role(), tok(3), fin(), usage(9, 3), done()]

ENDINGS: dict[str, tuple[Script, str]] = {
    "complete": (ANSWER, "completed"),
    "finish without a mark": ([hdr(), tok(3), fin(), eof()], "completed"),
    "refused": ([st(400, {"error": {"message": "no"}})], "upstream_error"),
    "rate limit": ([st(429, {"error": {"message": "slow"}})], "upstream_error"),
    "broken": ([st(500)], "upstream_error"),
    "error first": ([hdr(), err()], "upstream_error"),
    "error later": ([hdr(), tok(2), err(), done()], "upstream_error"),
    "cut": ([hdr(), tok(2), cut()], "upstream_cut"),
    "reset": ([hdr(), tok(2), pause(0.02), rst()], "upstream_cut"),
    "clean end": ([hdr(), tok(2), eof()], "upstream_cut"),
    "no answer": ([cut()], "upstream_cut"),
    "empty": ([hdr(), role(), fin(), done()], "empty"),
    "silent": ([accept(), until_closed()], "first_token_timeout"),
    "pings": ([hdr(), forever(ping(), pause(0.03))], "first_token_timeout"),
    "stall": ([hdr(), tok(2), until_closed()], "stalled"),
    "endless": ([hdr(), forever(tok(1, gap=0.05))], "max_duration"),
}


# -- N1 -----------------------------------------------------------------------------------------------------------


@STREAM
async def test_N1_each_ending_is_counted_once(rig: Rig, stream: bool) -> None:
    upstream = await rig.upstream(*(script for script, _ in ENDINGS.values()))
    gateway = await rig.gateway(upstream, first_token=0.2, between_tokens=0.2, total=0.5)
    expected: Counter[str] = Counter()
    for name, (_, outcome) in ENDINGS.items():
        await gateway.ask(stream)
        expected[outcome] += 1
        record = await gateway.record()
        assert (name, record["outcome"]) == (name, outcome)
        counted = {word: gateway.metric("penstock_streams_total", outcome=word) for word in expected}
        assert counted == expected, name
        assert gateway.metric("penstock_streams_total") == expected.total()
        assert gateway.metric("penstock_attempts_total") == expected.total()
        assert gateway.metric("penstock_stream_duration_seconds_count") == expected.total()


async def test_N1_failed_attempts_are_counted_beside_the_stream(rig: Rig) -> None:
    first, second = await rig.upstream([hdr(), role(), cut()]), await rig.upstream([st(503)])
    gateway = await rig.gateway(first, second, await rig.upstream(ANSWER))
    await gateway.ask()
    assert gateway.metric("penstock_streams_total", outcome="completed", target="m3/model") == 1
    assert gateway.metric("penstock_attempts_total", outcome="upstream_cut", target="m1/model") == 1
    assert gateway.metric("penstock_attempts_total", outcome="upstream_error", target="m2/model") == 1
    assert gateway.metric("penstock_attempts_total", outcome="completed", target="m3/model") == 1


async def test_N1_connect_failed(rig: Rig) -> None:
    gateway = await rig.gateway("http://127.0.0.1:1/v1")
    answer = await gateway.ask()
    assert answer.status == 502
    assert answer.error is not None
    assert answer.error["code"] == (await gateway.record())["outcome"] == "connect_failed"


async def test_N1_slow_client(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), forever(raw(frames.chunk("x" * 8000)))])
    gateway = await rig.gateway(upstream, slow_timeout=0.2, between_tokens=10, total=20)
    await gateway.open(receive_buffer=4096)
    assert (await gateway.record())["outcome"] == "slow_client"
    await upstream.requests[0].closed(within=1.0)


async def test_N1_what_never_was_a_stream_is_no_outcome(rig: Rig) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    assert (await gateway.ask(model="unknown")).status == 404
    assert (await gateway.ask(stream="yes")).status == 400  # type: ignore[arg-type]
    assert (await gateway.get("/nothing")).status == 404
    assert gateway.metric("penstock_streams_total") == 0
    assert gateway.metric("penstock_requests_refused_total") == 3


# -- N2 -----------------------------------------------------------------------------------------------------------

NOT_YET: dict[str, list[Step]] = {
    "role": [hdr(), role(), pause(0.3)],
    "pings": [hdr(), *[ping(), pause(0.1)] * 3],
    "empty deltas": [hdr(), *[raw(frames.chunk("")), pause(0.1)] * 3],
    "late head": [hdr(delay=0.3), role()],
}


@STREAM
@pytest.mark.parametrize("start", NOT_YET.values(), ids=NOT_YET)
async def test_N2_time_to_first_token_is_that_of_a_token(rig: Rig, stream: bool, start: list[Step]) -> None:
    upstream = await rig.upstream([*start, tok(5, gap=0.04), fin(), done()])
    gateway = await rig.gateway(upstream, first_token=2)
    answer = await gateway.ask(stream)
    record = await gateway.record()
    assert 300 <= record["ttft_ms"] < 1300
    assert record["attempts"][0]["first_token_ms"] == record["ttft_ms"]
    assert record["duration_ms"] >= record["ttft_ms"] + 160
    assert gateway.metric("penstock_time_to_first_token_seconds_count") == 1
    assert 0.3 <= gateway.metric("penstock_time_to_first_token_seconds_sum") < 1.3
    if stream:
        # The client sees the same.
        first = next(at for at, piece in answer.reads if b"w0" in piece)
        assert first - answer.asked >= 0.3


async def test_N2_reasoning_is_a_token(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), raw(frames.reasoning("hm")), pause(0.4), tok(1), fin(), done()])
    gateway = await rig.gateway(upstream)
    await gateway.ask()
    assert (await gateway.record())["ttft_ms"] < 400


async def test_N2_failed_attempts_are_part_of_the_wait(rig: Rig) -> None:
    first = await rig.upstream([pause(0.2), st(503)])
    gateway = await rig.gateway(first, await rig.upstream([hdr(delay=0.1), tok(1), fin(), done()]))
    await gateway.ask()
    record = await gateway.record()
    assert record["ttft_ms"] >= 300
    assert record["attempts"][0]["first_token_ms"] is None


async def test_N2_no_token_no_time(rig: Rig) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), role(), until_closed()]), first_token=0.2)
    await gateway.ask()
    assert (await gateway.record())["ttft_ms"] is None
    assert gateway.metric("penstock_time_to_first_token_seconds_count") == 0


# -- N3 -----------------------------------------------------------------------------------------------------------


@STREAM
async def test_N3_a_running_stream_completes(rig: Rig, tmp_path: Path, stream: bool) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(20, gap=0.05), fin(), usage(9, 20), done()])
    async with ServeProcess(document([upstream.base_url], server={"drain": "10s"}), tmp_path) as process:
        assert (await process.get("/readyz")).status == 200
        kept = await process.connect()
        await kept.request("GET", "/healthz")
        await kept.answer()
        client = await process.open(stream)
        await until(lambda: upstream.requests and upstream.requests[0].tokens_written > 2)
        process.terminate()
        # It still listens: who asks is told, and told when to come again.
        while (ready := await process.get("/readyz")).status == 200:
            pass
        assert (ready.status, ready.headers["retry-after"]) == (503, "1")
        assert (await process.get("/healthz")).status == 200
        for newcomer in (await process.connect(), kept):
            await newcomer.post(CHAT, request(stream=stream))
            refused = await newcomer.answer()
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert refused.error is not None
            assert refused.error["code"] == "shutdown"
        answer = await client.answer()
        assert (answer.status, answer.text, answer.error, answer.ended) == (200, words(20), None, "clean")
        assert await process.exit_code() == 0
        assert (await process.record())["outcome"] == "completed"
        assert process.errors == []
    assert len(upstream.requests) == 1


async def test_N3_beyond_the_drain_time(rig: Rig, tmp_path: Path) -> None:
    live: list[Step] = [hdr(), role(), tok(1000, gap=0.05)]
    stalled: list[Step] = [hdr(), role(), tok(2), until_closed()]
    upstream = await rig.upstream(live, stalled, live, [accept(), until_closed()])
    async with ServeProcess(document([upstream.base_url], server={"drain": "500ms"}), tmp_path) as process:
        streamed = [await process.open(), await process.open()]
        for client in streamed:
            await client.events(2)
        waiting = [await process.open(stream=False), await process.open()]
        await upstream.asked(4)
        process.terminate()
        for client in streamed:
            answer = await client.answer()
            assert (answer.status, answer.ended, answer.finishes, answer.marks) == (200, "clean", [], 0)
            assert answer.error is not None
            assert (answer.error["code"], answer.error["status"]) == ("shutdown", 503)
        for client in waiting:
            answer = await client.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.error is not None
            assert answer.error["code"] == "shutdown"
        assert await process.exit_code(within=3.0) == 0
        assert [record["outcome"] for record in process.records] == ["shutdown"] * 4
        assert process.errors == []
        for seen in upstream.requests:
            await seen.closed(within=1.0)


async def test_N3_a_second_signal_ends_the_draining(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.05)])
    async with ServeProcess(document([upstream.base_url], server={"drain": "60s"}), tmp_path) as process:
        client = await process.open()
        await client.events(2)
        process.terminate()
        while (await process.get("/readyz")).status == 200:
            pass
        process.terminate()
        answer = await client.answer()
        assert answer.error is not None
        assert (answer.error["code"], answer.ended) == ("shutdown", "clean")
        assert await process.exit_code(within=3.0) == 0


async def test_N3_a_client_that_does_not_read_holds_no_deploy_up(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream([hdr(), forever(raw(frames.chunk("x" * 8000)))])
    settings = document([upstream.base_url], server={"drain": "300ms"}, delivery={"slow_client": {"timeout": "60s"}})
    async with ServeProcess(settings, tmp_path) as process:
        await process.open(receive_buffer=4096)
        await upstream.asked()
        process.terminate()
        assert await process.exit_code(within=3.0) == 0
        assert (await process.record())["outcome"] == "shutdown"
        await upstream.requests[0].closed(within=1.0)


async def test_N3_nothing_to_drain(tmp_path: Path) -> None:
    async with ServeProcess(document(["http://127.0.0.1:1/v1"], server={"drain": "60s"}), tmp_path) as process:
        kept = await process.connect()
        await kept.request("GET", "/healthz")
        await kept.answer()
        process.terminate()
        assert await process.exit_code(within=3.0) == 0


# -- N4 -----------------------------------------------------------------------------------------------------------


@STREAM
@pytest.mark.parametrize(
    ("end", "outcome"),
    [(cut(), "upstream_cut"), (until_closed(), "stalled"), (err("server_error", "x"), "upstream_error")],
)
async def test_N4_an_interrupted_stream_is_on_record(rig: Rig, stream: bool, end: Step, outcome: str) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), end])
    gateway = await rig.gateway(upstream, between_tokens=0.2)
    await gateway.ask(stream)
    record = await gateway.record()
    assert (record["outcome"], record["token_events"], record["committed"]) == (outcome, 3, stream)
    assert record["duration_ms"] >= record["ttft_ms"] > 0


# -- N5 -----------------------------------------------------------------------------------------------------------


@STREAM
async def test_N5_who_left_is_on_record(rig: Rig, stream: bool) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), until_closed()])
    gateway = await rig.gateway(upstream, between_tokens=10, total=20)
    client = await gateway.open(stream)
    seen = await upstream.asked()
    await until(lambda: seen.tokens_written == 3)
    if stream:
        await client.events(4)
    client.close()
    record = await gateway.record()
    assert (record["outcome"], record["token_events"], record["finish"]) == ("client_closed", 3, None)
    assert record["committed"] is stream
    assert record["attempts"][0]["outcome"] == "client_closed"
    line = next(text for text in gateway.writer.lines if '"event":"stream"' in text)
    assert json.loads(line) == record
