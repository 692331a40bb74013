"""J. What stands between: proxies, keep-alives, compression, headers."""

import asyncio
import contextlib
import itertools
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from lockstep import Lockstep, words_in_frames
from websockets.asyncio.client import connect

from penstock.policy.delivery import Delivery
from penstock.testing.client import CHAT, RawClient
from penstock.testing.rig import LiveGateway, Rig, request
from penstock.testing.steps import (
    cut,
    done,
    fin,
    hdr,
    pause,
    ping,
    role,
    st,
    tok,
    usage,
    words,
)
from penstock.testing.upstream import Step

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
    assert Path(NGINX).exists(), "nginx is missing: run tools/install-test-services"
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
    upstream = await rig.upstream([pause(0.8), hdr(), tok(1), fin(), done()])
    gateway = await rig.gateway(upstream, keepalive=0.05, commit_after=0.1, **PATIENT)
    client = await gateway.open()
    assert await client.head(within=0.7) == 200
    await client.until(b": keep-alive\n\n: keep-alive\n\n", within=0.7)
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


# -- a WebSocket, and long answers in one piece (O1) --------------------------------------------------------------


async def test_J1_a_websocket_through_the_shipped_nginx(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(5, gap=0.02), fin(), usage(9, 5), done()])
    gateway = await rig.gateway(upstream)
    async with (
        nginx(gateway, tmp_path) as port,
        connect(f"ws://127.0.0.1:{port}/v1/stream", proxy=None, origin=f"http://127.0.0.1:{port}") as ws,
    ):
        await ws.send(json.dumps({"path": CHAT, "body": request()}))
        messages = [message async for message in ws]
        assert messages[-1] == "data: [DONE]\n\n" and (ws.close_code, ws.close_reason) == (1000, "completed")


@pytest.mark.parametrize(("heartbeat", "status"), [(None, 504), (0.3, 200)])
async def test_O1_a_long_answer_behind_a_proxy_without_patience(
    rig: Rig, tmp_path: Path, heartbeat: float | None, status: int
) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(10, gap=0.25), fin(), usage(9, 10), done()])
    gateway = await rig.gateway(upstream, heartbeat=heartbeat, total=10.0)
    async with nginx(gateway, tmp_path, proxy_read_timeout="1s") as port:
        client = await RawClient.connect("127.0.0.1", port)
        await client.post(CHAT, request(stream=False))
        answer = await client.answer()
        client.close()
    assert answer.status == status
    if heartbeat is not None:
        assert json.loads(answer.body)["usage"]["completion_tokens"] == 10 and answer.ended == "clean"


# -- J10 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
async def test_J10_a_client_that_waits_for_no_silence_gets_its_answer(rig: Rig, stream: bool) -> None:
    """Its library gives up when nothing comes for a while, as fetch of Node does after 300 s."""
    upstream = await rig.upstream([hdr(), pause(1.2), role(), tok(3), fin(), done()])
    beats: dict[str, Any] = {"keepalive": 0.1, "commit_after": 0.1, "heartbeat": 0.1}
    gateway = await rig.gateway(upstream, **PATIENT, **beats)
    async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=0.6)) as client:
        answer = await client.post(f"{gateway.base_url}/chat/completions", json=request(stream=stream))
    assert answer.status_code == 200
    if stream:
        assert answer.text.endswith("data: [DONE]\n\n")
    else:
        assert answer.json()["choices"][0]["message"]["content"] == words(3)
    assert Delivery().keepalive is not None and Delivery().keepalive < 30
