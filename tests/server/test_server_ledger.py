"""A gateway with a ledger, over real sockets: a row for every stream, and what is to be had of it."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.config.values import Key, Ledger, Metering
from penstock.testing.disk import disk_of
from penstock.testing.rig import LiveGateway, Rig, Upstream, config, descriptors, until
from penstock.testing.steps import cut, done, fin, hdr, pause, st, tok, usage
from penstock.wire import json

WHOLE = [hdr(), tok(20), fin(), usage(5, 20), done()]
A, B, ADMIN = "team-a-0123456789", "team-b-0123456789", "admin-0123456789"
KEYS = (Key(name="a", key=A), Key(name="b", key=B), Key(name="root", key=ADMIN, admin=True))
Start = Callable[..., Awaitable[LiveGateway]]


@pytest.fixture
def start(rig: Rig, tmp_path: Path) -> Start:
    """A gateway with a ledger."""

    async def gateway(*upstreams: Upstream, spool_size: int = 1 << 26, **options: Any) -> LiveGateway:
        kept = Ledger(url=f"sqlite:///{tmp_path}/l.db", spool=f"{tmp_path}/spool", spool_size=spool_size)
        settings = msgspec.structs.replace(config(upstreams, **options), ledger=kept, metering=Metering())
        return await rig.gateway(*upstreams, settings=settings)

    return gateway


async def asked(gateway: LiveGateway, query: str = "", key: str | None = None) -> Any:
    """The answer of /v1/usage and its status."""
    client = await gateway.connect()
    headers = {"authorization": f"Bearer {key}"} if key else None
    await client.request("GET", f"/v1/usage{query}", headers=headers)
    answer = await client.answer()
    client.close()
    return answer.status, json.loads(answer.body)


async def rows(gateway: LiveGateway, query: str = "", key: str | None = None) -> list[dict[str, Any]]:
    status, page = await asked(gateway, query, key)
    assert status == 200, page
    found: list[dict[str, Any]] = page["data"]
    return found


async def test_a_stream_is_in_the_ledger_as_soon_as_it_is_over(rig, start):
    gateway = await start(await rig.upstream(WHOLE))
    answer = await gateway.ask()
    (row,) = await rows(gateway)
    assert row["stream"] == answer.headers["x-penstock-stream"]
    assert (row["outcome"], row["committed"], row["provider"], row["model"]) == ("completed", True, "m1", "model")
    assert row["reported"] == {"input": 5, "output": 20, "reasoning": None, "cache_read": None, "cache_write": None}
    assert row["attempts"][0]["status"] == 200
    assert row["started_at"] <= row["ended_at"]
    assert gateway.metric("penstock_ledger_rows_total") == 1
    assert gateway.metric("penstock_ledger_spool_bytes") == 0
    assert gateway.metric("penstock_ledger_reachable") == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_every_ending_has_one_row(rig, start, stream):
    gateway = await start(
        await rig.upstream(WHOLE, [hdr(), tok(3), cut()], [st(500)], [hdr(), tok(1), pause(5)]), health=False
    )
    for _ in range(4):
        await gateway.ask(stream)
    found = await rows(gateway)
    assert [row["outcome"] for row in found] == ["completed", "upstream_cut", "upstream_error", "stalled"]
    assert [row["stream"] for row in found] == [record["stream"] for record in gateway.records]


async def test_a_client_that_leaves_has_its_row(rig, start):
    gateway = await start(await rig.upstream([hdr(), tok(1000, gap=0.02)]))
    client = await gateway.open()
    await client.events(3)
    client.close()
    await gateway.record()
    (row,) = await rows(gateway)
    assert row["outcome"] == "client_closed" and row["counted"]["output"] >= 3


async def test_no_row_for_what_became_no_stream(rig, start):
    gateway = await start(await rig.upstream(WHOLE))
    assert (await gateway.ask(model="unknown")).status == 404
    assert await rows(gateway) == []


async def test_a_key_sees_its_own_rows_and_an_admin_all(rig, start):
    gateway = await start(await rig.upstream(WHOLE, WHOLE, WHOLE), keys=KEYS)
    for key in (A, B, A):
        await gateway.ask(headers={"authorization": f"Bearer {key}"})
    assert [row["key"] for row in await rows(gateway, key=A)] == ["a", "a"]
    assert [row["key"] for row in await rows(gateway, key=ADMIN)] == ["a", "b", "a"]
    assert [row["key"] for row in await rows(gateway, "?key=b", ADMIN)] == ["b"]
    status, refused = await asked(gateway, "?key=b", A)
    assert (status, refused["error"]["code"]) == (403, "not_allowed")
    assert (await asked(gateway))[0] == 401


async def test_pages_and_filters(rig, start):
    gateway = await start(await rig.upstream(*[WHOLE] * 5))
    for _ in range(5):
        await gateway.ask()
    _, first = await asked(gateway, "?limit=2")
    assert len(first["data"]) == 2 and first["next"] == first["data"][-1]["cursor"]
    _, rest = await asked(gateway, f"?after={first['next']}&limit=3")
    assert len(rest["data"]) == 3 and rest["next"] is None
    one = first["data"][0]["stream"]
    assert [row["stream"] for row in await rows(gateway, f"?stream={one}")] == [one]
    assert await rows(gateway, "?until=2020-01-01") == await rows(gateway, "?outcome=stalled") == []
    assert len(await rows(gateway, "?since=1h&model=model")) == 5


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?colour=red", "'colour' is unknown; filters: stream, key,"),
        ("?outcome=canceled", "outcome takes one of completed, client_closed, "),
        ("?limit=0", "limit takes a limit from 1 to 1000"),
        ("?after=x", "after takes the cursor of a row"),
        ("?since=soon", "since takes Unix seconds"),
        ("?limit=1&limit=2", "'limit' is given twice"),
    ],
)
async def test_filters_that_are_none(rig, start, query, said):
    gateway = await start(await rig.upstream())
    status, answer = await asked(gateway, query)
    assert status == 400
    assert said in answer["error"]["message"]


async def test_a_spool_without_room_takes_no_stream_and_serves_none_unbilled(rig, start):
    upstream = await rig.upstream(WHOLE)
    gateway = await start(upstream, spool_size=100)
    answer = await gateway.ask()
    assert answer.status == 503
    error = json.loads(answer.body)["error"]
    assert error["code"] == "ledger_unavailable" and "the spool is full" in error["message"]
    assert int(answer.headers["retry-after"]) >= 1
    assert upstream.requests == []


async def test_a_disk_that_is_full_takes_no_stream_until_there_is_room(rig, start, tmp_path):
    gateway = await start(await rig.upstream([hdr(), tok(5), pause(0.2), *WHOLE[1:]], WHOLE))
    client = await gateway.open()
    await client.events(3)
    with disk_of(1):
        assert (await client.answer()).status == 200
        await gateway.record()
        refused = await gateway.ask()
        assert refused.status == 503 and b"cannot be accounted for" in refused.body
    await until(lambda: not gateway.gateway.ledger._owed, what="the row is written down after all")
    gateway.errors_expected = sum(line.get("level") == "error" for line in gateway.writer.parsed)
    assert gateway.errors_expected >= 1
    assert (await gateway.ask()).status == 200
    assert len(await rows(gateway)) == 2


async def test_without_a_ledger_there_is_no_usage(rig):
    gateway = await rig.gateway(await rig.upstream())
    assert (await gateway.get("/v1/usage")).status == 404


async def test_a_database_that_is_away_harms_no_stream(rig, start, tmp_path):
    (tmp_path / "l.db").mkdir()
    gateway = await start(await rig.upstream(*[WHOLE] * 3))
    for _ in range(2):
        assert (await gateway.ask()).status == 200
    await until(lambda: gateway.metric("penstock_ledger_reachable") == 0)
    status, answer = await asked(gateway)
    assert (status, answer["error"]["code"]) == (503, "ledger_unavailable")
    shutil.rmtree(tmp_path / "l.db")
    await until(lambda: gateway.metric("penstock_ledger_rows_total") == 2, within=5)
    assert len(await rows(gateway)) == 2
    gateway.errors_expected = 1
    rig._descriptors = descriptors()
