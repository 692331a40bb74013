"""Every recorded anthropic-messages stream through the pure machine: whole, byte by byte, and cut at random places;
told in openai-chat and written anew; and Claude on Bedrock put back into this wire."""

from __future__ import annotations

import itertools
import json
import random
import struct
from collections.abc import Iterator

import pytest

from penstock.events import EndMarker, Event, Reasoning, Text, ToolArguments, UsageReport
from penstock.framing.sse import SSEFramer, parse
from penstock.outcome import Outcome
from penstock.testing.corpus import MISSING, Recording, recordings
from penstock.testing.laws import check_laws, lanes
from penstock.testing.messages import STOP, plan, read
from penstock.testing.run import run, script
from penstock.testing.transcript import Transcript
from penstock.usage import Usage
from penstock.wire.anthropic_invoke import chunk_event, sse_frame
from penstock.wire.anthropic_messages import MessagesDecoder
from penstock.wire.anthropic_messages_fold import frames_of_answer
from penstock.wire.anthropic_messages_wire import AnthropicMessagesUpstream
from penstock.wire.anthropic_messages_writer import MessagesWriter

RECORDINGS = recordings(lambda recording: recording.kind == "stream" and recording.wire == "anthropic-messages")
INVOKED = recordings(lambda recording: recording.wire == "bedrock-invoke-stream" and recording.kind == "stream")
ERRORS = recordings(lambda recording: recording.kind != "stream" and recording.provider == "anthropic")
BYTE_BY_BYTE = 60_000
"""Longer recordings are cut at a thousand places instead."""

pytestmark = pytest.mark.skipif(not RECORDINGS, reason=MISSING)
by_name = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)


def cut(data: bytes, places: int, seed: str) -> list[bytes]:
    edges = [0, *sorted(random.Random(seed).sample(range(1, len(data)), min(places, len(data) - 1))), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def ways(recording: Recording, data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    yield cut(data, 30, recording.file)
    yield [data[i : i + 1] for i in range(len(data))] if len(data) < BYTE_BY_BYTE else cut(data, 1000, recording.file)


def played(pieces: list[bytes], **wires: str) -> Transcript:
    return run(plan(**wires), [script(*pieces, gap=0.0)])


def up_to_the_end(data: bytes) -> bytes:
    """Read with plain means: up to ``message_stop``, with its blank line."""
    frames: list[bytes] = []
    for frame in SSEFramer().feed(data + b"\n\n"):
        frames.append(frame)
        if frame.startswith(b"event: message_stop"):
            break
    return b"".join(frames)


def events_of(data: bytes) -> list[Event]:
    framer, decoder, events = SSEFramer(), MessagesDecoder(), []
    for frame in framer.feed(data):
        events += decoder.decode(frame)[1]
    return [*events, *decoder.close(framer.close())[1]]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def thought_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Reasoning))


def calls_of(events: list[Event]) -> list[tuple[str, str]]:
    calls: dict[int, tuple[str, str]] = {}
    for event in events:
        if isinstance(event, ToolArguments):
            name, arguments = calls.get(event.call, ("", ""))
            calls[event.call] = name + event.name, arguments + event.arguments
    return list(calls.values())


@by_name
def test_a_recording_ends_as_it_did_and_arrives_as_it_was(recording):
    data = recording.read()
    whole, cut_at_random, crumbled = [played(pieces) for pieces in ways(recording, data)]
    assert whole.outcome is Outcome.COMPLETED
    assert whole.body == up_to_the_end(data)
    assert whole.account.warnings == []
    if recording.has_usage:
        assert whole.account.usage.input is not None and whole.account.usage.output is not None
    for other in (cut_at_random, crumbled):
        assert (other.outcome, other.head, other.body) == (whole.outcome, whole.head, whole.body)
        assert lanes(other) == lanes(whole)
    check_laws(whole, replay=False)


@by_name
def test_its_usage_is_what_its_last_message_delta_says(recording):
    raw: dict = {}
    for frame in SSEFramer().feed(recording.read()):
        body = json.loads(parse(frame).data) if frame.startswith((b"event: message_start", b"event: message_d")) else {}
        raw |= {
            k: v for k, v in (body.get("usage") or body.get("message", {}).get("usage") or {}).items() if v is not None
        }
    usage = played([recording.read()]).account.usage
    assert usage.input == raw["input_tokens"]
    assert (usage.output or 0) + (usage.reasoning or 0) == raw["output_tokens"]
    assert (usage.cache_read, usage.cache_write) == (
        raw.get("cache_read_input_tokens"),
        raw.get("cache_creation_input_tokens"),
    )


@by_name
def test_a_cut_recording_is_never_a_success(recording):
    frames = SSEFramer().feed(recording.read())
    place = next(i for i, frame in enumerate(frames) if frame.startswith(b"event: message_delta"))
    transcript = played([b"".join(frames[:place])])
    assert transcript.outcome in (Outcome.UPSTREAM_CUT, Outcome.EMPTY)
    assert STOP not in transcript.body


@by_name
def test_the_folded_answer_says_the_same_and_makes_the_same_stream(recording):
    data = recording.read()
    answer = json.loads(run(plan(stream=False), [script(data)]).body)
    events = events_of(data)
    texts = [block["text"] for block in answer["content"] if block["type"] == "text"]
    assert "".join(texts) == text_of(events)
    assert "".join(block["thinking"] for block in answer["content"] if block["type"] == "thinking") == thought_of(
        events
    )
    calls = [(block["name"], block["input"]) for block in answer["content"] if block["type"] == "tool_use"]
    assert calls == [(name, json.loads(arguments)) for name, arguments in calls_of(events)]
    again = b"".join(frames_of_answer(answer))
    assert json.loads(run(plan(stream=False), [script(again)]).body) == answer
    assert text_of(events_of(again)) == text_of(events)


@by_name
def test_a_chat_client_reads_the_same(recording):
    data = recording.read()
    transcript = played([data], client="openai-chat", upstream="anthropic-messages")
    assert transcript.outcome is Outcome.COMPLETED
    payloads = [parse(frame).data for frame in SSEFramer().feed(transcript.body)]
    assert payloads[-1] == b"[DONE]" and payloads.count(b"[DONE]") == 1
    chunks = [json.loads(payload) for payload in payloads[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["model"]) for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert choices[0]["delta"]["role"] == "assistant"
    assert [bool(choice["finish_reason"]) for choice in choices] == [False] * (len(choices) - 1) + [True]
    events = events_of(data)
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == text_of(events)
    assert "".join(choice["delta"].get("reasoning_content", "") for choice in choices) == thought_of(events)
    calls: dict[int, tuple[str, str]] = {}
    for call in (call for choice in choices for call in choice["delta"].get("tool_calls", ())):
        name, arguments = calls.get(call["index"], ("", ""))
        function = call["function"]
        calls[call["index"]] = name + function.get("name", ""), arguments + function["arguments"]
    assert list(calls.values()) == calls_of(events)


@by_name
def test_clients_of_still_other_wires_read_the_same_text(recording):
    data = recording.read()
    wanted = text_of(events_of(data))
    responses = played([data], client="openai-responses", upstream="anthropic-messages")
    bodies = [json.loads(parse(frame).data or b"{}") for frame in SSEFramer().feed(responses.body)]
    assert responses.outcome is Outcome.COMPLETED
    assert "".join(body["delta"] for body in bodies if body.get("type") == "response.output_text.delta") == wanted
    ollama = played([data], client="ollama-chat", upstream="anthropic-messages")
    assert ollama.outcome is Outcome.COMPLETED
    assert "".join(json.loads(line)["message"].get("content", "") for line in ollama.body.splitlines()) == wanted


@by_name
def test_written_anew_it_is_legal_and_says_the_same(recording):
    events = events_of(recording.read())
    writer = MessagesWriter("m", "st_1")
    out = b"".join(writer.write((event,)) for event in events) + writer.end()
    said = read(out)
    again = events_of(out)
    for part in (text_of, thought_of, calls_of):
        assert part(again) == part(events)
    assert said.message["id"] == json.loads(run(plan(stream=False), [script(recording.read())]).body)["id"]
    total = [Usage(), Usage()]
    for number, told in enumerate((events, again)):
        for report in (event for event in told if isinstance(event, UsageReport)):
            total[number] = total[number].overwritten_by(report.usage)
    before, after = total
    assert (before.input, before.output) == (after.input, after.output)


@pytest.mark.parametrize("recording", ERRORS, ids=lambda recording: recording.file)
def test_a_recorded_error_is_read(recording):
    body = recording.read()
    report = AnthropicMessagesUpstream().error(body)
    if recording.file.endswith(".txt"):
        assert report is None
    else:
        assert report is not None and report.message == json.loads(body)["error"]["message"]
        assert report.status == recording.status


# -- Claude on Bedrock ------------------------------------------------------------------------------------------------


def chunks_of(data: bytes) -> list[bytes]:
    """The payloads of ``chunk`` messages, read with plain means (wire-formats.md §7.1)."""
    payloads = []
    while data:
        total, headers = struct.unpack(">II", data[:8])
        if b"chunk" in data[12 : 12 + headers]:
            payloads.append(data[12 + headers : total - 4])
        data = data[total:]
    return payloads


def test_claude_on_bedrock_is_this_wire_again():
    seen = 0
    for recording in INVOKED:
        events = [chunk_event(payload) for payload in chunks_of(recording.read())]
        if not events or b'"message_start"' not in events[0]:
            continue
        stream = b"".join(sse_frame(event) for event in events)
        assert [parse(frame).data for frame in SSEFramer().feed(stream)] == events
        transcript = played([stream])
        assert transcript.outcome is (Outcome.COMPLETED if recording.ends_with == "done" else Outcome.UPSTREAM_CUT)
        if transcript.outcome is Outcome.COMPLETED:
            assert transcript.body == stream
            assert isinstance(events_of(stream)[-1], EndMarker)
        seen += 1
    assert seen >= 20
