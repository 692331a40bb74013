"""The cursor of a stream: its data frames, counted 1, 2, 3… as a client of the wire counts them.

On the wires of server-sent events a data frame is one that an EventSource dispatches: it has a data field. Comments
have none and are not counted. On the others every line, and every element of the array, is one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from penstock.framing.jsonarray import JSONArrayFramer
from penstock.framing.ndjson import NDJSONFramer
from penstock.framing.sse import SSEFramer

EVENTS, LINES, ARRAY, WHOLE = "events", "lines", "array", "whole"
"""Forms of an answer: server-sent events, lines of JSON, one JSON array, one JSON document."""
_DATA = re.compile(rb"(?:\A|[\r\n])data(?:[:\r\n]|\Z)")
_FIELD = re.compile(rb"[\r\n][^:\r\n]")
_UNBOUNDED = 1 << 62
"""Frames were bounded where they came from."""


def form_of(content_type: bytes) -> str:
    """The form of a streamed answer."""
    if content_type.startswith(b"text/event-stream"):
        return EVENTS
    return LINES if content_type.startswith(b"application/x-ndjson") else ARRAY


def named(frame: bytes, stream: str, number: int) -> bytes:
    """The event with a line ``id: <stream>.<number>``; last in its block, so that no other ``id`` is over it."""
    block = frame.rstrip(b"\r\n")
    ends = frame[len(block) :]
    end = b"\r\n" if b"\r\n" in ends else ends[-1:] or b"\n"
    return b"%b%bid: %b.%d%b%b" % (block, end, stream.encode(), number, end, end)


def event(frame: bytes, form: str) -> bytes:
    """A frame of any form as a server-sent event; empty for the bracket that ends an array."""
    if form == EVENTS:
        return frame
    if form == ARRAY:
        # An element is an object: it begins and ends with neither.
        frame = frame.strip(b"[], \r\n\t")
    lines = frame.strip().splitlines()
    return b"".join(b"data: %b\n" % line for line in lines) + b"\n" if lines else b""


def cursor(text: str) -> tuple[str, int] | None:
    """Stream and number of ``<stream>.<number>``; None for anything else."""
    stream, dot, number = text.strip().rpartition(".")
    if not dot or not stream or not re.fullmatch(r"\d{1,12}", number, re.ASCII):
        return None
    return stream, int(number)


def counts(frame: bytes) -> bool:
    """Has the event data?"""
    return frame[:5] == b"data:" or _DATA.search(frame) is not None


class Frames:
    """Splits what a client is sent into its data frames."""

    __slots__ = ("_events", "_framer", "_plain")

    def __init__(self, content_type: bytes):
        form = form_of(content_type)
        self._events = form == EVENTS
        self._framer: SSEFramer | NDJSONFramer | JSONArrayFramer
        if self._events:
            self._framer = SSEFramer(_UNBOUNDED)
        else:
            self._framer = NDJSONFramer(_UNBOUNDED) if form == LINES else JSONArrayFramer(_UNBOUNDED)
        self._plain = False
        """Server-sent events, and no block is open."""

    def take(self, data: bytes) -> list[bytes]:
        """The data frames that ``data`` completes."""
        if self._plain and data[:5] == b"data:" and data.find(b"\n\n") == len(data) - 2 and b"\r" not in data:
            # Nearly every piece is one event: data, and one blank line, at the end.
            return [data]
        self._plain = self._events and data[-2:] == b"\n\n"
        frames = self._framer.feed(data)
        return [frame for frame in frames if counts(frame)] if self._events else frames

    def take_all(self, pieces: Sequence[bytes]) -> list[bytes]:
        """The data frames that all of ``pieces`` complete."""
        data = b"".join(pieces)
        if self._plain and data[:5] == b"data:" and b"\r" not in data:
            *events, rest = data.split(b"\n\n")
            if not rest and len(events) == data.count(b"\n\ndata:") + 1:
                # Nearly always: events of data alone, whole.
                return [event + b"\n\n" for event in events]
        return self.take(data)

    def rest(self) -> list[bytes]:
        """What is left at the end: a last block without its blank line."""
        left = self._framer.close()
        return [left] if left and (counts(left) or not self._events) else []


class Numbers:
    """Gives the events that a client is sent their ``id`` lines."""

    __slots__ = ("_framer", "_last", "_stream")

    def __init__(self, stream: str):
        self._framer = SSEFramer(_UNBOUNDED)
        self._stream = stream
        self._last = 0

    def take(self, data: bytes) -> bytes:
        """The events that ``data`` completes."""
        sent = []
        for frame in self._framer.feed(data):
            if counts(frame):
                self._last += 1
                frame = named(frame, self._stream, self._last)
            elif frame[:1] == b":" and not _FIELD.search(frame):
                # Without its blank line: beside ids some SDKs take that for an event without data.
                frame = frame.rstrip(b"\r\n") + b"\n"
            sent.append(frame)
        return b"".join(sent)

    def rest(self) -> bytes:
        """What is left at the end: a last block without its blank line."""
        left = self._framer.close()
        return named(left, self._stream, self._last + 1) if counts(left) else left
