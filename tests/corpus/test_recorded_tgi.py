"""Every recorded stream of text-generation-inference through the pure machine: whole, byte by byte, and cut at random
places; and recorded errors."""

from __future__ import annotations

import json

import pytest

from penstock.framing.sse import SSEFramer, parse
from penstock.outcome import Outcome
from penstock.testing.corpus import MISSING, recordings
from penstock.testing.messages import plan
from penstock.testing.run import run, script
from penstock.testing.wire_cases import chat_chunks, chat_says, read, text_of, usage_of, ways
from penstock.usage import Usage
from penstock.wire.tgi import TGIUpstream

RECORDINGS = recordings(
    lambda recording: (
        recording.kind == "stream" and recording.wire == "huggingface-tgi" and recording.api in ("tgi", "unknown")
    )
)
ERRORS = recordings(lambda recording: recording.kind != "stream" and recording.provider == "huggingface")

pytestmark = pytest.mark.skipif(not RECORDINGS, reason=MISSING)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)
def test_a_recording_ends_as_it_did(recording):
    data = recording.read()
    handed_on, events, _ = read("tgi", [data])
    assert handed_on == data
    bodies = [json.loads(parse(frame).data) for frame in SSEFramer().feed(data + b"\n\n") if frame.strip()]
    for pieces in ways(recording.file, data):
        transcript = run(plan(client="openai-chat", upstream="tgi"), [script(*pieces, gap=0.0)])
        if recording.has_error:
            assert transcript.outcome is Outcome.UPSTREAM_ERROR
            assert json.loads(transcript.body)["error"]["message"] == bodies[-1]["error"]
            assert json.loads(transcript.body)["error"]["code"] == bodies[-1]["error_type"]
        else:
            assert transcript.outcome is Outcome.COMPLETED
            assert chat_says(chat_chunks(transcript.body)) == (text_of(events), "", [])
    plain = "".join(body["token"]["text"] for body in bodies if "token" in body and not body["token"]["special"])
    assert text_of(events) == plain
    details = bodies[-1].get("details") or {}
    assert usage_of(events) == Usage(details.get("input_length"), details.get("generated_tokens"))


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)
def test_a_cut_recording_is_never_a_success(recording):
    frames = SSEFramer().feed(recording.read())
    transcript = run(plan(client="openai-chat", upstream="tgi"), [script(b"".join(frames[:-1]))])
    assert transcript.outcome in (Outcome.UPSTREAM_CUT, Outcome.EMPTY)


@pytest.mark.parametrize("recording", ERRORS, ids=lambda recording: recording.file)
def test_a_recorded_error_is_read(recording):
    report = TGIUpstream().error(recording.read())
    if recording.file.endswith(".txt"):
        assert report is None
    else:
        assert report is not None and report.message
