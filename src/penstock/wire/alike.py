"""Frames that differ from the one before them in one JSON string only, as nearly all of an answer do.

A provider's deltas are the same bytes over and over around a few characters of text. Once one of them was read by
its decoder, the next needs no reading: where what stands before and behind the text is the same, and what stands
between is one JSON string, then the frame means what the last one meant, with that text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from penstock.events import Event, Reasoning, Text, UsageReport
from penstock.usage import Usage
from penstock.wire.base import Decoder
from penstock.wire.filling import Filling, Likeness, counts_like

_STRING = msgspec.json.Decoder(str)
_PROBES = ("[probe]", "[another]")
_RARE = 32
"""Frames that were learnt from and had no like, in a row: from then on nothing is learnt."""
Tell = Callable[[tuple[Event, ...]], bytes]
_LINE_END = re.compile("[\x85\u2028\u2029]")
"""Wires whose clients break on them mend them."""


class Alike:
    """What the next frame of attempt number ``attempt`` may be like: ``head`` and ``tail`` are its bytes around the
    text, and around a number before it and what fills the frame up behind it. A new one is like nothing."""

    __slots__ = (
        "_chances", "_counts", "_decoder", "_filling", "_lead", "_likeness", "_number", "_padding", "_right", "_start",
        "_stop", "attempt", "choice", "head", "kind", "tail", "tell",
    )  # fmt: skip

    def __init__(self) -> None:
        self._chances = _RARE
        self._start = self._stop = 0
        self._number = -1
        """The number before the next text; -1 where there is none…"""
        self._lead = b""
        """…and what stands between it and the text."""
        self._padding = b""
        """What stands between the text and the filling, if there is one…"""
        self._right: Callable[[bytes], object] = bytes.isalnum
        """…what says whether that is right…"""
        self._counts: Callable[[bytes], Usage | None] | None = None
        """…and what reads usage from it, where it reports some…"""
        self._filling = b""
        """…as the last one did, which was read but not for that; empty where none was."""
        self._likeness = Likeness()
        self._decoder: Decoder | None = None
        """What would have read them."""
        self.tell: Tell | None = None
        """Tells the events in another wire's frames; None: the frames go on as they are."""
        self.attempt = -1
        self.head = self.tail = b""
        self.kind: type[Text] | type[Reasoning] = Text
        self.choice = 0

    def read(self, frame: bytes) -> str:
        """The text of a frame that begins with ``head`` and ends with ``tail``; empty where what is between is not
        one string that every client can read, with the next number before it and a filling behind it if there were."""
        start, padding, number = self._start, self._padding, self._number
        if number >= 0:
            lead = b"%d%b" % (number, self._lead)
            if not frame.startswith(lead, start):
                return ""
            start += len(lead)
        try:
            if not padding:
                text = _STRING.decode(frame[start : self._stop])
            else:
                stop = frame.find(b'"', start + 1) + 1
                text = _STRING.decode(frame[start:stop])
                if not frame.startswith(padding, stop):
                    return ""
                filling = frame[stop + len(padding) : self._stop]
                if not self._right(filling):
                    return ""
                if self._counts is not None:
                    if not text.isascii():
                        return ""
                    self._filling = filling
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        if number >= 0:
            if not text:
                return ""
            self._number = number + 1
        return text if text.isascii() or not _LINE_END.search(text) else ""

    def usage(self) -> Usage | None:
        """What the last frame that was read reports, on wires which do with every delta. Told once."""
        filling, self._filling = self._filling, b""
        return self._counts(filling) if filling and self._counts is not None else None

    def told(self, tell: Tell, text: str) -> bytes:
        """A frame that was read, in another wire; empty where that has nothing for it."""
        one = self.kind(text, self.choice)
        if self._counts is None:
            return tell((one,))
        usage = self._counts(self._filling)
        return tell((one, UsageReport(usage)) if usage is not None else (one,))

    def passed(self, text: str, frames: int) -> None:
        """So many frames that were read were handed on, with this text altogether."""
        if self._decoder is not None:
            self._likeness.passed(self._decoder, text, frames)

    def forget(self, *, useful: bool) -> None:
        """Something else came: what follows is to be read by the decoder again."""
        self.attempt = -1
        if useful:
            self._chances = _RARE

    def learn(
        self, attempt: int, frame: bytes, events: tuple[Event, ...], decoder: Decoder, tell: Tell | None = None
    ) -> None:
        """From a frame that was handed on as it is, or as ``tell`` tells it, and means ``events``. The decoder is asked
        once more whether it is the text, and the text alone, that the event is made of."""
        event, likeness = events[0], decoder.alike
        if self._chances <= 0 or likeness is None or not isinstance(event, (Text, Reasoning)):
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
        head, number, lead = frame[:at], -1, b""
        if likeness.number:
            found = re.search(likeness.number + rb"(0|[1-9][0-9]{0,14})(?=,)", head)
            if found is None:
                return
            number, lead, head = int(found[1]) + 1, head[found.end() :], head[: found.start(1)]
        padding, filling, tail = self._fill(frame[at + len(text) :], likeness.fillings)
        other = _PROBES[event.text == _PROBES[0]]
        told = b"%d%b" % (number, lead) if number >= 0 else b""
        probe = head + told + msgspec.json.encode(other) + padding + filling + tail
        handed_on, meant = likeness.decode(decoder, probe)
        if (tell or handed_on == probe) and meant == (type(event)(other, event.choice), *events[1:]):
            self.attempt, self.tell, self._decoder = attempt, tell, decoder
            self.head, self.tail, self._padding, self._filling = head, tail, padding, b""
            self._start, self._stop = len(head), -len(tail)
            self._number, self._lead, self._likeness = number, lead, likeness
            self.kind, self.choice = type(event), event.choice

    def _fill(self, rest: bytes, fillings: tuple[Filling, ...]) -> tuple[bytes, bytes, bytes]:
        """What follows a text: what stands before its filling, the filling, what stands behind it."""
        for filling in fillings:
            at = rest.find(filling.mark)
            found = filling.form.search(rest, at + len(filling.mark)) if at >= 0 else None
            if found and (filling.usage is None or filling.usage(found[0]) is not None):
                self._counts = filling.usage
                self._right = filling.right if filling.usage is None else counts_like(found[0])
                return rest[: found.start()], found[0], rest[found.end() :]
        self._counts = None
        return b"", b"", rest
