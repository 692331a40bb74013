"""The wires of Ollama and Cohere on real sockets: heads, lines, and a connection that is cut behind Cohere's errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import uvicorn

from penstock.app import application
from penstock.config.values import Key, Route, Target
from penstock.sim import Sim
from penstock.testing.client import Answer, RawClient
from penstock.testing.rig import LiveGateway, Rig, config, until
from penstock.testing.wire_cases import lines

MESSAGES = [{"role": "user", "content": "Hello"}]
PATHS = {"ollama-chat": "/api/chat", "cohere-chat": "/v2/chat"}
FAULTS = pytest.mark.parametrize("fault", ["cut_at=2", "drop_at=2", "reset_at=2", "error_at=2", "stall_at=2"])
FAST = "first=0"


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with Sim() as sim:
        yield sim


def settings(sim: Sim, wire: str, **options: Any) -> Any:
    """Every model is one of the simulated provider's."""
    made = config([sim.origin], provider={"wire": wire}, **options)
    known = made.routes[0]
    every = Route(name="*", targets=(Target("m1", "*"),), deadlines=known.deadlines, delivery=known.delivery)
    return msgspec.structs.replace(made, routes=(every,))


async def ask(gateway: LiveGateway, wire: str, options: str, headers: Any = None, **body: Any) -> Answer:
    client = await gateway.connect()
    try:
        asked = {"model": f"sim?{options}&{FAST}", "messages": MESSAGES, **body}
        await client.post(PATHS[wire], asked, headers=headers)
        return await client.answer()
    finally:
        client.close()


async def test_lines(rig: Rig, sim: Sim) -> None:
    gateway = await rig.gateway(settings=settings(sim, "ollama-chat", keepalive=0.01))
    answer = await ask(gateway, "ollama-chat", "tokens=5&gap=30ms")
    assert answer.headers["content-type"] == "application/x-ndjson" and answer.ended == "clean"
    assert answer.headers["x-accel-buffering"] == "no" and answer.headers["x-penstock-stream"].startswith("st_")
    *deltas, last = lines(answer.body)
    assert len(deltas) == 5 and (last["done"], last["eval_count"]) == (True, 5)
    whole = await ask(gateway, "ollama-chat", "tokens=5", stream=False)
    assert whole.headers["content-type"] == "application/json"
    assert whole.json["message"]["content"] == "".join(value["message"]["content"] for value in deltas)


@FAULTS
async def test_an_error_ends_the_lines_cleanly(rig: Rig, sim: Sim, fault: str) -> None:
    gateway = await rig.gateway(settings=settings(sim, "ollama-chat", between_tokens=0.2))
    answer = await ask(gateway, "ollama-chat", f"tokens=5&{fault}")
    assert answer.ended == "clean"
    *deltas, last = lines(answer.body)
    assert len(deltas) == 2 and isinstance(last["error"], str)
    assert last["stream"] == answer.headers["x-penstock-stream"]


@FAULTS
async def test_an_error_cuts_cohere_s_connection_behind_itself(rig: Rig, sim: Sim, fault: str) -> None:
    gateway = await rig.gateway(settings=settings(sim, "cohere-chat", between_tokens=0.2))
    answer = await ask(gateway, "cohere-chat", f"tokens=5&{fault}", stream=True)
    assert answer.ended == "cut" and answer.body.endswith(b"}\n\n")
    last = answer.chunks[-1]
    assert (last["type"], last["delta"]["finish_reason"]) == ("message-end", "ERROR")
    assert last["delta"]["stream"] == answer.headers["x-penstock-stream"]


async def test_a_clean_end_where_it_is_wanted(rig: Rig, sim: Sim) -> None:
    gateway = await rig.gateway(settings=settings(sim, "cohere-chat", done_after_error=True))
    answer = await ask(gateway, "cohere-chat", "tokens=5&cut_at=2", stream=True)
    assert answer.ended == "clean" and answer.marks == 1


async def test_a_long_answer_is_not_lost_by_the_cut(rig: Rig, sim: Sim) -> None:
    gateway = await rig.gateway(settings=settings(sim, "cohere-chat"))
    answer = await ask(gateway, "cohere-chat", "tokens=3000&pad=1000&gap=0&error_at=2900", stream=True)
    assert answer.ended == "cut"
    deltas = [chunk for chunk in answer.chunks if chunk["type"] == "content-delta"]
    assert len(deltas) == 2900 and answer.chunks[-1]["delta"]["finish_reason"] == "ERROR"


@pytest.mark.parametrize("wire", PATHS)
async def test_keys(rig: Rig, sim: Sim, wire: str) -> None:
    gateway = await rig.gateway(settings=settings(sim, wire, keys=(Key(name="team", key="team-key"),)))
    assert (await ask(gateway, wire, "tokens=1", {"authorization": "Bearer team-key"})).status == 200
    answer = await ask(gateway, wire, "tokens=1")
    said = answer.json
    assert answer.status == 401 and (said.get("error") or said["message"]).startswith("an API key is needed")
    assert said["code"] == "missing_api_key" and said["stream"] == answer.headers["x-penstock-stream"]


async def test_without_the_lane_the_connection_is_cut_too(rig: Rig, sim: Sim, caplog: pytest.LogCaptureFixture) -> None:
    """Under any other server: here uvicorn as it comes."""
    app = application(settings(sim, "cohere-chat"))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, http="h11"))
    running = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        client = await RawClient.connect("127.0.0.1", port)
        body = {"model": f"sim?tokens=5&error_at=2&{FAST}", "messages": MESSAGES, "stream": True}
        await client.post("/v2/chat", body)
        answer = await client.answer()
        client.close()
        assert answer.ended == "cut"
        assert json.loads(answer.events[-1].data)["delta"]["finish_reason"] == "ERROR"
    finally:
        server.should_exit = True
        await running
    assert "cut on purpose" in caplog.text
