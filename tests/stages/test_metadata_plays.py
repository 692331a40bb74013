"""Metadata inside the answer, in virtual time, on the openai-chat wire."""

import hashlib
import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from words import Word

from penstock.framing.sse import SSEFramer, parse
from penstock.policy.metadata import Metadata
from penstock.stages.pipeline import StagesPlan
from penstock.testing.playbook import (
    ANY,
    BYTE_METER,
    DONE,
    Close,
    Head,
    Open,
    Play,
    Send,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
    chunk,
    finish,
    plan,
    role,
    usage,
    waiting,
)
from penstock.wire.metadata import blocks, payload

FINAL, LIVE = Metadata(mode="final"), Metadata(mode="live", every=3)
TAGS = (("policy", "eu-1"),)
SSE = ((b"content-type", b"text/event-stream"),)


def note(frame: bytes) -> dict[str, Any]:
    return json.loads(parse(frame).data or b"")["penstock"]


def sent(play: Play) -> list[bytes]:
    return SSEFramer().feed(play.body)


def test_chat_has_a_chunk_of_its_own_before_done_with_usage_and_target():
    play = waiting(plan(metadata=FINAL, tags=TAGS, include_usage=True))
    play.give(UpstreamBytes(0, role() + chunk("Hi"))).expect(Head(200, ANY), Send(role() + chunk("Hi")))
    play.give(UpstreamBytes(0, finish() + usage(9, 2) + DONE)).passing_over()
    *before, alone, done = sent(play)
    assert b"".join(before) == role() + chunk("Hi") + finish() + usage(9, 2)
    assert done == DONE
    said = json.loads(parse(alone).data or b"")
    assert said["choices"] == []
    assert said["object"] == "chat.completion.chunk"
    assert said["id"] == json.loads(parse(chunk("Hi")).data or b"")["id"]
    told = said["penstock"]
    assert told["final"] is True
    assert told["target"] == "p0/m"
    assert told["attempts"] == 1
    assert told["tags"] == {"policy": "eu-1"}
    assert told["usage"]["input"] == 9
    assert told["usage"]["output"] == 2
    assert told["frames"] == 4
    digest = hashlib.sha256(b"".join((parse(frame).data or b"") + b"\n" for frame in before))
    assert told["receipt"] == f"sha256:{digest.hexdigest()}"


def test_live_notes_come_with_every_third_frame_at_most():
    play = waiting(plan(metadata=LIVE))
    play.give(UpstreamBytes(0, role())).expect()
    for number in range(8):
        play.give(UpstreamBytes(0, chunk(f"w{number} "))).passing_over()
    play.give(UpstreamBytes(0, finish() + DONE)).passing_over()
    noted = [number for number, frame in enumerate(sent(play)) if b'"penstock"' in frame]
    assert noted == [3, 6, 9, 10]
    assert [note(sent(play)[number])["token_events"] for number in noted] == [3, 6, 8, 8]
    assert [note(sent(play)[number])["final"] for number in noted] == [False, False, False, True]


def test_after_a_failover_the_target_that_served_and_all_attempts_are_told():
    play = waiting(plan(metadata=FINAL))
    play.give(UpstreamEnded(0, False)).expect(Close(0), Open(1, 1))
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, chunk("Hi") + finish() + DONE))
    play.passing_over()
    told = note(sent(play)[-2])
    assert (told["target"], told["attempts"]) == ("p1/m", 2)


def test_redactions_are_told_and_the_note_itself_is_not_redacted():
    tags = (("policy", "SECRET"),)
    play = waiting(plan(metadata=FINAL, stages=StagesPlan(stages=(Word(),)), tags=tags))
    play.give(UpstreamBytes(0, chunk("a SEC") + chunk("RET b") + finish() + DONE)).passing_over()
    told = note(sent(play)[-2])
    assert told["redactions"] == {"word": 1}
    assert told["tags"] == {"policy": "SECRET"}


def test_a_stopped_answer_has_its_note_too():
    play = waiting(plan(metadata=FINAL)).give(UpstreamBytes(0, chunk("Hi"))).passing_over()
    play.give(Stop()).passing_over()
    assert note(sent(play)[-2])["final"] is True
    assert sent(play)[-1] == DONE


def test_what_was_counted_is_told_as_counted():
    made = plan(metadata=FINAL, meter=BYTE_METER)
    play = waiting(msgspec.structs.replace(made, prompt=lambda: 7)).give(UpstreamBytes(0, chunk("Hi"))).passing_over()
    play.give(Stop()).passing_over()
    told = note(sent(play)[-2])
    assert (told["usage"]["input"], told["usage"]["output"], told["counted"]) == (7, 2, True)


def test_an_answer_without_the_end_marker_has_its_note_at_its_end():
    play = waiting(plan(metadata=FINAL)).give(UpstreamBytes(0, chunk("Hi") + finish())).passing_over()
    play.give(UpstreamEnded(0, True)).passing_over()
    assert note(sent(play)[-1])["final"] is True


def test_a_failed_answer_has_none():
    play = waiting(plan(metadata=FINAL)).give(UpstreamBytes(0, chunk("Hi"))).passing_over()
    play.give(UpstreamEnded(0, False)).passing_over()
    assert b'"penstock"' not in play.body


OBJECTS = st.sampled_from([b"{}", b'{"a":"}],[{"}', b'{ "b": [1, {"c": 2}] }'])
EVENTS = st.sampled_from([b"data: {}\n\n", b": ka\n\n", b"event: ping\ndata: {}\n\n", b"data: {}\r\n\r\n", b"\r\n"])


@given(st.lists(OBJECTS, min_size=1, max_size=5), st.booleans())
def test_elements_of_an_array_are_told_apart_and_joined_they_are_the_array(objects, begun):
    data = (b",\r\n" if begun else b"[") + b",\r\n".join(objects) + b"\r\n]"
    parts = list(blocks(data))
    assert b"".join(parts) == data
    assert [payload(part) for part in parts] == objects


@given(st.lists(EVENTS))
def test_events_are_told_apart_and_joined_they_are_the_stream(frames):
    data = b"".join(frames)
    parts = list(blocks(data))
    assert b"".join(parts) == data
    said = [payload(part) for part in parts]
    assert len([one for one in said if one is not None]) == sum(b"ping" not in one and b"data" in one for one in frames)
