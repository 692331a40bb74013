"""M. Streams that outlive their connection: taken up again without gap or duplicate, stopped, expired."""

from __future__ import annotations

import asyncio

import pytest

from penstock.config.values import Key
from penstock.framing.sse import SSEFramer
from penstock.testing.client import CHAT
from penstock.testing.frames import reasoning
from penstock.testing.rig import LiveGateway, Rig, request, until
from penstock.testing.steps import cut, done, fin, hdr, pause, raw, role, tok, until_closed, usage, words
from penstock.testing.upstream import Script

ANSWER: Script = [hdr(), role(), tok(8), fin(), usage(9, 8), done()]
ON = {"x-penstock-resume": "on"}
IDS = {"x-penstock-resume": "ids"}


async def events(gateway: LiveGateway, stream: str, after: int = 0, **headers: str) -> bytes:
    """What the events endpoint gives to the end."""
    client = await gateway.connect()
    try:
        await client.request("GET", f"/v1/streams/{stream}/events?after={after}", headers=headers)
        answer = await client.answer()
        assert (answer.status, answer.ended) == (200, "clean"), answer.body
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        return answer.body
    finally:
        client.close()


async def test_M1_who_answers_is_told_where_a_stream_is_taken_up_too(rig: Rig) -> None:
    gateway = await rig.gateway(await rig.upstream(ANSWER))
    first = await gateway.ask(headers=ON)
    client = await gateway.connect()
    await client.request("GET", f"/v1/streams/{first.headers['x-penstock-stream']}/events")
    again = await client.answer()
    client.close()
    own = [name for name in first.headers if name.startswith("x-penstock-")]
    assert len(own) == 3
    assert [again.headers[name] for name in own] == [first.headers[name] for name in own]


async def live(gateway: LiveGateway) -> str:
    """The id of the stream that was accepted last."""
    await until(lambda: gateway.accepted)
    return gateway.accepted[-1]


async def test_M1_dropped_at_every_frame_and_resumed(rig: Rig) -> None:
    whole_upstream = await rig.upstream(*[ANSWER] * 20)
    gateway = await rig.gateway(whole_upstream)
    whole = (await gateway.ask()).body
    frames = SSEFramer().feed(whole)
    for number in range(1, len(frames) + 1):
        client = await gateway.open(headers=ON)
        await client.until(b"".join(frames[:number])[-40:])
        seen = b"".join(SSEFramer().feed(client.body)[:number])
        stream = client.headers["x-penstock-stream"]
        client.close()
        assert seen + await events(gateway, stream, number) == whole
    assert len(whole_upstream.requests) == 1 + len(frames)
    await until(lambda: len(gateway.records) == 1 + len(frames))
    assert {record["outcome"] for record in gateway.records} == {"completed"}


async def test_M1_live_after_the_replay(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(40, gap=0.01), fin(), done()])
    gateway = await rig.gateway(upstream)
    client = await gateway.open(headers=ON)
    seen = len(await client.events(5))
    client.abort()
    rest = await events(gateway, await live(gateway), seen)
    assert len(SSEFramer().feed(rest)) == 43 - seen
    assert rest.endswith(b"data: [DONE]\n\n")
    record = await gateway.record()
    assert (record["outcome"], record["leaving"], len(upstream.requests)) == ("completed", "detach", 1)


async def test_M4_many_reconnects_and_several_readers(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(60, gap=0.005), fin(), done()])
    gateway = await rig.gateway(upstream)
    first = await gateway.open(headers=IDS)
    got = await first.events(3)
    stream = first.headers["x-penstock-stream"]
    assert [event.last_event_id for event in got[:3]] == [f"{stream}.{n}" for n in (1, 2, 3)]
    first.close()
    others = [asyncio.create_task(events(gateway, stream)) for _ in range(3)]
    # A browser's EventSource: the same address again, with the id that it saw last.
    pieces, last = [event.data for event in got], got[-1].last_event_id
    while pieces[-1] != "[DONE]":
        client = await gateway.connect()
        await client.request("GET", f"/v1/streams/{stream}/events", headers={"Last-Event-ID": last})
        for event in await client.events(7):
            pieces.append(event.data)
            last = event.last_event_id
        client.close()
    whole = [await task for task in others]
    assert whole[0] == whole[1] == whole[2]
    data = [line[6:] for line in whole[0].decode().splitlines() if line.startswith("data: ")]
    assert data == pieces
    assert len(upstream.requests) == 1


async def test_M1_the_same_post_again(rig: Rig) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    whole = (await gateway.ask(headers=ON)).body
    stream = await live(gateway)
    again = await gateway.ask(headers={"Last-Event-ID": f"{stream}.0"})
    assert (again.status, again.body, again.headers["x-penstock-stream"]) == (200, whole, stream)
    later = await gateway.ask(headers={"Last-Event-ID": f"{stream}.4"})
    assert later.body == b"".join(SSEFramer().feed(whole)[4:])
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("last", ["st_unknown.3", "nonsense", "3"])
async def test_M3_a_cursor_of_nothing_begins_nothing(rig: Rig, last: str) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(headers={"Last-Event-ID": last})
    assert (answer.status, answer.json["error"]["code"]) == (410, "not_resumable")
    assert upstream.requests == []


async def test_M3_expired(rig: Rig) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream, journal={"ttl": 0.05})
    await gateway.ask(headers=ON)
    stream = await live(gateway)
    await until(lambda: gateway.gateway.journal is not None and gateway.gateway.journal.get(stream) is None)
    for answer in (
        await gateway.get(f"/v1/streams/{stream}/events"),
        await gateway.ask(headers={"Last-Event-ID": f"{stream}.1"}),
    ):
        assert (answer.status, answer.json["error"]["code"]) == (410, "not_resumable")
    assert len(upstream.requests) == 1


async def test_M2_stop_is_not_leaving(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.01)])
    gateway = await rig.gateway(upstream, total=20)
    client = await gateway.open(headers=ON)
    await client.events(3)
    client.close()
    stream = await live(gateway)
    driver = gateway.gateway.streams.get(stream)
    assert driver is not None
    await until(lambda: driver.account.left is not None, what="it is seen that the client left")
    shown = (await gateway.get(f"/v1/streams/{stream}")).json
    assert (shown["state"], shown["outcome"], shown["resumable"]) == ("detach", None, True)
    stopped = await gateway.post(f"/v1/streams/{stream}/stop", b"")
    assert (stopped.json["state"], stopped.json["outcome"]) == ("ended", "stopped")
    await upstream.requests[0].closed(within=1.0)
    body = await events(gateway, stream)
    assert body.endswith(b"data: [DONE]\n\n")
    assert b'"finish_reason":"stop"' in body
    assert (await gateway.record())["outcome"] == "stopped"


async def test_M2_stop_under_an_open_client(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.01)])
    gateway = await rig.gateway(upstream, total=20)
    client = await gateway.open()
    await client.events(3)
    await gateway.post(f"/v1/streams/{client.headers['x-penstock-stream']}/stop", b"")
    answer = await client.answer()
    assert (answer.ended, answer.marks, answer.finishes) == ("clean", 1, ["stop"])
    await upstream.requests[0].closed(within=1.0)


async def test_M1_a_failure_is_told_to_whoever_comes_back(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), pause(0.1), cut()])
    gateway = await rig.gateway(upstream)
    client = await gateway.open(headers=ON)
    await client.events(2)
    client.close()
    body = await events(gateway, await live(gateway), 2)
    assert b'"code":"upstream_cut"' in body
    assert b"[DONE]" not in body
    assert (await gateway.record())["outcome"] == "upstream_cut"


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
async def test_M8_what_is_replayed_keeps_its_form(rig: Rig, stream: bool) -> None:
    thought = raw(reasoning("so"))
    upstream = await rig.upstream([hdr(), role(), thought, tok(3), fin(), usage(9, 3), done()])
    gateway = await rig.gateway(upstream)
    more = {"stream_options": {"include_usage": True}} if stream else {}
    headers = {"idempotency-key": "k"}
    first, again = [await gateway.ask(stream, headers=headers, **more) for _ in range(2)]
    assert again.body == first.body
    assert again.headers["content-type"] == first.headers["content-type"]
    assert (again.text, again.marks) == (words(3), int(stream))
    assert b'"reasoning_content":"so"' in again.body
    assert b'"prompt_tokens":9' in again.body
    assert len(upstream.requests) == 1


async def test_M7_a_cut_stream_is_not_replayed_as_complete(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), cut()])
    gateway = await rig.gateway(upstream)
    first = await gateway.ask(headers=ON)
    assert await events(gateway, await live(gateway)) == first.body
    assert first.error is not None


async def test_M1_a_folded_answer(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(5, gap=0.02), fin(), done()])
    gateway = await rig.gateway(upstream)
    client = await gateway.open(stream=False, headers={**ON, "idempotency-key": "k"})
    await until(lambda: upstream.requests)
    client.close()
    answer = await gateway.ask(stream=False, headers={**ON, "idempotency-key": "k"})
    assert (answer.status, answer.text, answer.headers["content-type"]) == (200, words(5), "application/json")
    body = await events(gateway, await live(gateway))
    assert body == b"data: " + answer.body + b"\n\n"
    assert len(upstream.requests) == 1


async def test_M2_a_stream_of_another_key(rig: Rig) -> None:
    names = {name: f"key-of-{name}-0123456789" for name in ("a", "b", "root")}
    keys = tuple(Key(name=name, key=key, admin=name == "root") for name, key in names.items())
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.01)])
    gateway = await rig.gateway(upstream, keys=keys, total=20)
    auth = {name: {"authorization": f"Bearer {key}"} for name, key in names.items()}
    client = await gateway.connect()
    await client.post(CHAT, request(), {**ON, **auth["a"]})
    await client.events(2)
    stream = client.headers["x-penstock-stream"]

    async def status(method: str, path: str, who: str) -> tuple[int, bytes]:
        asking = await gateway.connect()
        await asking.request(method, path, headers=auth[who])
        answer = await asking.answer()
        return answer.status, answer.body

    for who, wanted in (("a", 200), ("b", 404), ("root", 200)):
        assert (await status("GET", f"/v1/streams/{stream}", who))[0] == wanted
        _, listed = await status("GET", "/v1/streams", who)
        assert (stream.encode() in listed) is (wanted == 200)
    assert (await status("GET", f"/v1/streams/{stream}/events", "b"))[0] == 410
    assert (await status("POST", f"/v1/streams/{stream}/stop", "b"))[0] == 404
    assert (await gateway.get("/v1/streams")).status == 401
    assert (await status("POST", f"/v1/streams/{stream}/stop", "root"))[0] == 200
    assert (await client.answer()).marks == 1


async def test_M1_not_asked_for(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), until_closed()])
    gateway = await rig.gateway(upstream)
    client = await gateway.open()
    await client.events(2)
    answer = await gateway.get(f"/v1/streams/{client.headers['x-penstock-stream']}/events")
    assert (answer.status, answer.json["error"]["code"]) == (410, "not_resumable")
    assert "x-penstock-resume: on" in answer.json["error"]["message"]


async def test_M1_nobody_follows(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.01)])
    gateway = await rig.gateway(upstream, journal={"ttl": 0.2}, total=20)
    client = await gateway.open(headers=ON)
    await client.events(2)
    client.close()
    await upstream.requests[0].closed(within=2.0)
    assert (await gateway.record())["outcome"] == "client_closed"


async def test_M1_frames_that_are_not_held_any_more(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(100), fin(), done()])
    gateway = await rig.gateway(upstream, journal={"per_stream": 2048})
    await gateway.ask(headers=ON)
    stream = await live(gateway)
    answer = await gateway.get(f"/v1/streams/{stream}/events")
    assert (answer.status, answer.json["error"]["code"]) == (410, "not_resumable")
    assert (await events(gateway, stream, 102)).endswith(b"[DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
async def test_M8_a_replay_has_the_form_that_was_asked_for(rig: Rig, stream: bool) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    asked = {"headers": {"idempotency-key": "once"}, "stream_options": {"include_usage": True} if stream else None}
    first, again = [await gateway.ask(stream, **asked) for _ in range(2)]
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    assert b'"completion_tokens":8' in again.body
    assert len(upstream.requests) == 1
