"""M1, M5: every client wire is resumed, in its own form and as server-sent events; OpenAI's own way to resume."""

from __future__ import annotations

import json

import pytest

from penstock.config.values import Config, Provider, Route, Target
from penstock.framing.jsonarray import JSONArrayFramer
from penstock.framing.ndjson import NDJSONFramer
from penstock.framing.sse import EventReader, SSEFramer, parse
from penstock.sim.provider import Sim
from penstock.testing.client import Answer
from penstock.testing.rig import LiveGateway, Rig

HELLO = [{"role": "user", "content": "Hello"}]
STREAM = {"messages": HELLO, "stream": True}
TURNS = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
MODEL = "sim?tokens=12&gap=0&first=0"
ASKED = {
    "openai-chat": ("/v1/chat/completions", {"model": "m", "messages": HELLO, "stream": True}, SSEFramer),
    "openai-responses": ("/v1/responses", {"model": "m", "input": "Hello", "stream": True}, SSEFramer),
    "anthropic-messages": (
        "/v1/messages",
        {"model": "m", "max_tokens": 9, "messages": HELLO, "stream": True},
        SSEFramer,
    ),
    "cohere-chat": ("/v2/chat", {"model": "m", "messages": HELLO, "stream": True}, SSEFramer),
    "gemini": ("/v1beta/models/m:streamGenerateContent?alt=sse", TURNS, SSEFramer),
    "gemini array": ("/v1beta/models/m:streamGenerateContent", TURNS, JSONArrayFramer),
    "ollama-chat": ("/api/chat", {"model": "m", "messages": HELLO}, NDJSONFramer),
}


def settings(sim: Sim, wire: str) -> Config:
    base = sim.base_url if wire.startswith("openai-") else sim.base_url.removesuffix("/v1")
    return Config(
        providers=(Provider(name="sim", wire=wire, base_url=base),),
        routes=(Route(name="m", targets=(Target("sim", MODEL),)),),
    )


async def get(gateway: LiveGateway, path: str, **headers: str) -> Answer:
    client = await gateway.connect()
    await client.request("GET", path, headers=headers)
    try:
        return await client.answer()
    finally:
        client.close()


@pytest.mark.parametrize("asked", ASKED)
async def test_M1_every_wire_from_every_frame(rig: Rig, asked: str) -> None:
    path, body, framer = ASKED[asked]
    async with Sim() as sim:
        gateway = await rig.gateway(settings=settings(sim, asked.partition(" ")[0]))
        whole = await gateway.post(path, body, {"x-penstock-resume": "on"})
        stream = whole.headers["x-penstock-stream"]
        frames = framer().feed(whole.body)
        assert len(frames) > 10
        data = None
        for number in range(len(frames) + 1):
            rest = await gateway.post(path, body, {"Last-Event-ID": f"{stream}.{number}"})
            assert rest.body == b"".join(frames[number:])
            assert rest.headers["content-type"] == whole.headers["content-type"]
            followed = await get(gateway, f"/v1/streams/{stream}/events?after={number}")
            if framer is SSEFramer:
                assert followed.body == rest.body
                continue
            messages = [event.data for event in EventReader().feed(followed.body)]
            data = messages if data is None else data
            assert messages == data[number:]
        if data is not None:
            documents = json.loads(whole.body) if "array" in asked else [json.loads(line) for line in frames]
            assert [json.loads(one) for one in data] == documents
        with_ids = await get(gateway, f"/v1/streams/{stream}/events?ids=1")
        last = EventReader().feed(with_ids.body)[-1].last_event_id
        assert last.startswith(f"{stream}.")


async def test_M5_openai_s_own_way(rig: Rig) -> None:
    path, body, _ = ASKED["openai-responses"]
    async with Sim() as sim:
        gateway = await rig.gateway(settings=settings(sim, "openai-responses"))
        whole = await gateway.post(path, body, {"x-penstock-resume": "on"})
        frames = SSEFramer().feed(whole.body)
        said = [json.loads(parse(frame).data or b"{}") for frame in frames]
        name = said[0]["response"]["id"]
        for place, event in enumerate(said):
            resumed = await get(gateway, f"/v1/responses/{name}?stream=true&starting_after={event['sequence_number']}")
            assert resumed.body == b"".join(frames[place + 1 :])
        assert (await get(gateway, f"/v1/responses/{name}")).json == said[-1]["response"]
        cancelled = await gateway.post(f"/v1/responses/{name}/cancel", b"")
        assert (cancelled.status, cancelled.json["status"]) == (200, "completed")
        wrong = await get(gateway, f"/v1/responses/{name}?stream=true&starting_after=x")
        assert (wrong.status, wrong.json["error"]["param"]) == (400, "starting_after")


async def test_M5_a_response_is_cancelled(rig: Rig) -> None:
    path, body, _ = ASKED["openai-responses"]
    async with Sim() as sim:
        config = settings(sim, "openai-responses")
        route = Route(name="m", targets=(Target("sim", "sim?tokens=1000&gap=20ms&first=0"),))
        gateway = await rig.gateway(settings=Config(providers=config.providers, routes=(route,)))
        client = await gateway.connect()
        await client.post(path, body)
        (first, *_) = await client.events(4)
        name = json.loads(first.data)["response"]["id"]
        cancelled = await gateway.post(f"/v1/responses/{name}/cancel", b"")
        assert (cancelled.status, cancelled.json["id"], cancelled.json["status"]) == (200, name, "cancelled")
        assert (await client.answer()).ended == "clean"
        assert (await gateway.record())["outcome"] == "stopped"
