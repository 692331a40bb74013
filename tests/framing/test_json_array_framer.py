"""The scanner of JSON arrays: frames joined are the bytes, and no way of cutting changes them."""

from __future__ import annotations

import itertools
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import FrameTooLarge
from penstock.framing.jsonarray import JSONArrayFramer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('"\\{}[],\n ü😀a'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('"\\{}[]a', max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text('"\\{}[]a', max_size=3), JSON, max_size=3), max_size=4)


def framed(data: bytes, *edges: int) -> tuple[list[bytes], bytes, bool]:
    framer = JSONArrayFramer()
    cuts = [0, *sorted(edge % (len(data) + 1) for edge in edges), len(data)]
    frames = [frame for a, b in itertools.pairwise(cuts) for frame in framer.feed(data[a:b])]
    return frames, framer.close(), framer.closed


@given(OBJECTS, st.sampled_from([None, 1, 2]), st.sampled_from([b"", b"\r\n", b"  \n"]), st.lists(st.integers(0)))
def test_one_frame_for_each_element_and_one_for_the_end(objects, indent, before, edges):
    inner = (before + b",\r\n").join(json.dumps(value, indent=indent, ensure_ascii=False).encode() for value in objects)
    data = b"[" + inner + before + b"]"
    frames, rest, closed = framed(data, *edges)
    assert closed
    assert b"".join(frames) == data and rest == b""
    assert len(frames) == len(objects) + 1
    for frame, value in zip(frames, objects, strict=False):
        assert json.loads(frame.strip().lstrip(b"[,")) == value
    assert frames == framed(data)[0]
    assert frames == framed(data, *range(len(data)))[0]


@given(OBJECTS, st.integers(0), st.lists(st.integers(0), max_size=5))
def test_a_cut_array_is_not_closed(objects, end, edges):
    data = json.dumps(objects, ensure_ascii=False).encode()
    data = data[: end % len(data)]
    frames, rest, closed = framed(data, *edges)
    assert not closed
    assert b"".join(frames) + rest == data


CUTS = {
    "inside a number": (b'[{"a":12', b'34},{"b":1}]'),
    "inside a string": (b'[{"a":"x', b'y]}"},{"b":1}]'),
    "behind a backslash": (b'[{"a":"x\\', b'"]}"},{"b":1}]'),
    "between two backslashes": (b'[{"a":"x\\', b'\\"},{"b":1}]'),
    "inside a unicode escape": (b'[{"a":"\\u00', b'e9"},{"b":1}]'),
    "inside a character": ('[{"a":"ü'.encode()[:-1], 'ü"},{"b":1}]'.encode()[1:]),
    "before the comma": (b'[{"a":1}', b',\r\n{"b":1}]'),
    "inside the line end": (b'[{"a":1},\r', b'\n{"b":1}]'),
    "before the bracket": (b'[{"a":1},{"b":1}', b"\n]"),
}


@pytest.mark.parametrize("pieces", CUTS.values(), ids=CUTS)
def test_a_piece_may_end_anywhere(pieces):
    framer = JSONArrayFramer()
    frames = [frame for piece in pieces for frame in framer.feed(piece)]
    assert b"".join(frames) == b"".join(pieces)
    assert len(frames) == 3 and framer.closed and framer.pending == 0


def test_an_element_goes_on_at_once():
    framer = JSONArrayFramer()
    assert framer.feed(b'[{"a":1}') == [b'[{"a":1}']
    assert framer.feed(b",\r\n") == []
    assert framer.pending == 3
    assert framer.feed(b'{"b":1}') == [b',\r\n{"b":1}']


def test_what_follows_the_array_is_the_rest():
    assert framed(b'[{"a":1}]\n{"error":{}}') == ([b'[{"a":1}', b"]"], b'\n{"error":{}}', True)
    assert framed(b"[]\r\n") == ([b"[]"], b"\r\n", True)


def test_other_elements_go_with_the_frame_behind_them():
    assert framed(b'[1, "x", {"a":1}, null]')[0] == [b'[1, "x", {"a":1}', b", null]"]


def test_a_byte_order_mark_is_dropped():
    assert framed(b"\xef\xbb\xbf[{}]", 1, 2)[0] == [b"[{}", b"]"]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_element_over_the_limit_is_an_error(size):
    framer = JSONArrayFramer(20)
    data = b'[{"a":1},{"b":"' + b"x" * 40 + b'"}]'

    def feed_all() -> None:
        for place in range(0, len(data), size):
            framer.feed(data[place : place + size])

    with pytest.raises(FrameTooLarge) as caught:
        feed_all()
    assert caught.value.limit == 20
    assert caught.value.frames in ([], [b'[{"a":1}'])


def test_a_long_string_is_read_once():
    """A string of 8 MB in small pieces: looking at it anew for each piece would take minutes."""
    framer = JSONArrayFramer()
    began = time.perf_counter()
    framer.feed(b'[{"a":"')
    for _ in range(8000):
        assert framer.feed(b"x" * 1000) == []
    assert len(framer.feed(b'"}]')) == 2
    assert time.perf_counter() - began < 5
