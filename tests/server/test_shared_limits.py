"""Limits and budgets that two gateways keep together in a real Redis, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.config.values import Key, Ledger, Metering, SharedLimits
from penstock.metering.prices import Price, Rates
from penstock.policy.limits import Budget, Limits
from penstock.testing.redis_server import RedisServer
from penstock.testing.rig import LiveGateway, Rig, Upstream, config, descriptors, until
from penstock.testing.steps import cut, done, fin, hdr, pause, st, tok, usage
from penstock.wire import json

WHOLE = [hdr(), tok(20), fin(), usage(5, 20), done()]
SECRET = "team-a-0123456789"
MINE = {"authorization": f"Bearer {SECRET}"}
CENT = 10**7
CENTS = Price(model="model", rates=Rates(input=0, output=CENT * 10**6), source="", date="", configured=True)
Start = Callable[..., Awaitable[tuple[LiveGateway, LiveGateway]]]


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with RedisServer() as server:
        yield server


@pytest.fixture
def start(rig: Rig, redis: RedisServer, tmp_path: Path) -> Start:
    """Two gateways with a ledger each, and one key with limits; every token costs a cent."""

    async def pair(upstream: Upstream, **limits: Any) -> tuple[LiveGateway, LiveGateway]:
        budgets = tuple(Budget("day", cents * CENT) for cents in limits.pop("cents", ()))
        keys = (Key(name="a", key=SECRET, limits=Limits(budgets=budgets, **limits)),)
        gateways = []
        for name in "xy":
            settings = msgspec.structs.replace(
                config([upstream], keys=keys, health=False),
                ledger=Ledger(url=f"sqlite:///{tmp_path}/{name}.db", spool=f"{tmp_path}/spool"),
                metering=Metering(),
                prices=(CENTS,),
                limits=SharedLimits(url=redis.url),
            )
            gateways.append(await rig.gateway(upstream, settings=settings))
        for gateway in gateways:
            # Its connection to Redis stays.
            await gateway.gateway.limiting.sharing._store.exchange([], [])
        rig._descriptors = descriptors()
        one, other = gateways
        return one, other

    return pair


async def rows(gateway: LiveGateway) -> list[dict[str, Any]]:
    """The rows of the key."""
    client = await gateway.connect()
    await client.request("GET", "/v1/usage?limit=1000", headers=MINE)
    found: list[dict[str, Any]] = json.loads((await client.answer()).body)["data"]
    client.close()
    return found


def error(answer: Any) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(answer.body)["error"]
    return said


async def streams(redis: RedisServer) -> int:
    return int((await redis.say("ZCARD penstock:limits:{a}:streams"))[1:])


async def eventually(ask: Callable[[], Awaitable[bool]], what: str) -> None:
    async with asyncio.timeout(10):
        while not await ask():
            await asyncio.sleep(0.01)


async def served(gateway: LiveGateway) -> None:
    """The other gateway knows at once, or a round later, that a place is free."""

    async def try_it() -> bool:
        return bool((await gateway.ask(headers=MINE)).status == 200)

    await eventually(try_it, "the next request is served")


async def test_A4_fifty_aborts_at_two_gateways_on_a_key_with_one_stream(rig, redis, start):
    phases = [[hdr(), tok(1000, gap=0.01)], [hdr(), pause(3)], [pause(3)], [hdr(), tok(3), cut()], [st(500)]]
    upstream = await rig.upstream(*phases * 10, *[WHOLE] * 2)
    both = await start(upstream, max_streams=1)
    for turn in range(50):
        gateway = both[turn % 2]
        client = await gateway.open(headers=MINE)
        if turn % 5 == 0:
            await client.events(2)
        elif turn % 5 > 2:
            await client.answer()
        await until(lambda turn=turn: len(upstream.requests) > turn)
        client.close()
        await until(lambda turn=turn: sum(len(each.records) for each in both) > turn)
        await eventually(lambda: _none(redis), "the place is free")
    for gateway in both:
        assert (await gateway.ask(headers=MINE)).status == 200
        await eventually(lambda: _none(redis), "the place is free")


async def _none(redis: RedisServer) -> bool:
    return await streams(redis) == 0


async def test_A4_who_leaves_before_redis_has_answered_holds_no_place(rig, redis, start):
    one, other = await start(await rig.upstream(*[WHOLE] * 3), max_streams=1)
    redis.freeze()
    client = await one.open(headers=MINE)
    await until(lambda: one.gateway.limiting._standings)
    client.close()
    await until(lambda: not one._server.server_state.connections)
    redis.thaw()
    await until(lambda: len(one.records) == 1)
    assert one.records[0]["outcome"] == "client_closed"
    await served(other)
    await eventually(lambda: _none(redis), "the place is free")


async def test_one_stream_too_many_at_the_other_gateway(rig, redis, start):
    one, other = await start(await rig.upstream([hdr(), tok(1000, gap=0.01)], WHOLE), max_streams=1)
    client = await one.open(headers=MINE)
    await client.events(1)
    refused = await other.ask(headers=MINE)
    assert refused.status == 429
    assert error(refused)["code"] == "rate_limit_exceeded" and "max_streams" in error(refused)["message"]
    assert refused.headers["retry-after"] == "1"
    client.close()
    await served(other)


async def test_requests_and_tokens_a_minute_are_those_of_both(rig, redis, start):
    one, other = await start(await rig.upstream(*[WHOLE] * 4), requests_per_minute=3, tokens_per_minute=6000)
    for gateway, left in ((one, "2"), (other, "1"), (one, "0")):
        answer = await gateway.ask(headers=MINE, max_tokens=1000)
        assert answer.status == 200
        assert answer.headers["x-ratelimit-remaining-requests"] == left
        assert 6000 - 3 * 1100 < int(answer.headers["x-ratelimit-remaining-tokens"]) < 5000
    refused = await other.ask(headers=MINE)
    assert refused.status == 429 and "requests_per_minute" in error(refused)["message"]
    assert 10 < int(refused.headers["retry-after"]) <= 20
    # What was reserved and not used is back, at both.
    standing = other.gateway.limiting._standings["a"]
    await eventually(_holds(lambda: standing.tokens._level > 5800), "the tokens are back")


def _holds(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return condition()

    return holds


async def test_H11_twenty_streams_at_two_gateways_on_a_budget_for_four(rig, redis, start, monkeypatch):
    monkeypatch.setattr("penstock.store.redis_limits.TIMEOUT", 10.0)
    upstream = await rig.upstream(*[[hdr(), tok(25, gap=0.02), fin(), done()]] * 20)
    both = await start(upstream, cents=(100,))
    asking = asyncio.gather(*(both[number % 2].ask(headers=MINE) for number in range(20)))
    # Again and again Redis is silent for longer than the gap between two chunks.
    while not asking.done():
        redis.freeze()
        await asyncio.sleep(0.25)
        redis.thaw()
        await asyncio.sleep(0.02)
    answers = await asking
    assert [answer.status for answer in answers] == [200] * 20
    outcomes = [record["outcome"] for gateway in both for record in gateway.records]
    assert set(outcomes) == {"budget_exceeded"}
    for gateway in both:
        assert len(gateway.records) == 10
    chunk = 3
    spent = sum([row["counted"]["output"] for gateway in both for row in await rows(gateway)])
    assert 100 <= spent <= 100 + 20 * chunk
    for gateway in both:
        refused = await gateway.ask(headers=MINE)
        assert (refused.status, error(refused)["code"]) == (429, "budget_exceeded")
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        assert gateway.metric("penstock_key_spent_usd", key="a") >= 1


async def test_without_redis_each_gateway_keeps_them_for_itself_and_tells_later(rig, redis, start):
    upstream = await rig.upstream(*[WHOLE] * 9)
    one, other = await start(upstream, requests_per_minute=4, cents=(10_000,))
    assert (await one.ask(headers=MINE)).status == 200
    assert one.metric("penstock_limits_shared") == 1
    await redis.kill()
    for gateway in (one, other):
        for _ in range(3):
            assert (await gateway.ask(headers=MINE)).status == 200
        await until(lambda gateway=gateway: gateway.metric("penstock_limits_shared") == 0)
    await redis.start()
    for gateway in (one, other):
        await until(lambda gateway=gateway: gateway.metric("penstock_limits_shared") == 1, within=10)
        said = [line["message"] for line in gateway.writer.parsed if line.get("level") == "warning"]
        assert any("each gateway for itself" in line for line in said) and "again" in said[-1]
    # 6 of 4: what each had served alone is known to both now.
    for gateway in (one, other):
        refused = await gateway.ask(headers=MINE)
        assert refused.status == 429 and "requests_per_minute" in error(refused)["message"]
    total = 7 * 20 * CENT

    async def all_of_it() -> bool:
        day = (await redis.say("KEYS penstock:limits:{a}:day:*")).strip()
        assert day == b"*1"
        known = [gateway.metric("penstock_key_spent_usd", key="a") for gateway in (one, other)]
        return max(known) == pytest.approx(total / 10**9)

    await eventually(all_of_it, "what was spent is told")


async def test_the_streams_of_a_gateway_that_says_nothing_count_no_more(rig, redis, start, monkeypatch):
    monkeypatch.setattr("penstock.store.redis_limits.LEASE", 0.2)
    one, other = await start(await rig.upstream(WHOLE), max_streams=1)
    sharing = one.gateway.limiting.sharing
    one.gateway.limiting.sharing.start()
    await one.gateway.limiting.ready(one.gateway.config.keys[0])
    standing = one.gateway.limiting._standings["a"]
    # Of a gateway that dies behind the question.
    levels = await sharing.ask("a", "st_dead", standing, 1)
    assert levels.refusal is None
    await served(other)
