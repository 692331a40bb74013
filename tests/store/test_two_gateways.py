"""Gateways that share journal and ledger, as processes of their own: what becomes of a stream whose gateway goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from penstock.framing.sse import SSEFramer
from penstock.metering.row import Row
from penstock.store.connect import connect
from penstock.store.query import Query
from penstock.testing.client import CHAT, RawClient
from penstock.testing.process import ServeProcess, document
from penstock.testing.redis_server import RedisServer
from penstock.testing.rig import Rig, request
from penstock.testing.steps import hdr, role, tok, until_closed

ANSWER = [hdr(), role(), tok(250, gap=0.002), tok(10, gap=0.1), until_closed()]
FRAMES = 261


class Pair:
    """Two gateways, and what they share."""

    def __init__(self, one: ServeProcess, other: ServeProcess, ledger: str):
        self.one = one
        self.other = other
        self._ledger = ledger

    async def streaming(self) -> RawClient:
        """A client of the first that has all of the answer that comes, and waits for more."""
        client = await self.one.connect()
        await client.post(CHAT, request(), {"x-penstock-resume": "on"})
        await client.events(FRAMES)
        return client

    async def following(self, client: RawClient) -> RawClient:
        """Another client, of the second, that reads the same stream from its beginning."""
        stream = client.headers["x-penstock-stream"]
        async with asyncio.timeout(10):
            while (await self.other.get(f"/v1/streams/{stream}")).status != 200:
                await asyncio.sleep(0.02)
        follower = await self.other.connect()
        await follower.request("GET", f"/v1/streams/{stream}/events")
        return follower

    async def row(self, client: RawClient) -> Row:
        """The stream's settled row, as soon as there is one."""
        async with asyncio.timeout(30):
            while not (found := await asyncio.to_thread(self._read, client.headers["x-penstock-stream"])):
                # Who asks for the usage makes the gateway look for what others have left.
                assert (await self.other.get("/v1/usage")).status == 200
        (row,) = found
        return row

    def _read(self, stream: str) -> list[Row]:
        database = connect(self._ledger)
        try:
            return [row for _, row in database.page(Query(stream=stream)).rows]
        finally:
            database.close()


@pytest.fixture
async def pair(rig: Rig, url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    upstream = await rig.upstream(ANSWER)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(RedisServer())
        settings: dict[str, Any] = {
            **document([upstream.base_url], server={"drain": "100ms"}, deadlines={"between_tokens": "60s"}),
            "journal": {"url": redis.url, "ttl": "60s"},
            "ledger": {"url": url, "spool": str(tmp_path / "spool"), "abandoned": "1m"},
            "prices": {"model": {"input": 1, "output": 2}},
        }
        processes = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            processes.append(await stack.enter_async_context(ServeProcess(settings, tmp_path / name)))
        yield Pair(*processes, url)


async def test_M9_the_survivor_settles_what_a_killed_gateway_has_left(pair: Pair) -> None:
    client = await pair.streaming()
    follower = await pair.following(client)
    # All that the client has is journaled, and a checkpoint was made while the last of it came.
    await follower.events(FRAMES)
    pair.one.kill()
    told = SSEFramer().feed((await follower.answer(within=20)).body)
    assert told[:-1] == SSEFramer().feed(client.body)
    assert b'"code":"crashed"' in told[-1]
    row = await pair.row(client)
    assert (row.outcome, row.committed) == ("crashed", True)
    assert row.counted.output is not None and row.counted.output > 100
    assert row.cost is not None and row.cost > 0
    assert any("the gateway died" in warning for warning in row.warnings)


async def test_L9_a_stream_that_outlasts_the_drain_is_journaled_and_billed(pair: Pair) -> None:
    client = await pair.streaming()
    follower = await pair.following(client)
    pair.one.terminate()
    told = await client.answer()
    assert (told.ended, told.error and told.error["code"]) == ("clean", "shutdown")
    assert await pair.one.exit_code() == 0
    assert (await follower.answer()).body == told.body
    row = await pair.row(client)
    assert (row.outcome, row.committed) == ("shutdown", True)
    assert row.delivered.output is not None and row.delivered.output > 100
    assert row.cost is not None and row.cost > 0
