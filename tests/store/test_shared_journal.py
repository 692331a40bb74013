"""Gateways that share a journal in a real Redis: resume on the other, stop on the other, and the store's failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.framing.sse import SSEFramer
from penstock.testing.client import CHAT, RawClient
from penstock.testing.process import ServeProcess, document
from penstock.testing.redis_server import RedisServer
from penstock.testing.rig import LiveGateway, Rig, request, until
from penstock.testing.steps import done, fin, hdr, role, tok, until_closed
from penstock.wire import json

ON = {"x-penstock-resume": "on"}


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with RedisServer() as server:
        yield server


async def pair(rig: Rig, redis: RedisServer, *scripts: list) -> tuple[LiveGateway, LiveGateway]:
    upstream = await rig.upstream(*scripts)
    settings = {"journal": {"url": redis.url, "ttl": 60.0}, "total": 30.0}
    return await rig.gateway(upstream, **settings), await rig.gateway(upstream, **settings)


async def events(gateway: LiveGateway | ServeProcess, stream: str, after: int = 0) -> bytes:
    client = await gateway.connect()
    try:
        await client.request("GET", f"/v1/streams/{stream}/events?after={after}")
        answer = await client.answer(within=30)
        assert answer.status == 200, answer.body
        return answer.body
    finally:
        client.close()


async def stored(gateway: LiveGateway | ServeProcess, stream: str) -> None:
    """Wait until another gateway knows the stream: what it is told is written in batches."""
    async with asyncio.timeout(5):
        while True:
            client = await gateway.connect()
            await client.request("GET", f"/v1/streams/{stream}")
            status = (await client.answer()).status
            client.close()
            if status == 200:
                return
            await asyncio.sleep(0.02)


async def test_M9_resumed_on_the_other_gateway(rig: Rig, redis: RedisServer) -> None:
    one, other = await pair(rig, redis, [hdr(), role(), tok(60, gap=0.01), fin(), done()])
    client = await one.open(headers=ON)
    await client.events(4)
    seen = SSEFramer().feed(client.body)
    stream = client.headers["x-penstock-stream"]
    client.close()
    await stored(other, stream)
    rest = await events(other, stream, len(seen))
    assert b"".join(seen) + rest == await events(one, stream)
    assert rest.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("asked", ["events", "post", "shown", "stop"])
async def test_M9_asked_for_on_the_other_gateway_before_it_can_know(rig: Rig, redis: RedisServer, asked: str) -> None:
    one, other = await pair(rig, redis, [hdr(), role(), tok(20, gap=0.01), fin(), done()])
    client = await one.open(headers=ON)
    await client.head()
    stream = client.headers["x-penstock-stream"]
    if asked == "events":
        assert (await events(other, stream)).endswith(b"data: [DONE]\n\n")
    elif asked == "post":
        assert (await other.ask(headers={"last-event-id": f"{stream}.0"})).marks == 1
    elif asked == "shown":
        assert (await other.get(f"/v1/streams/{stream}")).status == 200
    else:
        assert (await other.post(f"/v1/streams/{stream}/stop", b"")).status == 200
    client.close()


async def test_M2_stopped_from_the_other_gateway(rig: Rig, redis: RedisServer) -> None:
    one, other = await pair(rig, redis, [hdr(), role(), tok(1000, gap=0.02)])
    client = await one.open(headers=ON)
    await client.events(3)
    stream = client.headers["x-penstock-stream"]
    await stored(other, stream)
    stopped = await other.post(f"/v1/streams/{stream}/stop", b"")
    assert (stopped.status, stopped.json["state"]) == (200, "stopping")
    answer = await client.answer()
    assert (answer.ended, answer.finishes) == ("clean", ["stop"])
    assert (await one.record())["outcome"] == "stopped"


async def test_C10_one_generation_for_one_key_on_two_gateways(rig: Rig, redis: RedisServer) -> None:
    one, other = await pair(rig, redis, [hdr(), role(), tok(20, gap=0.01), fin(), done()])
    headers = {"idempotency-key": "once"}
    answers = await asyncio.gather(*(gateway.ask(headers=headers) for gateway in (one, other, one, other)))
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].marks == 1
    assert len(rig.upstreams[0].requests) == 1  # type: ignore[union-attr]
    conflict = await other.ask(headers=headers, temperature=1)
    assert (conflict.status, conflict.json["error"]["code"]) == (409, "idempotency_conflict")


async def test_M1_a_folded_answer_on_the_other_gateway(rig: Rig, redis: RedisServer) -> None:
    one, other = await pair(rig, redis, [hdr(), role(), tok(3), fin(), done()])
    first = await one.ask(stream=False, headers={"idempotency-key": "k"})
    again = await other.ask(stream=False, headers={"idempotency-key": "k"})
    assert (again.status, again.body) == (200, first.body)


async def test_M6_the_live_stream_outlives_the_store(rig: Rig, redis: RedisServer) -> None:
    one, other = await pair(rig, redis, [hdr(), role(), tok(100, gap=0.01), fin(), done()])
    client = await one.open(headers=ON)
    await client.events(4)
    stream = client.headers["x-penstock-stream"]
    await stored(other, stream)
    follower = asyncio.create_task(events(other, stream))
    await asyncio.sleep(0.1)
    await redis.kill()
    answer = await client.answer()
    assert (answer.ended, answer.marks) == ("clean", 1)
    assert await events(one, stream) == answer.body
    told = await follower
    assert b'"code":"not_resumable"' in told
    assert answer.body.startswith(b"".join(SSEFramer().feed(told)[:-1]))
    await until(lambda: one.metric("penstock_journal_streams_lost_total") == 1)
    assert any("can be resumed at this gateway alone" in line for line in one.writer.lines)
    missing = await other.get(f"/v1/streams/{stream}/events")
    assert missing.status == 410


async def test_M6_a_store_that_does_not_answer_slows_nobody(rig: Rig, redis: RedisServer) -> None:
    one, other = await pair(rig, redis, [hdr(), role(), tok(1500, gap=0.004), fin(), done()])
    client = await one.open(headers=ON)
    await client.events(4)
    stream = client.headers["x-penstock-stream"]
    await stored(other, stream)
    redis.freeze()
    try:
        # Longer than the store is waited for.
        answer = await client.answer(within=30)
        assert (answer.ended, answer.marks) == ("clean", 1)
        assert len(rig.upstreams[0].requests) == 1  # type: ignore[union-attr]
        log = one.gateway.journal and one.gateway.journal.get(stream)
        assert log is not None
        # What waits for the store is not held a second time.
        assert one.metric("penstock_journal_bytes") <= len(answer.body)
        await until(lambda: one.metric("penstock_journal_streams_lost_total") == 1, within=10)
        assert await events(one, stream) == answer.body
    finally:
        redis.thaw()
    await one.record()


async def test_M6_a_client_that_leaves_while_the_store_is_asked(rig: Rig, redis: RedisServer) -> None:
    one, _ = await pair(rig, redis, [hdr(), role(), until_closed()])
    redis.freeze()
    try:
        client = await one.connect()
        await client.post(CHAT, request(), {**ON, "idempotency-key": "k"})
        await until(lambda: bool(one._server.server_state.connections))
        await asyncio.sleep(0.1)
        client.abort()
        await until(lambda: not one._server.server_state.connections)
    finally:
        redis.thaw()
    # It is not there any more when its answer could begin: that is a stream like any other that is left, resumable.
    await until(lambda: len(rig.upstreams[0].requests) == 1, within=10)  # type: ignore[union-attr]
    await until(lambda: one.metric("penstock_client_buffer_bytes") == 0)
    assert not one.gateway.application.buffers._own
    stopped = await one.post(f"/v1/streams/{one.accepted[0]}/stop", b"")
    assert stopped.status == 200
    assert (await one.record())["outcome"] == "stopped"


async def test_M6_streams_are_shared_again_when_the_store_is_back(rig: Rig, redis: RedisServer) -> None:
    one, other = await pair(rig, redis, *[[hdr(), role(), tok(20, gap=0.01), fin(), done()]] * 30)
    await redis.kill()
    alone = await one.ask(headers=ON)
    assert alone.marks == 1
    await redis.start()

    async def shared() -> bool:
        answer = await one.ask(headers=ON)
        await asyncio.sleep(0.1)
        return (await other.get(f"/v1/streams/{answer.headers['x-penstock-stream']}")).status == 200

    async with asyncio.timeout(15):
        while not await shared():
            pass


async def test_M6_the_store_has_lost_its_data(rig: Rig, redis: RedisServer) -> None:
    one, other = await pair(rig, redis, [hdr(), role(), tok(100, gap=0.01), fin(), done()])
    client = await one.open(headers=ON)
    await client.events(4)
    stream = client.headers["x-penstock-stream"]
    await stored(other, stream)
    follower = asyncio.create_task(events(other, stream))
    await asyncio.sleep(0.1)
    await redis.say("FLUSHALL")
    told = SSEFramer().feed(await follower)
    answer = await client.answer()
    assert (answer.ended, answer.marks) == ("clean", 1)
    assert b'"code":"not_resumable"' in told[-1]
    assert answer.body.startswith(b"".join(told[:-1]))
    assert await events(one, stream) == answer.body


async def test_M6_nothing_is_written_after_a_loss(rig: Rig, redis: RedisServer) -> None:
    one, other = await pair(rig, redis, [hdr(), role(), tok(50, gap=0.01), fin(), done()])
    client = await one.open(headers=ON)
    await client.events(4)
    stream = client.headers["x-penstock-stream"]
    await stored(other, stream)
    key = f"penstock:{stream}:frames"
    assert 0 < int((await redis.say(f"PTTL {key}"))[1:]) <= 60_000
    await redis.say("FLUSHALL")
    answer = await client.answer()
    # Nobody could find it, and without its beginning nobody could read it.
    assert await redis.say(f"EXISTS {key}") == b":0\r\n"
    assert await events(one, stream) == answer.body


async def test_M9_the_streams_of_all_gateways_are_listed(rig: Rig, redis: RedisServer) -> None:
    one, other = await pair(rig, redis, *[[hdr(), role(), tok(3), fin(), done()]] * 2)
    first = (await one.ask(headers=ON)).headers["x-penstock-stream"]
    second = (await other.ask(headers=ON)).headers["x-penstock-stream"]
    await stored(other, first)
    await stored(one, second)
    for gateway in (one, other):
        listed = {shown["id"]: shown for shown in (await gateway.get("/v1/streams")).json["data"]}
        assert set(listed) == {first, second}
        await until(lambda: len(one.records) == len(other.records) == 1)
        assert {shown["outcome"] for shown in listed.values()} == {"completed"}


async def test_M1_a_response_of_another_gateway(rig: Rig, redis: RedisServer) -> None:
    one, other = await pair(rig, redis, [hdr(), role(), tok(200, gap=0.02)])
    client = await one.connect()
    body = {"model": "m", "input": "hello", "stream": True}
    await client.post("/v1/responses", json.dumps(body), ON)
    seen = [json.loads(event.data.encode()) for event in await client.events(8)]
    name = seen[0]["response"]["id"]
    await stored(other, client.headers["x-penstock-stream"])
    shown = (await other.get(f"/v1/responses/{name}")).json
    assert (shown["id"], shown["status"]) == (name, "in_progress")
    reader = await other.connect()
    await reader.request("GET", f"/v1/responses/{name}?stream=true&starting_after=3")
    assert json.loads((await reader.events(1))[0].data.encode())["sequence_number"] == 4
    cancelled = await other.post(f"/v1/responses/{name}/cancel", b"")
    assert (cancelled.status, cancelled.json["id"], cancelled.json["status"]) == (200, name, "cancelled")
    assert (await client.answer()).ended == "clean"
    assert (await reader.answer()).ended == "clean"
    assert (await one.record())["outcome"] == "stopped"


# -- in processes of their own --------------------------------------------------------------------------------------


def settings(url: str, redis: RedisServer) -> dict[str, object]:
    return {**document([url]), "journal": {"url": redis.url, "ttl": "60s"}}


async def ask(process: ServeProcess) -> RawClient:
    client = await process.connect()
    await client.post(CHAT, request(), ON)
    return client


async def test_M9_dropped_at_every_frame_and_resumed_on_the_other(rig: Rig, redis: RedisServer, tmp_path: Path) -> None:
    upstream = await rig.upstream(*[[hdr(), role(), tok(197), fin(), done()]] * 201)
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    async with (
        ServeProcess(settings(upstream.base_url, redis), folders[0]) as one,
        ServeProcess(settings(upstream.base_url, redis), folders[1]) as other,
    ):
        whole_client = await ask(one)
        whole = (await whole_client.answer()).body
        frames = SSEFramer().feed(whole)
        assert len(frames) == 200
        for number in range(1, len(frames) + 1, 1):
            client = await ask(one)
            await client.head()
            await client.events(number)
            stream = client.headers["x-penstock-stream"]
            client.close()
            await stored(other, stream)
            rest = await events(other, stream, number)
            assert b"".join(frames[:number]) + rest == whole
        assert len(upstream.requests) == 201


async def test_M9_the_owner_is_killed(rig: Rig, redis: RedisServer, tmp_path: Path) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(20), until_closed()])
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    async with (
        ServeProcess(settings(upstream.base_url, redis), folders[0]) as one,
        ServeProcess(settings(upstream.base_url, redis), folders[1]) as other,
    ):
        client = await ask(one)
        await client.events(21)
        stream = client.headers["x-penstock-stream"]
        await stored(other, stream)
        follower = asyncio.create_task(events(other, stream, 5))
        await asyncio.sleep(0.2)
        one.kill()
        told = SSEFramer().feed(await follower)
        assert told[:-1] == SSEFramer().feed(client.body)[5:]
        assert b'"code":"crashed"' in told[-1]
        assert SSEFramer().feed(await events(other, stream, 20))[-1] == told[-1]


@pytest.mark.parametrize("trouble", ["none", "frozen", "killed", "frozen at the end"])
async def test_M6_no_store_holds_a_gateway_that_stops(
    rig: Rig, redis: RedisServer, tmp_path: Path, trouble: str
) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(20), until_closed()])
    document = {**settings(upstream.base_url, redis), "server": {"drain": "100ms"}}
    async with ServeProcess(document, tmp_path) as process:
        client = await ask(process)
        await client.events(21)
        await stored(process, client.headers["x-penstock-stream"])
        if trouble == "killed":
            await redis.kill()
        elif trouble == "frozen":
            redis.freeze()
        follower = asyncio.create_task(process.get("/v1/streams/st_of_another_gateway/events"))
        await asyncio.sleep(0.1)
        process.terminate()
        if trouble == "frozen at the end":
            redis.freeze()
        # Its drain, and what is left to the store, to copies and to the ledger.
        assert await process.exit_code(within=10.0) == 0
        assert (await client.answer()).error is not None
        follower.cancel()
        await asyncio.wait([follower])
        assert not any("Traceback" in line for line in process.lines)
        if "frozen" in trouble:
            redis.thaw()
