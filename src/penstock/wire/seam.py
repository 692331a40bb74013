"""The seam between the beginning of an answer and what another attempt wrote behind it: no word twice, none lost.

Models repeat themselves in two ways: they begin the answer anew, or the sentence (the word) that was broken off. What
is cut is the longest end of the beginning with which the continuation starts, if it is long enough to be no accident:

======================================================  =====================================================
the overlap                                             is cut
======================================================  =====================================================
three different words or more                           yes
two different words of together 12 characters or more   yes
8 characters or more of a script without spaces         yes
a word of 4 letters or more, broken off in its middle   if the continuation starts with the whole word
anything shorter ("had had", "New York, New York")      no: it may be meant
======================================================  =====================================================
"""

from __future__ import annotations

from collections.abc import Iterator

_WORDS, _PAIR, _DENSE, _BROKEN = 3, 12, 8, 4
_NO_SPACES = "\u2e80"
"""From here on scripts mostly have no spaces."""


class Seam:
    """Joins one continuation to ``before``, of which ``sent`` (without its last blanks) is what the model was given.

    Text waits here only while it may still turn out to be a repetition.
    """

    def __init__(self, before: str):
        self.sent = before.rstrip()
        self._gap = before[len(self.sent) :]
        self._held = ""
        self._cut = False
        self._joined = False

    def feed(self, text: str) -> str:
        """A piece of the continuation; what the client is to get by now."""
        if self._joined:
            return text
        self._held += text
        return self._join(last=False)

    def close(self) -> str:
        """What still waits."""
        return "" if self._joined else self._join(last=True)

    def _join(self, *, last: bool) -> str:
        if not self._cut:
            blanks = len(self._held) - len(self._held.lstrip())
            body = self._held[blanks:]
            if not last and (not body or self._undecided(body, blanks)):
                return ""
            size = self._overlap(body, blanks)
            self._cut = True
            self._held = body[size:] if size else self._held
        if not last and not self._held.strip():
            return ""
        self._joined = True
        return self._spaced(self._held)

    def _spaced(self, text: str) -> str:
        """Without the blanks that the client has already."""
        gap, body = self._gap, text.lstrip()
        blanks = text[: len(text) - len(body)]
        if not gap:
            return text
        if blanks.startswith(gap):
            return text[len(gap) :]
        return body if gap.startswith(blanks) or blanks == " " else text

    def _undecided(self, body: str, blanks: int) -> bool:
        """It is the beginning of what would be a repetition."""
        whole = (start for start in self._starts(body) if len(self.sent) - start >= len(body))
        return any(self._repeats(self.sent[start:], blanks, "x") for start in whole)

    def _overlap(self, body: str, blanks: int) -> int:
        """How much of it the client has already."""
        sent = self.sent
        for start in range(max(0, len(sent) - len(body)), len(sent)):
            end = sent[start:]
            if _begins_word(sent, start) and body.startswith(end) and self._repeats(end, blanks, body[len(end) :]):
                return len(end)
        return 0

    def _starts(self, body: str) -> Iterator[int]:
        start = self.sent.find(body)
        while start >= 0:
            if _begins_word(self.sent, start):
                yield start
            start = self.sent.find(body, start + 1)

    def _repeats(self, end: str, blanks: int, follows: str) -> bool:
        words = set(end.split())
        if len(words) >= _WORDS or (len(words) == 2 and len(end) >= _PAIR):
            return True
        if len(end) >= _DENSE and min(end) >= _NO_SPACES:
            return True
        inside = not blanks and not self._gap and follows[:1].isalnum()
        return inside and end.isalnum() and len(end) >= _BROKEN


def _begins_word(text: str, start: int) -> bool:
    return start == 0 or not text[start - 1].isalnum() or text[start - 1] >= _NO_SPACES or not text[start].isalnum()
