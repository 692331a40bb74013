"""A Redis that is slow, and one that fails over to a replica which lags: the journal and the limits of two gateways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from test_shared_journal import ON, events, stored

from penstock.config.values import Key, Ledger, Metering, SharedLimits
from penstock.drive.journal import Facts
from penstock.framing.sse import SSEFramer
from penstock.metering.prices import Price, Rates
from penstock.policy.limits import Budget, Limits
from penstock.store.redis_journal import RedisJournal
from penstock.store.shared import Ended, Held
from penstock.stream.commands import Seal
from penstock.testing.redis_server import RedisServer
from penstock.testing.rig import LiveGateway, Rig, config, until
from penstock.testing.steps import done, fin, hdr, role, tok, usage
from penstock.testing.switch import Switch

ANSWER = [hdr(), role(), tok(20), fin(), usage(5, 20), done()]
CENT = 10**7
PRICE = Price(model="model", rates=Rates(input=0, output=CENT * 10**6), source="", date="", configured=True)
MINE = {"authorization": "Bearer team-a-0123456789"}


class Servers:
    """A primary and its replica, and the address that gateways know."""

    def __init__(self, primary: RedisServer, replica: RedisServer, switch: Switch):
        self.primary = primary
        self.replica = replica
        self._switch = switch
        self.url = f"redis://127.0.0.1:{switch.port}/0"

    async def copied(self, command: str, answer: bytes) -> None:
        """Wait until the replica says so."""
        async with asyncio.timeout(10):
            while await self.replica.say(command) != answer:
                await asyncio.sleep(0.01)

    async def part(self) -> None:
        """The replica gets nothing more: from now on it lags."""
        assert await self.replica.say("REPLICAOF NO ONE") == b"+OK\r\n"

    async def fail_over(self) -> None:
        """The primary is gone, and the replica has its address."""
        self._switch.to(self.replica.port)
        await self.primary.kill()


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    at_once = ("--repl-diskless-sync-delay", "0")
    async with RedisServer(*at_once) as primary, RedisServer() as replica, Switch(primary.port) as switch:
        assert await replica.say(f"REPLICAOF 127.0.0.1 {primary.port}") == b"+OK\r\n"
        await primary.say("SET here 1")
        found = Servers(primary, replica, switch)
        await found.copied("EXISTS here", b":1\r\n")
        yield found


async def test_M6_a_store_that_fails_over_to_a_replica_that_lags(rig: Rig, servers: Servers) -> None:
    upstream = await rig.upstream(ANSWER, [hdr(), role(), tok(200, gap=0.01), fin(), done()], *[ANSWER] * 30)
    settings: dict[str, Any] = {"journal": {"url": servers.url, "ttl": 60.0}, "total": 30.0}
    one, other = await rig.gateway(upstream, **settings), await rig.gateway(upstream, **settings)
    before = await one.ask(headers=ON)
    first = before.headers["x-penstock-stream"]
    await servers.copied(f"XLEN penstock:{first}:frames", b":2\r\n")
    client = await one.open(headers=ON)
    await client.events(4)
    second = client.headers["x-penstock-stream"]
    await stored(other, second)
    await servers.copied(f"EXISTS penstock:{second}:frames", b":1\r\n")
    follower = asyncio.create_task(events(other, second))
    await servers.part()
    await client.events(30)
    await servers.fail_over()
    answer = await client.answer()
    assert (answer.ended, answer.marks) == ("clean", 1)
    # What had ended is there, what was under way is whole where it was made, and nobody gets it with a gap.
    assert await events(other, first) == before.body
    assert await events(one, second) == answer.body
    told = SSEFramer().feed(await follower)
    assert b'"code":"not_resumable"' in told[-1]
    assert answer.body.startswith(b"".join(told[:-1]))

    async def shared() -> bool:
        later = (await one.ask(headers=ON)).headers["x-penstock-stream"]
        await asyncio.sleep(0.1)
        return (await other.get(f"/v1/streams/{later}")).status == 200

    async with asyncio.timeout(10):
        while not await shared():
            pass
    again = await other.get(f"/v1/streams/{second}/events")
    assert again.status == 410 or b'"code":"not_resumable"' in SSEFramer().feed(again.body)[-1]
    assert b"[DONE]" not in again.body


async def test_M6_a_store_that_is_slow_slows_nobody_and_loses_nothing(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(40, gap=0.005), fin(), done()])
    async with RedisServer() as redis:
        settings: dict[str, Any] = {"journal": {"url": redis.url, "ttl": 60.0}, "total": 30.0}
        one, other = await rig.gateway(upstream, **settings), await rig.gateway(upstream, **settings)
        client = await one.open(headers=ON)
        await client.events(3)
        stream = client.headers["x-penstock-stream"]
        await stored(other, stream)
        assert await redis.say("CLIENT PAUSE 2000 ALL") == b"+OK\r\n"
        asked = asyncio.create_task(redis.say("PING"))
        answer = await client.answer()
        assert (answer.ended, answer.marks) == ("clean", 1)
        assert not asked.done()
        await asked
        assert await events(other, stream) == answer.body
        assert one.metric("penstock_journal_streams_lost_total") == 0


def limited(gateway_of: Rig, upstream: Any, url: str, folder: Path) -> Any:
    limits = Limits(max_streams=1, budgets=(Budget("day", 1000 * CENT),))
    settings = msgspec.structs.replace(
        config([upstream], keys=(Key(name="a", key=MINE["authorization"][7:], limits=limits),), health=False),
        ledger=Ledger(url=f"sqlite:///{folder}", spool=f"{folder}-spool"),
        metering=Metering(),
        prices=(PRICE,),
        limits=SharedLimits(url=url),
    )
    return gateway_of.gateway(upstream, settings=settings)


def spent(gateway: LiveGateway) -> float:
    return gateway.metric("penstock_key_spent_usd", key="a")


async def test_limits_fail_over_to_a_replica_that_lags(rig: Rig, servers: Servers, tmp_path: Path) -> None:
    upstream = await rig.upstream(*[ANSWER] * 9)
    one = await limited(rig, upstream, servers.url, tmp_path / "one.db")
    other = await limited(rig, upstream, servers.url, tmp_path / "other.db")
    assert (await one.ask(headers=MINE)).status == 200
    await until(lambda: spent(one) == pytest.approx(0.2))
    day = b"*1\r\n"
    await servers.copied("KEYS penstock:limits:{a}:day:*", day)
    await servers.part()
    await servers.fail_over()
    # No request fails for it: at the worst each gateway keeps the limits for itself, for a moment.
    for gateway in (one, other):
        assert (await gateway.ask(headers=MINE)).status == 200
    for gateway in (one, other):
        await until(lambda gateway=gateway: gateway.metric("penstock_limits_shared") == 1, within=10)
    await until(lambda: max(spent(one), spent(other)) == pytest.approx(0.6), within=10)


async def test_limits_of_a_redis_that_does_not_answer_or_has_lost_its_data(rig: Rig, tmp_path: Path) -> None:
    slow = [hdr(), role(), tok(40, gap=0.005), fin(), usage(5, 40), done()]
    upstream = await rig.upstream(ANSWER, slow, *[ANSWER] * 9)
    async with RedisServer() as redis:
        one = await limited(rig, upstream, redis.url, tmp_path / "one.db")
        other = await limited(rig, upstream, redis.url, tmp_path / "other.db")
        assert (await one.ask(headers=MINE)).status == 200
        client = await one.open(headers=MINE)
        await client.events(3)
        redis.freeze()
        # Nothing that flows waits, and who comes is served when half a second has passed.
        assert (await client.answer()).marks == 1
        assert (await other.ask(headers=MINE)).status == 200
        await until(lambda: other.metric("penstock_limits_shared") == 0)
        redis.thaw()
        for gateway in (one, other):
            await until(lambda gateway=gateway: gateway.metric("penstock_limits_shared") == 1, within=10)
        # Of what was spent nothing is forgotten; a question that was heard and not answered may count twice.
        await until(lambda: max(spent(one), spent(other)) >= 0.799, within=10)
        assert max(spent(one), spent(other)) < 1.2
        knows = one if spent(one) >= spent(other) else other
        before = spent(knows)
        assert await redis.say("FLUSHALL") == b"+OK\r\n"
        # It is told what they know.
        assert (await knows.ask(headers=MINE)).status == 200
        await until(lambda: spent(knows) == pytest.approx(before + 0.2), within=10)


async def test_the_end_behind_a_gap_is_not_told() -> None:
    lost = b"data: lost\n\n"
    facts = Facts(
        stream="st_1", owner=None, route="m", model="m", client_wire="openai-chat", form="events", ids=False,
        content_type="text/event-stream", began=0, lost=lost, orphaned=b"",
    )  # fmt: skip
    journal = RedisJournal("redis://127.0.0.1:1/0", gateway="g", ttl=60.0, per_stream=1024)
    held = Held(facts, "g")
    log = journal.source(held, 0)
    frames, end = msgspec.msgpack.encode([b"a"]), msgspec.msgpack.encode(Ended(200, None, False))
    journal._take(log, held, [(b"1-0", {b"f": frames}), (b"3-0", {b"f": frames}), (b"3-1", {b"e": end})])
    assert log.ring.after(0) == [b"a", lost]
    assert log.seal == Seal(cut=True)
    await journal.close()
