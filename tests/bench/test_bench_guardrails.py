"""The measure of guardrails: its routes, its goals, and the service that finds nothing."""

import asyncio
import json
from functools import partial

import msgspec

from penstock.bench import guardrails
from penstock.bench.benign import serve
from penstock.bench.redaction import measured
from penstock.config.loader import load
from penstock.sim.options import sim_options

ROUTES = guardrails.routes(9)


def test_the_routes_are_what_a_gateway_takes() -> None:
    provider = {"wire": "openai-chat", "base_url": "http://127.0.0.1:9/v1"}
    settings = {"providers": {"healthy": provider}, "routes": ROUTES, "ledger": None}
    plain, window = load(msgspec.json.encode(settings).decode(), "penstock.yaml", {}).routes
    assert (plain.name, window.name) == (guardrails.PLAIN, guardrails.WINDOW)
    assert not plain.stages and window.stages
    for route in ROUTES.values():
        sim_options(route["targets"][0].partition("?")[2])


def test_goals_are_about_rows_and_figures_that_there_are() -> None:
    rows = {guardrails.PROSE, guardrails.HOSTILE, guardrails.WHOLE, guardrails.PLAIN, guardrails.WINDOW}
    figures = {figure for figure, _, _ in guardrails.COLUMNS_OF_GUARDRAILS["guardrails"]}
    for goal in guardrails.OF_GUARDRAILS:
        assert set(goal.rows) <= rows
        assert goal.figure in figures
    assert "more than 20" in guardrails.OF_GUARDRAILS[0].text and len(guardrails.CATALOG) > 20


def test_redaction_is_told_by_prose_and_by_the_worst_of_the_others() -> None:
    found = guardrails._redaction(2000)
    assert set(found) == {guardrails.PROSE, guardrails.HOSTILE, guardrails.WHOLE}
    assert found[guardrails.WHOLE]["worst_ms"] > 0
    assert found[guardrails.PROSE]["held_mean"] <= 4
    assert found[guardrails.HOSTILE]["worst_ms"] > 0 and len(measured(2000, 1)) > 10


async def test_the_service_finds_nothing_in_question_after_question() -> None:
    server = await asyncio.start_server(partial(serve, seconds=0), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for count in (1, 3):
            body = json.dumps({"texts": ["x"] * count}).encode()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            answer = json.loads(await reader.readexactly(int(head.rpartition(b": ")[2])))
            assert answer == {"results": [{"flagged": False}] * count}
        writer.close()
        await writer.wait_closed()
