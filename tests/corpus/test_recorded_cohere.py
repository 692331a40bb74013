"""Every recorded stream of Cohere, v2 and v1, through the pure machine: whole, byte by byte, and cut at random places;
told in other wires; and recorded errors."""

from __future__ import annotations

import json

import pytest

from penstock.framing.sse import SSEFramer, parse
from penstock.outcome import Outcome
from penstock.stream.commands import End
from penstock.testing.corpus import MISSING, recordings
from penstock.testing.laws import check_laws, lanes
from penstock.testing.messages import plan
from penstock.testing.run import run, script
from penstock.testing.wire_cases import (
    calls_of,
    chat_chunks,
    chat_says,
    lines,
    read,
    text_of,
    thought_of,
    usage_of,
    ways,
)
from penstock.usage import Usage
from penstock.wire.cohere_chat_fold import frames_of_answer
from penstock.wire.cohere_chat_wire import CohereUpstream

V2 = recordings(lambda recording: recording.kind == "stream" and recording.wire == "cohere-v2")
V1 = recordings(lambda recording: recording.kind == "stream" and recording.wire == "cohere-v1")
ERRORS = recordings(lambda recording: recording.kind != "stream" and recording.provider == "cohere")
WHOLE = [recording for recording in V2 if not recording.has_error]

pytestmark = pytest.mark.skipif(not V2, reason=MISSING)


def each(found):
    return pytest.mark.parametrize("recording", found, ids=lambda recording: recording.file)


def played(pieces, client="cohere-chat", upstream="cohere-chat", **policies):
    return run(plan(client=client, upstream=upstream, **policies), [script(*pieces, gap=0.0)])


def payloads(data):
    return [payload for frame in SSEFramer().feed(data) if (payload := parse(frame).data) is not None]


def last_event(data):
    return json.loads([payload for payload in payloads(data + b"\n\n") if b'"message-end"' in payload][-1])


@each(V2)
def test_a_recording_ends_as_it_did_and_arrives_as_it_was(recording):
    data = recording.read()
    whole, cut_at_random, crumbled = [played(pieces) for pieces in ways(recording.file, data)]
    assert whole.outcome is (Outcome.UPSTREAM_ERROR if recording.has_error else Outcome.COMPLETED)
    if recording.has_error:
        delta = last_event(whole.body)["delta"]
        before = last_event(data)["delta"]
        assert (delta["error"], delta["error_type"]) == (before["error"], before["error_type"])
        assert whole.body.startswith(data[: data.index(b"event: message-end")])
        assert End(cut=True) in whole.commands
    else:
        assert whole.body == data
        assert (whole.account.usage is not None) is recording.has_usage
        check_laws(whole, replay=False)
    for other in (cut_at_random, crumbled):
        assert (other.outcome, other.head, other.body) == (whole.outcome, whole.head, whole.body)
        assert lanes(other) == lanes(whole)


@each(WHOLE)
def test_its_usage_is_what_its_last_event_says(recording):
    usage = last_event(recording.read())["delta"]["usage"]
    tokens, cached = usage["tokens"], usage.get("cached_tokens")
    _, events, _ = read("cohere-chat", [recording.read()])
    assert usage_of(events) == Usage(
        input=max(0, tokens["input_tokens"] - (cached or 0)),
        output=tokens["output_tokens"] - tokens.get("reasoning_tokens", 0),
        reasoning=tokens.get("reasoning_tokens"),
        cache_read=cached,
    )


@each(WHOLE)
def test_a_cut_recording_is_never_a_success(recording):
    data = recording.read()
    transcript = played([data[: data.index(b"event: message-end")]])
    assert transcript.outcome is Outcome.UPSTREAM_CUT
    assert last_event(transcript.body)["delta"]["code"] == "upstream_cut"
    assert End(cut=True) in transcript.commands


@each(WHOLE)
def test_the_folded_answer_says_the_same_and_makes_the_same_stream(recording):
    data = recording.read()
    answer = json.loads(played([data], stream=False).body)
    _, events, _ = read("cohere-chat", [data])
    message = answer["message"]
    content = message.get("content", [])
    assert "".join(part["text"] for part in content if part["type"] == "text") == text_of(events)
    thought = "".join(part["thinking"] for part in content if part["type"] == "thinking")
    assert thought + message.get("tool_plan", "") == thought_of(events)
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())]
    assert calls == calls_of(events)
    end = last_event(data)["delta"]
    assert {name: answer[name] for name in end} == end
    again = b"".join(frames_of_answer(answer))
    assert json.loads(played([again], stream=False).body) == answer
    assert text_of(read("cohere-chat", [again])[1]) == text_of(events)


@each(WHOLE)
@pytest.mark.parametrize("client", ["openai-chat", "ollama-chat", "anthropic-messages"])
def test_a_client_of_another_wire_reads_the_same(recording, client):
    data = recording.read()
    transcript = played([data], client=client)
    assert transcript.outcome is Outcome.COMPLETED
    _, events, _ = read("cohere-chat", [data])
    if client == "openai-chat":
        assert chat_says(chat_chunks(transcript.body)) == (text_of(events), thought_of(events), calls_of(events))
    elif client == "ollama-chat":
        found = lines(transcript.body)
        assert "".join(value["message"]["content"] for value in found) == text_of(events)
        assert "".join(value["message"].get("thinking", "") for value in found) == thought_of(events)


@each(V1)
def test_a_recording_of_v1(recording):
    data = recording.read()
    played_ways = [played(pieces, "openai-chat", "cohere-v1") for pieces in ways(recording.file, data)]
    _, events, _ = read("cohere-v1", [data])
    for transcript in played_ways:
        assert recording.ends_with == "done" and transcript.outcome is Outcome.COMPLETED
        assert chat_says(chat_chunks(transcript.body)) == (text_of(events), thought_of(events), calls_of(events))
        assert (transcript.account.usage is not None) is recording.has_usage
    response = json.loads(data.strip().split(b"\n")[-1])["response"]
    if "text" in response:
        assert response["text"] == (thought_of(events) if response.get("tool_calls") else text_of(events))
    calls = [(call["name"], call["parameters"]) for call in response.get("tool_calls", ())]
    assert [(name, json.loads(arguments)) for name, arguments in calls_of(events)] == calls
    tokens = response["meta"].get("tokens")
    if tokens:
        assert usage_of(events) == Usage(tokens["input_tokens"], tokens["output_tokens"])
    cut = played([data.strip().rpartition(b"\n")[0] + b"\n"], "openai-chat", "cohere-v1")
    assert cut.outcome is Outcome.UPSTREAM_CUT


@each(ERRORS)
def test_a_recorded_error_is_read(recording):
    report = CohereUpstream().error(recording.read())
    assert report is not None and report.message == json.loads(recording.read())["message"]
