"""Every recorded openai-responses stream through the pure machine: whole, byte by byte, and cut at random places; and
told to clients by translation."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from penstock.events import Event, Reasoning, Refusal, Text, ToolArguments
from penstock.framing import sse
from penstock.outcome import Outcome
from penstock.stream.inputs import UpstreamBytes, UpstreamEnded, UpstreamHead, UpstreamOpened
from penstock.testing.corpus import MISSING, Recording, recordings
from penstock.testing.playbook import SSE
from penstock.testing.responses import plan, read
from penstock.testing.transcript import Transcript
from penstock.usage import Usage
from penstock.wire.openai_responses import ResponsesDecoder
from penstock.wire.registry import CLIENT_WIRES

RECORDINGS = recordings(lambda recording: recording.kind == "stream" and recording.api == "responses")
COMPLETE = [recording for recording in RECORDINGS if not recording.has_error]
DELTAS_ELIDED = "openai-responses/057-openai-phase-1.sse"
"""Its source left most deltas out; the copies have the whole text."""
BYTE_BY_BYTE = 60_000
"""Longer recordings are cut at a thousand places instead."""

pytestmark = pytest.mark.skipif(not RECORDINGS, reason=MISSING)
by_name = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)
complete = pytest.mark.parametrize("recording", COMPLETE, ids=lambda recording: recording.file)


def cut(data: bytes, places: int, seed: str) -> list[bytes]:
    edges = [0, *sorted(random.Random(seed).sample(range(1, len(data)), min(places, len(data) - 1))), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def ways(recording: Recording, data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    yield cut(data, 30, recording.file)
    yield [data[i : i + 1] for i in range(len(data))] if len(data) < BYTE_BY_BYTE else cut(data, 1000, recording.file)


def played(pieces: list[bytes], **options: Any) -> Transcript:
    transcript = Transcript(plan(**options))
    transcript.start(0.0)
    for happened in (UpstreamOpened(0), UpstreamHead(0, 200, SSE)):
        transcript.give(happened, 0.0)
    for piece in pieces:
        transcript.give(UpstreamBytes(0, piece), 0.0)
    if not transcript.over:
        transcript.give(UpstreamEnded(0, clean=True), 0.0)
    return transcript


def terminal(data: bytes) -> dict[str, Any]:
    """Read with plain means: the response of the terminal event."""
    for frame in sse.SSEFramer().feed(data.rstrip(b"\n") + b"\n\n"):
        payload = sse.parse(frame).data or b""
        if payload.startswith(b"{"):
            event = json.loads(payload)
            if event["type"] in ("response.completed", "response.incomplete", "response.failed"):
                return event["response"]
    raise AssertionError("no terminal event")


@by_name
def test_a_recording_ends_as_it_did_and_arrives_as_it_was(recording):
    data = recording.read()
    whole, cut_at_random, crumbled = [played(pieces) for pieces in ways(recording, data)]
    if recording.has_error:
        assert whole.outcome is Outcome.UPSTREAM_ERROR
        error, told = json.loads(whole.body)["error"], terminal(data)["error"]
        assert (error["code"], error["message"]) == (told["code"], told["message"])
        assert whole.head is not None and whole.head.status == 429
    else:
        assert whole.outcome is Outcome.COMPLETED
        # What follows the terminal event is left out, and a blank line that is missing at the end is added.
        assert whole.body.rstrip(b"\n") + b"\n\n" == data.removesuffix(b"data: [DONE]\n\n").rstrip(b"\n") + b"\n\n"
        assert (whole.account.usage is not None) is recording.has_usage
    for other in (cut_at_random, crumbled):
        assert (other.outcome, other.head, other.body) == (whole.outcome, whole.head, whole.body)
        assert other.account.usage == whole.account.usage and other.account.finish == whole.account.finish


@cache
def events_of(recording: Recording) -> tuple[tuple[Event, ...], ...]:
    framer, decoder = sse.SSEFramer(), ResponsesDecoder()
    found = [decoder.decode(frame)[1] for frame in framer.feed(recording.read())]
    return (*found, decoder.close(framer.close())[1])


def said(recording: Recording, kind: Any) -> str:
    return "".join(event.text for events in events_of(recording) for event in events if isinstance(event, kind))


def calls_of(recording: Recording) -> list[tuple[str, str]]:
    calls: dict[int, tuple[str, str]] = {}
    for event in (event for events in events_of(recording) for event in events if isinstance(event, ToolArguments)):
        name, arguments = calls.get(event.call, ("", ""))
        calls[event.call] = name + event.name, arguments + event.arguments
    return list(calls.values())


@complete
def test_its_text_and_calls_are_those_of_the_whole(recording):
    response = terminal(recording.read())
    output = response["output"]
    if not output:
        # ChatGPT's own backend leaves it empty.
        assert said(recording, Text) or calls_of(recording)
        return
    parts = [part for item in output if item["type"] == "message" for part in item["content"]]
    if recording.file != DELTAS_ELIDED:
        assert said(recording, Text) == "".join(part.get("text", "") for part in parts)
    assert said(recording, Refusal) == "".join(part.get("refusal", "") for part in parts)
    called = [item for item in output if item["type"] in ("function_call", "custom_tool_call")]
    assert calls_of(recording) == [(item["name"], item.get("arguments", item.get("input"))) for item in called]


@complete
def test_its_usage_is_that_of_the_whole(recording):
    usage = played([recording.read()]).account.usage
    told = terminal(recording.read()).get("usage")
    if told is None:
        assert usage is None
        return
    assert isinstance(usage, Usage)
    assert (usage.input or 0) + (usage.cache_read or 0) + (usage.cache_write or 0) == told["input_tokens"]
    assert (usage.output or 0) + (usage.reasoning or 0) == told["output_tokens"]


@complete
def test_the_folded_answer_is_the_providers(recording):
    answer, told = json.loads(played([recording.read()], stream=False).body), terminal(recording.read())
    if not told["output"]:
        assert {**answer, "output": []} == told and answer["output"]
    else:
        assert answer == told


@complete
def test_a_chat_client_gets_the_same(recording):
    transcript = played([recording.read()], client="openai-chat")
    assert transcript.outcome is Outcome.COMPLETED
    *chunks, done = [line[6:] for line in transcript.body.split(b"\n") if line.startswith(b"data: ")]
    assert done == b"[DONE]"
    choices = [choice for chunk in chunks for choice in json.loads(chunk)["choices"]]
    assert [choice["delta"].get("role") for choice in choices].count("assistant") == 1
    for field, kind in (("content", Text), ("reasoning_content", Reasoning), ("refusal", Refusal)):
        assert "".join(choice["delta"].get(field) or "" for choice in choices) == said(recording, kind)
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == [choices[-1]["finish_reason"]]


@complete
def test_a_client_of_the_wire_would_get_the_same_by_translation(recording):
    writer = plan().client.writer()
    got = read(b"".join(writer.write(events) for events in events_of(recording)) + writer.end())
    assert (got.text, got.reasoning) == (said(recording, Text), said(recording, Reasoning))
    assert got.calls == calls_of(recording)


# Cohere's and Gemini's clients are served by providers of their own wire only.
OWN = ("openai-chat", "openai-responses", "cohere-chat", "gemini")
OTHERS = [wire.name for wire in CLIENT_WIRES if wire.name not in OWN]


@pytest.mark.parametrize("wire", OTHERS)
@complete
def test_every_other_client_gets_an_answer(recording, wire):
    """What it looks like there is the other wires' business: it is whole."""
    transcript = played([recording.read()], client=wire)
    assert transcript.outcome is Outcome.COMPLETED and transcript.body
