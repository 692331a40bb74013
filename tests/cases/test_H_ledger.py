"""H. Usage and billing: the ledger under everything that happens to a gateway and its database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from penstock.config.values import Ledger, Metering
from penstock.store.connect import connect
from penstock.store.query import Query
from penstock.testing.postgres import PostgresServer
from penstock.testing.rig import Rig, config, descriptors, until
from penstock.testing.steps import done, fin, hdr, tok, usage

ANSWER = [hdr(), tok(10, gap=0.005), fin(), usage(5, 10), done()]


async def test_h10_a_database_that_is_away_costs_no_row_and_harms_no_stream(
    rig: Rig, clean: PostgresServer, tmp_path: Path
) -> None:
    upstream = await rig.upstream(*[ANSWER] * 5000)
    kept = Ledger(url=clean.url, spool=str(tmp_path / "spool"))
    settings = msgspec.structs.replace(config([upstream]), ledger=kept, metering=Metering())
    gateway = await rig.gateway(upstream, settings=settings)
    ended: list[int] = []
    over = asyncio.Event()

    async def client() -> None:
        while not over.is_set():
            answer = await gateway.ask()
            ended.append(answer.status)

    clients = [asyncio.create_task(client()) for _ in range(4)]
    await until(lambda: len(ended) > 40, within=20)
    await asyncio.to_thread(clean.stop)
    await until(lambda: gateway.metric("penstock_ledger_reachable") == 0, within=20)
    before = len(ended)
    await until(lambda: len(ended) > before + 40, within=20)
    assert gateway.metric("penstock_ledger_spool_bytes") > 0
    await asyncio.to_thread(clean.start)
    over.set()
    await asyncio.gather(*clients)
    assert set(ended) == {200}
    await until(lambda: gateway.metric("penstock_ledger_spool_bytes") == 0, within=20)
    assert await rows(clean) == sorted(record["stream"] for record in gateway.records)
    gateway.errors_expected = 1
    rig._descriptors = descriptors()


async def rows(server: PostgresServer) -> list[str]:
    """The streams of all rows."""

    def read() -> list[str]:
        database = connect(server.url)
        page = database.page(Query(limit=10_000))
        database.close()
        return [row.stream for _, row in page.rows]

    return sorted(await asyncio.to_thread(read))
