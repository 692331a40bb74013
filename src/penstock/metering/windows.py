"""Counting tokens of growing text with a tokenizer of which nothing is known but what it makes of a text.

How far what follows changes the tokens before it is different for each. So text is encoded in windows: the tokens that
end well before a window's end are counted, and the next window begins well before them, so that they have their
neighbours on both sides. A token must begin where counting left off, or the count is no longer called exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock.metering.counter import guessed

BEFORE, BEHIND = 64, 192
"""Characters that a token has on both sides when it is counted."""
STEP = 512
"""Characters that are waited for before a window is encoded."""

Encode = Callable[[str], Sequence[tuple[int, int]]]
"""From where to where in a text each of its tokens goes, in characters."""


class Windows:
    """A vocabulary (`counter.Vocabulary`). ``encode`` knows no special tokens: they are text."""

    exact = True

    def __init__(self, name: str, encode: Encode):
        self.name = name
        self.encode = encode

    def counter(self) -> WindowCounter:
        """A counter for one text."""
        return WindowCounter(self.encode)


class WindowCounter:
    """Counts one text."""

    __slots__ = ("_at", "_closed", "_encode", "_parts", "_size", "exact")

    def __init__(self, encode: Encode):
        self._encode = encode
        self._parts: list[str] = []
        self._size = 0
        self._at = 0
        """In the window, where the text begins that is not counted."""
        self._closed = 0
        self.exact = True

    def add(self, text: str) -> None:
        """The text goes on."""
        for start in range(0, len(text), STEP):
            part = text[start : start + STEP]
            self._parts.append(part)
            self._size += len(part)
            if self._size - self._at >= BEHIND + STEP:
                self._count()

    def guess(self, text: str) -> None:
        """It goes on, and is taken by its length."""
        self.exact = False
        self._closed += guessed(text)

    def tokens(self) -> int:
        """Tokens of the text if it ended here."""
        return self._closed + len(self._starts("".join(self._parts)))

    def _starts(self, window: str) -> list[int]:
        """Where its tokens begin, that are not counted."""
        starts = [start for start, end in self._encode(window) if end > start and start >= self._at]
        if starts and self._at and starts[0] != self._at:
            self.exact = False
        return starts

    def _count(self) -> None:
        window = "".join(self._parts)
        starts = self._starts(window)
        most = len(window) - BEHIND
        # At the beginning of a word, if there is one: tokens seldom go over it.
        upto = max((at for at in starts if self._at < at <= most and window[at].isspace()), default=0)
        upto = upto or max((at for at in starts if self._at < at <= most), default=0)
        if not upto:
            # One token that is so long, or none at all.
            upto, self.exact = most, False
        self._closed += sum(at < upto for at in starts)
        begin = max(0, upto - BEFORE)
        self._parts, self._size, self._at = [window[begin:]], len(window) - begin, upto - begin
