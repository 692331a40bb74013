"""What one attempt has generated, counted from its events.

On the path of a chunk an event is appended to a list, nothing else. Every `BATCH` events the list is counted, a few
thousand characters at a time; what is left when the stream is over is counted off the event loop (`Tally.finish`).
A long text, such as an answer in one event, is neither copied nor looked through at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.events import Event, Internal, Media, Reasoning, ToolArguments
from penstock.metering.counter import Counter, Vocabulary
from penstock.metering.encodings import hides_reasoning
from penstock.metering.row import Tokens

BATCH = 64
"""Events that are counted together."""
SLICE = 4096
"""Characters that are counted at a time: half a millisecond."""
KEPT = 2 * 1024 * 1024
"""Characters that may wait to be counted behind the text whose turn it is. What comes so much faster is estimated by
its length."""
LENGTH = 65536
"""Characters that are estimated at a time, beside twice as many as have come: some tens of microseconds."""

_Channel = tuple[str, int, int]
_Entry = tuple[_Channel, str] | None


class Meter(msgspec.Struct, frozen=True):
    """How the tokens of one model are counted. ``vocabulary`` gives None while it is being loaded. ``factor``: tokens
    of the model for one of the vocabulary's; None: the vocabulary is the model's own."""

    model: str
    vocabulary: Callable[[], Vocabulary | None]
    factor: float | None = None


class Tally:
    """Counts one attempt. ``heard`` takes its token events."""

    __slots__ = ("_at", "_channels", "_kept", "_todo", "delivered", "heard", "media", "meter", "tools")

    def __init__(self, meter: Meter):
        self.meter = meter
        self.heard: list[Event] = []
        self._todo: deque[_Entry] = deque()
        """Texts to count, in order; None is the mark."""
        self._at = 0
        """Characters of the first one that were counted."""
        self._kept = 0
        """Characters in all of them that were not."""
        self._channels: dict[_Channel, Counter] = {}
        self.delivered: Tokens | None = None
        """What had been generated at the mark."""
        self.tools = False
        """There were tool calls: what a provider adds around them is not public."""
        self.media = False
        """There was output that is no text."""

    def hear(self, events: list[Event]) -> None:
        """Take token events, and count them when there are many."""
        self.heard += events
        if len(self.heard) >= BATCH:
            self.fold()

    def mark(self) -> None:
        """What was heard up to here was written to the client; what follows is not."""
        self._gather()
        self._todo.append(None)

    def fold(self) -> bool:
        """Count what was heard, about a `SLICE` of it. False when nothing is left, or nothing can be done yet."""
        before = self._kept
        self._gather()
        new = self._kept - before
        vocabulary = self.meter.vocabulary()
        if vocabulary is None:
            return False
        left, todo = SLICE, self._todo
        while todo and left > 0:
            left -= self._next(vocabulary, left)
        if self._kept > KEPT:
            left = LENGTH + 2 * new
            while left > 0 and self._behind() > KEPT:
                left -= self._next(vocabulary, left, guessed=True)
        return bool(todo)

    def _behind(self) -> int:
        """Characters that wait behind the first text."""
        first = self._todo[0] if self._todo else None
        return self._kept if first is None else self._kept - len(first[1]) + self._at

    def _next(self, vocabulary: Vocabulary, most: int, *, guessed: bool = False) -> int:
        """Take no more than so many characters of the first text, or the mark. How many there were."""
        entry = self._todo[0]
        if entry is None:
            self._todo.popleft()
            self.delivered = self.tokens()
            return 0
        channel, text = entry
        counter = self._channels.get(channel)
        if counter is None:
            counter = self._channels[channel] = vocabulary.counter()
        # Of a text that is taken whole this is the text itself.
        part = text[self._at : self._at + most]
        self._at += len(part)
        self._kept -= len(part)
        if self._at >= len(text):
            self._todo.popleft()
            self._at = 0
        if guessed:
            counter.guess(part)
        else:
            counter.add(part)
        return len(part)

    def finish(self) -> None:
        """Count all of it. Takes as long as it takes: not for an event loop."""
        while self.fold():
            pass

    def tokens(self) -> Tokens:
        """What was counted so far."""
        return Tokens(output=self._scaled("output"), reasoning=self._scaled("reasoning"))

    @property
    def exact(self) -> bool:
        """The counts are the provider's own, to the token."""
        counted = all(counter.exact for counter in self._channels.values())
        hidden = hides_reasoning(self.meter.model)
        return counted and self.meter.factor is None and not (self.tools or self.media or hidden)

    def raw(self, kind: str) -> int:
        """Tokens of the vocabulary, of ``output`` or ``reasoning``."""
        return sum(counter.tokens() for channel, counter in self._channels.items() if channel[0] == kind)

    def _scaled(self, kind: str) -> int:
        return round(self.raw(kind) * (self.meter.factor or 1.0))

    def _gather(self) -> None:
        """From events to texts: those that follow each other in one channel are one, but for long ones."""
        heard, before, texts = self.heard, None, [""]
        for event in heard:
            channel, text = self._read(event)
            if channel == before and len(text) <= SLICE:
                texts.append(text)
                continue
            if before is not None:
                self._keep(before, texts)
            before, texts = channel, [text]
        if before is not None:
            self._keep(before, texts)
        heard.clear()

    def _keep(self, channel: _Channel, texts: list[str]) -> None:
        if len(texts[0]) > SLICE:
            # By itself: to join it would copy it.
            self._put(channel, texts.pop(0))
        self._put(channel, "".join(texts))

    def _put(self, channel: _Channel, text: str) -> None:
        if text:
            self._kept += len(text)
            self._todo.append((channel, text))

    def _read(self, event: Any) -> tuple[_Channel, str]:
        kind = type(event)
        if kind is ToolArguments:
            self.tools = True
            channel = "output", event.choice, event.call + 1
            if len(event.arguments) <= SLICE:
                return channel, event.name + event.arguments
            self._put(channel, event.name)
            return channel, event.arguments
        if kind is Internal:
            self.tools = True
        if kind is Media:
            self.media = True
            return ("output", event.choice, -1), event.transcript
        return ("reasoning" if kind is Reasoning else "output", event.choice, 0), event.text
