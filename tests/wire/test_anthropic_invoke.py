"""Bedrock's InvokeModelWithResponseStream chunks as Anthropic's server-sent events."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events import Text
from penstock.framing.sse import parse
from penstock.testing.messages import STOP, answer, read, text
from penstock.wire.anthropic_invoke import chunk_event, sse_frame
from penstock.wire.anthropic_messages import MessagesDecoder


def test_a_stream_put_back_into_frames_is_the_stream():
    events = [frame.split(b"\ndata: ")[1] for frame in answer("Hel", "lo").split(b"\n\n")[:-1]]
    padded = [json.dumps({"bytes": base64.b64encode(event).decode(), "p": "abc"}).encode() for event in events]
    assert b"".join(sse_frame(chunk_event(payload)) for payload in padded) == answer("Hel", "lo")


def test_the_metrics_are_kept():
    event = b'{"type":"message_stop","amazon-bedrock-invocationMetrics":{"outputTokenCount":2}}'
    frame = sse_frame(event)
    assert frame == b"event: message_stop\ndata: " + event + b"\n\n"
    assert MessagesDecoder().decode(frame)[0] == frame


def test_a_frame_takes_the_quick_way():
    data = text("a").split(b"data: ")[1][:-2]
    assert sse_frame(data) == text("a")
    assert MessagesDecoder().decode(sse_frame(data)) == (text("a"), (Text("a"),))


def test_line_ends_between_tokens_become_blanks():
    event = json.dumps({"type": "message_stop", "x": "a\nb"}, indent=1).replace("\n", "\r\n").encode()
    frame = sse_frame(event)
    assert frame.count(b"\n") == 3 and json.loads(parse(frame).data) == {"type": "message_stop", "x": "a\nb"}
    read(answer("a")[: -len(STOP)] + sse_frame(b'{\n"type":"message_stop"}'))


@pytest.mark.parametrize(
    "event", [b"", b"{", b"[]", b"{}", b'{"type":1}', b'{"type":""}', b'{"type":"a\\nb"}', b"\xff"]
)
def test_what_is_no_event(event):
    with pytest.raises(ValueError):
        sse_frame(event)


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"bytes":1}', b'{"bytes":"!"}', b'{"message":"x"}'])
def test_what_is_no_chunk(payload):
    with pytest.raises(ValueError):
        chunk_event(payload)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())))
def test_nothing_is_lost(fields):
    event = json.dumps({**fields, "type": "x"}, ensure_ascii=False).encode()
    assert parse(sse_frame(event)).data == event
