"""Looking through one text that comes in pieces.

The law: what is released, joined, is what the same rules make of the whole text, however it was split; and no
character goes out while it can still belong to a match.

The rules, for a whole text: at each place from the left, the detectors are tried in order. The first whose pattern
matches and whose check digits are right wins, its text is replaced, and the search goes on behind it. A place where
none wins is passed by. Where ``hold`` characters from a place on do not decide the matter, that is an *overflow*: the
stream is blocked, or those characters are let go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from penstock.stages.contract import Block
from penstock.stages.redact.detectors import Detector
from penstock.stages.redact.pattern import join, translate

Overflow = Literal["block", "release"]
Replace = Callable[[str, str], str | None]
"""Kind and text to what stands in its place; None = the text must not go on at all."""

_LONG = 256
"""Characters. A candidate that is longer is looked at again only when it has grown by a quarter, or by `_STEP`, so
that the work stays proportional to the text."""

_STEP = 512
"""Characters that a long candidate grows by at most before it is looked at again."""

_UNDECIDED = -1


class Found(NamedTuple):
    """A match, in the place of its text."""

    kind: str
    text: str


Part = str | Found | Block
"""What comes out of a text: pieces of it, matches, and the verdict on what was not decided in time."""


class _Shape(NamedTuple):
    detector: Detector
    opened: re.Pattern[str]
    plain: re.Pattern[str]


class Rules:
    """Detectors, compiled: made once, shared by all texts. ``long``: characters from which on a candidate is looked at
    only now and then. Raises PatternError."""

    def __init__(
        self, detectors: Sequence[Detector], *, hold: int = 8192, overflow: Overflow = "block", long: int = _LONG
    ):
        self.hold = hold
        self.long = long
        self.overflow = overflow
        forms = [translate(detector.pattern, ascii_only=detector.ascii_only) for detector in detectors]
        self.opened = join([form.opened for form in forms])
        self.plain = join([form.plain for form in forms])
        self.shapes = [
            _Shape(detector, re.compile(form.opened), re.compile(form.plain))
            for detector, form in zip(detectors, forms, strict=True)
        ]

    def decide(self, buffer: str, start: int, end: int, first: int, last: bool) -> tuple[int, int]:
        """What the detectors from number ``first`` on say of the place ``start``, seeing the text up to ``end``:
        which one speaks, and where its match ends (`_UNDECIDED` when more text decides, 0 when none matches)."""
        for number in range(first, len(self.shapes)):
            detector, opened, plain = self.shapes[number]
            match = (plain if last else opened).match(buffer, start, end)
            if match is None:
                continue
            if not last and match.end() == end:
                return number, _UNDECIDED
            length = match.end() - start if detector.verify is None else detector.verify(match[0])
            if length:
                return number, start + length
        return 0, 0


class Scan:
    """One text. ``replace`` is asked for each match, in order.

    While a long candidate is undecided, the text behind it is looked through *ahead*: as if nothing were found at the
    candidate's place. So when it turns out to be nothing there is little left to do, and no step takes long.
    """

    __slots__ = ("_ahead", "_buffer", "_replace", "_rules", "_start", "_wait")

    def __init__(self, rules: Rules, replace: Replace):
        self._rules = rules
        self._replace = replace
        self._buffer = ""
        self._start = 0
        self._wait = 0
        self._ahead: _Ahead | None = None

    @property
    def held(self) -> int:
        """Characters that are kept back. The buffer has one more: the last of what went, for lookbehinds."""
        return len(self._buffer) - self._start

    def feed(self, text: str) -> str | Block:
        """The next piece; what may go now."""
        buffer = self._buffer + text
        size = len(buffer)
        if self._wait:
            if size >= self._wait:
                return self._told(self._advance(buffer, False))
            self._buffer = buffer
            return ""
        if size < self._rules.hold:
            # The common case: nothing in it, or a beginning at its end.
            match = self._rules.opened.search(buffer, self._start)
            start = size if match is None else match.start()
            if match is None or match.end() == size:
                out = buffer[self._start : start]
                self._keep(buffer, start)
                return out
        return self._told(self._advance(buffer, False))

    def flush(self) -> str | Block:
        """The text ends here; the rest of it."""
        out = self._told(self._advance(self._buffer, True))
        self._keep("", 0)
        return out

    def _told(self, parts: list[Part]) -> str | Block:
        """The text of parts, with what stands in the place of each match."""
        out: list[str] = []
        for part in parts:
            if isinstance(part, str):
                out.append(part)
                continue
            if isinstance(part, Block):
                return Block(part.reason, "".join(out))
            instead = self._replace(part.kind, part.text)
            if instead is None:
                return Block(part.kind, "".join(out))
            out.append(instead)
        return "".join(out)

    def _keep(self, buffer: str, start: int) -> None:
        self._start = 1 if start else 0
        self._buffer = buffer[start - self._start :]
        self._wait = 0
        if len(buffer) - start > self._rules.long:
            self._ahead = self._new_ahead()
            self._hold_on()

    def _new_ahead(self) -> _Ahead | None:
        return _Ahead(self._rules, self._buffer, self._start)

    def _hold_on(self) -> None:
        """A long candidate is looked at again when it has grown."""
        held = self.held
        self._wait = self._start + min(held + min(held // 4, _STEP), self._rules.hold)
        if self._ahead is not None:
            self._ahead.read(self._buffer)

    def _advance(self, buffer: str, last: bool) -> list[Part]:
        """Everything that can be decided. No place is judged by more than the ``hold`` characters from it on, so that
        how much of the text is there already makes no difference. It costs time in proportion to the text."""
        rules, parts = self._rules, list[Part]()
        search = (rules.plain if last else rules.opened).search
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            start = self._start
            number, stop = rules.decide(buffer, start, min(len(buffer), start + rules.hold), 0, last)
            if stop == _UNDECIDED and len(buffer) - start < rules.hold:
                self._buffer, self._ahead = buffer, ahead
                self._hold_on()
                return parts
            if not stop:
                parts += [buffer[start], *ahead.parts]
                buffer, self._start = ahead.rest(buffer)
        size, at = len(buffer), self._start
        while at < size:
            end = min(size, at + rules.hold)
            match = search(buffer, at, end)
            if match is None or match.start() == end:
                parts.append(buffer[at:end])
                at = end
                continue
            start, number = match.start(), (match.lastindex or 1) - 1
            parts.append(buffer[at:start])
            if start > at and end < size and match.end() == end:
                at = start
                continue
            at = start
            number, stop = rules.decide(buffer, start, min(size, start + rules.hold), number, last)
            if stop == _UNDECIDED:
                if size - start < rules.hold:
                    break
                if rules.overflow == "block":
                    kind = rules.shapes[number].detector.kind
                    parts.append(Block(f"{kind}: not decided within {rules.hold} characters"))
                    return parts
                at = start + rules.hold
                parts.append(buffer[start:at])
                continue
            if not stop:
                parts.append(buffer[start])
                at = start + 1
                continue
            parts.append(Found(rules.shapes[number].detector.kind, buffer[start:stop]))
            at = stop
        self._keep(buffer, at)
        return parts


class _Ahead(Scan):
    """The text behind a candidate, from the character after its first one on. ``parts``: what comes out of it. It does
    not look further ahead itself: candidates in candidates would take more time than they save."""

    __slots__ = ("_seen", "parts")

    def __init__(self, rules: Rules, buffer: str, start: int):
        super().__init__(rules, _never)
        self.parts: list[Part] = []
        self._buffer = buffer[start : start + 1]
        self._start = 1
        self._seen = start + 1

    def _new_ahead(self) -> None:
        return None

    def read(self, buffer: str) -> None:
        """The next piece of the text, of which ``buffer`` is all. Of much text, only a piece: more comes."""
        piece = buffer[self._seen : self._seen + 2 * _STEP]
        self._seen += len(piece)
        self._buffer += piece
        if len(self._buffer) >= self._wait:
            self.parts += self._advance(self._buffer, False)

    def rest(self, buffer: str) -> tuple[str, int]:
        """The text that is not decided, behind one character before it; and where it begins there."""
        return self._buffer + buffer[self._seen :], self._start


def _never(kind: str, text: str) -> None:
    """Nobody is asked about a match that may be none."""
