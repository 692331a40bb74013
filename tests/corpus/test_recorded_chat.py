"""Every recorded openai-chat stream through the pure machine: whole, byte by byte, and cut at random places."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator

import pytest

from penstock.framing import sse
from penstock.outcome import Outcome
from penstock.stream.inputs import UpstreamBytes, UpstreamEnded, UpstreamHead, UpstreamOpened
from penstock.testing.corpus import MISSING, Recording, is_openai_chat, recordings
from penstock.testing.laws import check_laws, error_frames, lanes
from penstock.testing.playbook import SSE, plan
from penstock.testing.transcript import Transcript

RECORDINGS = recordings(is_openai_chat)
OUTCOMES = {
    "done": Outcome.COMPLETED,
    "stop": Outcome.COMPLETED,
    "error": Outcome.UPSTREAM_ERROR,
    "truncated": Outcome.UPSTREAM_CUT,
}
BYTE_BY_BYTE = 60_000
"""Longer recordings are cut at a thousand places instead."""

pytestmark = pytest.mark.skipif(not RECORDINGS, reason=MISSING)


def cut(data: bytes, places: int, seed: str) -> list[bytes]:
    edges = [0, *sorted(random.Random(seed).sample(range(1, len(data)), min(places, len(data) - 1))), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def ways(recording: Recording, data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    yield cut(data, 30, recording.file)
    yield [data[i : i + 1] for i in range(len(data))] if len(data) < BYTE_BY_BYTE else cut(data, 1000, recording.file)


def played(pieces: list[bytes]) -> Transcript:
    transcript = Transcript(plan(include_usage=True, targets=1))
    transcript.start(0.0)
    for happened in (UpstreamOpened(0), UpstreamHead(0, 200, SSE)):
        transcript.give(happened, 0.0)
    for piece in pieces:
        transcript.give(UpstreamBytes(0, piece), 0.0)
    transcript.give(UpstreamEnded(0, clean=True), 0.0)
    return transcript


def frames_before_the_error(data: bytes) -> bytes:
    """Read with plain means: the frames up to the first that has an error in its JSON, or in a field of that name."""
    kept = b""
    for frame in sse.SSEFramer().feed(data):
        payload = sse.parse(frame).data or b"{}"
        if frame.startswith(b"error: {") or (payload.startswith(b"{") and json.loads(payload).get("error")):
            return kept
        kept += frame
    return kept


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)
def test_a_recording_ends_as_it_did_and_arrives_as_it_was(recording):
    data = recording.read()
    whole, cut_at_random, crumbled = [played(pieces) for pieces in ways(recording, data)]
    assert whole.outcome is OUTCOMES["error" if recording.has_error else recording.ends_with]
    if whole.outcome is Outcome.COMPLETED:
        assert whole.body == data
        assert whole.account.usage is not None or not recording.has_usage
    elif whole.head is not None and whole.head.status == 200:
        (told,) = error_frames(whole)
        kept = frames_before_the_error(data)
        assert whole.body.startswith(kept)
        half_a_frame = whole.plan.client.skipped() if whole.account.malformed else b""
        added = whole.body.removeprefix(kept).removeprefix(half_a_frame)
        assert json.loads(added.removeprefix(b"data: ")) == {"error": told}
    else:
        assert json.loads(whole.body)["error"]["message"]
    for other in (cut_at_random, crumbled):
        assert (other.outcome, other.head, other.body) == (whole.outcome, whole.head, whole.body)
        assert lanes(other) == lanes(whole)
    check_laws(whole, replay=False)
    check_laws(cut_at_random, replay=False)


def test_the_recordings_hold_every_kind_of_ending():
    endings = {OUTCOMES["error" if recording.has_error else recording.ends_with] for recording in RECORDINGS}
    assert endings == set(OUTCOMES.values())
