"""Lines of JSON: frames joined are the bytes, whatever the pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import FrameTooLarge
from penstock.framing.ndjson import NDJSONFramer, undressed

BYTES = st.lists(
    st.sampled_from([b"{}", b"\n", b"\r", b"\n\n", b"\xe2\x80\xa8", b"\xc2\x85", b" ", b'{"a":"\xf0\x9f'])
).map(b"".join)


def feed(framer, data, size, frames):
    for i in range(0, len(data), size):
        frames += framer.feed(data[i : i + size])


def fed(framer, data, size):
    frames = []
    feed(framer, data, size, frames)
    return frames


@given(BYTES, st.integers(1, 9))
def test_frames_and_rest_are_the_bytes_for_any_pieces(data, size):
    framer, whole = NDJSONFramer(), NDJSONFramer()
    frames = fed(framer, data, size)
    assert frames == whole.feed(data)
    assert all(frame.endswith(b"\n") and frame.count(b"\n") == 1 for frame in frames)
    assert framer.pending == whole.pending == len(data) - len(b"".join(frames))
    assert b"".join(frames) + framer.close() == data
    assert framer.pending == 0 and framer.close() == b""


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_byte_order_mark_is_dropped_once(size):
    framer = NDJSONFramer()
    assert fed(framer, b"\xef\xbb\xbf{}\n\xef\xbb\xbf{}\n", size) == [b"{}\n", b"\xef\xbb\xbf{}\n"]


def test_half_a_byte_order_mark_is_data():
    framer = NDJSONFramer()
    assert framer.feed(b"\xef\xbb") == [] and framer.pending == 2
    assert framer.feed(b"x\n") == [b"\xef\xbbx\n"]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_line_over_the_limit_is_an_error_and_those_before_it_are_not_lost(size):
    frames = []
    with pytest.raises(FrameTooLarge) as raised:
        feed(NDJSONFramer(5), b"{}\n{}\n123456\n", size, frames)
    assert frames + raised.value.frames == [b"{}\n", b"{}\n"]
    assert NDJSONFramer(5).feed(b"1234\n") == [b"1234\n"]


def test_a_line_that_never_ends_is_bounded():
    framer = NDJSONFramer(1000)
    with pytest.raises(FrameTooLarge):
        feed(framer, b"x" * 1001, 1, [])
    assert framer.pending <= 1001


def test_the_dress_of_an_event_stream_is_taken_off():
    assert undressed(b'data: {"a":1}\r\n') == b'{"a":1}'
    assert undressed(b'data:{"a":1}\n') == b'{"a":1}'
    for line in (b": hi\n", b"event: x\n", b"id: 1\n", b"retry: 5\n"):
        assert undressed(line) == b""
    for line in (b'{"data": 1}\n', b"\n", b"datum: 1\n"):
        assert undressed(line) is None
