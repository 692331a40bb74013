"""Frames that wait for a client who reads slowly, with adjacent deltas of one text made one.

Two frames are merged where they are the same bytes but for the text, a number, an instant, a padding: those of the
later one stay. The texts are joined as they are written, so that what a client reads is the same to the byte. Nothing
is merged over a frame of another kind, a comment included.
"""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

from penstock.framing import sse
from penstock.wire import json
from penstock.wire.deltas import FIELDS
from penstock.wire.metadata import blocks

MOST = 16 * 1024
"""Bytes of a text that are merged into one frame: clients that read by the line have buffers for one."""
_LITERAL = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\.)*"')
_OPEN = re.compile(
    rb'(?<="sequence_number":)[0-9]+'
    rb'|(?<="created_at":")[0-9A-Za-z:.+-]+'
    rb'|(?<="createTime":")[0-9A-Za-z:.+-]+'
    rb"|(?<=TokenCount\":)[0-9]+|(?<=TokenCount\": )[0-9]+"
    rb'|(?<="obfuscation":")[0-9A-Za-z]*(?=")'
    rb"|(?<=\nid: )[^\r\n]+"
    rb"|(?<=\}) +(?=\})"
)
"""What may be another in each of two frames that are merged: the later one's is as true of both."""
_HALF = re.compile(rb'\\u[dD][89abAB][0-9a-fA-F]{2}"\Z')
"""The first half of a character, escaped."""
_EVENTS, _ENDS = (b"data:", b"event:", b"id:"), (b"\n\n", b"\r\n\r\n", b"\r\r")


class _Delta(NamedTuple):
    """A frame around its text. ``form``: what both sides say apart from what is open."""

    before: bytes
    text: bytes
    """With its quotes."""
    after: bytes
    field: bytes
    form: tuple[bytes, bytes]


class Merger:
    """What waits, for a client of ``wire``. ``events``: as server-sent events."""

    def __init__(self, wire: str, *, events: bool):
        self._field_of = FIELDS[wire]
        self._events = events
        self._lines = wire == "ollama-chat"
        self._frames: deque[bytes] = deque()
        self._last: _Delta | None = None
        """The last frame, while more may be merged into it…"""
        self._texts: list[bytes] = []
        """…and the texts of it, without quotes…"""
        self._length = 0
        """…and how long they are."""
        self.size = 0
        """Bytes of all that waits."""
        self.merged = 0
        """Frames that are part of another one now."""

    def put(self, data: bytes) -> None:
        """Further frames, whole."""
        for block in blocks(data, lines=self._lines):
            delta = self._delta(block)
            if delta is None:
                self._shut()
                self._frames.append(block)
                self.size += len(block)
            else:
                self._add(delta)

    def take(self, most: int) -> bytes:
        """The first frames, ``most`` bytes or one more than that."""
        self._shut()
        taken, size = [], 0
        while self._frames and size < most:
            taken.append(self._frames.popleft())
            size += len(taken[-1])
        self.size -= size
        return b"".join(taken)

    def _add(self, delta: _Delta) -> None:
        last = self._last
        inner = delta.text[1:-1]
        if last is not None and last.form == delta.form and self._length + len(inner) <= MOST:
            self.size -= len(last.before) + len(last.after)
            self.merged += 1
        else:
            self._shut()
            self.size += 2
        self._last = delta
        self._texts.append(inner)
        self._length += len(inner)
        self.size += len(delta.before) + len(inner) + len(delta.after)
        if _HALF.search(delta.text):
            # With the other half behind it it would be another text.
            self._shut()

    def _shut(self) -> None:
        """Nothing more comes into the last frame."""
        last = self._last
        if last is not None:
            self._frames.append(b'%b"%b"%b' % (last.before, b"".join(self._texts), last.after))
            self._last, self._texts, self._length = None, [], 0

    def _delta(self, block: bytes) -> _Delta | None:
        if self._events and not (block.startswith(_EVENTS) and block.endswith(_ENDS)):
            return None
        last = self._last
        if last is not None:
            alike = _parts(block, last.field)
            if alike is not None and alike.form == last.form:
                return alike
        try:
            body = json.loads(self._payload(block))
        except ValueError:
            return None
        field = self._field_of(body) if isinstance(body, dict) else None
        return None if field is None else _parts(block, field.encode())

    def _payload(self, block: bytes) -> bytes:
        if self._events:
            return sse.payload(block) or sse.parse(block).data or b""
        # An element of an array: it begins and ends with neither.
        return block.strip(b"[], \r\n\t")


def _parts(block: bytes, field: bytes) -> _Delta | None:
    """The block around the text of ``field``; None where it cannot be told for certain."""
    # A key has its quotes, which in a string are escaped: what looks like one is one.
    places = list(re.finditer(rb'"%b"\s*:\s*(?=")' % field, block))
    text = _LITERAL.match(block, places[0].end()) if len(places) == 1 else None
    if text is None:
        return None
    try:
        text[0].decode()
    except UnicodeDecodeError:
        return None
    before, after = block[: text.start()], block[text.end() :]
    return _Delta(before, text[0], after, field, (_OPEN.sub(b"", before), _OPEN.sub(b"", after)))
