"""Every recorded ollama-chat stream through the pure machine: whole, byte by byte, and cut at random places; told in
openai-chat and written anew; and recorded errors."""

from __future__ import annotations

import json

import pytest

from penstock.events import UsageReport
from penstock.outcome import Outcome
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
from penstock.wire.ollama_chat_wire import OllamaUpstream
from penstock.wire.ollama_chat_writer import OllamaWriter

RECORDINGS = recordings(lambda recording: recording.kind == "stream" and recording.api == "ollama")
CHATS = [recording for recording in RECORDINGS if b'"response"' not in recording.read()[:400]]
"""The others are of ``/api/generate``, which no client asks for."""
ERRORS = recordings(lambda recording: recording.kind != "stream" and recording.provider == "ollama")

pytestmark = pytest.mark.skipif(not RECORDINGS, reason=MISSING)
by_name = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)


def played(pieces, client="ollama-chat", **policies):
    return run(plan(client=client, upstream="ollama-chat", **policies), [script(*pieces, gap=0.0)])


@by_name
def test_a_recording_ends_as_it_did_and_arrives_as_it_was(recording):
    data = recording.read()
    whole, cut_at_random, crumbled = [played(pieces) for pieces in ways(recording.file, data)]
    assert recording.ends_with == "done" and whole.outcome is Outcome.COMPLETED
    assert whole.body == data
    assert whole.account.warnings == []
    assert (whole.account.usage is not None) is recording.has_usage
    for other in (cut_at_random, crumbled):
        assert (other.outcome, other.head, other.body) == (whole.outcome, whole.head, whole.body)
        assert lanes(other) == lanes(whole)
    check_laws(whole, replay=False)


@by_name
def test_its_usage_is_what_its_last_line_says(recording):
    last = json.loads(recording.read().strip().split(b"\n")[-1])
    _, events, _ = read("ollama-chat", [recording.read()])
    usage = usage_of(events)
    assert (usage.input, usage.output) == (last.get("prompt_eval_count"), last.get("eval_count"))
    assert sum(isinstance(event, UsageReport) for event in events) <= 1


@by_name
def test_a_cut_recording_is_never_a_success(recording):
    data = recording.read().strip()
    transcript = played([data[: data.rindex(b"\n") + 1]])
    assert transcript.outcome is Outcome.UPSTREAM_CUT
    assert lines(transcript.body)[-1]["code"] == "upstream_cut"


@by_name
def test_a_chat_client_reads_the_same(recording):
    data = recording.read()
    transcript = played([data], client="openai-chat")
    assert transcript.outcome is Outcome.COMPLETED
    _, events, _ = read("ollama-chat", [data])
    assert chat_says(chat_chunks(transcript.body)) == (text_of(events), thought_of(events), calls_of(events))


@by_name
def test_written_anew_it_is_legal_and_says_the_same(recording):
    _, events, _ = read("ollama-chat", [recording.read()])
    writer = OllamaWriter("m", "st_1")
    out = b"".join(writer.write((event,)) for event in events) + writer.end()
    found = lines(out)
    assert [value["done"] for value in found] == [False] * (len(found) - 1) + [True]
    _, again, _ = read("ollama-chat", [out])
    for part in (text_of, thought_of, usage_of):
        assert part(again) == part(events)
    # The arguments are objects here: their blanks may be others.
    for (name, arguments), (known, before) in zip(calls_of(again), calls_of(events), strict=True):
        assert (name, json.loads(arguments)) == (known, json.loads(before))


@pytest.mark.parametrize("recording", CHATS, ids=lambda recording: recording.file)
def test_the_folded_answer_says_the_same(recording):
    data = recording.read()
    answer = json.loads(played([data], stream=False).body)
    _, events, _ = read("ollama-chat", [data])
    last = json.loads(data.strip().split(b"\n")[-1])
    assert answer["message"]["content"] == text_of(events)
    assert answer["message"].get("thinking", "") == thought_of(events)
    calls = [
        (call["function"]["name"], call["function"]["arguments"]) for call in answer["message"].get("tool_calls", ())
    ]
    assert calls == [(name, json.loads(arguments)) for name, arguments in calls_of(events)]
    assert {**last, "message": None} == {**answer, "message": None}


@pytest.mark.parametrize("recording", ERRORS, ids=lambda recording: recording.file)
def test_a_recorded_error_is_read(recording):
    said = json.loads(recording.read())["error"]
    report = OllamaUpstream().error(recording.read())
    assert report is not None and report.message == (said if isinstance(said, str) else said["message"])
