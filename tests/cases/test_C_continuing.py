"""C4, C5: an answer that breaks off after its first token goes on with another attempt, where the route wants that."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from endings import STREAM
from wire_clients import SPEAKERS, payloads
from wire_providers import PROVIDERS, Provider

from penstock.testing import frames, messages, responses
from penstock.testing.rig import LiveGateway, Rig, config
from penstock.testing.steps import cut, raw, st
from penstock.testing.upstream import ScriptedUpstream

CLIENTS = ("openai-chat", "openai-responses", "anthropic-messages", "ollama-chat")
"""Those whose answers can be taken up; the others are served by providers of their own wire only, which cannot."""
GIVEN = {"openai-chat": "final", "anthropic-messages": "message", "ollama-chat": "message"}
"""How each wire's provider is given a beginning here."""
CHAT = Provider(
    wire="openai-chat",
    client="openai-chat",
    kind="text/event-stream",
    start=frames.role(),
    words=[frames.chunk(word) for word in ("w0 ", "w1 ", "w2 ")],
    end=frames.finish() + frames.usage() + frames.DONE,
    half=b"",
    error=b"",
    status=0,
    type="",
    terminals={},
    repeats={},
)
ALL = (CHAT, *PROVIDERS.values())
CAN = {each.wire: each for each in ALL if each.wire in GIVEN}
SAID = "w0 w1 w2"
REST = "and the rest."


def rest(provider: Provider) -> list[Any]:
    """The provider's own words for the rest, of an answer with an id of its own."""
    words = {
        "openai-chat": lambda: frames.chunk(REST, id="c9", created=99),
        "anthropic-messages": lambda: messages.text(REST),
        "ollama-chat": lambda: (
            json.dumps(
                {"model": "m9", "created_at": "x", "message": {"role": "assistant", "content": REST}, "done": False}
            ).encode()
            + b"\n"
        ),
    }[provider.wire]()
    return [provider.head(), raw(provider.start), raw(words), raw(provider.end)]


async def gateway_over(rig: Rig, *providers: tuple[ScriptedUpstream, str], **options: Any) -> LiveGateway:
    """A route over providers of several wires."""
    settings = config([upstream for upstream, _ in providers], mid_stream="continue", **options)
    configured = []
    for old, (_, wire) in zip(settings.providers, providers, strict=True):
        url = old.base_url if wire.startswith("openai-") else old.base_url.removesuffix("/v1")
        how = GIVEN.get(wire)
        configured.append(msgspec.structs.replace(old, wire=wire, base_url=url, prefill=how))
    return await rig.gateway(settings=msgspec.structs.replace(settings, providers=tuple(configured)))


def own(client: str) -> Provider:
    """The provider of a client's wire."""
    return next(each for each in ALL if each.wire == client)


def ids(client: str, body: bytes) -> set[Any]:
    """What the answer's frames say of its identity."""
    if client == "openai-chat":
        return {(chunk["id"], chunk["created"]) for _, chunk in payloads(body) if chunk}
    if client == "openai-responses":
        return {event["response"]["id"] for _, event in payloads(body) if "response" in event}
    if client == "anthropic-messages":
        return {event["message"]["id"] for _, event in payloads(body) if "message" in event}
    return {"none"}


@pytest.mark.parametrize("second", CAN)
@pytest.mark.parametrize("first", ["same", "other"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_C4_a_mid_stream_break_goes_on_with_the_next_target(
    rig: Rig, client: str, first: str, second: str
) -> None:
    """One answer: the words of both, once; one id, one beginning, one end; the second is given what was said."""
    broken = own(client) if first == "same" else own("anthropic-messages" if client == "openai-chat" else "openai-chat")
    provider = CAN[second]
    one = await rig.upstream([*broken.begin(), cut()])
    other = await rig.upstream(rest(provider))
    gateway = await gateway_over(rig, (one, broken.wire), (other, provider.wire))
    speaker = SPEAKERS[client]
    answer = await speaker.ask(gateway)
    told = speaker.read(answer.body)
    assert (told.text, told.error) == (f"{SAID} {REST}", None)
    assert len(ids(client, answer.body)) == 1
    given = other.requests[0].json["messages"][-1]
    assert given["role"] == "assistant"
    said = given["content"] if isinstance(given["content"], str) else given["content"][0]["text"]
    assert said == SAID
    assert ("continue_final_message" in other.requests[0].json) is (provider.wire == "openai-chat")
    if client == "openai-responses":
        events = [event for _, event in payloads(answer.body)]
        # The scripted provider numbers its first event only.
        numbers = [event["sequence_number"] for event in events if "sequence_number" in event][1:]
        assert numbers == list(range(len(events) - len(numbers), len(events)))
        if first == "other":
            responses.read(answer.body)
    if client == "anthropic-messages":
        messages.read(answer.body)
    record = await gateway.record()
    assert (record["outcome"], record["warnings"]) == ("completed", ["continued"])
    attempts = [(each["target"], each["outcome"], each["continues"]) for each in record["attempts"]]
    assert attempts == [("m1/model", "upstream_cut", False), ("m2/model", None, True)]
    assert gateway.metric("penstock_continuations_total", outcome="completed") == 1


@STREAM
async def test_C4_the_same_target_goes_on_where_it_is_the_only_one(rig: Rig, stream: bool) -> None:
    broken = own("anthropic-messages")
    one = await rig.upstream([*broken.begin(), cut()], rest(broken))
    gateway = await gateway_over(rig, (one, broken.wire))
    speaker = SPEAKERS["anthropic-messages"]
    answer = await speaker.ask(gateway, stream=stream)
    assert (speaker.read(answer.body) if stream else speaker.told(answer)).text == f"{SAID} {REST}"
    assert [each["outcome"] for each in (await gateway.record())["attempts"]] == ["upstream_cut", None]


async def test_C4_the_clients_limit_holds_for_both_together(rig: Rig) -> None:
    one = await rig.upstream([*own("openai-chat").begin(), cut()])
    other = await rig.upstream(rest(own("anthropic-messages")))
    gateway = await gateway_over(rig, (one, "openai-chat"), (other, "anthropic-messages"))
    await gateway.ask(max_tokens=10)
    assert other.requests[0].json["max_tokens"] == 7


async def test_C4_by_default_the_truth(rig: Rig) -> None:
    one = await rig.upstream([*own("openai-chat").begin(), cut()])
    other = await rig.upstream(rest(own("openai-chat")))
    gateway = await rig.gateway(one, other)
    answer = await gateway.ask()
    assert SPEAKERS["openai-chat"].read(answer.body).error["code"] == "upstream_cut"  # type: ignore[index]
    assert other.requests == []


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
MORE: dict[str, dict[str, Any]] = {
    "tools": {"tools": [TOOL]},
    "structured output": {"response_format": {"type": "json_object"}},
    "audio": {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
    "several": {"n": 2},
    "reasoning": {"reasoning_effort": "high"},
    "logprobs": {"logprobs": True},
}


@pytest.mark.parametrize("more", MORE)
async def test_C5_what_is_more_than_text_is_not_continued(rig: Rig, more: str) -> None:
    """No prose for a tool call, and the client is told what broke off."""
    one = await rig.upstream([*own("openai-chat").begin(), cut()])
    other = await rig.upstream(rest(own("openai-chat")))
    gateway = await gateway_over(rig, (one, "openai-chat"), (other, "openai-chat"))
    answer = await gateway.ask(**MORE[more])
    assert SPEAKERS["openai-chat"].read(answer.body).error["code"] == "upstream_cut"  # type: ignore[index]
    assert other.requests == []


async def test_C5_a_target_that_cannot_is_not_asked(rig: Rig) -> None:
    one = await rig.upstream([*own("anthropic-messages").begin(), cut()])
    other = await rig.upstream(rest(own("openai-chat")))
    settings = config([one, other], mid_stream="continue")
    first, second = settings.providers
    settings = msgspec.structs.replace(
        settings,
        providers=(
            msgspec.structs.replace(
                first, wire="anthropic-messages", base_url=first.base_url.removesuffix("/v1"), prefill="none"
            ),
            second,
        ),
    )
    gateway = await rig.gateway(settings=settings)
    answer = await gateway.ask()
    assert SPEAKERS["openai-chat"].read(answer.body).error["code"] == "upstream_cut"  # type: ignore[index]
    assert other.requests == []


async def test_C5_a_rejected_beginning_does_not_hide_the_first_failure(rig: Rig) -> None:
    """And no system prompt is put in: the persona stays the client's."""
    one = await rig.upstream([*own("openai-chat").begin(), cut()])
    other = await rig.upstream([st(400, {"error": {"message": "no assistant message may be the last"}})])
    gateway = await gateway_over(rig, (one, "openai-chat"), (other, "openai-chat"))
    answer = await gateway.ask()
    error = SPEAKERS["openai-chat"].read(answer.body).error
    assert error is not None
    assert error["code"] == "upstream_cut"
    assert [each["role"] for each in other.requests[0].json["messages"]] == ["user", "assistant"]
    record = await gateway.record()
    assert [each["status"] for each in record["attempts"]] == [200, 400]
    assert gateway.metric("penstock_continuations_total", outcome="upstream_cut") == 1


@pytest.mark.parametrize("client", CLIENTS)
async def test_C4_a_break_behind_the_seam_is_told(rig: Rig, client: str) -> None:
    """Once is once; the error stands in the right place of the answer."""
    one = await rig.upstream([*own(client).begin(), cut()])
    provider = own("anthropic-messages")
    other = await rig.upstream([*rest(provider)[:3], cut()])
    gateway = await gateway_over(rig, (one, client), (other, provider.wire))
    speaker = SPEAKERS[client]
    told = speaker.read((await speaker.ask(gateway)).body)
    assert (told.text, told.successes) == (f"{SAID} {REST}", [])
    assert told.error is not None


@pytest.mark.parametrize("client", CLIENTS)
async def test_C8_a_name_that_is_hidden_stays_hidden_behind_the_seam(rig: Rig, client: str) -> None:
    one = await rig.upstream([*own(client).begin(), cut()])
    other = await rig.upstream(rest(own("anthropic-messages")))
    gateway = await gateway_over(rig, (one, client), (other, "anthropic-messages"), served_model="hide")
    speaker = SPEAKERS[client]
    answer = await speaker.ask(gateway)
    assert speaker.read(answer.body).text == f"{SAID} {REST}"
    assert b"claude" not in answer.body
