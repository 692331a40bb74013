"""Frames that differ from the one before them in one JSON string only, as nearly all of an answer do.

A provider's deltas are the same bytes over and over around a few characters of text. Once one of them was read by
its decoder, the next needs no reading: where what stands before and behind the text is the same, and what stands
between is one JSON string, then the frame means what the last one meant, with that text.
"""

from __future__ import annotations

import re

import msgspec

from penstock.events import Event, Reasoning, Text
from penstock.wire.base import Decoder

_STRING = msgspec.json.Decoder(str)
_PROBE = "\U0001f9ea"
_RARE = 32
"""Frames that were learnt from and had no like, in a row: from then on nothing is learnt."""
_PADDING = b'"obfuscation":"'
"""OpenAI hides the length of a text behind a string of any letters (wire-formats.md §2), Anthropic behind blanks."""
_LINE_END = re.compile("[\x85\u2028\u2029]")
"""Wires whose clients break on them mend them."""


class Alike:
    """What the next frame of attempt number ``attempt`` may be like: ``head`` and ``tail`` are its bytes around the
    text. A new one is like nothing."""

    __slots__ = ("_blank", "_chances", "_padding", "_start", "_stop", "attempt", "choice", "head", "kind", "tail")

    def __init__(self) -> None:
        self._chances = _RARE
        self._start = self._stop = 0
        self._padding = b""
        """What stands between the text and the padding…"""
        self._blank = False
        """…which is blanks, not letters."""
        self.attempt = -1
        self.head = self.tail = b""
        self.kind: type[Text] | type[Reasoning] = Text
        self.choice = 0

    def read(self, frame: bytes) -> str:
        """The text of a frame that begins with ``head`` and ends with ``tail``; empty where what is between is not
        one string that every client can read, and padding if there was some."""
        start = self._start
        if self._padding:
            stop = frame.find(b'"', start + 1) + 1
            if not frame.startswith(self._padding, stop):
                return ""
            filling = frame[stop + len(self._padding) : self._stop]
            if filling.strip(b" ") if self._blank else not filling.isalnum():
                return ""
        else:
            stop = self._stop
        try:
            text = _STRING.decode(frame[start:stop])
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
        if self._chances <= 0 or len(events) > 1 or not isinstance(event, (Text, Reasoning)):
            return
        self._chances -= 1
        text = msgspec.json.encode(event.text)
        at = frame.find(text)
        if at < 0 or frame.find(text, at + 1) >= 0 or not frame.endswith(b"\n"):
            return
        head, padding, tail = frame[:at], b"", frame[at + len(text) :]
        blank = False
        if (padded := tail.find(_PADDING)) >= 0:
            padded += len(_PADDING)
            padding, tail = tail[:padded], tail[tail.find(b'"', padded) :]
        elif (padded := tail.find(b"  ")) >= 0:
            blank = True
            padding, tail = tail[:padded], tail[padded:].lstrip(b" ")
        filling = (b"  " if blank else b"0") if padding else b""
        probe = head + msgspec.json.encode(_PROBE) + padding + filling + tail
        if decoder.decode(probe) == (probe, (type(event)(_PROBE, event.choice),)):
            self.attempt = attempt
            self.head, self.tail, self._padding, self._blank = head, tail, padding, blank
            self._start, self._stop = len(head), -len(tail)
            self.kind, self.choice = type(event), event.choice
