"""The short way through an editor: a frame that differs from one before it in nothing but its text.

Where all bytes before and behind the text are the same, and what is between them is one JSON string, the frame says
the same as that other one with this text. So nothing else of it needs to be read, or written, again.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from penstock.wire import json
from penstock.wire.edit_runs import Place

_PAD = b',"obfuscation":"'
"""OpenAI's padding: another one in each frame, always last."""
_PADDING = re.compile(rb',"obfuscation":"[A-Za-z0-9]*"\}\n\n')
_LITERAL = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\.)*"')
_STRING = msgspec.json.Decoder(str)
_LONGEST = 64 * 1024


class Spot(NamedTuple):
    """The only text of a frame: the name of its field, its channel, and whether the frame still says something when
    it has none."""

    field: str
    place: Place
    arguments: bool = False
    keeps: bool = False
    varies: bool = False
    """Frames are alike in a form only (`edit_forms`)."""


class Template(NamedTuple):
    """A frame without its text. ``padded``: OpenAI's padding comes behind ``after``."""

    before: bytes
    after: bytes
    padded: bool
    spot: Spot

    def text(self, frame: bytes) -> str | None:
        """The text of a frame of this form; None for one of another."""
        if self.padded:
            end = frame.rfind(_PAD)
            if end < 0 or not frame.endswith(self.after, 0, end) or _PADDING.fullmatch(frame, end) is None:
                return None
        elif frame.endswith(self.after):
            end = len(frame)
        else:
            return None
        try:
            return _STRING.decode(frame[len(self.before) : end - len(self.after)])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def frame(self, text: str) -> bytes:
        """The frame with another text, without padding."""
        end = b"}\n\n" if self.padded else b""
        return self.before + json.one_line(json.dumps(text)) + self.after + end


def template_of(frame: bytes, spot: Spot) -> Template | None:
    """The form of a frame; None where it cannot be told for certain."""
    if len(frame) > _LONGEST or b"\r" in frame:
        return None
    # A key has its quotes, which in a string are escaped: what looks like one is one.
    places = list(re.finditer(rb'"%b"\s*:\s*(?=")' % spot.field.encode(), frame))
    literal = _LITERAL.match(frame, places[0].end()) if len(places) == 1 else None
    if literal is None:
        return None
    before, after = frame[: literal.start()], frame[literal.end() :]
    if padding := _PADDING.search(after):
        return Template(before, after[: padding.start()], True, spot) if padding.end() == len(after) else None
    return Template(before, after, False, spot)


def only(body: dict[str, Any], names: frozenset[str]) -> bool:
    """Whether all that an object says is in these fields."""
    return all(name in names or value is None for name, value in body.items())
