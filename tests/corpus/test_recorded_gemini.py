"""Every recorded Gemini stream: whole, byte by byte, cut at random places; folded; and told in another wire's words."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator

import pytest

from penstock.events import ErrorReport, UsageReport
from penstock.framing.sse import SSEFramer
from penstock.outcome import Outcome
from penstock.stream.inputs import UpstreamBytes, UpstreamEnded, UpstreamHead, UpstreamOpened
from penstock.stream.plan import Plan
from penstock.testing import messages
from penstock.testing.corpus import MISSING, Recording, recordings
from penstock.testing.gemini import fed, plan, request, said, session
from penstock.testing.transcript import Transcript
from penstock.wire.base import View
from penstock.wire.gemini import GeminiDecoder
from penstock.wire.gemini_wire import GeminiUpstream
from penstock.wire.openai_chat_client import read_request as read_chat
from penstock.wire.registry import CLIENT_WIRES, UPSTREAM_WIRES

RECORDINGS = recordings(lambda one: one.kind == "stream" and one.wire in ("gemini-sse", "gemini-json-array"))
ERRORS = recordings(lambda one: one.kind == "error" and one.provider in ("google", "vertex"))
COMPLETE = [one for one in RECORDINGS if one.ends_with == "stop"]
OUTCOMES = {"stop": Outcome.COMPLETED, "error": Outcome.UPSTREAM_ERROR, "truncated": Outcome.UPSTREAM_CUT}
BYTE_BY_BYTE = 60_000
CHAT = read_chat(b'{"model":"m","stream":true,"messages":[],"stream_options":{"include_usage":true}}')

UNKNOWN_FINISH = ("016-streaming-failure-unknown-finish-enum", "042-streaming-unknown-enum")
"""They end with a finish reason that does not exist: told in other words, that is an error and no stop (G2)."""

pytestmark = pytest.mark.skipif(not RECORDINGS, reason=MISSING)


def query(recording: Recording) -> str:
    return "" if recording.wire == "gemini-json-array" else "alt=sse"


def ways(recording: Recording, data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    edges = [0, *sorted(random.Random(recording.file).sample(range(1, len(data)), min(30, len(data) - 1))), len(data)]
    yield [data[a:b] for a, b in itertools.pairwise(edges)]
    if len(data) < BYTE_BY_BYTE:
        yield [data[i : i + 1] for i in range(len(data))]


def played(stream: Plan, pieces: list[bytes]) -> Transcript:
    transcript = Transcript(stream)
    transcript.start(0.0)
    for happened in (UpstreamOpened(0), UpstreamHead(0, 200, ())):
        transcript.give(happened, 0.0)
    for piece in pieces:
        transcript.give(UpstreamBytes(0, piece), 0.0)
    transcript.give(UpstreamEnded(0, clean=True), 0.0)
    return transcript


def all_texts(data: bytes) -> tuple[str, str]:
    """Text and thoughts, read with plain means."""
    if data[:1] == b"[":
        bodies = json.loads(data)
    else:
        lines = data.decode().replace("\r\n", "\n").split("\n\n")
        bodies = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    parts = [
        part
        for body in bodies
        for candidate in body.get("candidates", ())
        for part in candidate.get("content", {}).get("parts", ())
    ]
    texts = ["".join(p.get("text", "") for p in parts if bool(p.get("thought")) is kind) for kind in (False, True)]
    return texts[0], texts[1]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)
def test_a_recording_ends_as_it_did_and_arrives_as_it_was(recording):
    data = recording.read()
    several = list(ways(recording, data))
    whole = played(plan(request(query(recording))), several[0])
    assert whole.outcome is OUTCOMES[recording.ends_with]
    if whole.outcome is Outcome.COMPLETED:
        unterminated = query(recording) and not data.endswith((b"\r\n\r\n", b"\n\n"))
        assert whole.body == (data.rstrip(b"\r\n") + b"\r\n\r\n" if unterminated else data)
        assert (whole.account.usage is not None) is recording.has_usage
    else:
        assert b'"error"' in whole.body
    for pieces in several[1:]:
        again = played(plan(request(query(recording))), pieces)
        assert (again.body, again.outcome, again.account.usage) == (whole.body, whole.outcome, whole.account.usage)


@pytest.mark.parametrize("recording", COMPLETE, ids=lambda recording: recording.file)
def test_its_text_calls_and_usage_are_read(recording):
    data = recording.read()
    results = [fed(GeminiDecoder(session(query(recording))), pieces) for pieces in ways(recording, data)]
    assert all(result == results[0] for result in results)
    words, thoughts, calls, usage = said(results[0][1])
    assert (words, thoughts) == all_texts(data)
    assert bool(calls) is recording.has_tool_calls
    assert all(isinstance(json.loads(arguments), dict) and name and ident for ident, name, arguments in calls)
    assert (usage is not None) is recording.has_usage


@pytest.mark.parametrize("recording", COMPLETE, ids=lambda recording: recording.file)
def test_folded_it_says_the_same(recording):
    data = recording.read()
    transcript = played(plan(request(query(recording), stream=False)), [data])
    assert transcript.outcome is Outcome.COMPLETED
    answer = json.loads(transcript.body)
    candidates = answer.get("candidates", [])
    parts = [part for candidate in candidates for part in candidate["content"].get("parts", ())]
    for kind, text in zip((False, True), all_texts(data), strict=True):
        assert "".join(p.get("text", "") for p in parts if bool(p.get("thought")) is kind) == text
    _, _, calls, usage = said(fed(GeminiDecoder(None), [data])[1])
    folded = [part["functionCall"] for part in parts if "functionCall" in part]
    assert [(call["name"], call.get("args", {})) for call in folded] == [
        (name, json.loads(args)) for _, name, args in calls
    ]
    assert ("usageMetadata" in answer) is (usage is not None)


@pytest.mark.parametrize("recording", COMPLETE, ids=lambda recording: recording.file)
def test_in_the_words_of_openai_chat_it_says_the_same(recording):
    data = recording.read()
    transcript = played(plan(CHAT, client="openai-chat"), [data])
    events = fed(GeminiDecoder(None), [data])[1]
    words, thoughts, calls, usage = said(events)
    if any(name in recording.file for name in UNKNOWN_FINISH):
        assert isinstance(events[-1], ErrorReport)
        assert transcript.outcome is Outcome.UPSTREAM_ERROR
        assert b"[DONE]" not in transcript.body and b'"finish_reason":"stop"' not in transcript.body
        return
    assert transcript.outcome is Outcome.COMPLETED
    frames = SSEFramer().feed(transcript.body)
    assert frames[-1] == b"data: [DONE]\n\n"
    chunks = [json.loads(frame[6:]) for frame in frames[:-1]]
    *choices, last = chunks
    assert last["choices"] == []
    deltas = [chunk["choices"][0]["delta"] for chunk in choices]
    assert [place for place, delta in enumerate(deltas) if "role" in delta] == [0]
    finishes = [chunk["choices"][0]["finish_reason"] for chunk in choices]
    assert all(reason is None for reason in finishes[:-1]) and finishes[-1]
    assert (finishes[-1] == "tool_calls") is bool(calls)
    assert "".join(delta.get("content") or "" for delta in deltas) == words
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == thoughts
    made: dict[int, list[str]] = {}
    for call in (call for delta in deltas for call in delta.get("tool_calls", ())):
        known = made.setdefault(call["index"], ["", "", ""])
        function = call["function"]
        for place, piece in enumerate((call.get("id", ""), function.get("name", ""), function["arguments"])):
            known[place] += piece
    assert [tuple(call) for call in made.values()] == calls
    if usage is not None:
        assert last["usage"]["completion_tokens"] == (usage.output or 0) + (usage.reasoning or 0)


BODIES = {
    "anthropic-messages": b'{"model":"m","stream":true,"max_tokens":9,"messages":[]}',
    "openai-responses": b'{"model":"m","stream":true,"input":"x"}',
    "ollama-chat": b'{"model":"m","messages":[]}',
}
OTHERS = [wire for wire in CLIENT_WIRES if wire.name in BODIES]


@pytest.mark.parametrize("wire", OTHERS, ids=lambda wire: wire.name)
@pytest.mark.parametrize("recording", COMPLETE, ids=lambda recording: recording.file)
def test_in_the_words_of_other_wires_it_says_the_same(recording, wire):
    """What another wire's writer makes of it, that wire's own decoder reads as the same."""
    if any(name in recording.file for name in UNKNOWN_FINISH):
        return
    data = recording.read()
    transcript = played(plan(wire.read("", "", BODIES[wire.name]), client=wire.name), [data])
    assert transcript.outcome is Outcome.COMPLETED
    speaks = UPSTREAM_WIRES[wire.name]
    framer, decoder = speaks.framer(1 << 25), speaks.decoder(View(), None)
    events = [event for frame in framer.feed(transcript.body) for event in decoder.decode(frame)[1]]
    assert not any(isinstance(event, ErrorReport) for event in events)
    assert decoder.incomplete(clean=True) is None
    words, thoughts, calls, _ = said(events)
    expected = said(fed(GeminiDecoder(None), [data])[1])
    assert (words, thoughts) == expected[:2]
    assert [(name, json.loads(args)) for _, name, args in calls] == [(n, json.loads(a)) for _, n, a in expected[2]]
    if wire.name == "anthropic-messages":
        messages.read(transcript.body)


@pytest.mark.parametrize("recording", COMPLETE, ids=lambda recording: recording.file)
def test_in_the_other_form_it_is_the_same(recording):
    data = recording.read()
    other = "alt=sse" if query(recording) == "" else ""
    transcript = played(plan(request(other)), [data])
    assert transcript.outcome is Outcome.COMPLETED
    if other:
        lines = [line for line in transcript.body.decode().split("\r\n\r\n") if line]
        assert [json.loads(line[6:]) for line in lines] == json.loads(data)
    else:
        assert all_texts(transcript.body) == all_texts(data)


def test_reports_of_usage_are_overwritten():
    one = next(one for one in RECORDINGS if "021-google-aitool-call-response" in one.file)
    events = fed(GeminiDecoder(None), [one.read()])[1]
    assert [event.usage.input for event in events if isinstance(event, UsageReport)] == [78, 33]
    assert said(events)[3].input == 33


@pytest.mark.parametrize("recording", ERRORS, ids=lambda recording: recording.file)
def test_a_recorded_error_body_is_read(recording):
    report = GeminiUpstream().error(recording.read())
    assert report is not None
    assert report.status == recording.status
    assert report.message
