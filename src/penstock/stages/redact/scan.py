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
"""Characters. A candidate that is longer is looked at again only when it has grown by a quarter, so that the work
stays proportional to the text."""

_UNDECIDED = -1


class _Shape(NamedTuple):
    detector: Detector
    opened: re.Pattern[str]
    plain: re.Pattern[str]


class Rules:
    """Detectors, compiled: made once, shared by all texts. Raises PatternError."""

    def __init__(self, detectors: Sequence[Detector], *, hold: int = 8192, overflow: Overflow = "block"):
        self.hold = hold
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
    """One text. ``replace`` is asked for each match, in order."""

    __slots__ = ("_buffer", "_replace", "_rules", "_start", "_wait")

    def __init__(self, rules: Rules, replace: Replace):
        self._rules = rules
        self._replace = replace
        self._buffer = ""
        self._start = 0
        self._wait = 0

    @property
    def held(self) -> int:
        """Characters that are kept back. The buffer has one more: the last of what went, for lookbehinds."""
        return len(self._buffer) - self._start

    def feed(self, text: str) -> str | Block:
        """The next piece; what may go now."""
        buffer = self._buffer + text
        size = len(buffer)
        if size < self._wait:
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
        return self._advance(buffer, False)

    def flush(self) -> str | Block:
        """The text ends here; the rest of it."""
        out = self._advance(self._buffer, True)
        self._keep("", 0)
        return out

    def _keep(self, buffer: str, start: int) -> None:
        held = len(buffer) - start
        self._start = 1 if start else 0
        self._buffer = buffer[start - self._start :]
        self._wait = self._start + min(held + held // 4, self._rules.hold) if held > _LONG else 0

    def _advance(self, buffer: str, last: bool) -> str | Block:
        """Everything that can be decided. No place is judged by more than the ``hold`` characters from it on, so that
        how much of the text is there already makes no difference. It costs time in proportion to the text."""
        rules, size, out = self._rules, len(buffer), []
        search = (rules.plain if last else rules.opened).search
        at = self._start
        while at < size:
            end = min(size, at + rules.hold)
            match = search(buffer, at, end)
            if match is None or match.start() == end:
                out.append(buffer[at:end])
                at = end
                continue
            start, number = match.start(), (match.lastindex or 1) - 1
            out.append(buffer[at:start])
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
                    return Block(f"{kind}: not decided within {rules.hold} characters", "".join(out))
                at = start + rules.hold
                out.append(buffer[start:at])
                continue
            if not stop:
                out.append(buffer[start])
                at = start + 1
                continue
            kind = rules.shapes[number].detector.kind
            instead = self._replace(kind, buffer[start:stop])
            if instead is None:
                return Block(kind, "".join(out))
            out.append(instead)
            at = stop
        self._keep(buffer, at)
        return "".join(out)
