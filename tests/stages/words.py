"""A stage as small as can be: exact over any deltas, so that what is tested is what carries it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from penstock.stages.contract import Block, Channel


class Word(msgspec.Struct, frozen=True):
    """Replaces ``word``, or blocks at it."""

    word: str = "SECRET"
    put: str = "[x]"
    block: bool = False
    name: str = "word"

    def open(self) -> Reader:
        return Reader(self)


class Reader:
    def __init__(self, policy: Word):
        self._policy = policy
        self._held: dict[Channel, str] = {}
        self._found = 0

    def feed(self, channel: Channel, text: str) -> str | Block:
        word = self._policy.word
        text = self._held.pop(channel, "") + text
        if self._policy.block and word in text:
            return Block("it has the word", text[: text.index(word)])
        self._found += text.count(word)
        text = text.replace(word, self._policy.put)
        keep = next((n for n in range(min(len(word) - 1, len(text)), 0, -1) if text.endswith(word[:n])), 0)
        if keep:
            self._held[channel] = text[-keep:]
        return text[: len(text) - keep]

    def flush(self, channel: Channel) -> str | Block:
        return self._held.pop(channel, "")

    def findings(self) -> Mapping[str, int]:
        return {"word": self._found} if self._found else {}
