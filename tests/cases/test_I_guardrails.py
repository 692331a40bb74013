"""I. Guardrails, on every wire and both ways of answering. The leaks (I3, I5, I7) are in test_I_leaks.py."""

import json
from typing import Any

import pytest
from endings import STREAM
from wire_clients import SPEAKERS, Told
from wire_providers import ALL, Provider

from penstock.policy.guards import Guards
from penstock.stages.redact.policy import RedactPolicy
from penstock.testing import messages
from penstock.testing.frames import DONE, chunk, finish, role
from penstock.testing.rig import LiveGateway, Rig
from penstock.testing.steps import hdr, raw, until_closed

WIRE = pytest.mark.parametrize("provider", ALL.values(), ids=ALL)
OVER_TWO_WORDS = (("words", "w1 w2"),)
CUT = RedactPolicy(custom=OVER_TWO_WORDS, replace="[x]")
BLOCK = RedactPolicy(custom=OVER_TWO_WORDS, action="block")
FILTERED = {
    "openai-chat": ["content_filter", "[DONE]"],
    "openai-responses": ["response.incomplete"],
    "anthropic-messages": ["refusal", "message_stop"],
    "gemini": ["SAFETY"],
    "gemini array": ["SAFETY"],
}
"""The finish for what was blocked, where the wire has one."""


async def asked(rig: Rig, provider: Provider, stream: bool, **options: Any) -> tuple[Told, int, dict[str, Any]]:
    upstream = await rig.upstream(provider.answer())
    gateway = await rig.gateway(upstream, wire=provider.wire, **options)
    answer = await provider.speaker.ask(gateway, stream)
    return provider.speaker.told(answer), answer.status, await gateway.record()


@WIRE
@STREAM
async def test_I1_streaming_switches_no_guardrail_off(rig: Rig, provider: Provider, stream: bool) -> None:
    told, status, record = await asked(rig, provider, stream, stages=(CUT,))
    assert (status, told.error, told.text) == (200, None, "w0 [x] ")
    assert told.successes
    assert (record["outcome"], record["redactions"]) == ("completed", {"words": 1})


@WIRE
async def test_I6_a_block_in_the_stream_is_the_wires_own_finish_once(rig: Rig, provider: Provider) -> None:
    told, status, record = await asked(rig, provider, True, stages=(BLOCK,))
    assert (status, told.text) == (200, "w0 ")
    assert told.successes == FILTERED.get(provider.client, [])
    assert (told.error is None) is (provider.client in FILTERED)
    assert (record["outcome"], record["committed"]) == ("blocked", True)


@WIRE
async def test_I6_a_block_of_a_whole_answer_is_an_error_of_its_own_status(rig: Rig, provider: Provider) -> None:
    told, status, record = await asked(rig, provider, False, stages=(BLOCK,))
    assert status == 400
    assert told.error is not None
    assert (record["outcome"], record["client_wire"]) == ("blocked", provider.client.removesuffix(" array"))


@WIRE
async def test_I2_full_mode_blocks_before_a_byte_was_sent(rig: Rig, provider: Provider) -> None:
    told, status, _ = await asked(rig, provider, True, stages=(BLOCK,), mode="full")
    assert (status, told.successes) == (400, [])


@WIRE
@STREAM
async def test_I2_full_mode_gives_the_whole(rig: Rig, provider: Provider, stream: bool) -> None:
    told, status, record = await asked(rig, provider, stream, stages=(CUT,), mode="full")
    assert (status, told.error, told.text) == (200, None, "w0 [x] ")
    assert record["outcome"] == "completed"


@WIRE
@STREAM
async def test_a_guard_ends_an_answer_in_its_wire(rig: Rig, provider: Provider, stream: bool) -> None:
    told, status, record = await asked(rig, provider, stream, guards=Guards(max_characters=5))
    assert (status, told.error, told.text) == (200, None, "w0 w1")
    assert told.successes
    assert (record["outcome"], "guards.max_characters" in record["reason"]) == ("stopped", True)


async def test_I2_what_cannot_become_a_match_is_not_held(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), raw(role() + chunk("Nothing of note. ")), until_closed()])
    gateway = await rig.gateway(upstream, stages=(RedactPolicy(detectors=("email", "iban", "jwt")),))
    client = await gateway.open()
    _, second = await client.events(2)
    assert "Nothing of note. " in str(second)
    client.close()
    assert (await gateway.record())["outcome"] == "client_closed"


TOKENS = (RedactPolicy(detectors=("email",), action="tokenise", prompt=True),)
MAIL = "jane.doe@example.com"


@STREAM
async def test_I4_a_placeholder_comes_back_whole_however_it_was_split(rig: Rig, stream: bool) -> None:
    frames = [role(), chunk("Mail <EMA"), chunk("IL_"), chunk("1> or <EMAIL_2>"), finish(), DONE]
    upstream = await rig.upstream([hdr(), *map(raw, frames)])
    gateway = await rig.gateway(upstream, stages=TOKENS)
    answer = await ask(gateway, "openai-chat", stream, messages=[{"role": "user", "content": f"I am {MAIL}"}])
    assert MAIL.encode() not in upstream.requests[0].body
    assert b"<EMAIL_1>" in upstream.requests[0].body
    assert answer.text == f"Mail {MAIL} or <EMAIL_2>"


async def test_I4_the_second_attempt_knows_the_placeholders_too(rig: Rig) -> None:
    first = await rig.upstream([hdr(status=500)])
    second = await rig.upstream([hdr(), raw(role() + chunk("to <EMAIL_1>") + finish() + DONE)])
    gateway = await rig.gateway(first, second, stages=TOKENS)
    answer = await ask(gateway, "openai-chat", True, messages=[{"role": "user", "content": MAIL}])
    assert answer.text == f"to {MAIL}"


CALL = {"type": "function", "id": "c1", "function": {"name": "f", "arguments": json.dumps({"a": MAIL})}}
PROMPTS: dict[str, dict[str, Any]] = {
    "openai-chat": {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": MAIL}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": MAIL},
        ]
    },
    "openai-responses": {"input": [{"role": "user", "content": [{"type": "input_text", "text": MAIL}]}]},
    "anthropic-messages": {
        "system": MAIL,
        "messages": [
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": MAIL}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"name": MAIL}}]},
        ],
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": MAIL}]},
        "contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"name": MAIL}}}]}],
    },
    "cohere-chat": {"messages": [{"role": "user", "content": MAIL}], "documents": [{"data": {"text": MAIL}}]},
    "ollama-chat": {"messages": [{"role": "user", "content": MAIL}]},
}


OWN = {each.wire: each for each in ALL.values() if each.client == each.wire}


@pytest.mark.parametrize("provider", OWN.values(), ids=OWN)
async def test_the_prompt_is_redacted_before_it_leaves(rig: Rig, provider: Provider) -> None:
    upstream = await rig.upstream(provider.answer())
    policy = RedactPolicy(detectors=("email",), prompt=True)
    gateway = await rig.gateway(upstream, wire=provider.wire, stages=(policy,))
    answer = await provider.speaker.ask(gateway, True, **PROMPTS[provider.wire])
    assert answer.status == 200
    body = upstream.requests[0].body
    assert b"jane" not in body
    assert body.count(b"[email]") == json.dumps(PROMPTS[provider.wire]).count("jane")
    json.loads(body)
    await gateway.record()


@STREAM
async def test_I3_long_texts_both_ways_are_redacted_like_short_ones(rig: Rig, stream: bool) -> None:
    """A request of 100 KB, and an answer in one delta."""
    text = "Write to jane.doe@example.com, not to DE89 of the 5th. " * 2000
    upstream = await rig.upstream([hdr(), raw(role() + chunk(text) + finish() + DONE)])
    policy = RedactPolicy(detectors=("email", "iban", "phone"), prompt=True)
    gateway = await rig.gateway(upstream, stages=(policy,))
    answer = await gateway.ask(stream=stream, messages=[{"role": "user", "content": text}])
    redacted = text.replace(MAIL, "[email]").encode()
    assert answer.status == 200 and redacted in answer.body
    assert redacted in upstream.requests[0].body
    assert (await gateway.record())["redactions"] == {"email": 4000}


async def test_a_prompt_that_may_not_leave_is_refused(rig: Rig) -> None:
    upstream = await rig.upstream([hdr()])
    policy = RedactPolicy(detectors=("email",), action="block", prompt=True)
    gateway = await rig.gateway(upstream, stages=(policy,))
    answer = await gateway.ask(messages=[{"role": "user", "content": MAIL}])
    assert (answer.status, answer.json["error"]["code"]) == (400, "blocked")
    assert upstream.requests == []


@STREAM
async def test_I9_a_translated_answer_is_read_in_its_clients_wire(rig: Rig, stream: bool) -> None:
    thought = messages.opened(type="thinking") + messages.delta("thinking_delta", thinking=MAIL) + messages.closed()
    frames = messages.start() + thought + messages.opened(1) + messages.text("jane.", 1)
    frames += messages.text("doe@example.com it is", 1) + messages.closed(1) + messages.finish() + messages.STOP
    upstream = await rig.upstream([hdr(), raw(frames)])
    gateway = await rig.gateway(upstream, wire="anthropic-messages", stages=(RedactPolicy(detectors=("email",)),))
    told = await ask(gateway, "openai-chat", stream)
    assert (told.text, told.reasoning) == ("[email] it is", "[email]")


@pytest.mark.parametrize("policy", ["drop", "pass"])
async def test_signed_thinking_is_left_out_or_passed_whole(rig: Rig, policy: str) -> None:
    thought = messages.opened(type="thinking") + messages.delta("thinking_delta", thinking=f"of {MAIL}")
    thought += messages.delta("signature_delta", signature="c2ln") + messages.closed()
    frames = thought + messages.opened(1) + messages.text("Hello", 1) + messages.closed(1)
    upstream = await rig.upstream([hdr(), raw(messages.start() + frames + messages.finish() + messages.STOP)])
    stages = (RedactPolicy(detectors=("email",)),)
    gateway = await rig.gateway(upstream, wire="anthropic-messages", stages=stages, signed_reasoning=policy)
    answer = await SPEAKERS["anthropic-messages"].ask(gateway)
    if policy == "pass":
        assert frames in answer.body
        return
    assert b"jane" not in answer.body
    assert b"c2ln" not in answer.body
    assert messages.opened(0) in answer.body
    await gateway.record()


async def ask(gateway: LiveGateway, client: str, stream: bool, **body: Any) -> Told:
    """What a client is told, and the record taken."""
    answer = await SPEAKERS[client].ask(gateway, stream, **body)
    await gateway.record()
    return SPEAKERS[client].told(answer)
