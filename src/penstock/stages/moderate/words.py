"""Thousands of words, looked for in one pass over a text that comes in pieces (Aho and Corasick, 1975).

The rules, for a whole text: from the left, the longest word that begins at a place is found, and the search goes on
behind it. Letters are compared without regard to case, any white space for a space. A word is found between what is no
letter; scripts that put no spaces between words are searched at every letter. Held back is only what may still become a
word of the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from penstock.stages.contract import Block

Replace = Callable[[str, str], str | None]
"""Kind and text to what stands in its place; None = the text must not go on at all."""
LONGEST = 200
"""Characters of a word, or of several with spaces between."""

_LETTER = re.compile(r"\w")
_SPACELESS = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
_NONE: dict[str, int] = {}
_SPACES = str.maketrans(dict.fromkeys("\t\n\r\v\f\u00a0\u2009\u202f\u3000", " "))


def folded(text: str) -> str:
    """The text as it is compared, character for character."""
    if text.isascii():
        return text.lower().translate(_SPACES)
    whole = text.casefold()
    if len(whole) != len(text):
        whole = "".join(one if len(one) == 1 else letter for letter in text for one in (letter.casefold(),))
    return whole.translate(_SPACES)


def inside_word(before: str, after: str) -> bool:
    """Whether no word ends between two characters."""
    return (
        _LETTER.match(before) is not None
        and _LETTER.match(after) is not None
        and not _SPACELESS.match(before)
        and not _SPACELESS.match(after)
    )


class Words:
    """The automaton of lists of words, by kind: made once, shared by all texts. Of a word in two lists the first
    counts."""

    def __init__(self, lists: Iterable[tuple[str, Iterable[str]]]):
        self.next: list[dict[str, int]] = [{}]
        self.depth = [0]
        self.fail = [0]
        self.ends: list[tuple[tuple[int, str], ...]] = [()]
        """The words that end in a state, the longest first: how long, of which kind."""
        for kind, words in lists:
            for word in words:
                self._add(kind, folded(word))
        self._link()

    def _add(self, kind: str, word: str) -> None:
        state = 0
        for letter in word:
            following = self.next[state].get(letter)
            if following is None:
                following = len(self.next)
                if self.next[state] is _NONE:
                    self.next[state] = {}
                self.next[state][letter] = following
                self.next.append(_NONE)
                self.depth.append(self.depth[state] + 1)
                self.fail.append(0)
                self.ends.append(())
            state = following
        if word and not self.ends[state]:
            self.ends[state] = ((len(word), kind),)

    def _link(self) -> None:
        """Where to go on from a state that no letter leads out of: its longest end that begins a word too."""
        level = list(self.next[0].values())
        while level:
            below = []
            for state in level:
                for letter, following in self.next[state].items():
                    self.fail[following] = self.step(self.fail[state], letter)
                    self.ends[following] += self.ends[self.fail[following]]
                    below.append(following)
            level = below

    def step(self, state: int, letter: str) -> int:
        """The state behind one letter more."""
        following = self.next[state].get(letter)
        while following is None and state:
            state = self.fail[state]
            following = self.next[state].get(letter)
        return following or 0


class WordScan:
    """One text. ``replace`` is asked for each word that is found, in order."""

    __slots__ = ("_at", "_best", "_folded", "_replace", "_start", "_state", "_text", "_words")

    def __init__(self, words: Words, replace: Replace):
        self._words = words
        self._replace = replace
        self._text = self._folded = ""
        self._start = 0
        """What went out already: a character of it stays, for what stands before a word."""
        self._at = 0
        self._state = 0
        self._best: tuple[int, int, str] | None = None

    @property
    def held(self) -> int:
        """Characters that are kept back."""
        return len(self._text) - self._start

    def feed(self, text: str) -> str | Block:
        """The next piece; what may go now."""
        self._text += text
        self._folded += folded(text)
        return self._go_on(last=False)

    def flush(self) -> str | Block:
        """The text ends here; the rest of it."""
        return self._go_on(last=True)

    def _go_on(self, *, last: bool) -> str | Block:
        words, size, out = self._words, len(self._text), []
        while True:
            found = self._search(size)
            if found is None and last:
                self._note(size, at_end=True)
                found, self._best = self._best, None
            if found is None:
                break
            start, end, kind = found
            out.append(self._text[self._start : start])
            instead = self._replace(kind, self._text[start:end])
            if instead is None:
                return Block(kind, "".join(out))
            out.append(instead)
            self._start = self._at = end
            self._state = 0
        keep = size if last else size - words.depth[self._state]
        if self._best is not None:
            keep = min(keep, self._best[0])
        out.append(self._text[self._start : keep])
        self._forget(keep)
        return "".join(out)

    def _search(self, size: int) -> tuple[int, int, str] | None:
        """The next word that is decided; None when the text is at its end."""
        words, text, state = self._words, self._folded, self._state
        nexts, fails, ends, depths = words.next, words.fail, words.ends, words.depth
        for at in range(self._at, size):
            if ends[state]:
                self._state = state
                self._note(at)
            letter = text[at]
            following = nexts[state].get(letter)
            while following is None and state:
                state = fails[state]
                following = nexts[state].get(letter)
            state = following or 0
            if self._best is not None and self._best[0] < at + 1 - depths[state]:
                found, self._best = self._best, None
                return found
        self._at, self._state = size, state
        return None

    def _note(self, at: int, *, at_end: bool = False) -> None:
        """Words may end at a place: the leftmost is kept, of those the longest."""
        text = self._text
        if not at_end and at and inside_word(text[at - 1], text[at]):
            return
        for length, kind in self._words.ends[self._state]:
            start = at - length
            if start < self._start or (start and inside_word(text[start - 1], text[start])):
                continue
            if self._best is None or start <= self._best[0]:
                self._best = start, at, kind
            return

    def _forget(self, keep: int) -> None:
        cut = max(keep - 1, 0)
        self._text, self._folded = self._text[cut:], self._folded[cut:]
        self._start, self._at = keep - cut, self._at - cut
        if self._best is not None:
            self._best = self._best[0] - cut, self._best[1] - cut, self._best[2]
