"""Metering behind real sockets: the row of a stream, its line in the log, its metrics."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest_asyncio
from tokenizers import Tokenizer, models, pre_tokenizers

from penstock.config.values import Config, Key, Metering, OwnTokenizer, Target
from penstock.metering.charge import Billing
from penstock.metering.prices import Price, Rates
from penstock.testing import frames
from penstock.testing.rig import LiveGateway, Rig, config, until
from penstock.testing.steps import done, eof, fin, hdr, raw, until_closed, usage

PRICE = Price(model="gpt-4o", rates=Rates(input=10**6, output=10 * 10**6), source="", date="", configured=True)
SAID = [raw(frames.chunk(word)) for word in ("Hello", " world", ",", " how", " are", " you")]


@pytest_asyncio.fixture
async def rig():
    made = Rig()
    try:
        yield made
        await made.check()
    finally:
        await made.stop()


def metered(settings: Config, *, model: str = "gpt-4o", **route: Any) -> Config:
    (only,) = settings.routes
    targets = tuple(Target(target.provider, model) for target in only.targets)
    only = msgspec.structs.replace(only, targets=targets, **route)
    return msgspec.structs.replace(settings, routes=(only,), metering=Metering(), prices=(PRICE,))


async def row(gateway: LiveGateway) -> dict[str, Any]:
    """The row of the only stream."""

    def rows() -> list[dict[str, Any]]:
        return [line for line in gateway.writer.parsed if line.get("event") == "row"]

    await until(rows, within=10.0, what="a row")
    (only,) = rows()
    return only


async def test_a_stream_has_a_row(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), *SAID, fin(), usage(9, 6), done(), eof()])
    gateway = await rig.gateway(upstream, settings=metered(config([upstream]), tags=(("a", "b"),)))
    answer = await gateway.ask()
    assert answer.status == 200
    line = await row(gateway)
    assert line["counted"]["output"] == line["delivered"]["output"] == 6
    assert (line["reported"]["input"], line["reported"]["output"]) == (9, 6)
    assert (line["basis"], line["cost_usd"], line["outcome"]) == ("exact", 69e-9, "completed")
    assert (line["provider"], line["model"], line["route"], line["tags"]) == ("m1", "gpt-4o", "m", {"a": "b"})
    assert line["ended_at"] >= line["started_at"] > 1_600_000_000
    assert gateway.metric("penstock_tokens_total", figure="counted", kind="output") == 6
    assert gateway.metric("penstock_tokens_total", figure="reported", kind="input") == 9
    assert gateway.metric("penstock_cost_usd_total", route="m") == 69e-9


async def test_a_client_that_leaves_pays_for_what_it_got(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), *SAID, until_closed()])
    gateway = await rig.gateway(upstream, settings=metered(config([upstream])))
    client = await gateway.open(messages=[{"role": "user", "content": "Hello world"}])
    await client.until(b" you")
    client.close()
    line = await row(gateway)
    assert (line["outcome"], line["basis"], line["charged"]) == ("client_closed", "exact", "counted")
    assert (line["counted"]["input"], line["counted"]["output"], line["delivered"]["output"]) == (9, 6, 6)
    assert line["cost_usd"] == 69e-9


async def test_a_model_without_a_price_says_so(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), *SAID, fin(), usage(9, 6), done(), eof()])
    gateway = await rig.gateway(upstream, settings=metered(config([upstream]), model="unheard-of"))
    await gateway.ask()
    line = await row(gateway)
    assert line["cost_usd"] is None and "no price for m1/unheard-of" in line["warnings"]
    assert gateway.metric("penstock_rows_unpriced_total", route="m") == 1


async def test_the_key_decides_before_the_route(rig: Rig) -> None:
    keys = (Key(name="k", key="a-key-of-sixteen-letters", billing=Billing(partial=False)),)
    upstream = await rig.upstream([hdr(), *SAID, eof()])
    gateway = await rig.gateway(upstream, settings=metered(config([upstream], keys=keys)))
    await gateway.ask(headers={"authorization": "Bearer a-key-of-sixteen-letters"})
    line = await row(gateway)
    assert (line["key"], line["outcome"], line["cost_usd"], line["charged"]) == ("k", "upstream_cut", 0.0, "none")
    assert line["attempts"][0]["cost_usd"] > 0


async def test_a_tokenizer_of_ones_own_makes_an_exact_count(rig: Rig, tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"Hello": 0, "you": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    own = OwnTokenizer(model="m1/*", file=str(tmp_path / "tokenizer.json"))
    upstream = await rig.upstream([hdr(), usage(9, 1), raw(frames.chunk("Hello you, you")), until_closed()])
    settings = metered(config([upstream]), model="homegrown")
    settings = msgspec.structs.replace(settings, metering=Metering(tokenizers=(own,)))
    gateway = await rig.gateway(upstream, settings=settings)
    gateway.gateway.bookkeeper.prepare(settings.routes)
    await gateway.gateway.bookkeeper.caught_up()
    client = await gateway.open()
    await client.until(b"you, you")
    client.close()
    line = await row(gateway)
    assert (line["counted"]["output"], line["charged"], line["basis"]) == (4, "counted", "exact")


async def test_a_factor_is_learnt_from_what_is_reported(rig: Rig) -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 400
    script = [hdr(), raw(frames.chunk(text)), fin(), usage(9, 8000), done(), eof()]
    upstream = await rig.upstream(script)
    gateway = await rig.gateway(upstream, settings=metered(config([upstream]), model="claude-like"))
    keeper = gateway.gateway.bookkeeper
    assert keeper is not None
    before = keeper.meter("up", "claude-like").factor
    await gateway.ask()
    await row(gateway)
    after = keeper.meter("up", "claude-like").factor
    assert before is not None and after is not None and after > before
    assert gateway.metric("penstock_count_drift_ratio", target="m1/claude-like") < -0.3


async def test_without_metering_there_is_no_row(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), *SAID, fin(), done(), eof()])
    gateway = await rig.gateway(upstream, settings=config([upstream]))
    await gateway.ask()
    await gateway.record()
    await asyncio.sleep(0)
    assert gateway.gateway.bookkeeper is None
    assert not [line for line in gateway.writer.parsed if line.get("event") == "row"]


async def test_rows_of_streams_that_end_with_the_gateway_are_settled(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), *SAID, until_closed()])
    gateway = await rig.gateway(upstream, settings=metered(config([upstream])))
    client = await gateway.open()
    await client.until(b" you")
    await gateway.gateway.application.close()
    client.close()
    line = await row(gateway)
    assert (line["outcome"], line["counted"]["output"]) == ("shutdown", 6)
