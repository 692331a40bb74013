"""H. The ledger's rows over real sockets: one for every stream, of every wire, whoever breaks off, whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from endings import STREAM
from wire_providers import PROVIDERS, Provider

from penstock.config.values import Config, Key, Ledger, Metering, Target
from penstock.metering.prices import Price, Rates
from penstock.policy.limits import Budget, Limits
from penstock.policy.metadata import Metadata
from penstock.stages.redact.policy import RedactPolicy
from penstock.store import schema
from penstock.testing import frames
from penstock.testing.client import RawClient
from penstock.testing.process import ServeProcess, document
from penstock.testing.rig import LiveGateway, Rig, Upstream, config, until
from penstock.testing.steps import cut, done, eof, fin, hdr, pause, raw, role, st, tok, until_closed, usage
from penstock.testing.upstream import Step
from penstock.wire import json

CENT = 10**7
RATES = Rates(input=10**6, output=10 * 10**6)
PRICE = Price(model="gpt-4o", rates=RATES, source="", date="", configured=True)
SECRET = "team-a-0123456789"
MINE = {"authorization": f"Bearer {SECRET}"}
HELLO = [{"role": "user", "content": "Hello world"}]
SAID = [raw(frames.chunk(word)) for word in ("antidis", "establishment", "arianism", " is", " one", " word")]
TEXT = 6 + 3
"""Tokens of that."""
Start = Callable[..., Awaitable[LiveGateway]]


@pytest.fixture
def start(rig: Rig, tmp_path: Path) -> Start:
    """A gateway with a ledger, whose targets are gpt-4o."""

    async def gateway(*upstreams: Upstream, prices: tuple[Price, ...] = (PRICE,), **options: Any) -> LiveGateway:
        settings: Config = config(upstreams, **options)
        (route,) = settings.routes
        targets = tuple(Target(target.provider, "gpt-4o") for target in route.targets)
        settings = msgspec.structs.replace(
            settings,
            routes=(msgspec.structs.replace(route, targets=targets),),
            ledger=Ledger(url=f"sqlite:///{tmp_path}/l.db", spool=f"{tmp_path}/spool"),
            metering=Metering(),
            prices=prices,
        )
        return await rig.gateway(*upstreams, settings=settings)

    return gateway


async def asked(client: RawClient, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The rows that a gateway shows."""
    await client.request("GET", "/v1/usage?limit=1000", headers=headers)
    answer = await client.answer()
    assert answer.status == 200, answer.body
    client.close()
    found: list[dict[str, Any]] = json.loads(answer.body)["data"]
    return found


async def rows(gateway: LiveGateway, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    return await asked(await gateway.connect(), headers)


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
@STREAM
async def test_H9_one_row_a_stream_in_every_wire(rig: Rig, start: Start, provider: Provider, stream: bool) -> None:
    endings: list[list[Step]] = [[raw(provider.end)], [cut()], [until_closed()]]
    upstream = await rig.upstream(*([*provider.begin(), *ending] for ending in endings))
    gateway = await start(upstream, wire=provider.wire, health=False)
    for _ in endings:
        await provider.speaker.ask(gateway, stream)
    # Rows are settled later while the vocabulary is loaded: not in the order in which the streams began.
    found = sorted(await rows(gateway), key=lambda row: row["started_at"])
    assert [row["outcome"] for row in found] == ["completed", "upstream_cut", "stalled"]
    assert [row["stream"] for row in found] == [record["stream"] for record in gateway.records]
    for row in found:
        # "w0 w1 w2 " has the same tokens however it is cut.
        assert row["counted"]["output"] == found[0]["counted"]["output"] > 3
        whole = stream or row["outcome"] == "completed"
        assert (row["delivered"]["output"] or 0) == (row["counted"]["output"] if whole else 0)
        assert row["cost_usd"] > 0
    assert found[0]["reported"]["input"] and found[0]["reported"]["output"]


@STREAM
async def test_H10_what_was_served_has_a_row_with_a_price(rig: Rig, start: Start, stream: bool) -> None:
    endings = [[fin(), usage(9, 9), done(), eof()], [fin(), done(), eof()], [cut()]]
    upstream = await rig.upstream(*([hdr(), role(), *SAID, *ending] for ending in endings), [st(500)])
    gateway = await start(upstream, health=False)
    for _ in range(4):
        await gateway.ask(stream, messages=HELLO)
    found = await rows(gateway)
    assert len(found) == len(upstream.requests) == 4
    # The route's name has no price; the model that served has.
    assert [row["model"] for row in found] == ["gpt-4o"] * 4
    assert [row["cost_usd"] for row in found] == [(9 + 10 * TEXT) * 1e-9] * 3 + [0]


async def test_H11_twenty_streams_on_a_budget_for_four(rig: Rig, start: Start) -> None:
    chunk = 3
    cents = Price(model="gpt-4o", rates=Rates(input=0, output=CENT * 10**6), source="", date="", configured=True)
    keys = (Key(name="a", key=SECRET, limits=Limits(budgets=(Budget("day", 200 * CENT),))),)
    upstream = await rig.upstream(*[[hdr(), tok(25, gap=0.02), fin(), done()]] * 20)
    gateway = await start(upstream, prices=(cents,), keys=keys, health=False)
    await asyncio.gather(*(gateway.ask(headers=MINE) for _ in range(20)))
    found = await rows(gateway, MINE)
    assert {row["outcome"] for row in found} == {"budget_exceeded"}
    assert 2.0 <= sum(row["cost_usd"] for row in found) <= 2.0 + 20 * chunk / 100
    refused = await gateway.ask(headers=MINE)
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (429, "budget_exceeded")


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
@STREAM
async def test_H13_the_last_note_says_what_the_row_says(
    rig: Rig, start: Start, provider: Provider, stream: bool
) -> None:
    upstream = await rig.upstream([*provider.begin(), raw(provider.end)])
    gateway = await start(
        await rig.upstream([st(500)]), upstream, wire=provider.wire, route_fields={"metadata": Metadata(mode="final")}
    )
    answer = await provider.speaker.ask(gateway, stream)
    (row,) = await rows(gateway)
    told = re.findall(rb'"cost_usd":([^,}]+)', answer.body)
    assert len(told) == 1
    assert float(told[0]) == row["cost_usd"] > 0


@STREAM
async def test_H13_nothing_is_told_to_who_did_not_ask(rig: Rig, start: Start, stream: bool) -> None:
    gateway = await start(await rig.upstream([hdr(), role(), *SAID, fin(), usage(9, 9), done()]))
    answer = await gateway.ask(stream, messages=HELLO)
    assert answer.status == 200 and b"penstock" not in answer.body and b"cost" not in answer.body


@STREAM
async def test_H13_what_must_be_counted_first_is_not_guessed(rig: Rig, start: Start, stream: bool) -> None:
    gateway = await start(await rig.upstream([hdr(), role(), *SAID, fin(), done()]))
    answer = await gateway.ask(stream, messages=HELLO, headers={"x-penstock-metadata": "final"})
    assert b'"cost_usd":null' in answer.body
    (row,) = await rows(gateway)
    assert row["cost_usd"] == (9 + 10 * TEXT) * 1e-9


@STREAM
async def test_H10_a_row_has_what_stages_found_the_tags_and_why_attempts_failed(
    rig: Rig, start: Start, stream: bool
) -> None:
    said = [hdr(), role(), raw(frames.chunk("ask jane@exam")), raw(frames.chunk("ple.com now")), fin(), done()]
    first, second = await rig.upstream([st(500)]), await rig.upstream(said)
    stages = (RedactPolicy(detectors=("email",)),)
    gateway = await start(first, second, stages=stages, route_fields={"tags": (("team", "blue"),)})
    await gateway.ask(stream, messages=HELLO)
    (row,) = await rows(gateway)
    assert (row["redactions"], row["tags"]) == (1, {"team": "blue"})
    failed, served = row["attempts"]
    assert failed["outcome"] == "upstream_error" and "500" in failed["reason"]
    assert (served["outcome"], served["reason"]) == (None, "")


async def test_A4_what_a_key_has_spent_is_the_sum_of_its_rows(rig: Rig, start: Start) -> None:
    keys = (Key(name="a", key=SECRET, limits=Limits(max_streams=1, budgets=(Budget("day", 10**12),))),)
    phases = [[hdr(), tok(1000, gap=0.01)], [hdr(), pause(3)], [hdr(), tok(3), cut()], [st(500)]]
    gateway = await start(await rig.upstream(*phases * 5), keys=keys, health=False)
    for turn in range(20):
        client = await gateway.open(headers=MINE)
        if turn % 4 == 0:
            await client.events(2)
        elif turn % 4 > 1:
            await client.answer()
        client.close()
        await until(lambda turn=turn: len(gateway.records) > turn)  # type: ignore[misc]
    found = await rows(gateway, MINE)
    assert len(found) == 20
    spent = gateway.metric("penstock_key_spent_usd", key="a")
    assert spent == pytest.approx(sum(row["cost_usd"] for row in found))
    assert gateway.metric("penstock_key_streams", key="a") == 0


@STREAM
async def test_C8_the_ledger_names_who_served(rig: Rig, start: Start, stream: bool) -> None:
    first, second = await rig.upstream([st(500)]), await rig.upstream([hdr(), *SAID, fin(), usage(9, 9), done()])
    gateway = await start(first, second)
    await gateway.ask(stream, messages=HELLO)
    (row,) = await rows(gateway)
    assert (row["route"], row["provider"], row["model"]) == ("m", "m2", "gpt-4o")
    assert [line["target"] for line in row["attempts"]] == ["m1/gpt-4o", "m2/gpt-4o"]


@STREAM
async def test_A10_a_cancelled_stream_is_charged_for_what_came(rig: Rig, start: Start, stream: bool) -> None:
    upstream = await rig.upstream([hdr(), role(), *SAID, until_closed()])
    gateway = await start(upstream, between_tokens=None)
    client = await gateway.open(stream, messages=HELLO)
    if stream:
        await client.until(b" word")
    else:
        await until(lambda: upstream.requests and gateway.metric("penstock_streams_active") == 1)
        await until(lambda: upstream.requests[0].bytes_written > len(b"".join(map(frames.chunk, ["x"] * 6))))
    client.close()
    await upstream.requests[0].closed(within=1.0)
    (row,) = await settled(gateway)
    assert row["outcome"] == "client_closed"
    if stream:
        assert (row["counted"]["output"], row["delivered"]["output"]) == (TEXT, TEXT)
        assert (row["basis"], row["cost_usd"]) == ("exact", (9 + 10 * TEXT) * 1e-9)
    else:
        assert row["counted"]["output"] <= TEXT and row["delivered"]["output"] is None


async def settled(gateway: LiveGateway) -> list[dict[str, Any]]:
    await gateway.record()
    return await rows(gateway)


async def test_H1_a_gateway_that_is_killed_has_charged_for_what_came(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream([hdr(), role(), *SAID, until_closed()])
    settings = document([upstream.base_url], deadlines={"between_tokens": "60s", "total": "90s"})
    settings["routes"] = {"m": {"targets": ["m1/gpt-4o"]}}
    settings["prices"] = {"gpt-4o": {"input": "0.001", "output": "0.01"}}
    async with ServeProcess(settings, tmp_path) as process:
        client = await process.open(messages=HELLO)
        await client.until(b" word")
        await until(lambda: checkpointed(tmp_path / "penstock.db") == [True, TEXT], within=20, what="a checkpoint")
        os.kill(process.pid, signal.SIGKILL)
    async with ServeProcess(settings, tmp_path) as process:
        (row,) = await asked(await process.connect())
    assert (row["outcome"], row["basis"], row["charged"]) == ("crashed", "estimated", "counted")
    assert (row["counted"]["output"], row["delivered"]["output"]) == (TEXT, TEXT)
    assert row["counted"]["input"] > 0
    assert row["cost_usd"] == pytest.approx((row["counted"]["input"] + 10 * TEXT) * 1e-9)
    assert "the gateway died; settled from the last checkpoint" in row["warnings"]


def checkpointed(path: Path) -> list[Any]:
    """Whether the only open row has its prompt by now, and the output that it counts."""
    with contextlib.closing(sqlite3.connect(path)) as database, contextlib.suppress(sqlite3.OperationalError):
        for (body,) in database.execute("SELECT body FROM penstock_streams WHERE seq IS NULL"):
            counted = schema.row(body).counted
            return [counted.input is not None, counted.output]
    return []


async def test_H10_a_row_says_how_much_was_redacted_and_has_its_tags(rig: Rig, start: Start) -> None:
    """Of a resumable stream too."""
    upstream = await rig.upstream(*2 * [[hdr(), role(), raw(frames.chunk("to a@b.com, c@d.com")), fin(), done()]])
    redact = RedactPolicy(detectors=("email",), replace="[{kind}]")
    gateway = await start(upstream, stages=(redact,), route_fields={"tags": (("policy", "eu-1"),)})
    await gateway.ask()
    client = await gateway.open(headers={"x-penstock-resume": "on"})
    answer = await client.answer()
    assert b"@" not in answer.body and answer.body.count(b"[email]") == 2
    for row in await rows(gateway):
        assert (row["outcome"], row["redactions"], row["tags"]) == ("completed", 2, {"policy": "eu-1"})
