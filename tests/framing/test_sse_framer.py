"""The framer: every byte comes out once, in order, whatever the cuts; and no frame is over the limit."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import FrameTooLarge
from penstock.framing.sse import SSEFramer, parse, payload

BOM = b"\xef\xbb\xbf"
# Everything that can go wrong in framing is made of these.
HAZARDS = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b":", b" ", b"data", b"data: x", b"id", b"\xef", b"\xbb", b"\xbf", BOM, b"x"]
    ),
    max_size=30,
).map(b"".join)


def framed(pieces: list[bytes], limit: int = 1 << 20) -> tuple[list[bytes], bytes]:
    framer = SSEFramer(limit)
    frames = [frame for piece in pieces for frame in framer.feed(piece)]
    return frames, framer.close()


@st.composite
def hazards_in_pieces(draw: st.DrawFn) -> list[bytes]:
    data = draw(HAZARDS)
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=8)))
    edges = [0, *places, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(hazards_in_pieces())
def test_the_frames_joined_are_the_bytes_without_one_byte_order_mark(pieces):
    frames, rest = framed(pieces)
    assert b"".join(frames) + rest == b"".join(pieces).removeprefix(BOM)


@given(hazards_in_pieces())
def test_cuts_decide_nothing_but_where_a_lone_line_feed_is(pieces):
    frames, rest = framed(pieces)
    whole, whole_rest = framed([b"".join(pieces)])
    assert [parse(frame) for frame in frames if frame != b"\n"] == [parse(frame) for frame in whole if frame != b"\n"]
    assert parse(rest) == parse(whole_rest)


@given(hazards_in_pieces())
def test_a_frame_has_a_blank_line_at_its_end_and_none_inside(pieces):
    frames, rest = framed(pieces)
    for frame in frames:
        lines = frame.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert lines.endswith(b"\n\n") or lines == b"\n"
        assert b"\n\n" not in lines[:-2].lstrip(b"\n")
    assert b"\n\n" not in rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n")[:-1].lstrip(b"\n")


@given(hazards_in_pieces(), st.integers(3, 12))
def test_no_frame_and_no_pending_block_is_over_the_limit(pieces, limit):
    framer = SSEFramer(limit)
    for piece in pieces:
        failed = False
        try:
            frames = framer.feed(piece)
        except FrameTooLarge as error:
            frames, failed = error.frames, True
        assert all(len(frame) <= limit for frame in frames)
        if failed:
            return
        assert framer.pending <= limit


@given(hazards_in_pieces(), st.integers(3, 12))
def test_what_came_whole_before_a_frame_that_is_too_large_is_not_lost_to_it(pieces, limit):
    def up_to_the_limit(pieces: list[bytes]) -> tuple[bytes, bool]:
        framer, seen = SSEFramer(limit), b""
        for piece in pieces:
            try:
                seen += b"".join(framer.feed(piece))
            except FrameTooLarge as error:
                return seen + b"".join(error.frames), True
        return seen, False

    # CR CR LF is one frame or two, as the cuts are.
    data = b"".join(pieces).replace(b"\r\r\n", b"")
    (one, one_failed), (other, other_failed) = (
        up_to_the_limit([data]),
        up_to_the_limit([data[i : i + 1] for i in range(len(data))]),
    )
    assert one_failed is other_failed
    assert one.rstrip(b"\n") == other.rstrip(b"\n")


def test_the_limit_counts_a_frame_with_its_blank_line():
    assert SSEFramer(9).feed(b"data: a\n\n") == [b"data: a\n\n"]
    with pytest.raises(FrameTooLarge):
        SSEFramer(8).feed(b"data: a\n\n")
    framer = SSEFramer(8)
    framer.feed(b"data: a\n")
    with pytest.raises(FrameTooLarge, match="over 8 bytes"):
        framer.feed(b"\n")


def test_frames_before_one_that_is_too_large_come_with_the_error():
    with pytest.raises(FrameTooLarge) as caught:
        SSEFramer(12).feed(b"data: a\n\ndata: b\n\ndata: far too long\n\n")
    assert caught.value.frames == [b"data: a\n\n", b"data: b\n\n"]


def test_a_crlf_is_never_cut_in_two():
    framer = SSEFramer()
    assert framer.feed(b"data: a\r\n\r") == []
    assert framer.feed(b"\ndata: b\r\n\r\n") == [b"data: a\r\n\r\n", b"data: b\r\n\r\n"]


def test_two_lone_carriage_returns_end_a_frame_at_once():
    framer = SSEFramer()
    assert framer.feed(b"data: a\r\r") == [b"data: a\r\r"]
    assert framer.feed(b"\ndata: b\r\r") == [b"\n", b"data: b\r\r"]


def test_a_byte_order_mark_is_dropped_once_and_only_at_the_start():
    assert framed([BOM + b"data: a\n\n" + BOM + b"b\n\n"])[0] == [b"data: a\n\n", BOM + b"b\n\n"]
    assert framed([b"\xef", b"\xbb", b"\xbf", b"data: a\n\n"])[0] == [b"data: a\n\n"]
    assert framed([b"\xef\xbbdata: a\n\n"])[0] == [b"\xef\xbbdata: a\n\n"]


def test_an_open_block_is_what_is_left():
    framer = SSEFramer()
    framer.feed(b"data: a\n\ndata: b")
    assert framer.pending == 7
    assert framer.close() == b"data: b"
    assert framer.close() == b""


def test_payload_is_only_for_the_usual_form():
    assert payload(b"data: {}\n\n") == b"{}"
    for unusual in (
        b"data:{}\n\n",
        b"data: a\ndata: b\n\n",
        b"data: {}\r\n\r\n",
        b"id: 1\ndata: a\n\n",
        b": x\n\n",
        b"\n",
    ):
        assert payload(unusual) is None


@given(HAZARDS)
def test_payload_agrees_with_parse_where_there_is_no_carriage_return(data):
    for frame in framed([data.replace(b"\r", b"\n")])[0]:
        short = payload(frame)
        assert short is None or short == parse(frame).data


def test_unknown_fields_are_kept_for_who_looks_for_them():
    assert parse(b"error: {}\nother\n\n").unknown == ((b"error", b"{}"), (b"other", b""))
