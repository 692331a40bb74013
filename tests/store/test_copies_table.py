"""Copies of streams in the ledger's database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.capture.sender import Undelivered
from penstock.capture.table import Table
from penstock.config.values import CaptureDatabase, CaptureSinks
from penstock.policy.capture import Capture
from penstock.sim import Sim
from penstock.stages.redact.policy import RedactPolicy
from penstock.store.connect import connect
from penstock.testing.frames import DONE, chunk, finish, role
from penstock.testing.process import ServeProcess, document
from penstock.testing.rig import LiveGateway, Rig, until
from penstock.testing.steps import hdr, raw

ANSWER = [role(), chunk("mail jane@exam"), chunk("ple.com now"), finish(), DONE]


def sink(folder: Path, url: str = "", **more: Any) -> CaptureDatabase:
    """A database, ``folder/ledger.db`` where no other is named, and a spool in ``folder/spool``."""
    return CaptureDatabase(url=url or f"sqlite:///{folder}/ledger.db", spool=str(folder / "spool"), **more)


def rows_of(folder: Path, url: str = "") -> list[dict[str, Any]]:
    """The copies in a database, the oldest first."""
    with contextlib.closing(connect(url or sink(folder).url)) as database:
        found = database._do.fetch("SELECT stream, body FROM penstock_copies ORDER BY accepted_at")
    copies = [json.loads(body) for _, body in found]
    assert [copy["stream"] for copy in copies] == [stream for stream, _ in found]
    return copies


def line(stream: str, time: str = "2026-01-01T00:00:00.000Z", **more: Any) -> bytes:
    return msgspec.json.encode({"stream": stream, "time": time, **more}) + b"\n"


async def gateway_with(rig: Rig, database: CaptureDatabase) -> LiveGateway:
    upstream = await rig.upstream(*[[hdr(), *map(raw, ANSWER)]] * 2)
    return await rig.gateway(
        upstream,
        stages=(RedactPolicy(detectors=("email",)),),
        route_fields={"capture": Capture()},
        capture=CaptureSinks(database=database),
    )


async def copied(gateway: LiveGateway, fate: str, count: int) -> None:
    name = f'penstock_captures_total{{fate="{fate}",sink="database"}}'
    await until(lambda: gateway.metrics.get(name) == count, within=8.0, what=f"{fate} {count}: {gateway.metrics}")


async def test_a_copy_is_a_row(rig, url, tmp_path):
    gateway = await gateway_with(rig, sink(tmp_path, url))
    for _ in range(2):
        await gateway.ask()
    await copied(gateway, "delivered", 2)
    copies = await asyncio.to_thread(rows_of, tmp_path, url)
    assert [copy["stream"] for copy in copies] == [record["stream"] for record in gateway.records]
    assert {copy["text"] for copy in copies} == {"mail [email] now"}


async def test_a_database_that_is_away_harms_no_stream_and_gets_its_copies_later(rig, tmp_path):
    (tmp_path / "ledger.db").mkdir()
    gateway = await gateway_with(rig, sink(tmp_path))
    answer = await gateway.ask()
    assert answer.body.endswith(DONE)
    await copied(gateway, "kept", 1)
    assert gateway.metric("penstock_capture_spool_bytes") > 0
    (tmp_path / "ledger.db").rmdir()
    await copied(gateway, "delivered", 1)
    assert len(rows_of(tmp_path)) == 1


async def test_what_was_kept_is_in_the_database_after_kill_9(tmp_path):
    (tmp_path / "away").mkdir()
    sim = Sim()
    await sim.start()
    config = document([sim.base_url], capture={})
    config |= {"capture": {"database": {"spool": str(tmp_path / "spool")}}}
    # A database that cannot be had, and then one that can.
    away, here = ({"ledger": {"url": f"sqlite:///{tmp_path}/{name}"}} for name in ("away", "ledger.db"))
    streams = []
    try:
        async with ServeProcess(config | away, tmp_path) as one:
            for _ in range(3):
                client = await one.open(model="sim?tokens=5&gap=0&first=0")
                streams.append((await client.answer()).headers["x-penstock-stream"])
                client.close()
            await metric(one, "kept", 3)
            os.kill(one.pid, signal.SIGKILL)
            await one.exit_code()
        async with ServeProcess(config | here, tmp_path) as two:
            await metric(two, "delivered", 3)
    finally:
        await sim.close()
    assert [copy["stream"] for copy in rows_of(tmp_path)] == streams


async def metric(process: ServeProcess, fate: str, count: int) -> None:
    told = f'penstock_captures_total{{fate="{fate}",sink="database"}} {count}'
    async with asyncio.timeout(20):
        while told not in (await process.get("/metrics")).body.decode():
            await asyncio.sleep(0.02)


def test_copies_that_are_too_old_go(tmp_path):
    now = datetime(2026, 1, 1, 2, tzinfo=UTC).timestamp()
    receiver = Table(sink(tmp_path, keep=3600.0), clock=lambda: now)
    old = [line(f"st_{number}", "2026-01-01T00:59:59.000Z") for number in range(1203)]
    assert receiver.deliver([*old, line("st_new", "2026-01-01T01:00:01.000Z", text="Zwölf")])
    receiver.tidy()
    assert [(copy["stream"], copy["text"]) for copy in rows_of(tmp_path)] == [("st_new", "Zwölf")]
    receiver.close()


def test_a_copy_that_comes_twice_is_there_once_and_what_is_none_is_left_out(tmp_path, caplog):
    receiver = Table(sink(tmp_path))
    assert receiver.tidies is None
    assert receiver.deliver([line("st_a"), b"{\n", line("st_b")])
    assert receiver.deliver([line("st_a"), line("st_c")])
    receiver.tidy()
    receiver.close()
    assert {copy["stream"] for copy in rows_of(tmp_path)} == {"st_a", "st_b", "st_c"}
    assert "is no copy" in caplog.text


def test_a_failure_is_told_and_the_next_attempt_begins_anew(tmp_path: Path):
    receiver = Table(sink(tmp_path, keep=60.0))
    assert receiver.deliver([line("st_a")])
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("ALTER TABLE penstock_copies RENAME TO elsewhere")
    db.close()
    receiver.tidy()
    with pytest.raises(Undelivered, match="no such table"):
        receiver.deliver([line("st_b")])
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("ALTER TABLE elsewhere RENAME TO penstock_copies")
    db.close()
    assert receiver.deliver([line("st_b")])
    receiver.close()
    assert len(rows_of(tmp_path)) == 2
