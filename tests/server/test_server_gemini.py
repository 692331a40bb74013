"""The gemini wire on real sockets: paths, keys in the query, both forms, and connections that are cut behind errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import msgspec
import pytest

from penstock.config.values import Key, Route, Target
from penstock.server.asgi_sink import AsgiSink
from penstock.server.buffers import Buffers
from penstock.sim import Sim
from penstock.testing.client import Answer
from penstock.testing.rig import LiveGateway, Rig, config

BODY = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
KEY = Key(name="team", key="team-key")
FAST = "first=0&gap=1ms"


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with Sim() as sim:
        yield sim


async def serving(rig: Rig, sim: Sim, **options: Any) -> LiveGateway:
    """Every model is one of the simulated provider's."""
    settings = config([sim.origin], provider={"wire": "gemini"}, **options)
    every = Route(name="*", targets=(Target("m1", "*"),), deadlines=settings.routes[0].deadlines)
    return await rig.gateway(settings=msgspec.structs.replace(settings, routes=(every,)))


async def ask(gateway: LiveGateway, path: str, body: Any = BODY, headers: dict[str, str] | None = None) -> Answer:
    client = await gateway.connect()
    try:
        await client.post(path, body, headers=headers)
        return await client.answer()
    finally:
        client.close()


def model(options: str, method: str = "streamGenerateContent", version: str = "v1beta") -> str:
    return f"/{version}/models/sim%3F{options.replace('&', '%26').replace('=', '%3D')}:{method}"


@pytest.mark.parametrize("version", ["v1beta", "v1"])
async def test_both_forms_and_whole_answers(rig: Rig, sim: Sim, version: str) -> None:
    gateway = await serving(rig, sim)
    path = model(f"tokens=3&{FAST}", version=version)
    events = await ask(gateway, path + "?alt=sse")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert events.body.startswith(b"data: {") and events.body.endswith(b"}\r\n\r\n")
    array = await ask(gateway, path)
    assert array.headers["content-type"] == "application/json; charset=UTF-8"
    assert [len(json.loads(array.body)), json.loads(array.body)[-1]["candidates"][0]["finishReason"]] == [4, "STOP"]
    whole = await ask(gateway, model(f"tokens=3&{FAST}", "generateContent", version))
    assert whole.headers["content-type"] == "application/json"
    assert json.loads(whole.body)["candidates"][0]["content"]["parts"] == [{"text": "A river does"}]


@pytest.mark.parametrize("fault", ["cut_at=2", "drop_at=2", "reset_at=2", "error_at=2"])
async def test_an_error_cuts_events_and_closes_an_array(rig: Rig, sim: Sim, fault: str) -> None:
    gateway = await serving(rig, sim)
    events = await ask(gateway, model(f"tokens=5&{fault}&{FAST}") + "?alt=sse")
    assert events.ended == "cut"
    last = events.body.split(b"\r\n\r\n")[-2]
    assert last.startswith(b'data: {"error":{"code":5')
    array = await ask(gateway, model(f"tokens=5&{fault}&{FAST}"))
    assert array.ended == "clean"
    assert [next(iter(element)) for element in json.loads(array.body)] == ["candidates", "candidates", "error"]


async def test_a_key_in_the_query(rig: Rig, sim: Sim) -> None:
    gateway = await serving(rig, sim, keys=(KEY,))
    path = model(f"tokens=1&{FAST}")
    assert (await ask(gateway, path + "?alt=sse&key=team-key")).status == 200
    assert (await ask(gateway, path + "?key=team-key")).status == 200
    assert (await ask(gateway, path, headers={"x-goog-api-key": "team-key"})).status == 200
    for query in ("", "?key=", "?key=wrong"):
        answer = await ask(gateway, path + query)
        assert answer.status == 401
        assert json.loads(answer.body)["error"]["status"] == "UNAUTHENTICATED"


async def test_refusals_are_google_s(rig: Rig, sim: Sim) -> None:
    gateway = await serving(rig, sim)
    answer = await ask(gateway, model(f"tokens=1&{FAST}") + "?alt=proto")
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["details"][0]["fieldViolations"][0]["field"] == "alt"
    assert (await ask(gateway, "/v1beta/models/sim:countTokens")).status == 404


# -- without the lane -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocked", [False, True])
async def test_a_cut_comes_behind_what_was_written(blocked: bool) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    sink = AsgiSink(send, 10 if blocked else 1000, Buffers(1 << 20))
    sink.head(200, ())
    sink.write(b"an error frame")
    sink.end(abort=False, cut=True)
    await asyncio.wait_for(sink.pump(), 1)
    assert [message.get("body") for message in sent] == [None, b"an error frame"]
    assert sink.aborted.is_set() and sink.ended
