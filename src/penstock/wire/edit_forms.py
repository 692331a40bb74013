"""The short way through an editor where frames differ in more than their text: a number, an instant, counts of tokens.

A form is a frame of which these places are left open. What stands at them can say nothing else, whatever it is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from penstock.wire import json
from penstock.wire.edit_splice import Spot

_LONGEST = 64 * 1024
_TEXT = rb'(?P<text>"(?:[^"\\\x00-\x1f]++|\\.)*+")'
_NUMBER = rb"(?:0|[1-9][0-9]{0,14})"
_OPEN = (
    (rb'(?<="sequence_number":)', _NUMBER, rb"(?P<number>%b)" % _NUMBER),
    (rb'(?<="created_at":")', rb"[0-9A-Za-z:.+-]+", rb"(?P<instant>[0-9A-Za-z:.+-]+)"),
    (rb'(?<=TokenCount":)', _NUMBER, _NUMBER),
    (rb'(?<=TokenCount": )', _NUMBER, _NUMBER),
    (rb"", rb',"obfuscation":"[A-Za-z0-9]*"', rb'(?P<padding>,"obfuscation":"[A-Za-z0-9]*")'),
)
"""What stands before a place that is open, what may stand at it, and the same as a part of a form."""
_PLACES = re.compile(b"|".join(rb"(%b%b)" % (before, what) for before, what, _ in _OPEN))
_STRING = msgspec.json.Decoder(str)


class Seen(NamedTuple):
    """A frame of a form, taken apart."""

    frame: bytes
    text: str
    parts: re.Match[bytes]

    def written(self, text: str, number: int | None = None) -> bytes:
        """The frame with another text, without padding, or with another number."""
        parts, changes = self.parts, []
        if text != self.text:
            changes.append((*parts.span("text"), json.one_line(json.dumps(text))))
            if "padding" in parts.re.groupindex:
                changes.append((*parts.span("padding"), b""))
        if number is not None:
            changes.append((*parts.span("number"), b"%d" % number))
        out, at = [], 0
        for start, end, new in sorted(changes):
            out += [self.frame[at:start], new]
            at = end
        return b"".join([*out, self.frame[at:]])


class Form(NamedTuple):
    """What frames are alike in."""

    pattern: re.Pattern[bytes]
    spot: Spot

    def seen(self, frame: bytes) -> Seen | None:
        """A frame of this form; None for one of another."""
        parts = self.pattern.fullmatch(frame)
        if parts is None:
            return None
        try:
            return Seen(frame, _STRING.decode(parts["text"]), parts)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


def form_of(frame: bytes, spot: Spot) -> Form | None:
    """The form of a frame; None where it cannot be told for certain."""
    # A key has its quotes, which in a string are escaped: what looks like one is one.
    keys = list(re.finditer(rb'"%b"\s*:\s*(?=")' % spot.field.encode(), frame))
    text = re.compile(_TEXT).match(frame, keys[0].end()) if len(keys) == 1 and len(frame) <= _LONGEST else None
    if text is None:
        return None
    pattern, at = [], 0
    for start, end, part in sorted([(*text.span(), _TEXT), *_places(frame, text.span())]):
        pattern += [re.escape(frame[at:start]), part]
        at = end
    try:
        return Form(re.compile(b"".join([*pattern, re.escape(frame[at:])]), re.DOTALL), spot)
    except re.error:
        # Two of what there is one of.
        return None


def _places(frame: bytes, text: tuple[int, int]) -> list[tuple[int, int, bytes]]:
    """The open places outside of the text."""
    return [
        (*found.span(), _OPEN[(found.lastindex or 1) - 1][2])
        for found in _PLACES.finditer(frame)
        if found.end() <= text[0] or found.start() >= text[1]
    ]
