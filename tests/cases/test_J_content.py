"""J7 and J9. What providers put around their answers: compression and headers."""

import gzip
import zlib
from typing import Any

import pytest
from lockstep import Lockstep, words_in_frames

from penstock.testing import frames
from penstock.testing.rig import Rig
from penstock.testing.steps import done, eof, fin, forever, hdr, pause, raw, role, split, st, tok, usage, words

PATIENT: dict[str, Any] = {"first_token": 8.0, "between_tokens": 8.0, "total": 20.0}


def compressor(coding: str) -> Any:
    return zlib.compressobj(wbits=zlib.MAX_WBITS | 16 if coding == "gzip" else zlib.MAX_WBITS)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "x-gzip"])
async def test_J7_a_provider_that_compresses_and_says_so(rig: Rig, coding: str) -> None:
    """Decoded as it comes: each event is at the client before the next is written."""
    coder = compressor(coding.removeprefix("x-"))
    coded = [coder.compress(frame) + coder.flush(zlib.Z_SYNC_FLUSH) for frame in words_in_frames(20)]
    tail = coder.compress(frames.finish() + frames.usage() + frames.DONE) + coder.flush()
    lockstep = Lockstep(*coded)
    upstream = await rig.upstream([hdr(headers=[("Content-Encoding", coding)]), lockstep.step(), raw(tail)])
    gateway = await rig.gateway(upstream, **PATIENT)
    client = await gateway.open()
    await lockstep.follow(client)
    answer = await client.answer()
    record = await gateway.record()
    assert (answer.text, answer.ended, record["outcome"]) == (words(20), "clean", "completed")
    assert "content-encoding" not in answer.headers and record["usage"]["output"] == 2
    assert upstream.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("size", [1, 7, None])
@pytest.mark.parametrize("stream", [True, False])
async def test_J7_compressed_documents_and_errors(rig: Rig, stream: bool, size: int | None) -> None:
    coded = gzip.compress(frames.role() + frames.chunk("w0 ") + frames.finish() + frames.DONE)
    labelled = [("content-encoding", "gzip")]
    error = {"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}
    body = gzip.compress(str(error).replace("'", '"').encode())
    upstream = await rig.upstream([hdr(headers=labelled), split(size), raw(coded)], [st(429, body, labelled)])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(stream)
    assert (answer.status, answer.text) == (200, "w0 ")
    answer = await gateway.ask(stream)
    assert (answer.status, answer.json) == (429, error) and "content-encoding" not in answer.headers


@pytest.mark.parametrize("size", [1, None])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("label", [None, "br", "zstd", "gzip, br"])
async def test_J7_what_cannot_be_decoded_is_an_error_of_the_provider(
    rig: Rig, label: str | None, stream: bool, size: int | None
) -> None:
    """At once, with its name, and the next target is tried."""
    coded = gzip.compress(frames.answer("hi"))
    steps = [hdr(headers=[("content-encoding", label)] if label else []), split(size), raw(coded), forever()]
    bad = await rig.upstream(steps)
    good = await rig.upstream([hdr(), tok(1), fin(), done()])
    gateway = await rig.gateway(bad, **PATIENT)
    answer = await gateway.ask(stream)
    record = await gateway.record()
    assert (answer.status, record["outcome"]) == (502, "upstream_error")
    assert answer.error is not None and f"compressed ({label or 'gzip'})" in answer.error["message"]
    assert "content-encoding" not in answer.headers
    both = await rig.gateway(bad, good, **PATIENT)
    answer = await both.ask(stream)
    assert (answer.status, answer.text) == (200, "w0 ")


@pytest.mark.parametrize("label", [[], [("content-encoding", "br")]], ids=["no label", "br"])
async def test_J7_an_error_body_that_cannot_be_decoded_keeps_its_status(rig: Rig, label: list[tuple[str, str]]) -> None:
    upstream = await rig.upstream([st(429, gzip.compress(b'{"error": "x"}'), [*label, ("retry-after", "3")])])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    assert (answer.status, answer.headers["retry-after"]) == (429, "3")
    assert answer.error is not None and answer.error["message"] == "the provider answered with status 429"
    assert "content-encoding" not in answer.headers


async def test_J7_a_compressed_stream_that_breaks_is_a_cut(rig: Rig) -> None:
    coder = compressor("gzip")
    coded = coder.compress(frames.chunk("w0 ")) + coder.flush(zlib.Z_SYNC_FLUSH)
    labelled = [("content-encoding", "gzip")]
    upstream = await rig.upstream(
        [hdr(headers=labelled), raw(coded), pause(0.05), raw(b"\xff" * 40)], [hdr(headers=labelled), raw(coded), eof()]
    )
    gateway = await rig.gateway(upstream)
    for _ in range(2):
        answer = await gateway.ask()
        assert answer.text == "w0 " and answer.marks == 0
        assert answer.error is not None and answer.error["code"] == "upstream_cut"
        assert "compressed" in answer.error["message"]


async def test_J7_a_compression_bomb_is_refused(rig: Rig) -> None:
    bomb = gzip.compress(b"\0" * (24 << 20))
    upstream = await rig.upstream([hdr(headers=[("content-encoding", "gzip")]), raw(bomb), forever()])
    gateway = await rig.gateway(upstream, **PATIENT)
    answer = await gateway.ask()
    assert answer.status == 502 and answer.error is not None and "compressed body grows" in answer.error["message"]
    await upstream.requests[0].closed()


PASSED = {
    "x-request-id": "req_123",
    "x-ratelimit-limit-requests": "100",
    "x-ratelimit-remaining-tokens": "9000",
    "x-ratelimit-reset-requests": "6ms",
    "openai-processing-ms": "42",
    "openai-version": "2020-10-01",
    "openai-organization": "org",
    "cf-ray": "abc",
    "x-groq-region": "eu",
    "x-anything-new": "yes",
}
DROPPED = {
    "set-cookie": "session=1",
    "connection": "keep-alive, x-hop",
    "keep-alive": "timeout=5",
    "proxy-authenticate": "Basic",
    "trailer": "x-sum",
    "upgrade": "h2c",
    "strict-transport-security": "max-age=1",
    "alt-svc": "h3",
    "server": "provider",
    "via": "1.1 cdn",
    "etag": '"1"',
    "access-control-allow-origin": "*",
    "x-penstock-target": "forged/target",
    "x-penstock-stream": "forged",
    "x-hop": "named by connection",
}


async def test_J9_headers_of_streams_and_of_folded_answers(rig: Rig) -> None:
    headers = [*PASSED.items(), *DROPPED.items()]
    upstream = await rig.upstream([hdr(headers=headers), role(), tok(1), fin(), usage(), done()])
    gateway = await rig.gateway(upstream)
    stream, folded = await gateway.ask(), await gateway.ask(stream=False)
    ids = [(await gateway.record())["stream"] for _ in range(2)]
    for answer, record in zip((stream, folded), ids, strict=True):
        assert {name: answer.headers.get(name) for name in PASSED} == PASSED
        assert not {name for name in DROPPED if answer.headers.get(name) == DROPPED[name]}
        assert answer.headers["x-penstock-stream"] == record
        assert answer.headers["x-penstock-target"] == "m1/model" and answer.headers["x-penstock-attempts"] == "1"
        assert "content-encoding" not in answer.headers and "connection" not in answer.headers
    difference = {
        name: (stream.headers.get(name), folded.headers.get(name)) for name in {*stream.headers, *folded.headers}
    }
    difference = {name: both for name, both in difference.items() if both[0] != both[1]}
    del difference["x-penstock-stream"]
    assert difference == {
        "content-type": ("text/event-stream; charset=utf-8", "application/json"),
        "cache-control": ("no-cache, no-transform", "no-cache"),
        "x-accel-buffering": ("no", None),
        "transfer-encoding": ("chunked", None),
        "content-length": (None, str(len(folded.body))),
    }


async def test_J9_headers_of_errors_and_of_the_target_that_won(rig: Rig) -> None:
    lost = await rig.upstream([st(503, {"error": {"message": "no"}}, [("x-request-id", "lost"), ("x-lost", "1")])])
    won = await rig.upstream([hdr(headers=[("x-request-id", "won")]), tok(1), fin(), done()])
    gateway = await rig.gateway(lost, won)
    answer = await gateway.ask()
    assert answer.headers["x-request-id"] == "won" and "x-lost" not in answer.headers
    assert answer.headers["x-penstock-target"] == "m2/model" and answer.headers["x-penstock-attempts"] == "2"
    alone = await rig.gateway(lost)
    answer = await alone.ask()
    assert (answer.status, answer.headers["x-request-id"], answer.headers["x-lost"]) == (503, "lost", "1")
    assert "set-cookie" not in answer.headers and answer.headers["x-penstock-stream"].startswith("st_")


async def test_J9_headers_of_an_early_200_name_no_target(rig: Rig) -> None:
    """It is not known yet."""
    upstream = await rig.upstream([pause(0.2), hdr(headers=[("x-request-id", "late")]), tok(1), fin(), done()])
    gateway = await rig.gateway(upstream, keepalive=0.05, commit_after=0.05, **PATIENT)
    answer = await gateway.ask()
    assert answer.text == "w0 " and "x-penstock-target" not in answer.headers
    assert "x-penstock-attempts" not in answer.headers and "x-request-id" not in answer.headers
    assert answer.headers["x-penstock-stream"] == (await gateway.record())["stream"]
