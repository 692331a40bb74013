"""A10, C10: what becomes of a generation whose client leaves, and requests that are sent twice."""

from __future__ import annotations

import asyncio

import pytest

from penstock.policy.leaving import Drain
from penstock.testing.rig import LiveGateway, Rig, until
from penstock.testing.steps import done, fin, hdr, role, st, tok, usage, words
from penstock.testing.upstream import Script

STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
ANSWER: Script = [hdr(), role(), tok(20, gap=0.01), fin(), usage(9, 20), done()]


async def leave(gateway: LiveGateway, stream: bool, headers: dict[str, str] | None = None) -> None:
    client = await gateway.open(stream, headers=headers)
    await until(lambda: gateway.pool_busy == 1)
    if stream:
        await client.events(3)
    client.close()


@STREAM
@pytest.mark.parametrize(
    ("policy", "billed", "leaving", "outcome"),
    [
        ("cancel", None, None, "client_closed"),
        ("auto", None, None, "client_closed"),
        ("drain", 20, "drain", "client_closed"),
        ("detach", 20, "detach", "completed"),
    ],
)
async def test_A10_the_same_story_under_every_policy(
    rig: Rig, stream: bool, policy: str, billed: int | None, leaving: str | None, outcome: str
) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream, on_disconnect=policy)
    await leave(gateway, stream)
    record = await gateway.record()
    assert (record["outcome"], record["leaving"]) == (outcome, leaving)
    assert (record["usage"] or {}).get("output") == billed
    if billed is None:
        await upstream.requests[0].closed(within=1.0)
    else:
        assert gateway.metric("penstock_streams_left_total", leaving=policy) == 1


async def test_A10_a_drain_has_bounds(rig: Rig) -> None:
    endless: Script = [hdr(), role(), tok(1000, gap=0.01)]
    upstream = await rig.upstream(endless, endless, endless)
    gateway = await rig.gateway(upstream, on_disconnect="drain", drain=Drain(seconds=0.3, tokens=10**6, streams=1))
    first, second = await gateway.open(), await gateway.open()
    for client in (first, second):
        await client.events(3)
        client.close()
    records = [await gateway.record() for _ in range(2)]
    assert sorted(record["leaving"] or "" for record in records) == ["", "drain"]
    for seen in upstream.requests:
        await seen.closed(within=1.0)


async def test_A8_drains_give_their_slots_back(rig: Rig) -> None:
    upstream = await rig.upstream(*[ANSWER] * 6)
    gateway = await rig.gateway(upstream, on_disconnect="drain", drain=Drain(streams=1))
    for _ in range(6):
        await leave(gateway, True)
        assert (await gateway.record())["leaving"] == "drain"


@STREAM
async def test_C10_sequential_concurrent_and_after_a_cut(rig: Rig, stream: bool) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    headers = {"idempotency-key": "order-66"}
    await leave(gateway, stream, headers)
    answers = await asyncio.gather(*(gateway.ask(stream, headers=headers) for _ in range(3)))
    answers.append(await gateway.ask(stream, headers=headers))
    assert {(answer.status, answer.text) for answer in answers} == {(200, words(20))}
    assert len({answer.body for answer in answers}) == 1
    assert len(upstream.requests) == len(gateway.records) == 1


async def test_C10_another_body_is_a_conflict(rig: Rig) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    headers = {"idempotency-key": "k"}
    await gateway.ask(headers=headers)
    for answer in (await gateway.ask(headers=headers, temperature=0), await gateway.ask(False, headers=headers)):
        assert (answer.status, answer.json["error"]["code"]) == (409, "idempotency_conflict")
    assert len(upstream.requests) == 1


async def test_C10_a_request_that_came_to_nothing_may_be_sent_again(rig: Rig) -> None:
    upstream = await rig.upstream([st(503, {"error": {"message": "later"}})], ANSWER)
    gateway = await rig.gateway(upstream, health=False)
    headers = {"idempotency-key": "k"}
    assert (await gateway.ask(headers=headers)).status == 503
    assert (await gateway.ask(headers=headers)).text == words(20)
    assert len(upstream.requests) == 2


async def test_C10_a_key_that_is_none(rig: Rig) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(headers={"idempotency-key": "two words"})
    assert (answer.status, answer.json["error"]["param"]) == (400, "Idempotency-Key")
    unknown = await gateway.ask(headers={"x-penstock-resume": "perhaps"})
    assert (unknown.status, unknown.json["error"]["code"]) == (400, "invalid_header")
    assert upstream.requests == []
