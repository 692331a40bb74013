"""H. Usage: what the record says of an answer is what its provider said last, in one meaning for all wires."""

from typing import Any

import pytest
from endings import STREAM
from wire_clients import SPEAKERS
from wire_providers import PROVIDERS, cohere_end, envelope, line, tgi, v1

from penstock.testing import bedrock, frames, gemini, messages, responses
from penstock.testing.rig import Rig
from penstock.testing.steps import cut, done, eof, fin, hdr, raw, role, st, tok, usage, words
from penstock.testing.upstream import Script, Step

NOTHING = {"input": None, "output": None, "reasoning": None, "cache_read": None, "cache_write": None, "cost": None}


def tokens(**counted: Any) -> dict[str, Any]:
    """Usage as the record has it."""
    return {**NOTHING, **counted}


# -- H2 -----------------------------------------------------------------------------------------------------------

TEXT = messages.opened() + messages.text("a") + messages.closed()
BARE = messages.frame(
    "message_start", message={"id": "m", "type": "message", "role": "assistant", "model": "c", "content": []}
)
CACHED = {"cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}
SAID_TWICE: dict[str, tuple[bytes, dict[str, Any]]] = {
    "both": (
        messages.start(**CACHED) + TEXT + messages.finish(input_tokens=9, output_tokens=7, **CACHED),
        tokens(input=9, output=7, cache_read=4, cache_write=3),
    ),
    "the finish leaves fields out": (
        messages.start(**CACHED) + TEXT + messages.finish(output_tokens=7),
        tokens(input=9, output=7, cache_read=4, cache_write=3),
    ),
    "the finish corrects": (
        messages.start() + TEXT + messages.finish(input_tokens=20, output_tokens=7),
        tokens(input=20, output=7),
    ),
    "the finish only": (BARE + TEXT + messages.finish(input_tokens=9, output_tokens=7), tokens(input=9, output=7)),
    "several, growing": (
        messages.start() + TEXT + messages.finish(None, output_tokens=3) + messages.finish(output_tokens=7),
        tokens(input=9, output=7),
    ),
}


@STREAM
@pytest.mark.parametrize("wire", ["anthropic-messages", "bedrock-invoke"])
@pytest.mark.parametrize(("body", "wanted"), SAID_TWICE.values(), ids=SAID_TWICE)
async def test_H2_usage_is_overwritten_and_not_summed(
    rig: Rig, wire: str, stream: bool, body: bytes, wanted: dict[str, Any]
) -> None:
    body += messages.STOP
    body = envelope(body) if wire == "bedrock-invoke" else body
    upstream = await rig.upstream([hdr(content_type=PROVIDERS[wire].kind), raw(body), eof()])
    gateway = await rig.gateway(upstream, wire=wire)
    for client in ("anthropic-messages", "openai-chat"):
        assert (await SPEAKERS[client].ask(gateway, stream)).status == 200
        assert (await gateway.record())["usage"] == wanted


async def test_H2_a_cut_leaves_what_the_start_said(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), raw(messages.start(**CACHED) + TEXT), cut()])
    gateway = await rig.gateway(upstream, wire="anthropic-messages")
    await SPEAKERS["anthropic-messages"].ask(gateway)
    # The one output token of the start is a placeholder.
    assert (await gateway.record())["usage"] == tokens(input=9, cache_read=4, cache_write=3)


# -- H3, H4 -------------------------------------------------------------------------------------------------------

ASKED = {"include_usage": True}
CHATTING = pytest.mark.parametrize("client", ["openai-chat", "anthropic-messages", "openai-responses", "ollama-chat"])
REJECTED = {"error": {"message": "Unknown field: stream_options", "type": "invalid_request_error"}}


def obedient(seen: Any) -> list[Step]:
    """A provider that tells usage only if it is asked."""
    told = [usage(9, 3)] if seen.json.get("stream_options") == ASKED else []
    return [hdr(), role(), tok(3), fin(), *told, done()]


def strict(seen: Any) -> list[Step]:
    """A provider that knows no such field, and tells usage of itself."""
    if "stream_options" in seen.json:
        return [st(400, REJECTED)]
    return [hdr(), role(), tok(3), fin(), usage(9, 3), done()]


@CHATTING
@STREAM
@pytest.mark.parametrize("script", [obedient, strict])
async def test_H3_usage_is_asked_for_by_default(rig: Rig, client: str, stream: bool, script: Script) -> None:
    upstream = await rig.upstream(script)
    gateway = await rig.gateway(upstream)
    told = SPEAKERS[client].told(await SPEAKERS[client].ask(gateway, stream))
    assert (told.text, told.error) == (words(3), None)
    assert (await gateway.record())["usage"] == tokens(input=9, output=3)
    assert upstream.requests[0].json["stream_options"] == ASKED


async def test_H3_a_provider_that_says_nothing_leaves_nothing(rig: Rig) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), role(), tok(3), fin(), done()]))
    await gateway.ask()
    record = await gateway.record()
    assert (record["outcome"], record["usage"], record["token_events"]) == ("completed", None, 3)


@pytest.mark.parametrize("status", [400, 422])
async def test_H4_rejected_once_asked_once_more_without(rig: Rig, status: int) -> None:
    def rejects(seen: Any) -> list[Step]:
        return [st(status, REJECTED)] if "stream_options" in seen.json else [hdr(), role(), tok(3), fin(), done()]

    upstream = await rig.upstream(rejects)
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    assert (answer.text, answer.marks) == (words(3), 1)
    first, second = upstream.requests
    assert {**second.json, "stream_options": ASKED} == first.json
    assert second.json["stream"] is True


async def test_H4_rejected_again_is_the_providers_word(rig: Rig) -> None:
    upstream = await rig.upstream([st(400, REJECTED)])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    assert (answer.status, answer.json, len(upstream.requests)) == (400, REJECTED, 2)
    assert (await gateway.record())["outcome"] == "upstream_error"


async def test_H4_another_rejection_is_told_at_once(rig: Rig) -> None:
    upstream = await rig.upstream([st(400, {"error": {"message": "Unknown field: messages"}})])
    gateway = await rig.gateway(upstream)
    assert ((await gateway.ask()).status, len(upstream.requests)) == (400, 1)


# -- H5 -----------------------------------------------------------------------------------------------------------

WISHES: dict[str, tuple[dict[str, Any], bool]] = {
    "absent": ({}, False),
    "true": ({"stream_options": {"include_usage": True}}, True),
    "false": ({"stream_options": {"include_usage": False}}, False),
    "empty": ({"stream_options": {}}, False),
    "null": ({"stream_options": None}, False),
}


@pytest.mark.parametrize(("wish", "shown"), WISHES.values(), ids=WISHES)
@pytest.mark.parametrize("wire", ["openai-chat", "anthropic-messages", "bedrock-converse", "tgi"])
async def test_H5_usage_is_shown_to_who_asked(rig: Rig, wire: str, wish: dict[str, Any], shown: bool) -> None:
    script = [hdr(), role(), tok(3), fin(), usage(9, 3), done()]
    upstream = await rig.upstream(PROVIDERS[wire].answer() if wire in PROVIDERS else script)
    gateway = await rig.gateway(upstream, wire=wire)
    answer = await gateway.ask(**wish)
    found = [chunk["usage"] for chunk in answer.chunks if chunk.get("usage")]
    assert [(one["prompt_tokens"], one["completion_tokens"]) for one in found] == ([(9, 3)] if shown else [])
    assert all(chunk["choices"] for chunk in answer.chunks) is not shown
    assert (await gateway.record())["usage"] == tokens(input=9, output=3)


# -- H6 -----------------------------------------------------------------------------------------------------------

COUNTED = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
PLACES: dict[str, list[Step]] = {
    "before the finish": [usage(9, 3), fin(), done()],
    "with the finish": [raw(frames.finish(usage=COUNTED)), done()],
    "behind the finish": [fin(), usage(9, 3), done()],
    "behind a second finish": [fin(), raw(frames.finish(usage=COUNTED)), done()],
    "behind the end marker": [fin(), done(), usage(9, 3)],
    "in x_groq": [raw(frames.finish(x_groq={"usage": COUNTED})), done()],
    "without an end marker": [fin(), usage(9, 3)],
}


@CHATTING
@STREAM
@pytest.mark.parametrize("ending", PLACES.values(), ids=PLACES)
async def test_H6_usage_wherever_it_comes(rig: Rig, client: str, stream: bool, ending: list[Step]) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), role(), tok(3), *ending]), settle=1.0)
    told = SPEAKERS[client].told(await SPEAKERS[client].ask(gateway, stream))
    assert (told.text, told.error) == (words(3), None)
    assert (await gateway.record())["usage"] == tokens(input=9, output=3)


# -- H7 -----------------------------------------------------------------------------------------------------------


def counted(number: int) -> dict[str, int]:
    """Usage after so many tokens."""
    return {"prompt_tokens": 9, "completion_tokens": number, "total_tokens": 9 + number}


GROWING: dict[str, tuple[str, bytes]] = {
    "openai-chat": (
        "openai-chat",
        b"".join(frames.chunk("a", usage=counted(number)) for number in range(4)) + frames.finish() + frames.DONE,
    ),
    "gemini": (
        "gemini",
        b"".join(
            gemini.sse(gemini.chunk(gemini.text("a"), usageMetadata=said))
            for said in ({"promptTokenCount": 9}, *({"promptTokenCount": 9, "candidatesTokenCount": n} for n in (1, 3)))
        )
        + gemini.sse(gemini.chunk(gemini.text(""), reason="STOP")),
    ),
    "anthropic-messages": (
        "anthropic-messages",
        messages.start()
        + TEXT
        + b"".join(messages.finish(None if n < 3 else "end_turn", output_tokens=n) for n in (1, 2, 3))
        + messages.STOP,
    ),
}


@pytest.mark.parametrize(("wire", "body"), GROWING.values(), ids=GROWING)
@STREAM
async def test_H7_usage_on_every_chunk_is_the_last_of_them(rig: Rig, wire: str, body: bytes, stream: bool) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(body), eof()]), wire=wire)
    for client in dict.fromkeys((wire, "openai-chat")):
        assert (await SPEAKERS[client].ask(gateway, stream)).status == 200
        assert (await gateway.record())["usage"] == tokens(input=9, output=3)


async def test_H7_a_first_usage_of_zero_is_not_kept(rig: Rig) -> None:
    body = frames.chunk("a", usage={"prompt_tokens": 0, "completion_tokens": 0}) + frames.chunk("b", usage=None)
    upstream = await rig.upstream([hdr(), raw(body), fin(), usage(9, 3), done()])
    gateway = await rig.gateway(upstream)
    await gateway.ask()
    assert (await gateway.record())["usage"] == tokens(input=9, output=3)


# -- H8 -----------------------------------------------------------------------------------------------------------

CHAT_DETAILS = {
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
GEMINI_DETAILS = {
    "promptTokenCount": 9,
    "cachedContentTokenCount": 4,
    "candidatesTokenCount": 2,
    "thoughtsTokenCount": 5,
    "totalTokenCount": 16,
}
RESPONSES_DETAILS = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 16,
}
CONVERSE_DETAILS = {"cacheReadInputTokens": 4, "cacheWriteInputTokens": 3}
KINDS: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "openai-chat": (
        "openai-chat",
        frames.chunk("a") + frames.finish() + frames.usage(9, 7, **CHAT_DETAILS) + frames.DONE,
        tokens(input=5, output=2, reasoning=5, cache_read=4),
    ),
    "openai-chat, reasoning apart": (
        "openai-chat",
        frames.chunk("a") + frames.finish() + frames.usage(9, 2, **CHAT_DETAILS, total_tokens=16) + frames.DONE,
        tokens(input=5, output=2, reasoning=5, cache_read=4),
    ),
    "openai-responses": (
        "openai-responses",
        responses.created()
        + responses.added()
        + responses.text("a")
        + responses.frame(
            "response.completed",
            response=responses.response("completed", usage=RESPONSES_DETAILS, output=[responses.message("a")]),
        ),
        tokens(input=5, output=2, reasoning=5, cache_read=4),
    ),
    "gemini": (
        "gemini",
        gemini.sse(gemini.chunk(gemini.text("a"), reason="STOP", usageMetadata=GEMINI_DETAILS)),
        tokens(input=5, output=2, reasoning=5, cache_read=4),
    ),
    "anthropic-messages": (
        "anthropic-messages",
        messages.start(**CACHED) + TEXT + messages.finish(output_tokens=7) + messages.STOP,
        tokens(input=9, output=7, cache_read=4, cache_write=3),
    ),
    "bedrock-converse": (
        "bedrock-converse",
        bedrock.START
        + bedrock.text("a")
        + bedrock.closed()
        + bedrock.stop()
        + bedrock.metadata(9, 7, **CONVERSE_DETAILS),
        tokens(input=9, output=7, cache_read=4, cache_write=3),
    ),
    "cohere-chat": (
        "cohere-chat",
        PROVIDERS["cohere-chat"].start + PROVIDERS["cohere-chat"].words[0] + cohere_end(),
        tokens(input=9, output=3),
    ),
    "cohere-v1": (
        "cohere-v1",
        v1("text-generation", text="a")
        + v1(
            "stream-end",
            finish_reason="COMPLETE",
            response={"text": "a", "meta": {"tokens": {"input_tokens": 9, "output_tokens": 3}}},
        ),
        tokens(input=9, output=3),
    ),
    "ollama-chat": (
        "ollama-chat",
        line({"role": "assistant", "content": "a"}, done=True, done_reason="stop", prompt_eval_count=9, eval_count=3),
        tokens(input=9, output=3),
    ),
    "tgi": (
        "tgi",
        tgi("a", generated_text="a", details={"finish_reason": "length", "generated_tokens": 3, "input_length": 9}),
        tokens(input=9, output=3),
    ),
}


@pytest.mark.parametrize(("wire", "body", "wanted"), KINDS.values(), ids=KINDS)
@STREAM
async def test_H8_every_kind_of_token_in_every_wire(
    rig: Rig, wire: str, body: bytes, wanted: dict[str, Any], stream: bool
) -> None:
    kind = PROVIDERS[wire].kind if wire in PROVIDERS else "text/event-stream"
    gateway = await rig.gateway(await rig.upstream([hdr(content_type=kind), raw(body), eof()]), wire=wire)
    answer = await gateway.ask(stream, **({"stream_options": ASKED} if stream else {}))
    assert (await gateway.record())["usage"] == wanted
    told = answer.chunks[-1]["usage"] if stream else answer.json["usage"]
    parts = [wanted[name] or 0 for name in ("input", "cache_read", "cache_write")]
    assert told["prompt_tokens"] == sum(parts)
    assert told["total_tokens"] == sum(parts) + wanted["output"] + (wanted["reasoning"] or 0)
