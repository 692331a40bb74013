"""What one attempt has generated, counted from its events.

On the path of a chunk an event is appended to a list, nothing else. Every `BATCH` events the list is counted, a few
thousand characters at a time; what is left when the stream is over is counted off the event loop (`Tally.finish`).
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
"""Characters that may wait to be counted. What comes so much faster is estimated by its length."""

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

    __slots__ = ("_channels", "_kept", "_todo", "delivered", "heard", "media", "meter", "tools")

    def __init__(self, meter: Meter):
        self.meter = meter
        self.heard: list[Event] = []
        self._todo: deque[_Entry] = deque()
        """Texts to count, in order; None is the mark."""
        self._kept = 0
        """Characters in them."""
        self._channels: dict[_Channel, Counter] = {}
        self.delivered: Tokens | None = None
        """What had been generated at the mark."""
        self.tools = False
        """There were tool calls: what a provider adds around them is not public."""
        self.media = False
        """There was output that is no text."""

    def mark(self) -> None:
        """What was heard up to here was written to the client; what follows is not."""
        self._gather()
        self._todo.append(None)

    def fold(self) -> bool:
        """Count what was heard, about a `SLICE` of it. False when nothing is left, or nothing can be done yet."""
        self._gather()
        vocabulary = self.meter.vocabulary()
        if vocabulary is None:
            return False
        left = SLICE
        todo = self._todo
        while todo and (left > 0 or self._kept > KEPT):
            entry = todo.popleft()
            if entry is None:
                self.delivered = self.tokens()
                continue
            channel, text = entry
            counter = self._channels.get(channel)
            if counter is None:
                counter = self._channels[channel] = vocabulary.counter()
            if left <= 0:
                counter.guess(text)
                self._kept -= len(text)
                continue
            counter.add(text[:left])
            self._kept -= min(left, len(text))
            if len(text) > left:
                todo.appendleft((channel, text[left:]))
            left -= len(text)
        return bool(todo)

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
        """From events to texts: those that follow each other in one channel are one."""
        heard, before, texts = self.heard, None, [""]
        for event in heard:
            channel, text = self._read(event)
            if channel == before:
                texts.append(text)
                continue
            if before is not None:
                self._keep(before, texts)
            before, texts = channel, [text]
        if before is not None:
            self._keep(before, texts)
        heard.clear()

    def _keep(self, channel: _Channel, texts: list[str]) -> None:
        text = "".join(texts)
        self._kept += len(text)
        self._todo.append((channel, text))

    def _read(self, event: Any) -> tuple[_Channel, str]:
        kind = type(event)
        if kind is ToolArguments:
            self.tools = True
            return ("output", event.choice, event.call + 1), event.name + event.arguments
        if kind is Internal:
            self.tools = True
        if kind is Media:
            self.media = True
            return ("output", event.choice, -1), event.transcript
        return ("reasoning" if kind is Reasoning else "output", event.choice, 0), event.text
