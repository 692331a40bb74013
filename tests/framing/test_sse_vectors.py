"""The vectors of WHATWG's server-sent events, whole, byte by byte and cut at every pair of places."""

from __future__ import annotations

import itertools
import random

import pytest

from penstock.framing.sse import EventReader

M = "message"
VECTORS = {
    "two byte order marks: the first event is lost": (
        b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n",
        [(M, "b", "")],
    ),
    "one byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [(M, "a", "")]),
    "every line end": (b"data: a\r\rdata: b\r\n\r\ndata: c\n\n", [(M, "a", ""), (M, "b", ""), (M, "c", "")]),
    "line ends mixed": (b"data: a\n\r\ndata: b\r\n\ndata: c\r\r\n", [(M, "a", ""), (M, "b", ""), (M, "c", "")]),
    "empty data": (b"data:\n\n", [(M, "", "")]),
    "data without a colon, twice": (b"data\ndata\n\n", [(M, "\n", "")]),
    "one space is dropped, a tab is not": (b"data:  x\ndata:\ty\n\n", [(M, " x\n\ty", "")]),
    "a type without data": (b"event: x\n\ndata: y\n\n", [(M, "y", "")]),
    "an id without data": (b"id: 7\n\ndata: y\n\n", [(M, "y", "7")]),
    "an id is reset by an empty one": (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [(M, "a", "1"), (M, "b", "")]),
    "an id with a null is ignored": (b"id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\n", [(M, "a", "1"), (M, "b", "1")]),
    "comments": (b": hi\n\n:\n\ndata: a\n: mid\ndata: b\n\n", [(M, "a\nb", "")]),
    "names are compared to the letter": (b"Data: no\ndatab: no\n data: no\ndata: yes\n\n", [(M, "yes", "")]),
    "the last block is open": (b"data: a\n\nid: 9\ndata: b\n", [(M, "a", "")]),
    "characters that end no line": (
        "data: a\u2028b\u2029c\u0085d\ve\ff\n\n".encode(),
        [(M, "a\u2028b\u2029c\u0085d\ve\ff", "")],
    ),
    "the last type wins": (b"event: a\nevent: b\ndata: x\n\n", [("b", "x", "")]),
    "a type is for its own block": (b"event: a\ndata: x\n\ndata: y\n\n", [("a", "x", ""), (M, "y", "")]),
    "bytes that are no UTF-8": (b"data: \xff\n\n", [(M, "\ufffd", "")]),
    "a character in pieces": ("data: 東京 🎈\n\n".encode(), [(M, "東京 🎈", "")]),
    "nothing": (b"", []),
}


def read(pieces: list[bytes]) -> list[tuple[str, str, str]]:
    reader = EventReader()
    return [(m.type, m.data, m.last_event_id) for piece in pieces for m in reader.feed(piece)]


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_reads_the_same_however_it_is_cut(name):
    data, wanted = VECTORS[name]
    assert read([data]) == wanted
    assert read([data[i : i + 1] for i in range(len(data))]) == wanted
    for first in range(len(data)):
        for second in (first + 1, first + 2, len(data)):
            assert read([data[:first], data[first:second], data[second:]]) == wanted
    dice = random.Random(name)
    for _ in range(40):
        places = sorted(dice.choices(range(len(data) + 1), k=4))
        edges = [0, *places, len(data)]
        assert read([data[a:b] for a, b in itertools.pairwise(edges)]) == wanted


def test_the_reconnection_time_is_the_last_valid_one():
    reader = EventReader()
    reader.feed(b"retry: 300\n\nretry: 30x\n\nretry:\n\nretry: -1\n\n")
    assert reader.reconnection_time == 300


def test_an_id_moves_the_cursor_at_its_blank_line_and_not_before():
    reader = EventReader()
    reader.feed(b"data: a\n\nid: 9\ndata: b\n")
    assert reader.last_event_id == ""
    reader.feed(b"\n")
    assert reader.last_event_id == "9"


def test_a_block_is_dispatched_at_its_blank_line_without_waiting_for_more():
    for line_end in (b"\n", b"\r\n", b"\r"):
        assert read([b"data: now" + line_end * 2]) == [(M, "now", "")]
