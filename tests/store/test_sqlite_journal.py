"""A journal in a file: it survives the gateway's restart and its death, and two gateways of one machine share it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from test_shared_journal import ON, ask, events, stored

from penstock.app import Gateway
from penstock.config.values import Config, Journal
from penstock.framing.sse import SSEFramer
from penstock.stores import StoreUnusable
from penstock.testing.process import ServeProcess, document
from penstock.testing.rig import Rig, until
from penstock.testing.steps import done, fin, hdr, role, tok, until_closed

ANSWER = [hdr(), role(), tok(20), fin(), done()]


def kept(folder: Path) -> dict[str, object]:
    return {"journal": {"url": f"sqlite:///{folder}/journal.db", "ttl": 60.0}, "total": 30.0}


async def test_M9_what_has_ended_survives_a_restart(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream(ANSWER)
    before = await rig.gateway(upstream, **kept(tmp_path))
    once = {"idempotency-key": "once"}
    whole = (await before.ask(headers=once)).body
    stream = before.accepted[-1]
    await before.stop()
    after = await rig.gateway(upstream, **kept(tmp_path))
    assert await events(after, stream) == whole
    assert await events(after, stream, 20) == b"".join(SSEFramer().feed(whole)[20:])
    again = await after.ask(headers=once)
    assert (again.status, again.body) == (200, whole)
    assert (await after.ask(headers=once, temperature=1)).status == 409
    assert len(upstream.requests) == 1
    shown = (await after.get(f"/v1/streams/{stream}")).json
    assert (shown["state"], shown["outcome"]) == ("ended", "completed")


async def test_M9_the_gateway_was_killed_in_mid_answer(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(20), until_closed()])
    settings = {**document([upstream.base_url]), "journal": {"url": f"sqlite:///{tmp_path}/journal.db"}}
    async with ServeProcess(settings, tmp_path) as one:
        client = await ask(one)
        await client.events(21)
        stream = client.headers["x-penstock-stream"]
        async with ServeProcess(settings, tmp_path) as other:
            await stored(other, stream)
            # Until the other has all that the first has told.
            reader = await other.connect()
            await reader.request("GET", f"/v1/streams/{stream}/events")
            await reader.events(21)
            one.kill()
            told = SSEFramer().feed((await reader.answer(within=30)).body)
            assert told[:-1] == SSEFramer().feed(client.body)
            assert b'"code":"crashed"' in told[-1]
            assert (await other.get(f"/v1/streams/{stream}")).json["outcome"] == "crashed"
    async with ServeProcess(settings, tmp_path) as again:
        assert SSEFramer().feed(await events(again, stream, 5)) == told[5:]


async def test_M2_followed_and_stopped_by_another_process_of_the_machine(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.02)])
    one, other = await rig.gateway(upstream, **kept(tmp_path)), await rig.gateway(upstream, **kept(tmp_path))
    client = await one.open(headers=ON)
    await client.events(3)
    stream = client.headers["x-penstock-stream"]
    await stored(other, stream)
    follower = asyncio.create_task(events(other, stream))
    assert (await other.post(f"/v1/streams/{stream}/stop", b"")).json["state"] == "stopping"
    answer = await client.answer()
    assert (answer.ended, answer.finishes) == ("clean", ["stop"])
    assert await follower == answer.body
    await one.record()


async def test_M6_the_live_stream_outlives_a_file_that_cannot_be_written(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(100, gap=0.005), fin(), done()])
    gateway = await rig.gateway(upstream, **kept(tmp_path))
    client = await gateway.open(headers=ON)
    await client.events(4)
    busy = sqlite3.connect(tmp_path / "journal.db")
    busy.execute("begin exclusive")
    try:
        answer = await client.answer()
        assert (answer.ended, answer.marks) == ("clean", 1)
        assert await events(gateway, client.headers["x-penstock-stream"]) == answer.body
        await until(lambda: gateway.metric("penstock_journal_streams_lost_total") == 1, within=15)
    finally:
        busy.close()
    await gateway.record()


def test_a_file_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match=r"journal\.url"):
        Gateway(Config(journal=Journal(url=f"sqlite:///{tmp_path}/nowhere/journal.db")))
