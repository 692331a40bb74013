"""K5. Stalled upstreams exhaust nothing but their own places."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from wire_clients import SPEAKERS, Speaker

from penstock.config.values import Config, Target
from penstock.testing.process import ServeProcess, document
from penstock.testing.rig import Rig, config, until
from penstock.testing.steps import accept, done, fin, hdr, role, tok, until_closed, usage, words
from penstock.testing.upstream import Script, ScriptedUpstream

ANSWER: Script = [hdr(), role(), tok(3), fin(), usage(9, 3), done()]
HANGS: Script = [accept(), until_closed()]
MIB = 1 << 20
PATIENT = {"first_token": None, "total": 60.0}


def separate(upstreams: list[ScriptedUpstream], places: int | None, **options: float | None) -> Config:
    """Routes ``m``, over the first alone, and ``other``, over the second alone."""
    made = config(upstreams, provider={"max_streams": places}, **options)  # type: ignore[arg-type]
    routes = [
        msgspec.structs.replace(made.routes[0], name=name, targets=(Target(provider, "model"),))
        for name, provider in (("m", "m1"), ("other", "m2"))
    ]
    return msgspec.structs.replace(made, routes=tuple(routes))


async def test_K5_a_hundred_stalls_of_one_provider_hold_nobody_up(rig: Rig) -> None:
    hanging, healthy = await rig.upstream(HANGS), await rig.upstream(ANSWER)
    gateway = await rig.gateway(settings=separate([hanging, healthy], 40, **PATIENT))
    clients = [await gateway.open() for _ in range(100)]
    await until(lambda: gateway.metric("penstock_requests_refused_total", reason="overloaded") == 60, within=5)
    assert len(hanging.requests) == 40
    for _ in range(20):
        assert (await gateway.ask(model="other")).text == words(3)
    assert gateway.metric("penstock_provider_streams", provider="m1") == 40
    assert gateway.metric("penstock_provider_full_total", provider="m2") == 0
    for client in clients:
        client.close()
    await until(lambda: gateway.metric("penstock_provider_streams") == 0)


async def test_K5_what_is_full_leads_to_the_next_target_and_serves_again_when_it_has_room(rig: Rig) -> None:
    hanging, second = await rig.upstream(*[HANGS] * 10, ANSWER), await rig.upstream(ANSWER)
    gateway = await rig.gateway(hanging, second, provider={"max_streams": 10}, first_token=None, total=60)
    clients = [await gateway.open() for _ in range(10)]
    await hanging.asked(10)
    answers = await asyncio.gather(*(gateway.ask() for _ in range(8)))
    assert {(answer.text, answer.headers["x-penstock-target"]) for answer in answers} == {(words(3), "m2/model")}
    for client in clients:
        client.close()
    await until(lambda: gateway.metric("penstock_provider_streams", provider="m1") == 0)
    assert (await gateway.ask()).headers["x-penstock-target"] == "m1/model"


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
@pytest.mark.parametrize("speaker", SPEAKERS.values(), ids=SPEAKERS)
async def test_K5_every_client_is_told_in_its_own_words(rig: Rig, speaker: Speaker, stream: bool) -> None:
    hanging = await rig.upstream(HANGS)
    wire = {"/v1beta": "gemini", "/v1/mes": "anthropic-messages", "/api/ch": "ollama-chat", "/v2/chat": "cohere-chat"}
    own = next((name for path, name in wire.items() if speaker.path.startswith(path)), "openai-chat")
    gateway = await rig.gateway(hanging, provider={"max_streams": 1}, wire=own, **PATIENT)
    held = await gateway.connect()
    await held.post(speaker.path, {"model": "m", "stream": True, **speaker.question})
    await hanging.asked()
    answer = await speaker.ask(gateway, stream)
    told = speaker.told(answer)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["x-penstock-stream"].startswith("st_")
    assert told.error is not None and "providers.m1.max_streams" in str(told.error)
    assert len(hanging.requests) == 1
    held.close()


STREAMS, PLACES = 1_000, 200


@pytest.mark.parametrize("places", [None, PLACES], ids=["without a limit", "with 200 places"])
async def test_K5_a_thousand_streams_at_a_provider_that_hangs(rig: Rig, tmp_path: Path, places: int | None) -> None:
    hanging, healthy = await rig.upstream(HANGS), await rig.upstream(ANSWER)
    settings = document([hanging.base_url, healthy.base_url], deadlines={"first_token": "60s"})
    settings["providers"]["m1"]["max_streams"] = places
    settings["routes"] = {"m": {"targets": ["m1/model"]}, "other": {"targets": ["m2/model"]}}
    async with ServeProcess(settings, tmp_path) as process:

        async def others() -> None:
            for _ in range(20):
                client = await process.open(model="other")
                assert (await client.answer()).text == words(3)
                client.close()

        await others()
        memory = process.memory
        clients = [await process.open() for _ in range(STREAMS)]
        held = places or STREAMS
        await hanging.asked(held, within=20)
        refused = [await client.answer() for client in clients[held:]]
        assert [answer.status for answer in refused] == [503] * (STREAMS - held)
        await others()
        # A stream that hangs, both of its connections and its request: 64 KiB at most.
        assert process.memory - memory < STREAMS * MIB / 16
        assert len(hanging.requests) == held
        for client in clients:
            client.close()
        await until(lambda: all(seen.over for seen in hanging.requests), within=10, what="all are closed")
        await others()
        assert process.errors == []
