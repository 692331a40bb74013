"""Metadata inside the answer, on every client wire: in its place, and no byte of anything else changed."""

import hashlib
import itertools
import json
from typing import Any

import pytest
from answers import WIRES, Wire
from hypothesis import given
from hypothesis import strategies as st
from test_leaks import TYPES
from words import Word

from penstock.framing.sse import SSEFramer, parse
from penstock.policy.metadata import Metadata
from penstock.stages.pipeline import StagesPlan
from penstock.stages.redact.policy import RedactPolicy
from penstock.testing.playbook import (
    ANY,
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
from penstock.testing.rig import MODEL, Rig
from penstock.testing.steps import hdr, raw
from penstock.wire.metadata import blocks, payload

EACH = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
FINAL, LIVE = Metadata(mode="final"), Metadata(mode="live", every=3)
TAGS = (("policy", "eu-1"),)
SSE = ((b"content-type", b"text/event-stream"),)


# -- plays ------------------------------------------------------------------------------------------------------------


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


def test_an_answer_without_the_end_marker_has_its_note_at_its_end():
    play = waiting(plan(metadata=FINAL)).give(UpstreamBytes(0, chunk("Hi") + finish())).passing_over()
    play.give(UpstreamEnded(0, True)).passing_over()
    assert note(sent(play)[-1])["final"] is True


def test_a_failed_answer_has_none():
    play = waiting(plan(metadata=FINAL)).give(UpstreamBytes(0, chunk("Hi"))).passing_over()
    play.give(UpstreamEnded(0, False)).passing_over()
    assert b'"penstock"' not in play.body


# -- every wire, over sockets -----------------------------------------------------------------------------------------


async def ask(rig: Rig, wire: Wire, frames: list[bytes], headers: dict[str, str], **options: Any) -> Any:
    array = wire.name == "gemini" and not wire.query
    kind = "application/json" if array else TYPES.get(wire.name, "text/event-stream")
    upstream = await rig.upstream([hdr(content_type=kind), *map(raw, frames)])
    stream = options.pop("stream", True)
    gateway = await rig.gateway(upstream, wire=wire.name, **options)
    path, body = wire.path, {**json.loads(wire.body), "model": MODEL, "stream": stream}
    if wire.name == "gemini":
        path = path if stream else path.replace("streamGenerateContent", "generateContent")
        path += f"?{wire.query}" if wire.query and stream else ""
        body = json.loads(wire.body)
    answer = await gateway.post(path, body, headers)
    return answer, await gateway.record()


def objects(wire: Wire, body: bytes) -> list[Any]:
    """The JSON of each frame, as bytes and as values; what the receipt is over."""
    if wire.name == "ollama-chat":
        return body.splitlines()
    if wire.name == "gemini" and not wire.query:
        return [json.dumps(one).encode() for one in json.loads(body)]
    datas = [parse(frame) for frame in SSEFramer().feed(body)]
    return [block.data for block in datas if block.data is not None and block.event != b"ping"]


def noted(said: list[bytes]) -> list[tuple[int, dict[str, Any]]]:
    found = [(place, json.loads(one)) for place, one in enumerate(said) if one.startswith(b"{")]
    return [(place, one["penstock"]) for place, one in found if "penstock" in one]


@EACH
async def test_the_last_note_stands_in_its_place_and_its_receipt_is_right(rig, wire):
    frames = wire.texts(["Hello", " wor", "ld"])
    answer, record = await ask(rig, wire, frames, {"x-penstock-metadata": "final"}, route_fields={"tags": TAGS})
    assert answer.status == 200
    assert record["outcome"] == "completed"
    assert record["tags"] == {"policy": "eu-1"}
    said = objects(wire, answer.body)
    [(place, told)] = noted(said)
    assert told["stream"] == record["stream"]
    assert (told["target"], told["attempts"], told["tags"]) == ("m1/model", 1, {"policy": "eu-1"})
    assert told["frames"] == place
    if wire.query or wire.name != "gemini":
        digest = hashlib.sha256(b"".join(one + b"\n" for one in said[:place])).hexdigest()
        assert told["receipt"] == f"sha256:{digest}"
    # Nothing else has changed.
    assert content(wire, answer.body) == content(wire, b"".join(frames))


def content(wire: Wire, body: bytes) -> dict[str, Any]:
    """What the client's fold makes of an answer, but for the note and for usage that was not asked for."""
    whole = wire.whole(body)
    return {name: value for name, value in whole.items() if name not in ("penstock", "usage")}


@EACH
async def test_live_notes_on_every_wire(rig, wire):
    frames = wire.texts([f"w{number} " for number in range(12)])
    fields = {"metadata": LIVE}
    answer, record = await ask(rig, wire, frames, {}, route_fields=fields)
    assert record["outcome"] == "completed"
    told = noted(objects(wire, answer.body))
    assert len(told) >= 4
    assert [one["final"] for _, one in told] == [False] * (len(told) - 1) + [True]
    counts = [one["token_events"] for _, one in told]
    assert counts == sorted(counts)
    assert counts[-1] == 12
    assert all(after - before >= 3 for (before, _), (after, one) in itertools.pairwise(told) if not one["final"])


@EACH
async def test_a_whole_answer_has_the_note_as_its_last_field(rig, wire):
    if wire.name == "gemini" and not wire.query:
        pytest.skip("the array is a form of streams")
    frames = wire.texts(["mail jane@exam", "ple.com now"])
    options: dict[str, Any] = {"stages": (RedactPolicy(detectors=("email",)),)}
    answer, _ = await ask(rig, wire, frames, {"x-penstock-metadata": "live"}, stream=False, **options)
    assert answer.status == 200
    whole = json.loads(answer.body)
    assert list(whole)[-1] == "penstock"
    told = whole["penstock"]
    assert told["final"] is True
    assert told["redactions"] == {"email": 1}
    plain = answer.body[: answer.body.rindex(b',"penstock":')] + b"}"
    assert told["receipt"] == f"sha256:{hashlib.sha256(plain).hexdigest()}"


@EACH
async def test_who_has_not_asked_gets_the_very_bytes_of_the_provider(rig, wire):
    frames = wire.texts(["Hello", " world"])
    for headers, fields in (({}, {}), ({"x-penstock-metadata": "off"}, {"metadata": FINAL})):
        answer, _ = await ask(rig, wire, frames, headers, route_fields=fields)
        assert b"penstock" not in answer.body
        if wire.name not in ("openai-chat", "cohere-chat"):
            assert answer.body == b"".join(frames)


async def test_an_unknown_word_is_refused(rig):
    upstream = await rig.upstream()
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(headers={"x-penstock-metadata": "loud"})
    assert answer.status == 400
    assert b"x-penstock-metadata is 'loud'; allowed: off or final or live" in answer.body


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
