"""A route's stages in a row, over the channels of one answer.

Each channel goes through every stage in order; behind them its text may wait for the end of a sentence or paragraph
(`segments.Segments`). The first verdict ends it all: from then on nothing comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from penstock.slices import SIZE, give_way, pieces
from penstock.stages.contract import Block, Channel, ChannelKind, Stage, StagePolicy
from penstock.stages.moderate.policy import CheckPolicy
from penstock.stages.segments import Segmenting, Segments

Place = tuple[ChannelKind, int, int]
_CALL = 16
"""What a call costs, in characters."""


@runtime_checkable
class Prompted(Protocol):
    """A stage that has to know the request."""

    def prompt(self, texts: Sequence[str]) -> Sequence[str] | Block:
        """The request's texts, as they may go on. Called once, before the answer."""
        ...


class StagesPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a route does to the text of its answers."""

    stages: tuple[StagePolicy, ...] = ()
    prompts: tuple[tuple[str, ...], ...] = ()
    """What each stage reads of the request before the answer; for many, nothing."""
    segments: Segmenting | None = None
    """How released text is cut; None: as it comes."""
    whole: bool = False
    """Nothing goes out before the answer has passed to its end."""
    max_held: int = 8 * 1024 * 1024
    """The bytes of an answer that may wait for that."""
    check: CheckPolicy | None = None
    """The service that is asked about the answer."""
    asked: tuple[str, ...] = ()
    """What it is asked about of the request."""
    readers: list[Stage | None] = []
    """Stages that have read the request already; the first answer has them."""
    drop_signed: bool = False
    """Reasoning that a signature covers cannot be edited: it is left out, instead of passed on unread."""

    def open(self, *, streamed: bool = True) -> Pipeline:
        """The stages of one answer. For one that is told whole no sentence need be waited for."""
        stages, readers = [policy.open() for policy in self.stages], self.readers[:]
        self.readers.clear()
        for place, texts in enumerate(self.prompts):
            reader = readers[place] if readers else None
            if reader is not None:
                stages[place] = reader
            elif texts and isinstance(stage := stages[place], Prompted):
                stage.prompt(texts)
        return Pipeline(stages, self.segments if streamed else None)


class Pipeline:
    """See `wire.edit.Texts`. ``now`` is to be set before text comes."""

    def __init__(self, stages: list[Stage], segmenting: Segmenting | None = None):
        self._stages = stages
        self._segments = None if segmenting is None else Segments(segmenting)
        self.now = 0.0
        self.verdict: Block | None = None
        """The answer ends here."""
        self.last: tuple[Place, str] | None = None
        """What may still go out before the verdict, and where."""
        self._tap: list[tuple[Place, str]] | None = None
        self._spent = 0
        """What was done since others had their turn, in characters."""
        self._before: list[str] = []
        """What the text in hand has let out, where it goes through in pieces."""

    def tap(self) -> list[tuple[Place, str]]:
        """A list of all that goes out from now on; its reader empties it."""
        self._tap = []
        return self._tap

    def feed(self, place: Place, text: str) -> str:
        """The next delta of a channel; what may go out now."""
        self._spent += len(text) + _CALL
        channel = Channel(*place)
        out = self._piece(channel, text) if self._spent <= SIZE else self._at_length(channel, text)
        return out if self._tap is None else self._tapped(place, out)

    def _piece(self, channel: Channel, text: str) -> str:
        out = self._through(0, channel, text)
        if out and self._segments is not None and channel.kind != "arguments":
            out = self._segments.feed(channel, out, self.now)
        return out

    def _at_length(self, channel: Channel, text: str) -> str:
        """A text goes through a piece at a time: the same comes out of it."""
        self._spent = 0
        give_way()
        before = self._before
        for piece in pieces(text):
            before.append(self._piece(channel, piece))
            if self.verdict is not None:
                return ""
        self._before = []
        return "".join(before)

    def flush(self, place: Place) -> str:
        """A channel ends: what it still holds."""
        channel, out = Channel(*place), ""
        self._spent += _CALL
        if self._spent > SIZE:
            self._spent = 0
            give_way()
        for number, stage in enumerate(self._stages):
            if self.verdict is not None:
                return ""
            out += self._judged(number, channel, stage.flush(channel))
            if number + 1 < len(self._stages):
                out = self._one(number + 1, channel, out)
        if self.verdict is not None:
            return ""
        if self._segments is not None and place[0] != "arguments":
            out = self._segments.flush(place, out)
        return out if self._tap is None else self._tapped(place, out)

    def _tapped(self, place: Place, out: str) -> str:
        if out and self._tap is not None:
            self._tap.append((place, out))
        return out

    def _through(self, first: int, channel: Channel, text: str) -> str:
        for number in range(first, len(self._stages)):
            text = self._one(number, channel, text)
        return text if self.verdict is None else ""

    def _one(self, number: int, channel: Channel, text: str) -> str:
        if not text or self.verdict is not None:
            return ""
        return self._judged(number, channel, self._stages[number].feed(channel, text))

    def _judged(self, number: int, channel: Channel, said: str | Block) -> str:
        """What a stage lets out; its verdict ends the answer behind what the stages after it let pass of the rest."""
        if isinstance(said, str):
            return said
        rest = self._last_words(number + 1, channel, said.released)
        if self._segments is not None and channel.kind != "arguments":
            rest = self._segments.flush(channel, rest)
        rest = "".join((*self._before, rest))
        self.verdict = said
        self.last = (channel, rest) if self._tapped(channel, rest) else None
        return ""

    def _last_words(self, first: int, channel: Channel, text: str) -> str:
        for stage in self._stages[first:]:
            said = (stage.feed(channel, text) if text else "", stage.flush(channel))
            if isinstance(said[0], Block) or isinstance(said[1], Block):
                return ""
            text = said[0] + said[1]
        return text

    # -- time -----------------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When text has waited long enough for the end of its sentence. Behind a verdict none comes out any more."""
        return None if self._segments is None or self.verdict is not None else self._segments.deadline

    def due(self, place: Place) -> str:
        """What has waited long enough in a channel by ``now``."""
        return "" if self._segments is None else self._tapped(place, self._segments.due(place, self.now))

    # -- accounts -------------------------------------------------------------------------------------------------

    def findings(self) -> dict[str, int]:
        """What the stages have found, by kind."""
        found: Counter[str] = Counter()
        for stage in self._stages:
            found.update(stage.findings())
        return dict(found)
