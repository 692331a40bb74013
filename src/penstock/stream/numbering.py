"""The cursor of a stream: its data frames, counted 1, 2, 3… as a client of the wire counts them.

On the wires of server-sent events a data frame is one that an EventSource dispatches: it has a data field. Comments
have none and are not counted. On the others every line, and every element of the array, is one.
"""

from __future__ import annotations

import re

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


class Numbers:
    """Splits what one client is sent into its data frames. ``ids``: gives each its ``id`` line."""

    __slots__ = ("_events", "_framer", "_ids", "_stream", "last", "plain")

    def __init__(self, stream: str, content_type: bytes, *, ids: bool):
        form = form_of(content_type)
        self._events = form == EVENTS
        self._framer: SSEFramer | NDJSONFramer | JSONArrayFramer
        if self._events:
            self._framer = SSEFramer(_UNBOUNDED)
        else:
            self._framer = NDJSONFramer(_UNBOUNDED) if form == LINES else JSONArrayFramer(_UNBOUNDED)
        self._stream = stream
        self._ids = ids and self._events
        self.plain = False
        """Server-sent events without ids, and no block is open: a frame ``data: …\\n\\n`` need not be looked at."""
        self.last = 0
        """The cursor of the latest data frame."""

    def take(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The data frames that ``data`` completes, and the bytes to send for them."""
        frames = self._framer.feed(data)
        self.plain = self._events and not self._ids and data[-2:] == b"\n\n"
        if not self._events:
            self.last += len(frames)
            return frames, data
        counted = [frame for frame in frames if frame[:5] == b"data:" or _DATA.search(frame)]
        if not self._ids:
            self.last += len(counted)
            return counted, data
        sent = []
        for frame in frames:
            if frame[:5] == b"data:" or _DATA.search(frame):
                self.last += 1
                frame = named(frame, self._stream, self.last)
            elif frame[:1] == b":" and not _FIELD.search(frame):
                # Without its blank line: beside ids some SDKs take that for an event without data.
                frame = frame.rstrip(b"\r\n") + b"\n"
            sent.append(frame)
        return counted, b"".join(sent)

    def rest(self) -> tuple[list[bytes], bytes]:
        """The same for what is left at the end: a last block without its blank line. It was sent already, but where
        ids are to be put in."""
        left = self._framer.close()
        if not left or (self._events and not _DATA.search(left)):
            return [], left if self._ids else b""
        self.last += 1
        if not self._ids:
            return [left], b""
        return [left], named(left, self._stream, self.last)
