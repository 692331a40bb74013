"""Frames that differ from the one before them in one JSON string only, as nearly all of an answer do.

A provider's deltas are the same bytes over and over around a few characters of text. Once one of them was read by
its decoder, the next needs no reading: where what stands before and behind the text is the same, and what stands
between is one JSON string, then the frame means what the last one meant, with that text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from penstock.events import Event, Reasoning, Text
from penstock.usage import Usage
from penstock.wire.base import Decoder
from penstock.wire.filling import Filling

_STRING = msgspec.json.Decoder(str)
_PROBES = ("[probe]", "[another]")
_RARE = 32
"""Frames that were learnt from and had no like, in a row: from then on nothing is learnt."""
Read = Callable[[bytes], "bool | Usage | None"]
_LINE_END = re.compile("[\x85\u2028\u2029]")
"""Wires whose clients break on them mend them."""


class Alike:
    """What the next frame of attempt number ``attempt`` may be like: ``head`` and ``tail`` are its bytes around the
    text, and around what fills the frame up behind it. A new one is like nothing."""

    __slots__ = (
        "_chances", "_padding", "_reads", "_start", "_stop", "attempt", "choice", "head", "kind", "tail", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self._chances = _RARE
        self._start = self._stop = 0
        self._padding = b""
        """What stands between the text and the filling, if there is one…"""
        self._reads: Read = bytes.isalnum
        """…and what reads it."""
        self.attempt = -1
        self.head = self.tail = b""
        self.kind: type[Text] | type[Reasoning] = Text
        self.choice = 0
        self.usage: Usage | None = None
        """That of the frame that was read, on wires which report it with every delta."""

    def read(self, frame: bytes) -> str:
        """The text of a frame that begins with ``head`` and ends with ``tail``; empty where what is between is not
        one string that every client can read, and a filling if there was one."""
        start, padding = self._start, self._padding
        try:
            if not padding:
                text = _STRING.decode(frame[start : self._stop])
            else:
                stop = frame.find(b'"', start + 1) + 1
                text = _STRING.decode(frame[start:stop])
                if not frame.startswith(padding, stop):
                    return ""
                said = self._reads(frame[stop + len(padding) : self._stop])
                if said is not True:
                    if type(said) is not Usage or not text.isascii():
                        return ""
                    self.usage = said
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        return text if text.isascii() or not _LINE_END.search(text) else ""

    def forget(self, *, useful: bool) -> None:
        """Something else came: what follows is to be read by the decoder again."""
        self.attempt = -1
        if useful:
            self._chances = _RARE

    def learn(self, attempt: int, frame: bytes, events: tuple[Event, ...], decoder: Decoder) -> None:
        """From a frame that was handed on as it is and means ``events``. The decoder, a steady one, is asked once more
        whether it is the text, and the text alone, that the event is made of."""
        event = events[0]
        if self._chances <= 0 or not isinstance(event, (Text, Reasoning)):
            return
        self._chances -= 1
        try:
            text = msgspec.json.encode(event.text)
        except UnicodeEncodeError:
            # Half of a character, escaped.
            return
        at = frame.find(text)
        if at < 0 or not frame.endswith(b"\n"):
            return
        head, padding, filling, tail, reads = frame[:at], *_filled(frame[at + len(text) :], decoder.alike or ())
        other = _PROBES[event.text == _PROBES[0]]
        probe = head + msgspec.json.encode(other) + padding + filling + tail
        if decoder.decode(probe) == (probe, (type(event)(other, event.choice), *events[1:])):
            self.attempt = attempt
            self.head, self.tail, self._padding, self._reads = head, tail, padding, reads
            self._start, self._stop = len(head), -len(tail)
            self.kind, self.choice, self.usage = type(event), event.choice, None


def _filled(rest: bytes, fillings: tuple[Filling, ...]) -> tuple[bytes, bytes, bytes, Read]:
    """What follows a text: what stands before its filling, the filling, what stands behind it, and what reads one."""
    for filling in fillings:
        at = rest.find(filling.mark)
        found = filling.form.search(rest, at + len(filling.mark)) if at >= 0 else None
        if found:
            return rest[: found.start()], found[0], rest[found.end() :], filling.read
    return b"", b"", rest, bytes.isalnum
