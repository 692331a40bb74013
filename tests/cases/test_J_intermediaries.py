"""J. What stands between: proxies, keep-alives, compression, headers."""

import asyncio
import contextlib
import gzip
import itertools
import re
import shutil
import socket
import subprocess
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.testing import frames
from penstock.testing.client import CHAT, RawClient
from penstock.testing.rig import LiveGateway, Rig, request
from penstock.testing.steps import (
    cut,
    done,
    eof,
    fin,
    forever,
    hdr,
    pause,
    ping,
    raw,
    role,
    split,
    st,
    tok,
    usage,
    words,
)
from penstock.testing.upstream import Step, Turn

CONF = Path(__file__).parents[2] / "docs" / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
STOCK = "server { listen 80; location / { proxy_pass http://127.0.0.1:8080; } }"
"""What everybody starts with."""
MAIN = """
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log error.log warn;
events {{}}
http {{
    access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
    scgi_temp_path t5;
    {extra}
    include site.conf;
}}
"""
PATIENT: dict[str, Any] = {"first_token": 8.0, "between_tokens": 8.0, "total": 20.0}


@contextlib.asynccontextmanager
async def nginx(
    gateway: LiveGateway, folder: Path, site: str | None = None, extra: str = "", **changed: str
) -> AsyncIterator[int]:
    """nginx in front of ``gateway``, on the port that is given; ``changed`` are other values of directives."""
    if not Path(NGINX).exists():
        pytest.skip("no nginx here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    text = CONF.read_text() if site is None else site
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{gateway.port}").replace(
        "listen 80;", f"listen 127.0.0.1:{port};"
    )
    for name, value in changed.items():
        text, count = re.subn(rf"\b{name} [^;]+;", f"{name} {value};", text)
        assert count == 1
    (folder / "site.conf").write_text(text)
    (folder / "nginx.conf").write_text(MAIN.format(extra=extra))
    process = subprocess.Popen(
        [NGINX, "-p", str(folder), "-c", "nginx.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(5):
            while True:
                assert process.poll() is None, (folder / "error.log").read_text()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield port
    finally:
        process.kill()
        process.wait()


async def through(port: int, headers: dict[str, str] | None = None, **body: Any) -> RawClient:
    """A client that has posted a chat request to a port."""
    client = await RawClient.connect("127.0.0.1", port)
    await client.post(CHAT, request(**body), headers)
    return client


class Lockstep:
    """Sends a piece only when the client has what came before: whoever holds an event back stops the stream."""

    def __init__(self, *pieces: bytes):
        self._pieces = pieces
        self._read = asyncio.Semaphore(0)

    def step(self) -> Step:
        async def play(turn: Turn) -> None:
            for piece in self._pieces:
                await turn.write(piece)
                async with asyncio.timeout(5):
                    await self._read.acquire()

        return play

    async def follow(self, client: RawClient) -> None:
        """Read each word and ask for the next."""
        for number in range(len(self._pieces)):
            await client.until(b"w%d " % number, within=3)
            self._read.release()


def words_in_frames(count: int) -> list[bytes]:
    return [frames.chunk(f"w{number} ") for number in range(count)]


async def test_J1_a_silent_provider_behind_an_impatient_proxy(rig: Rig, tmp_path: Path) -> None:
    """The proxy gives up after a second of silence; the first token takes three."""
    upstream = await rig.upstream([pause(3), hdr(), role(), tok(3), fin(), usage(), done()])
    gateway = await rig.gateway(upstream, keepalive=0.3, commit_after=0.3, **PATIENT)
    async with nginx(gateway, tmp_path, proxy_read_timeout="1s") as port:
        client = await through(port)
        answer = await client.answer()
        client.close()
        assert (answer.status, answer.text, answer.ended, answer.marks) == (200, words(3), "clean", 1)
        record = await gateway.record()
        assert record["outcome"] == "completed" and record["keepalives"] >= 5
        assert answer.body.count(b": keep-alive\n\n") == record["keepalives"]


async def test_J1_without_keepalives_the_proxy_is_what_ends_it(rig: Rig, tmp_path: Path) -> None:
    """The counter-check, and the off switch."""
    upstream = await rig.upstream([pause(3), hdr(), tok(1), fin(), done()])
    gateway = await rig.gateway(upstream, keepalive=None, commit_after=None, **PATIENT)
    async with nginx(gateway, tmp_path, proxy_read_timeout="1s") as port:
        client = await through(port)
        assert (await client.answer()).status == 504
        client.close()
        assert (await gateway.record())["outcome"] == "client_closed"
        await upstream.requests[0].closed()


async def test_J1_a_client_that_leaves_the_proxy_ends_the_generation(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.02)])
    gateway = await rig.gateway(upstream, total=20.0)
    async with nginx(gateway, tmp_path) as port:
        client = await through(port)
        await client.events(3)
        client.close()
        await upstream.requests[0].closed(within=1.0)
        assert (await gateway.record())["outcome"] == "client_closed"


async def test_J2_keepalives_start_at_the_acceptance(rig: Rig) -> None:
    """Before any word of the provider, its headers included."""
    upstream = await rig.upstream([pause(0.5), hdr(), tok(1), fin(), done()])
    gateway = await rig.gateway(upstream, keepalive=0.05, commit_after=0.1, **PATIENT)
    client = await gateway.open()
    assert await client.head(within=0.45) == 200
    await client.until(b": keep-alive\n\n: keep-alive\n\n", within=0.45)
    assert b"w0" not in client.body and upstream.requests[0].bytes_written == 0
    answer = await client.answer()
    assert (answer.text, answer.ended) == ("w0 ", "clean")


async def test_J3_keepalives_do_not_depend_on_the_providers_noise(rig: Rig) -> None:
    """Comments of the provider that the client does not get must not pass for traffic."""
    noise: list[Step] = [hdr(), role()]
    for _ in range(60):
        noise += [ping(), pause(0.01)]
    upstream = await rig.upstream([*noise, tok(1), fin(), done()])
    gateway = await rig.gateway(upstream, keepalive=0.05, commit_after=0.05, **PATIENT)
    client = await gateway.open()
    answer = await client.answer()
    record = await gateway.record()
    assert (answer.text, answer.ended, record["outcome"]) == ("w0 ", "clean", "completed")
    assert record["keepalives"] >= 5
    began = [at for at, _ in answer.reads][: record["keepalives"]]
    assert max(later - earlier for earlier, later in itertools.pairwise(began)) < 0.3


async def test_J3_a_written_event_puts_the_keepalive_off(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), tok(10, gap=0.03), fin(), done()])
    gateway = await rig.gateway(upstream, keepalive=0.25, commit_after=0.25, **PATIENT)
    answer = await gateway.ask()
    record = await gateway.record()
    assert record["keepalives"] == 0 and b"keep-alive" not in answer.body


async def test_J4_a_failure_before_the_commit_has_its_status(rig: Rig) -> None:
    upstream = await rig.upstream([pause(0.05), st(503, {"error": {"message": "overloaded"}}, [("retry-after", "7")])])
    gateway = await rig.gateway(upstream, keepalive=0.05, commit_after=0.5, **PATIENT)
    answer = await gateway.ask()
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")


async def test_J4_a_failure_after_the_early_200_is_a_frame(rig: Rig) -> None:
    upstream = await rig.upstream([pause(0.3), st(503, {"error": {"message": "overloaded"}})])
    gateway = await rig.gateway(upstream, keepalive=0.05, commit_after=0.1, **PATIENT)
    answer = await gateway.ask()
    record = await gateway.record()
    assert (answer.status, record["outcome"], record["committed"]) == (200, "upstream_error", False)
    assert answer.error is not None and (answer.error["message"], answer.error["status"]) == ("overloaded", 503)
    assert answer.marks == 0 and answer.ended == "clean"


async def test_J4_failover_goes_on_after_the_early_200(rig: Rig) -> None:
    first = await rig.upstream([hdr(), role(), ping(), pause(0.3), cut()])
    second = await rig.upstream([hdr(), role(), tok(2), fin(), done()])
    gateway = await rig.gateway(first, second, keepalive=0.05, commit_after=0.1, **PATIENT)
    answer = await gateway.ask()
    record = await gateway.record()
    assert (answer.status, answer.text, answer.ended, answer.marks) == (200, words(2), "clean", 1)
    assert record["outcome"] == "completed" and record["target"] == "m2/model" and record["keepalives"] >= 2
    assert sum(delta.get("role") == "assistant" for delta in answer.deltas) == 1


@pytest.mark.parametrize("site", [None, STOCK], ids=["our configuration", "stock"])
async def test_J5_no_event_waits_in_a_proxy(rig: Rig, tmp_path: Path, site: str | None) -> None:
    """Nor in a proxy that buffers by default: the stream tells it not to."""
    lockstep = Lockstep(*words_in_frames(30))
    upstream = await rig.upstream([hdr(), role(), lockstep.step(), fin(), usage(), done()])
    gateway = await rig.gateway(upstream, **PATIENT)
    async with nginx(gateway, tmp_path, site) as port:
        client = await through(port)
        await lockstep.follow(client)
        answer = await client.answer()
        client.close()
        assert (answer.text, answer.ended, answer.marks) == (words(30), "clean", 1)
        assert answer.headers["cache-control"] == "no-cache, no-transform"


async def test_J5_a_cut_stays_a_cut_behind_a_proxy(rig: Rig, tmp_path: Path) -> None:
    """A folded answer and an error keep their status and their length too."""
    upstream = await rig.upstream(
        [hdr(), tok(2), cut()], [hdr(), tok(2), fin(), done()], [st(429, {"error": {"message": "slow down"}})]
    )
    gateway = await rig.gateway(upstream, **PATIENT)
    async with nginx(gateway, tmp_path) as port:
        answers = []
        for stream in (True, False, True):
            client = await through(port, stream=stream)
            answers.append(await client.answer())
            client.close()
        assert answers[0].error is not None and answers[0].error["code"] == "upstream_cut"
        assert (answers[1].status, answers[1].text) == (200, words(2))
        assert (answers[2].status, answers[2].json["error"]["message"]) == (429, "slow down")


async def test_J6_a_stream_is_never_compressed(rig: Rig, tmp_path: Path) -> None:
    """Whatever the client accepts, and though the proxy compresses everything else."""
    accept = {"accept-encoding": "gzip, br, deflate, zstd"}
    lockstep = Lockstep(*words_in_frames(20)), Lockstep(*words_in_frames(20))
    scripts = [[hdr(), role(), one.step(), fin(), done()] for one in lockstep]
    upstream = await rig.upstream(*scripts)
    gateway = await rig.gateway(upstream, **PATIENT)
    async with nginx(gateway, tmp_path, extra="gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;") as port:
        for one, to in zip(lockstep, (gateway.port, port), strict=True):
            client = await through(to, accept)
            await one.follow(client)
            answer = await client.answer()
            client.close()
            assert answer.text == words(20) and "content-encoding" not in answer.headers
    assert [seen.headers["accept-encoding"] for seen in upstream.requests] == ["identity", "identity"]


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


async def test_J8_the_gateway_does_not_batch(rig: Rig) -> None:
    """Each event is at the client before the provider writes the next; 200 of them."""
    lockstep = Lockstep(*words_in_frames(200))
    upstream = await rig.upstream([hdr(), role(), lockstep.step(), fin(), done()])
    gateway = await rig.gateway(upstream, **PATIENT)
    client = await gateway.open()
    began = time.monotonic()
    await lockstep.follow(client)
    taken = time.monotonic() - began
    answer = await client.answer()
    assert (answer.text, answer.ended) == (words(200), "clean")
    # A batcher with a clock of its own would add its interval to each of them.
    assert taken < 200 * 0.01


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
