"""A tool call's arguments, which come as fragments of JSON text: edited only inside their values.

Each string is a channel of its own, decoded before it is shown and encoded again behind; names of fields too, since
they are generated as well. Numbers are shown whole, and become strings where they are changed. What comes out is JSON
wherever that which went in is, for every way of splitting it. Text that does not begin as JSON (the input of a free
tool) is one channel.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from penstock.slices import SIZE, pieces
from penstock.wire import json
from penstock.wire.edit_runs import Place, TextRun, Texts

_STRING_STOP = re.compile(r'["\\]')
_STRUCTURE = frozenset('{}[]:,"')
_SPACE = frozenset(" \t\r\n")
_BEGINS = frozenset('{["-0123456789tfn')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}
_MAX_BARE = 4096
"""Characters of a number that are held for its end."""


class ArgumentsRun:
    """See `edit_runs.Run`. ``number`` gives a fresh number for a string."""

    def __init__(self, texts: Texts, choice: int, number: Callable[[], int]):
        self._texts = texts
        self._choice = choice
        self._number = number
        self._plain: TextRun | None = None
        self._begun = False
        self._place: Place | None = None
        """The channel of the string that is open."""
        self._half = ""
        """An escape that is not whole yet, or the first half of a pair."""
        self._bare = ""
        """A number or a word that may go on."""

    def feed(self, text: str) -> str:
        """The next fragment."""
        if len(text) > SIZE:
            return "".join(map(self.feed, pieces(text)))
        if not self._begun and not self._begin(text):
            return text
        if self._plain is not None:
            return self._plain.feed(text)
        out: list[str] = []
        at = 0
        while at < len(text):
            read = self._outside if self._place is None else self._inside
            at = read(text, at, out)
        return "".join(out)

    def close(self) -> str:
        """The call ends, perhaps in the middle of a string."""
        if self._plain is not None:
            return self._plain.close()
        out = [self._bare_value()]
        if self._place is not None:
            out += [encoded(self._texts.flush(self._place)), self._half]
            self._place, self._half = None, ""
        return "".join(out)

    def due(self) -> str:
        """Nothing: arguments do not wait for sentences."""
        return ""

    def _begin(self, text: str) -> bool:
        first = text.lstrip()[:1]
        if not first:
            return False
        self._begun = True
        if first not in _BEGINS:
            self._plain = TextRun(self._texts, ("arguments", self._choice, self._number()))
        return True

    def _outside(self, text: str, at: int, out: list[str]) -> int:
        character = text[at]
        if character in _STRUCTURE or character in _SPACE:
            out += [self._bare_value(), character]
            if character == '"':
                self._place = ("arguments", self._choice, self._number())
        else:
            self._bare += character
            if len(self._bare) > _MAX_BARE:
                out.append(self._bare_value())
        return at + 1

    def _bare_value(self) -> str:
        bare, self._bare = self._bare, ""
        if not bare or bare in ("true", "false", "null"):
            return bare
        place: Place = ("arguments", self._choice, self._number())
        shown = self._texts.feed(place, bare) + self._texts.flush(place)
        return bare if shown == bare else json.dumps(shown).decode()

    def _inside(self, text: str, at: int, out: list[str]) -> int:
        """A piece of the open string, up to its end, or the fragment's."""
        place = self._place
        assert place is not None
        decoded: list[str] = []
        begin = at
        raw_half, ended = self._half, False
        while at < len(text):
            if self._half:
                at = self._escape(text, at, decoded)
                continue
            stop = _STRING_STOP.search(text, at)
            end = len(text) if stop is None else stop.start()
            if end > at:
                decoded.append(text[at:end])
            at = end
            if stop is None:
                break
            at += 1
            if stop[0] == '"':
                ended = True
                break
            self._half = "\\"
        shown = "".join(decoded)
        released = self._texts.feed(place, shown) if shown else ""
        raw = raw_half + text[begin : at - 1 if ended else at]
        raw = raw.removesuffix(self._half) if self._half else raw
        out.append(raw if released == shown else encoded(released))
        if ended:
            out += [encoded(self._texts.flush(place)), '"']
            self._place = None
        return at

    def _escape(self, text: str, at: int, decoded: list[str]) -> int:
        """One more character of an escape. A pair of surrogates is one character, and so shown as one."""
        half = self._half + text[at]
        self._half = ""
        kind = half[1:2]
        if len(half) == 2 and kind != "u":
            decoded.append(_ESCAPES.get(kind, half))
        elif len(half) < 6:
            self._half = half
        elif len(half) == 6:
            unit = _unit(half[2:])
            if unit is None:
                decoded.append(half)
            elif 0xD800 <= unit < 0xDC00:
                self._half = half
            else:
                decoded.append(chr(unit))
        elif not "\\u".startswith(half[6:8]):
            # The first half of a pair, and no second one: it is given as it came, and this character looked at anew.
            decoded.append(chr(_unit(half[2:6]) or 0))
            self._half = half[6:-1]
            return at
        elif len(half) < 12:
            self._half = half
        else:
            high, low = _unit(half[2:6]) or 0, _unit(half[8:])
            if low is not None and 0xDC00 <= low < 0xE000:
                decoded.append(chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)))
            else:
                decoded += [chr(high), half[6:] if low is None else chr(low)]
        return at + 1


def encoded(text: str) -> str:
    """Text as it stands inside a JSON string."""
    return json.dumps(text).decode()[1:-1] if text else ""


def _unit(digits: str) -> int | None:
    try:
        return int(digits, 16)
    except ValueError:
        return None
