"""AWS's event stream: the vectors of botocore's reader, and what holds for every way of splitting."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import CorruptFrame, FrameTooLarge
from penstock.framing import eventstream
from penstock.framing.eventstream import EventStreamFramer, Header, Kind, encode, open_frame, read_headers

EVENT = bytes.fromhex(
    "0000009400000057b4ab9aee0b3a6576656e742d74797065070011636f6e74656e74426c6f636b44656c74610d3a636f6e74656e742d74797065"
    "0700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b22636f6e74656e74426c6f636b496e64"
    "6578223a302c2264656c7461223a7b2274657874223a224869227d7d1f944657"
)
EXCEPTION = bytes.fromhex(
    "0000008800000061de0175f40f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f6e0d3a636f6e74656e"
    "742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009657863657074696f6e7b226d65737361"
    "6765223a22736c6f7720646f776e227d832ee072"
)


def values(headers: eventstream.Headers) -> dict[str, object]:
    return {name: header.value for name, header in headers.items()}


def with_headers(headers: bytes, payload: bytes = b"") -> bytes:
    """A frame with right checksums around any headers."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def test_an_event() -> None:
    framer = EventStreamFramer()
    assert framer.feed(EVENT[:50]) == [] and framer.pending == 50
    assert framer.feed(EVENT[50:]) == [EVENT] and framer.pending == 0
    headers, payload = open_frame(EVENT)
    assert values(headers) == {
        ":event-type": "contentBlockDelta",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    assert payload == b'{"contentBlockIndex":0,"delta":{"text":"Hi"}}'
    assert encode(headers, payload) == EVENT


def test_an_exception() -> None:
    (frame,) = EventStreamFramer().feed(EXCEPTION)
    headers, payload = open_frame(frame)
    assert eventstream.text(headers, ":exception-type") == "throttlingException"
    assert eventstream.text(headers, ":event-type") is None
    assert payload == b'{"message":"slow down"}'


@pytest.mark.parametrize("place", range(len(EVENT)))
def test_every_flipped_bit_is_seen(place: int) -> None:
    spoiled = bytearray(EVENT)
    spoiled[place] ^= 1
    framer = EventStreamFramer()
    with pytest.raises(CorruptFrame) as caught:
        framer.feed(EXCEPTION + bytes(spoiled) + EVENT)
    assert caught.value.frames == [EXCEPTION]
    assert isinstance(caught.value, ValueError)


def test_every_prefix_is_pending() -> None:
    for length in range(len(EVENT)):
        framer = EventStreamFramer()
        assert framer.feed(EVENT[:length]) == []
        assert framer.pending == length and framer.close() == EVENT[:length] and framer.pending == 0


def prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


@pytest.mark.parametrize(
    ("total", "headers", "what"),
    [
        (15, 0, "contradict"),
        (16, 1, "contradict"),
        (2**32 - 1, 0, "payload is over"),
        (16 + eventstream.MAX_PAYLOAD + 1, 0, "payload is over"),
        (16 + eventstream.MAX_HEADERS + 1, eventstream.MAX_HEADERS + 1, "headers are over"),
    ],
)
def test_lengths_that_cannot_be(total: int, headers: int, what: str) -> None:
    with pytest.raises(CorruptFrame, match=what):
        EventStreamFramer().feed(prelude(total, headers))


def test_the_limits_themselves_are_allowed() -> None:
    frame = encode({}, bytes(eventstream.MAX_PAYLOAD))
    framer = EventStreamFramer()
    pieces = [frame[at : at + 65536] for at in range(0, len(frame), 65536)]
    assert [each for piece in pieces for each in framer.feed(piece)] == [frame]
    headers = {f"h{number}": Header(Kind.BYTES, bytes(65000)) for number in range(2)}
    assert EventStreamFramer().feed(encode(headers, b"")) == [encode(headers, b"")]
    with pytest.raises(ValueError):
        encode({}, bytes(eventstream.MAX_PAYLOAD + 1))


def test_a_frame_over_the_limit_is_refused_by_its_length() -> None:
    frame = encode({}, bytes(1000))
    with pytest.raises(FrameTooLarge) as caught:
        EventStreamFramer(limit=500).feed(EVENT + frame[:12])
    assert caught.value.frames == [EVENT]
    assert EventStreamFramer(limit=len(frame)).feed(frame) == [frame]


def test_a_name_that_comes_twice() -> None:
    headers = b"\x01a\x07\x00\x01x"
    with pytest.raises(ValueError, match="twice"):
        open_frame(with_headers(headers + headers))


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05ab",
        b"\x01a",
        b"\x01a\x07",
        b"\x01a\x07\x00",
        b"\x01a\x07\x00\x05ab",
        b"\x01a\x05\x00",
        b"\x01a\x09\x00",
        b"\x01a\x0a",
        b"\x01a\xff",
        b"\x01\xff\x00",
        b"\x01a\x07\x00\x01\xff",
    ],
)
def test_headers_that_cannot_be_read(headers: bytes) -> None:
    (frame,) = EventStreamFramer().feed(with_headers(headers))
    with pytest.raises(ValueError):
        open_frame(frame)


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


HEADERS = st.dictionaries(
    st.text(min_size=1, max_size=20).filter(lambda name: len(name.encode()) < 256),
    st.one_of(
        st.just(Header(Kind.TRUE, True)),
        st.just(Header(Kind.FALSE, False)),
        st.builds(Header, st.just(Kind.BYTE), integers(8)),
        st.builds(Header, st.just(Kind.SHORT), integers(16)),
        st.builds(Header, st.just(Kind.INTEGER), integers(32)),
        st.builds(Header, st.just(Kind.LONG), integers(64)),
        st.builds(Header, st.just(Kind.BYTES), st.binary(max_size=300)),
        st.builds(Header, st.just(Kind.STRING), st.text(max_size=300)),
        st.builds(Header, st.just(Kind.TIMESTAMP), integers(64)),
        st.builds(Header, st.just(Kind.UUID), st.binary(min_size=16, max_size=16)),
    ),
    max_size=12,
)


@given(HEADERS, st.binary(max_size=200))
def test_all_ten_types_come_back(headers: dict[str, Header], payload: bytes) -> None:
    frame = encode(headers, payload)
    assert EventStreamFramer().feed(frame) == [frame]
    read, rest = open_frame(frame)
    assert dict(read) == headers and list(read) == list(headers) and rest == payload


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=200)), max_size=5), st.data())
def test_the_split_changes_nothing(messages: list[tuple[dict[str, Header], bytes]], data: st.DataObject) -> None:
    frames = [encode(headers, payload) for headers, payload in messages]
    stream = b"".join(frames) + EVENT[: data.draw(st.integers(0, len(EVENT) - 1))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = EventStreamFramer()
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    got = [frame for piece in pieces for frame in framer.feed(piece)]
    assert got == frames
    assert b"".join(got) + framer.close() == stream


@given(st.binary(max_size=300))
def test_noise_is_refused_or_waited_for(noise: bytes) -> None:
    framer = EventStreamFramer()
    try:
        frames = framer.feed(noise)
    except CorruptFrame:
        return
    assert b"".join(frames) + framer.close() == noise


@given(st.binary(max_size=120))
def test_noise_in_headers(noise: bytes) -> None:
    try:
        headers = read_headers(noise)
    except ValueError:
        return
    assert read_headers(b"".join(eventstream._header(*each) for each in headers.items())) == headers


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a", Header(Kind.BYTE, 128)),
        ("a", Header(Kind.UUID, b"short")),
        ("a", Header(Kind.STRING, "x" * 65536)),
        ("a", Header(Kind.BYTES, 7)),
        ("a" * 256, Header(Kind.TRUE, True)),
    ],
)
def test_what_no_header_can_hold(name: str, header: Header) -> None:
    with pytest.raises(ValueError):
        encode({name: header}, b"")


def test_botocore_reads_what_is_written() -> None:
    reader = pytest.importorskip("botocore.eventstream")
    buffer = reader.EventStreamBuffer()
    headers = {
        "true": Header(Kind.TRUE, True),
        "false": Header(Kind.FALSE, False),
        "byte": Header(Kind.BYTE, -1),
        "short": Header(Kind.SHORT, -2),
        "int": Header(Kind.INTEGER, -3),
        "long": Header(Kind.LONG, -4),
        "bytes": Header(Kind.BYTES, b"b"),
        "string": Header(Kind.STRING, "é"),
        "time": Header(Kind.TIMESTAMP, 1_700_000_000_000),
        "uuid": Header(Kind.UUID, bytes(range(16))),
    }
    buffer.add_data(encode(headers, b"payload") + EVENT)
    first, second = buffer
    assert first.headers == values(headers) and first.payload == b"payload"
    assert second.payload == open_frame(EVENT)[1]
