"""L. Servers: streams and the connections to the ledger's database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from penstock.config.values import Ledger, Metering
from penstock.store.postgres import Postgres
from penstock.testing.postgres import PostgresServer
from penstock.testing.rig import Rig, config, until
from penstock.testing.steps import done, fin, hdr, role, tok, until_closed

OPEN = 50
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


async def test_L8_open_streams_hold_no_connection_to_the_database(
    rig: Rig, clean: PostgresServer, tmp_path: Path
) -> None:
    upstream = await rig.upstream(*[[hdr(), role(), tok(2), until_closed()]] * OPEN, [hdr(), tok(2), fin(), done()])
    kept = Ledger(url=clean.url, spool=str(tmp_path / "spool"))
    settings = config([upstream], between_tokens=None, total=60)
    gateway = await rig.gateway(settings=msgspec.structs.replace(settings, ledger=kept, metering=Metering()))
    clients = [await gateway.open() for _ in range(OPEN)]
    for client in clients:
        await client.events(3)
    await until(lambda: gateway.metric("penstock_ledger_open") == OPEN)
    # The writer's, however many streams there are; and what is asked of the gateway is answered.
    assert await asyncio.to_thread(connections, clean.url) <= 2
    assert (await gateway.get("/v1/usage")).status == 200
    assert (await gateway.ask()).marks == 1
    assert await asyncio.to_thread(connections, clean.url) <= 2
    for client in clients:
        client.close()
    await until(lambda: gateway.metric("penstock_ledger_open") == 0)


def connections(url: str) -> int:
    """To the database, but for this one."""
    database = Postgres(url)
    try:
        return int(database.fetch(CONNECTIONS)[0][0])
    finally:
        database.close()
