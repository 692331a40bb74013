"""I. Guardrails where the client speaks another wire than the provider: nothing that holds for one is lost between two.

One gateway for each provider: every client wire that others are translated into, streamed and folded. Those that speak
to their own provider alone are in test_I_guardrails.py.
"""

from __future__ import annotations

import pytest
from endings import STREAM
from test_I_guardrails import BLOCK, CUT, FILTERED, WIRE
from wire_clients import SPEAKERS, Told
from wire_providers import ALL, Provider

from penstock.policy.guards import Guards
from penstock.stages.moderate.policy import ModeratePolicy
from penstock.testing.rig import Answer, LiveGateway, Rig, until

CLIENTS = ("openai-chat", "openai-responses", "anthropic-messages", "ollama-chat")
WAYS = [(name, stream) for name in CLIENTS for stream in (True, False)]
STOPS = {
    "openai-chat": {"stop": ["nowhere", "w1"]},
    "anthropic-messages": {"stop_sequences": ["nowhere", "w1"]},
    "gemini": {"generationConfig": {"stopSequences": ["nowhere", "w1"]}},
    "gemini array": {"generationConfig": {"stopSequences": ["w1"]}},
    "cohere-chat": {"stop_sequences": ["w1"]},
    "ollama-chat": {"options": {"stop": ["w1"]}},
}
"""How a client says where its answer is to stop; OpenAI's Responses have no words for it."""
STOPPABLE = {name: provider for name, provider in ALL.items() if provider.wire != "openai-responses"}


async def each_way(rig: Rig, provider: Provider, **options: object) -> list[tuple[str, bool, Answer, Told]]:
    """What every client is told."""
    upstream = await rig.upstream(*[provider.answer()] * len(WAYS))
    gateway: LiveGateway = await rig.gateway(upstream, wire=provider.wire, **options)
    found = []
    for name, stream in WAYS:
        answer = await SPEAKERS[name].ask(gateway, stream)
        found.append((name, stream, answer, SPEAKERS[name].told(answer)))
    return found


@WIRE
async def test_I1_nothing_switches_redaction_off(rig: Rig, provider: Provider) -> None:
    for name, stream, answer, told in await each_way(rig, provider, stages=(CUT,)):
        assert (answer.status, told.error, told.text) == (200, None, "w0 [x] "), (name, stream)
        assert told.successes, (name, stream)
        # Nor elsewhere, but for the stream's name, which is made of random letters.
        name_of_stream = answer.headers["x-penstock-stream"].encode()
        assert b"w1" not in answer.body.replace(name_of_stream, b""), (name, stream)


@WIRE
@pytest.mark.parametrize("stage", [BLOCK, ModeratePolicy(deny=("w1 w2",))], ids=["redact", "moderate"])
async def test_I6_a_block_is_the_clients_own_ending_once(rig: Rig, provider: Provider, stage: object) -> None:
    for name, stream, answer, told in await each_way(rig, provider, stages=(stage,)):
        if not stream:
            assert (answer.status, told.error is not None) == (400, True), name
            continue
        assert (answer.status, told.text) == (200, "w0 "), name
        assert told.successes == FILTERED.get(name, []), name
        assert (told.error is None) is (name in FILTERED), name
        assert b"w1" not in answer.body.replace(answer.headers["x-penstock-stream"].encode(), b""), name


@WIRE
async def test_a_guard_ends_an_answer_between_two_wires(rig: Rig, provider: Provider) -> None:
    for name, stream, answer, told in await each_way(rig, provider, guards=Guards(max_characters=5)):
        assert (answer.status, told.error, told.text) == (200, None, "w0 w1"), (name, stream)
        assert told.successes, (name, stream)


@pytest.mark.parametrize("provider", STOPPABLE.values(), ids=STOPPABLE)
@STREAM
async def test_the_clients_own_stop_sequence_ends_it_where_the_provider_goes_on(
    rig: Rig, provider: Provider, stream: bool
) -> None:
    names = [name for name in STOPS if name in CLIENTS or name == provider.client]
    upstream = await rig.upstream(*[provider.answer()] * len(names))
    gateway = await rig.gateway(upstream, wire=provider.wire, guards=Guards(stop_sequences=True))
    for number, name in enumerate(names):
        answer = await SPEAKERS[name].ask(gateway, stream, **STOPS[name])
        told = SPEAKERS[name].told(answer)
        await until(lambda: len(gateway.records) > number)  # noqa: B023 - it is awaited here
        record = gateway.records[number]
        assert (answer.status, told.error, told.text) == (200, None, "w0 "), name
        assert told.successes, name
        assert (record["outcome"], "guards.stop_sequences" in record["reason"]) == ("stopped", True), name
