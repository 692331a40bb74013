"""Guards against answers that run away. They end an answer as finished, not as offensive: see `Halt`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from penstock.stages.contract import Block, Channel

_STEP = 64
"""Repetition is looked for every so many characters of a channel: always at the same ones, however it was split."""
_LEAST = 400
"""Characters that a repetition has at least: rules, tables and indents are shorter."""
_WINDOW = 8192


class Halt(Block, frozen=True, gc=False):
    """The answer ends here as if the model had ended it: with this finish."""

    finish: Literal["stop", "stop_sequence", "length"] = "stop"
    sequence: str = ""
    """The client's own one at which it ends."""


class MaxCharacters(msgspec.Struct, frozen=True):
    """Answers of more characters are cut, with the finish ``length``. Each choice counts by itself, all that is
    generated in it together."""

    limit: int
    name: str = "max_characters"

    def open(self) -> _Counting:
        """For one answer."""
        return _Counting(self.limit)


class _Guard:
    """A stage that finds nothing and holds nothing."""

    def flush(self, channel: Channel) -> str | Block:
        return ""

    def findings(self) -> Mapping[str, int]:
        return {}


class _Counting(_Guard):
    def __init__(self, limit: int):
        self._limit = limit
        self._count: dict[int, int] = {}

    def feed(self, channel: Channel, text: str) -> str | Block:
        count = self._count.get(channel.choice, 0)
        self._count[channel.choice] = count + len(text)
        if count + len(text) <= self._limit:
            return text
        reason = f"the answer is over {self._limit} characters (guards.max_characters)"
        return Halt(reason, text[: self._limit - count], "length")


class Repetition(msgspec.Struct, frozen=True):
    """Answers whose text goes round in a circle are cut when they have gone round ``cycles`` times."""

    cycles: int
    name: str = "repetition"

    def open(self) -> _Circling:
        """For one answer."""
        return _Circling(self.cycles)


class _Circling(_Guard):
    def __init__(self, cycles: int):
        self._cycles = cycles
        self._tails: dict[Channel, tuple[int, str]] = {}
        """By channel, how long it is and its last characters."""

    def feed(self, channel: Channel, text: str) -> str | Block:
        size, tail = self._tails.get(channel, (0, ""))
        done = 0
        while done < len(text):
            piece = text[done : done + _STEP - size % _STEP]
            tail, size, done = tail + piece, size + len(piece), done + len(piece)
            if size % _STEP == 0 and self._circles(tail):
                reason = f"the answer repeated itself {self._cycles} times (guards.repetition)"
                return Halt(reason, text[:done], "length")
        self._tails[channel] = size, tail[-_WINDOW:] if len(tail) > 2 * _WINDOW else tail
        return text

    def flush(self, channel: Channel) -> str | Block:
        self._tails.pop(channel, None)
        return ""

    def _circles(self, tail: str) -> bool:
        """Is the end of it the same cycle, over and over? The last characters stood a cycle's length before."""
        tail = tail[-_WINDOW:]
        last = tail[-_STEP:]
        before = tail.rfind(last, 0, len(tail) - 1)
        if before < 0:
            return False
        period = len(tail) - _STEP - before
        repeated = max(period * (self._cycles - 1), _LEAST)
        return repeated + period <= len(tail) and tail[-repeated:] == tail[-repeated - period : -period]


class StopSequences(msgspec.Struct, frozen=True):
    """The client's own stop sequences, for providers that generate on past them."""

    sequences: tuple[str, ...]
    name: str = "stop_sequences"

    def open(self) -> _Stopping:
        """For one answer."""
        return _Stopping(self.sequences)


class _Stopping(_Guard):
    """Holds back what may be the beginning of a sequence."""

    def __init__(self, sequences: tuple[str, ...]):
        self._sequences = sequences
        self._held: dict[Channel, str] = {}

    def feed(self, channel: Channel, text: str) -> str | Block:
        if channel.kind != "text":
            return text
        text = self._held.pop(channel, "") + text
        places = [(place, sequence) for sequence in self._sequences if (place := text.find(sequence)) >= 0]
        if places:
            place, sequence = min(places, key=lambda found: found[0])
            reason = "a stop sequence of the client's was passed (guards.stop_sequences)"
            return Halt(reason, text[:place], "stop_sequence", sequence)
        keep = max(_overlap(text, sequence) for sequence in self._sequences)
        if keep:
            self._held[channel] = text[-keep:]
            return text[:-keep]
        return text

    def flush(self, channel: Channel) -> str | Block:
        return self._held.pop(channel, "")


def _overlap(text: str, sequence: str) -> int:
    """How many of the last characters of ``text`` may begin ``sequence``."""
    for size in range(min(len(sequence) - 1, len(text)), 0, -1):
        if text.endswith(sequence[:size]):
            return size
    return 0
