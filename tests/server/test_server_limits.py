"""Limits and budgets over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.config.values import Config, Key, Ledger, Metering
from penstock.metering.prices import Price, Rates
from penstock.policy.limits import Budget, Limits
from penstock.request import StreamRequest
from penstock.server.limiting import asked
from penstock.store.connect import connect
from penstock.store.query import Query
from penstock.testing.rig import LiveGateway, Rig, Upstream, config, until
from penstock.testing.steps import cut, done, fin, hdr, pause, st, tok, usage
from penstock.wire import json

WHOLE = [hdr(), tok(20), fin(), usage(5, 20), done()]
SECRET = "team-a-0123456789"
MINE = {"authorization": f"Bearer {SECRET}"}
CENT = 10**7
Start = Callable[..., Awaitable[LiveGateway]]


CENTS = Price(model="model", rates=Rates(input=0, output=CENT * 10**6), source="", date="", configured=True)
"""A cent for every token that is generated; the prompt is free."""


@pytest.fixture
def kept(tmp_path: Path) -> Ledger:
    return Ledger(url=f"sqlite:///{tmp_path}/l.db", spool=f"{tmp_path}/spool")


@pytest.fixture
def start(rig: Rig, kept: Ledger) -> Start:
    """A gateway with a ledger, and one key with limits; every token costs a cent unless ``priced`` is false."""

    async def gateway(*upstreams: Upstream, ledger: bool = True, priced: bool = True, **limits: Any) -> LiveGateway:
        budgets = tuple(Budget("day", cents * CENT) for cents in limits.pop("cents", ()))
        keys = (Key(name="a", key=SECRET, limits=Limits(budgets=budgets, **limits)),)
        settings: Config = config(upstreams, keys=keys, health=False)
        prices = (CENTS,) if priced else ()
        settings = msgspec.structs.replace(
            settings, ledger=kept if ledger else None, metering=Metering() if ledger else None, prices=prices
        )
        return await rig.gateway(*upstreams, settings=settings)

    return gateway


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


async def test_a4_fifty_aborts_on_a_key_with_one_stream_lock_nobody_out(rig, start):
    phases = [[hdr(), tok(1000, gap=0.01)], [hdr(), pause(3)], [pause(3)], [hdr(), tok(3), cut()], [st(500)]]
    gateway = await start(await rig.upstream(*phases * 10, WHOLE), max_streams=1, cents=(10_000,))
    for turn in range(50):
        client = await gateway.open(headers=MINE)
        if turn % 5 == 0:
            await client.events(2)
        elif turn % 5 > 2:
            await client.answer()
        client.close()
        await until(lambda turn=turn: len(gateway.records) > turn)
    assert (await gateway.ask(headers=MINE)).status == 200
    assert gateway.metric("penstock_key_streams", key="a") == 0
    found = await rows(gateway)
    assert len(found) == 51
    assert gateway.metric("penstock_key_spent_usd", key="a") == pytest.approx(sum(row["cost_usd"] for row in found))


async def test_one_stream_too_many(rig, start):
    gateway = await start(await rig.upstream([hdr(), tok(1000, gap=0.01)]), max_streams=1, ledger=False)
    client = await gateway.open(headers=MINE)
    await client.events(1)
    refused = await gateway.ask(headers=MINE)
    assert refused.status == 429
    assert refused.headers["retry-after"] == "1"
    assert error(refused)["code"] == "rate_limit_exceeded" and "max_streams" in error(refused)["message"]
    assert error(refused)["type"] == "rate_limit_error"
    assert gateway.metric("penstock_requests_refused_total", reason="rate_limit_exceeded") == 1
    client.close()


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/v1/messages", {"max_tokens": 9}, ("error", "type")),
        ("/v1/responses", {"input": "hi"}, ("error", "code")),
        ("/api/chat", {}, ("error",)),
    ],
)
async def test_a_refusal_is_in_the_words_of_the_clients_wire(rig, start, path, body, where):
    gateway = await start(await rig.upstream(WHOLE), requests_per_minute=1, ledger=False)
    assert (await gateway.ask(headers=MINE)).status == 200
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True, **body}
    if "input" in body:
        del asked["messages"]
    refused = await gateway.post(path, asked, MINE)
    assert refused.status == 429 and 1 <= int(refused.headers["retry-after"]) <= 60
    said = json.loads(refused.body)
    for name in where:
        said = said[name]
    assert said


async def test_an_answer_says_where_the_key_stands(rig, start):
    answers = [hdr(headers=(("x-ratelimit-remaining-requests", "99"),)), *WHOLE[1:]]
    gateway = await start(
        await rig.upstream(answers, WHOLE), requests_per_minute=60, tokens_per_minute=600, ledger=False
    )
    for stream in (True, False):
        answer = await gateway.ask(stream, headers=MINE, max_tokens=100)
        assert answer.headers["x-ratelimit-limit-requests"] == "60"
        assert answer.headers["x-ratelimit-limit-tokens"] == "600"
        assert answer.headers["x-ratelimit-remaining-requests"] == ("59" if stream else "58")
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 600 - 100
        assert (
            answer.headers["x-ratelimit-reset-requests"] in ("1s", "2s")
            or "s" in answer.headers["x-ratelimit-reset-requests"]
        )
    standing = gateway.gateway.limiting._standings["a"]
    assert standing.tokens.level(0) == pytest.approx(600 - 2 * 25, abs=5), "what was used, not what was reserved"


async def test_h11_twenty_streams_on_a_budget_for_four(rig, start, kept):
    gateway = await start(await rig.upstream(*[[hdr(), tok(25, gap=0.02), fin(), done()]] * 20), cents=(100,))
    answers = await asyncio.gather(*(gateway.ask(headers=MINE) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    outcomes = [record["outcome"] for record in gateway.records]
    assert set(outcomes) == {"budget_exceeded"}
    for answer in answers:
        assert b'"finish_reason":"length"' in answer.body and answer.body.count(b"[DONE]") == 1
    spent = [row["counted"]["output"] for row in await rows(gateway)]
    chunk = 3
    assert 100 <= sum(spent) <= 100 + 20 * chunk
    refused = await gateway.ask(headers=MINE)
    assert (refused.status, error(refused)["code"]) == (429, "budget_exceeded")
    assert 0 < int(refused.headers["retry-after"]) <= 86_400


async def test_what_was_spent_is_remembered_by_the_next_gateway(rig, start, kept, tmp_path):
    upstream = await rig.upstream(*[[hdr(), tok(10, gap=0.01), fin(), done()]] * 4)
    first = await start(upstream, cents=(50,))
    for _ in range(2):
        await first.ask(headers=MINE)
    await first.check()
    await first.stop()
    second = await start(upstream, cents=(50,))
    await second.ask(headers=MINE)
    assert second.metric("penstock_key_spent_usd", key="a") == pytest.approx(0.50, abs=0.03)
    assert (await second.record())["outcome"] == "budget_exceeded"
    assert (await second.ask(headers=MINE)).status == 429
    database = connect(kept.url)
    assert database.totals(Query(), "key")[0].cost >= 40 * CENT
    database.close()


async def test_a_model_without_a_price_cannot_be_held_to_a_budget(rig, start):
    gateway = await start(await rig.upstream(), cents=(25,), priced=False)
    refused = await gateway.ask(headers=MINE)
    assert (refused.status, error(refused)["code"]) == (403, "model_not_priced")


@pytest.mark.parametrize(
    "part",
    [
        b'{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}',
        b'{"type":"image","source":{"type":"base64","media_type":"image/png","data":"%s"}}',
        b'{"inlineData": {"mimeType": "image/png", "data": "%s"}}',
    ],
    ids=["openai", "anthropic", "gemini"],
)
def test_an_image_is_not_reserved_for_by_its_length(part):
    def prompt(*parts: bytes) -> int:
        body = {"messages": msgspec.Raw(b"[" + b",".join(parts) + b"]")}
        return asked(StreamRequest(model="m", stream=True, include_usage=False, body=body))[0]

    image = part % (b"QUJD" * 100_000)
    assert 2_000 <= prompt(image, image) < 2_100
    assert prompt(b'"%s"' % (b"word " * 4_000)) > 5_000
    assert prompt(part % b"QUJD") < 100
