"""C8: whose name an answer carries is the route's to say; the header and the log tell the truth in any case."""

from __future__ import annotations

import re
from typing import Any

import pytest
from endings import STREAM
from wire_clients import SPEAKERS
from wire_providers import PROVIDERS, Provider

from penstock.testing import frames
from penstock.testing.rig import Rig
from penstock.testing.steps import cut, hdr, raw
from penstock.wire.registry import CLIENT_WIRES

CHAT = "openai-chat provider"
NAMES = re.compile(rb'"(?:model|modelVersion)"\s*:\s*"([^"]*)"')
PAIRS = [(client.name, name) for client in CLIENT_WIRES for name in (CHAT, *PROVIDERS)]


def served(client: str, name: str) -> bool:
    """A client of gemini and of cohere-chat is served by providers of its own wire only."""
    if client not in ("gemini", "cohere-chat"):
        return True
    return name != CHAT and PROVIDERS[name].wire == client


def telling(data: bytes) -> Any:
    """Frames that give the model another name than the client. (Those of Bedrock do as they are.)"""
    return raw(data.replace(b'"model":"m"', b'"model":"served"').replace(b'"model": "m"', b'"model":"served"'))


def answer_of(name: str) -> tuple[str, list[Any]]:
    if name == CHAT:
        return "openai-chat", [hdr(), telling(frames.chunk("Hi")), telling(frames.finish() + frames.DONE)]
    provider: Provider = PROVIDERS[name]
    frames_of = (provider.start, *provider.words, provider.end)
    own = raw if provider.wire.startswith("bedrock") else telling
    return provider.wire, [provider.head(), *map(own, frames_of)]


@STREAM
@pytest.mark.parametrize(("client", "name"), [pair for pair in PAIRS if served(*pair)])
async def test_C8_the_model_is_called_what_the_client_called_it(rig: Rig, client: str, name: str, stream: bool) -> None:
    """On every client wire, from every provider, streamed and folded."""
    wire, script = answer_of(name)
    gateway = await rig.gateway(await rig.upstream(script), wire=wire, served_model="hide")
    answer = await SPEAKERS[client].ask(gateway, stream)
    assert answer.status == 200
    assert set(NAMES.findall(answer.body)) <= {b"m"}
    assert answer.headers["x-penstock-target"] == "m1/model"
    assert (await gateway.record())["target"] == "m1/model"


async def test_C8_by_default_it_is_what_the_provider_calls_it(rig: Rig) -> None:
    body = frames.answer("Hi").replace(b'"model":"m"', b'"model":"gpt-4o-2024-08-06"')
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(body)]))
    assert (await gateway.ask()).body == body


@pytest.mark.parametrize("client", ["openai-responses", "openai-chat"])
async def test_C8_an_error_in_the_middle_does_not_tell_either(rig: Rig, client: str) -> None:
    wire, script = answer_of(CHAT if client == "openai-chat" else client)
    gateway = await rig.gateway(await rig.upstream([*script[:-1], cut()]), wire=wire, served_model="hide")
    answer = await SPEAKERS[client].ask(gateway)
    assert SPEAKERS[client].read(answer.body).error
    assert set(NAMES.findall(answer.body)) == {b"m"}


async def test_C8_header_and_log_name_who_served(rig: Rig) -> None:
    """A failover: two attempts, each with its reason."""
    one = await rig.upstream([hdr(), cut()])
    other = await rig.upstream([hdr(), raw(frames.answer("Hi"))])
    gateway = await rig.gateway(one, other)
    answer = await gateway.ask()
    assert (answer.headers["x-penstock-target"], answer.headers["x-penstock-attempts"]) == ("m2/model", "2")
    record = await gateway.record()
    assert record["target"] == "m2/model"
    first, second = record["attempts"]
    assert (first["target"], first["outcome"], second["outcome"]) == ("m1/model", "upstream_cut", None)
    assert "ended before the answer was finished" in first["reason"]
