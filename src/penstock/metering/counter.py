"""Counting tokens of text that is still growing.

Text is cut into pieces by the encoding's pattern, and each piece is encoded by itself. Whatever follows, all pieces
but the last two stay as they are (proven over all short strings for both encodings): those are counted once and
forgotten, and only the short rest is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from typing import Protocol

import regex

CACHED = 50_000
"""Pieces whose count is remembered."""
SHORT = 32
"""Characters of the longest of them."""
LONGEST = 4096
"""A piece over so many characters is counted in parts, and the count is no longer exact: encoding takes longer than
the piece grows, and no prose or program has such pieces."""
_OFTEN = 64
"""An open rest over so many characters is looked at again only when it has grown by a quarter."""


class Counter(Protocol):
    """Counts one text as it grows."""

    exact: bool

    def add(self, text: str) -> None:
        """The text goes on."""

    def guess(self, text: str) -> None:
        """It goes on, and is taken by its length."""

    def tokens(self) -> int:
        """Tokens of the text if it ended here."""
        ...


class Vocabulary(Protocol):
    """What tokens are counted by."""

    name: str
    exact: bool

    def counter(self) -> Counter:
        """A counter for one text."""
        ...


class BytePairs:
    """A vocabulary of byte pairs. ``encode`` gives the tokens of one piece in UTF-8."""

    exact = True

    def __init__(self, name: str, pattern: str, encode: Callable[[bytes], Sized]):
        self.name = name
        self.split: Callable[[str], list[str]] = regex.compile(pattern).findall
        self._sizes = _Sizes(encode)

    def counter(self) -> Counter:
        """A counter for one text."""
        return PieceCounter(self)

    def count(self, pieces: Iterable[str]) -> int:
        """Tokens of pieces, each by itself."""
        return sum(map(self._sizes.__getitem__, pieces))


class _Sizes(dict[str, int]):
    """Tokens of a piece, found out when asked for the first time."""

    def __init__(self, encode: Callable[[bytes], Sized]):
        super().__init__()
        self._encode = encode

    def __missing__(self, piece: str) -> int:
        # Half of a surrogate pair is no Unicode; tiktoken reads it as U+FFFD.
        data = piece.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
        size = len(self._encode(data))
        if len(piece) <= SHORT:
            if len(self) >= CACHED:
                self.clear()
            self[piece] = size
        return size


class PieceCounter:
    """Counts by pieces."""

    __slots__ = ("_closed", "_look", "_parts", "_size", "_vocabulary", "exact")

    def __init__(self, vocabulary: BytePairs):
        self._vocabulary = vocabulary
        self._closed = 0
        """Tokens of the pieces that no text can change any more."""
        self._parts: list[str] = []
        self._size = 0
        self._look = 0
        self.exact = True

    def add(self, text: str) -> None:
        """The text goes on."""
        self._parts.append(text)
        self._size += len(text)
        if self._size < self._look:
            return
        pieces = self._vocabulary.split("".join(self._parts))
        if len(pieces) > 2:
            rest = pieces[-2] + pieces[-1]
            del pieces[-2:]
            self._closed += self._vocabulary.count(pieces)
        else:
            rest = "".join(pieces)
        if len(rest) > LONGEST:
            self.exact = False
            self._closed += self._vocabulary.count(rest[at : at + LONGEST] for at in range(0, len(rest), LONGEST))
            rest = ""
        self._parts = [rest]
        self._size = len(rest)
        self._look = self._size * 5 // 4 if self._size > _OFTEN else 0

    def guess(self, text: str) -> None:
        """It goes on, and is taken by its length."""
        self.exact = False
        self._closed += guessed(text)

    def tokens(self) -> int:
        """Tokens of the text if it ended here."""
        return self._closed + self._vocabulary.count(self._vocabulary.split("".join(self._parts)))


class Estimate:
    """Stands for a vocabulary that is not there: a token for every four bytes of UTF-8, which is within a quarter of
    the truth for prose in most scripts."""

    name = "estimate"
    exact = False

    def counter(self) -> Counter:
        """A counter for one text."""
        return ByteCounter()


class ByteCounter:
    """Counts bytes."""

    __slots__ = ("_bytes", "exact")

    def __init__(self) -> None:
        self._bytes = 0
        self.exact = False

    def add(self, text: str) -> None:
        """The text goes on."""
        self._bytes += len(text.encode("utf-8", "replace"))

    guess = add

    def tokens(self) -> int:
        """Tokens of the text if it ended here."""
        return -(-self._bytes // 4)


def guessed(text: str) -> int:
    """Tokens of a text by its length."""
    return -(-len(text.encode("utf-8", "replace")) // 4)
